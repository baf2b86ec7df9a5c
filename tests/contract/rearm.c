/* SPDX-License-Identifier: MIT */
/*
 * rearm - the rule that was added to T81: arming an armed timer for later is O(1) and touches
 * nothing else; it takes a new place in the order of arming; and a gathered timer fires only if it
 * was not armed anew.
 */
#include "support.h"

#include <string.h>

enum {
    MANY = 1000
};

static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7"};

/* Eight timers for one deadline. */
struct eight {
    struct scene scene;
    struct word words[8];
    struct gyre_timer timers[8];
    uint64_t deadline_ns;
};

static void eight_open(struct eight *eight)
{
    scene_open(&eight->scene);
    eight->deadline_ns = eight->scene.now_ns + 10;
    for (int i = 0; i < 8; i++) {
        eight->words[i] = (struct word){&eight->scene, names[i], 0};
        gyre_timer_init(&eight->timers[i], eight->scene.loop, say_word, &eight->words[i]);
        cr_assert_eq(gyre_timer_start(&eight->timers[i], eight->deadline_ns), 0);
    }
}

GYRE_TEST(rearm, T81_arming_again_takes_a_new_place_in_the_order)
{
    static const struct {
        int timer;
        int after_ns; /* the common deadline */
        const char *expected;
    } table[] = {
        {0, 0, "1 2 3 4 5 6 7 0"},  {3, 0, "0 1 2 4 5 6 7 3"},  {7, 0, "0 1 2 3 4 5 6 7"},
        {3, 5, "0 1 2 4 5 6 7 3"},  {0, -1, "0 1 2 3 4 5 6 7"}, {7, -1, "7 0 1 2 3 4 5 6"},
        {4, -5, "4 0 1 2 3 5 6 7"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct eight eight;
        eight_open(&eight);
        struct gyre_timer *timer = &eight.timers[table[i].timer];
        cr_assert_eq(gyre_timer_start(timer, eight.deadline_ns + (uint64_t)table[i].after_ns), 0);
        cr_assert(gyre_timer_is_armed(timer));
        cr_assert_eq(scene_run(&eight.scene), 0);
        cr_assert_str_eq(eight.scene.text, table[i].expected, "row %zu", i);
        cr_assert_eq(stats_of(eight.scene.loop).timers, 8);
        scene_close(&eight.scene);
    }
}

GYRE_TEST(rearm, T81_last_of_many_armings_counts)
{
    struct eight eight;
    eight_open(&eight);
    struct gyre_timer *timer = &eight.timers[2];
    for (uint64_t i = 1; i <= MANY; i++)
        cr_assert_eq(gyre_timer_start(timer, eight.deadline_ns + i), 0);
    cr_assert_eq(gyre_timer_start(timer, eight.deadline_ns + 500), 0, "later than at first");
    cr_assert_eq(scene_run(&eight.scene), 0);
    cr_assert_str_eq(eight.scene.text, "0 1 3 4 5 6 7 2");
    cr_assert_eq(eight.scene.now_ns, eight.deadline_ns + 500);
    cr_assert_eq(eight.scene.waits, 3, "no wait for the deadlines between");
    scene_close(&eight.scene);
}

GYRE_TEST(rearm, T81_arming_again_for_later_touches_no_other_timer)
{
    static struct gyre_timer timers[MANY];
    static struct gyre_timer before[MANY];
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    for (uint64_t i = 0; i < MANY; i++) {
        gyre_timer_init(&timers[i], scene.loop, count_call, &calls);
        cr_assert_eq(gyre_timer_start(&timers[i], scene.now_ns + 1 + i * 7919 % MANY), 0);
    }
    memcpy(before, timers, sizeof(timers));
    for (int i = 0; i < MANY; i += 37) {
        cr_assert_eq(gyre_timer_start(&timers[i], scene.now_ns + 10 * MANY), 0);
        before[i] = timers[i];
        cr_assert_eq(memcmp(before, timers, sizeof(timers)), 0, "timer %d", i);
    }
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, MANY);
    scene_close(&scene);
}

