/* SPDX-License-Identifier: MIT */
/*
 * support - see support.h.
 */
#include "support.h"

#include "harness/gyre_test.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct gyre_runtime_options test_options(unsigned loops)
{
    static struct gyre_loop_options loop_options;
    struct gyre_runtime_options options;
    gyre_loop_options_init(&loop_options);
    loop_options.backend = gyre_test_backend();
    loop_options.waker = gyre_test_waker();
    gyre_runtime_options_init(&options);
    options.loops = loops;
    options.loop = &loop_options;
    return options;
}

struct gyre_runtime *test_runtime(unsigned loops, gyre_setup_fn *setup, gyre_setup_fn *teardown,
                                  void *arg)
{
    struct gyre_runtime *runtime = NULL;
    struct gyre_runtime_options options = test_options(loops);
    options.setup = setup;
    options.teardown = teardown;
    options.arg = arg;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), 0);
    cr_assert_eq(gyre_runtime_loops(runtime), loops);
    return runtime;
}

unsigned test_threads(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/task");
    cr_assert_not_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

bool test_threads_settle(unsigned expected)
{
    for (unsigned tries = 0; tries < 100000; tries++) {
        if (test_threads() == expected)
            return true;
        sched_yield();
    }
    return false;
}

int test_index_of(const struct gyre_runtime *runtime, const struct gyre_loop *loop)
{
    for (unsigned i = 0; i < gyre_runtime_loops(runtime); i++)
        if (gyre_runtime_loop(runtime, i) == loop)
            return (int)i;
    return -1;
}

int test_count(struct gyre_loop *loop, int status, void *arg)
{
    struct test_calls *calls = arg;
    (void)loop;
    atomic_store_explicit(&calls->last_status, status, memory_order_release);
    atomic_fetch_add_explicit(status == 0            ? &calls->run
                              : status == -ECANCELED ? &calls->cancelled
                                                     : &calls->other,
                              1, memory_order_acq_rel);
    return 0;
}

void test_wait(const _Atomic bool *flag)
{
    while (!atomic_load_explicit(flag, memory_order_acquire))
        sched_yield();
}

int test_wait_for(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    if (status == 0)
        test_wait(arg);
    return 0;
}

int test_note_setup(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct test_seen *seen = arg;
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

int test_note_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct test_seen *seen = arg;
    (void)loop;
    seen->loop[index].teardowns += gettid() == seen->loop[index].thread;
    atomic_fetch_add_explicit(&seen->teardowns, 1, memory_order_acq_rel);
    return 0;
}

struct gyre_runtime *test_noting_runtime(struct test_seen *seen)
{
    memset(seen, 0, sizeof(*seen));
    seen->runtime = test_runtime(TEST_LOOPS, test_note_setup, test_note_teardown, seen);
    return seen->runtime;
}
