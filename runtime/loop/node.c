/* SPDX-License-Identifier: MIT */
/*
 * node - see node.h.
 */
#include "loop/node.h"

#include "contract/port.h"

struct gyre_task *gyre__node_take(struct gyre__nodes *nodes)
{
    struct gyre_task *task = nodes->free;
    if (task != NULL) {
        nodes->free = task->next;
        nodes->free_count--;
        return task;
    }
    task = gyre__port_allocate(sizeof(*task));
    if (task != NULL)
        gyre__task_set_kind(task, GYRE__TASK_NODE);
    return task;
}

void gyre__node_give(struct gyre__nodes *nodes, struct gyre_task *task)
{
    if (nodes->free_count == GYRE__NODES_KEPT) {
        gyre__port_release(task, sizeof(*task));
        return;
    }
    task->next = nodes->free;
    nodes->free = task;
    nodes->free_count++;
}

void gyre__nodes_deinit(struct gyre__nodes *nodes)
{
    while (nodes->free != NULL) {
        struct gyre_task *task = nodes->free;
        nodes->free = task->next;
        gyre__port_release(task, sizeof(*task));
    }
    nodes->free_count = 0;
}
