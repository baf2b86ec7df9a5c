/* SPDX-License-Identifier: MIT */
/*
 * periodic - see periodic.h. A timer that is armed again behind each call.
 *
 * The next schedule is made after the call, from the clock of then, so that a call that takes
 * longer than a period makes no second one at once. So the periodic has to be touched after its
 * function, which may have stopped and freed it: `in_call` points to a flag in the frame of the
 * call, and stop and start clear it and detach themselves. Armed before the call, with nothing to
 * do after it, was rejected for the calls in a row. A future that is pending is asked when the next
 * call is due; it costs no callback, and a thread that resolves it touches nothing of ours.
 */
#include "loop/periodic.h"

#include <gyre/context.h>
#include <gyre/error.h>

#include "loop/loop.h"

_Static_assert(sizeof(struct gyre_periodic) == 192, "a change of size is a change of the ABI");

/* ---- schedules ------------------------------------------------------------------------------- */

uint64_t gyre__periodic_step(uint64_t period_ns, double jitter, uint64_t random)
{
    if (jitter == 0)
        return period_ns;
    double fraction = (double)(random >> 11) / 9007199254740992.0; /* 53 bits: exact, below 1 */
    double step = (double)period_ns * (1 + jitter * (fraction - 0.5));
    if (step < 1)
        return 1;
    return step < (double)(GYRE_NEVER / 2) ? (uint64_t)step : GYRE_NEVER / 2;
}

uint64_t gyre__periodic_next(uint64_t schedule_ns, uint64_t step_ns, uint64_t now_ns)
{
    uint64_t steps = now_ns >= schedule_ns ? (now_ns - schedule_ns) / step_ns + 1 : 1;
    uint64_t way; /* it may be too long only where the last step passes the clock's end */
    if (__builtin_mul_overflow(steps, step_ns, &way) || way >= GYRE_NEVER - schedule_ns)
        return GYRE_NEVER;
    return schedule_ns + way;
}

static uint64_t draw_step(const struct gyre_periodic *periodic)
{
    if (periodic->jitter == 0)
        return periodic->period_ns;
    const struct gyre__port *port = periodic->timer.loop->port;
    return gyre__periodic_step(periodic->period_ns, periodic->jitter, port->random());
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Ends what goes on: a call that is under way leaves the periodic alone when its function returns,
 * and what is pending is the caller's to release, last: its release is the user's, who may do
 * anything to the periodic. */
static struct gyre_future *forget(struct gyre_periodic *periodic)
{
    struct gyre_future *pending = periodic->pending;
    if (periodic->in_call != NULL)
        *periodic->in_call = false;
    periodic->in_call = NULL;
    periodic->pending = NULL;
    return pending;
}

/* Takes a pending future that is done, to be released by the caller, last as well. */
static bool is_held_up(struct gyre_periodic *periodic, struct gyre_future **ret_done)
{
    if (periodic->pending == NULL)
        return false;
    if (!gyre_future_is_done(periodic->pending))
        return periodic->overlap == GYRE_OVERLAP_SKIP;
    *ret_done = periodic->pending;
    periodic->pending = NULL;
    return false;
}

/* Last as well, of one that was armed: so may the release of the context that it was in. */
static void arm(struct gyre_periodic *periodic, uint64_t from_ns, uint64_t now_ns)
{
    periodic->schedule_ns = gyre__periodic_next(from_ns, draw_step(periodic), now_ns);
    gyre__timer_arm(&periodic->timer, periodic->schedule_ns);
}

/* In a timer's function: the loop is open and the caller's, and the timer in no context. */
static void arm_next(struct gyre_periodic *periodic)
{
    arm(periodic, periodic->schedule_ns, gyre_loop_now_ns(periodic->timer.loop));
}

/* The loop closes: a last call, which may free the periodic. */
static int cancel(struct gyre_loop *loop, struct gyre_periodic *periodic)
{
    struct gyre_future *pending = periodic->pending;
    periodic->pending = NULL;
    periodic->running = false;
    int r = periodic->fn(loop, -ECANCELED, periodic->arg);
    gyre_future_release(pending);
    return r;
}

GYRE_ON_LOOP static int judge(struct gyre_loop *loop, gyre_fn *fn, void *arg, int result)
{
    if (result >= 0)
        return result; /* GYRE_UNWIND: the timer's */
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_TIMER, .error = result, .fd = -1, .fn = fn, .arg = arg};
    gyre__loop_report(loop, &failure); /* here, since it names the user's function */
    return 0;
}

