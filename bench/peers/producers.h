/* SPDX-License-Identifier: MIT */
/*
 * producers - what the cases of many threads that post to one loop share: the threads, how far they
 * may run ahead, and the check of what arrives.
 *
 * Window    A producer has at most PRODUCERS_WINDOW posts under way. Without any bound, a producer
 *           faster than the loop would make it a measurement of how memory grows, which no program
 *           that stays up does. The bound is the same for all and must not be what is measured: a
 *           producer sleeps at the end of its window, until the loop has run half of it, so that
 *           both pay for a lock and at most one system call in 2,048 posts, and none spins.
 * Order     Each post carries its producer and its number. The posts of a producer must arrive in
 *           order, all of them, once.
 * CPUs      The loop has the first to itself, and the producers share the others: cpus.h.
 */
#ifndef BENCH_PRODUCERS_H
#define BENCH_PRODUCERS_H

#include <stdbool.h>
#include <stdint.h>

enum producers_limits {
    PRODUCERS_MAX = 64,
    PRODUCERS_WINDOW = 4096
};

/* Posts the number that arrives; `slot`, below the window, has no post under way. */
typedef void producers_send_fn(unsigned producer, unsigned slot, uint64_t number);

/*
 * Measures: `producers` threads (an argument) call `send`, `ops` times in all, while this thread
 * calls `run`, which returns when the last has arrived. Reports, or ends the program.
 */
void producers_measure(int argc, char **argv, producers_send_fn *send, void (*run)(void));

/* On the loop's thread: takes what arrived; true if it was the last of all. */
bool producers_arrived(uint64_t number);

#endif
