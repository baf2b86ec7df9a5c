/* SPDX-License-Identifier: MIT */
/*
 * configuration - see configuration.h.
 */
#include "loop/configuration.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include <gyre/error.h>

#include "contract/backend.h"
#include "loop/fork.h"
#include "loop/lock.h"

static const struct gyre_loop_options built_in = {
    .size = sizeof(struct gyre_loop_options),
    .backend = "auto",
    .waker = "auto",
    .callback_budget_ns = UINT64_C(500) * 1000,
    .timer_budget_ns = UINT64_C(500) * 1000,
    .wait_max_ns = UINT64_C(3600) * 1000 * 1000 * 1000,
};

static struct gyre__lock lock; /* of the slots */
static struct gyre_loop_options slots[2]; /* the current one is read, the other written */
static const struct gyre_loop_options *_Atomic current; /* NULL: the built-in ones */

static const struct gyre__backend *_Atomic automatic; /* NULL: not looked for yet */

/* ---- defaults -------------------------------------------------------------------------------- */

int gyre__options_check(const struct gyre_loop_options *options)
{
    bool sound = options->size == sizeof(*options) &&
                 (unsigned)options->make_current <= GYRE_CURRENT_NO &&
                 (unsigned)options->timing <= GYRE_TIMING_CALLS && options->wait_max_ns != 0;
    return sound ? 0 : -EINVAL;
}

void gyre_loop_options_init(struct gyre_loop_options *options)
{
    /* acquire: pairs with the release of configure; what it found by gyre__fork_watch is seen */
    if (atomic_load_explicit(&current, memory_order_acquire) == NULL) {
        *options = built_in;
        return;
    }
    gyre__lock_acquire(&lock);
    /* relaxed: the lock orders it */
    *options = *atomic_load_explicit(&current, memory_order_relaxed);
    gyre__lock_release(&lock);
}

static void store(const struct gyre_loop_options *defaults)
{
    gyre__lock_acquire(&lock);
    bool second = atomic_load_explicit(&current, memory_order_relaxed) == &slots[0];
    slots[second] = *defaults;
    /* release: also for a reader that has not the lock yet, and for a child that has no more */
    atomic_store_explicit(&current, &slots[second], memory_order_release);
    gyre__lock_release(&lock);
}

void gyre__configuration_after_fork(void)
{
    /* relaxed: there is one thread */
    atomic_store_explicit(&lock.state, GYRE__LOCK_FREE, memory_order_relaxed);
}

/* ---- names ----------------------------------------------------------------------------------- */

static bool is_auto(const char *name)
{
    return strcmp(name, "auto") == 0;
}

static int find_automatic(const struct gyre__backend **ret_backend)
{
    /* acquire: pairs with the release below; nothing but constants is behind it today */
    const struct gyre__backend *known = atomic_load_explicit(&automatic, memory_order_acquire);
    if (known == NULL) {
        const struct gyre__backend *found;
        int r = gyre__backend_find("auto", &found);
        if (r != 0)
            return r;
        if (atomic_compare_exchange_strong_explicit(&automatic, &known, found, memory_order_acq_rel,
                                                    memory_order_acquire))
            known = found; /* else another thread was faster, and known is its */
    }
    *ret_backend = known;
    return 0;
}

static int find_backend(const char *name, const struct gyre__backend **ret_backend)
{
    return is_auto(name) ? find_automatic(ret_backend) : gyre__backend_find(name, ret_backend);
}

int gyre__configuration_find(const struct gyre_loop_options *options,
                             const struct gyre__backend **ret_backend,
                             const struct gyre__waker_kind **ret_kind)
{
    struct gyre_loop_options configured;
    gyre_loop_options_init(&configured);
    const char *backend = options->backend != NULL ? options->backend : configured.backend;
    const char *waker = options->waker != NULL ? options->waker : configured.waker;
    int r = find_backend(backend, ret_backend);
    return r != 0 ? r : gyre__waker_find(waker, *ret_backend, ret_kind);
}

int gyre_loop_default_backend(const char **ret_name)
{
    struct gyre_loop_options configured;
    const struct gyre__backend *backend;
    gyre_loop_options_init(&configured);
    int r = find_backend(configured.backend, &backend);
    if (r == 0)
        *ret_name = backend->name;
    return r;
}

/* Has the name be the library's own text. What "auto" is, is not looked for before a loop needs
 * it. */
static int settle_backend(const char **name)
{
    const struct gyre__backend *found;
    if (*name == NULL || is_auto(*name)) {
        *name = built_in.backend;
        return 0;
    }
    int r = gyre__backend_find(*name, &found);
    if (r == 0)
        *name = found->name;
    return r;
}

static int settle_waker(const char **name)
{
    const struct gyre__waker_kind *found;
    if (*name == NULL || is_auto(*name)) {
        *name = built_in.waker;
        return 0;
    }
    int r = gyre__waker_find(*name, gyre__backend_at(0), &found); /* a name is found with any */
    if (r == 0)
        *name = found->name;
    return r;
}

int gyre_loop_configure(const struct gyre_loop_options *defaults)
{
    if (defaults == NULL)
        defaults = &built_in;
    int r = gyre__options_check(defaults);
    if (r != 0)
        return r;
    struct gyre_loop_options settled = *defaults;
    r = settle_backend(&settled.backend);
    if (r == 0)
        r = settle_waker(&settled.waker);
    if (r == 0)
        r = gyre__fork_watch(); /* for the lock */
    if (r == 0)
        store(&settled);
    return r;
}
