/* SPDX-License-Identifier: MIT */
/*
 * node - the tasks of a loop's own add_callback: a pool, the owner's alone.
 *
 * What other threads add travels in their lanes (lane.h), by value; what the thread inside run adds
 * is queued at once, among tasks of other kinds, and so needs a task of its own.
 */
#ifndef GYRE_LOOP_NODE_H
#define GYRE_LOOP_NODE_H

#include "loop/task.h"

enum gyre__node_limits {
    GYRE__NODES_KEPT = 16384 /* 768 KiB a loop: past it a burst is malloc's, not ours to hoard */
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
