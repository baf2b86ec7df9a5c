/* SPDX-License-Identifier: MIT */
/*
 * task - a function to run once on a loop, embedded in the user's object.
 *
 * Posting a task cannot fail for memory, and allocates nothing, unless its thread adds callbacks to
 * the loop as well: then both take their places in one queue. So do the tasks posted to a loop that
 * times its turns, to be sampled. Between the post and the call the task belongs to the loop; from
 * the call on it is the user's again, so its function may post or free it.
 */
#ifndef GYRE_TASK_H
#define GYRE_TASK_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

/* The members are the library's; initialise with gyre_task_init. */
struct gyre_task {
    struct gyre_task *next;
    gyre_fn *fn;
    void *arg;
    uintptr_t tagged_context;
};

/*
 * Prepares `task` to call `fn` with `arg`.
 *
 * Threads:  any; not while the task is posted.
 */
GYRE_API void gyre_task_init(struct gyre_task *task, gyre_fn *fn, void *arg) GYRE_ANY_THREAD;

/*
 * Posts `task` to run on `loop`, which the caller holds a reference to.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   never. One system call if the loop sleeps, none otherwise.
 * Order:    posts of one thread to one loop run in the order posted, whatever their form. Between
 *           posts of different threads there is none, not even if one thread waited for the other.
 * Lifetime: the task belongs to the loop until its function is called, exactly once, with 0 or
 *           -ECANCELED; the function may free it.
 * Errors:   -ESHUTDOWN: the loop has closed; -EAGAIN: it is bounded and full. The task is still the
 *           caller's.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_post(struct gyre_loop *loop, struct gyre_task *task)
    GYRE_ANY_THREAD;

/*
 * Posts `count` tasks as one: all are accepted, in the array's order, or none.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   never. At most one system call.
 * Order:    as for gyre_loop_post; no other thread's post comes between them.
 * Lifetime: of each task as for gyre_loop_post; the array is the caller's.
 * Errors:   as for gyre_loop_post.
 * Limits:   a count of 0 is accepted and does nothing.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_post_batch(struct gyre_loop *loop,
                                                  struct gyre_task *const tasks[], size_t count)
    GYRE_ANY_THREAD;

/*
 * Runs `fn` with `arg` on `loop`.
 *
 * Function and argument are copied into memory of the calling thread's, which is used again: once
 * it holds as many callbacks as the thread has under way, a call takes no lock and allocates
 * nothing.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   never. One system call if the loop sleeps, none otherwise.
 * Order:    as for gyre_loop_post.
 * Errors:   -ESHUTDOWN, -EAGAIN: as for gyre_loop_post; -ENOMEM; -EINVAL: fn is NULL. fn will not
 *           be called.
 * Limits:   40,000 callbacks under way from one thread to one loop are kept memory for; past that a
 *           call allocates now and then.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_add_callback(struct gyre_loop *loop, gyre_fn *fn, void *arg)
    GYRE_ANY_THREAD;

/*
 * As gyre_loop_add_callback, without the caller's context.
 *
 * Threads:  any; not signal handlers.
 * Errors:   as for gyre_loop_add_callback.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_spawn_callback(struct gyre_loop *loop, gyre_fn *fn,
                                                      void *arg) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
