/* SPDX-License-Identifier: MIT */
/*
 * watchdog - the thread that looks at the watched loops, and their thresholds.
 *
 * Looks     The thread sleeps until the earliest moment at which a threshold can be reached: of a
 *           stretch that is under way, its begin and the threshold; of one that may begin at once,
 *           a threshold from now. So it is on time, with two looks in a threshold's time at most.
 *           A tick of its own was rejected: it would be late by a tick, or wake for nothing.
 * Thread    NONE     -> STARTING   the first threshold comes
 *           STARTING -> RUNNING    it was made             STARTING -> NONE   it could not be
 *           RUNNING  -> ENDING     no loop is watched, and a caller that may wait asks it to end
 *           ENDING   -> RUNNING    a threshold has come meanwhile
 *           ENDING   -> ENDED      the thread has seen it, and looks at nothing any more
 *           ENDED    -> JOINING    the caller joins it     JOINING  -> NONE   it has
 *           any      -> NONE       in a child process
 *           Who finds STARTING, ENDED or JOINING waits; the watchdog itself, in a report, finds
 *           none of these.
 * Reports   One at a time. `reported` is its loop, so that who changes that loop's thresholds, or
 *           closes it, waits until it is over; the report's own thread does not. Neither sample nor
 *           function runs under the lock, and after the function the loop is not touched: it may be
 *           gone.
 * Locks     The lock is held around nothing of a user's: not his allocator either. `sampling` is
 *           for one sample at a time, and is never waited for under the lock.
 * Waiting   All of that waits on one word that each change counts up, and looks again.
 */
#include "loop/watchdog.h"

#include <gyre/error.h>

#include "loop/lock.h"
#include "loop/loop.h"

enum {
    ANSWER_NS = 250 * 1000 * 1000, /* for a thread to be scheduled and answer, on a busy machine */
    SYMBOL_BYTES = 256
};

#define SLEEP_MAX_NS UINT64_C(3600000000000) /* so that the system's types hold it */

enum state {
    NONE, /* there is no thread */
    STARTING, /* somebody makes it */
    RUNNING,
    ENDING, /* it is to end, unless a threshold comes */
    ENDED, /* it has seen that; to be joined */
    JOINING /* by somebody */
};

static struct gyre__lock lock;
static enum state state; /* [m] under the lock, as all that follows but the two words */
static uint64_t thread; /* [m] to be joined */
static struct gyre_loop *watched; /* [m] the list */
static struct gyre_loop *reported; /* [m] the loop of the report under way, NULL: none */
static uint64_t reporter; /* [m] the serial of its thread */
static _Atomic uint32_t changes; /* [a] counted up with each change that somebody waits for */
static _Atomic uint32_t looks; /* [a] likewise, with what the watchdog must look at */

static struct gyre__lock sampling;

/* ---- waiting --------------------------------------------------------------------------------- */

/* Under the lock, both. */
static void tell_waiters(void)
{
    /* relaxed: who waits looks again, under the lock */
    atomic_fetch_add_explicit(&changes, 1, memory_order_relaxed);
    gyre__port_native()->unpark(&changes);
}

static void await_change(void)
{
    uint32_t seen = atomic_load_explicit(&changes, memory_order_relaxed); /* under the lock */
    gyre__lock_release(&lock);
    gyre__port_native()->park(&changes, seen);
    gyre__lock_acquire(&lock);
}

static void wake_watchdog(void)
{
    atomic_fetch_add_explicit(&looks, 1, memory_order_relaxed); /* as above */
    gyre__port_native()->unpark(&looks);
}

/* ---- the owner's side ------------------------------------------------------------------------ */

