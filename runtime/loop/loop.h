/* SPDX-License-Identifier: MIT */
/*
 * loop - the struct, and what the parts of a loop, and the layers above it, may call.
 *
 * Fields carry a key: [I] set once at creation, [o] the owner's only, [a] atomic, any thread. What
 * other threads touch stands on cache lines of its own, and so does what they only read.
 */
#ifndef GYRE_LOOP_LOOP_H
#define GYRE_LOOP_LOOP_H

#include <stdatomic.h>

#include <gyre/loop.h>

#include "contract/backend.h"
#include "contract/port.h"
#include "loop/block.h"
#include "loop/counter.h"
#include "loop/door.h"
#include "loop/executor.h"
#include "loop/fork.h"
#include "loop/future.h"
#include "loop/handler.h"
#include "loop/inbox.h"
#include "loop/meter.h"
#include "loop/node.h"
#include "loop/queue.h"
#include "loop/signals.h"
#include "loop/thread.h"
#include "loop/timer.h"
#include "loop/watchdog.h"

enum gyre__loop_limits {
    GYRE__LINE = 64, /* a cache line of every system that gyre is built for */
    GYRE__BATCH_MAX = 256, /* events of one wait: what is over comes next turn (T33) */
    GYRE__BUDGET_STEP = 16 /* calls between two looks at the budget */
};

/* An owner that is nobody. Thread serials begin at 1, and stay far below. */
#define GYRE__NOBODY UINT64_MAX

/* The datum of the waker's events: a descriptor that cannot be. */
#define GYRE__WAKER_DATUM UINT64_MAX

/*
 * The loop's own node in its door, for stop and wake: preallocated, so that a signal handler can
 * post it.
 *
 * The request is stored first, then `queued` is exchanged, and who finds it false posts the node.
 * The taker exchanges `queued` to false, then reads the requests. Both exchanges are acq_rel: if
 * the requester finds true, the taker's exchange comes later, reads from the requester's, and so
 * sees the request.
 */
struct gyre__control {
    struct gyre_task task;
    _Atomic bool queued;
    _Atomic bool stop_requested;
};

/* Completions that wait for their turn, oldest first. The counts are kept as the queue's are. */
struct gyre__completions {
    struct gyre__operation *head;
    struct gyre__operation *tail;
    uint64_t added;
    uint64_t taken;
};

struct gyre__loop_counters {
    struct gyre__counter turns, polls, sleeps, posts, callbacks, timers, events, events_stale;
    struct gyre__counter rebuilds, queue_max;
};

struct gyre_loop {
    const struct gyre__backend *backend; /* [I] */
    const struct gyre__port *port; /* [I] */
    struct gyre_loop_options options; /* [I] */
    struct gyre__meter *meter; /* [I] NULL: nothing is timed */
    const struct gyre__waker_kind *waker_kind; /* [I] */
    struct gyre__waker waker; /* [I] */
    bool waker_edge; /* [I] watched edge-triggered, so never read */
    bool managed; /* [I] a runtime's */

    /* Padded, not aligned: the allocator's memory need not be. */
    unsigned char pad_0[GYRE__LINE];
    struct gyre__poller *poller; /* [o] NULL once closed */
    bool closed; /* [o] */
    bool destroyed; /* [o] inside a run, which closes it at its end */
    int interrupted; /* [o] what ends the run at once: GYRE_UNWIND, or -ECHILD; 0: nothing */
    bool turn_ns_known; /* [o] */
    uint64_t turn_ns; /* [o] the clock, read once after a wait */
    unsigned depth; /* [o] nested entries of the owner */
    void *user; /* [o] */

    struct gyre__queue queue; /* [o] */
    struct gyre__timers timers; /* [o] */
    struct gyre__waiters waiters; /* [o] */
    struct gyre__works works; /* [o] */
    struct gyre__handlers handlers; /* [o] */
    struct gyre__blocks blocks; /* [o] */
    struct gyre__nodes nodes; /* [o] */
    struct gyre__inbox inbox; /* [o] */
    struct gyre__completions completions; /* [o] */
    struct gyre__event *batch; /* [o] GYRE__BATCH_MAX events */
    unsigned batch_next; /* [o] the first that was not handled */
    unsigned batch_count; /* [o] */

    struct gyre__loop_counters counters; /* [a] written by the owner */
    _Atomic bool running; /* [a] the owner's, and its signal handlers' */
    _Atomic bool stopped; /* [a] likewise: a stop that no run has met yet */

    unsigned char pad_1[GYRE__LINE];
    uint64_t serial; /* [I] never another loop's */
    uint32_t forks; /* [I] gyre__forks_now at creation */
    struct gyre__door door; /* [a] */
    _Atomic uint64_t owner; /* [a] of the thread inside, or GYRE__NOBODY */
    _Atomic uint32_t references; /* [a] */
    _Atomic uint32_t room; /* [a] of a bounded loop: posts it still accepts */
    struct gyre__control control; /* [a] */
    struct gyre__signals signals;
    struct gyre__watch watch; /* its keys are its own */
    _Atomic uint64_t wakes_written; /* [a] */
};

/* Whether the loop is a parent process's: see fork.h. */
static inline bool gyre__loop_is_inherited(const struct gyre_loop *loop)
{
    return loop->forks != gyre__forks_now();
}

