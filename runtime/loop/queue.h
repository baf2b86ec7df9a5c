/* SPDX-License-Identifier: MIT */
/*
 * queue - the callbacks of a loop, oldest first. The owner's alone.
 *
 *   head -> task -> task -> task -> NULL
 *                           tail --^
 *
 * `added` and `taken` count for ever: a turn runs what was added before it began, also when a
 * nested run has taken some of that meanwhile.
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

static inline void gyre__queue_append(struct gyre__queue *queue, struct gyre_task *task)
{
    task->next = NULL;
    if (queue->head == NULL)
        queue->head = task;
    else
        queue->tail->next = task;
    queue->tail = task;
    queue->added++;
}

/* Appends a list of `count` tasks, which ends in NULL. */
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

static inline struct gyre_task *gyre__queue_take(struct gyre__queue *queue)
{
    struct gyre_task *task = queue->head;
    queue->head = task->next;
    queue->taken++;
    return task;
}

#endif