void gyre__watch_stamp(struct gyre__watch *watch)
{
    if (gyre__thread.watch == GYRE__WATCH_NOT) {
        bool was_blocked = gyre__port_stack_allow();
        gyre__thread.watch = was_blocked ? GYRE__WATCH_ALLOWED : GYRE__WATCH_OPEN;
        gyre__thread.number = gyre__port_thread_number();
    }
    /* relaxed: with the next store */
    atomic_store_explicit(&watch->thread, gyre__thread.number, memory_order_relaxed);
    /* release: pairs with the acquire in busy_since */
    atomic_store_explicit(&watch->busy_ns, gyre__port_native()->ticks_ns(), memory_order_release);
}

void gyre__watch_thread_leaves(void)
{
    if (gyre__thread.watch == GYRE__WATCH_ALLOWED)
        gyre__port_stack_disallow();
    gyre__thread.watch = GYRE__WATCH_NOT;
}

/* ---- a look ---------------------------------------------------------------------------------- */

static uint64_t busy_since(const struct gyre__watch *watch)
{
    /* acquire: pairs with the release in stamp; the thread's number is seen */
    return atomic_load_explicit(&watch->busy_ns, memory_order_acquire);
}

static bool is_due(struct gyre__threshold *threshold, uint64_t since, uint64_t now_ns,
                   uint64_t *next_ns)
{
    if (threshold->ns == 0)
        return false;
    bool open = since != 0 && threshold->reported_ns != since;
    bool due = open && now_ns >= since && now_ns - since >= threshold->ns;
    if (due)
        threshold->reported_ns = since;
    uint64_t from = open && !due ? since : now_ns; /* else the next one may begin now */
    uint64_t at = from > GYRE_NEVER - threshold->ns ? GYRE_NEVER : from + threshold->ns;
    if (at < *next_ns)
        *next_ns = at;
    return due;
}

unsigned gyre__watch_check(struct gyre__watch *watch, uint64_t now_ns, uint64_t *next_ns)
{
    uint64_t since = busy_since(watch);
    unsigned due = is_due(&watch->log, since, now_ns, next_ns) ? GYRE__WATCH_LOG : 0;
    return due | (is_due(&watch->report, since, now_ns, next_ns) ? GYRE__WATCH_REPORT : 0u);
}

unsigned gyre__watch_sample(struct gyre__watch *watch, uint64_t busy_ns, const void **addresses)
{
    /* relaxed: busy_since has acquired it */
    uint64_t number = atomic_load_explicit(&watch->thread, memory_order_relaxed);
    gyre__lock_acquire(&sampling);
    int count = gyre__port_stack_take(number, ANSWER_NS, addresses, GYRE_STACK_MAX);
    gyre__lock_release(&sampling);
    return count > 0 && busy_since(watch) == busy_ns ? (unsigned)count : 0;
}

static void log_blocking(const struct gyre_loop *loop, const struct gyre_blocking *blocking)
{
    char symbol[SYMBOL_BYTES];
    unsigned long long us = blocking->duration_ns / 1000;
    gyre__log(GYRE_LOG_WARNING, "loop %p has been blocked for %llu.%03llu ms, its thread is %s",
              (const void *)loop, us / 1000, us % 1000,
              blocking->stack_count > 0 ? "in:" : "not known to be anywhere");
    for (unsigned at = 0; at < blocking->stack_count; at++)
        gyre__log(GYRE_LOG_WARNING, "  #%u %s", at,
                  gyre__port_symbol(blocking->stack[at], symbol, sizeof(symbol)));
}

/* Under the lock, which is released meanwhile. The loop may be gone afterwards. */
static void make_report(struct gyre_loop *loop, unsigned due, uint64_t now_ns)
{
    const void *stack[GYRE_STACK_MAX];
    struct gyre__watch *watch = &loop->watch;
    gyre_blocking_fn *fn = watch->fn;
    void *arg = watch->arg;
    uint64_t since =
        (due & GYRE__WATCH_LOG) != 0 ? watch->log.reported_ns : watch->report.reported_ns;
    reported = loop;
    reporter = gyre__thread_serial();
    gyre__lock_release(&lock);
    struct gyre_blocking blocking = {.duration_ns = now_ns - since, .stack = stack};
    blocking.stack_count = gyre__watch_sample(watch, since, stack);
    if ((due & GYRE__WATCH_LOG) != 0)
        log_blocking(loop, &blocking);
    if ((due & GYRE__WATCH_REPORT) != 0)
        fn(loop, &blocking, arg);
    gyre__lock_acquire(&lock);
    reported = NULL;
    tell_waiters();
}

