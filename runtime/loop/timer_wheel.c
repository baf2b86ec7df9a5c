/* SPDX-License-Identifier: MIT */
/*
 * timer_wheel - see timer_wheel.h.
 *
 * Invariants   A timer in wheel w, slot s was put in for a tick t with (t >> 8w) % 256 == s that is
 *              0 to 255 slots of that wheel behind base. Its deadline is that tick's or later. No
 *              slot of a larger wheel that has timers begins before base: what begins first is
 *              taken first, and a larger slot before a smaller one that begins at the same time.
 */
#include "loop/timer_wheel.h"

/* Where a slot is. */
struct place {
    unsigned wheel;
    unsigned slot;
};

static unsigned shift_of(unsigned wheel)
{
    return wheel * GYRE__WHEEL_BITS;
}

/* How many slots of that wheel the tick is behind base. */
static uint64_t distance(const struct gyre__timer_wheel *wheel, unsigned which, uint64_t tick)
{
    return (tick >> shift_of(which)) - (wheel->base >> shift_of(which));
}

void gyre__timer_wheel_init(struct gyre__timer_wheel *wheel)
{
    *wheel = (struct gyre__timer_wheel){.beyond_from = UINT64_MAX};
}

/* Puts a timer at a list's head. Those before it have come lately, and so are in the cache. */
static void push(struct gyre_timer **list, struct gyre_timer *timer)
{
    const struct gyre_timer *second = *list != NULL ? (*list)->next : NULL;
    timer->ahead = second != NULL && second->next != NULL ? second->next->next : NULL;
    gyre__timer_link(list, timer);
}

void gyre__timer_wheel_insert(struct gyre__timer_wheel *wheel, struct gyre_timer *timer)
{
    uint64_t tick = gyre__timer_tick(timer->deadline_ns);
    unsigned which = 0;
    while (which < GYRE__WHEELS && distance(wheel, which, tick) >= GYRE__WHEEL_SLOTS)
        which++;
    wheel->count++;
    if (which == GYRE__WHEELS) {
        push(&wheel->beyond, timer);
        if (tick < wheel->beyond_from)
            wheel->beyond_from = tick;
        return;
    }
    unsigned slot = (tick >> shift_of(which)) % GYRE__WHEEL_SLOTS;
    push(&wheel->slots[which][slot], timer);
    wheel->used[which][slot / 64] |= UINT64_C(1) << slot % 64;
}

static void clear_bit(struct gyre__timer_wheel *wheel, unsigned which, unsigned slot)
{
    wheel->used[which][slot / 64] &= ~(UINT64_C(1) << slot % 64);
}

void gyre__timer_wheel_remove(struct gyre__timer_wheel *wheel, struct gyre_timer *timer)
{
    struct gyre_timer **link = timer->link;
    struct gyre_timer *next = timer->next;
    gyre__timer_unlink(timer);
    wheel->count--;
    /* Alone in its slot: the pointer to it was the slot itself. Compared as numbers, since it may
     * be in no array of ours. */
    uintptr_t at = (uintptr_t)link - (uintptr_t)&wheel->slots[0][0];
    if (next == NULL && at < sizeof(wheel->slots)) {
        unsigned index = (unsigned)(at / sizeof(struct gyre_timer *));
        clear_bit(wheel, index / GYRE__WHEEL_SLOTS, index % GYRE__WHEEL_SLOTS);
    }
}

/* The number of slots from `from` on, in a circle, to the first with a bit; 256: there is none. */
static unsigned find_bit(const uint64_t used[GYRE__WHEEL_SLOTS / 64], unsigned from)
{
    enum {
        WORDS = GYRE__WHEEL_SLOTS / 64
    };
    uint64_t word = used[from / 64] >> from % 64;
    if (word != 0)
        return (unsigned)__builtin_ctzll(word);
    for (unsigned i = 1; i <= WORDS; i++) { /* the last is the first again, for its lower bits */
        unsigned at = (from / 64 + i) % WORDS;
        if (used[at] != 0)
            return (i * 64 - from % 64 + (unsigned)__builtin_ctzll(used[at])) % GYRE__WHEEL_SLOTS;
    }
    return GYRE__WHEEL_SLOTS;
}

/* The first slot that has timers; larger ones come first. UINT64_MAX: none; else its tick. */
static uint64_t find_first(const struct gyre__timer_wheel *wheel, struct place *ret_place)
{
    uint64_t first = UINT64_MAX;
    for (unsigned which = GYRE__WHEELS; which-- > 0;) {
        uint64_t now = wheel->base >> shift_of(which);
        unsigned ahead = find_bit(wheel->used[which], now % GYRE__WHEEL_SLOTS);
        if (ahead == GYRE__WHEEL_SLOTS)
            continue;
        uint64_t tick = (now + ahead) << shift_of(which);
        if (tick < first) {
            first = tick;
            *ret_place = (struct place){which, (unsigned)((now + ahead) % GYRE__WHEEL_SLOTS)};
        }
    }
    return first;
}

