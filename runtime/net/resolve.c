/* SPDX-License-Identifier: MIT */
/*
 * resolve - see resolve.h.
 */
#include "net/resolve.h"

#include <gyre/error.h>
#include <gyre/task.h>
#include <stdatomic.h>

#include "contract/port.h"
#include "loop/loop.h"
#include "net/address.h"

/* [I] set before the thread begins, [t] the thread's until its post, then the loop's, [o] the
 * loop's, [a] atomic. */
struct gyre__lookup {
    struct gyre_task task; /* [t] */
    struct gyre_loop *loop; /* [I] holds a reference */
    struct gyre__name name; /* [I] */
    gyre__resolved_fn *fn; /* [o] NULL: cancelled */
    void *arg; /* [o] */
    _Atomic uint32_t holders; /* [a] the loop's side and the thread's */
    int status; /* [t] */
    unsigned count; /* [t] */
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX]; /* [t] */
};

/* Threads that look something up now. Relaxed throughout: a count orders nothing. */
static _Atomic uint32_t under_way;

static bool claim_thread(void)
{
    if (atomic_fetch_add_explicit(&under_way, 1, memory_order_relaxed) < GYRE__LOOKUPS_MAX)
        return true;
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    return false;
}

static void release(struct gyre__lookup *lookup)
{
    /* acq_rel: the last holder's free comes after the other's last look */
    if (atomic_fetch_sub_explicit(&lookup->holders, 1, memory_order_acq_rel) != 1)
        return;
    gyre_loop_release(lookup->loop);
    gyre__port_release(lookup, sizeof(*lookup));
}

static int answer(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__lookup *lookup = arg;
    (void)loop;
    gyre__resolved_fn *fn = lookup->fn;
    if (fn != NULL) {
        lookup->fn = NULL;
        fn(lookup->arg, status != 0 ? status : lookup->status, lookup->texts, lookup->count);
        release(lookup); /* the loop's side, which a cancel would have dropped */
    }
    release(lookup);
    return 0;
}

static void look_up(void *arg)
{
    struct gyre__lookup *lookup = arg;
    /* The answer may drop the last other reference while the post still rings the loop's waker. */
    struct gyre_loop *loop = gyre_loop_acquire(lookup->loop);
    lookup->status =
        loop->port->resolve(lookup->name.host, lookup->name.port, lookup->texts, &lookup->count);
    atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
    if (gyre__loop_post_exempt(loop, &lookup->task) != 0)
        release(lookup); /* the loop has closed: whoever asked has been told by its end */
    gyre_loop_release(loop);
}

int gyre__resolve_start(struct gyre_loop *loop, const char *address,
                        struct gyre__lookup **ret_lookup, gyre__resolved_fn *fn, void *arg)
{
    static const struct gyre__thread_options options = {.name = "gyre/names", .cpu = -1};
    struct gyre__lookup *lookup = gyre__port_allocate(sizeof(*lookup));
    if (lookup == NULL)
        return -ENOMEM;
    int r = gyre__address_split(address, &lookup->name);
    if (r == 0 && !claim_thread())
        r = -EAGAIN;
    if (r != 0) {
        gyre__port_release(lookup, sizeof(*lookup));
        return r;
    }
    gyre_task_init(&lookup->task, answer, lookup);
    lookup->loop = gyre_loop_acquire(loop);
    lookup->fn = fn;
    lookup->arg = arg;
    atomic_init(&lookup->holders, 2);
    r = loop->port->thread_create(&options, NULL, look_up, lookup);
    if (r != 0) {
        atomic_fetch_sub_explicit(&under_way, 1, memory_order_relaxed);
        gyre_loop_release(loop);
        gyre__port_release(lookup, sizeof(*lookup));
        return r;
    }
    *ret_lookup = lookup;
    return 0;
}

void gyre__resolve_cancel(struct gyre__lookup *lookup)
{
    lookup->fn = NULL;
    release(lookup);
}
