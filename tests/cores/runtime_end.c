/* SPDX-License-Identifier: MIT */
/*
 * runtime_end - a set of loops: its stop, join and destroy in each state, when all goes well.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

#include <gyre/task.h>

#include "cores/runtime.h"
#include "support.h"

/* ---- stop ------------------------------------------------------------------------------------ */

GYRE_TEST(runtime_end, stop_before_start_lets_setups_and_teardowns_run)
{
    static struct test_seen seen;
    struct gyre_runtime *runtime = test_noting_runtime(&seen);
    gyre_runtime_stop(runtime);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), -EINVAL);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&seen.setups), TEST_LOOPS);
    cr_assert_eq(test_load(&seen.teardowns), TEST_LOOPS);
    gyre_runtime_destroy(runtime);
}

static int stop_in_setup(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct test_seen *seen = arg;
    (void)loop;
    atomic_fetch_add_explicit(&seen->setups, 1, memory_order_acq_rel);
    if (index == 1)
        gyre_runtime_stop(seen->runtime);
    return 0;
}

GYRE_TEST(runtime_end, stop_in_a_setup_takes_effect_after_all_of_them)
{
    static struct test_seen seen;
    seen.runtime = test_runtime(TEST_LOOPS, stop_in_setup, test_note_teardown, &seen);
    cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
    cr_assert_eq(gyre_runtime_join(seen.runtime), 0);
    cr_assert_eq(test_load(&seen.setups), TEST_LOOPS);
    cr_assert_eq(test_load(&seen.teardowns), TEST_LOOPS);
    gyre_runtime_destroy(seen.runtime);
}

static int stop_from_loop(struct gyre_loop *loop, int status, void *arg)
{
    struct test_seen *seen = arg;
    (void)loop;
    if (status == 0) {
        gyre_runtime_stop(seen->runtime);
        gyre_runtime_stop(seen->runtime);
    }
    return 0;
}

GYRE_TEST(runtime_end, stop_from_every_loop_counts_as_one)
{
    static struct test_seen seen;
    struct gyre_runtime *runtime = test_noting_runtime(&seen);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    unsigned posted = 0; /* the first may be too quick for the last */
    for (unsigned i = 0; i < TEST_LOOPS; i++)
        posted += gyre_loop_add_callback(gyre_runtime_loop(runtime, i), stop_from_loop, &seen) == 0;
    cr_assert_geq(posted, 1);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&seen.teardowns), TEST_LOOPS);
    for (unsigned i = 0; i < TEST_LOOPS; i++)
        cr_assert_eq(seen.loop[i].teardowns, 1);
    gyre_runtime_destroy(runtime);
}

/* Each teardown posts to every loop, also to those whose teardown has run. */
static int post_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct test_seen *seen = arg;
    int r = test_note_teardown(loop, index, arg);
    for (unsigned i = 0; i < TEST_LOOPS && r == 0; i++)
        r = gyre_loop_add_callback(gyre_runtime_loop(seen->runtime, i), test_count,
                                   &seen->loop[i].posts);
    return r;
}

GYRE_TEST(runtime_end, what_teardowns_post_to_any_loop_still_runs)
{
    static struct test_seen seen;
    for (unsigned round = 0; round < 50; round++) {
        memset(&seen, 0, sizeof(seen));
        seen.runtime = test_runtime(TEST_LOOPS, test_note_setup, post_in_teardown, &seen);
        cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
        gyre_runtime_stop(seen.runtime);
        cr_assert_eq(gyre_runtime_join(seen.runtime), 0);
        for (unsigned i = 0; i < TEST_LOOPS; i++) {
            cr_assert_eq(test_load(&seen.loop[i].posts.run), TEST_LOOPS);
            cr_assert_eq(test_load(&seen.loop[i].posts.cancelled), 0);
        }
        gyre_runtime_destroy(seen.runtime);
    }
}