static int tick(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre_periodic *periodic = arg;
    struct gyre_future *done = NULL;
    gyre__assert_on_loop();
    if (status != 0)
        return cancel(loop, periodic);
    if (is_held_up(periodic, &done)) {
        arm_next(periodic);
        return 0;
    }
    gyre_fn *fn = periodic->fn;
    void *fn_arg = periodic->arg;
    struct gyre_context *context = gyre_context_current();
    bool goes_on = true;
    periodic->in_call = &goes_on;
    gyre__meter_rename(loop->meter, (union gyre__function){.fn = fn});
    int r = fn(loop, 0, fn_arg);
    (void)gyre_context_enter(context); /* the next call's is this one's, whatever fn entered */
    if (goes_on && !gyre__loop_is_inherited(loop)) { /* fn may have forked, and freed it there */
        periodic->in_call = NULL;
        arm_next(periodic);
    }
    r = judge(loop, fn, fn_arg, r);
    gyre_future_release(done);
    return r;
}

/* ---- the public functions -------------------------------------------------------------------- */

int gyre_periodic_init(struct gyre_periodic *periodic, struct gyre_loop *loop, uint64_t period_ns,
                       gyre_fn *fn, void *arg)
{
    if (period_ns == 0 || period_ns == GYRE_NEVER || fn == NULL)
        return -EINVAL;
    *periodic = (struct gyre_periodic){.fn = fn, .arg = arg, .period_ns = period_ns};
    gyre_timer_init(&periodic->timer, loop, tick, periodic);
    return 0;
}

int gyre_periodic_set_jitter(struct gyre_periodic *periodic, double jitter)
{
    if (!(jitter >= 0 && jitter <= 1)) /* nor what is no number */
        return -EINVAL;
    periodic->jitter = jitter;
    return 0;
}

void gyre_periodic_set_overlap(struct gyre_periodic *periodic, enum gyre_overlap overlap)
{
    periodic->overlap = overlap;
}

int gyre_periodic_start(struct gyre_periodic *periodic)
{
    struct gyre_loop *loop = periodic->timer.loop;
    int r = gyre__loop_check_owner(loop, "gyre_periodic_start");
    if (r != 0)
        return r;
    if (loop->closed)
        return -ESHUTDOWN;
    uint64_t now_ns = gyre_loop_now_ns(loop);
    struct gyre_future *pending = forget(periodic);
    periodic->running = true;
    arm(periodic, now_ns, now_ns);
    gyre_future_release(pending);
    return 0;
}

int gyre_periodic_stop(struct gyre_periodic *periodic)
{
    if (!periodic->running)
        return 0; /* the loop, which may be gone, is not looked at */
    if (gyre__timer_is_inherited(&periodic->timer))
        return -ECHILD;
    int r = gyre__loop_check_owner(periodic->timer.loop, "gyre_periodic_stop");
    if (r != 0)
        return r;
    struct gyre_future *pending = forget(periodic);
    periodic->running = false;
    gyre__timers_stop(&periodic->timer.loop->timers, &periodic->timer);
    gyre_future_release(pending);
    return 0;
}

bool gyre_periodic_is_running(const struct gyre_periodic *periodic)
{
    return periodic->running;
}

void gyre_periodic_pend(struct gyre_periodic *periodic, struct gyre_future *future)
{
    if (!periodic->running)
        return; /* nothing is skipped for it, and nobody would let it go */
    struct gyre_future *before = periodic->pending;
    periodic->pending = gyre_future_acquire(future); /* before the other goes: it may be the same */
    gyre_future_release(before);
}
