/* SPDX-License-Identifier: MIT */
/*
 * timer - see timer.h for the structure.
 *
 * Invariants   A NEAR timer's key is at most its (deadline, order), and its key's tick is before
 *              the wheel's base. A FAR timer's tick is not. The due list is in firing order, and a
 *              nested run adds to its end.
 */
#include "loop/timer.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

_Static_assert(sizeof(struct gyre_timer) == 112, "a change of size is a change of the ABI");
_Static_assert(offsetof(struct gyre_timer, fn) == 64, "what is touched often is one line");

void gyre__timers_init(struct gyre__timers *timers)
{
    *timers = (struct gyre__timers){.due_end = NULL};
    timers->due_end = &timers->due;
    gyre__timer_wheel_init(&timers->far);
}

/* ---- places ---------------------------------------------------------------------------------- */

static void enter_near(struct gyre__timers *timers, struct gyre_timer *timer)
{
    timer->state = GYRE__TIMER_NEAR;
    gyre__timer_heap_insert(&timers->near, timer);
}

static void enter_far(struct gyre__timers *timers, struct gyre_timer *timer)
{
    timer->state = GYRE__TIMER_FAR;
    gyre__timer_wheel_insert(&timers->far, timer);
}

/* Moves all of the heap into the wheel, which is turned back to the first of them. */
static void turn_back(struct gyre__timers *timers)
{
    uint64_t base = gyre__timer_tick(timers->near.root->key_ns); /* or later: none is earlier */
    struct gyre_timer *list = gyre__timer_heap_take_all(&timers->near);
    timers->near_added = 0;
    gyre__timer_wheel_turn_back(&timers->far, base);
    while (list != NULL) {
        struct gyre_timer *next = list->next;
        enter_far(timers, list);
        list = next;
    }
}

/* So many were put into the heap, rather than found in a slot, that it is time to turn back. */
static bool is_crowded(const struct gyre__timers *timers)
{
    uint64_t all = timers->near.count + timers->far.count;
    return timers->near_added > GYRE__TIMERS_NEAR + all / GYRE__TIMERS_NEAR_SHARE;
}

/* Puts an armed timer where it belongs. */
static void enter(struct gyre__timers *timers, struct gyre_timer *timer)
{
    uint64_t tick = gyre__timer_tick(timer->deadline_ns);
    if (tick >= timers->far.base) {
        if (timers->far.count != 0 || timers->near.count >= GYRE__TIMERS_NEAR) {
            enter_far(timers, timer);
            return;
        }
        timers->far.base = tick + 1; /* the wheel is empty: it may stand anywhere */
    }
    timers->near_added = timers->near.count == 0 ? 1 : timers->near_added + 1;
    enter_near(timers, timer);
    if (is_crowded(timers))
        turn_back(timers);
}

static inline void leave(struct gyre__timers *timers, struct gyre_timer *timer)
{
    if (timer->state == GYRE__TIMER_FAR) {
        gyre__timer_wheel_remove(&timers->far, timer);
    } else if (timer->state == GYRE__TIMER_NEAR) {
        gyre__timer_heap_remove(&timers->near, timer);
    } else {
        if (timer->next == NULL)
            timers->due_end = timer->link;
        gyre__timer_unlink(timer);
    }
}

/* Whether it may be where it is for that deadline, later than its place, or as early but behind: it
 * is put right when it comes up. */
static bool may_stay(const struct gyre_timer *timer, uint64_t deadline_ns)
{
    if (timer->state == GYRE__TIMER_FAR)
        return deadline_ns >= timer->deadline_ns;
    return timer->state == GYRE__TIMER_NEAR && deadline_ns >= timer->key_ns;
}

void gyre__timers_start(struct gyre__timers *timers, struct gyre_timer *timer, uint64_t deadline_ns)
{
    bool stays = may_stay(timer, deadline_ns);
    timer->deadline_ns = deadline_ns;
    timer->order = ++timers->order;
    if (stays)
        return;
    if (timer->state == GYRE__TIMER_IDLE)
        gyre__counter_add(&timers->armed, 1);
    else
        leave(timers, timer);
    enter(timers, timer);
}

static inline void disarm(struct gyre__timers *timers, struct gyre_timer *timer)
{
    leave(timers, timer);
    timer->state = GYRE__TIMER_IDLE;
    gyre__counter_set(&timers->armed, gyre__counter_read(&timers->armed) - 1);
}

void gyre__timers_stop(struct gyre__timers *timers, struct gyre_timer *timer)
{
    if (timer->state == GYRE__TIMER_IDLE)
        return;
    disarm(timers, timer);
    gyre__counter_add(&timers->cancelled, 1);
    struct gyre_context *context = timer->context;
    timer->context = NULL;
    gyre__context_drop(context); /* last: it may call the user's release, and that the loop */
}

/* ---- what comes up --------------------------------------------------------------------------- */

/* The heap's front, made true; NULL: the heap is empty. */
static struct gyre_timer *find_front(struct gyre__timers *timers)
{
    struct gyre_timer *front = timers->near.root;
    while (front != NULL && !gyre__timer_heap_is_true(front)) {
        gyre__timer_heap_remove(&timers->near, front);
        enter(timers, front);
        front = timers->near.root;
    }
    return front;
}

