/* SPDX-License-Identifier: MIT */
/*
 * runtime - a set of loops from create to destroy, in each of its states, when all goes well.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gyre/task.h>

#include "cores/runtime.h"
#include "support.h"

enum {
    LOOPS = 4
};

/* What each loop's functions saw. */
struct seen {
    struct gyre_runtime *runtime;
    struct {
        unsigned setups;
        unsigned teardowns;
        pid_t thread;
        char name[32];
        cpu_set_t cpus;
        bool is_current;
        bool right_loop;
        struct test_calls posts;
    } loop[LOOPS];
    _Atomic unsigned setups;
    _Atomic unsigned teardowns;
};

static int note_setup(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct seen *seen = arg;
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/comm", gettid());
    FILE *file = fopen(path, "re");
    if (file != NULL && fgets(seen->loop[index].name, sizeof(seen->loop[index].name), file) != NULL)
        seen->loop[index].name[strcspn(seen->loop[index].name, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
    sched_getaffinity(0, sizeof(cpu_set_t), &seen->loop[index].cpus);
    seen->loop[index].thread = gettid();
    seen->loop[index].is_current = gyre_loop_current_or_null() == loop;
    seen->loop[index].right_loop = gyre_runtime_loop(seen->runtime, index) == loop;
    seen->loop[index].setups++;
    atomic_fetch_add_explicit(&seen->setups, 1, memory_order_acq_rel);
    return 0;
}

static int note_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct seen *seen = arg;
    (void)loop;
    seen->loop[index].teardowns += gettid() == seen->loop[index].thread;
    atomic_fetch_add_explicit(&seen->teardowns, 1, memory_order_acq_rel);
    return 0;
}

static struct gyre_runtime *make_noting(struct seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    seen->runtime = test_runtime(LOOPS, note_setup, note_teardown, seen);
    return seen->runtime;
}

static struct gyre_runtime *make_plain(unsigned loops)
{
    return test_runtime(loops, NULL, NULL, NULL);
}

/* ---- create ---------------------------------------------------------------------------------- */

GYRE_TEST(runtime, create_refuses_options_out_of_range)
{
    struct gyre_runtime *runtime = NULL;
    struct gyre_loop_options loop;
    struct gyre_runtime_options options = test_options(1);
    options.size--;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), -EINVAL);
    options = test_options(GYRE_LOOPS_MAX + 1);
    cr_assert_eq(gyre_runtime_create(&options, &runtime), -EINVAL);
    options = test_options(1);
    options.pin = (enum gyre_pin)17;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), -EINVAL);
    options = test_options(1);
    gyre_loop_options_init(&loop);
    options.loop = &loop;
    loop.size = 0;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), -EINVAL);
    gyre_loop_options_init(&loop);
    loop.backend = "no such backend";
    cr_assert_eq(gyre_runtime_create(&options, &runtime), -ENOENT);
    cr_assert_null(runtime);
}

GYRE_TEST(runtime, defaults_follow_the_plan)
{
    struct gyre_runtime *runtime;
    char text[8192];
    char head[64];
    cr_assert_eq(gyre_runtime_create(NULL, &runtime), 0);
    size_t length = gyre_runtime_plan(runtime, text, sizeof(text));
    cr_assert_eq(length, strlen(text));
    unsigned loops = gyre_runtime_loops(runtime);
    snprintf(head, sizeof(head), "plan: %u loop", loops);
    cr_assert_eq(strncmp(text, head, strlen(head)), 0, "%s", text);
    cr_assert_not_null(gyre_runtime_loop(runtime, loops - 1));
    cr_assert_null(gyre_runtime_loop(runtime, loops));
    cr_assert_null(gyre_loop_current_or_null());
    gyre_runtime_destroy(runtime);
}

GYRE_TEST(runtime, current_loop_of_the_creator_does_not_matter)
{
    struct gyre_loop *loop;
    struct gyre_loop_options loop_options;
    struct gyre_runtime_options options = test_options(2);
    struct gyre_runtime *runtime;
    cr_assert_eq(gyre_loop_create(NULL, &loop), 0);
    loop_options = *options.loop;
    loop_options.make_current = GYRE_CURRENT_YES;
    options.loop = &loop_options;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), 0);
    cr_assert_eq(gyre_loop_current_or_null(), loop);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(gyre_loop_current_or_null(), loop);
    gyre_loop_destroy(loop);
}

