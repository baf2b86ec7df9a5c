/* SPDX-License-Identifier: MIT */
/*
 * plain - runs the cases of a plain test program and prints TAP. See plain.h.
 *
 * Standard output carries the protocol alone; each line is written by one call, so that lines of
 * several threads do not mix.
 */
#include "harness/plain.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/balance.h"

#if defined(__SANITIZE_THREAD__)
#define PLAIN_TSAN true
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PLAIN_TSAN true
#endif
#endif
#ifndef PLAIN_TSAN
#define PLAIN_TSAN false
#endif

enum {
    PLAIN_LINE_BYTES = 4096,
    PLAIN_FAILURES_SHOWN_MAX = 20, /* of a case: a broken loop must not fill the disk */
    PLAIN_EXIT_SKIPPED = 77
};

static atomic_long failures;
static char skip_reason[256];

static void print_lines(const char *text)
{
    while (*text != '\0') {
        size_t length = strcspn(text, "\n");
        fprintf(stdout, "# %.*s\n", (int)length, text);
        text += length + (text[length] == '\n');
    }
    fflush(stdout);
}

void plain_note(const char *format, ...)
{
    char line[PLAIN_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    print_lines(line);
}

void plain_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(skip_reason, sizeof(skip_reason), format, arguments);
    va_end(arguments);
}

/* True if this failure is still to be shown. */
static bool count_failure(void)
{
    /* Relaxed: a count, read after the threads that add to it were joined. */
    return atomic_fetch_add_explicit(&failures, 1, memory_order_relaxed) < PLAIN_FAILURES_SHOWN_MAX;
}

bool plain_check(bool holds, const char *text, const char *file, int line)
{
    if (!holds && count_failure())
        plain_note("%s:%d: failed: %s", file, line, text);
    return holds;
}

bool plain_check_number(long long a, long long b, enum plain_relation relation, const char *text_a,
                        const char *text_b, const char *file, int line)
{
    static const char *const signs[] = { "==", "!=", "<=", ">=" };
    bool holds = false;

    switch (relation) {
    case PLAIN_EQ:
        holds = a == b;
        break;
    case PLAIN_NE:
        holds = a != b;
        break;
    case PLAIN_LE:
        holds = a <= b;
        break;
    case PLAIN_GE:
        holds = a >= b;
        break;
    }
    if (!holds && count_failure())
        plain_note("%s:%d: failed: %s %s %s: %lld and %lld", file, line, text_a, signs[relation],
                   text_b, a, b);
    return holds;
}

bool plain_check_text(const char *a, const char *b, const char *text_a, const char *text_b,
                      const char *file, int line)
{
    bool holds = a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);

    if (!holds && count_failure())
        plain_note("%s:%d: failed: %s == %s: \"%s\" and \"%s\"", file, line, text_a, text_b,
                   a != NULL ? a : "(null)", b != NULL ? b : "(null)");
    return holds;
}

void plain_exit_child(void)
{
    fflush(stdout);
    _exit(atomic_load_explicit(&failures, memory_order_relaxed) != 0);
}

long plain_number(const char *name, long fallback)
{
    const char *text = getenv(name);
    if (text == NULL || text[0] == '\0')
        return fallback;
    char *end;
    long number = strtol(text, &end, 0);
    if (*end != '\0') {
        fprintf(stderr, "plain: %s=%s is no number\n", name, text);
        exit(2);
    }
    return number;
}

bool plain_tsan(void)
{
    return PLAIN_TSAN;
}

static const char *name_in(const char *variable)
{
    const char *name = getenv(variable);
    return name != NULL && name[0] != '\0' ? name : NULL;
}

const char *plain_backend(void)
{
    return name_in("GYRE_TEST_BACKEND");
}

const char *plain_waker(void)
{
    return name_in("GYRE_TEST_WAKER");
}

static void *return_at_once(void *arg)
{
    return arg;
}

/* The thread sanitizer starts a thread of its own with our first one: not in a case, then. */
static void start_sanitizer_thread(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, return_at_once, NULL) != 0) {
        fprintf(stderr, "plain: no thread can be made\n");
        exit(2);
    }
    pthread_join(thread, NULL);
}

static bool selected(const struct plain_case *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], test->name) == 0)
            return true;
    return argc == 1;
}

static bool known(const char *name, const struct plain_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, cases[i].name) == 0)
            return true;
    return false;
}

/* Runs one case; true if it did not fail. */
static bool run_case(const struct plain_case *test, size_t number)
{
    static struct gyre_balance before;
    static char report[GYRE_BALANCE_REPORT_BYTES];

    atomic_store_explicit(&failures, 0, memory_order_relaxed); /* relaxed: no other thread yet */
    skip_reason[0] = '\0';
    gyre_balance_take(&before);
    test->fn();
    if (!gyre_balance_check(&before, report) && count_failure())
        plain_note("the case left something behind:\n%s", report);
    if (gyre_balance_lost_memory() && count_failure())
        plain_note("the case lost memory: see the leak report");

    /* Relaxed: the case has joined its threads. */
    long failed = atomic_load_explicit(&failures, memory_order_relaxed);
    if (failed != 0)
        printf("not ok %zu - %s\n", number, test->name);
    else if (skip_reason[0] != '\0')
        printf("ok %zu - %s # SKIP %s\n", number, test->name, skip_reason);
    else
        printf("ok %zu - %s\n", number, test->name);
    fflush(stdout);
    return failed == 0;
}

int plain_main(int argc, char **argv, const struct plain_case *cases, size_t count)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (size_t i = 0; i < count; i++)
            printf("%s\n", cases[i].name);
        return 0;
    }
    for (int i = 1; i < argc; i++) {
        if (!known(argv[i], cases, count)) {
            fprintf(stderr, "%s: no case is named %s\n", argv[0], argv[i]);
            return 2;
        }
    }

    size_t planned = 0;
    for (size_t i = 0; i < count; i++)
        planned += selected(&cases[i], argc, argv);
    printf("1..%zu\n", planned);
    fflush(stdout); /* a forked child must not print it again */

    if (PLAIN_TSAN)
        start_sanitizer_thread();

    size_t number = 0;
    size_t passed = 0;
    size_t skipped = 0;
    for (size_t i = 0; i < count; i++) {
        if (!selected(&cases[i], argc, argv))
            continue;
        number++;
        if (run_case(&cases[i], number)) {
            passed++;
            skipped += skip_reason[0] != '\0';
        }
    }
    if (passed != number || number == 0)
        return 1;
    return skipped == number ? PLAIN_EXIT_SKIPPED : 0;
}
