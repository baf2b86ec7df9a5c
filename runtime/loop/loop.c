/* SPDX-License-Identifier: MIT */
/*
 * loop - the turn. The only file that knows the order of its phases.
 *
 *   1 receive     what others have posted goes behind the callbacks
 *   2 gather      the timers that are due, before any callback runs
 *   3 run         the callbacks counted at the top, then those timers
 *   4 stop        if asked
 *   5 wait        0 if anything is pending, else until the next deadline; the door is armed
 *   meanwhile 6 dispatch    completions, then the handlers of the batch
 *
 * Nesting   A run inside a callback (T65) shares queue, due timers and batch with the outer one:
 *           counts are kept in the structures, not in the frame, so that each thing runs once. A
 *           run that finds a batch begun serves its rest before it polls again (T31).
 * Running   `running` and `stopped` are Tornado's two flags: a stop clears the first and sets the
 *           second; run, finding the second, clears it and returns. Signal handlers of the owner
 *           may stop too, so they are atomic, relaxed: no other thread touches them.
 */
#include "loop/loop.h"

#include <gyre/embed.h>
#include <gyre/error.h>
#include <gyre/task.h>

#include "loop/context.h"

/* ---- 1 receive ------------------------------------------------------------------------------- */

static void apply_stop(struct gyre_loop *loop)
{
    atomic_store_explicit(&loop->running, false, memory_order_relaxed);
    atomic_store_explicit(&loop->stopped, true, memory_order_relaxed);
}

bool gyre__loop_meet_control(struct gyre_loop *loop)
{
    /* acq_rel, then the read: see struct gyre__control */
    (void)atomic_exchange_explicit(&loop->control.queued, false, memory_order_acq_rel);
    /* acquire: pairs with the release of stop, whose caller's posts are seen from here on, also if
     * it was an earlier wake that put the node here */
    if (!atomic_exchange_explicit(&loop->control.stop_requested, false, memory_order_acquire))
        return false;
    apply_stop(loop);
    return true;
}

static void receive(struct gyre_loop *loop)
{
    if (loop->inbox.attached != NULL || gyre__door_has_posts(&loop->door))
        gyre__inbox_receive(loop);
    uint64_t queued = loop->queue.added - loop->queue.taken;
    /* relaxed: a statistic with one writer */
    if (queued > atomic_load_explicit(&loop->counters.queue_max.value, memory_order_relaxed))
        atomic_store_explicit(&loop->counters.queue_max.value, queued, memory_order_relaxed);
}

/* ---- 2 gather, 3 run ------------------------------------------------------------------------- */

static bool is_running(const struct gyre_loop *loop)
{
    return atomic_load_explicit(&loop->running, memory_order_relaxed);
}

static void gather(struct gyre_loop *loop)
{
    if (gyre__timers_any(&loop->timers))
        gyre__timers_gather(&loop->timers, gyre_loop_now_ns(loop));
}

/* Cuts a phase that has run longer than its budget: looked at every GYRE__BUDGET_STEP calls, the
 * first time to begin, so that a short phase reads no clock. */
struct budget {
    uint64_t ns; /* 0: none */
    uint64_t began_ns; /* 0: not yet */
    unsigned calls;
};

static bool is_spent(struct gyre_loop *loop, struct budget *budget)
{
    if (++budget->calls % GYRE__BUDGET_STEP != 0 || budget->ns == 0)
        return false;
    uint64_t now = loop->port->ticks_ns();
    if (budget->began_ns == 0)
        budget->began_ns = now;
    return now - budget->began_ns > budget->ns && is_running(loop);
}

void gyre__loop_judge(struct gyre_loop *loop, const struct gyre_failure *failure)
{
    if (failure->error < 0)
        gyre__loop_report(loop, failure);
    else if (failure->error == GYRE_UNWIND && loop->interrupted == 0) /* else it is -ECHILD */
        loop->interrupted = GYRE_UNWIND;
}

/* Of a message that was called. Its context hears of it, whatever the function has entered.
 * noinline, and member by member: else each message would have to be in memory. */
GYRE_ON_LOOP __attribute__((noinline)) static void judge(struct gyre_loop *loop, gyre_fn *fn,
                                                         void *arg, struct gyre_context *context,
                                                         enum gyre_failure_kind kind, int result)
{
    struct gyre_failure failure = {.kind = kind, .error = result, .fd = -1, .fn = fn, .arg = arg};
    (void)gyre_context_enter(context);
    gyre__loop_judge(loop, &failure);
}

