/* SPDX-License-Identifier: MIT */
/*
 * signals - see signals.h.
 *
 * Lock     Adds and removes of all loops are serialised, since what is installed says what an add
 *          installs, and the last remove puts back what was there. Handlers take no lock: the heads
 *          of the lists are read by acquire, and a link never changes.
 */
#include "loop/signals.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/lock.h"
#include "loop/loop.h"

#define ACTIVE (UINT32_C(1) << 31)
#define AWAITED (UINT32_C(1) << 30)

/* Keys: [I] set once, [w] the owner's of the loop that watches, [a] atomic, [m] under the lock. */
struct gyre__watcher {
    struct gyre__watcher *next; /* [I] of the signal */
    int signo; /* [I] */
    bool used; /* [m] a loop has it, or its task is on the way */
    bool removed; /* [w] its task is on the way, and the loop watches no longer */
    _Atomic uint32_t pins; /* [a] ACTIVE, AWAITED, and how many handlers are posting */
    _Atomic bool queued; /* [a] its task is on the way */
    struct gyre_loop *loop; /* [w] read by handlers that have it pinned */
    gyre_signal_fn *fn; /* [w] */
    void *arg; /* [w] */
    struct gyre_context *context; /* [w] */
    struct gyre__watcher *next_of_loop; /* [w] */
    struct gyre_task task; /* [w] posted by who found `queued` false */
};

static struct gyre__lock lock;
static struct gyre__watcher *_Atomic watchers[GYRE__SIGNALS]; /* [a] changed under the lock */
static uint32_t watching[GYRE__SIGNALS]; /* [m] loops that watch it */

/* ---- inside signal handlers ------------------------------------------------------------------ */

static bool pin(struct gyre__watcher *watcher)
{
    /* relaxed: the CAS decides */
    uint32_t pins = atomic_load_explicit(&watcher->pins, memory_order_relaxed);
    do {
        if ((pins & ACTIVE) == 0)
            return false;
        /* acquire: pairs with the release in activate; the watcher's members are seen */
    } while (!atomic_compare_exchange_weak_explicit(&watcher->pins, &pins, pins + 1,
                                                    memory_order_acquire, memory_order_relaxed));
    return true;
}

static void unpin(struct gyre__watcher *watcher)
{
    /* release: pairs with the acquire in deactivate; we have done with the loop */
    uint32_t before = atomic_fetch_sub_explicit(&watcher->pins, 1, memory_order_release);
    if (before == (AWAITED | 1))
        gyre__port_native()->unpark(&watcher->pins);
}

static void post(struct gyre__watcher *watcher)
{
    struct gyre_loop *loop = watcher->loop;
    /* acq_rel: as struct gyre__control's flag, with the signal itself in place of the request */
    if (gyre__loop_is_inherited(loop) ||
        atomic_exchange_explicit(&watcher->queued, true, memory_order_acq_rel))
        return;
    int r = gyre__door_post(&loop->door, &watcher->task, &watcher->task);
    if (r == GYRE__DOOR_POSTED_WAKE)
        gyre__loop_ring(loop);
    if (r < 0) /* closed, and the task is not on its way. release: pairs with the exchange above */
        atomic_store_explicit(&watcher->queued, false, memory_order_release);
}

static void on_signal(int signo)
{
    /* acquire: pairs with the release in publish; the links are seen */
    struct gyre__watcher *at = atomic_load_explicit(&watchers[signo], memory_order_acquire);
    for (; at != NULL; at = at->next) {
        if (!pin(at))
            continue;
        post(at);
        unpin(at);
    }
}

static int take_node(struct gyre__signals *signals)
{
    /* relaxed: the CAS decides */
    uint64_t free = atomic_load_explicit(&signals->free, memory_order_relaxed);
    do {
        if (free == 0)
            return -EAGAIN;
        /* acquire: pairs with the release in give_node; the owner has read the node */
    } while (!atomic_compare_exchange_weak_explicit(&signals->free, &free, free & (free - 1),
                                                    memory_order_acquire, memory_order_relaxed));
    return __builtin_ctzll(free);
}

static void give_node(struct gyre__signals *signals, int at)
{
    /* release: pairs with the acquire in take_node; we have done with the node */
    atomic_fetch_or_explicit(&signals->free, UINT64_C(1) << at, memory_order_release);
}

