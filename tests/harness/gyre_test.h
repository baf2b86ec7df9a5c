/* SPDX-License-Identifier: MIT */
/*
 * gyre_test - a Criterion test that also fails for what it leaves behind.
 *
 *     GYRE_TEST(timer, with_equal_deadlines_fires_in_start_order)
 *     {
 *         cr_assert_eq(...);
 *     }
 *
 * Why      Criterion reports success for an assert in .fini, for a leak found at exit and for a
 *          sanitizer's message that does not end the process. So the checks stand inside the test:
 *          after the body, descriptors, threads and (under the address sanitizer) memory must be as
 *          before.
 * Limits   Asserts are for the test's own thread: a helper thread records, the test asserts after
 *          the join. A test that forks, or that waits for a signal, is a plain program (plain.h),
 *          and so is whatever has to run under the thread sanitizer. No .init, .fini, .timeout,
 *          .exit_code or .signal: a fixture is called by the body, time limits are ctest's.
 */
#ifndef GYRE_TEST_H
#define GYRE_TEST_H

#include <criterion/criterion.h>

#include "harness/balance.h"

#define GYRE_TEST(suite, name)                                                                     \
    static void gyre_body_##suite##_##name(void);                                                  \
    Test(suite, name)                                                                              \
    {                                                                                              \
        gyre_test_run(gyre_body_##suite##_##name);                                                 \
    }                                                                                              \
    static void gyre_body_##suite##_##name(void)

/* Runs `body` between two balances; what it leaves behind fails the test. */
void gyre_test_run(void (*body)(void));

/* The backend and the waker that this run is for ("epoll", "pipe", ...), or NULL for whichever the
 * library picks. Every loop of a test is made with both. */
const char *gyre_test_backend(void);
const char *gyre_test_waker(void);

#endif
