/* SPDX-License-Identifier: MIT */
/*
 * future - the functions that wait for a future, as the loop sees them. The protocol: future.c.
 *
 *   future --> waiter -> waiter -> waiter     newest first, of any loop      (the chain)
 *   loop   --> waiter <-> waiter <-> waiter   oldest first, of any future    (the list)
 */
#ifndef GYRE_LOOP_FUTURE_H
#define GYRE_LOOP_FUTURE_H

#include <stdatomic.h>

#include <gyre/future.h>
#include <gyre/task.h>

/* One function that waits for one future on one loop. Two hold it: chain and list. */
struct gyre__waiter {
    struct gyre_task task; /* first, so that it can be told from its task; of GYRE__TASK_WAITER */
    struct gyre__waiter *earlier; /* in the chain, written before the waiter is in it */
    struct gyre__waiter *prev; /* [o] in the list */
    struct gyre__waiter *next; /* [o] */
    struct gyre_loop *loop; /* [I] a reference, for as long as the waiter lives */
    struct gyre_future *future; /* [I] a reference, until the function has returned */
    _Atomic uint32_t references; /* [a] */
};

/* Those of a loop that were not called yet. The owner's. */
struct gyre__waiters {
    struct gyre__waiter *first;
    struct gyre__waiter *last;
};

/* A waiter's task is to be called: it leaves the list. */
struct gyre__waiter *gyre__waiter_leave(struct gyre_loop *loop, struct gyre_task *task)
    GYRE_ON_LOOP;

/* It was called. */
void gyre__waiter_end(struct gyre__waiter *waiter);

/* The door is closed, and what came through has run: takes the oldest that is left, and calls it
 * with -ECANCELED. False: there is none. */
bool gyre__waiters_cancel_one(struct gyre_loop *loop) GYRE_ON_LOOP;

/* In a child the parent's waiters are not called: lets go of them. */
void gyre__waiters_forget(struct gyre_loop *loop) GYRE_ON_LOOP;

#endif
