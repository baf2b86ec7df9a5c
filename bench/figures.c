/* SPDX-License-Identifier: MIT */
/*
 * figures - see figures.h.
 */
#include "figures.h"

#include <stdlib.h>

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

bool figures_add(struct figures *figures, double value)
{
    if (figures->count == BENCH_ROUNDS_MAX)
        return false;
    figures->values[figures->count++] = value;
    return true;
}

struct figures_summary figures_summarise(const struct figures *figures)
{
    struct figures sorted = *figures;
    qsort(sorted.values, sorted.count, sizeof(sorted.values[0]), compare);
    unsigned middle = sorted.count / 2;
    double median = sorted.values[middle];
    if (sorted.count % 2 == 0)
        median = (median + sorted.values[middle - 1]) / 2;
    return (struct figures_summary){
        .median = median, .min = sorted.values[0], .max = sorted.values[sorted.count - 1]};
}

bool figures_ratio(const struct figures *peer, const struct figures *gyre, double *ret_ratio)
{
    if (peer->count == 0 || peer->count != gyre->count)
        return false;
    struct figures ratios = {.count = peer->count};
    for (unsigned i = 0; i < peer->count; i++) {
        if (!(gyre->values[i] > 0))
            return false;
        ratios.values[i] = peer->values[i] / gyre->values[i];
    }
    *ret_ratio = figures_summarise(&ratios).median;
    return true;
}
