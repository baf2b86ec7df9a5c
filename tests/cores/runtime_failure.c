/* SPDX-License-Identifier: MIT */
/*
 * runtime_failure - what a runtime leaves behind when something fails: a setup, a thread, a loop's
 * run, memory, descriptors.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <gyre/task.h>
#include <gyre/timer.h>

#include "cores/runtime.h"
#include "support.h"

enum {
    LOOPS = 4
};

/* A set of loops of which some setups fail. */
struct crew {
    struct gyre_runtime *runtime;
    int setup_result[LOOPS];
    _Atomic unsigned setups[LOOPS];
    _Atomic unsigned teardowns[LOOPS];
    struct test_calls posts;
};

static int crew_setup(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct crew *crew = arg;
    (void)loop;
    atomic_fetch_add_explicit(&crew->setups[index], 1, memory_order_acq_rel);
    return crew->setup_result[index];
}

static int crew_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct crew *crew = arg;
    (void)loop;
    atomic_fetch_add_explicit(&crew->teardowns[index], 1, memory_order_acq_rel);
    /* The neighbour turns still, whether its own setup has failed or not. */
    return gyre_loop_add_callback(gyre_runtime_loop(crew->runtime, (index + 1) % LOOPS), test_count,
                                  &crew->posts);
}

static unsigned sum(const _Atomic unsigned numbers[LOOPS])
{
    unsigned total = 0;
    for (unsigned i = 0; i < LOOPS; i++)
        total += test_load(&numbers[i]);
    return total;
}

static void check_over(struct crew *crew, unsigned threads)
{
    cr_assert(test_threads_settle(threads), "%u threads are left", test_threads());
    for (unsigned i = 0; i < LOOPS; i++)
        cr_assert_eq(
            gyre_loop_add_callback(gyre_runtime_loop(crew->runtime, i), test_count, &crew->posts),
            -ESHUTDOWN);
    cr_assert_eq(gyre_runtime_start(crew->runtime), -EBUSY);
    cr_assert_eq(gyre_runtime_join(crew->runtime), -EINVAL);
    gyre_runtime_stop(crew->runtime);
    gyre_runtime_destroy(crew->runtime);
}

static void ignore_log(enum gyre_log_level level, const char *line, void *arg)
{
    (void)line;
    atomic_fetch_add_explicit((_Atomic unsigned *)arg, level == GYRE_LOG_WARNING,
                              memory_order_relaxed); /* relaxed: read when all threads are joined */
}

static _Atomic unsigned warnings;

/* ---- setups ---------------------------------------------------------------------------------- */

GYRE_TEST(runtime_failure, failing_setup_unwinds_all_whichever_it_is)
{
    unsigned threads = test_threads();
    for (unsigned failing = 0; failing < LOOPS; failing++) {
        struct crew crew = {.setup_result = {0}};
        crew.setup_result[failing] = -EADDRINUSE;
        crew.runtime = test_runtime(LOOPS, crew_setup, crew_teardown, &crew);
        cr_assert_eq(gyre_runtime_start(crew.runtime), -EADDRINUSE);
        cr_assert_eq(sum(crew.setups), LOOPS);
        for (unsigned i = 0; i < LOOPS; i++)
            cr_assert_eq(test_load(&crew.teardowns[i]), i == failing ? 0 : 1);
        cr_assert_eq(test_load(&crew.posts.run), LOOPS - 1);
        cr_assert_eq(test_load(&crew.posts.cancelled), 0);
        check_over(&crew, threads);
    }
}

GYRE_TEST(runtime_failure, first_of_several_failing_loops_is_the_result)
{
    unsigned threads = test_threads();
    struct crew crew = {.setup_result = {0, -ENOENT, -EACCES, -ENOENT}};
    crew.runtime = test_runtime(LOOPS, crew_setup, crew_teardown, &crew);
    cr_assert_eq(gyre_runtime_start(crew.runtime), -ENOENT);
    cr_assert_eq(sum(crew.teardowns), 1);
    check_over(&crew, threads);
}

