/* SPDX-License-Identifier: MIT */
/*
 * timers_libev - the timer cases on libev: an ev_timer in each object, armed again as its manual
 * advises: with ev_timer_again, which moves it within the heap. Such a timer repeats until it is
 * stopped; one that is only started does not. With TIMERS_RESTART it is stopped and started, which
 * needs no `repeat` and is much written, too.
 */
#include <stdlib.h>

#include <ev.h>

#include "measure.h"
#include "timers.h"

struct object {
    _Alignas(TIMERS_LINE) ev_timer timer;
};

const uint64_t timers_peer_resolution_ns = 1000; /* its times are doubles */

static struct ev_loop *loop;
static struct object *objects;
static ev_timer first;

static void fire(struct ev_loop *at, ev_timer *timer, int events)
{
    (void)events;
    ev_timer_stop(at, timer); /* nothing to do, unless it repeats */
    timers_fired((unsigned)((struct object *)timer - objects));
}

static void work(struct ev_loop *at, ev_timer *timer, int events)
{
    (void)at;
    (void)timer;
    (void)events;
    timers_work();
}

void timers_peer_create(unsigned count)
{
    loop = ev_loop_new(EVBACKEND_EPOLL);
    objects = aligned_alloc(TIMERS_LINE, count * sizeof(*objects));
    if (loop == NULL || objects == NULL)
        measure_fail("ev_loop_new");
    for (unsigned i = 0; i < count; i++)
        ev_timer_init(&objects[i].timer, fire, 0, 0);
}

void timers_peer_run(void)
{
    ev_timer_init(&first, work, 0, 0);
    ev_timer_start(loop, &first);
    (void)ev_run(loop, 0); /* whether watchers are left */
}

void timers_peer_stop(void)
{
    ev_break(loop, EVBREAK_ALL);
}

void timers_peer_now(void)
{
    ev_now_update(loop);
}

void timers_peer_add(unsigned timer, uint64_t delay_ns)
{
    ev_timer_set(&objects[timer].timer, (double)delay_ns * 1e-9, 0);
    ev_timer_start(loop, &objects[timer].timer);
}

#ifdef TIMERS_RESTART
void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    ev_timer_stop(loop, &objects[timer].timer);
    timers_peer_add(timer, delay_ns);
}
#else
void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    objects[timer].timer.repeat = (double)delay_ns * 1e-9;
    ev_timer_again(loop, &objects[timer].timer);
}
#endif

void timers_peer_cancel(unsigned timer)
{
    ev_timer_stop(loop, &objects[timer].timer);
}

void timers_peer_settle(void)
{
}

void timers_peer_wake(void)
{
    /* the clock is read before each wait */
}
