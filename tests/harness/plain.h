/* SPDX-License-Identifier: MIT */
/*
 * plain - tests as plain programs, for what Criterion cannot hold: threads under the thread
 * sanitizer, forks, signals, long stress.
 *
 *     static void posts_of_eight_threads_run_once_each(void)
 *     {
 *         if (!CHECK(gyre_loop_create(NULL, &loop) == 0))
 *             return;
 *         CHECK_EQ(run, posted);
 *     }
 *
 *     static const struct plain_case cases[] = {
 *         PLAIN_CASE(posts_of_eight_threads_run_once_each),
 *     };
 *     PLAIN_MAIN(cases)
 *
 * The program runs its cases one after another in one process, prints TAP ("ok 1 - name"), and
 * compares descriptors and threads after each as gyre_test.h does. Arguments name the cases to
 * run; a name that matches none is an error. --list prints the names.
 *
 * Exit      0: all passed; 1: some failed; 2: wrong arguments; 77: every case was skipped.
 * Threads   CHECK may be used from any thread. A child process has its own count: it ends with
 *           plain_exit_child(), and the parent checks its status to be 0.
 */
#ifndef GYRE_TEST_PLAIN_H
#define GYRE_TEST_PLAIN_H

#include <stdbool.h>
#include <stddef.h>

struct plain_case {
    const char *name;
    void (*fn)(void);
};

/* Each is true when it holds; otherwise file, line and values are printed and the case fails. */
#define CHECK(condition) plain_check((condition), #condition, __FILE__, __LINE__)
#define CHECK_EQ(a, b) PLAIN_CHECK(a, b, #a, #b, PLAIN_EQ)
#define CHECK_NE(a, b) PLAIN_CHECK(a, b, #a, #b, PLAIN_NE)
#define CHECK_LE(a, b) PLAIN_CHECK(a, b, #a, #b, PLAIN_LE)
#define CHECK_GE(a, b) PLAIN_CHECK(a, b, #a, #b, PLAIN_GE)
#define CHECK_STR(a, b) plain_check_text((a), (b), #a, #b, __FILE__, __LINE__)

/* The texts are taken by CHECK_EQ and its like, before a macro in them is expanded. */
#define PLAIN_CHECK(a, b, text_a, text_b, relation)                                                \
    plain_check_number((long long)(a), (long long)(b), relation, text_a, text_b, __FILE__, __LINE__)

/* Ends the case as skipped, with a reason for the report. In the case's own function only. */
#define PLAIN_SKIP(...)                                                                            \
    do {                                                                                           \
        plain_skip(__VA_ARGS__);                                                                   \
        return;                                                                                    \
    } while (0)

#define PLAIN_CASE(fn) { #fn, fn }

#define PLAIN_MAIN(cases)                                                                          \
    int main(int argc, char **argv)                                                                \
    {                                                                                              \
        return plain_main(argc, argv, cases, sizeof(cases) / sizeof((cases)[0]));                  \
    }

enum plain_relation {
    PLAIN_EQ,
    PLAIN_NE,
    PLAIN_LE,
    PLAIN_GE
};

int plain_main(int argc, char **argv, const struct plain_case *cases, size_t count);

/* Prints a line of diagnosis that belongs to the running case. */
__attribute__((format(printf, 1, 2))) void plain_note(const char *format, ...);

__attribute__((format(printf, 1, 2))) void plain_skip(const char *format, ...);

/* In a forked child: leaves with 0 if every check of the child held, else 1; no atexit work. */
__attribute__((noreturn)) void plain_exit_child(void);

/* The number that the environment variable `name` holds, or `fallback`: sizes of stress, seeds. */
long plain_number(const char *name, long fallback);

/* True in a build for the thread sanitizer: work about ten times smaller there. */
bool plain_tsan(void);

/* The backend and the waker that this run is for, or NULL for whichever the library picks. */
const char *plain_backend(void);
const char *plain_waker(void);

bool plain_check(bool holds, const char *text, const char *file, int line);
bool plain_check_number(long long a, long long b, enum plain_relation relation, const char *text_a,
                        const char *text_b, const char *file, int line);
bool plain_check_text(const char *a, const char *b, const char *text_a, const char *text_b,
                      const char *file, int line);

#endif