/* Calls a function in the context of its registration, whose reference it drops. Its result goes
 * nowhere if it was cancelled: it only releases, and has nothing to fail at. */
GYRE_ON_LOOP static inline void call(struct gyre_loop *loop, struct gyre__message message,
                                     int status, enum gyre_failure_kind kind, bool cancelled)
{
    gyre__context_begin(message.context);
    int r = loop->meter == NULL ? message.fn(loop, status, message.arg)
                                : gyre__meter_call(loop, message.fn, status, message.arg);
    if (r != 0 && !cancelled)
        judge(loop, message.fn, message.arg, message.context, kind, r);
    gyre__context_end();
    gyre__context_drop(message.context);
}

/* What has no room of a bounded loop. Its memory goes back to where it is kept first. noinline: as
 * judge. */
GYRE_ON_LOOP __attribute__((noinline)) static void run_exempt(struct gyre_loop *loop,
                                                              struct gyre_task *task, int status)
{
    struct gyre__message message = {task->fn, task->arg, gyre__task_context(task)};
    struct gyre__waiter *waiter = NULL;
    enum gyre__task_kind kind = gyre__task_kind(task);
    bool cancelled = status != 0;
    if (kind == GYRE__TASK_SIGNAL)
        gyre__signals_give(&loop->signals, task);
    else if (kind == GYRE__TASK_WAITER)
        waiter = gyre__waiter_leave(loop, task);
    else if (kind == GYRE__TASK_WORK)
        status = gyre__work_arrive(loop, task, status);
    call(loop, message, status, GYRE_FAILED_CALLBACK, cancelled);
    if (waiter != NULL)
        gyre__waiter_end(waiter);
}

GYRE_ON_LOOP static inline void call_posted(struct gyre_loop *loop, struct gyre__message message,
                                            int status)
{
    gyre__loop_return_room(loop, 1);
    call(loop, message, status, GYRE_FAILED_CALLBACK, status != 0);
}

GYRE_ON_LOOP static inline void run_task(struct gyre_loop *loop, struct gyre_task *task, int status)
{
    struct gyre__message message = {task->fn, task->arg, gyre__task_context(task)};
    enum gyre__task_kind kind = gyre__task_kind(task);
    if (kind >= GYRE__TASK_EXEMPT) {
        run_exempt(loop, task, status);
        return;
    }
    if (kind == GYRE__TASK_NODE)
        gyre__node_give(&loop->nodes, task);
    call_posted(loop, message, status);
}

/* Takes the next message of the lane whose entry is the queue's head. */
GYRE_ON_LOOP static inline struct gyre__message take_message(struct gyre_loop *loop)
{
    struct gyre__lane *lane = gyre__lane_of_entry(loop->queue.head);
    struct gyre__message message = gyre__lane_take(lane);
    if (gyre__lane_is_spent(lane))
        gyre__inbox_leave_queue(loop, lane);
    else
        loop->queue.taken++;
    return message;
}

GYRE_ON_LOOP static void run_message(struct gyre_loop *loop, int status)
{
    struct gyre__message message = take_message(loop);
    if (message.fn == NULL) {
        run_task(loop, message.arg, status);
        return;
    }
    call_posted(loop, message, status);
}

void gyre__loop_run_next(struct gyre_loop *loop, int status)
{
    if (gyre__task_kind(loop->queue.head) == GYRE__TASK_LANE)
        run_message(loop, status);
    else
        run_task(loop, gyre__queue_take(&loop->queue), status);
}

/* Runs the callbacks that were added before the turn, or as many as the budget allows. */
GYRE_ON_LOOP static void run_callbacks(struct gyre_loop *loop, uint64_t last)
{
    struct budget budget = {.ns = loop->options.callback_budget_ns};
    while (loop->queue.taken < last && loop->interrupted == 0 && !is_spent(loop, &budget)) {
        gyre__loop_run_next(loop, 0);
        gyre__counter_add(&loop->counters.callbacks, 1);
    }
}

GYRE_ON_LOOP static void run_timers(struct gyre_loop *loop)
{
    struct budget budget = {.ns = loop->options.timer_budget_ns};
    struct gyre__message timer;
    while (loop->timers.due != NULL && loop->interrupted == 0 && !is_spent(loop, &budget)) {
        if (loop->meter != NULL)
            gyre__meter_note_timer(loop, loop->timers.due->deadline_ns);
        (void)gyre__timers_take_due(&loop->timers, &timer); /* there is one */
        gyre__counter_add(&loop->counters.timers, 1);
        call(loop, timer, 0, GYRE_FAILED_TIMER, false);
    }
}

