/* SPDX-License-Identifier: MIT */
/*
 * thread - what the library knows of the calling thread.
 *
 * A thread is named by a serial that is never reused, unlike the system's identities: a loop
 * compares its owner's with the caller's (T52). It is 0 until the thread first runs or owns
 * something, and no loop's owner is ever 0, so that the comparison needs no test for "not yet".
 */
#ifndef GYRE_LOOP_THREAD_H
#define GYRE_LOOP_THREAD_H

#include <gyre/base.h>

#include "loop/lanes.h"

/* A run, or a turn, that is under way on the thread, and what it puts back at its end. */
struct gyre__visit {
    struct gyre_loop *loop; /* NULL: a parent's, see fork.h */
    struct gyre__visit *outer; /* in one of whose calls this one is nested */
    struct gyre_loop *current;
    struct gyre_context *context;
    uint32_t sigpipe;
};

/* Whether the thread may be asked for its stack, which it is while it runs a watched loop. */
enum gyre__thread_watch {
    GYRE__WATCH_NOT,
    GYRE__WATCH_ALLOWED, /* the signal was unblocked for it, and will be blocked again */
    GYRE__WATCH_OPEN /* it was not blocked */
};

struct gyre__thread {
    uint64_t serial;
    struct gyre_loop *inside; /* the innermost visit's loop: open, its own, and no parent's */
    struct gyre__visit *visit; /* the innermost; NULL: none */
    struct gyre_loop *current; /* holds a reference */
    struct gyre_context *context; /* that it is in; NULL: none. Whoever entered it holds it */
    struct gyre__lane_table lanes; /* to the loops that it posts to */
    bool ends_noticed; /* its end has been hooked */
    bool watchdog; /* it is the watchdog */
    struct gyre_executor *executor; /* whose worker it is, until it has ended that itself */
    enum gyre__thread_watch watch;
    uint64_t number; /* the system's, unless `watch` is NOT */
};

extern _Thread_local struct gyre__thread gyre__thread;

/* Gives the thread a serial, if it has none, and returns it. */
uint64_t gyre__thread_serial(void);

/* Has the thread's end release what this struct holds. -ENOMEM. */
int gyre__thread_notice_end(void);

#endif
