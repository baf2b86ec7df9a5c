/* SPDX-License-Identifier: MIT */
/*
 * queue - the callbacks of a loop, oldest first. The owner's alone.
 *
 *   head -> task -> task -> task -> NULL
 *                           tail --^
 *
 * `added` and `taken` count for ever: a turn runs what was added before it began, also when a
 * nested run has taken some of that meanwhile. A lane's node stands for all the messages that were
 * met, and leaves with the last of them.
 */
#ifndef GYRE_LOOP_QUEUE_H
#define GYRE_LOOP_QUEUE_H

#include <gyre/task.h>

struct gyre__queue {
    struct gyre_task *head;
    struct gyre_task *tail;
    uint64_t added;
    uint64_t taken;
};

/* Appends a list that ends in NULL, of `count` callbacks. */
static inline void gyre__queue_splice(struct gyre__queue *queue, struct gyre_task *first,
                                      struct gyre_task *last, uint64_t count)
{
    if (queue->head == NULL)
        queue->head = first;
    else
        queue->tail->next = first;
    queue->tail = last;
    queue->added += count;
}

static inline void gyre__queue_append(struct gyre__queue *queue, struct gyre_task *task)
{
    task->next = NULL;
    gyre__queue_splice(queue, task, task, 1);
}

/* Takes the task at the head, which stands for one more callback. */
static inline struct gyre_task *gyre__queue_take(struct gyre__queue *queue)
{
    struct gyre_task *task = queue->head;
    queue->head = task->next;
    queue->taken++;
    return task;
}

#endif
