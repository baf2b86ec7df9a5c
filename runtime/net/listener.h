/* SPDX-License-Identifier: MIT */
/*
 * listener - the struct of a listener, and its part on each loop.
 *
 *   listener --parts--> [ part of loop 0 | part of loop 1 | ... ]     one allocation
 *
 * Part     Accepts on its loop: a socket of its own (SO_REUSEPORT), or a duplicate of the one that
 *          all share. It is made by the opener, posted to its loop, told once to stop or to close,
 *          and ends there; a loop that closes takes its part down by itself.
 * Lifetime `open` counts the parts that have not ended, and the caller until its stop or close:
 *          whoever brings it to 0 calls `done`. `holders` counts who may still touch the memory:
 *          the parts, the commands on their way, and the caller. Two counts, for a command that
 *          finds its part gone is still in the loop's queue, and `done` must be called on a loop.
 * Fields   [I] set before the parts are posted, [o] the part's loop's, [a] atomic, [c] written by
 *          stop or close before it counts down and posts, which show it to whoever reads it.
 */
#ifndef GYRE_NET_LISTENER_H
#define GYRE_NET_LISTENER_H

#include <gyre/listener.h>
#include <gyre/task.h>
#include <gyre/timer.h>
#include <stdatomic.h>

#include "contract/backend.h"

enum gyre__part_state {
    GYRE__PART_POSTED, /* on its way to its loop */
    GYRE__PART_DETACHED, /* there: no memory for a channel, waits for its timer */
    GYRE__PART_ACCEPTING,
    GYRE__PART_FULL, /* no descriptors: waits for its timer */
    GYRE__PART_DRAINING, /* accepts what had arrived before the stop */
    GYRE__PART_CLOSING /* the channel's close is under way */
};

struct gyre__part {
    struct gyre__channel channel; /* [o] */
    struct gyre_listener *listener; /* [I] */
    struct gyre_loop *loop; /* [I] holds a reference, as long as the listener lives */
    struct gyre_task attach; /* [I] posted by the opener */
    struct gyre_task command; /* [I] posted by stop or close */
    struct gyre_timer timer; /* [o] back-off, or the end of draining */
    int fd; /* [I] -1: none yet */
    int reserve_fd; /* [o] -1: to be made again */
    uint64_t wait_ns; /* [o] the next back-off */
    uint64_t drained_ns; /* [o] when draining may end, at the earliest */
    int status; /* [o] of the end: -ECANCELED if the loop closed first */
    uint64_t warned_ns; /* [o] when backing off was last logged, 0: never */
    uint8_t state; /* [o] enum gyre__part_state */
    bool steered; /* [o] nobody new can come */
    bool attached; /* [o] its channel has the descriptor */
    bool posted; /* [I] its loop had not closed */
};

enum gyre__listener_command {
    GYRE__LISTENER_STOP,
    GYRE__LISTENER_CLOSE
};

struct gyre_listener {
    gyre_accept_fn *accept; /* [I] */
    void *arg; /* [I] */
    struct gyre_context *context; /* [I] that accept runs in */
    struct gyre_listener_options options; /* [I] */
    const struct gyre__descriptors *descriptors; /* [I] */
    struct gyre__address address; /* [I] */
    bool shared; /* [I] one socket, many descriptors */
    _Atomic bool linked; /* [a] the file of a Unix socket is there */
    enum gyre__listener_command command; /* [c] */
    gyre_fn *done; /* [c] */
    void *done_arg; /* [c] */
    struct gyre_context *done_context; /* [c] */
    _Atomic uint32_t open; /* [a] */
    _Atomic uint32_t holders; /* [a] */
    unsigned count; /* [I] */
    struct gyre__part parts[];
};

/* ---- listener.c ------------------------------------------------------------------------------ */

/* Lets go of the memory. */
void gyre__listener_release(struct gyre_listener *listener);

/* A part has ended, on its loop. It is gone afterwards. */
void gyre__listener_part_ended(struct gyre__part *part) GYRE_ON_LOOP;

/* Removes the file of a Unix socket, once: nobody new can connect then. */
void gyre__listener_unlink(struct gyre_listener *listener);

/* ---- bind.c ---------------------------------------------------------------------------------- */

/* Makes the parts' sockets listen at listener->address, and puts there what the system made of it.
 * On failure the parts have no descriptor. */
int gyre__listener_bind(struct gyre_listener *listener);

/* ---- part.c ---------------------------------------------------------------------------------- */

void gyre__part_init(struct gyre__part *part, struct gyre_listener *listener,
                     struct gyre_loop *loop);

#endif
