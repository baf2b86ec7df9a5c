/* SPDX-License-Identifier: MIT */
/*
 * door - the one way into a loop from any other thread.
 *
 * What     Many posters, one taker. The owner takes everything in one step and gets it oldest
 *          first.
 * Why      The head is queue, sleep flag and closed flag in one word, so that no poster can publish
 *          work and then misread whether the owner sleeps. A separate flag was rejected: it needs a
 *          store-load fence on both sides, and is the field's commonest bug.
 * States   EMPTY -> node   post          ARMED -> node   post, and that poster wakes the owner
 *          node  -> node   post          node  -> EMPTY  the owner took all
 *          EMPTY -> ARMED  owner sleeps  ARMED -> EMPTY  owner woke for another reason
 *          any   -> CLOSED owner closes; nothing leaves CLOSED
 *
 *            head --> newest --> ... --> oldest --> NULL
 *
 * Order    A post releases; take and close acquire. Every change of the head is a
 *          read-modify-write, so that one acquire sees the stores of all posters in the list: they
 *          form one release sequence. Nothing else needs an order, since the head is the only word:
 *          tests/model/door.pml.
 * Wakes    Each arming is replaced by one poster at most: wakes written <= sleeps.
 * Threads           post  take  arm  disarm  close
 *          post      -     -    -      -       -     '-' safe together
 *          take, arm, disarm, close: the owner only, so never together among themselves
 */
#ifndef GYRE_LOOP_DOOR_H
#define GYRE_LOOP_DOOR_H

#include <stdatomic.h>

#include <gyre/task.h>

/* What the head can be besides the newest node: small numbers that no task's address is. EMPTY is
 * NULL, so that a list taken from a posted head ends by itself. */
#define GYRE__DOOR_EMPTY ((struct gyre_task *)0)
#define GYRE__DOOR_ARMED ((struct gyre_task *)1)
#define GYRE__DOOR_CLOSED ((struct gyre_task *)2)

struct gyre__door {
    struct gyre_task *_Atomic head;
};

enum gyre__door_posted {
    GYRE__DOOR_POSTED, /* the owner is awake */
    GYRE__DOOR_POSTED_WAKE /* the owner sleeps: the caller, and nobody else, rings the waker */
};

void gyre__door_init(struct gyre__door *door);

/* Posts a chain that runs from `newest` over `next` to `oldest`. -ESHUTDOWN: closed.
 * Async-signal-safe. */
int gyre__door_post(struct gyre__door *door, struct gyre_task *newest, struct gyre_task *oldest);

/* Whether there is something to take. */
static inline bool gyre__door_has_posts(const struct gyre__door *door)
{
    /* relaxed: a post that is missed here makes arm fail, and is taken then */
    return (uintptr_t)atomic_load_explicit(&door->head, memory_order_relaxed) >
           (uintptr_t)GYRE__DOOR_CLOSED;
}

/* Takes all, newest first; NULL if there is nothing. */
struct gyre_task *gyre__door_take(struct gyre__door *door);

/* Announces that the owner is about to sleep. False: there is work. */
bool gyre__door_arm(struct gyre__door *door);

/* Takes the announcement back, if no poster has. */
void gyre__door_disarm(struct gyre__door *door);

/* Whether it has closed: any thread. */
bool gyre__door_is_closed(const struct gyre__door *door);

/* Closes, and takes what was there, newest first. */
struct gyre_task *gyre__door_close(struct gyre__door *door);

#endif
