/* SPDX-License-Identifier: MIT */
/*
 * work_queue - the bounded queue of an executor: many submit, many workers take and sleep.
 *
 * What     A ring of cells with sequence numbers (D. Vyukov's), and one word that counts what is in
 *          it, who sleeps, and whether somebody is being woken.
 * Word     63: closed   48: waking   32-47: sleepers   0-31: items
 * Why      A worker goes to sleep by a change of the very word in which it saw no items, and a
 *          submitter adds its item to that word: one of the two comes first, and the other sees it.
 *          So no wake-up is lost, and no store-load fence is needed. A mutex with a condition is
 *          the raw peer of the bench's case: docs/executor.md.
 * Waking   At most one worker is being woken at a time, by whoever takes it off the sleepers; when
 *          it comes it ends that state, and if it leaves items behind it wakes the next. So work
 *          that is short costs a submitter one system call at most, and work that blocks still gets
 *          all the threads, each one wake after the other.
 * Wakes    `wakes` holds what was given and not met: a sleeper takes one, or parks while there is
 *          none.
 * Items    are counted after they are in the ring. Who has taken one off the count takes one out of
 *          the ring, the oldest; its cell may belong to a submitter that has its place and has not
 *          filled it yet, a few instructions later: then the taker spins.
 * Closing  takes all items off the count, for the closer to take out. A submitter that finds the
 *          queue closed when its item is in the ring takes one out in turn, perhaps another's.
 * Model    tests/model/executor.pml.
 * Threads         put  take  close  pop
 *          put     -    -     -      -      '-' safe together; close: once
 */
#ifndef GYRE_LOOP_WORK_QUEUE_H
#define GYRE_LOOP_WORK_QUEUE_H

#include <stdatomic.h>

#include "contract/port.h"

struct gyre_work;

enum gyre__work_queue_limits {
    GYRE__WORK_QUEUE_MAX = 1 << 20,
    GYRE__WORK_QUEUE_LINE = 64
};

struct gyre__work_cell {
    _Atomic uint64_t sequence; /* place: free for it; place + 1: filled */
    struct gyre_work *work;
};

/* Padded, not aligned: the allocator's memory need not be. */
struct gyre__work_queue {
    const struct gyre__port *port; /* [I] */
    struct gyre__work_cell *cells; /* [I] */
    uint64_t mask; /* [I] */
    unsigned char pad_0[GYRE__WORK_QUEUE_LINE];
    _Atomic uint64_t tail; /* [a] next place to fill */
    unsigned char pad_1[GYRE__WORK_QUEUE_LINE];
    _Atomic uint64_t head; /* [a] next place to empty */
    unsigned char pad_2[GYRE__WORK_QUEUE_LINE];
    _Atomic uint64_t word; /* [a] */
    unsigned char pad_3[GYRE__WORK_QUEUE_LINE];
    _Atomic uint32_t wakes; /* [a] parked on */
};

/* -ENOMEM. `max` is rounded up to a power of two, and to 2 at least. */
int gyre__work_queue_init(struct gyre__work_queue *queue, const struct gyre__port *port,
                          uint32_t max);
void gyre__work_queue_deinit(struct gyre__work_queue *queue);

/* -EAGAIN: full; -ESHUTDOWN: closed. 1: accepted, but closed meanwhile: the caller pops one. */
int gyre__work_queue_put(struct gyre__work_queue *queue, struct gyre_work *work);

/* Takes the oldest; sleeps while there is none. NULL: closed. */
struct gyre_work *gyre__work_queue_take(struct gyre__work_queue *queue);

/* Closes, and wakes all who sleep. The caller pops as many as it returns. */
uint32_t gyre__work_queue_close(struct gyre__work_queue *queue);

/* Takes out one that the caller has taken off the count. */
struct gyre_work *gyre__work_queue_pop(struct gyre__work_queue *queue);

#endif
