/* SPDX-License-Identifier: MIT */
/*
 * wait - rules T42 to T44: how long a turn waits, and on whose clock.
 */
#include "support.h"

#include <time.h>

static uint64_t handle; /* of calls that no test cancels */

static uint64_t real_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- T42 ------------------------------------------------------------------------------------- */

GYRE_TEST(wait, T42_wait_lasts_until_the_first_deadline_or_the_cap)
{
    enum {
        NONE = 0 /* no timer */
    };
    static const struct {
        uint64_t cap_ns;
        uint64_t first_ns; /* from now */
        uint64_t second_ns;
        uint64_t expected_ns;
    } table[] = {
        {0, NONE, NONE, 3600 * SECOND_NS},
        {0, 1, NONE, 1},
        {0, 7 * SECOND_NS, 5 * SECOND_NS, 5 * SECOND_NS},
        {0, 5 * SECOND_NS, 7 * SECOND_NS, 5 * SECOND_NS},
        {0, 3600 * SECOND_NS - 1, NONE, 3600 * SECOND_NS - 1},
        {0, 3600 * SECOND_NS + 1, NONE, 3600 * SECOND_NS},
        {0, 1000 * 3600 * SECOND_NS, NONE, 3600 * SECOND_NS},
        {MS_NS, NONE, NONE, MS_NS},
        {MS_NS, SECOND_NS, NONE, MS_NS},
        {MS_NS, US_NS, SECOND_NS, US_NS},
        {1, SECOND_NS, NONE, 1},
        {GYRE_NEVER, NONE, NONE, GYRE_NEVER},
        {GYRE_NEVER, 4000 * SECOND_NS, NONE, 4000 * SECOND_NS},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct gyre_loop_options options;
        struct scene scene;
        unsigned calls = 0;
        scene_options(&scene, &options);
        if (table[i].cap_ns != 0)
            options.wait_max_ns = table[i].cap_ns;
        scene_open_with(&scene, &options);
        const uint64_t delays[] = {table[i].first_ns, table[i].second_ns};
        for (int j = 0; j < 2; j++) {
            if (delays[j] != NONE)
                cr_assert_eq(
                    gyre_loop_call_later(scene.loop, delays[j], &handle, count_call, &calls), 0);
        }
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_eq(scene.wait_ns[0], table[i].expected_ns, "row %zu", i);
        cr_assert_eq(calls, 0, "row %zu", i);
        scene_close(&scene);
    }
}

GYRE_TEST(wait, T42_entries_armed_again_for_later_are_moved_first)
{
    struct scene scene;
    struct gyre_timer timers[3];
    scene_open(&scene);
    uint64_t now = scene.now_ns;
    for (int i = 0; i < 3; i++) {
        gyre_timer_init(&timers[i], scene.loop, say_word, word_of(&scene, "fired"));
        cr_assert_eq(gyre_timer_start(&timers[i], now + 10 + (uint64_t)i), 0);
    }
    cr_assert_eq(gyre_timer_start(&timers[0], now + 500), 0);
    cr_assert_eq(gyre_timer_start(&timers[1], now + 300), 0);
    cr_assert_eq(gyre_timer_start(&timers[2], now + 400), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene.wait_ns[0], 300, "not 10, which nobody waits for any more");
    cr_assert_eq(scene.wait_ns[1], 100);
    cr_assert_eq(scene.wait_ns[2], 100);
    cr_assert_eq(scene.waits, 4);
    scene_close(&scene);
}

static int take_time(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    (void)loop;
    (void)status;
    scene->now_ns += 40;
    return 0;
}

GYRE_TEST(wait, T42_clock_is_read_again_for_the_wait)
{
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 100, &handle, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, take_time, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene.wait_ns[0], 60, "the callback took 40");
    cr_assert_eq(calls, 1);
    scene_close(&scene);
}

