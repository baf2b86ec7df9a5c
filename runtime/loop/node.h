/* SPDX-License-Identifier: MIT */
/*
 * node - the tasks of add_callback: cached by the posting thread, and sent home in batches.
 *
 * What      A node belongs to the cache of the thread that took it. The loop that ran it puts it
 *           into a homeward batch for that cache, and hands batches over with one exchange each.
 * Why       A malloc on one thread and a free on another cost several times a whole post. A common
 *           free list was rejected: every post would contend for it.
 *
 *             thread's cache: free -> node -> node       returned -> batch newest first (atomic)
 *             loop:           homeward[hash of cache] -> node -> node, sent at 32 or at the turn's
 *             end
 *
 * Lifetime  When its thread ends, a cache is closed: nodes that are still under way free themselves
 *           when they come home, and the last one frees the cache.
 *             returned:  NULL or list  -> list     a batch comes home
 *                        NULL or list  -> NULL     the thread takes what came
 *                        NULL or list  -> CLOSED   the thread ended; nothing leaves CLOSED
 * Order     Handing a batch over releases, taking acquires: the thread may overwrite what the loop
 *           read.
 * Limits    A cache keeps at most GYRE__NODES_MAX nodes; those of a larger burst are freed.
 */
#ifndef GYRE_LOOP_NODE_H
#define GYRE_LOOP_NODE_H

#include <stdatomic.h>

#include <gyre/task.h>

enum gyre__node_limits {
    GYRE__NODES_MAX = 65536, /* 4 MiB a thread: past it a burst is malloc's, not ours to hoard */
    GYRE__HOMEWARD_WAYS = 8, /* caches that a loop keeps batches for at once */
    GYRE__HOMEWARD_BATCH = 32 /* nodes: the exchange is then a fraction of a nanosecond each */
};

/* What a task in a loop's queue is. */
enum gyre__task_kind {
    GYRE__TASK_USER, /* embedded in the user's object */
    GYRE__TASK_NODE, /* a node of a cache */
    GYRE__TASK_EXEMPT, /* a runtime's own: it has no room of a bounded loop */
    GYRE__TASK_CONTROL /* the loop's own, see control.h; never queued */
};

struct gyre__nodes;

struct gyre__node {
    struct gyre_task task;
    struct gyre__nodes *home;
};

struct gyre__homeward {
    struct gyre__homeward_batch {
        struct gyre__nodes *home;
        struct gyre_task *first;
        struct gyre_task *last;
        unsigned count;
    } ways[GYRE__HOMEWARD_WAYS];
    bool any;
};

/* A node from the calling thread's cache, or NULL. */
struct gyre_task *gyre__node_take(void);

/* Gives a node back that this thread took and did not post. */
void gyre__node_give(struct gyre_task *task);

/* Sends a node home that a loop has run. */
void gyre__homeward_add(struct gyre__homeward *homeward, struct gyre_task *task);

/* Sends every batch. */
void gyre__homeward_flush(struct gyre__homeward *homeward);

/* The thread ends. */
void gyre__nodes_close(struct gyre__nodes *nodes);

#endif