/* False: none is due, and *next_ns says when to look again. */
static bool report_one(uint64_t now_ns, uint64_t *next_ns)
{
    *next_ns = GYRE_NEVER;
    for (struct gyre_loop *loop = watched; loop != NULL; loop = loop->watch.next) {
        unsigned due = gyre__watch_check(&loop->watch, now_ns, next_ns);
        if (due == 0)
            continue;
        make_report(loop, due, now_ns);
        return true; /* the list may be another now */
    }
    return false;
}

uint64_t gyre__watchdog_look(uint64_t now_ns)
{
    uint64_t next_ns;
    gyre__lock_acquire(&lock);
    do {
        while (reported != NULL)
            await_change();
    } while (report_one(now_ns, &next_ns));
    gyre__lock_release(&lock);
    return next_ns;
}

/* ---- the thread ------------------------------------------------------------------------------ */

/* Whether the thread is still needed; false is for good. */
static bool stays(uint32_t forks)
{
    if (forks != gyre__forks_now())
        return false; /* it has forked in a report: this is the child's copy of it */
    gyre__lock_acquire(&lock);
    if (state == ENDING && watched == NULL) {
        state = ENDED;
        tell_waiters();
    }
    bool ended = state == ENDED;
    gyre__lock_release(&lock);
    return !ended;
}

static void watch_loops(void *arg)
{
    const struct gyre__port *port = gyre__port_native();
    uint32_t forks = (uint32_t)(uintptr_t)arg;
    gyre__thread.watchdog = true;
    /* acquire, of no release: the locks have the order; the word is read before what it is about */
    uint32_t seen = atomic_load_explicit(&looks, memory_order_acquire);
    while (stays(forks)) {
        uint64_t next_ns = gyre__watchdog_look(port->ticks_ns());
        uint64_t now_ns = port->ticks_ns();
        uint64_t left_ns = next_ns > now_ns ? next_ns - now_ns : 0;
        if (left_ns != 0)
            port->park_for(&looks, seen, left_ns < SLEEP_MAX_NS ? left_ns : SLEEP_MAX_NS);
        seen = atomic_load_explicit(&looks, memory_order_acquire); /* as above */
    }
}

/* Under the lock, which is released meanwhile. */
static int start_thread(void)
{
    struct gyre__thread_options options = {.name = "gyre-watchdog", .cpu = -1};
    uint64_t made = 0;
    state = STARTING;
    gyre__lock_release(&lock);
    int r = gyre__port_stack_prepare(); /* nobody else is STARTING */
    if (r == 0)
        r = gyre__port_native()->thread_create(&options, &made, watch_loops,
                                               (void *)(uintptr_t)gyre__forks_now());
    gyre__lock_acquire(&lock);
    thread = made;
    state = r == 0 ? RUNNING : NONE;
    tell_waiters();
    return r;
}

/* Has the thread there, for a loop that is to be watched before the lock is released. */
static int need_thread(void)
{
    if (gyre__thread.watchdog)
        return 0; /* it is here */
    while (state == STARTING || state == ENDED || state == JOINING)
        await_change();
    return state == NONE ? start_thread() : 0;
}

static void join_thread(void)
{
    uint64_t ended = thread;
    state = JOINING;
    gyre__lock_release(&lock);
    gyre__port_native()->thread_join(ended);
    gyre__lock_acquire(&lock);
    state = NONE;
    tell_waiters();
}

