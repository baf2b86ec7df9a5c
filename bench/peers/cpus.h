/* SPDX-License-Identifier: MIT */
/*
 * cpus - which CPU a thread of a case runs on.
 *
 * Left to the scheduler, a run in which two threads share a CPU takes a fraction of the time of one
 * in which they do not, or a multiple of it, and what is compared would be the scheduler's luck. A
 * loop is pinned where a thread-per-core program has it; nothing is, where there is one CPU only.
 */
#ifndef BENCH_CPUS_H
#define BENCH_CPUS_H

/* Pins the calling thread to the first, or second, of the CPUs that it may use. */
void cpus_pin(unsigned which);

/* Keeps the calling thread off the first of them. */
void cpus_leave_first(void);

#endif
