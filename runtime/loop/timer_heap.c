/* SPDX-License-Identifier: MIT */
/*
 * timer_heap - see timer_heap.h.
 */
#include "loop/timer_heap.h"

#include "contract/port.h"

static bool key_before(const struct gyre_timer *a, const struct gyre_timer *b)
{
    return a->key_ns != b->key_ns ? a->key_ns < b->key_ns : a->key_order < b->key_order;
}

/* Joins two heaps that are linked nowhere, either of which may be NULL. */
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
    gyre__timer_link(&a->child, b);
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
        a = meld(a, b);
        a->next = pairs;
        pairs = a;
    }
    struct gyre_timer *root = NULL;
    while (pairs != NULL) {
        struct gyre_timer *next = pairs->next;
        root = meld(root, pairs);
        pairs = next;
    }
    return root;
}

static void set_root(struct gyre__timer_heap *heap, struct gyre_timer *root)
{
    heap->root = root;
    if (root != NULL) {
        root->next = NULL;
        root->link = &heap->root;
    }
}

void gyre__timer_heap_insert(struct gyre__timer_heap *heap, struct gyre_timer *timer)
{
    timer->key_ns = timer->deadline_ns;
    timer->key_order = timer->order;
    timer->child = NULL;
    set_root(heap, meld(heap->root, timer));
    heap->count++;
}

void gyre__timer_heap_remove(struct gyre__timer_heap *heap, struct gyre_timer *timer)
{
    gyre__timer_unlink(timer);
    if (timer->child != NULL)
        set_root(heap, meld(heap->root, meld_list(timer->child)));
    heap->count--;
}

/* ---- all of them ----------------------------------------------------------------------------- */

struct gyre_timer *gyre__timer_heap_take_all(struct gyre__timer_heap *heap)
{
    struct gyre_timer *all = heap->root;
    struct gyre_timer *last = all;
    for (struct gyre_timer *at = all; at != NULL; at = at->next) {
        last->next = at->child; /* behind all that were met: each list of children is walked once */
        while (last->next != NULL)
            last = last->next;
    }
    *heap = (struct gyre__timer_heap){0};
    return all;
}

/* With a stack of its own: a heap may be as deep as it has timers. */
static bool walk(const struct gyre__timer_heap *heap, const struct gyre_timer **stack,
                 gyre__timer_visit_fn *visit, void *arg)
{
    uint64_t depth = 0;
    stack[depth++] = heap->root;
    while (depth > 0) {
        const struct gyre_timer *at = stack[--depth];
        if (!visit(at, arg))
            return false;
        if (at->next != NULL)
            stack[depth++] = at->next;
        if (at->child != NULL)
            stack[depth++] = at->child;
    }
    return true;
}

bool gyre__timer_heap_walk(const struct gyre__timer_heap *heap, gyre__timer_visit_fn *visit,
                           void *arg)
{
    if (heap->root == NULL)
        return true;
    const struct gyre_timer **stack = gyre__port_allocate((heap->count + 1) * sizeof(*stack));
    if (stack == NULL)
        return false;
    bool all = walk(heap, stack, visit, arg);
    gyre__port_release(stack, (heap->count + 1) * sizeof(*stack));
    return all;
}

static bool is_valid(const struct gyre_timer *timer, void *arg)
{
    uint64_t *count = arg;
    for (const struct gyre_timer *child = timer->child; child != NULL; child = child->next) {
        if (!key_before(timer, child))
            return false;
    }
    ++*count;
    return timer->key_ns <= timer->deadline_ns && timer->key_order <= timer->order &&
           *timer->link == timer && (timer->next == NULL || timer->next->link == &timer->next) &&
           (timer->child == NULL || timer->child->link == &timer->child);
}

bool gyre__timer_heap_valid(const struct gyre__timer_heap *heap)
{
    uint64_t count = 0;
    return (heap->root == NULL || (heap->root->link == &heap->root && heap->root->next == NULL)) &&
           gyre__timer_heap_walk(heap, is_valid, &count) && count == heap->count;
}
