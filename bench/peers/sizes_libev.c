/* SPDX-License-Identifier: MIT */
/*
 * sizes_libev - the sizes case on libev. A task is an ev_async; there are no streams.
 */
#include <ev.h>

#include "measure.h"
#include "sizes.h"

static struct ev_loop *make_loop(void)
{
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
    if (loop == NULL)
        measure_fail("ev_loop_new");
    (void)ev_run(loop, EVRUN_NOWAIT); /* whether there are watchers: there are none */
    return loop;
}

static void called(struct ev_loop *loop, ev_async *async, int events)
{
    (void)loop;
    (void)async;
    (void)events;
}

static void fired(struct ev_loop *loop, ev_timer *timer, int events)
{
    (void)loop;
    (void)timer;
    (void)events;
}

static void count_tasks(struct ev_loop *loop)
{
    static ev_async asyncs[SIZES_OBJECTS];
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        ev_async_init(&asyncs[i], called);
        ev_async_start(loop, &asyncs[i]);
    }
    sizes_end(sizeof(asyncs[0]), SIZES_OBJECTS);
}

static void count_timers(struct ev_loop *loop)
{
    static ev_timer timers[SIZES_OBJECTS];
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        ev_timer_init(&timers[i], fired, SIZES_HOUR_S + i * 1e-6, 0.);
        ev_timer_start(loop, &timers[i]);
    }
    sizes_end(sizeof(timers[0]), SIZES_OBJECTS);
}

int main(int argc, char **argv)
{
    struct ev_loop *loop = make_loop();
    if (sizes_asked(argc, argv, "loop")) {
        sizes_begin();
        (void)make_loop(); /* the system frees it with the process */
        sizes_end(0, 1);
    } else if (sizes_asked(argc, argv, "task")) {
        count_tasks(loop);
    } else if (sizes_asked(argc, argv, "timer")) {
        count_timers(loop);
    } else if (sizes_asked(argc, argv, "stream")) {
        sizes_lacks("streams");
    } else if (sizes_asked(argc, argv, "library")) {
        sizes_library((const void *)(uintptr_t)ev_run);
    } else {
        measure_fail("which thing?");
    }
    return 0;
}
