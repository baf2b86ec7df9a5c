/* SPDX-License-Identifier: MIT */
/*
 * measure - what every measuring program of the bench has in common: its arguments, its clocks, its
 * report.
 *
 * A program does the work of one case with one library, checks its own result and reports on
 * standard output, a line a figure: the metric's name, a space, the figure per operation. Metrics
 * are "wall" and "cpu" (ns), "bytes", "syscalls" and "instructions". Exit 0: the work was done and
 * its result was right; 1: it was not, and standard error says what; 77: this machine cannot do it,
 * and standard error says why.
 *
 * Arguments are name=value pairs, the values decimal. `ops` is how many operations to do in all.
 */
#ifndef BENCH_MEASURE_H
#define BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The number that argument `name` has, or `fallback`. What is not a number ends the program. */
uint64_t measure_argument(int argc, char **argv, const char *name, uint64_t fallback);

/* A stretch of the program's life, in ns: by the clock, and of all its threads on CPUs. */
struct measure {
    uint64_t wall_ns;
    uint64_t cpu_ns;
};

/* Reads both clocks; begin last before the work, and end first after it. */
void measure_begin(struct measure *measure);
void measure_end(struct measure *measure);

/* Reports wall and cpu, divided by `operations`. */
void measure_report(const struct measure *measure, uint64_t operations);

/* Reports one figure. */
void measure_figure(const char *metric, double value);

/* Ends the program: the result was wrong, or a call failed. Threads may be left running. */
__attribute__((noreturn, format(printf, 1, 2))) void measure_fail(const char *format, ...);

/* Ends the program: this machine cannot do the work. */
__attribute__((noreturn, format(printf, 1, 2))) void measure_skip(const char *format, ...);

#ifdef __cplusplus
}
#endif

#endif
