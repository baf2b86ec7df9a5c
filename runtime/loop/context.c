/* SPDX-License-Identifier: MIT */
/*
 * context - see gyre/context.h for the concept, context.h for its use in a loop.
 */
#include "loop/context.h"

#include <stdatomic.h>
#include <stddef.h>

#include <gyre/error.h>

#include "contract/port.h"
#include "loop/task.h"

_Static_assert(_Alignof(max_align_t) > GYRE__TASK_TAGS, "an address has no room for the tags");

/* Nothing but the count changes after creation. */
struct gyre_context {
    struct gyre_context *parent; /* [I] holds a reference */
    struct gyre_context_options options; /* [I] */
    _Atomic uint32_t references; /* [a] */
};

void gyre_context_options_init(struct gyre_context_options *options)
{
    *options = (struct gyre_context_options){.size = sizeof(*options)};
}

int gyre_context_create(struct gyre_context *parent, const struct gyre_context_options *options,
                        struct gyre_context **ret_context)
{
    struct gyre_context_options defaults;
    gyre_context_options_init(&defaults);
    if (options == NULL)
        options = &defaults;
    if (options->size != sizeof(*options) || (options->key == NULL && options->value != NULL))
        return -EINVAL;
    struct gyre_context *context = gyre__port_allocate(sizeof(*context));
    if (context == NULL)
        return -ENOMEM;
    context->parent = gyre_context_acquire(parent);
    context->options = *options;
    atomic_init(&context->references, 1);
    *ret_context = context;
    return 0;
}

struct gyre_context *gyre_context_acquire(struct gyre_context *context)
{
    /* relaxed: whoever acquires holds a reference, or is handed one in some ordered way */
    if (context != NULL)
        atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed);
    return context;
}

void gyre_context_release(struct gyre_context *context)
{
    /* A loop, not recursion: a chain may be as long as a conversation. acq_rel: the last holder
     * sees what all others did with the value before they let go. */
    while (context != NULL &&
           atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel) == 1) {
        struct gyre_context *parent = context->parent;
        struct gyre_context *current = gyre__thread.context;
        if (context->options.release != NULL)
            context->options.release(context->options.value, context->options.arg);
        gyre__thread.context = current; /* whatever it has entered */
        gyre__port_release(context, sizeof(*context));
        context = parent;
    }
}

struct gyre_context *gyre_context_current(void)
{
    return gyre__thread.context;
}

struct gyre_context *gyre_context_enter(struct gyre_context *context)
{
    struct gyre_context *before = gyre__thread.context;
    gyre__thread.context = context;
    return before;
}

int gyre_context_find(const struct gyre_context *context, const void *key, void **ret_value)
{
    while (context != NULL && (key == NULL || context->options.key != key))
        context = context->parent;
    if (context == NULL)
        return -ENOENT;
    *ret_value = context->options.value;
    return 0;
}

bool gyre__context_report(struct gyre_loop *loop, const struct gyre_failure *failure)
{
    struct gyre_context *innermost = gyre__thread.context;
    bool handled = false;
    for (struct gyre_context *at = innermost; at != NULL && !handled; at = at->parent) {
        if (at->options.on_error == NULL)
            continue;
        gyre__thread.context = at->parent; /* what the hook registers is not the failed part's */
        handled = at->options.on_error(loop, failure, at->options.arg);
    }
    gyre__thread.context = innermost;
    return handled;
}
