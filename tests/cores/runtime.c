/* SPDX-License-Identifier: MIT */
/*
 * runtime - a set of loops: its creation, and its start when all goes well.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gyre/task.h>

#include "support.h"

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
    static struct test_seen seen;
    struct gyre_runtime *runtime = test_noting_runtime(&seen);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(test_load(&seen.setups), TEST_LOOPS);
    for (unsigned i = 0; i < TEST_LOOPS; i++) {
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
    for (unsigned i = 0; i < TEST_LOOPS; i++) {
        cr_assert_eq(seen.loop[i].setups, 1);
        cr_assert_eq(seen.loop[i].teardowns, 1);
    }
    gyre_runtime_destroy(runtime);
}

static void check_affinity(enum gyre_pin pin)
{
    static struct test_seen seen;
    struct gyre_runtime_options options = test_options(2);
    char text[8192];
    cpu_set_t mine;
    memset(&seen, 0, sizeof(seen));
    cr_assert_eq(sched_getaffinity(0, sizeof(mine), &mine), 0);
    options.pin = pin;
    options.setup = test_note_setup;
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
    struct gyre_runtime *runtime = test_runtime(2, NULL, NULL, NULL);
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
    struct gyre_runtime *runtime = test_runtime(2, NULL, NULL, NULL);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_runtime_start(runtime), -EBUSY);
    gyre_runtime_stop(runtime);
    cr_assert_eq(gyre_runtime_join(runtime), 0);
    cr_assert_eq(gyre_runtime_start(runtime), -EBUSY);
    gyre_runtime_destroy(runtime);
}

GYRE_TEST(runtime, loops_are_stopped_and_closed_through_it_only)
{
    struct gyre_runtime *runtime = test_runtime(1, NULL, NULL, NULL);
    struct gyre_loop *loop = gyre_runtime_loop(runtime, 0);
    cr_assert_eq(gyre_loop_run(loop), -EPERM);
    cr_assert_eq(gyre_loop_stop(loop), -EPERM);
    cr_assert_eq(gyre_loop_close(loop, 0), -EPERM);
    cr_assert_eq(gyre_runtime_start(runtime), 0);
    cr_assert_eq(gyre_loop_stop(loop), -EPERM);
    gyre_runtime_destroy(runtime);
}