/* Outlasts all other loops' runs, and posts to them then. */
static int post_last(struct gyre_loop *loop, int status, void *arg)
{
    struct test_seen *seen = arg;
    (void)loop;
    if (status != 0)
        return 0;
    while (test_load(&seen->runtime->insiders) != 1)
        sched_yield();
    for (unsigned i = 0; i < 200; i++) /* time enough for a close that does not wait for us */
        sched_yield();
    for (unsigned i = 1; i < TEST_LOOPS; i++)
        seen->loop[i].right_loop = gyre_loop_add_callback(gyre_runtime_loop(seen->runtime, i),
                                                          test_count, &seen->loop[i].posts) == 0;
    return 0;
}

static int post_last_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    return index == 0 ? gyre_loop_add_callback(loop, post_last, arg) : 0;
}

GYRE_TEST(runtime_end, no_loop_closes_while_a_function_of_another_runs)
{
    static struct test_seen seen;
    seen.runtime = test_runtime(TEST_LOOPS, NULL, post_last_in_teardown, &seen);
    cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
    gyre_runtime_stop(seen.runtime);
    cr_assert_eq(gyre_runtime_join(seen.runtime), 0);
    for (unsigned i = 1; i < TEST_LOOPS; i++) {
        cr_assert(seen.loop[i].right_loop, "loop %u had closed", i);
        cr_assert_eq(test_load(&seen.loop[i].posts.cancelled), 1);
    }
    gyre_runtime_destroy(seen.runtime);
}

GYRE_TEST(runtime_end, full_bounded_loops_can_be_started_and_stopped)
{
    struct gyre_loop_options loop_options;
    struct gyre_runtime_options options = test_options(2);
    struct gyre_runtime *runtime;
    struct test_calls calls = {0};
    _Atomic bool go_on = false;
    loop_options = *options.loop;
    loop_options.queue_max = 2;
    options.loop = &loop_options;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct gyre_loop *loop = gyre_runtime_loop(runtime, i);
        cr_assert_eq(gyre_loop_add_callback(loop, test_wait_for, &go_on), 0);
        cr_assert_eq(gyre_loop_add_callback(loop, test_count, &calls), 0);
        cr_assert_eq(gyre_loop_add_callback(loop, test_count, &calls), -EAGAIN);
    }
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    for (unsigned i = 0; i < 2; i++) /* the waiting callback has left its room */
        while (gyre_loop_add_callback(gyre_runtime_loop(runtime, i), test_count, &calls) != 0)
            sched_yield();
    gyre_runtime_stop(runtime);
    atomic_store_explicit(&go_on, true, memory_order_release);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&calls.run), 4);
    cr_assert_eq(test_load(&calls.cancelled), 0);
    gyre_runtime_destroy(runtime);
}

/* ---- join and destroy ------------------------------------------------------------------------ */

struct result {
    struct gyre_runtime *runtime;
    int join;
};

static int join_from_loop(struct gyre_loop *loop, int status, void *arg)
{
    struct result *result = arg;
    (void)loop;
    (void)status;
    result->join = gyre_runtime_join(result->runtime);
    gyre_runtime_destroy(result->runtime);
    gyre_runtime_stop(result->runtime);
    return 0;
}

static void ignore_log(enum gyre_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

GYRE_TEST(runtime_end, join_and_destroy_on_a_loop_are_refused)
{
    struct result result = {.runtime = test_runtime(2, NULL, NULL, NULL)};
    gyre_set_log(ignore_log, NULL);
    cr_assert_eq(gyre_runtime_start(result.runtime), 0);
    cr_assert_eq(
        gyre_loop_add_callback(gyre_runtime_loop(result.runtime, 1), join_from_loop, &result), 0);
    cr_assert_eq(gyre_runtime_join(result.runtime), 0);
    cr_assert_eq(result.join, -EDEADLK);
    gyre_runtime_destroy(result.runtime);
}

static int join_when_cancelled(struct gyre_loop *loop, int status, void *arg)
{
    struct result *result = arg;
    (void)loop;
    if (status == -ECANCELED)
        result->join = gyre_runtime_join(result->runtime);
    return 0;
}

/* Posts behind the end of the last loop's run, so that it is cancelled. */
static int repost(struct gyre_loop *loop, int status, void *arg)
{
    if (status != 0)
        return join_when_cancelled(loop, status, arg);
    return gyre_loop_add_callback(loop, repost, arg);
}

GYRE_TEST(runtime_end, join_while_a_loop_closes_is_refused_on_its_thread)
{
    struct result result = {.runtime = test_runtime(1, NULL, NULL, NULL)};
    cr_assert_eq(gyre_runtime_start(result.runtime), 0);
    cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(result.runtime, 0), repost, &result), 0);
    gyre_runtime_stop(result.runtime);
    cr_assert_eq(gyre_runtime_join(result.runtime), 0);
    cr_assert_eq(result.join, -EDEADLK);
    gyre_runtime_destroy(result.runtime);
}

