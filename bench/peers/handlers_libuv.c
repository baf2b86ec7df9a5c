/* SPDX-License-Identifier: MIT */
/*
 * handlers_libuv - handlers on libuv: a uv_poll_t each. The loop is kept turning by a uv_idle_t.
 *
 * uv_poll_init, which tries the descriptor in a set, is done once: stopping and starting the same
 * uv_poll_t is all that a removal and an add need. Starting again is also how its events are
 * changed, and stops it first.
 */
#include <stdlib.h>

#include <uv.h>

#include "handlers.h"
#include "measure.h"

static uv_loop_t loop;
static uv_idle_t idle;
static uv_poll_t *polls;

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, uv_strerror(status));
}

static void turn(uv_idle_t *handle)
{
    (void)handle;
    if (!handlers_turn())
        uv_stop(&loop);
}

static void ready(uv_poll_t *poll, int status, int events)
{
    check(status, "poll");
    handlers_event((unsigned)(poll - polls), (events & UV_READABLE) != 0,
                   (events & UV_WRITABLE) != 0);
}

void handlers_peer_create(const int *fds, unsigned count)
{
    check(uv_loop_init(&loop), "uv_loop_init");
    check(uv_idle_init(&loop, &idle), "uv_idle_init");
    polls = calloc(count, sizeof(*polls));
    if (polls == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i < count; i++)
        check(uv_poll_init(&loop, &polls[i], fds[i]), "uv_poll_init");
}

void handlers_peer_add(unsigned handler)
{
    check(uv_poll_start(&polls[handler], UV_READABLE, ready), "uv_poll_start");
}

void handlers_peer_update(unsigned handler)
{
    check(uv_poll_start(&polls[handler], UV_READABLE | UV_WRITABLE, ready), "uv_poll_start");
}

void handlers_peer_remove(unsigned handler)
{
    check(uv_poll_stop(&polls[handler]), "uv_poll_stop");
}

void handlers_peer_run(void)
{
    check(uv_idle_start(&idle, turn), "uv_idle_start");
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* whether handles are active: one is */
}
