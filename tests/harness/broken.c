/* SPDX-License-Identifier: MIT */
/*
 * broken - Criterion tests that must fail, one for each thing the harness finds, and a sound one.
 *
 * self.sh runs each alone. A harness that has stopped looking shows as a test here that passes.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static void *sleep_for_ever(void *arg)
{
    for (;;)
        pause();
    return arg;
}

static void *return_at_once(void *arg)
{
    return arg;
}

GYRE_TEST(broken, nothing)
{
    pthread_t thread;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    void *memory = malloc(64);

    cr_assert(fd >= 0);
    cr_assert_eq(pthread_create(&thread, NULL, return_at_once, memory), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    close(fd);
    free(memory);
}

GYRE_TEST(broken, assert)
{
    cr_assert_eq(1, 2);
}

GYRE_TEST(broken, descriptor_left)
{
    cr_assert(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

GYRE_TEST(broken, descriptor_closed)
{
    close(0);
}

GYRE_TEST(broken, thread_left)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, sleep_for_ever, NULL), 0);
}

GYRE_TEST(broken, memory_lost)
{
    char *volatile memory = malloc(1000);
    cr_assert_not_null(memory);
    memory = NULL;
}

GYRE_TEST(broken, undefined)
{
    volatile int shift = 33;
    volatile int value = 1;
    cr_assert(((value << shift) | 1) != 0);
}

GYRE_TEST(broken, crash)
{
    volatile int *volatile nowhere = NULL;
    *nowhere = 1;
}
