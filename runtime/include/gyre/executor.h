/* SPDX-License-Identifier: MIT */
/*
 * executor - blocking work on worker threads, with the result on the loop that asked for it.
 *
 * Work        A function without a loop, which may block; its int goes to a done function on the
 *             loop, as the status.
 * Executors   One that is named in the call, else the one that was set for the loop, else the
 *             loop's own, which is made when first needed. An executor may serve any number of
 *             loops. A foreign one hands the work to threads that the user has already.
 * Close       A loop that closes ends its work (T66e): what no thread has begun is not run, what
 *             runs is waited for, and each done function is called once, with -ECANCELED. So what
 *             `arg` points to is the caller's from the done function on, whatever happens. The
 *             loop's own executor is joined; another one is left alone. Work holds a reference to
 *             its loop: should that be the last, the worker closes the loop when the work is done.
 */
#ifndef GYRE_EXECUTOR_H
#define GYRE_EXECUTOR_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

struct gyre_executor;
struct gyre_work;

/* Runs on a worker thread, all signals blocked. It must not close its loop: that would wait for
 * it. */
typedef int gyre_work_fn(void *arg);

/* Takes a piece of work over, for gyre_work_run or gyre_work_cancel to be called with it once, on
 * any thread. A negative errno refuses it. It must not close the loop. */
typedef int gyre_submit_fn(struct gyre_work *work, void *arg);

struct gyre_executor_options {
    size_t size; /* of this struct */
    uint32_t threads; /* 4 */
    uint32_t queue_max; /* work accepted and not begun, 4,096; rounded up to 2, 4, 8 ... */
    const char *name; /* of the threads, cut to 15 bytes; NULL: "gyre-worker" */
};

/*
 * Fills in the defaults.
 *
 * Threads:  any.
 */
GYRE_API void gyre_executor_options_init(struct gyre_executor_options *options) GYRE_ANY_THREAD;

/*
 * Makes an executor and starts its threads; NULL options are the defaults. They have the process's
 * original CPUs. The caller holds its one reference.
 *
 * Threads:  any.
 * Errors:   -EINVAL: a size or value is out of range; -ENOMEM; -EAGAIN: the system starts no more
 *           threads. Nothing is left behind.
 * Limits:   1,024 threads; 1,048,576 for queue_max, of 16 bytes each.
 */
GYRE_API GYRE_MUST_CHECK int gyre_executor_create(const struct gyre_executor_options *options,
                                                  struct gyre_executor **ret_executor)
    GYRE_ANY_THREAD;

/*
 * Makes an executor of the user's own threads: `submit` is called with `arg` for each piece of
 * work, on its loop's thread (T105).
 *
 * Threads:  any.
 * Lifetime: what arg points to must outlive the last loop and call that uses the executor.
 * Errors:   -EINVAL: submit is NULL; -ENOMEM.
 */
GYRE_API GYRE_MUST_CHECK int gyre_executor_create_foreign(struct gyre_executor **ret_executor,
                                                          gyre_submit_fn *submit, void *arg)
    GYRE_ANY_THREAD;

/*
 * Ends an executor and drops the caller's reference; NULL is ignored. What no thread has begun is
 * not run: its done function gets -ECANCELED. What runs is waited for. Loops that have it set are
 * refused from now on. A foreign executor only loses the reference.
 *
 * Threads:  any.
 * Blocks:   until what runs has returned, but for the work that calls this.
 */
GYRE_API void gyre_executor_destroy(struct gyre_executor *executor) GYRE_OFF_LOOP;

/*
 * Has `loop` use `executor` where none is named; NULL: its own again. The loop takes a reference.
 * Work that is under way stays where it is.
 *
 * Threads:  the loop's.
 * Errors:   -EPERM: not the owner; -ESHUTDOWN: the loop has closed.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_set_executor(struct gyre_loop *loop,
                                                    struct gyre_executor *executor) GYRE_ON_LOOP;

/*
 * Calls `work` with `arg` on a thread of `executor`, and then `done` with `arg` on the loop (T104).
 * The status is what work has returned, or -ECANCELED if it was not run or the loop closes first:
 * then done only releases. NULL for executor: the loop's.
 *
 * Threads:  the loop's.
 * Blocks:   never; but making the loop's own executor starts its threads.
 * Order:    the threads of one executor take up a loop's work in the order of the calls; two of
 *           them may begin, or end, in another. What work itself has posted to the loop runs before
 *           done.
 * Lifetime: arg's memory is in use until done is called.
 * Errors:   -EAGAIN: the queue is full, or the system starts no more threads; -ESHUTDOWN: the loop
 *           has closed, or the executor was destroyed; -EPERM: not the owner; -EINVAL: a function
 *           is NULL; -ENOMEM; -ECHILD: the executor's threads are a parent process's; what a
 *           foreign executor refuses with. Nothing will be called.
 * Limits:   a bounded loop does not count done. Allocates only when more is under way than ever,
 *           or past 4,096 pieces.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_run_in_executor(struct gyre_loop *loop,
                                                       struct gyre_executor *executor,
                                                       gyre_work_fn *work, gyre_fn *done, void *arg)
    GYRE_ON_LOOP;

/*
 * Runs a piece of work that a foreign executor was given, and sends its result home. In a child
 * process a parent's work is not run (T112).
 *
 * Threads:  any; in place of gyre_work_cancel.
 * Lifetime: `work` is not the caller's afterwards.
 */
GYRE_API void gyre_work_run(struct gyre_work *work) GYRE_ANY_THREAD;

/*
 * Ends a piece of work that a foreign executor will not run: its done function gets -ECANCELED.
 *
 * Threads:  any; in place of gyre_work_run.
 * Lifetime: `work` is not the caller's afterwards.
 */
GYRE_API void gyre_work_cancel(struct gyre_work *work) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
