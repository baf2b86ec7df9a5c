/* SPDX-License-Identifier: MIT */
/*
 * periodic - a function that is called once a period, on the loop's clock, without drift.
 *
 * Schedule   The first call comes one period after the start. After each call the next one is due
 *            at the last schedule plus the smallest multiple of the period that lies in the future:
 *            a late call moves no other, and periods that were missed are skipped (T92). A clock
 *            that steps back makes no second call for the same schedule (T96).
 *
 *              period 10, calls at   1010   1020.5   1049.9   1050
 *              next due at           1020   1030     1050     1060
 *
 * Jitter     keeps those apart that start together: each step is the period times 1 + j(r - 0.5),
 *            with r anew in [0, 1) (T99).
 * Overlap    A call may begin work that goes on, and say so with gyre_periodic_pend. Until that
 *            future is resolved, calls that come due are skipped, or made all the same (T95).
 */
#ifndef GYRE_PERIODIC_H
#define GYRE_PERIODIC_H

#include <gyre/base.h>
#include <gyre/future.h>
#include <gyre/timer.h>

GYRE_BEGIN_DECLS

/* What becomes of a call that is due while the work of an earlier one goes on. */
enum gyre_overlap {
    GYRE_OVERLAP_SKIP, /* it is not made; the schedule goes on */
    GYRE_OVERLAP_ALLOW /* it is made */
};

/* The members are the library's; initialise with gyre_periodic_init. */
struct gyre_periodic {
    struct gyre_timer timer;
    gyre_fn *fn;
    void *arg;
    uint64_t period_ns;
    uint64_t schedule_ns;
    double jitter;
    struct gyre_future *pending;
    bool *in_call;
    uint32_t overlap;
    uint32_t running;
    void *spare[2];
};

/*
 * Prepares `periodic` to call `fn` with `arg` on `loop` every `period_ns`; it is stopped. A result
 * of fn's is treated as that of a timer, and keeps the schedule (T94).
 *
 * Threads:  any; not while it is started.
 * Lifetime: it must be stopped before its memory goes, which its own function may do. The loop must
 *           outlive it. When a loop closes, fn is called a last time, with -ECANCELED.
 * Errors:   -EINVAL: the period is 0 (T90) or GYRE_NEVER, or fn is NULL.
 */
GYRE_API GYRE_MUST_CHECK int gyre_periodic_init(struct gyre_periodic *periodic,
                                                struct gyre_loop *loop, uint64_t period_ns,
                                                gyre_fn *fn, void *arg) GYRE_ANY_THREAD;

/*
 * Sets the jitter, 0 at first: from the next step on.
 *
 * Threads:  the loop's.
 * Errors:   -EINVAL: it is not from 0 to 1.
 */
GYRE_API GYRE_MUST_CHECK int gyre_periodic_set_jitter(struct gyre_periodic *periodic, double jitter)
    GYRE_ON_LOOP;

/*
 * Sets what happens while work is pending, GYRE_OVERLAP_SKIP at first.
 *
 * Threads:  the loop's.
 */
GYRE_API void gyre_periodic_set_overlap(struct gyre_periodic *periodic, enum gyre_overlap overlap)
    GYRE_ON_LOOP;

/*
 * Starts the calls: the first comes one period from now. One that is started already starts over,
 * and forgets what is pending (T97).
 *
 * Threads:  the loop's.
 * Errors:   -EPERM: not the owner; -ESHUTDOWN: the loop has closed; -ECHILD: a parent process's
 *           loop. It is as it was.
 */
GYRE_API GYRE_MUST_CHECK int gyre_periodic_start(struct gyre_periodic *periodic) GYRE_ON_LOOP;

/*
 * Ends the calls. Legal inside fn, twice, and when not started (T93).
 *
 * Threads:  the loop's.
 * Errors:   -EPERM: not the owner; -ECHILD: a parent process has started it, and its loop may be
 *           gone here.
 */
GYRE_API int gyre_periodic_stop(struct gyre_periodic *periodic) GYRE_ON_LOOP;

/*
 * Whether `periodic` is started.
 *
 * Threads:  the loop's.
 */
GYRE_API bool gyre_periodic_is_running(const struct gyre_periodic *periodic) GYRE_ON_LOOP;

/*
 * Says that the work of this call ends when `future` is resolved, by any thread (T95). It replaces
 * the one before, if that is still pending. One that is stopped keeps none. The future's failure is
 * not looked at: gyre_loop_watch_future.
 *
 * Threads:  the loop's.
 * Lifetime: the future is kept until it is found resolved, replaced or forgotten.
 */
GYRE_API void gyre_periodic_pend(struct gyre_periodic *periodic, struct gyre_future *future)
    GYRE_ON_LOOP;

GYRE_END_DECLS

#endif