bool gyre__loop_cancel_timer(struct gyre_loop *loop)
{
    struct gyre__message timer;
    if (!gyre__timers_take_any(&loop->timers, &timer))
        return false;
    call(loop, timer, -ECANCELED, GYRE_FAILED_TIMER, true);
    return true;
}

/* ---- 5 wait ---------------------------------------------------------------------------------- */

/* How long the loop may sleep, 0 if something is pending. */
static uint64_t wait_ns(struct gyre_loop *loop)
{
    if (loop->queue.head != NULL || loop->completions.head != NULL || loop->timers.due != NULL)
        return 0;
    uint64_t max = loop->options.wait_max_ns;
    if (loop->handlers.torn != 0 && max > GYRE__REBUILD_PAUSE_NS)
        max = GYRE__REBUILD_PAUSE_NS;
    uint64_t next = gyre__timers_any(&loop->timers) ? gyre__timers_next(&loop->timers) : GYRE_NEVER;
    if (next == GYRE_NEVER)
        return max;
    uint64_t now = gyre_loop_now_ns(loop);
    uint64_t left = next > now ? next - now : 0;
    return left < max ? left : max;
}

static inline int sleep_and_poll(struct gyre_loop *loop, uint64_t timeout_ns)
{
    if (timeout_ns != 0) {
        gyre__counter_add(&loop->counters.sleeps, 1);
        if (loop->options.wait != NULL) {
            int r = loop->options.wait(loop, timeout_ns, loop->options.wait_arg);
            gyre__context_end(); /* whatever it has entered */
            if (r < 0)
                return r;
            timeout_ns = 0;
        }
    }
    loop->handlers.polls++;
    gyre__counter_add(&loop->counters.polls, 1);
    return loop->backend->readiness->wait(loop->poller, timeout_ns, loop->batch, GYRE__BATCH_MAX);
}

/* noinline: a loop that is not timed need not step over it. */
__attribute__((noinline)) static int sleep_and_poll_timed(struct gyre_loop *loop,
                                                          uint64_t timeout_ns)
{
    if (timeout_ns != 0)
        gyre__meter_sleep(loop);
    int r = sleep_and_poll(loop, timeout_ns);
    gyre__meter_polled(loop, timeout_ns != 0);
    return r;
}

/* Lets go of the lanes and arms the door, if the loop may sleep for `timeout_ns`. Returns how long
 * it may: all of it, or 0. */
GYRE_ON_LOOP static uint64_t arm(struct gyre_loop *loop, uint64_t timeout_ns)
{
    bool armed = timeout_ns != 0 && (loop->inbox.attached == NULL || gyre__inbox_detach(loop)) &&
                 gyre__door_arm(&loop->door);
    return armed ? timeout_ns : 0;
}

/* Fills the batch, unless a nested run left one. 0, or what ends the run. */
GYRE_ON_LOOP static int wait_for_events(struct gyre_loop *loop, bool may_sleep)
{
    if (loop->batch_next < loop->batch_count)
        return 0;
    if (loop->handlers.torn != 0)
        gyre__handlers_mend(loop);
    uint64_t timeout_ns = may_sleep ? arm(loop, wait_ns(loop)) : 0;
    gyre__watch_end(&loop->watch);
    int r = loop->meter == NULL ? sleep_and_poll(loop, timeout_ns)
                                : sleep_and_poll_timed(loop, timeout_ns);
    gyre__watch_begin(&loop->watch);
    if (timeout_ns != 0)
        gyre__door_disarm(&loop->door);
    loop->turn_ns_known = false;
    loop->batch_next = 0;
    loop->batch_count = r > 0 ? (unsigned)r : 0;
    return r < 0 && r != -EINTR ? r : 0;
}

/* ---- 6 dispatch ------------------------------------------------------------------------------ */

bool gyre__loop_run_completions(struct gyre_loop *loop)
{
    struct gyre__completions *completions = &loop->completions;
    uint64_t last = completions->added;
    bool any = false;
    while (completions->taken < last && !gyre__loop_is_inherited(loop)) {
        any = true;
        struct gyre__operation *operation = completions->head;
        completions->head = operation->next;
        completions->taken++;
        gyre__operation_deliver(operation);
    }
    return any;
}

void gyre__host_complete(struct gyre_loop *loop, struct gyre__operation *operation, int64_t result)
{
    struct gyre__completions *completions = &loop->completions;
    operation->next = NULL;
    operation->result = result;
    operation->queued = true;
    if (completions->head == NULL)
        completions->head = operation;
    else
        completions->tail->next = operation;
    completions->tail = operation;
    completions->added++;
}

