/* SPDX-License-Identifier: MIT */
/*
 * dump - what a loop has to do, as lines for people to read.
 *
 * The lines are not an interface: what they say, and how, may change with any version.
 */
#ifndef GYRE_DUMP_H
#define GYRE_DUMP_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

/* Gets one line without a newline, for the time of the call. It must not call into the loop. */
typedef void gyre_sink_fn(const char *line, void *arg);

/*
 * Describes `loop` to `sink`. Inside the loop, in one of its calls: counters, times if it has any
 * (enum gyre_timing), descriptors, and how many timers are armed and callbacks queued, with the
 * first 32 of the callbacks and any 32 of the timers. Elsewhere: counters, times, and where the
 * thread inside is, if the loop is watched (gyre_loop_set_blocking_threshold) and in a stretch.
 * Post a callback for the rest.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   outside of the loop, until its thread has answered; at most half a second, and as long
 *           for each other thread, the watchdog among them, that asks a thread at the same time.
 * Errors:   -EINVAL: sink is NULL; -ECHILD: a parent process's loop.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_dump(struct gyre_loop *loop, gyre_sink_fn *sink, void *arg)
    GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
