/* SPDX-License-Identifier: MIT */
/*
 * sweep - runs a scenario once for each call that it makes, and each way that call can fail.
 *
 * Scenario  A function that uses the library, checks what it must be able to rely on with HOLDS,
 *           and hands every error that it is told to sweep_tell. It cleans up whatever happens.
 *           Each run has a thread of its own, so that what the library keeps a thread is new every
 *           time.
 * Judged    A run in which a fault fired may be told that fault as faults.c says, or nothing, in
 *           which case everything worked; the scenario is responsible for saying so if it did not.
 *           A run in which none fired is told nothing. Each run ends with the descriptors, threads
 *           and blocks of memory that it began with.
 * Sweep     The first call fails, in each way that it can; then the second; until a run has fewer
 *           calls. Then again with bursts: three calls of the kind fail (the thread sanitizer,
 *           which is slow, does without).
 * Hangs     A run of more than SWEEP_PATIENCE_S ends the program, with a line that names it.
 * Again     A failure says with which arguments it is repeated alone:
 *               GYRE_FAULT="<at> <choice> <burst>" <program> <case>
 */
#ifndef GYRE_TEST_FAULT_SWEEP_H
#define GYRE_TEST_FAULT_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include <gyre/gyre.h>

#include "harness/plain.h"
#include "inject.h"

enum sweep_limits {
    SWEEP_CALLS_MAX = 2000, /* of a scenario: one that makes more would take too long */
    SWEEP_BURST = 3, /* calls of the kind that fail in the second pass */
    SWEEP_PATIENCE_S = 15, /* for one run, in a build without a sanitizer */
    SWEEP_FAILURES_MAX = 5 /* of a case, until it is given up */
};

/* `arg` is sweep's. */
typedef void scenario_fn(const void *arg);

void sweep(scenario_fn *scenario, const void *arg);

/* One run with one injection, judged by the caller: what it was told, 0 for nothing. Checks what it
 * left behind. */
int sweep_once(const struct injection *injection, scenario_fn *scenario, const void *arg);

/* The scenario was told an error; 0 is none. The first of a run is the one that counts. Any thread;
 * the result is `error`. */
int sweep_tell(int error);

/* What this run was told so far, 0 for nothing. */
int sweep_told(void);

/* Checks a fact in a run; false if it does not hold, which is printed with the fault that fired. */
#define HOLDS(fact) sweep_holds((fact), #fact, __FILE__, __LINE__)
#define HOLDS_EQ(a, b) sweep_holds_equal((long long)(a), (long long)(b), #a, #b, __FILE__, __LINE__)

bool sweep_holds(bool holds, const char *text, const char *file, int line);
bool sweep_holds_equal(long long a, long long b, const char *text_a, const char *text_b,
                       const char *file, int line);

/* Options of this run's backend, for a loop that is nobody's current one; its error hook tells. */
struct gyre_loop_options sweep_loop_options(void);

/* A thread of the test's own. */
struct sweep_thread;
struct sweep_thread *sweep_thread_start(void (*fn)(void *arg), void *arg);
void sweep_thread_join(struct sweep_thread *thread);

#endif