int gyre_loop_add_callback_from_signal(struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    if (fn == NULL)
        return -EINVAL;
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    int at = take_node(&loop->signals);
    if (at < 0)
        return gyre__door_is_closed(&loop->door) ? -ESHUTDOWN : at;
    struct gyre_task *node = &loop->signals.nodes[at];
    *node = (struct gyre_task){.fn = fn, .arg = arg, .tagged_context = GYRE__TASK_SIGNAL};
    int r = gyre__door_post(&loop->door, node, node);
    if (r == GYRE__DOOR_POSTED_WAKE)
        gyre__loop_ring(loop);
    if (r < 0)
        give_node(&loop->signals, at);
    return r < 0 ? r : 0;
}

/* ---- nodes, the owner's side ----------------------------------------------------------------- */

void gyre__signals_init(struct gyre__signals *signals)
{
    atomic_init(&signals->free, UINT64_MAX);
}

void gyre__signals_give(struct gyre__signals *signals, const struct gyre_task *node)
{
    give_node(signals, (int)(node - signals->nodes));
}

/* ---- delivery -------------------------------------------------------------------------------- */

static void put_back(struct gyre__watcher *watcher)
{
    gyre__lock_acquire(&lock);
    watcher->used = false;
    gyre__lock_release(&lock);
}

/* The watcher's task has arrived. The function may remove the watcher. */
static int deliver(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__watcher *watcher = arg;
    gyre__assert_on_loop();
    if (watcher->removed) {
        put_back(watcher);
        return 0;
    }
    (void)atomic_exchange_explicit(&watcher->queued, false, memory_order_acq_rel); /* as post's */
    if (status != 0)
        return 0; /* the loop closes: nothing is called */
    struct gyre_context *context = gyre_context_acquire(watcher->context);
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_SIGNAL, .fd = -1, .signal = watcher->fn, .arg = watcher->arg};
    gyre__meter_rename(loop->meter, (union gyre__function){.signal = watcher->fn});
    gyre__context_begin(context);
    failure.error = watcher->fn(loop, watcher->signo, watcher->arg);
    (void)gyre_context_enter(context); /* that hears of it, whatever fn has entered */
    if (failure.error != 0)
        gyre__loop_judge(loop, &failure);
    gyre__context_end();
    gyre__context_drop(context);
    return 0;
}

/* ---- add and remove -------------------------------------------------------------------------- */

/* Takes a watcher of the signal that nobody uses; NULL: there is none. Under the lock. */
static struct gyre__watcher *find_unused(int signo)
{
    /* relaxed: changed under the lock alone */
    struct gyre__watcher *at = atomic_load_explicit(&watchers[signo], memory_order_relaxed);
    while (at != NULL && at->used)
        at = at->next;
    return at;
}

/* Puts a new watcher into its signal's list. Under the lock. */
static void publish(struct gyre__watcher *watcher, int signo)
{
    watcher->signo = signo;
    watcher->next = atomic_load_explicit(&watchers[signo], memory_order_relaxed); /* as above */
    /* release: pairs with the acquire in on_signal */
    atomic_store_explicit(&watchers[signo], watcher, memory_order_release);
}

/* Takes a watcher, a new one if need be: *spare then. NULL: neither is there. Under the lock. */
static struct gyre__watcher *claim(int signo, struct gyre__watcher **spare)
{
    struct gyre__watcher *watcher = find_unused(signo);
    if (watcher == NULL && *spare != NULL) {
        watcher = *spare;
        *spare = NULL;
        publish(watcher, signo);
    }
    if (watcher != NULL)
        watcher->used = true;
    return watcher;
}

/* Has handlers see it. */
static void activate(struct gyre__watcher *watcher, struct gyre_loop *loop)
{
    watcher->loop = loop;
    watcher->removed = false;
    gyre_task_init(&watcher->task, deliver, watcher);
    gyre__task_set_kind(&watcher->task, GYRE__TASK_EXEMPT);
    atomic_store_explicit(&watcher->queued, false, memory_order_relaxed); /* with the next store */
    /* release: pairs with the acquire in pin */
    atomic_store_explicit(&watcher->pins, ACTIVE, memory_order_release);
}

/* Has handlers see it no longer, and waits for those that do. */
static void deactivate(struct gyre__watcher *watcher)
{
    /* acquire, thrice: pairs with the release in unpin */
    uint32_t pins = atomic_fetch_and_explicit(&watcher->pins, ~ACTIVE, memory_order_acquire);
    pins &= ~ACTIVE;
    while (pins != 0) {
        pins = atomic_fetch_or_explicit(&watcher->pins, AWAITED, memory_order_acquire) & ~AWAITED;
        if (pins != 0)
            gyre__port_native()->park(&watcher->pins, AWAITED | pins);
        pins = atomic_load_explicit(&watcher->pins, memory_order_acquire) & ~AWAITED;
    }
    /* relaxed: the next to look is an add, through the lock */
    atomic_store_explicit(&watcher->pins, 0, memory_order_relaxed);
}