/* Puts the timers of a slot into the heap, but for those that were armed for later. */
static void enter_slot(struct gyre__timers *timers, struct gyre_timer *list)
{
    while (list != NULL) {
        struct gyre_timer *next = list->next;
        timers->far.count--;
        if (gyre__timer_tick(list->deadline_ns) >= timers->far.base)
            enter_far(timers, list);
        else
            enter_near(timers, list);
        list = next;
    }
}

uint64_t gyre__timers_next(struct gyre__timers *timers)
{
    struct gyre_timer *front;
    while ((front = find_front(timers)) == NULL && timers->far.count > 0)
        enter_slot(timers, gyre__timer_wheel_take(&timers->far, GYRE_NEVER));
    return front != NULL ? front->deadline_ns : GYRE_NEVER;
}

/* The timers gathered last: none can have gone since. */
struct gathered {
    struct gyre_timer *last[4];
    unsigned next;
};

static void append_due(struct gyre__timers *timers, struct gathered *gathered,
                       struct gyre_timer *timer)
{
    struct gyre_timer **before = &gathered->last[gathered->next++ % 4];
    if (*before != NULL)
        (*before)->ahead = timer;
    *before = timer;
    timer->ahead = NULL;
    timer->state = GYRE__TIMER_DUE;
    timer->next = NULL;
    timer->link = timers->due_end;
    *timers->due_end = timer;
    timers->due_end = &timer->next;
}

static bool is_before(const struct gyre_timer *a, const struct gyre_timer *b)
{
    return a->deadline_ns != b->deadline_ns ? a->deadline_ns < b->deadline_ns : a->order < b->order;
}

static struct gyre_timer *merge(struct gyre_timer *a, struct gyre_timer *b)
{
    struct gyre_timer *merged = NULL;
    struct gyre_timer **end = &merged;
    while (a != NULL && b != NULL) {
        struct gyre_timer **first = is_before(b, a) ? &b : &a;
        *end = *first;
        end = &(*first)->next;
        *first = *end;
    }
    *end = a != NULL ? a : b;
    return merged;
}

/* Sorts a list: run i, if there is one, has 2^i timers. More than 2^40 fit no memory. */
static struct gyre_timer *sort(struct gyre_timer *list)
{
    if (list == NULL || list->next == NULL)
        return list;
    struct gyre_timer *runs[40] = {NULL};
    unsigned top = 0;
    while (list != NULL) {
        struct gyre_timer *run = list;
        unsigned i = 0;
        list = list->next;
        run->next = NULL;
        for (; runs[i] != NULL; i++) {
            run = merge(runs[i], run);
            runs[i] = NULL;
        }
        runs[i] = run;
        top = i > top ? i : top;
    }
    for (unsigned i = 0; i <= top; i++)
        list = merge(runs[i], list);
    return list;
}

/* Gathers a slot: what is due goes behind the due ones, the rest where it belongs. */
static void gather_slot(struct gyre__timers *timers, struct gathered *gathered,
                        struct gyre_timer *list, uint64_t now_ns)
{
    struct gyre_timer *due = NULL;
    while (list != NULL) {
        struct gyre_timer *next = list->next;
        timers->far.count--;
        if (gyre__timer_tick(list->deadline_ns) >= timers->far.base) {
            enter_far(timers, list);
        } else if (list->deadline_ns > now_ns) {
            enter_near(timers, list);
        } else {
            list->next = due;
            due = list;
        }
        list = next;
    }
    due = sort(due);
    while (due != NULL) {
        struct gyre_timer *next = due->next;
        append_due(timers, gathered, due);
        due = next;
    }
}

void gyre__timers_gather(struct gyre__timers *timers, uint64_t now_ns)
{
    struct gathered gathered = {.next = 0};
    struct gyre_timer *front;
    struct gyre_timer *slot;
    do {
        while ((front = find_front(timers)) != NULL && front->deadline_ns <= now_ns) {
            gyre__timer_heap_remove(&timers->near, front);
            append_due(timers, &gathered, front);
        }
        slot = front == NULL ? gyre__timer_wheel_take(&timers->far, now_ns) : NULL;
        if (slot != NULL)
            gather_slot(timers, &gathered, slot, now_ns);
    } while (slot != NULL);
}

/* Ends the timer's part in the loop; from here on its memory is the user's, or its slot free. */
static struct gyre__message fire(struct gyre__timers *timers, struct gyre_timer *timer)
{
    struct gyre__message call = {timer->fn, timer->arg, timer->context};
    timer->context = NULL; /* the call's now */
    disarm(timers, timer);
    if (timer->handle != 0)
        gyre__calls_give(&timers->calls, timer);
    return call;
}

bool gyre__timers_take_due(struct gyre__timers *timers, struct gyre__message *ret_message)
{
    if (timers->due == NULL)
        return false;
    gyre__timer_prefetch(timers->due);
    if (timers->due->next != NULL)
        __builtin_prefetch(&timers->due->next->fn); /* its other line */
    *ret_message = fire(timers, timers->due);
    return true;
}

