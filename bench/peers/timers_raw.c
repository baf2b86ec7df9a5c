/* SPDX-License-Identifier: MIT */
/*
 * timers_raw - the floor of the timer cases: a heap of four children in an array of its final
 * size, with the deadlines in it, and each object's place in the object. No loop, no clock but
 * one look for a batch, and no order among equal deadlines.
 */
#include <stdlib.h>

#include "measure.h"
#include "timers.h"
#include "timers_clock.h"

enum {
    CHILDREN = 4
};

struct object {
    _Alignas(TIMERS_LINE) void (*fn)(unsigned timer);
    unsigned place;
};

struct entry {
    uint64_t deadline_ns;
    struct object *object;
};

const uint64_t timers_peer_resolution_ns = 0;

static struct object *objects;
static struct entry *heap;
static unsigned armed;
static uint64_t base_ns;
static bool stopped;

static void put(unsigned place, struct entry entry)
{
    heap[place] = entry;
    entry.object->place = place;
}

static void rise(unsigned place, struct entry entry)
{
    while (place > 0 && entry.deadline_ns < heap[(place - 1) / CHILDREN].deadline_ns) {
        put(place, heap[(place - 1) / CHILDREN]);
        place = (place - 1) / CHILDREN;
    }
    put(place, entry);
}

static void sink(unsigned place, struct entry entry)
{
    for (;;) {
        unsigned child = place * CHILDREN + 1;
        unsigned least = child;
        for (unsigned i = child + 1; i < child + CHILDREN && i < armed; i++) {
            if (heap[i].deadline_ns < heap[least].deadline_ns)
                least = i;
        }
        if (child >= armed || entry.deadline_ns <= heap[least].deadline_ns)
            break;
        put(place, heap[least]);
        place = least;
    }
    put(place, entry);
}

/* Puts an entry where another was. */
static void replace(unsigned place, struct entry entry)
{
    if (place > 0 && entry.deadline_ns < heap[(place - 1) / CHILDREN].deadline_ns)
        rise(place, entry);
    else
        sink(place, entry);
}

void timers_peer_create(unsigned count)
{
    objects = aligned_alloc(TIMERS_LINE, count * sizeof(*objects));
    heap = calloc(count, sizeof(*heap));
    if (objects == NULL || heap == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i < count; i++)
        objects[i] = (struct object){.fn = timers_fired};
}

void timers_peer_run(void)
{
    stopped = false;
    timers_work();
    while (!stopped && armed > 0) {
        uint64_t now = timers_clock_ns();
        while (!stopped && armed > 0 && heap[0].deadline_ns <= now) {
            struct object *object = heap[0].object;
            timers_peer_cancel((unsigned)(object - objects));
            object->fn((unsigned)(object - objects));
        }
    }
}

void timers_peer_stop(void)
{
    stopped = true;
}

void timers_peer_now(void)
{
    base_ns = timers_clock_ns();
}

void timers_peer_add(unsigned timer, uint64_t delay_ns)
{
    rise(armed++, (struct entry){base_ns + delay_ns, &objects[timer]});
}

void timers_peer_rearm(unsigned timer, uint64_t delay_ns)
{
    replace(objects[timer].place, (struct entry){base_ns + delay_ns, &objects[timer]});
}

void timers_peer_cancel(unsigned timer)
{
    unsigned place = objects[timer].place;
    struct entry last = heap[--armed];
    if (place != armed)
        replace(place, last);
}

void timers_peer_settle(void)
{
}

void timers_peer_wake(void)
{
    /* the clock is read before each wait */
}