/* Begins the watch of a watcher that was claimed. Under the lock. */
static int begin(struct gyre__watcher *watcher, struct gyre_loop *loop)
{
    activate(watcher, loop); /* first, lest a signal be lost as soon as ours is installed */
    int r = gyre__port_signal_watch(watcher->signo, on_signal);
    if (r == 0) {
        watching[watcher->signo]++;
        return 0;
    }
    deactivate(watcher); /* nothing is on its way: ours was not installed */
    watcher->used = false;
    return r;
}

static void release(struct gyre__watcher *watcher, bool on_its_way)
{
    gyre__lock_acquire(&lock);
    if (--watching[watcher->signo] == 0)
        gyre__port_signal_unwatch(watcher->signo);
    if (!on_its_way)
        watcher->used = false;
    gyre__lock_release(&lock);
}

/* Gives the loop a watcher that has begun. What has come since waits for the loop's next turn. */
static void link_to_loop(struct gyre__watcher *watcher, struct gyre_loop *loop, gyre_signal_fn *fn,
                         void *arg)
{
    watcher->fn = fn;
    watcher->arg = arg;
    watcher->context = gyre__context_capture();
    watcher->next_of_loop = loop->signals.watchers;
    loop->signals.watchers = watcher;
}

/* The link of the loop's watcher of the signal; of NULL if there is none. */
static struct gyre__watcher **find(struct gyre_loop *loop, int signo)
{
    struct gyre__watcher **link = &loop->signals.watchers;
    while (*link != NULL && (*link)->signo != signo)
        link = &(*link)->next_of_loop;
    return link;
}

/* Ends the watcher at `link`. */
static void end(struct gyre_loop *loop, struct gyre__watcher **link)
{
    struct gyre__watcher *watcher = *link;
    struct gyre_context *context = watcher->context;
    *link = watcher->next_of_loop;
    deactivate(watcher);
    /* relaxed: nobody sets it any more, and what was set before was acquired by deactivate. What
     * is on its way to a parent's loop does not arrive in a child. */
    watcher->removed = !gyre__loop_is_inherited(loop) &&
                       atomic_load_explicit(&watcher->queued, memory_order_relaxed);
    release(watcher, watcher->removed);
    gyre__context_drop(context);
}

int gyre_loop_add_signal(struct gyre_loop *loop, int signo, gyre_signal_fn *fn, void *arg)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_add_signal");
    if (r != 0)
        return r;
    if (fn == NULL || !gyre__port_signal_is_watchable(signo))
        return -EINVAL;
    if (loop->closed)
        return -ESHUTDOWN;
    if (*find(loop, signo) != NULL)
        return -EEXIST;
    struct gyre__watcher *spare = gyre__port_allocate(sizeof(*spare)); /* not under the lock */
    gyre__lock_acquire(&lock);
    struct gyre__watcher *watcher = claim(signo, &spare);
    r = watcher != NULL ? begin(watcher, loop) : -ENOMEM;
    gyre__lock_release(&lock);
    if (r == 0)
        link_to_loop(watcher, loop, fn, arg);
    if (spare != NULL)
        gyre__port_release(spare, sizeof(*spare));
    return r;
}

int gyre_loop_remove_signal(struct gyre_loop *loop, int signo)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_remove_signal");
    if (r != 0)
        return r;
    struct gyre__watcher **link = find(loop, signo);
    if (*link == NULL)
        return -ENOENT;
    end(loop, link);
    return 0;
}

void gyre__signals_close(struct gyre_loop *loop)
{
    while (loop->signals.watchers != NULL)
        end(loop, &loop->signals.watchers);
}

void gyre__signals_after_fork(void)
{
    /* relaxed, all of it: there is one thread, and it is in no handler of ours */
    atomic_store_explicit(&lock.state, GYRE__LOCK_FREE, memory_order_relaxed);
    for (int signo = 0; signo < GYRE__SIGNALS; signo++) {
        struct gyre__watcher *at = atomic_load_explicit(&watchers[signo], memory_order_relaxed);
        for (; at != NULL; at = at->next)
            atomic_fetch_and_explicit(&at->pins, ACTIVE, memory_order_relaxed);
    }
}
