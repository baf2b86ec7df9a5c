/* SPDX-License-Identifier: MIT */
/*
 * timers - the work of the timer programs: N timers, with deadlines random over 60 s, of which the
 * first is 10 s away: so long may the work take.
 *
 * What     add     arm N idle timers, in the order of their memory
 *          rearm   arm N times one of N armed timers, drawn at random: for up to 60 s later than it
 *                  was, as an idle connection's is put off; with anytime=1, for any of the 60 s
 *          cancel  stop all of N armed timers but one, in random order
 *          fire    let all of N timers fire
 *          Only this is measured; it is repeated until `ops` operations are done.
 * Clock    Nobody waits 60 s: the program has a clock_gettime of its own, which the library finds
 *          as it finds the C library's, and whose monotonic clocks can be set forward. Timers are
 *          armed for the future as they always are, then 40 s pass at once, and when those due
 *          have fired the rest. It is the same for all peers.
 * Checks   Each case ends with all that is armed firing: no timer before its time, none that was
 *          stopped, all others, and in order, as exactly as the library's resolution has it.
 * Use      All work is done in a callback of the loop, where a library that caches the time has it
 *          at hand. A peer is the functions below that begin with timers_peer.
 * Args     timers, anytime, ops.
 */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    TIMERS_LINE = 64 /* a user's object has a cache line, or two, of its own */
};

/* How far from its time and order the library lets a timer fire. */
extern const uint64_t timers_peer_resolution_ns;

/* A loop, and `count` timers with it. */
void timers_peer_create(unsigned count);

/* Runs the loop, has it call timers_work once, and returns when timers_peer_stop was called. */
void timers_peer_run(void);
void timers_peer_stop(void);

/* Reads the clock: delays count from here. */
void timers_peer_now(void);

/* Arms an idle timer; arms an armed one anew; stops one. */
void timers_peer_add(unsigned timer, uint64_t delay_ns);
void timers_peer_rearm(unsigned timer, uint64_t delay_ns);
void timers_peer_cancel(unsigned timer);

/* Does what the library puts off of that until the callback has returned. */
void timers_peer_settle(void);

/* The clock was set while the loop was not looking: a library that waits by a time read before has
 * to look again soon, which a timer of a millisecond makes it do. */
void timers_peer_wake(void);

/* The work; the peer calls it in its loop. */
void timers_work(void);

/* The peer's timer has fired. */
void timers_fired(unsigned timer);

#ifdef __cplusplus
}
#endif

#endif
