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
    GYRE__NODES_KEPT = 16384 /* 512 KiB a loop: past it a burst is malloc's, not ours to hoard */
};

struct gyre__nodes {
    struct gyre_task *free;
    uint32_t free_count;
};

/* A new node, or NULL. */
struct gyre_task *gyre__node_make(void);

/* A node of kind GYRE__TASK_NODE, or NULL. */
static inline struct gyre_task *gyre__node_take(struct gyre__nodes *nodes)
{
    struct gyre_task *task = nodes->free;
    if (task == NULL)
        return gyre__node_make();
    nodes->free = task->next;
    nodes->free_count--;
    return task;
}

void gyre__node_free(struct gyre_task *task);

static inline void gyre__node_give(struct gyre__nodes *nodes, struct gyre_task *task)
{
    if (nodes->free_count == GYRE__NODES_KEPT) {
        gyre__node_free(task);
        return;
    }
    task->next = nodes->free;
    nodes->free = task;
    nodes->free_count++;
}

/* Frees what is kept. */
void gyre__nodes_deinit(struct gyre__nodes *nodes);

#endif