GYRE_TEST(runtime_end, join_needs_a_start_and_can_be_asked_again)
{
    struct gyre_runtime *runtime = test_runtime(2, NULL, NULL, NULL);
    cr_assert_eq(gyre_runtime_join(runtime), -EINVAL);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
}

GYRE_TEST(runtime_end, destroy_ends_it_in_every_state)
{
    static struct test_seen seen;
    unsigned threads = test_threads();
    gyre_runtime_destroy(NULL);

    gyre_runtime_destroy(test_noting_runtime(&seen)); /* NEW */
    cr_assert_eq(test_load(&seen.setups), 0);

    struct gyre_runtime *runtime = test_noting_runtime(&seen); /* NEW_STOPPED */
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.setups), 0);
    cr_assert_eq(test_load(&seen.teardowns), 0);

    runtime = test_noting_runtime(&seen); /* RUNNING */
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.teardowns), TEST_LOOPS);

    runtime = test_noting_runtime(&seen); /* STOPPING */
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.teardowns), TEST_LOOPS);

    runtime = test_noting_runtime(&seen); /* ENDED */
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.teardowns), TEST_LOOPS);
    cr_assert(test_threads_settle(threads), "%u threads", test_threads());
}

GYRE_TEST(runtime_end, destroy_without_start_cancels_what_was_posted)
{
    struct test_calls calls = {0};
    struct gyre_task task;
    struct gyre_runtime *runtime = test_runtime(2, NULL, NULL, NULL);
    struct gyre_loop *loop = gyre_loop_acquire(gyre_runtime_loop(runtime, 1));
    gyre_task_init(&task, test_count, &calls);
    cr_assert_eq(gyre_loop_post(loop, &task), 0);
    cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(runtime, 0), test_count, &calls), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&calls.cancelled), 2);
    cr_assert_eq(test_load(&calls.run), 0);
    cr_assert_eq(gyre_loop_post(loop, &task), -ESHUTDOWN);
    gyre_loop_release(loop);
}

GYRE_TEST(runtime_end, loops_that_are_held_outlive_it_closed)
{
    struct test_calls calls = {0};
    struct gyre_runtime *runtime = test_runtime(2, NULL, NULL, NULL);
    struct gyre_loop *loop = gyre_loop_acquire(gyre_runtime_loop(runtime, 0));
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_loop_add_callback(loop, test_count, &calls), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&calls.run), 1);
    cr_assert_eq(gyre_loop_add_callback(loop, test_count, &calls), -ESHUTDOWN);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(gyre_loop_add_callback(loop, test_count, &calls), -ESHUTDOWN);
    cr_assert_eq(test_load(&calls.run), 1);
    gyre_loop_release(loop);
}

GYRE_TEST(runtime_end, several_live_side_by_side)
{
    struct test_calls calls = {0};
    struct gyre_runtime *runtimes[3];
    for (unsigned i = 0; i < 3; i++) {
        runtimes[i] = test_runtime(2, NULL, NULL, NULL);
        cr_assert_eq(gyre_runtime_start(runtimes[i]), 0);
    }
    gyre_runtime_destroy(runtimes[1]);
    for (unsigned i = 0; i < 3; i += 2) {
        cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(runtimes[i], 1), test_count, &calls),
                     0);
        gyre_runtime_destroy(runtimes[i]);
    }
    cr_assert_eq(test_load(&calls.run), 2);
    cr_assert_eq(test_load(&calls.cancelled), 0);
}
