/* SPDX-License-Identifier: MIT */
/*
 * metrics - where a loop's time goes: histograms of fixed memory, which any thread may read.
 *
 * Timing    They are filled with GYRE_TIMING_TURNS or more in the loop's options, else stay empty.
 * Turn      From the return of one poll to the next poll that may sleep, or to the return of one
 *           that may not: what was ready when the turn began has to wait so long at most.
 * Buckets   Log-linear: steps of 64 ns up to 1,024 ns, then 16 equal steps to each power of two. So
 *           a bucket is at most 1/16 as wide as its lower bound, or 64 ns; the last one has all
 *           from 66 s on. Counts, sum and maximum are exact.
 */
#ifndef GYRE_METRICS_H
#define GYRE_METRICS_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

enum gyre_histogram_limits {
    GYRE_HISTOGRAM_BUCKETS = 432
};

/* A histogram as it was read. */
struct gyre_histogram {
    uint64_t count; /* of the values in all buckets */
    uint64_t sum_ns; /* may be some values ahead of the count, or behind it */
    uint64_t max_ns; /* likewise */
    uint64_t buckets[GYRE_HISTOGRAM_BUCKETS];
};

/* The histograms of a loop. */
enum gyre_loop_metric {
    GYRE_METRIC_TURN, /* by the loop's clock: see Turn */
    GYRE_METRIC_TIMER_LAG, /* from a timer's deadline to its call, by the loop's clock */
    GYRE_METRIC_POST_LAG /* from a post of another thread to its call, by the system's clock: of
                          * each thread the first, and then one in 84 to 1,344 */
};

/*
 * The least value that bucket number `at` counts; GYRE_NEVER for a number that no bucket has.
 *
 * Threads:  any.
 */
GYRE_API uint64_t gyre_histogram_bound_ns(unsigned at) GYRE_ANY_THREAD;

/*
 * A value that at least the part `quantile` (0 to 1) of the values do not exceed: the upper bound
 * of the bucket that the exact one fell in, or the maximum if that is less; 0 if there are no
 * values.
 *
 * Threads:  any.
 * Limits:   at most 1/16 or 64 ns above the exact one, whichever is more; from 66 s on the maximum.
 */
GYRE_API uint64_t gyre_histogram_quantile(const struct gyre_histogram *histogram, double quantile)
    GYRE_ANY_THREAD;

/*
 * Reads one of a loop's histograms.
 *
 * Threads:  any.
 * Errors:   -EINVAL: there is no such metric.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_histogram(const struct gyre_loop *loop,
                                                 enum gyre_loop_metric metric,
                                                 struct gyre_histogram *ret_histogram)
    GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
