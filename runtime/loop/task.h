/* SPDX-License-Identifier: MIT */
/*
 * task - what a task is, and the context that it has captured: one word of it, the context's
 * address tagged with the kind.
 *
 * A task travels from core to core, and is as small as it can be: 32 bytes, two of which share a
 * cache line (docs/decisions/0007-tasks-without-spare-words.md).
 */
#ifndef GYRE_LOOP_TASK_H
#define GYRE_LOOP_TASK_H

#include <gyre/task.h>

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

enum gyre__task_tag {
    GYRE__TASK_KINDS = 7, /* the bits of the kind */
    GYRE__TASK_DETOURED = 8, /* in the door: behind what its thread has in lanes, see lane.h */
    GYRE__TASK_TAGS = 15 /* memory for a context is aligned to 16 */
};

static inline enum gyre__task_kind gyre__task_kind(const struct gyre_task *task)
{
    return (enum gyre__task_kind)(task->tagged_context & GYRE__TASK_KINDS);
}

static inline void gyre__task_set_kind(struct gyre_task *task, enum gyre__task_kind kind)
{
    task->tagged_context = (task->tagged_context & ~(uintptr_t)GYRE__TASK_KINDS) | kind;
}

static inline bool gyre__task_is_detoured(const struct gyre_task *task)
{
    return (task->tagged_context & GYRE__TASK_DETOURED) != 0;
}

static inline void gyre__task_set_detoured(struct gyre_task *task, bool detoured)
{
    if (detoured)
        task->tagged_context |= GYRE__TASK_DETOURED;
    else
        task->tagged_context &= ~(uintptr_t)GYRE__TASK_DETOURED;
}

static inline struct gyre_context *gyre__task_context(const struct gyre_task *task)
{
    return (struct gyre_context *)(task->tagged_context & ~(uintptr_t)GYRE__TASK_TAGS);
}

static inline void gyre__task_set_context(struct gyre_task *task, struct gyre_context *context)
{
    task->tagged_context = (task->tagged_context & GYRE__TASK_TAGS) | (uintptr_t)context;
}

#endif