/* Arms a gathered timer anew from a callback of the same turn. */
struct anew {
    struct gyre_timer *timer;
    uint64_t deadline_ns;
};

static int start_anew(struct gyre_loop *loop, int status, void *arg)
{
    const struct anew *anew = arg;
    (void)loop;
    (void)status;
    return gyre_timer_start(anew->timer, anew->deadline_ns);
}

GYRE_TEST(rearm, T81_gathered_timer_that_is_armed_anew_does_not_fire_in_this_turn)
{
    static const struct {
        int after_ns; /* its deadline, at which the turn is */
        const char *expected;
        unsigned waits;
    } table[] = {
        {0, "0 1 2 4 5 6 7 3", 1}, /* the next turn, at once */
        {-9, "0 1 2 4 5 6 7 3", 1}, /* in the past: likewise */
        {50, "0 1 2 4 5 6 7 3", 2},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct eight eight;
        eight_open(&eight);
        uint64_t deadline_ns = eight.deadline_ns + (uint64_t)table[i].after_ns;
        struct anew anew = {&eight.timers[3], deadline_ns};
        eight.scene.now_ns = eight.deadline_ns;
        cr_assert_eq(gyre_loop_add_callback(eight.scene.loop, start_anew, &anew), 0);
        cr_assert_eq(scene_run(&eight.scene), 0);
        cr_assert_str_eq(eight.scene.text, table[i].expected, "row %zu", i);
        cr_assert_eq(eight.scene.waits, table[i].waits, "row %zu", i);
        cr_assert_eq(stats_of(eight.scene.loop).timers, 8);
        scene_close(&eight.scene);
    }
}

static int stop_and_start_anew(struct gyre_loop *loop, int status, void *arg)
{
    const struct anew *anew = arg;
    int r = gyre_timer_stop(anew->timer);
    return r != 0 ? r : start_anew(loop, status, arg);
}

GYRE_TEST(rearm, T81_gathered_timer_may_be_stopped_and_started_in_its_turn)
{
    struct eight eight;
    eight_open(&eight);
    struct anew anew = {&eight.timers[0], eight.deadline_ns + 20};
    eight.scene.now_ns = eight.deadline_ns;
    cr_assert_eq(gyre_loop_add_callback(eight.scene.loop, stop_and_start_anew, &anew), 0);
    cr_assert_eq(scene_run(&eight.scene), 0);
    cr_assert_str_eq(eight.scene.text, "1 2 3 4 5 6 7 0");
    cr_assert_eq(eight.scene.now_ns, eight.deadline_ns + 20);
    scene_close(&eight.scene);
}

/* An idle timeout: each event arms it anew, and it fires once, after the last. */
struct idle {
    struct scene *scene;
    struct gyre_timer timeout;
    unsigned left;
};

static int touch(struct gyre_loop *loop, int status, void *arg)
{
    struct idle *idle = arg;
    uint64_t handle;
    (void)status;
    int r = gyre_timer_start(&idle->timeout, idle->scene->now_ns + 100);
    if (r == 0 && --idle->left > 0)
        r = gyre_loop_call_later(loop, 60, &handle, touch, idle);
    return r;
}

GYRE_TEST(rearm, T81_idle_timeout_fires_once_after_the_last_event)
{
    struct scene scene;
    struct idle idle = {.scene = &scene, .left = MANY};
    scene_open(&scene);
    uint64_t began = scene.now_ns;
    gyre_timer_init(&idle.timeout, scene.loop, say_word, word_of(&scene, "idle"));
    cr_assert_eq(gyre_loop_add_callback(scene.loop, touch, &idle), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "idle");
    cr_assert_eq(scene.now_ns, began + (MANY - 1) * 60 + 100);
    cr_assert_eq(scene.waits, MANY + 1, "one for each event, for the timeout, and the last");
    scene_close(&scene);
}