/* Puts a list in again, at another base. */
static void insert_list(struct gyre__timer_wheel *wheel, struct gyre_timer *list)
{
    while (list != NULL) {
        struct gyre_timer *next = list->next;
        gyre__timer_prefetch(list);
        wheel->count--;
        gyre__timer_wheel_insert(wheel, list);
        list = next;
    }
}

static struct gyre_timer *take_slot(struct gyre__timer_wheel *wheel, struct place place)
{
    struct gyre_timer *list = wheel->slots[place.wheel][place.slot];
    wheel->slots[place.wheel][place.slot] = NULL;
    clear_bit(wheel, place.wheel, place.slot);
    return list;
}

/* Brings in what is beyond no longer. `first` is the tick of the wheels' first slot. */
static void bring_in(struct gyre__timer_wheel *wheel, uint64_t first)
{
    struct gyre_timer *list = wheel->beyond;
    for (const struct gyre_timer *at = list; at != NULL; at = at->next) {
        if (gyre__timer_tick(at->deadline_ns) < first)
            first = gyre__timer_tick(at->deadline_ns);
    }
    wheel->beyond = NULL;
    wheel->beyond_from = UINT64_MAX;
    wheel->base = first;
    insert_list(wheel, list);
}

struct gyre_timer *gyre__timer_wheel_take(struct gyre__timer_wheel *wheel, uint64_t until_ns)
{
    uint64_t until = gyre__timer_tick(until_ns);
    while (wheel->count > 0) {
        struct place place = {0};
        uint64_t first = find_first(wheel, &place);
        if ((first < wheel->beyond_from ? first : wheel->beyond_from) > until)
            return NULL;
        if (first >= wheel->beyond_from) {
            bring_in(wheel, first);
            continue;
        }
        struct gyre_timer *list = take_slot(wheel, place);
        wheel->base = first;
        if (place.wheel == 0) {
            wheel->base = first + 1;
            return list;
        }
        insert_list(wheel, list);
    }
    return NULL;
}

/* ---- all of them ----------------------------------------------------------------------------- */

void gyre__timer_wheel_turn_back(struct gyre__timer_wheel *wheel, uint64_t base)
{
    struct gyre_timer *all = wheel->beyond;
    wheel->beyond = NULL;
    wheel->beyond_from = UINT64_MAX;
    for (unsigned which = 0; which < GYRE__WHEELS; which++) {
        for (unsigned slot = 0; slot < GYRE__WHEEL_SLOTS; slot++) {
            struct gyre_timer *list = wheel->slots[which][slot];
            wheel->slots[which][slot] = NULL;
            while (list != NULL) {
                struct gyre_timer *next = list->next;
                list->next = all;
                all = list;
                list = next;
            }
        }
        for (unsigned word = 0; word < GYRE__WHEEL_SLOTS / 64; word++)
            wheel->used[which][word] = 0;
    }
    wheel->base = base;
    insert_list(wheel, all);
}

bool gyre__timer_wheel_walk(const struct gyre__timer_wheel *wheel, gyre__timer_visit_fn *visit,
                            void *arg)
{
    for (unsigned index = 0; index <= GYRE__WHEELS * GYRE__WHEEL_SLOTS; index++) {
        const struct gyre_timer *at =
            index == GYRE__WHEELS * GYRE__WHEEL_SLOTS
                ? wheel->beyond
                : wheel->slots[index / GYRE__WHEEL_SLOTS][index % GYRE__WHEEL_SLOTS];
        for (; at != NULL; at = at->next) {
            if (!visit(at, arg))
                return false;
        }
    }
    return true;
}

/* Whether a slot's list, its bit and its timers agree. */
static bool is_slot_valid(const struct gyre__timer_wheel *wheel, struct place place,
                          uint64_t *count)
{
    struct gyre_timer *const *link = &wheel->slots[place.wheel][place.slot];
    uint64_t now = wheel->base >> shift_of(place.wheel);
    uint64_t ahead = (place.slot - now) % GYRE__WHEEL_SLOTS;
    uint64_t tick = (now + ahead) << shift_of(place.wheel);
    bool used = (wheel->used[place.wheel][place.slot / 64] >> place.slot % 64 & 1) != 0;
    if (used != (*link != NULL) || (used && tick < wheel->base))
        return false;
    for (; *link != NULL; link = &(*link)->next, ++*count) {
        if ((*link)->link != link || gyre__timer_tick((*link)->deadline_ns) < tick)
            return false;
    }
    return true;
}

bool gyre__timer_wheel_valid(const struct gyre__timer_wheel *wheel)
{
    uint64_t count = 0;
    for (unsigned which = 0; which < GYRE__WHEELS; which++) {
        for (unsigned slot = 0; slot < GYRE__WHEEL_SLOTS; slot++) {
            if (!is_slot_valid(wheel, (struct place){which, slot}, &count))
                return false;
        }
    }
    struct gyre_timer *const *link = &wheel->beyond;
    for (; *link != NULL; link = &(*link)->next, count++) {
        if ((*link)->link != link || gyre__timer_tick((*link)->deadline_ns) < wheel->beyond_from)
            return false;
    }
    return count == wheel->count;
}