/* ---- start ----------------------------------------------------------------------------------- */

GYRE_TEST(runtime, start_returns_after_every_setup_on_its_own_thread)
{
    static struct seen seen;
    struct gyre_runtime *runtime = make_noting(&seen);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(test_load(&seen.setups), LOOPS);
    for (unsigned i = 0; i < LOOPS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "gyre/%u", i);
        cr_assert_str_eq(seen.loop[i].name, name);
        cr_assert_neq(seen.loop[i].thread, getpid());
        cr_assert(seen.loop[i].is_current);
        cr_assert(seen.loop[i].right_loop);
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(seen.loop[i].thread, seen.loop[j].thread);
    }
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    for (unsigned i = 0; i < LOOPS; i++) {
        cr_assert_eq(seen.loop[i].setups, 1);
        cr_assert_eq(seen.loop[i].teardowns, 1);
    }
    gyre_runtime_destroy(runtime);
}

static void check_affinity(enum gyre_pin pin)
{
    static struct seen seen;
    struct gyre_runtime_options options = test_options(2);
    char text[8192];
    cpu_set_t mine;
    memset(&seen, 0, sizeof(seen));
    cr_assert_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    options.pin = pin;
    options.setup = note_setup;
    options.arg = &seen;
    cr_assert_eq(gyre_runtime_create(&options, &seen.runtime), 0);
    (void)gyre_runtime_plan(seen.runtime, text, sizeof(text));
    cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
    for (unsigned i = 0; i < 2; i++) {
        char line[32];
        snprintf(line, sizeof(line), "loop=%u cpu=", i);
        const char *cpu = strstr(text, line);
        cr_assert_not_null(cpu, "no %s in %s", line, text);
        cpu += strlen(line);
        if (pin == GYRE_PIN_ALWAYS) {
            cr_assert_eq(CPU_COUNT(&seen.loop[i].cpus), 1);
            cr_assert(CPU_ISSET((size_t)atoi(cpu), &seen.loop[i].cpus), "%s", text);
        } else {
            cr_assert_eq(strncmp(cpu, "any\n", 4), 0, "%s", text);
            cr_assert(CPU_EQUAL(&seen.loop[i].cpus, &mine));
        }
    }
    gyre_runtime_destroy(seen.runtime);
}

GYRE_TEST(runtime, pinned_threads_run_where_the_plan_says)
{
    check_affinity(GYRE_PIN_ALWAYS);
}

GYRE_TEST(runtime, unpinned_threads_run_on_all_cpus_of_the_process)
{
    check_affinity(GYRE_PIN_NEVER);
}

GYRE_TEST(runtime, affinity_of_the_thread_that_starts_is_left_alone)
{
    cpu_set_t before;
    cpu_set_t after;
    struct gyre_runtime *runtime = make_plain(2);
    cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(sched_getaffinity(0, sizeof(after), &after), 0);
    cr_assert(CPU_EQUAL(&before, &after));
    cr_assert_null(gyre_loop_current_or_null());
    gyre_runtime_destroy(runtime);
}

struct order {
    _Atomic unsigned setup_done;
    _Atomic unsigned before;
    _Atomic unsigned after;
};

static int set_order(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct order *order = arg;
    (void)loop;
    (void)index;
    atomic_store_explicit(&order->setup_done, 1, memory_order_release);
    return 0;
}

static int see_order(struct gyre_loop *loop, int status, void *arg)
{
    struct order *order = arg;
    (void)loop;
    if (status == 0)
        atomic_fetch_add_explicit(test_load(&order->setup_done) != 0 ? &order->after
                                                                     : &order->before,
                                  1, memory_order_acq_rel);
    return 0;
}

GYRE_TEST(runtime, posts_before_start_run_after_the_setup)
{
    struct order order = {0};
    struct gyre_runtime *runtime = test_runtime(1, set_order, NULL, &order);
    for (unsigned i = 0; i < 10; i++)
        cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(runtime, 0), see_order, &order), 0);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&order.after), 10);
    cr_assert_eq(test_load(&order.before), 0);
    gyre_runtime_destroy(runtime);
}

