/* SPDX-License-Identifier: MIT */
/*
 * broken_plain - cases of a plain program that must fail, and one that must not. See broken.c.
 */
#include "harness/balance.h"
#include "harness/plain.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int shared_number;
static int lent;

static long count_lent(void)
{
    return lent;
}

static void *check_a_lie(void *arg)
{
    CHECK_EQ(1, 2);
    return arg;
}

static void *return_at_once(void *arg)
{
    return arg;
}

static void *add_without_lock(void *arg)
{
    for (int i = 0; i < 10000; i++)
        shared_number++;
    return arg;
}

static void nothing(void)
{
    CHECK(1 == 1);
    CHECK_EQ(2, 2);
    CHECK_NE(1, 2);
    CHECK_LE(1, 2);
    CHECK_GE(2, 2);
    CHECK_STR("a", "a");

    pid_t child = fork();
    if (child == 0)
        plain_exit_child();
    int status = -1;
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);

    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, return_at_once, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void number(void)
{
    CHECK_LE(3, 2);
}

static void text(void)
{
    CHECK_STR("a", "b");
}

static void helper_thread(void)
{
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, check_a_lie, NULL), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}

static void child(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        CHECK_EQ(1, 2);
        plain_exit_child();
    }
    int status = -1;
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

static void descriptor_left(void)
{
    CHECK(open("/dev/null", O_RDONLY | O_CLOEXEC) >= 0);
}

static void memory_lost(void)
{
    char *volatile memory = malloc(1000);
    CHECK(memory != NULL);
    memory = NULL;
}

static void counter_left(void)
{
    lent++;
}

static void race(void)
{
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, add_without_lock, NULL), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
}

static void skipped(void)
{
    PLAIN_SKIP("it is the %s case", "skipped");
}

static void leaves_early(void)
{
    exit(0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(nothing),     PLAIN_CASE(number),       PLAIN_CASE(text),
    PLAIN_CASE(child),       PLAIN_CASE(helper_thread), PLAIN_CASE(descriptor_left),
    PLAIN_CASE(memory_lost), PLAIN_CASE(counter_left), PLAIN_CASE(race),
    PLAIN_CASE(skipped),     PLAIN_CASE(leaves_early),
};

int main(int argc, char **argv)
{
    gyre_balance_count("lent", count_lent);
    return plain_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