GYRE_TEST(runtime_failure, stop_before_a_failing_setup_changes_nothing)
{
    unsigned threads = test_threads();
    struct crew crew = {.setup_result = {0, 0, 0, -EIO}};
    crew.runtime = test_runtime(LOOPS, crew_setup, crew_teardown, &crew);
    gyre_runtime_stop(crew.runtime);
    cr_assert_eq(gyre_runtime_start(crew.runtime), -EIO);
    cr_assert_eq(sum(crew.teardowns), LOOPS - 1);
    check_over(&crew, threads);
}

GYRE_TEST(runtime_failure, positive_result_of_a_setup_is_no_failure)
{
    struct crew crew = {.setup_result = {1, 0, 7, 0}};
    crew.runtime = test_runtime(LOOPS, crew_setup, crew_teardown, &crew);
    cr_assert_eq(gyre_runtime_start(crew.runtime), 0);
    gyre_runtime_destroy(crew.runtime);
    cr_assert_eq(sum(crew.teardowns), LOOPS);
}

static int fail_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)loop;
    (void)arg;
    return index == 1 ? -EIO : 0;
}

struct failures {
    struct gyre_failure last;
    _Atomic unsigned count;
};

static void note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    struct failures *failures = arg;
    (void)loop;
    failures->last = *failure;
    atomic_fetch_add_explicit(&failures->count, 1, memory_order_acq_rel);
}

GYRE_TEST(runtime_failure, result_of_a_teardown_goes_to_the_error_hook)
{
    struct failures failures = {.count = 0};
    struct gyre_runtime_options options = test_options(LOOPS);
    struct gyre_loop_options loop = *options.loop;
    struct gyre_runtime *runtime;
    int thing;
    loop.on_error = note_failure;
    loop.on_error_arg = &failures;
    options.loop = &loop;
    options.teardown = fail_teardown;
    options.arg = &thing;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), 0);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&failures.count), 1);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_TEARDOWN);
    cr_assert_eq(failures.last.error, -EIO);
    cr_assert_eq(failures.last.fd, -1);
    cr_assert_null(failures.last.fn, "its function is of another type");
    cr_assert_eq(failures.last.arg, &thing);
}

/* ---- GYRE_UNWIND ----------------------------------------------------------------------------- */

static int unwind(struct gyre_loop *loop, int status, void *arg)
{
    (void)test_count(loop, status, arg);
    return GYRE_UNWIND;
}

GYRE_TEST(runtime_failure, loop_whose_run_is_unwound_goes_on)
{
    unsigned threads = test_threads();
    struct crew crew = {.setup_result = {0}};
    struct test_calls calls = {.run = 0};
    crew.runtime = test_runtime(LOOPS, crew_setup, crew_teardown, &crew);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(crew.runtime, 1), unwind, &calls), 0);
    cr_assert_eq(gyre_runtime_start(crew.runtime), 0);
    gyre_runtime_stop(crew.runtime);
    cr_assert_eq(gyre_runtime_join(crew.runtime), 0);
    cr_assert_eq(test_load(&calls.run), 3, "what an unwinding leaves is run next");
    cr_assert_eq(sum(crew.teardowns), LOOPS);
    cr_assert_eq(test_load(&crew.posts.run), LOOPS);
    gyre_runtime_destroy(crew.runtime);
    cr_assert(test_threads_settle(threads));
}

/* The timers are due in the turn in which the loop is told to end. */
static int unwind_behind_the_end(struct gyre_loop *loop, unsigned index, void *arg)
{
    uint64_t handle;
    int r = 0;
    (void)index;
    for (unsigned i = 0; r == 0 && i < 3; i++)
        r = gyre_loop_call_at(loop, 0, &handle, unwind, arg);
    return r;
}

GYRE_TEST(runtime_failure, unwinding_loses_no_end)
{
    struct test_calls calls = {.run = 0};
    struct gyre_runtime *runtime = test_runtime(1, NULL, unwind_behind_the_end, &calls);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&calls.run), 3);
    cr_assert_eq(test_load(&calls.cancelled), 0);
    gyre_runtime_destroy(runtime);
}

/* ---- threads --------------------------------------------------------------------------------- */

/* A port that cannot make one of the threads, or cannot pin it. */
static struct gyre__port failing_port;
static const struct gyre__port *real_port;
static unsigned threads_before_failure;
static int failure;