GYRE_TEST(runtime, second_start_is_refused)
{
    struct gyre_runtime *runtime = make_plain(2);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_runtime_start(runtime), -EBUSY);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(gyre_runtime_start(runtime), -EBUSY);
    gyre_runtime_destroy(runtime);
}

GYRE_TEST(runtime, loops_are_stopped_and_closed_through_it_only)
{
    struct gyre_runtime *runtime = make_plain(1);
    struct gyre_loop *loop = gyre_runtime_loop(runtime, 0);
    cr_assert_eq(gyre_loop_run(loop), -EPERM);
    cr_assert_eq(gyre_loop_stop(loop), -EPERM);
    cr_assert_eq(gyre_loop_close(loop, 0), -EPERM);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_loop_stop(loop), -EPERM);
    gyre_runtime_destroy(runtime);
}

/* ---- stop ------------------------------------------------------------------------------------ */

GYRE_TEST(runtime, stop_before_start_lets_setups_and_teardowns_run)
{
    static struct seen seen;
    struct gyre_runtime *runtime = make_noting(&seen);
    gyre_runtime_stop(runtime);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), -EINVAL);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&seen.setups), LOOPS);
    cr_assert_eq(test_load(&seen.teardowns), LOOPS);
    gyre_runtime_destroy(runtime);
}

static int stop_in_setup(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct seen *seen = arg;
    (void)loop;
    atomic_fetch_add_explicit(&seen->setups, 1, memory_order_acq_rel);
    if (index == 1)
        gyre_runtime_stop(seen->runtime);
    return 0;
}

GYRE_TEST(runtime, stop_in_a_setup_takes_effect_after_all_of_them)
{
    static struct seen seen;
    seen.runtime = test_runtime(LOOPS, stop_in_setup, note_teardown, &seen);
    cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
    cr_assert_eq(gyre_runtime_join(seen.runtime), 0);
    cr_assert_eq(test_load(&seen.setups), LOOPS);
    cr_assert_eq(test_load(&seen.teardowns), LOOPS);
    gyre_runtime_destroy(seen.runtime);
}

static int stop_from_loop(struct gyre_loop *loop, int status, void *arg)
{
    struct seen *seen = arg;
    (void)loop;
    if (status == 0) {
        gyre_runtime_stop(seen->runtime);
        gyre_runtime_stop(seen->runtime);
    }
    return 0;
}

GYRE_TEST(runtime, stop_from_every_loop_counts_as_one)
{
    static struct seen seen;
    struct gyre_runtime *runtime = make_noting(&seen);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    unsigned posted = 0; /* the first may be too quick for the last */
    for (unsigned i = 0; i < LOOPS; i++)
        posted += gyre_loop_add_callback(gyre_runtime_loop(runtime, i), stop_from_loop, &seen) == 0;
    cr_assert_geq(posted, 1);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(test_load(&seen.teardowns), LOOPS);
    for (unsigned i = 0; i < LOOPS; i++)
        cr_assert_eq(seen.loop[i].teardowns, 1);
    gyre_runtime_destroy(runtime);
}

/* Each teardown posts to every loop, also to those whose teardown has run. */
static int post_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct seen *seen = arg;
    int r = note_teardown(loop, index, arg);
    for (unsigned i = 0; i < LOOPS && r == 0; i++)
        r = gyre_loop_add_callback(gyre_runtime_loop(seen->runtime, i), test_count,
                                   &seen->loop[i].posts);
    return r;
}

GYRE_TEST(runtime, what_teardowns_post_to_any_loop_still_runs)
{
    static struct seen seen;
    for (unsigned round = 0; round < 50; round++) {
        memset(&seen, 0, sizeof(seen));
        seen.runtime = test_runtime(LOOPS, note_setup, post_in_teardown, &seen);
        cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
        gyre_runtime_stop(seen.runtime);
        cr_assert_eq(gyre_runtime_join(seen.runtime), 0);
        for (unsigned i = 0; i < LOOPS; i++) {
            cr_assert_eq(test_load(&seen.loop[i].posts.run), LOOPS);
            cr_assert_eq(test_load(&seen.loop[i].posts.cancelled), 0);
        }
        gyre_runtime_destroy(seen.runtime);
    }
}

