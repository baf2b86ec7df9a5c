/* SPDX-License-Identifier: MIT */
/*
 * timer - the timers of a loop: those that come next in a heap, the others in a wheel, and the list
 * of those due.
 *
 * What     The wheel's base divides them: what is due before it is in the heap, in exact order;
 *          what is due later is in the wheel, unsorted. When the heap is empty the wheel's first
 *          slot goes into it, and base moves behind that slot. The due list holds what a turn has
 *          gathered. An armed timer that is armed for later stays where it is, with a new deadline
 *          and order, and is put right when it comes up there.
 * Why      A heap alone fires in order, but pays a search with cache misses for each of very many
 *          timers, most of which are stopped before they come near. A wheel alone has no order
 *          within a slot, and no next deadline without a search. docs/decisions/0006.
 * Base     It runs ahead of the clock, to the next deadline there is. So timers that are then armed
 *          for earlier go into the heap. When these were an eighth of all, the wheel is turned
 *          back to the first of them, which moves all: eight moves for each, amortised. A loop
 *          with few timers has them in the heap.
 *
 *          clock        base
 *            v            v
 *            |  the heap  |  the wheel  ...
 *
 * States   IDLE --start--> NEAR or FAR --gather--> DUE --run--> IDLE      stop: any -> IDLE
 *                          FAR --its slot comes up--> NEAR, or DUE at once
 *                          NEAR <--start--- DUE                   (armed again before it ran)
 * Handles  gyre_loop_call_at's timers live in chunks of slots; a handle is slot and generation, and
 *          the generation is never used twice. A chunk without a live timer is freed, one is kept
 *          in reserve.
 */
#ifndef GYRE_LOOP_TIMER_H
#define GYRE_LOOP_TIMER_H

#include <gyre/timer.h>

#include "loop/counter.h"
#include "loop/fork.h"
#include "loop/message.h"
#include "loop/timer_heap.h"
#include "loop/timer_wheel.h"

enum gyre__timer_state {
    GYRE__TIMER_IDLE, /* the user's: not armed, or it has fired */
    GYRE__TIMER_NEAR, /* armed, and in the heap */
    GYRE__TIMER_FAR, /* armed, and in the wheel */
    GYRE__TIMER_DUE /* armed, and gathered to run in this turn */
};

enum gyre__timer_limits {
    GYRE__TIMERS_NEAR = 64, /* timers put into the heap before the wheel is turned back */
    GYRE__TIMERS_NEAR_SHARE = 8, /* and one more for so many timers that this moves */
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
    uint64_t order; /* of the arming made last */
    struct gyre__counter armed; /* timers in heap, wheel and due list */
    struct gyre__counter cancelled; /* timers that were armed and will not fire for it */
    struct gyre__timer_heap near; /* due before the wheel's base */
    uint64_t near_added; /* timers put into it since it was empty, but for those of slots */
    struct gyre_timer *due; /* first to run */
    struct gyre_timer **due_end; /* where the next one is put */
    struct gyre__timer_wheel far;
    struct gyre__calls calls;
};

void gyre__timers_init(struct gyre__timers *timers);

/* Whether any is armed that was not gathered. */
static inline bool gyre__timers_any(const struct gyre__timers *timers)
{
    return timers->near.root != NULL || timers->far.count != 0;
}

/* The earliest deadline of those that were not gathered, GYRE_NEVER if there is none. */
uint64_t gyre__timers_next(struct gyre__timers *timers);

/* Moves all timers with a deadline up to `now_ns` to the due list, in firing order. */
void gyre__timers_gather(struct gyre__timers *timers, uint64_t now_ns);

/* Takes the first due timer, which is idle from then on. False: none is left. */
bool gyre__timers_take_due(struct gyre__timers *timers, struct gyre__message *ret_message);

/* Takes any armed timer, earliest first, whatever the time, to cancel it. */
bool gyre__timers_take_any(struct gyre__timers *timers, struct gyre__message *ret_message);

/* Arms and stops without asking who calls. */
void gyre__timers_start(struct gyre__timers *timers, struct gyre_timer *timer,
                        uint64_t deadline_ns);
void gyre__timers_stop(struct gyre__timers *timers, struct gyre_timer *timer);

/* gyre_timer_start on an open loop that is the caller's, but for GYRE_NEVER, which is a deadline
 * that does not come: a close still calls the timer. It may be gone afterwards, as after a stop:
 * the release of the context that it was in before is the user's. */
void gyre__timer_arm(struct gyre_timer *timer, uint64_t deadline_ns);

/* gyre_timer_start of a timer of the library's own, in no context: its function enters those that
 * it calls the user in. What such a timer kept would be released, by the user's function, in the
 * midst of our work. */
int gyre__timer_start_own(struct gyre_timer *timer, uint64_t deadline_ns) GYRE_ON_LOOP;

/* Whether it was last armed by a parent process. Its loop, which may be gone, is not looked at: a
 * child's close leaves timers as they are, since a thread may have been at them in the fork. */
static inline bool gyre__timer_is_inherited(const struct gyre_timer *timer)
{
    return timer->forks != gyre__forks_now();
}

/* Frees the slots; no timer may be armed. */
void gyre__timers_deinit(struct gyre__timers *timers);

/* Calls `visit` for each armed timer, those that are due first and in their order, the rest in
 * none, until it says false; false then, or without memory to walk: for dumps. */
bool gyre__timers_walk(const struct gyre__timers *timers, gyre__timer_visit_fn *visit, void *arg);

/* Whether heap, wheel, due list and counts are as they should be: for tests. */
bool gyre__timers_valid(const struct gyre__timers *timers);

/* The slots: see call.c. */
int gyre__calls_take(struct gyre__calls *calls, uint64_t *ret_handle,
                     struct gyre_timer **ret_timer);
struct gyre_timer *gyre__calls_find(struct gyre__calls *calls, uint64_t handle);
void gyre__calls_give(struct gyre__calls *calls, struct gyre_timer *timer);
void gyre__calls_deinit(struct gyre__calls *calls);

#endif
