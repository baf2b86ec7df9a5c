/* SPDX-License-Identifier: MIT */
/*
 * offload - the work of the executor programs: pieces of work that go to worker threads and come
 * back to the loop.
 *
 * What     `flight` pieces are under way at a time; one that comes home is sent out again, until
 *          `ops` have come home. The work itself is some multiplications, 100 ns: what is compared
 *          is the way there and back. Each library has four worker threads, its usual number.
 * Checked  Each piece was worked on once between two visits home, by another thread.
 * Use      offload_create, submit each of the first offload.flight pieces, run; on the worker
 *          offload_work(piece), on the loop offload_home(piece): what to do with it.
 * Args     flight, ops.
 */
#ifndef BENCH_OFFLOAD_H
#define BENCH_OFFLOAD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum offload_limits {
    OFFLOAD_THREADS = 4,
    OFFLOAD_FLIGHT_MAX = 4096
};

struct offload_piece {
    uint64_t worked; /* times; the worker's, then the loop's */
    uint64_t home; /* times */
    uint64_t result;
    void *handle; /* the program's */
};

enum offload_next {
    OFFLOAD_AGAIN, /* submit it again */
    OFFLOAD_REST, /* there is no more work for it */
    OFFLOAD_END /* it was the last: end the run */
};

struct offload {
    unsigned flight;
    struct offload_piece *pieces;
};

extern struct offload offload;

void offload_create(int argc, char **argv);

/* Starts the clocks: just before the first submit. */
void offload_begin(void);

void offload_work(struct offload_piece *piece);
enum offload_next offload_home(struct offload_piece *piece);

/* Stops the clocks, checks and reports. */
void offload_end(void);

#ifdef __cplusplus
}
#endif

#endif
