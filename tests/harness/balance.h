/* SPDX-License-Identifier: MIT */
/*
 * balance - what a test must leave as it found it: descriptors, threads, whatever else is counted.
 *
 * Both harnesses take a balance before a case and compare after it. What a case leaves behind is
 * described in one line each, so that the failure says what leaked and not only how much.
 *
 * To count something more (heap blocks of the library's allocator hook, say), give
 * gyre_balance_count a function that returns the number in use; it is compared like the rest.
 */
#ifndef GYRE_TEST_BALANCE_H
#define GYRE_TEST_BALANCE_H

#include <stdbool.h>
#include <stddef.h>

enum {
    GYRE_BALANCE_FDS_MAX = 4096, /* descriptors compared; above that only their number */
    GYRE_BALANCE_COUNTERS_MAX = 8,
    GYRE_BALANCE_REPORT_BYTES = 2048
};

struct gyre_balance {
    unsigned char open[GYRE_BALANCE_FDS_MAX];
    long fds;
    long threads;
    long counters[GYRE_BALANCE_COUNTERS_MAX];
};

/* Adds a number to compare; `name` and `in_use` must stay valid. Call it before the first case. */
void gyre_balance_count(const char *name, long (*in_use)(void));

/* Records what is in use now. */
void gyre_balance_take(struct gyre_balance *balance);

/*
 * Compares with `before`; false if something more is in use now, with a line for each in `report`.
 *
 * A thread that was joined or has just returned may take the kernel a moment to remove: it is given
 * up to two seconds, which only a failing case spends.
 */
bool gyre_balance_check(const struct gyre_balance *before, char report[GYRE_BALANCE_REPORT_BYTES]);

/* Under the address sanitizer, true if memory that nothing points to any more was found. */
bool gyre_balance_lost_memory(void);

#endif