GYRE_ON_LOOP static void dispatch(struct gyre_loop *loop)
{
    /* Whether there were any is the closer's question. */
    if (loop->completions.head != NULL)
        (void)gyre__loop_run_completions(loop);
    if (loop->batch_next < loop->batch_count)
        gyre__handlers_dispatch(loop);
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* Phases 1 to 4 of a turn. False: a stop was asked, and what it lets run has run; or the run was
 * interrupted. */
GYRE_ON_LOOP static bool run_what_is_due(struct gyre_loop *loop)
{
    gyre__counter_add(&loop->counters.turns, 1);
    receive(loop);
    uint64_t last = loop->queue.added;
    gather(loop);
    run_callbacks(loop, last);
    run_timers(loop);
    return loop->interrupted == 0 && is_running(loop);
}

/* Phases 5 and 6. A stop in a handler is met by the next turn, after its callbacks (T62). */
GYRE_ON_LOOP static int wait_and_dispatch(struct gyre_loop *loop, bool may_sleep)
{
    int r = wait_for_events(loop, may_sleep);
    if (r == 0)
        dispatch(loop);
    return r != 0 ? r : loop->interrupted;
}

int gyre__loop_turn_until_stopped(struct gyre_loop *loop, void *arg)
{
    int r = 0;
    (void)arg;
    gyre__assert_on_loop();
    while (r == 0 && run_what_is_due(loop))
        r = wait_and_dispatch(loop, true);
    return r != 0 ? r : loop->interrupted;
}

/* Phases 5 and 6 of the turn that prepare has begun, then 1 to 4 of the next. */
static int run_one_turn(struct gyre_loop *loop, void *arg)
{
    (void)arg;
    gyre__assert_on_loop();
    int r = wait_and_dispatch(loop, false);
    if (r != 0)
        return r;
    if (run_what_is_due(loop))
        return 0;
    return loop->interrupted != 0 ? loop->interrupted : GYRE_STOPPED;
}

/* ---- run ------------------------------------------------------------------------------------- */

static void begin_visit(struct gyre_loop *loop, struct gyre__visit *visit)
{
    *visit = (struct gyre__visit){
        .loop = loop,
        .outer = gyre__thread.visit,
        .current = gyre__thread.current,
        .context = gyre_context_enter(NULL),
    };
    gyre__thread.visit = visit;
    gyre__thread.inside = loop;
    gyre__thread.current = gyre_loop_acquire(loop);
    loop->port->sigpipe_block(&visit->sigpipe);
    if (loop->depth > 1)
        return; /* it is a part of the outer one's stretch */
    gyre__watch_begin(&loop->watch);
    if (loop->meter != NULL)
        gyre__meter_begin(loop);
}

static void end_visit(struct gyre_loop *loop, const struct gyre__visit *visit)
{
    receive(loop); /* a stop that came before this counts as one with what ended the run (T59) */
    /* In a child a run of the same loop around this one has to return as well. */
    loop->interrupted = gyre__loop_is_inherited(loop) ? -ECHILD : 0;
    atomic_store_explicit(&loop->running, false, memory_order_relaxed);
    atomic_store_explicit(&loop->stopped, false, memory_order_relaxed);
    if (loop->depth == 1) {
        gyre__watch_end(&loop->watch);
        if (loop->meter != NULL)
            gyre__meter_end(loop);
    }
    if (visit->outer == NULL && gyre__thread.watch != GYRE__WATCH_NOT)
        gyre__watch_thread_leaves();
    loop->port->sigpipe_restore(visit->sigpipe);

    struct gyre_loop *current = gyre__thread.current; /* a callback may have made another current */
    gyre__thread.visit = visit->outer;
    gyre__thread.inside = visit->outer != NULL ? visit->outer->loop : NULL;
    gyre__thread.current = visit->current;
    (void)gyre_context_enter(visit->context);
    gyre_loop_release(current);
}

GYRE_ON_LOOP static int visit_if_open(struct gyre_loop *loop, gyre__turns_fn *turns, void *arg,
                                      int stopped)
{
    if (loop->closed)
        return -ESHUTDOWN;
    if (is_running(loop))
        return -EBUSY;
    gyre__door_disarm(&loop->door); /* prepare may have armed it */
    gyre__inbox_enter(loop);
    receive(loop); /* a stop may have come while nobody was inside */
    /* In this order, which the release keeps: a stop by this thread's signal handler is found by
     * the exchange if it came before, and else clears `running`. */
    atomic_store_explicit(&loop->running, true, memory_order_relaxed);
    if (atomic_exchange_explicit(&loop->stopped, false, memory_order_acq_rel)) {
        atomic_store_explicit(&loop->running, false, memory_order_relaxed);
        return stopped;
    }
    struct gyre__visit visit;
    begin_visit(loop, &visit);
    int r = turns(loop, arg);
    end_visit(loop, &visit);
    return r;
}

int gyre__loop_visit(struct gyre_loop *loop, gyre__turns_fn *turns, void *arg, int stopped)
{
    gyre__assert_on_loop();
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    if (!gyre__loop_enter(loop))
        return -EBUSY;
    (void)gyre_loop_acquire(loop); /* a callback may drop the last reference but this */
    int r = visit_if_open(loop, turns, arg, stopped);
    gyre__loop_close_if_destroyed(loop);
    gyre__inbox_leave(loop);
    gyre__loop_leave(loop);
    gyre_loop_release(loop);
    return r;
}

int gyre__loop_run_managed(struct gyre_loop *loop)
{
    return gyre__loop_visit(loop, gyre__loop_turn_until_stopped, NULL, 0);
}

int gyre_loop_run(struct gyre_loop *loop)
{
    return loop->managed ? -EPERM : gyre__loop_run_managed(loop);
}

/* ---- embedding ------------------------------------------------------------------------------- */

int gyre_loop_fd(struct gyre_loop *loop, int *ret_fd)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_fd");
    if (r != 0)
        return r;
    if (loop->managed)
        return -EPERM;
    if (loop->closed)
        return -ESHUTDOWN;
    const struct gyre__readiness *readiness = loop->backend->readiness;
    return readiness->descriptor != NULL ? readiness->descriptor(loop->poller, ret_fd) : -ENOTSUP;
}

