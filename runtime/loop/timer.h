/* SPDX-License-Identifier: MIT */
/*
 * timer - the timers of a loop: a pairing heap of the timers themselves, and the list of those due.
 *
 * What     The heap is ordered by a timer's key (deadline and order of arming). Arming an armed
 *          timer for later only notes the new deadline: its key is then stale, always too early,
 *          and is put right when it comes to the front. The due list holds what a turn has
 *          gathered.
 * Why      A heap in an array has to grow, so that arming could fail for memory; a wheel finds the
 *          next deadline by scanning and has to sort within a slot to fire in exact order. A
 *          pairing heap links a new timer in O(1), cuts one out in O(1) without children (idle
 *          timeouts have none), and pays O(log n), amortised, when one comes to the front.
 *
 *            root ---child---> a --next--> b --next--> c       each the root of its own heap
 *                 <---prev---  <--prev---  <--prev---          the first's prev is the parent
 *
 * States   IDLE --start--> HEAPED --gather--> DUE --run--> IDLE    stop: any -> IDLE
 *                          HEAPED <--start--- DUE                  (armed again before it ran)
 * Handles  gyre_loop_call_at's timers live in chunks of slots; a handle is slot and generation, and
 *          the generation is never used twice. A chunk without a live timer is freed, one is kept
 *          in reserve.
 */
#ifndef GYRE_LOOP_TIMER_H
#define GYRE_LOOP_TIMER_H

#include <gyre/timer.h>

enum gyre__timer_state {
    GYRE__TIMER_IDLE, /* the user's: not armed, or it has fired */
    GYRE__TIMER_HEAPED, /* armed */
    GYRE__TIMER_DUE /* armed, and gathered to run in this turn */
};

enum gyre__timer_limits {
    GYRE__CALLS_CHUNK = 64, /* slots of a chunk: some 8 KiB */
    GYRE__CALLS_MAX = 1 << 24 /* pending calls: a handle has 24 bits for the slot */
};

struct gyre__call;
struct gyre__calls_chunk;

/* The slots of gyre_loop_call_at. */
struct gyre__calls {
    struct gyre__calls_chunk **chunks; /* NULL where a chunk was freed */
    uint32_t chunks_count; /* of the array */
    uint32_t open; /* no chunk below has a free slot */
    uint32_t empty; /* one chunk without live timers, kept in reserve; UINT32_MAX: none */
    uint64_t generation; /* of the handle made last */
};

struct gyre__timers {
    struct gyre_timer *root;
    struct gyre_timer *due; /* first to run */
    struct gyre_timer *due_last;
    uint64_t order; /* of the arming made last */
    uint64_t armed; /* timers in the heap and the due list */
    struct gyre__calls calls;
};

/* What a timer calls, taken out before the call, so that the timer may be freed in it. */
struct gyre__timer_call {
    gyre_fn *fn;
    void *arg;
    struct gyre_context *context; /* with the timer's reference */
};

/* The earliest deadline, GYRE_NEVER if there is none. Moves stale keys until the front is true. */
uint64_t gyre__timers_next(struct gyre__timers *timers);

/* Moves all timers with a deadline up to `now_ns` to the due list, in firing order. */
void gyre__timers_gather(struct gyre__timers *timers, uint64_t now_ns);

/* Takes the first due timer, which is idle from then on. False: none is left. */
bool gyre__timers_take_due(struct gyre__timers *timers, struct gyre__timer_call *ret_call);

/* Takes any armed timer, earliest first, whatever the time. */
bool gyre__timers_take_any(struct gyre__timers *timers, struct gyre__timer_call *ret_call);

/* Arms and stops without asking who calls. */
void gyre__timers_start(struct gyre__timers *timers, struct gyre_timer *timer,
                        uint64_t deadline_ns);
void gyre__timers_stop(struct gyre__timers *timers, struct gyre_timer *timer);

/* Frees the slots; no timer may be armed. */
void gyre__timers_deinit(struct gyre__timers *timers);

/* Whether heap, keys and links are as they should be: for tests. */
bool gyre__timers_valid(const struct gyre__timers *timers);

/* The slots: see call.c. */
int gyre__calls_take(struct gyre__calls *calls, uint64_t *ret_handle,
                     struct gyre_timer **ret_timer);
struct gyre_timer *gyre__calls_find(struct gyre__calls *calls, uint64_t handle);
void gyre__calls_give(struct gyre__calls *calls, struct gyre_timer *timer);
void gyre__calls_deinit(struct gyre__calls *calls);

#endif
