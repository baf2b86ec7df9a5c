/* SPDX-License-Identifier: MIT */
/*
 * lifecycle - a loop from creation to the last release, and who owns it meanwhile.
 *
 * References  The creator's, one for each run under way, one for each thread whose current loop it
 *             is, and those that users take. The last release closes an open loop and frees it;
 *             until then a post, and the waker it may write to, are safe.
 * Owner       The serial of the thread inside, or nobody's. A thread that leaves releases, and one
 *             that enters acquires, so that threads that run a loop in turn see each other's work.
 * Closing     Door and lanes first, so that nothing is accepted any more; then operations,
 *             callbacks and timers end with -ECANCELED until none is left, since each may start
 *             another's end; then the handlers.
 */
#include "loop/loop.h"

#include <gyre/error.h>

#include "loop/configuration.h"
#include "loop/context.h"

static _Atomic uint64_t last_serial; /* of all loops ever made */

/* ---- owner ----------------------------------------------------------------------------------- */

bool gyre__loop_enter(struct gyre_loop *loop)
{
    uint64_t me = gyre__thread_serial();
    uint64_t owner = GYRE__NOBODY;
    /* acquire: pairs with the release in leave; the last owner's stores are seen */
    if (!atomic_compare_exchange_strong_explicit(&loop->owner, &owner, me, memory_order_acquire,
                                                 memory_order_relaxed) &&
        owner != me)
        return false;
    if (loop->depth++ == 0)
        loop->turn_ns_known = false;
    return true;
}

void gyre__loop_leave(struct gyre_loop *loop)
{
    if (--loop->depth == 0) /* release: pairs with the acquire in enter */
        atomic_store_explicit(&loop->owner, GYRE__NOBODY, memory_order_release);
}

int gyre__loop_check_other(const struct gyre_loop *loop, const char *function)
{
    /* relaxed: the caller's own serial is the only one that it must not miss */
    uint64_t owner = atomic_load_explicit(&loop->owner, memory_order_relaxed);
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    if (owner == gyre__thread.serial || owner == GYRE__NOBODY)
        return 0;
    gyre__log(GYRE_LOG_ERROR,
              "%s: called on thread %llu, while thread %llu (gyre's numbers) is inside the loop",
              function, (unsigned long long)gyre__thread_serial(), (unsigned long long)owner);
#ifdef GYRE_DEBUG
    gyre__port_abort(function);
#endif
    return -EPERM;
}

uint64_t gyre_loop_now_ns(const struct gyre_loop *loop)
{
    return loop->options.clock != NULL ? loop->options.clock(loop->options.clock_arg)
                                       : loop->port->now_ns();
}

uint64_t gyre__loop_turn_ns(struct gyre_loop *loop)
{
    if (!loop->turn_ns_known || loop->depth == 0) { /* outside of run there are no turns */
        loop->turn_ns = gyre_loop_now_ns(loop);
        loop->turn_ns_known = true;
    }
    return loop->turn_ns;
}

/* ---- create ---------------------------------------------------------------------------------- */

int gyre__loop_watch_waker(struct gyre_loop *loop)
{
    uint32_t edge = loop->waker_edge ? GYRE_EDGE : 0;
    return loop->backend->readiness->add(loop->poller, loop->waker.read_fd, GYRE_READ | edge,
                                         GYRE__WAKER_DATUM);
}

/* What creation may leave half done; also the end of a whole loop. */
static void free_loop(struct gyre_loop *loop)
{
    if (loop->poller != NULL)
        loop->backend->readiness->destroy(loop->poller);
    if (loop->waker.read_fd >= 0)
        loop->waker_kind->destroy(&loop->waker);
    if (loop->batch != NULL)
        gyre__port_release(loop->batch, GYRE__BATCH_MAX * sizeof(*loop->batch));
    gyre__meter_destroy(loop->meter);
    gyre__port_release(loop, sizeof(*loop));
}

