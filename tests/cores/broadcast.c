/* SPDX-License-Identifier: MIT */
/*
 * broadcast - a function on every loop, and one afterwards, also while the loops end.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>

#include <gyre/task.h>

#include "support.h"

enum {
    LOOPS = 4
};

/* One broadcast: what ran where. */
struct cast {
    struct gyre_runtime *runtime;
    struct test_calls fn;
    _Atomic unsigned on_loop[LOOPS];
    _Atomic unsigned wrong_thread;
    int plain_sum[LOOPS]; /* each written on its loop, read by done */
    int sum;
    _Atomic unsigned done_calls;
    _Atomic int done_status;
    struct gyre_loop *_Atomic done_loop;
    _Atomic bool done;
    bool done_inside; /* done ran inside the call that made the broadcast */
    int result;
};

static int cast_fn(struct gyre_loop *loop, int status, void *arg)
{
    struct cast *cast = arg;
    int index = test_index_of(cast->runtime, loop);
    if (status == 0) {
        atomic_fetch_add_explicit(&cast->on_loop[index], 1, memory_order_acq_rel);
        atomic_fetch_add_explicit(&cast->wrong_thread, gyre_loop_current_or_null() != loop,
                                  memory_order_acq_rel);
        cast->plain_sum[index] = index + 1;
    }
    return test_count(loop, status, &cast->fn);
}

static int cast_done(struct gyre_loop *loop, int status, void *arg)
{
    struct cast *cast = arg;
    for (unsigned i = 0; i < LOOPS; i++)
        cast->sum += cast->plain_sum[i];
    atomic_store_explicit(&cast->done_status, status, memory_order_release);
    atomic_store_explicit(&cast->done_loop, loop, memory_order_release);
    atomic_fetch_add_explicit(&cast->done_calls, 1, memory_order_acq_rel);
    atomic_store_explicit(&cast->done, true, memory_order_release);
    return 0;
}

static int send_cast(struct cast *cast)
{
    return gyre_runtime_broadcast(cast->runtime, cast_fn, cast, cast_done, cast);
}

static void check_complete(struct cast *cast, struct gyre_loop *home)
{
    test_wait(&cast->done);
    for (unsigned i = 0; i < LOOPS; i++)
        cr_assert_eq(test_load(&cast->on_loop[i]), 1);
    cr_assert_eq(test_load(&cast->wrong_thread), 0);
    cr_assert_eq(test_load(&cast->fn.run), LOOPS);
    cr_assert_eq(test_load(&cast->done_calls), 1);
    cr_assert_eq(cast->sum, 1 + 2 + 3 + 4);
    cr_assert_eq(atomic_load_explicit(&cast->done_status, memory_order_acquire), 0);
    cr_assert_eq(atomic_load_explicit(&cast->done_loop, memory_order_acquire), home);
}

static struct gyre_runtime *start(void)
{
    struct gyre_runtime *runtime = test_runtime(LOOPS, NULL, NULL, NULL);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    return runtime;
}

GYRE_TEST(broadcast, runs_once_on_each_loop_and_ends_on_the_first)
{
    struct gyre_runtime *runtime = start();
    for (unsigned round = 0; round < 100; round++) {
        struct cast cast = {.runtime = runtime};
        cr_assert_eq(send_cast(&cast), 0);
        check_complete(&cast, gyre_runtime_loop(runtime, 0));
    }
    gyre_runtime_destroy(runtime);
}

static int send_from_loop(struct gyre_loop *loop, int status, void *arg)
{
    struct cast *cast = arg;
    (void)loop;
    (void)status;
    cast->result = send_cast(cast);
    cast->done_inside = atomic_load_explicit(&cast->done, memory_order_acquire);
    return 0;
}

GYRE_TEST(broadcast, of_a_loop_ends_on_that_loop)
{
    struct gyre_runtime *runtime = start();
    for (unsigned i = 0; i < LOOPS; i++) {
        struct cast cast = {.runtime = runtime};
        struct gyre_loop *home = gyre_runtime_loop(runtime, i);
        cr_assert_eq(gyre_loop_add_callback(home, send_from_loop, &cast), 0);
        check_complete(&cast, home);
        cr_assert_eq(cast.result, 0);
        cr_assert(!cast.done_inside);
    }
    gyre_runtime_destroy(runtime);
}

