/* SPDX-License-Identifier: MIT */
/*
 * periodic - the arithmetic of schedules, apart from clocks and chance.
 */
#ifndef GYRE_LOOP_PERIODIC_H
#define GYRE_LOOP_PERIODIC_H

#include <gyre/periodic.h>

/* A step of the schedule: the period times 1 + jitter(r - 0.5), where r is `random` as a fraction
 * of 2^64. At least 1. */
uint64_t gyre__periodic_step(uint64_t period_ns, double jitter, uint64_t random);

/* The schedule after `schedule_ns`, at `now_ns`; GYRE_NEVER if it is past the clock's end. */
uint64_t gyre__periodic_next(uint64_t schedule_ns, uint64_t step_ns, uint64_t now_ns);

#endif
