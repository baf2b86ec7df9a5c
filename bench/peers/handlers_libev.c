/* SPDX-License-Identifier: MIT */
/*
 * handlers_libev - handlers on libev: an ev_io each. The loop is kept turning by an ev_idle of the
 * highest priority, as it else would not be called in a turn that has anything else.
 *
 * libev tells the kernel of changes at the next poll, and of removals never: an event that comes
 * all the same is dropped then. It pays when such a descriptor is added again, which the kernel
 * refuses, so that a second call is needed.
 */
#include <stdlib.h>

#include <ev.h>

#include "handlers.h"
#include "measure.h"

static struct ev_loop *loop;
static ev_idle idle;
static ev_io *ios;

static void turn(struct ev_loop *at, ev_idle *watcher, int events)
{
    (void)watcher;
    (void)events;
    if (!handlers_turn())
        ev_break(at, EVBREAK_ALL);
}

static void ready(struct ev_loop *at, ev_io *io, int events)
{
    (void)at;
    handlers_event((unsigned)(io - ios), (events & EV_READ) != 0, (events & EV_WRITE) != 0);
}

void handlers_peer_create(const int *fds, unsigned count)
{
    loop = ev_loop_new(EVBACKEND_EPOLL);
    ios = calloc(count, sizeof(*ios));
    if (loop == NULL || ios == NULL)
        measure_fail("ev_loop_new");
    for (unsigned i = 0; i < count; i++)
        ev_io_init(&ios[i], ready, fds[i], EV_READ);
    ev_idle_init(&idle, turn);
    ev_set_priority(&idle, EV_MAXPRI);
}

void handlers_peer_add(unsigned handler)
{
    ev_io_modify(&ios[handler], EV_READ);
    ev_io_start(loop, &ios[handler]);
}

void handlers_peer_update(unsigned handler)
{
    ev_io_stop(loop, &ios[handler]);
    ev_io_modify(&ios[handler], EV_READ | EV_WRITE);
    ev_io_start(loop, &ios[handler]);
}

void handlers_peer_remove(unsigned handler)
{
    ev_io_stop(loop, &ios[handler]);
}

void handlers_peer_run(void)
{
    ev_idle_start(loop, &idle);
    (void)ev_run(loop, 0); /* whether watchers are left: they are */
}