/* What the error hooks of all loops got. */
struct failures {
    _Atomic unsigned of_fn;
    _Atomic unsigned of_done;
    _Atomic unsigned of_others;
    _Atomic bool done;
};

static int fail_fn(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    return status == 0 ? -EIO : 0;
}

static int fail_done(struct gyre_loop *loop, int status, void *arg)
{
    struct failures *failures = arg;
    (void)loop;
    (void)status;
    atomic_store_explicit(&failures->done, true, memory_order_release);
    return -ETIMEDOUT;
}

static void note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    struct failures *failures = arg;
    _Atomic unsigned *counter = &failures->of_others;
    (void)loop;
    if (failure->kind == GYRE_FAILED_CALLBACK && failure->arg == failures) {
        if (failure->fn == fail_fn && failure->error == -EIO)
            counter = &failures->of_fn;
        else if (failure->fn == fail_done && failure->error == -ETIMEDOUT)
            counter = &failures->of_done;
    }
    atomic_fetch_add_explicit(counter, 1, memory_order_acq_rel);
}

GYRE_TEST(broadcast, reports_failures_by_the_function_that_was_given)
{
    struct failures failures = {0};
    struct gyre_runtime_options options = test_options(LOOPS);
    struct gyre_loop_options loop = *options.loop;
    loop.on_error = note_failure;
    loop.on_error_arg = &failures;
    options.loop = &loop;
    struct gyre_runtime *runtime;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), 0);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_runtime_broadcast(runtime, fail_fn, &failures, fail_done, &failures), 0);
    test_wait(&failures.done);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&failures.of_fn), LOOPS);
    cr_assert_eq(test_load(&failures.of_done), 1);
    cr_assert_eq(test_load(&failures.of_others), 0, "nothing of the library's own");
}

GYRE_TEST(broadcast, needs_no_done)
{
    struct test_calls calls = {0};
    struct gyre_runtime *runtime = start();
    for (unsigned round = 0; round < 100; round++)
        cr_assert_eq(gyre_runtime_broadcast(runtime, test_count, &calls, NULL, NULL), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&calls.run), 100 * LOOPS);
    cr_assert_eq(test_load(&calls.cancelled), 0);
}

GYRE_TEST(broadcast, keeps_the_order_of_the_callers_posts)
{
    struct cast cast = {.runtime = start()};
    struct test_calls before = {0};
    struct test_calls after = {0};
    for (unsigned i = 0; i < LOOPS; i++)
        cr_assert_eq(
            gyre_loop_add_callback(gyre_runtime_loop(cast.runtime, i), test_count, &before), 0);
    cr_assert_eq(send_cast(&cast), 0);
    test_wait(&cast.done);
    cr_assert_eq(test_load(&before.run), LOOPS);
    cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(cast.runtime, 0), test_count, &after), 0);
    gyre_runtime_destroy(cast.runtime);
    cr_assert_eq(test_load(&after.run), 1);
}

GYRE_TEST(broadcast, before_start_runs_after_start)
{
    struct cast cast = {.runtime = test_runtime(LOOPS, NULL, NULL, NULL)};
    cr_assert_eq(send_cast(&cast), 0);
    cr_assert_eq(test_load(&cast.fn.run), 0);
    cr_assert_eq(gyre_runtime_start(cast.runtime), 0);
    check_complete(&cast, gyre_runtime_loop(cast.runtime, 0));
    gyre_runtime_destroy(cast.runtime);
}

