/* SPDX-License-Identifier: MIT */
/*
 * signals - a loop's part of what comes from signal handlers: its nodes, and its watchers.
 *
 * Nodes     For gyre_loop_add_callback_from_signal: 64 tasks and a word with a bit for each that is
 *           free. A handler clears a bit and posts the task by the door's head, always: it may have
 *           interrupted the owner anywhere, so that the queue and the lanes are not to be touched.
 *           The owner sets the bit before the call, when it has read the task.
 * Watchers  One for each pair of signal and loop. A signal handler may be walking over them on any
 *           thread while an owner adds or removes one, and cannot wait for anybody. So watchers are
 *           never unlinked and never freed: one that was removed is used again by the next add for
 *           its signal. What a handler may touch is decided by one word a watcher:
 *
 *             0 --add--> ACTIVE --a handler--> ACTIVE + pins --it leaves--> ACTIVE --remove--> 0
 *
 *           A handler pins a watcher that is ACTIVE, posts, and unpins. Remove clears ACTIVE, after
 *           which nobody pins any more, and waits until no pin is left; from then on no handler
 *           looks at the loop, which may be freed. AWAITED has the last unpin wake the remover.
 * Delivery  Each watcher is a task. Who finds `queued` false posts it; the loop clears the flag,
 *           then calls: a signal that comes later makes a call of its own. A task may still be on
 *           its way when its watcher is removed: it is then used again only when it has arrived.
 * Memory    A watcher for each signal and each loop that watched it at the same time as others, or
 *           while the task of a removed one was on its way: 112 bytes each, for good.
 */
#ifndef GYRE_LOOP_SIGNALS_H
#define GYRE_LOOP_SIGNALS_H

#include <gyre/signal.h>
#include <gyre/task.h>

struct gyre__watcher;

enum gyre__signal_limits {
    GYRE__SIGNAL_NODES = 64 /* bits of a word: callbacks from signal handlers under way */
};

struct gyre__signals {
    _Atomic uint64_t free; /* [a] bits of the nodes that nobody has */
    struct gyre_task nodes[GYRE__SIGNAL_NODES]; /* who has cleared the bit, until it is posted */
    struct gyre__watcher *watchers; /* [o] */
};

void gyre__signals_init(struct gyre__signals *signals);

/* Gives back a node that was taken out of the queue and read. */
void gyre__signals_give(struct gyre__signals *signals, const struct gyre_task *node);

/* Removes all watchers of the loop, whose queue is empty for good. */
void gyre__signals_close(struct gyre_loop *loop);

/* In a child process: the threads that held the lock, or had something pinned, are not here. */
void gyre__signals_after_fork(void);

#endif
