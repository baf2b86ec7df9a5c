/* SPDX-License-Identifier: MIT */
/*
 * timer_wheel - the timers that do not come next: unsorted, in slots of time.
 *
 * What     Four wheels of 256 slots each, and a list of what is beyond. A slot of the first wheel
 *          is 2^20 ns, 1.05 ms, one of each other wheel as long as a whole turn of the one before:
 *          268 ms, 69 s, 4.9 h; beyond is more than 52 days. `base`, counted in slots of the first
 *          wheel, is where the wheels stand: all timers in them are due at or after it.
 *
 *            base
 *             v
 *            |.|.|.|.|.|...|        256 slots of 1 ms: a timer here is less than 256 ms away
 *            |       .       |...|  256 slots of 268 ms
 *            |               ...    256 slots of 69 s ...
 *
 * Why      A timeout is put in and taken out again without ever coming near: that must not cost a
 *          search. A slot is a list; putting in touches its head, taking out its neighbours, whose
 *          lines are written and not read, so that nobody waits for them. A bit a slot finds the
 *          first that has timers.
 * Moves    A timer moves down at most once a wheel, when the slot that it is in becomes the first.
 *          Timers armed for later stay where they are, and are found to be elsewhere then.
 * Distance A timer is in the first wheel on which it is less than 256 slots away. Slots are counted
 *          in circles, so that the wheels need not be turned when `base` crosses a slot of a larger
 *          one: else all timers of the next minute would move at once, once a minute.
 * Memory   8 KiB a loop, fixed: arming cannot fail.
 */
#ifndef GYRE_LOOP_TIMER_WHEEL_H
#define GYRE_LOOP_TIMER_WHEEL_H

#include "loop/timer_heap.h"

enum gyre__timer_wheel_limits {
    GYRE__WHEEL_TICK_BITS = 20, /* a slot of the first wheel, in ns */
    GYRE__WHEEL_BITS = 8,
    GYRE__WHEEL_SLOTS = 1 << GYRE__WHEEL_BITS,
    GYRE__WHEELS = 4
};

struct gyre__timer_wheel {
    uint64_t base; /* in ticks */
    uint64_t count; /* of timers */
    uint64_t used[GYRE__WHEELS][GYRE__WHEEL_SLOTS / 64]; /* a bit a slot that has timers */
    struct gyre_timer *slots[GYRE__WHEELS][GYRE__WHEEL_SLOTS]; /* newest first */
    struct gyre_timer *beyond;
    uint64_t beyond_from; /* no timer beyond is due before this tick */
};

void gyre__timer_wheel_init(struct gyre__timer_wheel *wheel);

static inline uint64_t gyre__timer_tick(uint64_t deadline_ns)
{
    return deadline_ns >> GYRE__WHEEL_TICK_BITS;
}

/* Puts in a timer that is not due before base. */
void gyre__timer_wheel_insert(struct gyre__timer_wheel *wheel, struct gyre_timer *timer);

void gyre__timer_wheel_remove(struct gyre__timer_wheel *wheel, struct gyre_timer *timer);

/*
 * Takes out the first slot that has timers, as a list over `next`, newest first, and moves base
 * behind it. NULL: it would begin after `until_ns`, or there is none. The caller counts each of
 * them down, and puts those in again that were armed for later; all others are due in that slot.
 */
struct gyre_timer *gyre__timer_wheel_take(struct gyre__timer_wheel *wheel, uint64_t until_ns);

/* Moves base to an earlier tick: O(count). */
void gyre__timer_wheel_turn_back(struct gyre__timer_wheel *wheel, uint64_t base);

/* Calls `visit` for each timer, until it says false: for tests and dumps. */
bool gyre__timer_wheel_walk(const struct gyre__timer_wheel *wheel, gyre__timer_visit_fn *visit,
                            void *arg);

/* Whether slots, bits and links are as they should be: for tests. */
bool gyre__timer_wheel_valid(const struct gyre__timer_wheel *wheel);

#endif
