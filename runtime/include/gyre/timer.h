/* SPDX-License-Identifier: MIT */
/*
 * timer - a function to run once at a time of the loop's clock.
 *
 * Two forms. struct gyre_timer is embedded in the user's object, allocates nothing and is re-armed
 * at will; gyre_loop_call_at() is for a call that is made once and has a 64-bit handle.
 *
 * Order     Timers fire by deadline, and those of one deadline in the order in which they were
 *           armed. A timer that is armed again takes a new place in that order. Due ones that a
 *           turn has left, for its budget or GYRE_UNWIND, come before those that a later one finds.
 * Cost      Arming an armed timer for later is O(1) and touches no other timer: the case of idle
 *           timeouts. Arming and stopping are O(1), firing is O(log n) of those due soon,
 *           amortised.
 */
#ifndef GYRE_TIMER_H
#define GYRE_TIMER_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

/*
 * The members are the library's; initialise with gyre_timer_init. The first line of the cache has
 * all that arming for later and stopping touch: give the timer an address that 64 divides if you
 * have very many.
 */
struct gyre_timer {
    struct gyre_loop *loop;
    struct gyre_context *context;
    uint64_t deadline_ns;
    uint64_t order;
    struct gyre_timer *next;
    struct gyre_timer **link;
    const void *ahead;
    uint32_t state;
    uint32_t forks;

    gyre_fn *fn;
    void *arg;
    uint64_t handle;
    struct gyre_timer *child;
    uint64_t key_ns;
    uint64_t key_order;
};

/*
 * Prepares `timer` to call `fn` with `arg` on `loop`.
 *
 * Threads:  any; not while the timer is armed.
 * Lifetime: the timer must be stopped, or have fired, before its memory goes; its function may free
 *           it. The loop must outlive it.
 */
GYRE_API void gyre_timer_init(struct gyre_timer *timer, struct gyre_loop *loop, gyre_fn *fn,
                              void *arg) GYRE_ANY_THREAD;

/*
 * Arms `timer` for `deadline_ns`, or arms it anew. A deadline in the past fires in the next turn;
 * GYRE_NEVER stops it.
 *
 * Threads:  the loop's.
 * Order:    by deadline, then by arming.
 * Errors:   -EPERM: not the owner; -ESHUTDOWN: the loop has closed. The timer is as it was.
 */
GYRE_API GYRE_MUST_CHECK int gyre_timer_start(struct gyre_timer *timer, uint64_t deadline_ns)
    GYRE_ON_LOOP;

/*
 * Stops `timer`. One that is not armed, or has fired, is left alone; one that is due in this turn
 * and has not run yet does not run.
 *
 * Threads:  the loop's.
 * Errors:   -EPERM: not the owner; -ECHILD: armed by a parent process, whose loop may be gone here.
 */
GYRE_API int gyre_timer_stop(struct gyre_timer *timer) GYRE_ON_LOOP;

/*
 * Whether `timer` is armed.
 *
 * Threads:  the loop's.
 */
GYRE_API bool gyre_timer_is_armed(const struct gyre_timer *timer) GYRE_ON_LOOP;

/*
 * Calls `fn` at `deadline_ns` of the loop's clock. *ret_handle, which is never 0, cancels it.
 *
 * Threads:  the loop's.
 * Order:    as for gyre_timer_start.
 * Errors:   -EPERM: not the owner; -ESHUTDOWN: the loop has closed; -EINVAL: fn is NULL; -ENOMEM;
 *           -EAGAIN: 16,777,216 calls are pending.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_call_at(struct gyre_loop *loop, uint64_t deadline_ns,
                                               uint64_t *ret_handle, gyre_fn *fn, void *arg)
    GYRE_ON_LOOP;

/*
 * Calls `fn` once `delay_ns` have passed; a sum past GYRE_NEVER is GYRE_NEVER.
 *
 * Threads:  the loop's.
 * Errors:   as for gyre_loop_call_at.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_call_later(struct gyre_loop *loop, uint64_t delay_ns,
                                                  uint64_t *ret_handle, gyre_fn *fn, void *arg)
    GYRE_ON_LOOP;

/*
 * Cancels a call that has not run. Its function is not called; arg is the caller's again.
 *
 * Threads:  the loop's.
 * Errors:   -ENOENT: the call ran or was cancelled before, which is harmless; -EPERM: not the
 *           owner.
 */
GYRE_API int gyre_loop_cancel_call(struct gyre_loop *loop, uint64_t handle) GYRE_ON_LOOP;

/*
 * The posting form of gyre_loop_call_at: arms the call from any thread. It has no handle. Should
 * the loop find no memory to arm it, fn gets -ECANCELED, and the error hook the reason.
 *
 * Threads:  any; not signal handlers.
 * Errors:   as for gyre_loop_add_callback.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_post_call_at(struct gyre_loop *loop, uint64_t deadline_ns,
                                                    gyre_fn *fn, void *arg) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
