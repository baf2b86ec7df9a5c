/* SPDX-License-Identifier: MIT */
/*
 * histogram - the buckets' bounds, and how far a quantile may be off from the sorted values'.
 */
#include "loop/histogram.h"

#include <stdlib.h>

#include "harness/gyre_test.h"

static struct gyre__histogram histogram;
static struct gyre_histogram snapshot;

GYRE_TEST(histogram, a_value_at_a_bound_falls_in_its_bucket_and_one_below_in_the_last)
{
    cr_assert_eq(gyre_histogram_bound_ns(0), 0);
    cr_assert_eq(gyre_histogram_bound_ns(GYRE_HISTOGRAM_BUCKETS), GYRE_NEVER);
    for (unsigned i = 1; i < GYRE_HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = gyre_histogram_bound_ns(i);
        cr_assert_gt(bound, gyre_histogram_bound_ns(i - 1));
        cr_assert_eq(gyre__histogram_bucket(bound), i, "bucket %u", i);
        cr_assert_eq(gyre__histogram_bucket(bound - 1), i - 1, "below bucket %u", i);
    }
}

GYRE_TEST(histogram, a_bucket_is_a_sixteenth_wide_or_64_ns)
{
    for (unsigned i = 0; i + 1 < GYRE_HISTOGRAM_BUCKETS; i++) {
        uint64_t bound = gyre_histogram_bound_ns(i);
        uint64_t width = gyre_histogram_bound_ns(i + 1) - bound;
        cr_assert(width == 64 || width <= bound / 16, "bucket %u", i);
    }
    cr_assert_gt(gyre_histogram_bound_ns(GYRE_HISTOGRAM_BUCKETS - 1), UINT64_C(66000000000));
}

enum {
    ROUNDS = 40,
    VALUES = 5000
};

static uint64_t values[VALUES];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* xorshift64: the same values in each run. */
static uint64_t draw(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

/* Values of up to `bits` bits, each number of bits as likely; sorted. */
static void draw_values(uint64_t *random, unsigned bits, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        values[i] = draw(random) >> (64 - bits + draw(random) % bits);
    for (unsigned i = 0; i < count; i++)
        gyre__histogram_add(&histogram, values[i]);
    qsort(values, count, sizeof(values[0]), compare);
}

/* The value that so many thousandths of the sorted ones do not exceed. */
static uint64_t exact(unsigned thousandths, unsigned count)
{
    unsigned rank = (thousandths * count + 999) / 1000;
    return values[rank == 0 ? 0 : rank - 1];
}

GYRE_TEST(histogram, quantiles_of_any_values_are_off_by_a_sixteenth_at_most)
{
    static const unsigned thousandths[] = {0, 1, 10, 250, 500, 750, 900, 990, 999, 1000};
    uint64_t random = 4711;
    for (unsigned round = 1; round <= ROUNDS; round++) {
        unsigned count = round < 8 ? round : VALUES;
        unsigned bits = round % 36 + 1; /* up to 2^36 ns, which the last bucket is above */
        uint64_t sum = 0;
        histogram = (struct gyre__histogram){0};
        draw_values(&random, bits, count);
        for (unsigned i = 0; i < count; i++)
            sum += values[i];
        gyre__histogram_read(&histogram, &snapshot);
        cr_assert_eq(snapshot.count, count);
        cr_assert_eq(snapshot.sum_ns, sum);
        cr_assert_eq(snapshot.max_ns, values[count - 1]);
        for (size_t i = 0; i < sizeof(thousandths) / sizeof(thousandths[0]); i++) {
            uint64_t least = exact(thousandths[i], count);
            uint64_t got = gyre_histogram_quantile(&snapshot, thousandths[i] / 1000.0);
            uint64_t slack = least / 16 > 64 ? least / 16 : 64;
            cr_assert_geq(got, least, "%u of 1000, round %u", thousandths[i], round);
            cr_assert_leq(got, least + slack, "%u of 1000, round %u", thousandths[i], round);
        }
        cr_assert_eq(gyre_histogram_quantile(&snapshot, 1), snapshot.max_ns);
    }
}

GYRE_TEST(histogram, what_is_beyond_the_last_bound_is_counted_and_the_maximum_is_exact)
{
    gyre__histogram_read(&histogram, &snapshot);
    cr_assert_eq(gyre_histogram_quantile(&snapshot, 0.5), 0, "no values");
    gyre__histogram_add(&histogram, 100);
    gyre__histogram_add(&histogram, UINT64_MAX - 1);
    gyre__histogram_read(&histogram, &snapshot);
    cr_assert_eq(snapshot.count, 2);
    cr_assert_eq(snapshot.buckets[GYRE_HISTOGRAM_BUCKETS - 1], 1);
    cr_assert_eq(gyre_histogram_quantile(&snapshot, 0), 127);
    cr_assert_eq(gyre_histogram_quantile(&snapshot, 0.5), 127);
    cr_assert_eq(gyre_histogram_quantile(&snapshot, 0.51), UINT64_MAX - 1);
    cr_assert_eq(gyre_histogram_quantile(&snapshot, 7), UINT64_MAX - 1);
}
