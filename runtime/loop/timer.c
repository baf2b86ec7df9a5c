/* SPDX-License-Identifier: MIT */
/*
 * timer - see timer.h for the structure.
 *
 * Invariants   A HEAPED timer's key is at most its (deadline, order); a parent's key is below its
 *              children's. `root` has neither prev nor next. The due list is in firing order, and a
 *              nested run adds to its end.
 */
#include "loop/timer.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

_Static_assert(sizeof(struct gyre_timer) == 112, "a change of size is a change of the ABI");

static bool key_before(const struct gyre_timer *a, const struct gyre_timer *b)
{
    return a->key_ns != b->key_ns ? a->key_ns < b->key_ns : a->key_order < b->key_order;
}

/* Joins two heaps, either of which may be NULL. */
static struct gyre_timer *meld(struct gyre_timer *a, struct gyre_timer *b)
{
    if (a == NULL)
        return b;
    if (b == NULL)
        return a;
    if (key_before(b, a)) {
        struct gyre_timer *swap = a;
        a = b;
        b = swap;
    }
    b->prev = a;
    b->next = a->child;
    if (a->child != NULL)
        a->child->prev = b;
    a->child = b;
    a->next = NULL;
    a->prev = NULL;
    return a;
}

/* Joins a list of heaps into one: in pairs from the left, then those from the right. */
static struct gyre_timer *meld_list(struct gyre_timer *first)
{
    struct gyre_timer *pairs = NULL;
    while (first != NULL) {
        struct gyre_timer *a = first;
        struct gyre_timer *b = a->next;
        first = b != NULL ? b->next : NULL;
        a->next = NULL;
        a->prev = NULL;
        if (b != NULL) {
            b->next = NULL;
            b->prev = NULL;
        }
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct gyre_timer *root = NULL;
    while (pairs != NULL) {
        struct gyre_timer *next = pairs->next;
        pairs->next = NULL;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void heap_insert(struct gyre__timers *timers, struct gyre_timer *timer)
{
    timer->key_ns = timer->deadline_ns;
    timer->key_order = timer->order;
    timer->child = NULL;
    timer->next = NULL;
    timer->prev = NULL;
    timer->state = GYRE__TIMER_HEAPED;
    timers->root = meld(timers->root, timer);
}

static void heap_remove(struct gyre__timers *timers, struct gyre_timer *timer)
{
    struct gyre_timer *rest = meld_list(timer->child);
    if (timer == timers->root) {
        timers->root = rest;
        return;
    }
    if (timer->prev->child == timer)
        timer->prev->child = timer->next;
    else
        timer->prev->next = timer->next;
    if (timer->next != NULL)
        timer->next->prev = timer->prev;
    timers->root = meld(timers->root, rest);
}

static void due_append(struct gyre__timers *timers, struct gyre_timer *timer)
{
    timer->state = GYRE__TIMER_DUE;
    timer->next = NULL;
    timer->prev = timers->due_last;
    if (timers->due_last != NULL)
        timers->due_last->next = timer;
    else
        timers->due = timer;
    timers->due_last = timer;
}

static void due_remove(struct gyre__timers *timers, struct gyre_timer *timer)
{
    if (timer->prev != NULL)
        timer->prev->next = timer->next;
    else
        timers->due = timer->next;
    if (timer->next != NULL)
        timer->next->prev = timer->prev;
    else
        timers->due_last = timer->prev;
}

void gyre__timers_start(struct gyre__timers *timers, struct gyre_timer *timer, uint64_t deadline_ns)
{
    uint64_t order = ++timers->order;
    if (timer->state == GYRE__TIMER_HEAPED) {
        timer->deadline_ns = deadline_ns;
        timer->order = order;
        /* Later, or as early but behind: the key may stay, and is mended at the front. */
        if (deadline_ns >= timer->key_ns)
            return;
        heap_remove(timers, timer);
    } else {
        if (timer->state == GYRE__TIMER_DUE)
            due_remove(timers, timer);
        else
            timers->armed++;
        timer->deadline_ns = deadline_ns;
        timer->order = order;
    }
    heap_insert(timers, timer);
}

void gyre__timers_stop(struct gyre__timers *timers, struct gyre_timer *timer)
{
    if (timer->state == GYRE__TIMER_IDLE)
        return;
    if (timer->state == GYRE__TIMER_HEAPED)
        heap_remove(timers, timer);
    else
        due_remove(timers, timer);
    timer->state = GYRE__TIMER_IDLE;
    timers->armed--;
    gyre__context_drop(timer->context);
    timer->context = NULL;
}

uint64_t gyre__timers_next(struct gyre__timers *timers)
{
    struct gyre_timer *front = timers->root;
    while (front != NULL && front->key_order != front->order) {
        heap_remove(timers, front);
        heap_insert(timers, front);
        front = timers->root;
    }
    return front != NULL ? front->deadline_ns : GYRE_NEVER;
}

void gyre__timers_gather(struct gyre__timers *timers, uint64_t now_ns)
{
    while (gyre__timers_next(timers) <= now_ns && timers->root != NULL) {
        struct gyre_timer *timer = timers->root;
        heap_remove(timers, timer);
        due_append(timers, timer);
    }
}

/* Ends the timer's part in the loop; from here on its memory is the user's, or its slot free. */
static struct gyre__timer_call fire(struct gyre__timers *timers, struct gyre_timer *timer)
{
    struct gyre__timer_call call = {timer->fn, timer->arg, timer->context};
    timer->context = NULL; /* the call's now */
    gyre__timers_stop(timers, timer);
    if (timer->handle != 0)
        gyre__calls_give(&timers->calls, timer);
    return call;
}

bool gyre__timers_take_due(struct gyre__timers *timers, struct gyre__timer_call *ret_call)
{
    if (timers->due == NULL)
        return false;
    *ret_call = fire(timers, timers->due);
    return true;
}

bool gyre__timers_take_any(struct gyre__timers *timers, struct gyre__timer_call *ret_call)
{
    (void)gyre__timers_next(timers); /* for its side: the front is true then */
    struct gyre_timer *timer = timers->due != NULL ? timers->due : timers->root;
    if (timer == NULL)
        return false;
    *ret_call = fire(timers, timer);
    return true;
}

void gyre__timers_deinit(struct gyre__timers *timers)
{
    gyre__calls_deinit(&timers->calls);
}

static const struct gyre_timer *parent_of(const struct gyre_timer *timer)
{
    while (timer->prev != NULL && timer->prev->child != timer)
        timer = timer->prev;
    return timer->prev;
}

static bool valid_in_heap(const struct gyre_timer *timer)
{
    const struct gyre_timer *parent = parent_of(timer);
    return timer->state == GYRE__TIMER_HEAPED && timer->key_ns <= timer->deadline_ns &&
           timer->key_order <= timer->order &&
           (timer->next == NULL || timer->next->prev == timer) &&
           (timer->child == NULL || timer->child->prev == timer) &&
           (parent == NULL || key_before(parent, timer));
}

/* Walks the heap in preorder, without recursion: a list of heaps may be long, and so may a path. */
bool gyre__timers_valid(const struct gyre__timers *timers)
{
    uint64_t count = 0;
    const struct gyre_timer *at = timers->root;
    if (at != NULL && (at->prev != NULL || at->next != NULL))
        return false;
    while (at != NULL) {
        count++;
        if (!valid_in_heap(at))
            return false;
        if (at->child != NULL) {
            at = at->child;
            continue;
        }
        while (at != NULL && at->next == NULL)
            at = parent_of(at);
        if (at != NULL)
            at = at->next;
    }
    for (at = timers->due; at != NULL; at = at->next, count++) {
        if (at->state != GYRE__TIMER_DUE || (at->next == NULL) != (at == timers->due_last))
            return false;
    }
    return count == timers->armed;
}

/* ---- the public functions -------------------------------------------------------------------- */

void gyre_timer_init(struct gyre_timer *timer, struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    *timer = (struct gyre_timer){.loop = loop, .fn = fn, .arg = arg};
}

int gyre_timer_start(struct gyre_timer *timer, uint64_t deadline_ns)
{
    struct gyre_loop *loop = timer->loop;
    int r = gyre__loop_check_owner(loop, "gyre_timer_start");
    if (r != 0)
        return r;
    if (loop->closed)
        return -ESHUTDOWN;
    if (deadline_ns == GYRE_NEVER) {
        gyre__timers_stop(&loop->timers, timer);
        return 0;
    }
    if (timer->context != gyre__thread.context) {
        gyre__context_drop(timer->context);
        timer->context = gyre__context_capture();
    }
    gyre__timers_start(&loop->timers, timer, deadline_ns);
    return 0;
}

int gyre_timer_stop(struct gyre_timer *timer)
{
    /* An idle timer of a loop that is gone may be stopped: the loop is not looked at. */
    if (timer->state == GYRE__TIMER_IDLE)
        return 0;
    int r = gyre__loop_check_owner(timer->loop, "gyre_timer_stop");
    if (r == 0)
        gyre__timers_stop(&timer->loop->timers, timer);
    return r;
}

bool gyre_timer_is_armed(const struct gyre_timer *timer)
{
    return timer->state != GYRE__TIMER_IDLE;
}
