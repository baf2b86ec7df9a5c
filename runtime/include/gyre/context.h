/* SPDX-License-Identifier: MIT */
/*
 * context - what a piece of work takes along: a request's values, and who hears of its failures.
 *
 * A context is one link of a chain: perhaps a value under a key, perhaps an error hook, and its
 * parent. Whatever is registered with a loop, be it a callback, a task, a timer, a handler, a
 * stream or a done-callback, keeps the context in which it was registered, and its function runs in
 * that one; so what it registers in turn belongs to the same piece of work, without a word in its
 * arguments. Having none costs nothing.
 *
 *   enter(request)                         the null context: no value, no hook
 *     add_callback(loop, fn)  - - - - ->      <- parent - [ server: hook ]
 *   enter(before)                                             <- parent - [ request: key, value ]
 *                                                                               fn runs here
 *
 * Values     are found from the innermost context outwards: gyre_context_find.
 * Failures   (T107) go from the innermost hook outwards, until one has handled them, and then to
 *            the loop's.
 * Threads    Contexts are immutable and reference-counted: any thread may use any that it holds.
 *            Which one a thread is in is its own (T109).
 * Source     Tornado 4.5's stack_context, with the state in the link in place of functions that are
 *            run again around each call.
 */
#ifndef GYRE_CONTEXT_H
#define GYRE_CONTEXT_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

struct gyre_failure; /* loop.h */

/*
 * Told of a failure in the context, or in one whose parents lead here. True: it is handled, and
 * goes no further. Called on the loop's thread, in the context's parent.
 */
typedef bool gyre_context_error_fn(struct gyre_loop *loop, const struct gyre_failure *failure,
                                   void *arg);

/* Called with the context's `value` and `arg` when its last reference goes, on that thread. */
typedef void gyre_context_release_fn(void *value, void *arg);

struct gyre_context_options {
    size_t size; /* of this struct */
    const void *key; /* names the value, by its address; NULL: there is none */
    void *value;
    gyre_context_error_fn *on_error; /* NULL: failures go on to the parent */
    gyre_context_release_fn *release; /* may be NULL */
    void *arg; /* of on_error and release */
};

/*
 * Fills in the defaults: no value, no hook.
 *
 * Threads:  any.
 */
GYRE_API void gyre_context_options_init(struct gyre_context_options *options) GYRE_ANY_THREAD;

/*
 * Makes a context inside `parent`, which may be NULL, the null context. The caller holds its one
 * reference; nobody is in it yet.
 *
 * Threads:  any.
 * Lifetime: it holds a reference to its parent.
 * Errors:   -EINVAL: a wrong size, or a value without a key; -ENOMEM. `release` is not called then.
 */
GYRE_API GYRE_MUST_CHECK int gyre_context_create(struct gyre_context *parent,
                                                 const struct gyre_context_options *options,
                                                 struct gyre_context **ret_context) GYRE_ANY_THREAD;

/*
 * Takes a reference, and returns `context`, which may be NULL.
 *
 * Threads:  any that holds one.
 */
GYRE_API struct gyre_context *gyre_context_acquire(struct gyre_context *context) GYRE_ANY_THREAD;

/*
 * Drops a reference; NULL is ignored. The last one frees the context and lets go of its parent.
 *
 * Threads:  any.
 */
GYRE_API void gyre_context_release(struct gyre_context *context) GYRE_ANY_THREAD;

/*
 * The context that the calling thread is in; NULL: the null context.
 *
 * Threads:  any; of the calling one.
 * Lifetime: whoever entered it holds the reference: the loop, during its calls.
 */
GYRE_API struct gyre_context *gyre_context_current(void) GYRE_ANY_THREAD;

/*
 * Puts the calling thread into `context`, which may be NULL, and returns the one it was in, to go
 * back to by the same call. When a function that a loop has called returns, the loop restores the
 * thread's context, whatever was entered in it (T109).
 *
 * Threads:  any; acts on the calling one.
 * Lifetime: no reference is taken: the caller holds one for as long as the thread is in it.
 */
GYRE_API struct gyre_context *gyre_context_enter(struct gyre_context *context) GYRE_ANY_THREAD;

/*
 * Finds the value of `key` in `context` or, outwards, its parents.
 *
 * Threads:  any.
 * Lifetime: the value is its context's.
 * Errors:   -ENOENT: none of them has the key. *ret_value is untouched then.
 */
GYRE_API GYRE_MUST_CHECK int gyre_context_find(const struct gyre_context *context, const void *key,
                                               void **ret_value) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
