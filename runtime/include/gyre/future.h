/* SPDX-License-Identifier: MIT */
/*
 * future - a result that is not there yet: resolved once, by any thread, and met by functions that
 * run on the loops that wait for it.
 *
 * Lifetime   Reference-counted: the creator's, those that users take, and one for each function
 *            that waits. A future that nobody resolves keeps them waiting until their loops close.
 * Value      A pointer that the resolver hands over. Who gets it may use it for as long as it holds
 *            a reference, and may change it only by an agreement of its own: all that wait get the
 *            same one. The last reference releases it, if a function was set for that.
 */
#ifndef GYRE_FUTURE_H
#define GYRE_FUTURE_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

struct gyre_future;

/* Frees what a future holds: called by the last release, on whatever thread that is. */
typedef void gyre_release_fn(void *value);

/* What gyre_loop_run_sync runs: begins work that resolves `future`, now or later. A negative
 * result ends it at once. */
typedef int gyre_sync_fn(struct gyre_loop *loop, struct gyre_future *future, void *arg);

/*
 * Makes a future. The caller holds its one reference.
 *
 * Threads:  any.
 * Errors:   -ENOMEM.
 */
GYRE_API GYRE_MUST_CHECK int gyre_future_create(struct gyre_future **ret_future) GYRE_ANY_THREAD;

/*
 * Takes a reference, and returns `future`.
 *
 * Threads:  any that holds one.
 */
GYRE_API struct gyre_future *gyre_future_acquire(struct gyre_future *future) GYRE_ANY_THREAD;

/*
 * Drops a reference; NULL is ignored.
 *
 * Threads:  any.
 */
GYRE_API void gyre_future_release(struct gyre_future *future) GYRE_ANY_THREAD;

/*
 * Has the last release call `release` with the value, if there is one; NULL: nobody does.
 *
 * Threads:  any one, before others have the future.
 */
GYRE_API void gyre_future_set_release(struct gyre_future *future, gyre_release_fn *release)
    GYRE_ANY_THREAD;

/*
 * Resolves `future`: with 0 and a value, or with a negative errno. A value that comes with an error
 * is kept, to be released, and handed to nobody.
 *
 * Threads:  any that holds a reference; not signal handlers.
 * Blocks:   never. At most one system call for each loop that waits and sleeps.
 * Order:    what the caller did before is seen by whoever finds the future resolved. Against the
 *           caller's posts there is no order.
 * Errors:   -EALREADY: it is resolved, or just being so by another thread; the value is still the
 *           caller's. -EINVAL: error is positive.
 */
GYRE_API GYRE_MUST_CHECK int gyre_future_resolve(struct gyre_future *future, int error, void *value)
    GYRE_ANY_THREAD;

/*
 * Whether `future` is resolved. It stays so.
 *
 * Threads:  any that holds a reference.
 */
GYRE_API bool gyre_future_is_done(const struct gyre_future *future) GYRE_ANY_THREAD;

/*
 * Reads the result. A NULL ret_value asks for the error alone.
 *
 * Threads:  any that holds a reference.
 * Lifetime: the value is the future's.
 * Errors:   -EINPROGRESS: it is not resolved, which gyre_future_is_done tells without doubt; else
 *           what it was resolved with.
 */
GYRE_API GYRE_MUST_CHECK int gyre_future_result(const struct gyre_future *future, void **ret_value)
    GYRE_ANY_THREAD;

/*
 * Calls `fn` with `arg` on `loop` once `future` is resolved: in a later turn, also if it is
 * resolved already (T100). fn gets 0, or -ECANCELED if the loop closes first.
 *
 * Threads:  the loop's.
 * Order:    the functions of one future and one loop run in the order in which they were added.
 * Lifetime: the future is kept until fn has returned. The loop's memory is kept until the future is
 *           resolved or gone: close a loop that waits for one.
 * Errors:   -EPERM: not the owner; -ESHUTDOWN: the loop has closed; -EINVAL: fn is NULL; -ENOMEM.
 * Limits:   a bounded loop does not count them.
 */
GYRE_API GYRE_MUST_CHECK int gyre_future_add_done(struct gyre_future *future,
                                                  struct gyre_loop *loop, gyre_fn *fn, void *arg)
    GYRE_ON_LOOP;

/*
 * Has the loop's error hook get the error that `future` is resolved with, if it is one (T78): as
 * GYRE_FAILED_FUTURE, with the future for arg.
 *
 * Threads:  the loop's.
 * Order:    as for gyre_future_add_done.
 * Errors:   as for gyre_future_add_done.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_watch_future(struct gyre_loop *loop,
                                                    struct gyre_future *future) GYRE_ON_LOOP;

/*
 * Runs the loop until the future that `fn` is given is resolved, and returns its result (T101). fn
 * runs inside the loop, behind what is queued, in the caller's context.
 *
 * Who resolves the future later needs a reference of its own. After a timeout it may still do so,
 * and nobody waits for it any more; if fn was not called by then, it will not be.
 *
 * Threads:  one at a time; that thread is the owner meanwhile. A loop of a runtime: -EPERM.
 * Blocks:   until the end of the run: at most timeout_ns, and what is running then;
 *           GYRE_NEVER: without limit.
 * Lifetime: the caller's reference to the future ends with the call: a value that its last release
 *           frees must be kept by another one. A NULL ret_value drops the value.
 * Errors:   the negative result of fn, or what the future was resolved with; -ETIMEDOUT: it was not
 *           in time (T102); -ECANCELED: something else ended the run (T103); GYRE_UNWIND: a
 *           function asked for it; -EBUSY: the loop is running; -ESHUTDOWN: it has closed;
 *           -EINVAL: fn is NULL; -ENOMEM; else what gyre_loop_run fails with.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_run_sync(struct gyre_loop *loop, uint64_t timeout_ns,
                                                gyre_sync_fn *fn, void *arg, void **ret_value)
    GYRE_OFF_LOOP;

GYRE_END_DECLS

#endif