/* Ends the thread if it has nothing to watch. Who is in a report, which the thread would wait for,
 * leaves that to a later caller; so does the thread itself. */
static void end_if_idle(void)
{
    gyre__lock_acquire(&lock);
    bool in_report = reported != NULL && reporter == gyre__thread_serial();
    if (state == RUNNING && watched == NULL && !in_report && !gyre__thread.watchdog) {
        state = ENDING;
        wake_watchdog();
        while (state == ENDING)
            await_change();
        if (state == ENDED)
            join_thread();
    }
    gyre__lock_release(&lock);
}

/* ---- thresholds ------------------------------------------------------------------------------ */

/* The loop is in the list if it has a threshold. Under the lock, as the next. */
static void watch_or_not(struct gyre_loop *loop)
{
    struct gyre__watch *watch = &loop->watch;
    struct gyre_loop **link = &watched;
    while (*link != NULL && *link != loop)
        link = &(*link)->watch.next;
    bool wanted = watch->report.ns != 0 || watch->log.ns != 0;
    if (*link == NULL && wanted) {
        watch->next = watched;
        watched = loop;
    } else if (*link != NULL && !wanted) {
        *link = watch->next;
    }
    /* relaxed: the owner begins to stamp, or stops, soon; what it stamps has its own order */
    atomic_store_explicit(&watch->on, wanted, memory_order_relaxed);
    if (wanted && state == ENDING) {
        state = RUNNING;
        tell_waiters();
    }
    wake_watchdog();
}

/* Waits for the end of a report of the loop's, unless it is the caller's. */
static void await_report(const struct gyre_loop *loop)
{
    while (reported == loop && reporter != gyre__thread_serial())
        await_change();
}

/* Sets one of the loop's thresholds; `fn` and `arg` are those of `report`. */
static int set_threshold(struct gyre_loop *loop, struct gyre__threshold *threshold, uint64_t ns,
                         gyre_blocking_fn *fn, void *arg)
{
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    gyre__lock_acquire(&lock);
    int r = ns != 0 ? need_thread() : 0;
    if (r == 0 && loop->watch.closed)
        r = -ESHUTDOWN;
    if (r == 0) {
        threshold->ns = ns;
        if (threshold == &loop->watch.report) {
            loop->watch.fn = fn;
            loop->watch.arg = arg;
        }
        watch_or_not(loop);
        await_report(loop);
    }
    gyre__lock_release(&lock);
    end_if_idle();
    return r;
}

int gyre_loop_set_blocking_threshold(struct gyre_loop *loop, uint64_t threshold_ns,
                                     gyre_blocking_fn *fn, void *arg)
{
    return set_threshold(loop, &loop->watch.report, fn != NULL ? threshold_ns : 0, fn, arg);
}

int gyre_loop_set_blocking_log_threshold(struct gyre_loop *loop, uint64_t threshold_ns)
{
    return set_threshold(loop, &loop->watch.log, threshold_ns, NULL, NULL);
}

void gyre__watch_close(struct gyre_loop *loop)
{
    if (gyre__loop_is_inherited(loop))
        return; /* the child has forgotten it */
    gyre__lock_acquire(&lock);
    loop->watch.closed = true;
    loop->watch.report.ns = 0;
    loop->watch.log.ns = 0;
    watch_or_not(loop);
    await_report(loop);
    gyre__lock_release(&lock);
    end_if_idle();
}

void gyre__watchdog_after_fork(void)
{
    /* relaxed, all of it: there is one thread */
    atomic_store_explicit(&lock.state, GYRE__LOCK_FREE, memory_order_relaxed);
    atomic_store_explicit(&sampling.state, GYRE__LOCK_FREE, memory_order_relaxed);
    state = NONE;
    watched = NULL;
    reported = NULL;
    gyre__thread.watchdog = false;
    gyre__thread.number = gyre__port_thread_number();
    gyre__port_stack_after_fork();
}