GYRE_ON_LOOP static int prepare(struct gyre_loop *loop, uint64_t *ret_wait_ns)
{
    if (loop->closed)
        return -ESHUTDOWN;
    if (loop->depth > 1)
        return -EBUSY;
    gyre__inbox_enter(loop);
    gyre__door_disarm(&loop->door); /* should the last prepare not have been followed by a turn */
    /* relaxed: a stop of another thread is in the door, which then cannot be armed */
    bool pending = atomic_load_explicit(&loop->stopped, memory_order_relaxed) ||
                   loop->batch_next < loop->batch_count;
    *ret_wait_ns = pending ? 0 : arm(loop, wait_ns(loop));
    gyre__inbox_leave(loop);
    return 0;
}

int gyre_loop_prepare(struct gyre_loop *loop, uint64_t *ret_wait_ns)
{
    gyre__assert_on_loop();
    if (loop->managed)
        return -EPERM;
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    if (!gyre__loop_enter(loop))
        return -EBUSY;
    int r = prepare(loop, ret_wait_ns);
    gyre__loop_leave(loop);
    return r;
}

int gyre_loop_run_once(struct gyre_loop *loop)
{
    return loop->managed ? -EPERM : gyre__loop_visit(loop, run_one_turn, NULL, GYRE_STOPPED);
}

/* ---- stop and wake: any thread, and signal handlers ------------------------------------------ */

void gyre__loop_ring(struct gyre_loop *loop)
{
    /* A count, and the one write that a sleep may cost; relaxed: nothing is read by it. */
    atomic_fetch_add_explicit(&loop->wakes_written, 1, memory_order_relaxed);
    loop->waker_kind->signal(&loop->waker);
}

void gyre_loop_wake(struct gyre_loop *loop)
{
    if (gyre__loop_is_inherited(loop))
        return; /* the bell is the parent's too */
    /* acq_rel: see struct gyre__control */
    if (atomic_exchange_explicit(&loop->control.queued, true, memory_order_acq_rel))
        return;
    if (gyre__door_post(&loop->door, &loop->control.task, &loop->control.task) ==
        GYRE__DOOR_POSTED_WAKE)
        gyre__loop_ring(loop);
}

void gyre__loop_stop_managed(struct gyre_loop *loop)
{
    /* The owner's own takes effect now, and rings in case this is its signal handler, just before a
     * wait. Another's is met by the owner: release, see gyre__loop_meet_control. */
    if (gyre__loop_is_mine(loop))
        apply_stop(loop);
    else
        atomic_store_explicit(&loop->control.stop_requested, true, memory_order_release);
    gyre_loop_wake(loop);
}

int gyre_loop_stop(struct gyre_loop *loop)
{
    if (loop->managed)
        return -EPERM;
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    gyre__loop_stop_managed(loop);
    return 0;
}
