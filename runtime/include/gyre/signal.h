/* SPDX-License-Identifier: MIT */
/*
 * signal - signals as calls on a loop, and callbacks from inside signal handlers.
 *
 * Watching   gyre_loop_add_signal has a function called on the loop's thread whenever a signal
 *            came. Several loops may watch one signal; each gets it. What was installed before is
 *            called as well, inside the signal handler, as it was before; it is put back when
 *            nobody watches any more.
 * Threads    The threads of a runtime block all signals: they reach the others, the main thread for
 *            one. A signal that every thread blocks is delivered to nobody.
 */
#ifndef GYRE_SIGNAL_H
#define GYRE_SIGNAL_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

/* Called on the loop's thread. The result is as gyre_fn's. */
typedef int gyre_signal_fn(struct gyre_loop *loop, int signo, void *arg);

/*
 * Calls `fn`, in the caller's context, when signal `signo` has come. Signals that come before fn is
 * called for the first of them are one call.
 *
 * Threads:  the loop's.
 * Order:    among the callbacks, as if posted when the signal came; outside T38's order.
 * Lifetime: until gyre_loop_remove_signal, or the loop's close, which calls nothing.
 * Errors:   -EEXIST: this loop watches the signal already; -EINVAL: no such signal, one that cannot
 *           be caught, or one that a failing instruction raises (SIGSEGV, SIGBUS, SIGFPE, SIGILL),
 *           or fn is NULL; -EPERM: not the owner; -ESHUTDOWN: the loop has closed; -ENOMEM;
 *           -ECHILD: a parent process's loop.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_add_signal(struct gyre_loop *loop, int signo,
                                                  gyre_signal_fn *fn, void *arg) GYRE_ON_LOOP;

/*
 * Watches a signal no longer: fn is not called again, not even for one that has come. With the last
 * watcher of the process goes the library's handler, unless somebody has installed another over it:
 * then it stays, and only hands the signal on to what was there before.
 *
 * Threads:  the loop's.
 * Blocks:   for handlers of the signal that are running, which take less than a microsecond.
 * Errors:   -ENOENT: this loop does not watch it; -EPERM: not the owner; -ECHILD.
 */
GYRE_API int gyre_loop_remove_signal(struct gyre_loop *loop, int signo) GYRE_ON_LOOP;

/*
 * Adds a callback from inside a signal handler, whichever thread that has interrupted, the loop's
 * own also. Allocates nothing, takes no lock and keeps errno. `fn` runs in the null context.
 *
 * Threads:  any; signal handlers.
 * Blocks:   never. One system call if the loop sleeps, none otherwise.
 * Order:    those of one handler in its order; outside T38's order.
 * Errors:   -EAGAIN: the loop's nodes are used up; -EINVAL: fn is NULL; -ESHUTDOWN: the loop has
 *           closed; -ECHILD: a parent process's loop.
 * Limits:   64 that have not run yet, for each loop; a bounded loop's bound does not count them.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_add_callback_from_signal(struct gyre_loop *loop, gyre_fn *fn,
                                                                void *arg) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
