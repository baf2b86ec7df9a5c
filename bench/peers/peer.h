/* SPDX-License-Identifier: MIT */
/*
 * peer - a library as the cases about posting see it: loops, each run by one thread, that others
 * have call functions. A program of such a case is the case's source, which knows no library, and
 * one of peer_*.c, which knows no case.
 *
 * Each peer is what a user who knows it well would write; its file says what that is. Functions end
 * the program if the library fails: there is nothing to compare then.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct peer_loop;

/* Part of the caller's object: peer_message_bytes long, and aligned as malloc does. */
struct peer_message;
extern const size_t peer_message_bytes;

/* The shape of gyre's functions, so that its peer needs nothing in between; `status` is 0. */
typedef int peer_fn(struct peer_loop *loop, int status, void *arg);

struct peer_loop *peer_loop_create(void);

/* Has the loop call `work` in each turn of its next run, so that it polls and never waits. */
void peer_loop_keep_awake(struct peer_loop *loop, void (*work)(void));

/* Calls what is posted, on this thread, until stopped. */
void peer_loop_run(struct peer_loop *loop);

/* Ends the run. Inside it only. */
void peer_loop_stop(struct peer_loop *loop);

/* Has the loop call fn with arg. From any thread; those of one thread in order. */
void peer_call(struct peer_loop *loop, peer_fn *fn, void *arg);

/* Prepares a message for any number of posts. */
void peer_message_init(struct peer_message *message, peer_fn *fn, void *arg);

/* As peer_call, in the caller's memory, which is the caller's again when fn is called. */
void peer_post(struct peer_loop *loop, struct peer_message *message);

#ifdef __cplusplus
}
#endif

#endif
