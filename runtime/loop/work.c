/* SPDX-License-Identifier: MIT */
/*
 * work - a piece of work on its way from its loop to a runner, and home.
 *
 * States   QUEUED    -> RUNNING    a runner begins it (or ends it unrun: gyre_work_cancel)
 *          QUEUED    -> WITHDRAWN  its loop closes: no runner begins it any more
 *          RUNNING   -> FINISHED   the runner posts it home
 *          RUNNING   -> AWAITED    its loop closes, and parks on the state
 *          AWAITED   -> FINISHED   the runner wakes the loop, which has it alone from here on
 *          FINISHED  -> REFUSED    the runner was refused at the door: it leaves
 *          WITHDRAWN -> REFUSED    the runner has met it: it leaves
 *          FINISHED, WITHDRAWN -> CANCELLED   the loop leaves
 *          The first of the two to leave lets the other free it.
 * Once     done is called by the loop's thread alone: for what came through the door, and for what
 *          is left in the list when the door is closed and what came through has run.
 * Memory   Pieces of work are the loop's: taken from those kept, and given back when they come
 *          home. The runner holds the loop until its post is over, since it may have to ring.
 * Model    tests/model/work.pml.
 */
#include "loop/executor.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

enum state {
    QUEUED, /* with the executor */
    RUNNING, /* a runner has begun it */
    AWAITED, /* and its closing loop waits for it */
    FINISHED, /* it has run, and is on its way home */
    WITHDRAWN, /* with the executor, but not to be run */
    CANCELLED, /* its loop has left: the runner frees it */
    REFUSED /* its runner has left: the loop frees it */
};

/* ---- the runner's side ----------------------------------------------------------------------- */

static void free_work(struct gyre_work *work)
{
    gyre__port_release(work, sizeof(*work));
}

static bool begin(struct gyre_work *work)
{
    uint32_t expected = QUEUED;
    /* relaxed: the executor's queue has shown the members; a loop that withdraws changes none */
    return atomic_compare_exchange_strong_explicit(&work->state, &expected, RUNNING,
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* The runner is done with a piece of work that its loop may have left. */
static void leave(struct gyre_work *work)
{
    /* acq_rel: pairs with the closing loop's exchange; the second of the two frees, and is to see
     * that the other has read all it wants */
    if (atomic_exchange_explicit(&work->state, REFUSED, memory_order_acq_rel) == CANCELLED)
        free_work(work);
}

static void post_home(struct gyre_work *work)
{
    struct gyre_loop *loop = work->loop;
    if (gyre__loop_post_exempt(loop, &work->task) != 0)
        leave(work);
    gyre_loop_release(loop);
}

static void finish(struct gyre_work *work, int result)
{
    const struct gyre__port *port = work->loop->port;
    work->result = result;
    /* release: pairs with the acquire of a loop that waits, and shows what the work has done */
    if (atomic_exchange_explicit(&work->state, FINISHED, memory_order_release) == RUNNING)
        post_home(work);
    else /* only the address is used: the loop may have freed it */
        port->unpark(&work->state);
}

static void run(struct gyre_work *work)
{
    uint32_t forks = gyre__forks_now();
    struct gyre_context *context = gyre_context_current();
    int result = work->work(work->task.arg);
    (void)gyre_context_enter(context); /* whatever it has entered */
    if (forks == gyre__forks_now())
        finish(work, result);
    /* else it has forked: the child's close frees the work, or has */
}

void gyre_work_run(struct gyre_work *work)
{
    if (!begin(work))
        leave(work);
    else if (gyre__loop_is_inherited(work->loop))
        finish(work, -ECANCELED); /* the parent runs it: else it would be run in two processes */
    else
        run(work);
}

void gyre_work_cancel(struct gyre_work *work)
{
    if (begin(work))
        finish(work, -ECANCELED);
    else
        leave(work);
}

/* ---- the loop's list ------------------------------------------------------------------------- */

static void enlist(struct gyre__works *works, struct gyre_work *work)
{
    work->next = NULL;
    work->prev = works->last;
    if (works->last != NULL)
        works->last->next = work;
    else
        works->first = work;
    works->last = work;
}

static void delist(struct gyre__works *works, struct gyre_work *work)
{
    if (work->prev != NULL)
        work->prev->next = work->next;
    else
        works->first = work->next;
    if (work->next != NULL)
        work->next->prev = work->prev;
    else
        works->last = work->prev;
}

static struct gyre_work *take_kept(struct gyre__works *works)
{
    struct gyre_work *work = works->kept;
    if (work == NULL)
        return gyre__port_allocate(sizeof(*work));
    works->kept = work->next;
    works->kept_count--;
    return work;
}

static void keep(struct gyre__works *works, struct gyre_work *work)
{
    if (works->kept_count == GYRE__WORKS_KEPT) {
        free_work(work);
        return;
    }
    work->next = works->kept;
    works->kept = work;
    works->kept_count++;
}

/* ---- submitting ------------------------------------------------------------------------------ */

static int find_executor(struct gyre_loop *loop, struct gyre_executor **executor)
{
    struct gyre__works *works = &loop->works;
    int r = 0;
    if (*executor == NULL)
        *executor = works->set;
    if (*executor != NULL)
        return 0;
    if (works->own == NULL)
        r = gyre_executor_create(NULL, &works->own);
    *executor = works->own;
    return r;
}

/* The work may be what ends an executor, and may have done so before the submit is over. */
static int hand_over(const struct gyre__works *works, struct gyre_executor *executor,
                     struct gyre_work *work)
{
    if (executor == works->set || executor == works->own)
        return gyre__executor_submit(executor, work); /* the loop holds it */
    (void)gyre__executor_acquire(executor);
    int r = gyre__executor_submit(executor, work);
    gyre__executor_release(executor);
    return r;
}

GYRE_ON_LOOP static int submit(struct gyre_loop *loop, struct gyre_executor *executor,
                               const struct gyre_work *made)
{
    struct gyre_work *work = take_kept(&loop->works);
    if (work == NULL)
        return -ENOMEM;
    *work = *made;
    atomic_init(&work->state, QUEUED);
    gyre__task_capture(&work->task);
    work->loop = gyre_loop_acquire(loop);
    enlist(&loop->works, work);
    int r = hand_over(&loop->works, executor, work);
    if (r == 0)
        return 0;
    delist(&loop->works, work);
    gyre__task_drop_context(&work->task);
    gyre_loop_release(loop); /* not the last: the caller's is another */
    keep(&loop->works, work);
    return r;
}

int gyre_loop_run_in_executor(struct gyre_loop *loop, struct gyre_executor *executor,
                              gyre_work_fn *work, gyre_fn *done, void *arg)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_run_in_executor");
    if (r != 0)
        return r;
    if (loop->closed)
        return -ESHUTDOWN;
    if (work == NULL || done == NULL)
        return -EINVAL;
    r = find_executor(loop, &executor);
    if (r != 0)
        return r;
    struct gyre_work made = {.work = work, .foreign = gyre__executor_is_foreign(executor)};
    gyre_task_init(&made.task, done, arg);
    gyre__task_set_kind(&made.task, GYRE__TASK_WORK);
    return submit(loop, executor, &made);
}

int gyre_loop_set_executor(struct gyre_loop *loop, struct gyre_executor *executor)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_set_executor");
    if (r != 0)
        return r;
    if (loop->closed)
        return -ESHUTDOWN;
    if (executor != NULL)
        (void)gyre__executor_acquire(executor);
    gyre__executor_release(loop->works.set);
    loop->works.set = executor;
    return 0;
}