/* Outlasts all other loops' runs, and posts to them then. */
static int post_last(struct gyre_loop *loop, int status, void *arg)
{
    struct seen *seen = arg;
    (void)loop;
    if (status != 0)
        return 0;
    while (test_load(&seen->runtime->insiders) != 1)
        sched_yield();
    for (unsigned i = 0; i < 200; i++) /* time enough for a close that does not wait for us */
        sched_yield();
    for (unsigned i = 1; i < LOOPS; i++)
        seen->loop[i].right_loop = gyre_loop_add_callback(gyre_runtime_loop(seen->runtime, i),
                                                          test_count, &seen->loop[i].posts) == 0;
    return 0;
}

static int post_last_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    return index == 0 ? gyre_loop_add_callback(loop, post_last, arg) : 0;
}

GYRE_TEST(runtime, no_loop_closes_while_a_function_of_another_runs)
{
    static struct seen seen;
    seen.runtime = test_runtime(LOOPS, NULL, post_last_in_teardown, &seen);
    cr_assert_eq(gyre_runtime_start(seen.runtime), 0);
    gyre_runtime_stop(seen.runtime);
    cr_assert_eq(gyre_runtime_join(seen.runtime), 0);
    for (unsigned i = 1; i < LOOPS; i++) {
        cr_assert(seen.loop[i].right_loop, "loop %u had closed", i);
        cr_assert_eq(test_load(&seen.loop[i].posts.cancelled), 1);
    }
    gyre_runtime_destroy(seen.runtime);
}

GYRE_TEST(runtime, full_bounded_loops_can_be_started_and_stopped)
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

GYRE_TEST(runtime, join_and_destroy_on_a_loop_are_refused)
{
    struct result result = {.runtime = make_plain(2)};
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

GYRE_TEST(runtime, join_while_a_loop_closes_is_refused_on_its_thread)
{
    struct result result = {.runtime = make_plain(1)};
    cr_assert_eq(gyre_runtime_start(result.runtime), 0);
    cr_assert_eq(gyre_loop_add_callback(gyre_runtime_loop(result.runtime, 0), repost, &result), 0);
    gyre_runtime_stop(result.runtime);
    cr_assert_eq(gyre_runtime_join(result.runtime), 0);
    cr_assert_eq(result.join, -EDEADLK);
    gyre_runtime_destroy(result.runtime);
}

GYRE_TEST(runtime, join_needs_a_start_and_can_be_asked_again)
{
    struct gyre_runtime *runtime = make_plain(2);
    cr_assert_eq(gyre_runtime_join(runtime), -EINVAL);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
}

GYRE_TEST(runtime, destroy_ends_it_in_every_state)
{
    static struct seen seen;
    unsigned threads = test_threads();
    gyre_runtime_destroy(NULL);

    gyre_runtime_destroy(make_noting(&seen)); /* NEW */
    cr_assert_eq(test_load(&seen.setups), 0);

    struct gyre_runtime *runtime = make_noting(&seen); /* NEW_STOPPED */
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.setups), 0);
    cr_assert_eq(test_load(&seen.teardowns), 0);

    runtime = make_noting(&seen); /* RUNNING */
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.teardowns), LOOPS);

    runtime = make_noting(&seen); /* STOPPING */
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.teardowns), LOOPS);

    runtime = make_noting(&seen); /* ENDED */
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    gyre_runtime_destroy(runtime);
    cr_assert_eq(test_load(&seen.teardowns), LOOPS);
    cr_assert(test_threads_settle(threads), "%u threads", test_threads());
}

GYRE_TEST(runtime, destroy_without_start_cancels_what_was_posted)
{
    struct test_calls calls = {0};
    struct gyre_task task;
    struct gyre_runtime *runtime = make_plain(2);
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

GYRE_TEST(runtime, loops_that_are_held_outlive_it_closed)
{
    struct test_calls calls = {0};
    struct gyre_runtime *runtime = make_plain(2);
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

GYRE_TEST(runtime, several_live_side_by_side)
{
    struct test_calls calls = {0};
    struct gyre_runtime *runtimes[3];
    for (unsigned i = 0; i < 3; i++) {
        runtimes[i] = make_plain(2);
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
