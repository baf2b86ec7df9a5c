/* SPDX-License-Identifier: MIT */
/*
 * program - one run of a measuring program (measure.h), by itself or under what counts its steps.
 */
#ifndef BENCH_PROGRAM_H
#define BENCH_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include "cases.h"

enum program_limits {
    PROGRAM_REASON_MAX = 256
};

struct program {
    const char *directory;
    const char *case_name;
    const char *peer;
    const char *params;
    unsigned timeout_s;
};

enum program_outcome {
    PROGRAM_RAN, /* and its result was right */
    PROGRAM_ABSENT, /* it was not built, or this machine cannot run it */
    PROGRAM_FAILED
};

struct program_run {
    enum program_outcome outcome;
    char reason[PROGRAM_REASON_MAX]; /* a line, unless it ran */
    double values[BENCH_METRICS];
};

/* Runs it; `reported` are the bits of the metrics that it has to report. */
void program_measure(const struct program *program, uint64_t ops, unsigned reported,
                     struct program_run *ret_run);

/*
 * Runs it with two numbers of operations under what counts `metric`, and takes the difference an
 * operation: what start and end cost is in both.
 */
void program_count(const struct program *program, uint64_t ops, enum bench_metric metric,
                   struct program_run *ret_run);

/* Whether `metric` can be counted here; if not, `reason` says why, in a line. */
bool program_can_count(enum bench_metric metric, char reason[PROGRAM_REASON_MAX]);

#endif