bool gyre__timers_take_any(struct gyre__timers *timers, struct gyre__message *ret_message)
{
    (void)gyre__timers_next(timers); /* for its side: the front is true then */
    struct gyre_timer *timer = timers->due != NULL ? timers->due : timers->near.root;
    if (timer == NULL)
        return false;
    gyre__counter_add(&timers->cancelled, 1);
    *ret_message = fire(timers, timer);
    return true;
}

void gyre__timers_deinit(struct gyre__timers *timers)
{
    gyre__calls_deinit(&timers->calls);
}

/* ---- all of them ----------------------------------------------------------------------------- */

bool gyre__timers_walk(const struct gyre__timers *timers, gyre__timer_visit_fn *visit, void *arg)
{
    for (const struct gyre_timer *at = timers->due; at != NULL; at = at->next) {
        if (!visit(at, arg))
            return false;
    }
    return gyre__timer_heap_walk(&timers->near, visit, arg) &&
           gyre__timer_wheel_walk(&timers->far, visit, arg);
}

/* What all timers of a place have in common. */
struct census {
    enum gyre__timer_state state;
    uint64_t base;
    uint64_t count;
};

static bool is_in_place(const struct gyre_timer *timer, void *arg)
{
    struct census *census = arg;
    census->count++;
    if (timer->state == GYRE__TIMER_NEAR && gyre__timer_tick(timer->key_ns) >= census->base)
        return false;
    if (timer->state == GYRE__TIMER_FAR && gyre__timer_tick(timer->deadline_ns) < census->base)
        return false;
    return timer->state == census->state;
}

static bool is_due_list_valid(const struct gyre__timers *timers, struct census *census)
{
    struct gyre_timer *const *link = &timers->due;
    for (; *link != NULL; link = &(*link)->next) {
        if (!is_in_place(*link, census) || (*link)->link != link)
            return false;
    }
    return link == timers->due_end;
}

bool gyre__timers_valid(const struct gyre__timers *timers)
{
    struct census census = {.state = GYRE__TIMER_DUE, .base = timers->far.base};
    if (!is_due_list_valid(timers, &census) || !gyre__timer_heap_valid(&timers->near) ||
        !gyre__timer_wheel_valid(&timers->far))
        return false;
    census.state = GYRE__TIMER_NEAR;
    if (!gyre__timer_heap_walk(&timers->near, is_in_place, &census))
        return false;
    census.state = GYRE__TIMER_FAR;
    return gyre__timer_wheel_walk(&timers->far, is_in_place, &census) &&
           census.count == gyre__counter_read(&timers->armed);
}

/* ---- the public functions -------------------------------------------------------------------- */

void gyre_timer_init(struct gyre_timer *timer, struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    *timer = (struct gyre_timer){.loop = loop, .fn = fn, .arg = arg};
}

void gyre__timer_arm(struct gyre_timer *timer, uint64_t deadline_ns)
{
    struct gyre_loop *loop = timer->loop;
    struct gyre_context *before = timer->context;
    timer->context = gyre__context_capture();
    timer->forks = loop->forks;
    gyre__timers_start(&loop->timers, timer, deadline_ns);
    gyre__context_drop(before); /* last: it may start or stop the timer, or close the loop */
}

/* noinline: else its registers are saved and restored around the usual case, too. */
__attribute__((noinline)) static int start_anywhere(struct gyre_timer *timer, uint64_t deadline_ns)
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
    gyre__timer_arm(timer, deadline_ns);
    return 0;
}

int gyre_timer_start(struct gyre_timer *timer, uint64_t deadline_ns)
{
    struct gyre_loop *loop = timer->loop;
    /* An idle timeout that is put off, by far the most frequent start there is: the rest of this is
     * what start_anywhere would do. GYRE_NEVER is less than any, plus one. */
    if (timer->state == GYRE__TIMER_FAR && deadline_ns + 1 > timer->deadline_ns &&
        gyre__loop_is_inside(loop) && timer->context == gyre__thread.context) {
        timer->deadline_ns = deadline_ns;
        timer->order = ++loop->timers.order;
        return 0;
    }
    return start_anywhere(timer, deadline_ns);
}

int gyre__timer_start_own(struct gyre_timer *timer, uint64_t deadline_ns)
{
    struct gyre_context *before = gyre_context_enter(NULL);
    int r = gyre_timer_start(timer, deadline_ns);
    (void)gyre_context_enter(before);
    return r;
}

int gyre_timer_stop(struct gyre_timer *timer)
{
    /* An idle timer of a loop that is gone may be stopped: the loop is not looked at. */
    if (timer->state == GYRE__TIMER_IDLE)
        return 0;
    if (gyre__timer_is_inherited(timer))
        return -ECHILD;
    int r = gyre__loop_check_owner(timer->loop, "gyre_timer_stop");
    if (r == 0)
        gyre__timers_stop(&timer->loop->timers, timer);
    return r;
}

bool gyre_timer_is_armed(const struct gyre_timer *timer)
{
    return timer->state != GYRE__TIMER_IDLE;
}
