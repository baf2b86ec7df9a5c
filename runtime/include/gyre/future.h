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

GYRE_END_DECLS

#endif
