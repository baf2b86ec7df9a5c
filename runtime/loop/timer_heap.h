/* SPDX-License-Identifier: MIT */
/*
 * timer_heap - the timers that come next: a pairing heap of the timers themselves.
 *
 * What     Ordered by a timer's key, deadline and order of arming. A timer that is armed for later
 *          keeps its key, which is then stale, always too early, and is put right when it comes to
 *          the front.
 * Why      A heap in an array has to grow, so that arming could fail for memory. A pairing heap
 *          links a timer in O(1), cuts one out in O(1) if it has no children, and pays O(log n),
 *          amortised, when one comes to the front. Its cost is in pointers that are chased: so it
 *          holds few timers, and timer_wheel the others.
 * Links    `link` is the address of the pointer that points to the timer: the same for each place
 *          where a timer can be, so that one function takes it out of any (gyre__timer_unlink).
 *
 *            root ---> a --next--> NULL
 *                      |
 *                    child ---> b --next--> c --next--> NULL       c.link == &b.next
 */
#ifndef GYRE_LOOP_TIMER_HEAP_H
#define GYRE_LOOP_TIMER_HEAP_H

#include <gyre/timer.h>

struct gyre__timer_heap {
    struct gyre_timer *root;
    uint64_t count;
};

typedef bool gyre__timer_visit_fn(const struct gyre_timer *timer, void *arg);

static inline void gyre__timer_link(struct gyre_timer **link, struct gyre_timer *timer)
{
    timer->next = *link;
    timer->link = link;
    if (timer->next != NULL)
        timer->next->link = &timer->next;
    *link = timer;
}

static inline void gyre__timer_unlink(struct gyre_timer *timer)
{
    *timer->link = timer->next;
    if (timer->next != NULL)
        timer->next->link = timer->link;
}

/* `ahead` is where a timer is that comes some places later in the same list, if it is still there:
 * walked one by one, a list of timers that are in no cache waits for each of them. */
static inline void gyre__timer_prefetch(const struct gyre_timer *timer)
{
    __builtin_prefetch(timer->ahead);
}

/* Whether the timer's key is what it was armed for. */
static inline bool gyre__timer_heap_is_true(const struct gyre_timer *timer)
{
    return timer->key_order == timer->order;
}

/* Puts in a timer, by its deadline and order. */
void gyre__timer_heap_insert(struct gyre__timer_heap *heap, struct gyre_timer *timer);

void gyre__timer_heap_remove(struct gyre__timer_heap *heap, struct gyre_timer *timer);

/* Empties the heap: its timers as a list over `next`, in no order. */
struct gyre_timer *gyre__timer_heap_take_all(struct gyre__timer_heap *heap);

/* Calls `visit` for each timer until it says false; false then, or without memory to walk: for
 * tests and dumps. */
bool gyre__timer_heap_walk(const struct gyre__timer_heap *heap, gyre__timer_visit_fn *visit,
                           void *arg);

/* Whether keys and links are as they should be: for tests. */
bool gyre__timer_heap_valid(const struct gyre__timer_heap *heap);

#endif
