/* SPDX-License-Identifier: MIT */
/*
 * timers_clock - a clock_gettime in place of the C library's, whose monotonic clocks go forward at
 * once if told so. Those of CPU time are as they were.
 */
#ifndef BENCH_TIMERS_CLOCK_H
#define BENCH_TIMERS_CLOCK_H

#include <stdint.h>

/* The monotonic clock, as the library sees it. */
uint64_t timers_clock_ns(void);

/* Lets `ns` pass. */
void timers_clock_pass(uint64_t ns);

#endif