static void init_loop(struct gyre_loop *loop, const struct gyre_loop_options *options,
                      const struct gyre__backend *backend, const struct gyre__waker_kind *kind)
{
    loop->backend = backend;
    loop->port = backend->port;
    loop->waker_kind = kind;
    loop->options = *options;
    loop->options.backend = backend->name; /* the caller's texts need not live */
    loop->options.waker = kind->name;
    loop->waker.read_fd = -1;
    loop->forks = gyre__forks_now();
    loop->waker_edge =
        kind->edge_each && options->wait == NULL && (backend->events & GYRE_EDGE) != 0;
    gyre_task_init(&loop->control.task, NULL, NULL);
    gyre__task_set_kind(&loop->control.task, GYRE__TASK_CONTROL);
    /* relaxed: only that no two get the same */
    loop->serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    gyre__door_init(&loop->door);
    gyre__signals_init(&loop->signals);
    gyre__timers_init(&loop->timers);
    atomic_init(&loop->owner, GYRE__NOBODY);
    atomic_init(&loop->references, 1);
    atomic_init(&loop->room, options->queue_max);
}

static int open_loop(struct gyre_loop *loop)
{
    if (loop->options.timing != GYRE_TIMING_NONE) {
        loop->meter = gyre__meter_create(loop->port, loop->options.timing == GYRE_TIMING_CALLS);
        if (loop->meter == NULL)
            return -ENOMEM;
    }
    int r = loop->waker_kind->create(&loop->waker);
    if (r != 0) {
        loop->waker.read_fd = -1;
        return r;
    }
    r = loop->backend->readiness->create(&loop->poller);
    if (r != 0)
        return r;
    loop->batch = gyre__port_allocate(GYRE__BATCH_MAX * sizeof(*loop->batch));
    return loop->batch != NULL ? gyre__loop_watch_waker(loop) : -ENOMEM;
}

static int create(const struct gyre_loop_options *options, bool managed,
                  struct gyre_loop **ret_loop)
{
    const struct gyre__backend *backend;
    const struct gyre__waker_kind *kind;
    struct gyre_loop_options configured;
    if (options == NULL) {
        gyre_loop_options_init(&configured);
        options = &configured;
    }
    int r = gyre__options_check(options);
    if (r == 0 && options->make_current == GYRE_CURRENT_YES && gyre_loop_current_or_null() != NULL)
        r = -EBUSY;
    if (r == 0)
        r = gyre__fork_watch();
    if (r == 0)
        r = gyre__configuration_find(options, &backend, &kind);
    if (r != 0)
        return r;
    struct gyre_loop *loop = gyre__port_allocate(sizeof(*loop));
    if (loop == NULL)
        return -ENOMEM;
    init_loop(loop, options, backend, kind);
    loop->managed = managed;
    r = open_loop(loop);
    if (r != 0) {
        free_loop(loop);
        return r;
    }
    *ret_loop = loop;
    return 0;
}

int gyre_loop_create(const struct gyre_loop_options *options, struct gyre_loop **ret_loop)
{
    struct gyre_loop *loop;
    int r = create(options, false, &loop);
    if (r != 0)
        return r;
    if (loop->options.make_current != GYRE_CURRENT_NO && gyre_loop_current_or_null() == NULL)
        gyre_loop_make_current(loop);
    *ret_loop = loop;
    return 0;
}

int gyre__loop_create_managed(const struct gyre_loop_options *options, struct gyre_loop **ret_loop)
{
    return create(options, true, ret_loop);
}

/* ---- close ----------------------------------------------------------------------------------- */

/* Ends what comes first of all that is pending with -ECANCELED. False: nothing is left, or what was
 * called has forked, and in the child the rest is the parent's. */
GYRE_ON_LOOP static bool cancel_next(struct gyre_loop *loop)
{
    if (gyre__loop_is_inherited(loop))
        return false;
    if (gyre__loop_run_completions(loop))
        return true;
    if (loop->queue.head == NULL)
        return gyre__loop_cancel_timer(loop) || gyre__waiters_cancel_one(loop) ||
               gyre__works_cancel_one(loop);
    gyre__loop_run_next(loop, -ECANCELED);
    return true;
}