GYRE_TEST(wait, T42_no_wait_when_the_deadline_passed_during_the_turn)
{
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 30, &handle, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, take_time, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 1);
    cr_assert_eq(scene.waits, 1);
    cr_assert_eq(scene.wait_ns[0], 3600 * SECOND_NS);
    cr_assert_eq(stats_of(scene.loop).polls, 2);
    scene_close(&scene);
}

static int queue_one(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    return gyre_loop_add_callback(loop, count_call, arg);
}

GYRE_TEST(wait, T42_no_wait_when_callbacks_are_queued)
{
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, queue_one, &calls), 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 10, &handle, queue_one, &calls), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 2);
    cr_assert_eq(scene.waits, 2, "for the timer, and at the end");
    cr_assert_eq(stats_of(scene.loop).polls, 4, "two more without waiting");
    scene_close(&scene);
}

/* ---- T43, T44 -------------------------------------------------------------------------------- */

struct punctual {
    uint64_t deadline_ns;
    unsigned early;
    unsigned calls;
};

static int check_time(struct gyre_loop *loop, int status, void *arg)
{
    struct punctual *punctual = arg;
    (void)status;
    punctual->calls++;
    if (real_ns() < punctual->deadline_ns)
        punctual->early++;
    return gyre_loop_stop(loop);
}

GYRE_TEST(wait, T43_timers_are_never_early_and_the_loop_does_not_spin_before_them)
{
    static const uint64_t delays[] = {
        0,         1,         999,           US_NS,         US_NS + 1,
        MS_NS - 1, MS_NS,     MS_NS + 1,     2 * MS_NS + 7, 50 * US_NS,
        3 * MS_NS, 3 * US_NS, 3 * MS_NS + 1, 100 * US_NS};
    struct gyre_loop *loop = open_loop();
    for (size_t i = 0; i < sizeof(delays) / sizeof(delays[0]); i++) {
        struct punctual punctual = {.deadline_ns = gyre_loop_now_ns(loop) + delays[i]};
        uint64_t before = stats_of(loop).polls;
        cr_assert_eq(gyre_loop_call_at(loop, punctual.deadline_ns, &handle, check_time, &punctual),
                     0);
        run_to_stop(loop);
        cr_assert_eq(punctual.calls, 1);
        cr_assert_eq(punctual.early, 0, "row %zu", i);
        cr_assert_leq(stats_of(loop).polls - before, 2, "row %zu: one wait is enough", i);
    }
    gyre_loop_destroy(loop);
}

GYRE_TEST(wait, T43_each_deadline_costs_one_wait)
{
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    for (uint64_t i = 1; i <= 20; i++)
        cr_assert_eq(gyre_loop_call_later(scene.loop, i * i, &handle, count_call, &calls), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 20);
    cr_assert_eq(scene.waits, 21, "one for each deadline, and the last");
    scene_close(&scene);
}

GYRE_TEST(wait, T44_clock_is_monotonic_by_default)
{
    struct gyre_loop *loop = open_loop();
    for (int i = 0; i < 100; i++) {
        uint64_t before = real_ns();
        uint64_t now = gyre_loop_now_ns(loop);
        cr_assert_leq(before, now);
        cr_assert_leq(now, real_ns());
    }
    gyre_loop_destroy(loop);
}

GYRE_TEST(wait, T44_nothing_but_the_loops_clock_is_consulted)
{
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    /* Long before, and long after, what any real clock says. */
    scene.now_ns = 5;
    cr_assert_eq(gyre_loop_call_later(scene.loop, 10, &handle, count_call, &calls), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 1);
    cr_assert_eq(scene.now_ns, 15);
    scene.now_ns = GYRE_NEVER - 1000;
    cr_assert_eq(gyre_loop_call_later(scene.loop, 10, &handle, count_call, &calls), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 2);
    cr_assert_eq(scene.now_ns, GYRE_NEVER - 990);
    scene_close(&scene);
}
