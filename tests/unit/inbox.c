/* SPDX-License-Identifier: MIT */
/*
 * inbox - how posts of another thread come into a loop's queue: in the poster's order, also when
 * there is no memory and tasks take the detour.
 *
 * The test's thread posts while it is not inside the loop, which is what other threads do, and then
 * runs it.
 */
#include "loop/inbox.h"

#include <errno.h>

#include <gyre/gyre.h>

#include "harness/gyre_test.h"
#include "loop/loop.h"
#include "memory.h"

enum {
    TASKS = 6
};

static struct memory memory;
static struct gyre_loop *loop;
static struct gyre_task tasks[TASKS];
static uintptr_t order[1000];
static unsigned ran;
static unsigned cancelled;

static void begin_with(const struct gyre_loop_options *options)
{
    memory_count(&memory);
    cr_assert_eq(gyre_loop_create(options, &loop), 0);
    ran = 0;
    cancelled = 0;
}

static void begin(uint64_t budget_ns)
{
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.callback_budget_ns = budget_ns;
    begin_with(&options);
}

static void set_fails(bool fails)
{
    atomic_store_explicit(&memory.fails, fails, memory_order_relaxed);
}

static int run(struct gyre_loop *its, int status, void *arg)
{
    (void)its;
    if (status == 0)
        order[ran++] = (uintptr_t)arg;
    else
        cancelled++;
    return 0;
}

static int stop(struct gyre_loop *its, int status, void *arg)
{
    (void)arg;
    return status == 0 ? gyre_loop_stop(its) : 0;
}

/* Adds callbacks until there is no memory for more: they are numbered from `first`. */
static uintptr_t fill(uintptr_t first)
{
    set_fails(true);
    int r;
    while ((r = gyre_loop_add_callback(loop, run, (void *)first)) == 0)
        first++;
    cr_assert_eq(r, -ENOMEM);
    return first;
}

static void post_task(unsigned i, uintptr_t number)
{
    gyre_task_init(&tasks[i], run, (void *)number);
    cr_assert_eq(gyre_loop_post(loop, &tasks[i]), 0);
}

static void expect_in_order(uintptr_t count)
{
    cr_assert_eq(ran, count);
    for (uintptr_t i = 0; i < count; i++)
        cr_assert_eq(order[i], i);
}

/* Runs what was posted: a stop counts as posted last. */
static void run_all(void)
{
    struct gyre_task last;
    gyre_task_init(&last, stop, NULL);
    cr_assert_eq(gyre_loop_post(loop, &last), 0);
    cr_assert_eq(gyre_loop_run(loop), 0);
}

static void end(void)
{
    set_fails(false);
    gyre_loop_destroy(loop);
}

GYRE_TEST(inbox, tasks_on_the_detour_come_behind_their_lane)
{
    begin(0);
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), 0);
    uintptr_t next = fill(1);
    for (unsigned i = 0; i < 3; i++)
        post_task(i, next++);
    set_fails(false);
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), -ENOMEM, "it must not overtake them");
    struct gyre_task *batch[3];
    for (unsigned i = 3; i < TASKS; i++) {
        gyre_task_init(&tasks[i], run, (void *)next++);
        batch[i - 3] = &tasks[i];
    }
    cr_assert_eq(gyre_loop_post_batch(loop, batch, 3), 0);
    run_all();
    expect_in_order(next);

    cr_assert_eq(gyre_loop_add_callback(loop, run, (void *)next++), 0, "the detour is over");
    post_task(0, next++);
    run_all();
    expect_in_order(next);
    end();
}

GYRE_TEST(inbox, a_lane_that_is_looked_at_is_let_go_for_a_detour)
{
    begin(0);
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), 0);
    run_all(); /* the run ends without a sleep: the lane stays attached */
    cr_assert_not_null(loop->inbox.attached);
    uintptr_t next = fill(1);
    post_task(0, next++);
    post_task(1, next++);
    run_all();
    expect_in_order(next);
    set_fails(false);
    cr_assert_eq(gyre_loop_add_callback(loop, run, (void *)next++), 0);
    run_all();
    expect_in_order(next);
    end();
}

GYRE_TEST(inbox, a_task_without_any_lane_goes_through_the_door)
{
    begin(0);
    set_fails(true);
    post_task(0, 0);
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), -ENOMEM);
    set_fails(false);
    cr_assert_eq(gyre_loop_add_callback(loop, run, (void *)1), 0);
    post_task(1, 2);
    run_all();
    expect_in_order(3);
    end();
}

