/* SPDX-License-Identifier: MIT */
/*
 * timers_libevent - the timer cases on libevent: an event in each object, armed again with
 * event_add. Common timeouts, its lists for equal delays, are no use for random ones. The base
 * takes no locks: it has one thread.
 */
#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "measure.h"
#include "timers.h"

enum {
    NS_PER_US = 1000,
    US_PER_S = 1000000
};

struct object {
    _Alignas(TIMERS_LINE) struct event timer;
};

const uint64_t timers_peer_resolution_ns = 20 * 1000 * 1000; /* its clock is the coarse one */

static struct event_base *base;
static struct event *first;
static struct event *wake;
static struct object *objects;

static void fire(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    timers_fired((unsigned)((struct object *)arg - objects));
}

static void look(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
}

static void work(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
    timers_work();
}

void timers_peer_create(unsigned count)
{
    base = event_base_new();
    first = base != NULL ? evtimer_new(base, work, NULL) : NULL;
    wake = first != NULL ? evtimer_new(base, look, NULL) : NULL;
    objects = aligned_alloc(TIMERS_LINE, count * sizeof(*objects));
    if (wake == NULL || objects == NULL)
        measure_fail("event_base_new");
    for (unsigned i = 0; i < count; i++) {
        if (evtimer_assign(&objects[i].timer, base, fire, &objects[i]) != 0)
            measure_fail("evtimer_assign");
    }
}

void timers_peer_run(void)
{
    const struct timeval now = {0, 0};
    if (evtimer_add(first, &now) != 0 || event_base_dispatch(base) != 0)
        measure_fail("event_base_dispatch");
}

void timers_peer_stop(void)
{
    if (event_base_loopbreak(base) != 0)
        measure_fail("event_base_loopbreak");
}

void timers_peer_now(void)
{
    if (event_base_update_cache_time(base) != 0)
        measure_fail("event_base_update_cache_time");
}

void timers_peer_add(unsigned timer, uint64_t delay_ns)
{
    uint64_t delay = delay_ns / NS_PER_US;
    const struct timeval later = {(time_t)(delay / US_PER_S), (suseconds_t)(delay % US_PER_S)};
    if (evtimer_add(&objects[timer].timer, &later) != 0)
        measure_fail("evtimer_add");
}

void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    timers_peer_add(timer, delay_ns);
}

void timers_peer_cancel(unsigned timer)
{
    if (evtimer_del(&objects[timer].timer) != 0)
        measure_fail("evtimer_del");
}

void timers_peer_settle(void)
{
}

void timers_peer_wake(void)
{
    const struct timeval soon = {0, 1000};
    if (evtimer_add(wake, &soon) != 0)
        measure_fail("evtimer_add");
}
