/* SPDX-License-Identifier: MIT */
/*
 * node - see node.h.
 */
#include "loop/node.h"

#include "contract/port.h"

struct gyre_task *gyre__node_make(void)
{
    struct gyre_task *task = gyre__port_allocate(sizeof(*task));
    if (task != NULL)
        gyre__task_set_kind(task, GYRE__TASK_NODE);
    return task;
}

void gyre__node_free(struct gyre_task *task)
{
    gyre__port_release(task, sizeof(*task));
}

void gyre__nodes_deinit(struct gyre__nodes *nodes)
{
    while (nodes->free != NULL) {
        struct gyre_task *task = nodes->free;
        nodes->free = task->next;
        gyre__node_free(task);
    }
    nodes->free_count = 0;
}
