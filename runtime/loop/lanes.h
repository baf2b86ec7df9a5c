/* SPDX-License-Identifier: MIT */
/*
 * lanes - a thread's table of its lanes: one to each loop that it posts to.
 *
 *   thread --> last used
 *         \--> buckets[serial of the loop] -> lane -> lane
 *
 * Memory   A full table drops the lanes of closed loops, so that a thread which outlives many loops
 *          keeps as many lanes as it has had loops at a time, or eight.
 * End      A thread's destructors may post when its lanes have been dropped already, perhaps before
 *          the loop has seen all that they hold. So those posts are marked as those on the detour
 *          are, and the node of a lane that is made then as well.
 */
#ifndef GYRE_LOOP_LANES_H
#define GYRE_LOOP_LANES_H

#include "loop/lane.h"

/* A thread's. */
struct gyre__lane_table {
    struct gyre__lane *last; /* found last */
    struct gyre__lane **buckets;
    uint32_t size; /* of buckets, a power of two; 0 at first */
    uint32_t count; /* lanes in them */
    bool left; /* the thread ends, and its lanes are gone: what it still posts comes behind them */
};

/* The calling thread's lane to `loop`; NULL: it has none. */
struct gyre__lane *gyre__lanes_find(const struct gyre_loop *loop);

/* Makes one, where there is none. NULL: no memory. */
struct gyre__lane *gyre__lanes_create(const struct gyre_loop *loop);

/* Drops a lane of the calling thread's that was refused. */
void gyre__lanes_forsake(struct gyre__lane *lane);

/* The calling thread ends: drops all. */
void gyre__lanes_thread_ends(struct gyre__lane_table *table);

#endif
