/* SPDX-License-Identifier: MIT */
/*
 * sync - runs a loop until a future is resolved: gyre_loop_run_sync.
 *
 * What     Inside the run a task calls the user's function, the future's done-callback stops the
 *          loop, and so does a timer. Whatever ended the run, the result is judged behind it: fn's
 *          error, else the future's, if it is resolved, else the timeout, else what the run says.
 * Lifetime A future may be resolved long after the run, and a stop may leave the task in the queue
 *          for a later one. So what they use is a block of its own, held by the caller, by the
 *          queued task and by the done-callback, and `over` tells them that the caller has left:
 *          then they do nothing, and the caller's frame, which arg may point into, is not touched.
 * Threads  All of this is the owner's, but for the caller's hold, which it drops when it is the
 *          owner no more, and the next one may be calling what is left.
 */
#include <gyre/future.h>

#include <gyre/error.h>

#include "loop/loop.h"

struct sync {
    _Atomic unsigned holders; /* the caller, the task, the done-callback */
    bool posted; /* the task was */
    bool over; /* the run has ended */
    bool timed_out;
    int error; /* of fn, or of what follows it */
    uint64_t timeout_ns;
    gyre_sync_fn *fn;
    void *arg;
    struct gyre_future *future;
    struct gyre_task task;
    struct gyre_timer timer;
};

static void let_go(struct sync *sync)
{
    /* acq_rel: the last holder sees that the others are done with it */
    if (atomic_fetch_sub_explicit(&sync->holders, 1, memory_order_acq_rel) != 1)
        return;
    gyre_future_release(sync->future);
    gyre__port_release(sync, sizeof(*sync));
}

static void hold(struct sync *sync)
{
    /* relaxed: whoever holds it hands it on to the loop */
    atomic_fetch_add_explicit(&sync->holders, 1, memory_order_relaxed);
}

static void end(struct gyre_loop *loop, const struct sync *sync)
{
    if (!sync->over)
        gyre__loop_stop_managed(loop);
}

static int meet_result(struct gyre_loop *loop, int status, void *arg)
{
    (void)status; /* cancelled: the caller has left */
    end(loop, arg);
    let_go(arg);
    return 0;
}

static int meet_timeout(struct gyre_loop *loop, int status, void *arg)
{
    struct sync *sync = arg;
    (void)status; /* it is stopped before the loop closes */
    sync->timed_out = true;
    end(loop, sync);
    return 0;
}

GYRE_ON_LOOP static int wait_for_result(struct gyre_loop *loop, struct sync *sync)
{
    hold(sync);
    int r = gyre_future_add_done(sync->future, loop, meet_result, sync);
    if (r != 0)
        let_go(sync); /* not the last: the task is being called */
    return r;
}

static int begin(struct gyre_loop *loop, int status, void *arg)
{
    struct sync *sync = arg;
    int r = 0;
    gyre__assert_on_loop();
    if (status == 0 && !sync->over) {
        r = sync->fn(loop, sync->future, sync->arg);
        sync->error = r < 0 ? r : wait_for_result(loop, sync);
        if (sync->error != 0)
            end(loop, sync);
    }
    let_go(sync);
    return r == GYRE_UNWIND ? r : 0; /* an error is the caller's to hear, not the hook's */
}

/* ---- the run --------------------------------------------------------------------------------- */

GYRE_ON_LOOP static int arm_timeout(struct gyre_loop *loop, struct sync *sync)
{
    uint64_t now = gyre_loop_now_ns(loop);
    uint64_t deadline = sync->timeout_ns < GYRE_NEVER - now ? now + sync->timeout_ns : GYRE_NEVER;
    gyre_timer_init(&sync->timer, loop, meet_timeout, sync);
    return gyre_timer_start(&sync->timer, deadline);
}

static int turn(struct gyre_loop *loop, void *arg)
{
    struct sync *sync = arg;
    gyre__assert_on_loop();
    int r = arm_timeout(loop, sync);
    if (r != 0)
        return r;
    hold(sync);
    sync->posted = true;
    (void)gyre__loop_post_exempt(loop, &sync->task); /* it is open, and the caller is inside */
    r = gyre__loop_turn_until_stopped(loop, NULL);
    sync->over = true;
    (void)gyre_timer_stop(&sync->timer); /* the caller is the owner */
    return r;
}

static int judge(const struct sync *sync, int run_result, void **ret_value)
{
    void *value;
    if (sync->error != 0)
        return sync->error;
    if (gyre_future_is_done(sync->future)) {
        int r = gyre_future_result(sync->future, &value);
        if (r == 0 && ret_value != NULL)
            *ret_value = value;
        return r;
    }
    if (sync->timed_out)
        return -ETIMEDOUT;
    return run_result != 0 ? run_result : -ECANCELED;
}

int gyre_loop_run_sync(struct gyre_loop *loop, uint64_t timeout_ns, gyre_sync_fn *fn, void *arg,
                       void **ret_value)
{
    if (loop->managed)
        return -EPERM;
    if (fn == NULL)
        return -EINVAL;
    struct sync *sync = gyre__port_allocate(sizeof(*sync));
    if (sync == NULL)
        return -ENOMEM;
    *sync = (struct sync){.timeout_ns = timeout_ns, .fn = fn, .arg = arg};
    atomic_init(&sync->holders, 1);
    gyre_task_init(&sync->task, begin, sync);
    int r = gyre_future_create(&sync->future);
    if (r == 0) {
        gyre__task_capture(&sync->task);
        r = judge(sync, gyre__loop_visit(loop, turn, sync, 0), ret_value);
        if (!sync->posted)
            gyre__task_drop_context(&sync->task);
    }
    let_go(sync);
    return r;
}
