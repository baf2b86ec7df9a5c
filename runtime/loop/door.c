/* SPDX-License-Identifier: MIT */
/*
 * door - see door.h for the states and the ordering argument.
 */
#include "loop/door.h"

#include <gyre/error.h>

#define EMPTY GYRE__DOOR_EMPTY
#define ARMED GYRE__DOOR_ARMED
#define CLOSED GYRE__DOOR_CLOSED

void gyre__door_init(struct gyre__door *door)
{
    atomic_init(&door->head, EMPTY);
}

int gyre__door_post(struct gyre__door *door, struct gyre_task *newest, struct gyre_task *oldest)
{
    /* relaxed: a wrong guess only costs the exchange below another try */
    struct gyre_task *head = atomic_load_explicit(&door->head, memory_order_relaxed);
    do {
        if (head == CLOSED)
            return -ESHUTDOWN;
        oldest->next = head == ARMED ? EMPTY : head;
        /* release: pairs with the acquire of take and close, and shows them the tasks' members */
    } while (!atomic_compare_exchange_weak_explicit(&door->head, &head, newest,
                                                    memory_order_release, memory_order_relaxed));
    return head == ARMED ? GYRE__DOOR_POSTED_WAKE : GYRE__DOOR_POSTED;
}

struct gyre_task *gyre__door_take(struct gyre__door *door)
{
    if (!gyre__door_has_posts(door))
        return NULL;
    /* acquire: pairs with every post's release in the list */
    return atomic_exchange_explicit(&door->head, EMPTY, memory_order_acquire);
}

bool gyre__door_arm(struct gyre__door *door)
{
    struct gyre_task *expected = EMPTY;
    /* relaxed: nothing travels with the mark, and the poster that replaces it orders its own stores
     * */
    return atomic_compare_exchange_strong_explicit(&door->head, &expected, ARMED,
                                                   memory_order_relaxed, memory_order_relaxed);
}

void gyre__door_disarm(struct gyre__door *door)
{
    struct gyre_task *expected = ARMED;
    /* relaxed: as in arm; if it fails a post is there, and take acquires it */
    (void)atomic_compare_exchange_strong_explicit(&door->head, &expected, EMPTY,
                                                  memory_order_relaxed, memory_order_relaxed);
}

bool gyre__door_is_closed(const struct gyre__door *door)
{
    /* relaxed: nothing leaves CLOSED, and nothing is read by it */
    return atomic_load_explicit(&door->head, memory_order_relaxed) == CLOSED;
}

struct gyre_task *gyre__door_close(struct gyre__door *door)
{
    /* acquire: as in take */
    struct gyre_task *head = atomic_exchange_explicit(&door->head, CLOSED, memory_order_acquire);
    return head == ARMED || head == CLOSED ? NULL : head;
}
