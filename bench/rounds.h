/* SPDX-License-Identifier: MIT */
/*
 * rounds - one case with one set of parameters: its peers in turn, again and again.
 *
 * Order    gyre, raw, ... and from the start: what slows the machine for a while slows all of them.
 *          The first round is not counted: it brings programs and libraries into memory.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include "figures.h"
#include "options.h"
#include "program.h"

struct rounds_peer {
    const char *name;
    enum program_outcome outcome; /* once it is not PROGRAM_RAN, the peer has no more turns */
    char reason[PROGRAM_REASON_MAX];
    struct figures figures[BENCH_METRICS];
};

struct rounds {
    const struct bench_case *entry;
    const struct bench_work *work;
    uint64_t ops;
    unsigned count;
    struct rounds_peer peers[BENCH_PEERS_MAX]; /* gyre is the first */
};

/*
 * Runs them from the programs in `directory`, and counts the metrics whose bits are in `counted`.
 */
void rounds_run(const struct options *options, const char *directory, unsigned counted,
                const struct bench_case *entry, const struct bench_work *work, struct rounds *ret);

#endif
