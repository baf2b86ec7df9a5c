/* SPDX-License-Identifier: MIT */
/*
 * handlers_gyre - handlers on gyre. The loop is kept turning by a callback that adds itself,
 * which takes a few instructions less than a task that posts itself.
 */
#include <stdint.h>

#include <gyre/gyre.h>

#include "handlers.h"
#include "measure.h"

static struct gyre_loop *loop;
static const int *descriptors;

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, gyre_error_text(status));
}

static int turn(struct gyre_loop *at, int status, void *arg)
{
    (void)arg;
    if (status != 0)
        return 0;
    return handlers_turn() ? gyre_loop_add_callback(at, turn, NULL) : gyre_loop_stop(at);
}

static int ready(struct gyre_loop *at, int fd, uint32_t events, void *arg)
{
    const int *descriptor = arg;
    (void)at;
    (void)fd;
    handlers_event((unsigned)(descriptor - descriptors), (events & GYRE_READ) != 0,
                   (events & GYRE_WRITE) != 0);
    return 0;
}

void handlers_peer_create(const int *fds, unsigned count)
{
    (void)count; /* the table grows as it must */
    descriptors = fds;
    check(gyre_loop_create(NULL, &loop), "gyre_loop_create");
}

void handlers_peer_add(unsigned handler)
{
    void *arg = (void *)(uintptr_t)&descriptors[handler]; /* which nobody writes */
    check(gyre_loop_add_handler(loop, descriptors[handler], GYRE_READ, ready, arg), "add_handler");
}

void handlers_peer_update(unsigned handler)
{
    check(gyre_loop_update_handler(loop, descriptors[handler], GYRE_READ | GYRE_WRITE),
          "update_handler");
}

void handlers_peer_remove(unsigned handler)
{
    check(gyre_loop_remove_handler(loop, descriptors[handler]), "remove_handler");
}

void handlers_peer_run(void)
{
    check(gyre_loop_add_callback(loop, turn, NULL), "gyre_loop_add_callback");
    check(gyre_loop_run(loop), "gyre_loop_run");
}
