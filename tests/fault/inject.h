/* SPDX-License-Identifier: MIT */
/*
 * inject - makes the n-th call that the library makes of the system fail.
 *
 * What      The linker leads each call of wrapped.c through inject_here, which counts it and says
 *           whether it is to fail, and how. Allocations are one of the calls: by the library's own
 *           hook. Which calls there are, and what each can fail with, stands in faults.c.
 * Armed     A run is armed with one injection, and disarmed before anything is compared. Calls
 *           between inject_outside_begin and _end are the test's own, and not counted.
 * Burst     How many calls of the failing kind fail, that one included: shortages seldom hit once.
 * Threads   Any may call what is wrapped; arm and disarm belong to the test's main thread. What
 *           fired is read after the threads concerned were joined, or is a moment old.
 */
#ifndef GYRE_TEST_FAULT_INJECT_H
#define GYRE_TEST_FAULT_INJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "calls.h"

/* What a call can fail with: an errno, or one of these. */
enum inject_code {
    INJECT_SHORT = -1, /* one byte is moved instead of all */
    INJECT_PENDING = -2 /* the call succeeds and reads ECONNREFUSED out of the socket */
};

/* What the library's user may hear of it, beside nothing. */
enum inject_told {
    INJECT_NOTHING = 0, /* the library has to deal with it */
    INJECT_ITSELF = 1, /* the same errno */
    INJECT_IN_BURST = 2 /* the same errno if the next call fails as well, else nothing */
    /* or a negative errno: that one */
};

struct fault {
    int code; /* errno, or enum inject_code */
    int told; /* enum inject_told */
};

struct injection {
    enum inject_call only; /* count calls of this kind alone; INJECT_ANY: all */
    unsigned at; /* the number of the first call to fail, from 1 */
    unsigned choice; /* among what that call can fail with */
    unsigned burst; /* how many calls of that kind fail */
};

struct inject_report {
    unsigned calls; /* counted while armed */
    bool reached; /* there was an at-th call */
    bool fired; /* and it had such a choice: it failed */
    enum inject_call call; /* which call it was */
    struct fault fault; /* if it fired */
};

void inject_arm(const struct injection *injection);
void inject_disarm(void);

/* What has happened since inject_arm. */
struct inject_report inject_read(void);

/* For wrapped.c: the fault to show, or NULL to make the call. */
const struct fault *inject_here(enum inject_call call);

/* What a call can fail with. */
const struct fault *inject_faults(enum inject_call call, size_t *ret_count);

/* "accept4", and "EMFILE" or a word for the other codes. */
const char *inject_call_name(enum inject_call call);
const char *inject_code_name(int code);

/* Between these the calling thread's calls are the test's own. They nest. */
void inject_outside_begin(void);
void inject_outside_end(void);

/* Has the library allocate by a counting allocator that can fail: once, before its first use. */
void inject_allocator(void);

#endif
