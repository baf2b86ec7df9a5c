/* SPDX-License-Identifier: MIT */
/*
 * lag - how late the machine runs what is ready, measured while something else is timed.
 *
 * What     A thread on each CPU that we may use sleeps a millisecond at a time, and notes by how
 *          much it woke late. Whoever bounds a time that takes a few wake-ups grants it the worst
 *          lateness seen meanwhile, for each of them: then a machine that is busy with other things
 *          does not fail the test, and one that is not grants next to nothing.
 */
#ifndef LAG_H
#define LAG_H

#include <stdbool.h>
#include <stdint.h>

/* Starts and stops the threads. Once at a time. */
bool lag_start(void);
void lag_stop(void);

/* From here on; and the worst since, after each thread has woken once more. */
void lag_begin(void);
uint64_t lag_worst_us(void);

#endif
