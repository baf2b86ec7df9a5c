/* SPDX-License-Identifier: MIT */
/*
 * watchdog - a loop's part of the watchdog, and what it asks of the loop.
 *
 * Word     `busy_ns` is the clock when the stretch began, and 0 while the loop waits or nobody is
 *          inside. The owner writes it while `on`; the watchdog reads it. It names the stretch as
 *          well: two with one stamp are told apart by the first having taken no time, so that it
 *          was never reported.
 * Order    The thread's number is stored before the stamp, which is a release that the watchdog's
 *          load acquires. A stack belongs to the stretch if the stamp is the same behind it.
 * Watching A stretch is stamped where it begins, if `on` is set then, and `on` is not asked where
 *          it ends: so a stamp never outlasts its stretch, whatever thresholds come and go.
 */
#ifndef GYRE_LOOP_WATCHDOG_H
#define GYRE_LOOP_WATCHDOG_H

#include <stdatomic.h>

#include <gyre/watchdog.h>

struct gyre__visit;

/* A threshold, under the watchdog's lock. */
struct gyre__threshold {
    uint64_t ns; /* 0: none */
    uint64_t reported_ns; /* the stamp of the last stretch that was reported, 0: none */
};

/* Keys: [a] atomic, [m] under the watchdog's lock. */
struct gyre__watch {
    _Atomic bool on; /* [a] the owner is to stamp */
    _Atomic uint64_t busy_ns; /* [a] written by the owner */
    _Atomic uint64_t thread; /* [a] the system's number of the owner, likewise */
    struct gyre__threshold report; /* [m] */
    struct gyre__threshold log; /* [m] */
    gyre_blocking_fn *fn; /* [m] of `report` */
    void *arg; /* [m] likewise */
    struct gyre_loop *next; /* [m] of those that are watched */
    bool closed; /* [m] */
};

enum gyre__watch_due {
    GYRE__WATCH_LOG = 1,
    GYRE__WATCH_REPORT = 2
};

/* What is due of a loop at `now_ns`: bits of enum gyre__watch_due, each once a stretch. Lowers
 * *next_ns to when it must be asked again. Under the watchdog's lock. */
unsigned gyre__watch_check(struct gyre__watch *watch, uint64_t now_ns, uint64_t *next_ns);

/* Looks at all loops as of `now_ns`, and makes the reports that are due, one after another. When it
 * has to be called again; GYRE_NEVER: no loop is watched. */
uint64_t gyre__watchdog_look(uint64_t now_ns);

/* The stack of the loop's thread in the stretch of that stamp: the number of addresses, 0 if it
 * could not be had. */
unsigned gyre__watch_sample(struct gyre__watch *watch, uint64_t busy_ns, const void **addresses);

/* The loop closes: nothing is reported of it from now on. */
void gyre__watch_close(struct gyre_loop *loop);

/* In a child process: there is no watchdog, and nobody who holds the lock. */
void gyre__watchdog_after_fork(void);

/* Stamps the stretch that begins now. */
void gyre__watch_stamp(struct gyre__watch *watch);

/* The thread leaves its outermost run, in which it was stamped. */
void gyre__watch_thread_leaves(void);

/* A stretch begins: a poll has returned, or a run begins. */
static inline void gyre__watch_begin(struct gyre__watch *watch)
{
    /* relaxed: what belongs to it is read under the lock */
    if (atomic_load_explicit(&watch->on, memory_order_relaxed))
        gyre__watch_stamp(watch);
}

/* It is over: the loop polls, or the run ends. */
static inline void gyre__watch_end(struct gyre__watch *watch)
{
    /* relaxed: the owner's own word; and who reads the 0 reads nothing else by it */
    if (atomic_load_explicit(&watch->busy_ns, memory_order_relaxed) != 0)
        atomic_store_explicit(&watch->busy_ns, 0, memory_order_relaxed);
}

#endif
