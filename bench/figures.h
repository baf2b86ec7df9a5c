/* SPDX-License-Identifier: MIT */
/*
 * figures - what a series of measurements comes to.
 *
 * The middle is the median: on a machine with other work, a mean says what the worst run was. Peers
 * are compared by the median of the paired ratios, a ratio for each round, since what slows a
 * machine lasts longer than a run and so slows both of a pair.
 */
#ifndef BENCH_FIGURES_H
#define BENCH_FIGURES_H

#include <stdbool.h>

#include "cases.h"

/* The value of each round, in the order of the rounds. */
struct figures {
    unsigned count;
    double values[BENCH_ROUNDS_MAX];
};

struct figures_summary {
    double median;
    double min;
    double max;
};

/* False if it is full. */
bool figures_add(struct figures *figures, double value);

/* Of at least one value. */
struct figures_summary figures_summarise(const struct figures *figures);

/*
 * The median of peer/gyre, round by round; above 1, gyre does with less. False if there is none:
 * the series differ in length or are empty, or gyre's has a value that is not above 0.
 */
bool figures_ratio(const struct figures *peer, const struct figures *gyre, double *ret_ratio);

#endif
