/* SPDX-License-Identifier: MIT */
/*
 * histogram - see histogram.h for the shape.
 */
#include "loop/histogram.h"

enum {
    UNIT_BITS = GYRE__HISTOGRAM_UNIT_BITS,
    STEP_BITS = GYRE__HISTOGRAM_STEP_BITS,
    STEPS = 1 << STEP_BITS
};

unsigned gyre__histogram_bucket(uint64_t ns)
{
    uint64_t units = ns >> UNIT_BITS;
    if (units < STEPS)
        return (unsigned)units;
    unsigned above = 63u - STEP_BITS - (unsigned)__builtin_clzll(units); /* powers above STEPS */
    unsigned bucket = STEPS * above + (unsigned)(units >> above);
    return bucket < GYRE_HISTOGRAM_BUCKETS ? bucket : GYRE_HISTOGRAM_BUCKETS - 1;
}

uint64_t gyre_histogram_bound_ns(unsigned at)
{
    if (at >= GYRE_HISTOGRAM_BUCKETS)
        return GYRE_NEVER;
    if (at < STEPS)
        return (uint64_t)at << UNIT_BITS;
    return (uint64_t)(STEPS + at % STEPS) << (at / STEPS - 1 + UNIT_BITS);
}

void gyre__histogram_add(struct gyre__histogram *histogram, uint64_t ns)
{
    gyre__counter_add(&histogram->buckets[gyre__histogram_bucket(ns)], 1);
    gyre__counter_add(&histogram->sum_ns, ns);
    if (ns > gyre__counter_read(&histogram->max_ns))
        gyre__counter_set(&histogram->max_ns, ns);
}

void gyre__histogram_read(const struct gyre__histogram *histogram,
                          struct gyre_histogram *ret_histogram)
{
    ret_histogram->count = 0;
    ret_histogram->sum_ns = gyre__counter_read(&histogram->sum_ns);
    for (unsigned i = 0; i < GYRE_HISTOGRAM_BUCKETS; i++) {
        ret_histogram->buckets[i] = gyre__counter_read(&histogram->buckets[i]);
        ret_histogram->count += ret_histogram->buckets[i];
    }
    ret_histogram->max_ns = gyre__counter_read(&histogram->max_ns);
}

/* How many of `count` values have to be counted until the quantile is among them: 1 to `count`. */
static uint64_t rank_of(uint64_t count, double quantile)
{
    double exact = quantile * (double)count;
    if (!(exact > 1)) /* also where it is no number */
        return 1;
    if (exact >= (double)count)
        return count;
    uint64_t rank = (uint64_t)exact;
    return (double)rank < exact ? rank + 1 : rank;
}

uint64_t gyre_histogram_quantile(const struct gyre_histogram *histogram, double quantile)
{
    if (histogram->count == 0)
        return 0;
    uint64_t left = rank_of(histogram->count, quantile);
    unsigned at = 0;
    while (at + 1 < GYRE_HISTOGRAM_BUCKETS && histogram->buckets[at] < left)
        left -= histogram->buckets[at++];
    uint64_t last_ns = gyre_histogram_bound_ns(at + 1) - 1; /* of the last one: beyond any value */
    return last_ns < histogram->max_ns ? last_ns : histogram->max_ns;
}