static int make_thread(const struct gyre__thread_options *options, uint64_t *ret_thread,
                       gyre__thread_fn *fn, void *arg)
{
    if (threads_before_failure-- == 0)
        return failure;
    return real_port->thread_create(options, ret_thread, fn, arg);
}

static void fail_thread(struct gyre_runtime *runtime, unsigned index, int result)
{
    real_port = runtime->port;
    failing_port = *real_port;
    failing_port.thread_create = make_thread;
    threads_before_failure = index;
    failure = result;
    runtime->port = &failing_port;
}

GYRE_TEST(runtime_failure, thread_that_cannot_be_made_leaves_none_and_runs_no_setup)
{
    unsigned threads = test_threads();
    for (unsigned failing = 0; failing < LOOPS; failing++) {
        struct crew crew = {.setup_result = {0}};
        crew.runtime = test_runtime(LOOPS, crew_setup, crew_teardown, &crew);
        fail_thread(crew.runtime, failing, -EAGAIN);
        cr_assert_eq(
            gyre_loop_add_callback(gyre_runtime_loop(crew.runtime, 0), test_count, &crew.posts), 0);
        cr_assert_eq(gyre_runtime_start(crew.runtime), -EAGAIN);
        cr_assert_eq(sum(crew.setups), 0);
        cr_assert_eq(sum(crew.teardowns), 0);
        cr_assert_eq(test_load(&crew.posts.cancelled), 1);
        check_over(&crew, threads);
    }
}

static struct gyre_runtime *make_pinned(enum gyre_pin pin, struct crew *crew)
{
    struct gyre_runtime_options options = test_options(LOOPS);
    options.pin = pin;
    options.setup = crew_setup;
    options.teardown = crew_teardown;
    options.arg = crew;
    cr_assert_eq(gyre_runtime_create(&options, &crew->runtime), 0);
    for (unsigned i = 0; i < LOOPS; i++)
        crew->runtime->plan.cpu[i] = 0; /* whatever this machine's plan is */
    return crew->runtime;
}

GYRE_TEST(runtime_failure, thread_that_cannot_be_pinned_floats)
{
    struct crew crew = {.setup_result = {0}};
    gyre_set_log(ignore_log, &warnings);
    fail_thread(make_pinned(GYRE_PIN_AUTO, &crew), 1, -EINVAL);
    cr_assert_eq(gyre_runtime_start(crew.runtime), 0);
    gyre_runtime_destroy(crew.runtime);
    cr_assert_eq(sum(crew.teardowns), LOOPS);
    cr_assert_eq(test_load(&warnings), 1);
}

GYRE_TEST(runtime_failure, thread_that_must_be_pinned_and_cannot_fails_start)
{
    unsigned threads = test_threads();
    struct crew crew = {.setup_result = {0}};
    fail_thread(make_pinned(GYRE_PIN_ALWAYS, &crew), 2, -EINVAL);
    cr_assert_eq(gyre_runtime_start(crew.runtime), -EINVAL);
    cr_assert_eq(sum(crew.setups), 0);
    check_over(&crew, threads);
}

/* ---- a loop's run ---------------------------------------------------------------------------- */

/* Waits of one loop fail, once or for ever; the others' are short. */
struct waits {
    struct gyre_loop *_Atomic failing;
    _Atomic bool once;
    _Atomic unsigned failures;
};

static int wait_or_fail(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    struct waits *waits = arg;
    (void)timeout_ns;
    if (atomic_load_explicit(&waits->failing, memory_order_acquire) != loop) {
        sched_yield();
        return 0;
    }
    if (atomic_load_explicit(&waits->once, memory_order_acquire))
        atomic_store_explicit(&waits->failing, NULL, memory_order_release);
    atomic_fetch_add_explicit(&waits->failures, 1, memory_order_acq_rel);
    return -EIO;
}

