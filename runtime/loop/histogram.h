/* SPDX-License-Identifier: MIT */
/*
 * histogram - how often which durations came, log-linear, in fixed memory.
 *
 * What      The buckets of gyre/metrics.h. With 64 ns as the unit, a value below 16 units is its
 *           own bucket's number; above, its highest set bit tells the power, four bits below the
 *           step.
 * Threads   One writer, any readers. A reader gets numbers that are each recent, and takes the
 *           count from the buckets it has read, so that quantiles are of one set.
 */
#ifndef GYRE_LOOP_HISTOGRAM_H
#define GYRE_LOOP_HISTOGRAM_H

#include <gyre/metrics.h>

#include "loop/counter.h"

enum gyre__histogram_shape {
    GYRE__HISTOGRAM_UNIT_BITS = 6, /* 64 ns: about what two clock readings take */
    GYRE__HISTOGRAM_STEP_BITS = 4 /* 16 steps a power of two */
};

struct gyre__histogram {
    struct gyre__counter sum_ns;
    struct gyre__counter max_ns;
    struct gyre__counter buckets[GYRE_HISTOGRAM_BUCKETS];
};

/* The bucket that counts `ns`. */
unsigned gyre__histogram_bucket(uint64_t ns);

/* Counts a value: the writer's. */
void gyre__histogram_add(struct gyre__histogram *histogram, uint64_t ns);

void gyre__histogram_read(const struct gyre__histogram *histogram,
                          struct gyre_histogram *ret_histogram);

#endif
