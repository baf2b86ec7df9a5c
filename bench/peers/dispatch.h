/* SPDX-License-Identifier: MIT */
/*
 * dispatch - the work of the dispatch programs: tokens that circle through many socket pairs.
 *
 * What     Of N pairs each reading end is watched, and A tokens, of one byte each, are on their
 *          way: whoever is told that a pair can be read takes the byte and writes it to the next
 *          pair. An operation is one such event. Tokens start evenly spread and pass every pair, so
 *          that all N registrations are used, a few at a time: libevent's classic benchmark.
 * Honest   That benchmark stops its clock with bytes unread. Here `ops` bytes are written in all,
 *          every one is read before the clock stops, one byte an event, and each program makes the
 *          same reads and writes for it; what a library adds to those is what is compared.
 * Use      dispatch_create, register pair[i].in for each i < count, dispatch_begin, run until
 *          dispatch_event (or dispatch_pass) returns true, dispatch_end.
 * Args     pairs, active, ops.
 */
#ifndef BENCH_DISPATCH_H
#define BENCH_DISPATCH_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct dispatch_pair {
    int in; /* read by this pair's watcher */
    int out; /* the next pair's writing end */
};

struct dispatch {
    struct dispatch_pair *pairs;
    unsigned count;
};

/* The process's one ring. */
extern struct dispatch dispatch;

/* Makes the pairs that the arguments ask for; in and out are non-blocking. */
void dispatch_create(int argc, char **argv);

/* Writes the tokens and starts the clocks. */
void dispatch_begin(void);

/* The pair can be read: reads its byte and passes it on. True: that was the last event. */
bool dispatch_event(const struct dispatch_pair *pair);

/* The second half of dispatch_event, for a library that reads by itself. */
bool dispatch_pass(const struct dispatch_pair *pair);

/* Stops the clocks, checks that nothing is missing or left, and reports. */
void dispatch_end(void);

#ifdef __cplusplus
}
#endif

#endif