/* Ends everything that is pending. Nothing new is accepted, so this comes to an end. */
GYRE_ON_LOOP static void cancel_all(struct gyre_loop *loop)
{
    gyre__handlers_abandon(loop);
    while (cancel_next(loop))
        ;
}

/* Closes the handlers' descriptors. An owner may close a stream of his, which completes. */
GYRE_ON_LOOP static void close_fds(struct gyre_loop *loop)
{
    gyre__handlers_close_fds(loop);
    while (gyre__loop_run_completions(loop))
        ;
}

static void close_entered(struct gyre_loop *loop, unsigned flags)
{
    gyre__assert_on_loop();
    struct gyre_context *before = gyre_context_enter(NULL);
    loop->closed = true;
    gyre__watch_close(loop);
    if (!gyre__loop_is_inherited(loop)) { /* else all of that is the parent's to end */
        gyre__inbox_close(loop);
        gyre__works_close(loop);
        cancel_all(loop);
    }
    if (gyre__loop_is_inherited(loop)) { /* or it is now: one of the functions has forked */
        gyre__waiters_forget(loop);
        gyre__works_forget(loop);
    }
    if ((flags & GYRE_CLOSE_ALL_FDS) != 0)
        close_fds(loop);
    (void)gyre_context_enter(before);
    gyre__signals_close(loop);
    gyre__inbox_deinit(loop);
    gyre__nodes_deinit(&loop->nodes);
    gyre__works_deinit(&loop->works);
    gyre__handlers_deinit(loop);
    gyre__timers_deinit(&loop->timers);
    gyre__blocks_deinit(&loop->blocks);
    loop->backend->readiness->destroy(loop->poller);
    loop->poller = NULL;
}

/* In a child: whoever was inside, unless it is the caller, does not exist here. */
static void turn_out_parents(struct gyre_loop *loop)
{
    if (gyre__loop_is_inherited(loop) && !gyre__loop_is_mine(loop)) {
        loop->depth = 0;
        atomic_store_explicit(&loop->running, false, memory_order_relaxed); /* one thread */
        atomic_store_explicit(&loop->owner, GYRE__NOBODY, memory_order_relaxed); /* likewise */
    }
}

static int close_loop(struct gyre_loop *loop, unsigned flags)
{
    turn_out_parents(loop);
    if (!gyre__loop_enter(loop)) {
        int refused = gyre__loop_check_owner(loop, "gyre_loop_close");
        return refused != 0 ? refused : -EBUSY; /* who was inside has just left */
    }
    int r = 0;
    (void)gyre_loop_acquire(loop); /* a function that it calls may drop the caller's */
    if (atomic_load_explicit(&loop->running, memory_order_relaxed) || loop->depth > 1)
        r = -EBUSY; /* also a close inside a close's functions */
    else if (!loop->closed)
        close_entered(loop, flags);
    gyre__loop_leave(loop);
    if (r == 0 && gyre__thread.current == loop)
        gyre_loop_make_current(NULL);
    gyre_loop_release(loop);
    return r;
}

void gyre__loop_close_if_destroyed(struct gyre_loop *loop)
{
    if (!loop->destroyed || loop->depth > 1 || loop->closed)
        return;
    close_entered(loop, 0);
    if (gyre__thread.current == loop)
        gyre_loop_make_current(NULL);
}

int gyre_loop_close(struct gyre_loop *loop, unsigned flags)
{
    if ((flags & ~(unsigned)GYRE_CLOSE_ALL_FDS) != 0)
        return -EINVAL;
    return loop->managed ? -EPERM : close_loop(loop, flags);
}

int gyre__loop_close_managed(struct gyre_loop *loop)
{
    return close_loop(loop, 0);
}

