/* SPDX-License-Identifier: MIT */
/*
 * timers_libuv - the timer cases on libuv: a uv_timer_t in each object, armed again with
 * uv_timer_start. Its times are milliseconds, so that the delays are rounded up.
 */
#include <stdlib.h>

#include <uv.h>

#include "measure.h"
#include "timers.h"

enum {
    NS_PER_MS = 1000000
};

struct object {
    _Alignas(TIMERS_LINE) uv_timer_t timer;
};

const uint64_t timers_peer_resolution_ns = 2 * NS_PER_MS;

static uv_loop_t loop;
static uv_timer_t first;
static struct object *objects;

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, uv_strerror(status));
}

static void fire(uv_timer_t *timer)
{
    timers_fired((unsigned)((struct object *)timer - objects));
}

static void work(uv_timer_t *timer)
{
    (void)timer;
    timers_work();
}

void timers_peer_create(unsigned count)
{
    check(uv_loop_init(&loop), "uv_loop_init");
    check(uv_timer_init(&loop, &first), "uv_timer_init");
    objects = aligned_alloc(TIMERS_LINE, count * sizeof(*objects));
    if (objects == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i < count; i++)
        check(uv_timer_init(&loop, &objects[i].timer), "uv_timer_init");
}

void timers_peer_run(void)
{
    check(uv_timer_start(&first, work, 0, 0), "uv_timer_start");
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* whether handles are active */
}

void timers_peer_stop(void)
{
    uv_stop(&loop);
}

void timers_peer_now(void)
{
    uv_update_time(&loop);
}

void timers_peer_add(unsigned timer, uint64_t delay_ns)
{
    uint64_t delay = (delay_ns + NS_PER_MS - 1) / NS_PER_MS;
    check(uv_timer_start(&objects[timer].timer, fire, delay, 0), "uv_timer_start");
}

void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    timers_peer_add(timer, delay_ns);
}

void timers_peer_cancel(unsigned timer)
{
    check(uv_timer_stop(&objects[timer].timer), "uv_timer_stop");
}

void timers_peer_settle(void)
{
}

static void look(uv_timer_t *timer)
{
    (void)timer;
}

void timers_peer_wake(void)
{
    check(uv_timer_start(&first, look, 1, 0), "uv_timer_start");
}
