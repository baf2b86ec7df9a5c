/* SPDX-License-Identifier: MIT */
/*
 * node - the tasks of a loop's own add_callback: a pool, the owner's alone.
 *
 * What other threads add travels in their lanes (lane.h), by value; what the thread inside run adds
 * is queued at once, among tasks of other kinds, and so needs a task of its own.
 */
#ifndef GYRE_LOOP_NODE_H
#define GYRE_LOOP_NODE_H

#include <gyre/task.h>

enum gyre__node_limits {
    GYRE__NODES_KEPT = 16384 /* 1 MiB a loop: past it a burst is malloc's, not ours to hoard */
};

/* What a task in a loop's queue, or in its door, is. */
enum gyre__task_kind {
    GYRE__TASK_USER, /* embedded in the user's object */
    GYRE__TASK_NODE, /* a node of the loop's pool */
    /* From here on they have no room of a bounded loop. */
    GYRE__TASK_EXEMPT, /* the library's own, or a runtime's */
    GYRE__TASK_SIGNAL, /* a node of gyre__signals */
    GYRE__TASK_WAITER, /* in a struct gyre__waiter */
    GYRE__TASK_WORK, /* in a struct gyre_work */
    GYRE__TASK_LANE, /* a lane's node: stands for the lane's messages */
    GYRE__TASK_CONTROL /* the loop's own, see struct gyre__control; never queued */
};

struct gyre__nodes {
    struct gyre_task *free;
    uint32_t free_count;
};

/* A node of kind GYRE__TASK_NODE, or NULL. */
struct gyre_task *gyre__node_take(struct gyre__nodes *nodes);
void gyre__node_give(struct gyre__nodes *nodes, struct gyre_task *task);

/* Frees what is kept. */
void gyre__nodes_deinit(struct gyre__nodes *nodes);

#endif
