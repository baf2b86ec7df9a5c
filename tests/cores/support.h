/* SPDX-License-Identifier: MIT */
/*
 * support - what the tests of the set share: options for this run's backend, threads counted, calls
 * seen.
 */
#ifndef GYRE_TEST_CORES_SUPPORT_H
#define GYRE_TEST_CORES_SUPPORT_H

#include <stdatomic.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

#include <gyre/runtime.h>

/* Options for `loops` loops on the backend of this run. */
struct gyre_runtime_options test_options(unsigned loops);

/* A runtime of `loops` loops with these functions, made or the test fails. */
struct gyre_runtime *test_runtime(unsigned loops, gyre_setup_fn *setup, gyre_setup_fn *teardown,
                                  void *arg);

/* The number of this process's threads. */
unsigned test_threads(void);

/* Whether that is `expected`; the kernel removes a thread a moment after it lets its joiner go. */
bool test_threads_settle(unsigned expected);

/* The index of `loop` in `runtime`, or -1. */
int test_index_of(const struct gyre_runtime *runtime, const struct gyre_loop *loop);

/* Calls of a function: how often with which status. */
struct test_calls {
    _Atomic unsigned run;
    _Atomic unsigned cancelled;
    _Atomic unsigned other;
    _Atomic int last_status;
};

/* A gyre_fn that counts in its arg, a struct test_calls. */
int test_count(struct gyre_loop *loop, int status, void *arg);

/* A gyre_fn that waits until its arg, an _Atomic bool, is true. */
int test_wait_for(struct gyre_loop *loop, int status, void *arg);

/* Waits until `*flag` is true; the time limit is ctest's. */
void test_wait(const _Atomic bool *flag);

enum {
    TEST_LOOPS = 4
};

/* What the setup and the teardown of each loop saw. */
struct test_seen {
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
    } loop[TEST_LOOPS];
    _Atomic unsigned setups;
    _Atomic unsigned teardowns;
};

int test_note_setup(struct gyre_loop *loop, unsigned index, void *arg);
int test_note_teardown(struct gyre_loop *loop, unsigned index, void *arg);

/* A runtime of TEST_LOOPS loops with these two, and with `seen`, cleared, as their arg. */
struct gyre_runtime *test_noting_runtime(struct test_seen *seen);

static inline unsigned test_load(const _Atomic unsigned *number)
{
    return atomic_load_explicit(number, memory_order_acquire);
}

#endif
