/* SPDX-License-Identifier: MIT */
/*
 * counter - a number that a loop's owner writes and any thread reads.
 */
#ifndef GYRE_LOOP_COUNTER_H
#define GYRE_LOOP_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

struct gyre__counter {
    _Atomic uint64_t value;
};

static inline uint64_t gyre__counter_read(const struct gyre__counter *counter)
{
    /* relaxed: a recent number is all that is promised */
    return atomic_load_explicit(&counter->value, memory_order_relaxed);
}

static inline void gyre__counter_set(struct gyre__counter *counter, uint64_t value)
{
    /* relaxed: one writer, and a reader wants a recent number, not an order */
    atomic_store_explicit(&counter->value, value, memory_order_relaxed);
}

static inline void gyre__counter_add(struct gyre__counter *counter, uint64_t amount)
{
    gyre__counter_set(counter, gyre__counter_read(counter) + amount);
}

#endif
