/* SPDX-License-Identifier: MIT */
/*
 * embed - a loop inside another library's loop: its turns are made by that one, in place of run.
 *
 *     foreign loop:   before it waits    gyre_loop_prepare    how long may I wait?
 *                     waits              for gyre_loop_fd, among its own, and no longer
 *                     afterwards         gyre_loop_run_once   one turn, without waiting
 *
 * A turn may be made at any time, also when there was nothing: it only has to be made after a
 * prepare and before the next wait. Between prepare and the turn nobody is inside the loop, and a
 * post of the loop's own thread wakes the foreign loop like any other's.
 */
#ifndef GYRE_EMBED_H
#define GYRE_EMBED_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

/*
 * The descriptor to watch for reading, level-triggered. It is readable when a handler's descriptor
 * is ready or a post has woken the loop; timers only show in the wait that gyre_loop_prepare gives.
 *
 * Threads:  the loop's.
 * Lifetime: the loop's, until it is closed. Watch it, and leave it otherwise alone.
 * Errors:   -ENOTSUP: the backend has none (poll, select); -EPERM: not the owner, or a loop of a
 *           runtime; -ESHUTDOWN: the loop has closed; -EMFILE, -ENFILE, -ENOMEM; -ENOSPC: the
 *           system's limit on registrations; -ELOOP: the loop watches too many poll sets in a row;
 *           -ECHILD.
 * Limits:   one more descriptor, from the first call on. Linux lets five poll sets watch one
 *           another in a row, and a loop with such a descriptor is two of them.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_fd(struct gyre_loop *loop, int *ret_fd) GYRE_ON_LOOP;

/*
 * Says how long the foreign loop may wait before the next gyre_loop_run_once, in ns: 0 if something
 * is to be done now. To be called right before each such wait, since from here on posts ring.
 *
 * Threads:  the loop's; nobody may be inside.
 * Blocks:   never.
 * Errors:   -EBUSY: the loop is running; -EPERM: a loop of a runtime; -ESHUTDOWN: it has closed;
 *           -ECHILD: a parent process's.
 * Limits:   never more than the loop's wait_max_ns. Round up to what the foreign wait can do, or
 *           turns just before a deadline are made for nothing.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_prepare(struct gyre_loop *loop, uint64_t *ret_wait_ns)
    GYRE_OFF_LOOP;

/*
 * Makes one turn without waiting: looks for ready descriptors and calls their handlers, then the
 * callbacks that are queued and the timers that are due. What these add is the next turn's, and
 * gyre_loop_prepare then says 0.
 *
 * Threads:  one at a time; that thread is the owner meanwhile.
 * Blocks:   never by itself.
 * Errors:   0; GYRE_STOPPED: a stop came during the turn, whose effect is as in a run (T61), or
 *           before it, and then nothing ran (T59); GYRE_UNWIND: a function has asked for it;
 *           -EBUSY: the loop is running, also from inside a callback (T64); -EPERM: a loop of a
 *           runtime; -ESHUTDOWN: it has closed; -ECHILD: a parent process's; else as
 *           gyre_loop_run.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_run_once(struct gyre_loop *loop) GYRE_OFF_LOOP;

GYRE_END_DECLS

#endif