GYRE_TEST(broadcast, without_start_is_cancelled_by_destroy)
{
    struct cast cast = {.runtime = test_runtime(LOOPS, NULL, NULL, NULL)};
    struct test_calls calls = {0};
    cr_assert_eq(send_cast(&cast), 0);
    cr_assert_eq(gyre_runtime_broadcast(cast.runtime, test_count, &calls, NULL, NULL), 0);
    gyre_runtime_destroy(cast.runtime);
    cr_assert_eq(test_load(&cast.fn.cancelled), LOOPS);
    cr_assert_eq(test_load(&cast.fn.run), 0);
    cr_assert_eq(test_load(&cast.done_calls), 1);
    cr_assert_eq(atomic_load_explicit(&cast.done_status, memory_order_acquire), -ECANCELED);
    cr_assert_eq(test_load(&calls.cancelled), LOOPS);
}

GYRE_TEST(broadcast, after_the_end_is_refused)
{
    struct cast cast = {.runtime = start()};
    gyre_runtime_stop(cast.runtime);
    cr_assert_eq(gyre_runtime_join(cast.runtime), 0);
    cr_assert_eq(send_cast(&cast), -ESHUTDOWN);
    cr_assert_eq(test_load(&cast.done_calls), 0);
    cr_assert_eq(test_load(&cast.fn.run) + test_load(&cast.fn.cancelled), 0);
    gyre_runtime_destroy(cast.runtime);
}

static int send_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct cast *cast = arg;
    (void)loop;
    if (index == 2)
        cast->result = send_cast(cast);
    return 0;
}

GYRE_TEST(broadcast, of_a_teardown_still_runs_on_every_loop)
{
    for (unsigned round = 0; round < 50; round++) {
        struct cast cast = {.result = -1};
        cast.runtime = test_runtime(LOOPS, NULL, send_in_teardown, &cast);
        cr_assert_eq(gyre_runtime_start(cast.runtime), 0);
        gyre_runtime_stop(cast.runtime);
        cr_assert_eq(gyre_runtime_join(cast.runtime), 0);
        cr_assert_eq(cast.result, 0);
        cr_assert_eq(test_load(&cast.fn.run), LOOPS);
        cr_assert_eq(test_load(&cast.done_calls), 1);
        gyre_runtime_destroy(cast.runtime);
    }
}

GYRE_TEST(broadcast, to_a_full_loop_runs_nowhere)
{
    struct gyre_runtime_options options = test_options(LOOPS);
    struct gyre_loop_options loop_options = *options.loop;
    struct cast cast = {.result = 0};
    struct test_calls calls = {0};
    loop_options.queue_max = 2;
    options.loop = &loop_options;
    cr_assert_eq(gyre_runtime_create(&options, &cast.runtime), 0);
    struct gyre_loop *full = gyre_runtime_loop(cast.runtime, 2);
    cr_assert_eq(gyre_loop_add_callback(full, test_count, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(full, test_count, &calls), 0);
    for (unsigned i = 0; i < 5; i++) /* a refusal takes no room */
        cr_assert_eq(send_cast(&cast), -EAGAIN);
    cr_assert_eq(gyre_runtime_start(cast.runtime), 0);
    while (test_load(&calls.run) != 2)
        sched_yield();
    cr_assert_eq(test_load(&cast.fn.run), 0);
    cr_assert_eq(test_load(&cast.done_calls), 0);
    for (unsigned i = 0; i < 5; i++) { /* nor does one that is through */
        struct cast again = {.runtime = cast.runtime};
        cr_assert_eq(send_cast(&again), 0);
        check_complete(&again, gyre_runtime_loop(cast.runtime, 0));
    }
    gyre_runtime_destroy(cast.runtime);
}

static bool no_memory;

static void *allocate(size_t bytes, void *arg)
{
    (void)arg;
    return no_memory ? NULL : malloc(bytes);
}

static void release(void *memory, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    free(memory);
}

GYRE_TEST(broadcast, without_memory_runs_nowhere)
{
    static const struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    cr_assert_eq(gyre_set_allocator(&allocator), 0);
    struct cast cast = {.runtime = test_runtime(LOOPS, NULL, NULL, NULL)};
    no_memory = true;
    cr_assert_eq(send_cast(&cast), -ENOMEM);
    no_memory = false;
    gyre_runtime_destroy(cast.runtime);
    cr_assert_eq(test_load(&cast.fn.cancelled) + test_load(&cast.done_calls), 0);
}