void gyre_loop_destroy(struct gyre_loop *loop)
{
    if (loop == NULL)
        return;
    if (loop->managed) {
        gyre__log(GYRE_LOG_ERROR, "gyre_loop_destroy: the loop is its runtime's to destroy");
        return;
    }
    turn_out_parents(loop);
    /* relaxed: inside run its end closes, in another's run the last release; else nobody is inside
     * */
    if (gyre__loop_is_mine(loop))
        loop->destroyed = true;
    else if (atomic_load_explicit(&loop->owner, memory_order_relaxed) == GYRE__NOBODY)
        (void)close_loop(loop, 0); /* -EPERM, should somebody enter now: as in another's run */
    gyre_loop_release(loop);
}

/* ---- references ------------------------------------------------------------------------------ */

struct gyre_loop *gyre_loop_acquire(struct gyre_loop *loop)
{
    /* relaxed: whoever acquires holds a reference, or is handed one in some ordered way */
    atomic_fetch_add_explicit(&loop->references, 1, memory_order_relaxed);
    return loop;
}

void gyre_loop_release(struct gyre_loop *loop)
{
    /* acq_rel: the last holder sees what all others did with the loop before they let go */
    if (loop == NULL || atomic_fetch_sub_explicit(&loop->references, 1, memory_order_acq_rel) != 1)
        return;
    if (!loop->closed) {
        /* The functions that a close calls may acquire and release. */
        (void)gyre_loop_acquire(loop);
        (void)close_loop(loop, 0); /* nobody else can be inside */
        gyre_loop_release(loop);
        return;
    }
    /* Streams that were closed after the loop still have their completions here. */
    gyre__assert_on_loop();
    struct gyre_context *before = gyre_context_enter(NULL);
    while (gyre__loop_run_completions(loop))
        ;
    (void)gyre_context_enter(before);
    free_loop(loop);
}

/* ---- small things ---------------------------------------------------------------------------- */

void gyre_loop_set_user(struct gyre_loop *loop, void *user)
{
    loop->user = user;
}

void *gyre_loop_user(const struct gyre_loop *loop)
{
    return loop->user;
}

const char *gyre_loop_backend(const struct gyre_loop *loop)
{
    return loop->backend->name;
}

uint32_t gyre_loop_capabilities(const struct gyre_loop *loop)
{
    return loop->backend->events;
}

const char *gyre_loop_waker(const struct gyre_loop *loop)
{
    return loop->waker_kind->name;
}

void gyre_loop_stats(const struct gyre_loop *loop, struct gyre_loop_stats *ret_stats)
{
    const struct gyre__loop_counters *counters = &loop->counters;
    *ret_stats = (struct gyre_loop_stats){
        .turns = gyre__counter_read(&counters->turns),
        .polls = gyre__counter_read(&counters->polls),
        .sleeps = gyre__counter_read(&counters->sleeps),
        .wakes_written = atomic_load_explicit(&loop->wakes_written, memory_order_relaxed),
        .posts = gyre__counter_read(&counters->posts),
        .callbacks = gyre__counter_read(&counters->callbacks),
        .timers = gyre__counter_read(&counters->timers),
        .timers_live = gyre__counter_read(&loop->timers.armed),
        .timers_cancelled = gyre__counter_read(&loop->timers.cancelled),
        .events = gyre__counter_read(&counters->events),
        .events_stale = gyre__counter_read(&counters->events_stale),
        .rebuilds = gyre__counter_read(&counters->rebuilds),
        .queue_max = gyre__counter_read(&counters->queue_max),
    };
    const struct gyre__meter *meter = loop->meter;
    if (meter == NULL)
        return;
    ret_stats->busy_ns = gyre__counter_read(&meter->busy_ns);
    ret_stats->idle_ns = gyre__counter_read(&meter->idle_ns);
    ret_stats->longest_call_ns = gyre__counter_read(&meter->longest_ns);
    /* relaxed: a name, which nothing is read by */
    ret_stats->longest_call = atomic_load_explicit(&meter->longest, memory_order_relaxed);
}
