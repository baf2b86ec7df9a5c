/* SPDX-License-Identifier: MIT */
/*
 * timers_gyre - the timer cases on gyre: a gyre_timer in each object.
 */
#include <stdlib.h>

#include <gyre/gyre.h>

#include "measure.h"
#include "timers.h"

struct object {
    _Alignas(TIMERS_LINE) struct gyre_timer timer;
};

const uint64_t timers_peer_resolution_ns = 0;

static struct gyre_loop *loop;
static struct object *objects;
static uint64_t base_ns;

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, gyre_error_text(status));
}

static int fire(struct gyre_loop *at, int status, void *arg)
{
    (void)at;
    (void)status;
    timers_fired((unsigned)((struct object *)arg - objects));
    return 0;
}

static int work(struct gyre_loop *at, int status, void *arg)
{
    (void)at;
    (void)status;
    (void)arg;
    timers_work();
    return 0;
}

void timers_peer_create(unsigned count)
{
    check(gyre_loop_create(NULL, &loop), "gyre_loop_create");
    objects = aligned_alloc(TIMERS_LINE, count * sizeof(*objects));
    if (objects == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i < count; i++)
        gyre_timer_init(&objects[i].timer, loop, fire, &objects[i]);
}

void timers_peer_run(void)
{
    check(gyre_loop_add_callback(loop, work, NULL), "gyre_loop_add_callback");
    check(gyre_loop_run(loop), "gyre_loop_run");
}

void timers_peer_stop(void)
{
    check(gyre_loop_stop(loop), "gyre_loop_stop");
}

void timers_peer_now(void)
{
    base_ns = gyre_loop_now_ns(loop);
}

void timers_peer_add(unsigned timer, uint64_t delay_ns)
{
    check(gyre_timer_start(&objects[timer].timer, base_ns + delay_ns), "gyre_timer_start");
}

void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    check(gyre_timer_start(&objects[timer].timer, base_ns + delay_ns), "gyre_timer_start");
}

void timers_peer_cancel(unsigned timer)
{
    check(gyre_timer_stop(&objects[timer].timer), "gyre_timer_stop");
}

void timers_peer_settle(void)
{
}

void timers_peer_wake(void)
{
    /* the clock is read before each wait */
}
