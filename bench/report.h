/* SPDX-License-Identifier: MIT */
/*
 * report - the rounds as a table for people, and as JSON for plots.
 *
 * JSON     One array; an object for each case, peer, params and metric: case, peer, params, metric,
 *          unit, median, min, max, runs, ratio_to_gyre (null where there is none), machine. Peers
 *          that are absent or failed are not in it.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "rounds.h"

struct report {
    FILE *json; /* NULL: none is wanted */
    const char *path; /* its name */
    char machine[256];
    unsigned objects;
    unsigned measured; /* peers, over all rounds */
    unsigned failed;
};

/* Opens the JSON file, unless `path` is NULL; false, with errno, if it cannot. */
bool report_begin(struct report *report, const char *path);

/* Adds what one call of rounds_run has found. */
void report_add(struct report *report, const struct rounds *rounds);

/* Ends the JSON file; false, with errno, if it is not whole. */
bool report_end(struct report *report);

#endif
