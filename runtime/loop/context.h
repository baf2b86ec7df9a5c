/* SPDX-License-Identifier: MIT */
/*
 * context - how the parts of a loop keep and enter the contexts of what is registered.
 *
 * Rule     Inside a loop's calls the thread's context is the registration's, and between them the
 *          null one: whoever enters a loop sets it so, and puts back what was there when he leaves.
 *          So a call without a context costs a comparison before and one after.
 * Owner    What is registered owns the reference that gyre__context_capture gave. It passes to the
 *          call, which drops it after the failure, if any, was told: that still needs it.
 */
#ifndef GYRE_LOOP_CONTEXT_H
#define GYRE_LOOP_CONTEXT_H

#include <gyre/context.h>

#include "loop/thread.h"

/* The calling thread's context, with a reference for what is being registered. */
static inline struct gyre_context *gyre__context_capture(void)
{
    struct gyre_context *context = gyre__thread.context;
    return context == NULL ? NULL : gyre_context_acquire(context);
}

static inline void gyre__context_drop(struct gyre_context *context)
{
    if (context != NULL)
        gyre_context_release(context);
}

/* Stand around a call by the loop: in between the thread is in `context`. */
static inline void gyre__context_begin(struct gyre_context *context)
{
    if (context != NULL)
        gyre__thread.context = context;
}

static inline void gyre__context_end(void)
{
    if (gyre__thread.context != NULL) /* the registration's, or one that was entered and not left */
        gyre__thread.context = NULL;
}

/* Tells the hooks of the calling thread's context and its parents, innermost first. True: one of
 * them has handled it. */
bool gyre__context_report(struct gyre_loop *loop, const struct gyre_failure *failure);

#endif
