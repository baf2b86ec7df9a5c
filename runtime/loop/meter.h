/* SPDX-License-Identifier: MIT */
/*
 * meter - how a loop's time is measured, if it asks for that: turns, sleeps, lags and calls.
 *
 * What      A loop without timing has no meter, so that it pays a test of its pointer where a turn
 *           polls, a function is called or a timer runs. With one the clock is read after each
 *           poll, before each that may sleep, and for each timer. `since_ns` is the last of these
 *           readings of polls, or the run's begin: what comes next ends a piece of a turn or of a
 *           sleep there.
 * Why       The watchdog's stamp is not used for it: that is of the system's clock, which its
 *           thread compares, and this is of the loop's, so that virtual time is exact.
 * Nesting   A nested run is a part of its callback, and its polls end the outer run's turn. Each
 *           turn is counted once at most, by `turn`.
 * Threads   The owner writes, any thread reads counters and histograms, and the port.
 */
#ifndef GYRE_LOOP_METER_H
#define GYRE_LOOP_METER_H

#include <gyre/loop.h>
#include <gyre/signal.h>

#include "contract/port.h"
#include "loop/counter.h"
#include "loop/histogram.h"
#include "loop/message.h"

/* A function's address, which names it. POSIX has function pointers fit into object pointers
 * (dlsym); C says nothing. */
union gyre__function {
    gyre_fn *fn;
    gyre_handler_fn *handler;
    gyre_signal_fn *signal;
    const void *address;
};

/* Keys: [I] set once, [o] the owner's only, [a] atomic. */
struct gyre__meter {
    const struct gyre__port *port; /* [I] */
    bool calls; /* [I] GYRE_TIMING_CALLS */
    uint64_t since_ns; /* [o] */
    uint64_t turn; /* [o] number of the turn that was counted last */
    const void *function; /* [o] of the call under way */
    struct gyre__counter busy_ns; /* [a] */
    struct gyre__counter idle_ns; /* [a] */
    struct gyre__counter longest_ns; /* [a] */
    const void *_Atomic longest; /* [a] */
    struct gyre__histogram turns; /* [a] */
    struct gyre__histogram timer_lags; /* [a] */
    struct gyre__histogram post_lags; /* [a] */
};

/* NULL: no memory. */
struct gyre__meter *gyre__meter_create(const struct gyre__port *port, bool calls);
void gyre__meter_destroy(struct gyre__meter *meter);

/* All that follows but note_post: of a loop that has a meter. */

/* The outermost run begins, or ends. */
void gyre__meter_begin(struct gyre_loop *loop);
void gyre__meter_end(struct gyre_loop *loop);

/* Before a poll that may sleep, and after any. */
void gyre__meter_sleep(struct gyre_loop *loop);
void gyre__meter_polled(struct gyre_loop *loop, bool slept);

/* A timer is about to be called. */
void gyre__meter_note_timer(struct gyre_loop *loop, uint64_t deadline_ns);

/* A post of another thread, stamped by the port's ticks, is about to be called. */
void gyre__meter_note_post(struct gyre__meter *meter, uint64_t posted_ns);

/* Makes a call, of which the result is: in its context, as the caller has entered it. */
int gyre__meter_call(struct gyre_loop *loop, gyre_fn *fn, int status, void *arg) GYRE_ON_LOOP;
int gyre__meter_handle(struct gyre_loop *loop, gyre_handler_fn *fn, int fd, uint32_t events,
                       void *arg) GYRE_ON_LOOP;

/* The call under way is another function's: the library's own calls a user's. */
static inline void gyre__meter_rename(struct gyre__meter *meter, union gyre__function function)
{
    if (meter != NULL)
        meter->function = function.address;
}

#endif