static void check_failing_run(unsigned index, bool once, bool stop_first)
{
    struct waits waits = {.once = once};
    struct crew crew = {.setup_result = {0}};
    struct gyre_runtime_options options = test_options(LOOPS);
    struct gyre_loop_options loop_options = *options.loop;
    unsigned threads = test_threads();
    loop_options.wait = wait_or_fail;
    loop_options.wait_arg = &waits;
    options.loop = &loop_options;
    options.setup = crew_setup;
    options.teardown = crew_teardown;
    options.arg = &crew;
    cr_assert_eq(gyre_runtime_create(&options, &crew.runtime), 0);
    if (stop_first)
        gyre_runtime_stop(crew.runtime);
    atomic_store_explicit(&waits.failing, gyre_runtime_loop(crew.runtime, index),
                          memory_order_release);
    cr_assert_eq(gyre_runtime_start(crew.runtime), 0);
    int r = gyre_runtime_join(crew.runtime);
    cr_assert(r == -EIO || (r == 0 && stop_first), "join returned %d", r);
    cr_assert_eq(gyre_runtime_join(crew.runtime), r);
    cr_assert_eq(sum(crew.setups), LOOPS);
    for (unsigned i = 0; i < LOOPS; i++)
        cr_assert_eq(test_load(&crew.teardowns[i]), 1);
    cr_assert_eq(test_load(&crew.posts.run) + test_load(&crew.posts.cancelled), LOOPS);
    cr_assert_leq(test_load(&crew.posts.cancelled), 1);
    cr_assert(test_threads_settle(threads), "%u threads are left", test_threads());
    gyre_runtime_destroy(crew.runtime);
}

GYRE_TEST(runtime_failure, failing_run_ends_all_and_surfaces_in_join)
{
    gyre_set_log(ignore_log, &warnings);
    for (unsigned index = 0; index < LOOPS; index++) {
        check_failing_run(index, true, false);
        check_failing_run(index, false, false);
    }
}

GYRE_TEST(runtime_failure, run_that_fails_while_start_is_under_way_ends_all_too)
{
    gyre_set_log(ignore_log, &warnings);
    for (unsigned round = 0; round < 20; round++)
        check_failing_run(round % LOOPS, round % 2 == 0, true);
}

/* ---- memory and descriptors ------------------------------------------------------------------ */

static _Atomic long blocks_in_use;
static _Atomic long allocations_left;

static void *allocate(size_t bytes, void *arg)
{
    (void)arg;
    if (atomic_fetch_sub_explicit(&allocations_left, 1, memory_order_acq_rel) <= 0)
        return NULL;
    atomic_fetch_add_explicit(&blocks_in_use, 1, memory_order_acq_rel);
    return malloc(bytes);
}

static void release(void *memory, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    atomic_fetch_sub_explicit(&blocks_in_use, 1, memory_order_acq_rel);
    free(memory);
}

GYRE_TEST(runtime_failure, creation_without_memory_leaves_nothing)
{
    static const struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    struct gyre_runtime_options options = test_options(3);
    struct gyre_runtime *runtime = NULL;
    long failures = 0;
    cr_assert_eq(gyre_set_allocator(&allocator), 0);
    for (; failures < 1000; failures++) {
        atomic_store_explicit(&allocations_left, failures, memory_order_release);
        int r = gyre_runtime_create(&options, &runtime);
        if (r == 0)
            break;
        cr_assert_eq(r, -ENOMEM);
        cr_assert_null(runtime);
        cr_assert_eq(atomic_load_explicit(&blocks_in_use, memory_order_acquire), 0);
    }
    cr_assert(failures > 5 && failures < 1000, "%ld allocations", failures);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(atomic_load_explicit(&blocks_in_use, memory_order_acquire), 0);
}

GYRE_TEST(runtime_failure, creation_without_descriptors_leaves_nothing)
{
    struct gyre_runtime_options options = test_options(8);
    struct gyre_runtime *runtime = NULL;
    struct rlimit before;
    struct rlimit limit;
    unsigned refused = 0;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    for (limit = before, limit.rlim_cur = 3; limit.rlim_cur < 64; limit.rlim_cur++) {
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        int r = gyre_runtime_create(&options, &runtime);
        if (r == 0)
            break;
        cr_assert_eq(r, -EMFILE);
        refused++;
    }
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_geq(refused, 8);
    cr_assert_not_null(runtime);
    gyre_runtime_destroy(runtime);
}
