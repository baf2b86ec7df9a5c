/* SPDX-License-Identifier: MIT */
/*
 * executor - the pieces of work, as executors and loops see them. The states: work.c.
 */
#ifndef GYRE_LOOP_EXECUTOR_H
#define GYRE_LOOP_EXECUTOR_H

#include <stdatomic.h>

#include <gyre/executor.h>
#include <gyre/task.h>

enum gyre__executor_limits {
    GYRE__EXECUTOR_THREADS_MAX = 1024,
    GYRE__WORKS_KEPT = 4096 /* pieces of work that a loop keeps for reuse: 0.5 MiB */
};

/* One piece of work. */
struct gyre_work {
    struct gyre_task task; /* first; of GYRE__TASK_WORK; fn is done */
    struct gyre_work *prev; /* [o] in the loop's list */
    struct gyre_work *next; /* [o] there, or among those kept */
    struct gyre_loop *loop; /* [I] a reference while it is away */
    gyre_work_fn *work; /* [I] */
    int result; /* the runner's, then the loop's */
    bool withdrawn; /* [o] by a closing loop */
    bool foreign; /* [I] with the user's threads */
    _Atomic uint32_t state; /* [a] parked on by a closing loop */
};

/* Those of a loop. The owner's. */
struct gyre__works {
    struct gyre_work *first; /* under way, oldest first */
    struct gyre_work *last;
    struct gyre_work *kept;
    uint32_t kept_count;
    struct gyre_executor *set; /* with a reference; NULL: none */
    struct gyre_executor *own; /* NULL: not needed yet */
};

int gyre__executor_submit(struct gyre_executor *executor, struct gyre_work *work);
bool gyre__executor_is_foreign(const struct gyre_executor *executor);
struct gyre_executor *gyre__executor_acquire(struct gyre_executor *executor);
void gyre__executor_release(struct gyre_executor *executor);

/* What gyre_executor_destroy does, for a closing loop. */
void gyre__executor_end(struct gyre_executor *executor);

/* A piece of work came home, and its function is to be called: the status for it, when that of the
 * call is `status`. The work is not the caller's any more. */
int gyre__work_arrive(struct gyre_loop *loop, struct gyre_task *task, int status) GYRE_ON_LOOP;

/* The door is closed: nothing more is begun, and the loop's own executor is joined. */
void gyre__works_close(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Waits for the oldest, if it runs, and calls its function with -ECANCELED. False: none is left. */
bool gyre__works_cancel_one(struct gyre_loop *loop) GYRE_ON_LOOP;

/* In a child the parent's work is not called: lets go of it. */
void gyre__works_forget(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Frees what is kept. */
void gyre__works_deinit(struct gyre__works *works);

#endif
