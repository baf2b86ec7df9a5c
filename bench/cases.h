/* SPDX-License-Identifier: MIT */
/*
 * cases - what the bench asks: one question a case, in one table.
 *
 * To add a case: an entry in cases.c, and a measuring program for each of its peers
 * (peers/CMakeLists.txt, measure.h). gyre comes first among the peers, since the ratios are to it,
 * and raw second: the floor, the same work with the bare system calls or the bare queue.
 */
#ifndef BENCH_CASES_H
#define BENCH_CASES_H

#include <stdint.h>

enum bench_limits {
    BENCH_WORKS_MAX = 6, /* sets of parameters of a case */
    BENCH_PEERS_MAX = 8, /* of a case */
    BENCH_ROUNDS_MAX = 100 /* more would only warm the room */
};

/* All are per operation. */
enum bench_metric {
    BENCH_WALL, /* ns of the clock */
    BENCH_CPU, /* ns of all the program's threads */
    BENCH_SYSCALLS, /* by strace, which slows a program and so changes how often it sleeps */
    BENCH_INSTRUCTIONS, /* of user space, by valgrind, which runs one thread at a time */
    BENCH_BYTES, /* what they are of, the case's question says */
    BENCH_METRICS
};

#define BENCH_BIT(metric) (1u << (metric))
#define BENCH_TIMES (BENCH_BIT(BENCH_WALL) | BENCH_BIT(BENCH_CPU))
#define BENCH_COUNTS (BENCH_BIT(BENCH_SYSCALLS) | BENCH_BIT(BENCH_INSTRUCTIONS))

struct bench_metric_text {
    const char *name;
    const char *unit;
};

extern const struct bench_metric_text bench_metric_texts[BENCH_METRICS];

/* One set of parameters, and how many operations are enough work with it. */
struct bench_work {
    const char *params; /* name=value, separated by spaces; "" if there are none */
    uint64_t ops; /* the slowest peer should take about a second */
    uint64_t quick_ops; /* and with --quick, 50 ms, 0: it is left out then; counts are taken with a
                         * tenth and a fifth */
};

struct bench_case {
    const char *name;
    const char *question; /* a line */
    struct bench_work works[BENCH_WORKS_MAX + 1]; /* ends with params NULL */
    const char *peers[BENCH_PEERS_MAX + 1]; /* ends with NULL; gyre is the first */
    unsigned reported; /* bits of the metrics that its programs report */
    unsigned counted; /* bits of those that --counts adds */
};

/* Ends with a name of NULL. */
extern const struct bench_case bench_cases[];

#endif
