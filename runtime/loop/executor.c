/* SPDX-License-Identifier: MIT */
/*
 * executor - worker threads around a queue (work_queue.h), or a foreign executor's function.
 *
 * References  The creator's, and one for each loop that has it set. Destroy ends it, whoever else
 *             holds it: the threads are joined then, and only the memory waits for the last
 *             reference, so that a submit that comes later is refused and not a crash. A worker
 *             that ends its own executor, as the last to hold a loop may, is not joined: it takes a
 *             reference until it is out of here. So does a submit, for the work may do that.
 * Threads     start when it is made. Started with the first work that finds none idle was rejected:
 *             a submit would fail for threads, and at the busiest moment.
 */
#include "loop/executor.h"

#include <gyre/error.h>

#include "loop/loop.h"
#include "loop/work_queue.h"

struct gyre_executor {
    _Atomic uint32_t references; /* [a] */
    uint32_t forks; /* [I] */
    gyre_submit_fn *submit; /* [I] a foreign one's, else NULL */
    void *submit_arg; /* [I] */
    const struct gyre__port *port; /* [I] */
    uint32_t threads_count; /* the creator's, and who destroys it */
    uint32_t threads_max; /* [I] */
    uint64_t *threads; /* likewise */
    struct gyre__work_queue queue;
};

static const struct gyre_executor_options defaults = {
    .size = sizeof(struct gyre_executor_options),
    .threads = 4,
    .queue_max = 4096,
    .name = "gyre-worker",
};

void gyre_executor_options_init(struct gyre_executor_options *options)
{
    *options = defaults;
}

/* ---- references ------------------------------------------------------------------------------ */

static void free_executor(struct gyre_executor *executor)
{
    gyre__work_queue_deinit(&executor->queue);
    if (executor->threads != NULL)
        gyre__port_release(executor->threads, executor->threads_max * sizeof(*executor->threads));
    gyre__port_release(executor, sizeof(*executor));
}

struct gyre_executor *gyre__executor_acquire(struct gyre_executor *executor)
{
    /* relaxed: whoever acquires holds a reference */
    atomic_fetch_add_explicit(&executor->references, 1, memory_order_relaxed);
    return executor;
}

void gyre__executor_release(struct gyre_executor *executor)
{
    /* acq_rel: who frees sees what the others did before they let go */
    if (executor != NULL &&
        atomic_fetch_sub_explicit(&executor->references, 1, memory_order_acq_rel) == 1)
        free_executor(executor);
}

/* ---- workers --------------------------------------------------------------------------------- */

static bool is_inherited(const struct gyre_executor *executor)
{
    return executor->forks != gyre__forks_now();
}

/* If the work has forked, this ends in the child, which the rest of the queue is nothing to. */
static void work(void *arg)
{
    struct gyre_executor *executor = arg;
    struct gyre_work *next;
    gyre__thread.executor = executor;
    while (!is_inherited(executor) && (next = gyre__work_queue_take(&executor->queue)) != NULL)
        gyre_work_run(next);
    if (gyre__thread.executor == NULL)
        gyre__executor_release(executor); /* it was taken in shut */
}

static int start_threads(struct gyre_executor *executor, const char *name)
{
    struct gyre__thread_options options = {.name = name, .cpu = -1};
    int r = 0;
    while (r == 0 && executor->threads_count < executor->threads_max) {
        uint64_t *thread = &executor->threads[executor->threads_count];
        r = executor->port->thread_create(&options, thread, work, executor);
        executor->threads_count += r == 0;
    }
    return r;
}

/* Ends the queue and joins; what was not begun is cancelled. */
static void shut(struct gyre_executor *executor)
{
    if (gyre__thread.executor == executor) {
        (void)gyre__executor_acquire(executor);
        gyre__thread.executor = NULL;
    }
    if (executor->submit != NULL || is_inherited(executor))
        return; /* in a child there is nobody to join */
    for (uint32_t left = gyre__work_queue_close(&executor->queue); left > 0; left--)
        gyre_work_cancel(gyre__work_queue_pop(&executor->queue));
    while (executor->threads_count > 0)
        executor->port->thread_join(executor->threads[--executor->threads_count]);
}

bool gyre__executor_is_foreign(const struct gyre_executor *executor)
{
    return executor->submit != NULL;
}

int gyre__executor_submit(struct gyre_executor *executor, struct gyre_work *work)
{
    if (executor->submit != NULL) {
        int refusal = executor->submit(work, executor->submit_arg);
        return refusal < 0 ? refusal : 0; /* else it has taken the work, whatever it says */
    }
    if (is_inherited(executor))
        return -ECHILD; /* its threads are the parent's: nobody would take it */
    int r = gyre__work_queue_put(&executor->queue, work);
    if (r > 0)
        gyre_work_cancel(gyre__work_queue_pop(&executor->queue));
    return r < 0 ? r : 0;
}

/* ---- create and destroy ---------------------------------------------------------------------- */

static bool options_are_valid(const struct gyre_executor_options *options)
{
    return options->size == sizeof(*options) && options->threads > 0 &&
           options->threads <= GYRE__EXECUTOR_THREADS_MAX && options->queue_max > 0 &&
           options->queue_max <= GYRE__WORK_QUEUE_MAX;
}

static struct gyre_executor *allocate(void)
{
    struct gyre_executor *executor = gyre__port_allocate(sizeof(*executor));
    if (executor == NULL)
        return NULL;
    atomic_init(&executor->references, 1);
    executor->forks = gyre__forks_now();
    executor->port = gyre__port_native();
    return executor;
}

static int open_executor(struct gyre_executor *executor,
                         const struct gyre_executor_options *options)
{
    int r = gyre__fork_watch();
    if (r == 0)
        r = gyre__work_queue_init(&executor->queue, executor->port, options->queue_max);
    if (r != 0)
        return r;
    executor->threads_max = options->threads;
    executor->threads = gyre__port_allocate(executor->threads_max * sizeof(*executor->threads));
    if (executor->threads == NULL)
        return -ENOMEM;
    r = start_threads(executor, options->name != NULL ? options->name : defaults.name);
    if (r != 0)
        shut(executor);
    return r;
}

int gyre_executor_create(const struct gyre_executor_options *options,
                         struct gyre_executor **ret_executor)
{
    if (options == NULL)
        options = &defaults;
    if (!options_are_valid(options))
        return -EINVAL;
    struct gyre_executor *executor = allocate();
    if (executor == NULL)
        return -ENOMEM;
    int r = open_executor(executor, options);
    if (r != 0) {
        free_executor(executor);
        return r;
    }
    *ret_executor = executor;
    return 0;
}

int gyre_executor_create_foreign(struct gyre_executor **ret_executor, gyre_submit_fn *submit,
                                 void *arg)
{
    if (submit == NULL)
        return -EINVAL;
    struct gyre_executor *executor = allocate();
    if (executor == NULL)
        return -ENOMEM;
    executor->submit = submit;
    executor->submit_arg = arg;
    *ret_executor = executor;
    return 0;
}

void gyre__executor_end(struct gyre_executor *executor)
{
    if (executor == NULL)
        return;
    shut(executor);
    gyre__executor_release(executor);
}

void gyre_executor_destroy(struct gyre_executor *executor)
{
    gyre__executor_end(executor);
}