GYRE_TEST(inbox, a_batch_that_a_new_lane_has_no_memory_for_goes_through_the_door)
{
    enum {
        COUNT = GYRE__LANE_CHUNK_MIN + 1
    };
    static struct gyre_task many[COUNT];
    struct gyre_task *batch[COUNT];
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.timing = GYRE_TIMING_TURNS; /* its tasks have lanes */
    begin_with(&options);
    for (unsigned i = 0; i < COUNT; i++) {
        batch[i] = &many[i];
        gyre_task_init(&many[i], run, (void *)(uintptr_t)i);
    }
    /* Enough for the lane and its first chunk. */
    atomic_store_explicit(&memory.block_max, 2048, memory_order_relaxed);
    cr_assert_eq(gyre_loop_post_batch(loop, batch, COUNT), 0);
    cr_assert_eq(gyre_loop_add_callback(loop, run, (void *)COUNT), 0, "the lane is empty");
    run_all();
    expect_in_order(COUNT + 1);
    end();
}

GYRE_TEST(inbox, a_close_cancels_lane_and_detour_once_each)
{
    begin(0);
    uintptr_t next;
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), 0);
    next = fill(1);
    for (unsigned i = 0; i < TASKS; i++)
        post_task(i, next++);
    cr_assert_eq(gyre_loop_close(loop, 0), 0);
    cr_assert_eq(ran, 0);
    cr_assert_eq(cancelled, next);
    gyre_task_init(&tasks[0], run, NULL);
    cr_assert_eq(gyre_loop_post(loop, &tasks[0]), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), -ESHUTDOWN);
    set_fails(false);
    cr_assert_eq(gyre_loop_post(loop, &tasks[0]), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_add_callback(loop, run, NULL), -ESHUTDOWN);
    cr_assert_eq(cancelled, next);
    end();
}

static int spend(struct gyre_loop *its, int status, void *arg)
{
    uint64_t began = gyre_loop_now_ns(its);
    while (gyre_loop_now_ns(its) == began) /* the clock has a step */
        ;
    return run(its, status, arg);
}

GYRE_TEST(inbox, a_lane_that_the_budget_cut_keeps_its_place)
{
    begin(1); /* ns: each look at it cuts */
    for (uintptr_t i = 0; i < 100; i++)
        cr_assert_eq(gyre_loop_add_callback(loop, spend, (void *)i), 0);
    run_all();
    expect_in_order(100);
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    cr_assert_geq(stats.turns, 4);
    cr_assert_eq(stats.posts, 101);
    end();
}

GYRE_TEST(inbox, a_thread_that_leaves_has_a_new_lane_only_if_others_are_behind_the_old)
{
    struct gyre_task behind;
    begin(0);
    for (uintptr_t i = 0; i < 100; i++) {
        cr_assert_eq(gyre_loop_add_callback(loop, run, (void *)i), 0);
        cr_assert_eq(gyre_loop_stop(loop), 0);
        cr_assert_eq(gyre_loop_run(loop), 0);
        cr_assert_eq(ran, 0);
    }
    const struct gyre__lane *lane = gyre__lanes_find(loop);
    cr_assert_eq(loop->inbox.count, 1);
    gyre_task_init(&behind, run, (void *)100);
    cr_assert(gyre__loop_enter(loop));
    cr_assert_eq(gyre_loop_post(loop, &behind), 0);
    gyre__inbox_leave(loop);
    gyre__loop_leave(loop);
    cr_assert_null(gyre__lanes_find(loop));
    cr_assert_eq(gyre_loop_add_callback(loop, run, (void *)101), 0);
    cr_assert_neq(gyre__lanes_find(loop), lane);
    run_all();
    expect_in_order(102);
    end();
}

/* A callback that keeps the loop from sleeping. */
static int turn(struct gyre_loop *its, int status, void *arg)
{
    unsigned *left = arg;
    cr_assert_eq(status, 0);
    if (*left == GYRE__INBOX_LOOKS * 2)
        cr_assert_not_null(its->inbox.attached, "its first call came by the lane");
    if (--*left == 0)
        return gyre_loop_stop(its);
    return gyre_loop_add_callback(its, turn, left);
}

GYRE_TEST(inbox, a_quiet_lane_is_let_go_by_a_loop_that_never_sleeps)
{
    unsigned left = GYRE__INBOX_LOOKS * 2;
    struct gyre_loop_stats stats;
    begin(0);
    cr_assert_eq(gyre_loop_add_callback(loop, turn, &left), 0);
    cr_assert_eq(gyre_loop_run(loop), 0);
    cr_assert_eq(left, 0);
    cr_assert_null(loop->inbox.attached);
    gyre_loop_stats(loop, &stats);
    cr_assert_eq(stats.sleeps, 0);
    end();
}
