/* SPDX-License-Identifier: MIT */
/*
 * watchdog - finds out what blocks a loop, while it does.
 *
 * Stretch   From the return of one poll to the next, with the run's begin and end as well: what a
 *           loop spends in its users' functions and cannot poll. Waiting never counts. A stretch
 *           that has begun when the first threshold is set is not looked at.
 * Watchdog  One thread for the process, there while any loop has a threshold. It reads a word that
 *           each watched loop keeps, and has the loop's thread say where it is by a real-time
 *           signal to that thread alone: the highest that had its default action when the first
 *           threshold was set, and is the library's from then on.
 * Cost      Without thresholds two loads a turn. With one, a reading of the clock a turn, and one
 *           or two wakes of the watchdog in the time of the threshold.
 * Limits    The signal interrupts: what the blocking function waits in may be cut short with EINTR
 *           (signal(7) has the list), and is the first to be seen. A function that has blocked the
 *           signal, or hangs inside the system, has no stack in its report.
 */
#ifndef GYRE_WATCHDOG_H
#define GYRE_WATCHDOG_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

enum gyre_watchdog_limits {
    GYRE_STACK_MAX = 48 /* addresses of a report: what is further out is cut */
};

/* What a report says, for the time of the call. */
struct gyre_blocking {
    uint64_t duration_ns; /* of the stretch, which goes on */
    const void *const *stack; /* of the loop's thread: where it is, then return addresses */
    unsigned stack_count; /* 0: it did not answer, or the stretch is over */
};

/*
 * Told, on the watchdog's thread, that a stretch of `loop` has reached its threshold. It may call
 * what any thread may, also the two functions below. It delays the reports of other loops.
 */
typedef void gyre_blocking_fn(struct gyre_loop *loop, const struct gyre_blocking *blocking,
                              void *arg);

/*
 * Has `fn` called once for each stretch of `loop` that reaches `threshold_ns`. 0 or NULL: no
 * longer.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   until a report of the loop that is under way is over, unless called from it: after the
 *           return none comes by the values before. The last threshold to go waits for the
 *           watchdog's end; from a report that is left to a later call, or to a loop's close.
 * Errors:   -ENOMEM, -EAGAIN: no thread could be made; -ENOTSUP: no signal is free; -ESHUTDOWN: the
 *           loop has closed; -ECHILD: it is a parent process's. All is as it was.
 * Limits:   a stretch that ends about when it reaches the threshold may go unnoticed.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_set_blocking_threshold(struct gyre_loop *loop,
                                                              uint64_t threshold_ns,
                                                              gyre_blocking_fn *fn, void *arg)
    GYRE_ANY_THREAD;

/*
 * Has a warning logged, with the names of the functions on the stack, a line each, once for each
 * stretch of `loop` that reaches `threshold_ns`. 0: no longer. Beside the other threshold.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   as for gyre_loop_set_blocking_threshold.
 * Errors:   as for gyre_loop_set_blocking_threshold.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_set_blocking_log_threshold(struct gyre_loop *loop,
                                                                  uint64_t threshold_ns)
    GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