/* ---- home ------------------------------------------------------------------------------------ */

int gyre__work_arrive(struct gyre_loop *loop, struct gyre_task *task, int status)
{
    struct gyre_work *work = (struct gyre_work *)task;
    int result = work->result;
    delist(&loop->works, work);
    keep(&loop->works, work);
    return status == 0 ? result : status;
}

/* ---- close ----------------------------------------------------------------------------------- */

static void withdraw(struct gyre_work *work)
{
    uint32_t expected = QUEUED;
    /* relaxed: the runner that finds it reads nothing but the state */
    work->withdrawn = atomic_compare_exchange_strong_explicit(
        &work->state, &expected, WITHDRAWN, memory_order_relaxed, memory_order_relaxed);
}

void gyre__works_close(struct gyre_loop *loop)
{
    for (struct gyre_work *work = loop->works.first; work != NULL; work = work->next)
        withdraw(work);
    gyre__executor_end(loop->works.own);
    gyre__executor_release(loop->works.set);
    loop->works.own = NULL;
    loop->works.set = NULL;
}

/* Waits until what runs has returned. False: it does not run, but may still be a runner's. */
static bool await(struct gyre_work *work, const struct gyre__port *port)
{
    uint32_t expected = RUNNING;
    /* acquire, both: pairs with the release of finish, and shows what the work has done */
    if (!atomic_compare_exchange_strong_explicit(&work->state, &expected, AWAITED,
                                                 memory_order_acquire, memory_order_acquire))
        return false;
    while (atomic_load_explicit(&work->state, memory_order_acquire) == AWAITED)
        port->park(&work->state, AWAITED);
    return true;
}

bool gyre__works_cancel_one(struct gyre_loop *loop)
{
    struct gyre_work *work = loop->works.first;
    if (work == NULL)
        return false;
    struct gyre_task task = work->task;
    bool holds_loop = work->withdrawn;
    delist(&loop->works, work);
    if (await(work, loop->port)) {
        holds_loop = true;
        free_work(work);
    } else if (atomic_exchange_explicit(&work->state, CANCELLED, memory_order_acq_rel) ==
               REFUSED) { /* acq_rel: see leave */
        free_work(work);
    }
    gyre__context_begin(gyre__task_context(&task));
    (void)task.fn(loop, -ECANCELED, task.arg); /* it only releases */
    gyre__context_end();
    gyre__context_drop(gyre__task_context(&task));
    if (holds_loop)
        gyre_loop_release(loop); /* the closer's is another */
    return true;
}

/* Only a foreign runner can still come, and only for what it has not begun: it frees that. One that
 * has finished has let go of the loop; had the fork caught it just before, the loop's memory would
 * stay, for the two cannot be told apart. */
static void forget(struct gyre_loop *loop, struct gyre_work *work)
{
    bool holds_loop = work->withdrawn; /* by a close that has forked */
    uint32_t was = atomic_exchange_explicit(&work->state, CANCELLED, memory_order_acq_rel);
    if ((was != QUEUED && was != WITHDRAWN) || !work->foreign) /* acq_rel: see leave */
        free_work(work);
    if (was == QUEUED || was == RUNNING || holds_loop)
        gyre_loop_release(loop); /* the closer's is another */
}

void gyre__works_forget(struct gyre_loop *loop)
{
    struct gyre_work *work;
    while ((work = loop->works.first) != NULL) {
        delist(&loop->works, work);
        gyre__task_drop_context(&work->task);
        forget(loop, work);
    }
    gyre__executor_end(loop->works.own);
    gyre__executor_release(loop->works.set);
    loop->works.own = NULL;
    loop->works.set = NULL;
}

void gyre__works_deinit(struct gyre__works *works)
{
    while (works->kept != NULL) {
        struct gyre_work *work = works->kept;
        works->kept = work->next;
        free_work(work);
    }
    works->kept_count = 0;
}