/* Whether the caller is inside the loop. */
static inline bool gyre__loop_is_mine(const struct gyre_loop *loop)
{
    /* relaxed: only the caller itself can have stored its own serial */
    return atomic_load_explicit(&loop->owner, memory_order_relaxed) == gyre__thread.serial;
}

/* Whether the caller is in a call of the loop's run, and in no other loop's within that: then it is
 * the owner, and the loop is open and no parent's. One comparison for what is nearly always so. */
static inline bool gyre__loop_is_inside(const struct gyre_loop *loop)
{
    return gyre__thread.inside == loop;
}

/* 0 if the caller may act as the owner of `loop`; -ECHILD if it is a parent process's; else -EPERM,
 * and a log line that names `function` and both threads. */
int gyre__loop_check_other(const struct gyre_loop *loop, const char *function);
static inline int gyre__loop_check_owner(const struct gyre_loop *loop, const char *function)
{
    return gyre__loop_is_inside(loop) ? 0 : gyre__loop_check_other(loop, function);
}

/* Tells clang's analysis that the caller acts as the owner: the first line of every callback. */
static inline void gyre__assert_on_loop(void) GYRE_ASSERTS_ON_LOOP;
static inline void gyre__assert_on_loop(void)
{
}

/* The loop's clock as of this turn: read at most once between two waits. For timeouts, which need
 * no better. */
uint64_t gyre__loop_turn_ns(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Makes the calling thread the owner, or lets it nest; false if another is inside. */
bool gyre__loop_enter(struct gyre_loop *loop);
void gyre__loop_leave(struct gyre_loop *loop);

/* The outermost run ends: closes the loop if it was destroyed inside. */
void gyre__loop_close_if_destroyed(struct gyre_loop *loop);

/* Writes to the waker: for the poster that replaced ARMED. Async-signal-safe. */
void gyre__loop_ring(struct gyre_loop *loop);

/* The door gave the loop's own node: does what was asked. True: a stop was. */
bool gyre__loop_meet_control(struct gyre_loop *loop);

/* Runs the completions that are queued now, and not those that they add; in a child none. False:
 * there were none. */
bool gyre__loop_run_completions(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Calls the earliest timer, due or not, with -ECANCELED. False: there is none. */
bool gyre__loop_cancel_timer(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Takes the oldest callback from the queue, which has one, and calls it. */
void gyre__loop_run_next(struct gyre_loop *loop, int status) GYRE_ON_LOOP;

/*
 * How a runtime posts. claim_room takes the room of `count` posts of a bounded loop, all or none;
 * post_claimed posts with it, and returns it if the loop has closed. post_exempt needs no room, so
 * that only a closed loop refuses it (-ESHUTDOWN).
 */
bool gyre__loop_claim_bounded(struct gyre_loop *loop, size_t count);
static inline bool gyre__loop_claim_room(struct gyre_loop *loop, size_t count)
{
    return loop->options.queue_max == 0 || gyre__loop_claim_bounded(loop, count);
}

static inline void gyre__loop_return_room(struct gyre_loop *loop, size_t count)
{
    if (loop->options.queue_max != 0) /* relaxed: as in gyre__loop_claim_bounded */
        atomic_fetch_add_explicit(&loop->room, (uint32_t)count, memory_order_relaxed);
}

int gyre__loop_post_claimed(struct gyre_loop *loop, struct gyre_task *task);
int gyre__loop_post_exempt(struct gyre_loop *loop, struct gyre_task *task);

/* Turns of a loop that is entered: what they end with is the run's result. */
typedef int gyre__turns_fn(struct gyre_loop *loop, void *arg);

/* Has the caller be the owner while `turns` runs; `stopped` is the result if a stop came before. */
int gyre__loop_visit(struct gyre_loop *loop, gyre__turns_fn *turns, void *arg, int stopped);

/* Turns until a stop, which is 0; arg is not used. */
int gyre__loop_turn_until_stopped(struct gyre_loop *loop, void *arg);

/* What a runtime calls in place of the public run, stop and close, which refuse its loops. */
int gyre__loop_create_managed(const struct gyre_loop_options *options, struct gyre_loop **ret_loop);
int gyre__loop_run_managed(struct gyre_loop *loop);
void gyre__loop_stop_managed(struct gyre_loop *loop);
int gyre__loop_close_managed(struct gyre_loop *loop);

/* Captures the caller's context for a task that it is about to post by one of the two above, and
 * drops it again if the post was refused. */
void gyre__task_capture(struct gyre_task *task);
void gyre__task_drop_context(struct gyre_task *task);

/* A function's result was not 0: GYRE_UNWIND, or a failure, whose `error` it is. */
void gyre__loop_judge(struct gyre_loop *loop, const struct gyre_failure *failure) GYRE_ON_LOOP;

/* Hands a failed function to the hooks, the thread's context's before the loop's (T75, T107);
 * -EPIPE of a handler is silent (T76). */
void gyre__loop_report(struct gyre_loop *loop, const struct gyre_failure *failure) GYRE_ON_LOOP;

/* Registers the waker in the poll set: at creation, and when the set was emptied. */
int gyre__loop_watch_waker(struct gyre_loop *loop);

/* Formats a line for the process's log. */
void gyre__log(enum gyre_log_level level, const char *format, ...) GYRE_PRINTF(2, 3);

#endif
