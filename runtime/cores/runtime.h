/* SPDX-License-Identifier: MIT */
/*
 * runtime - the set of loops: its states, and what its threads share.
 *
 *   NEW ---------> STARTING ---------> RUNNING ---> STOPPING ---> ENDED
 *    |  stop          |  stop  \ a setup failed       ^
 *    v                v         v                     |
 *   NEW_STOPPED -> STARTING_STOPPED -> FAILED         |
 *                          \--------------------------+
 *
 * Start     Setups are the loops' first callbacks: posted when a loop is made, before anybody else
 *           knows it. The threads wait at a gate until all of them exist, so that no setup has run
 *           if one of them cannot be made.
 * Stop      1. Whoever brings the state to STOPPING (or FAILED) posts a teardown to every loop. The
 *           loops keep turning until the last teardown has returned; that one posts an end to all
 *           of them, which stops the loop it runs on. By then the loop has received all that the
 *           teardowns have posted to it, so that this still runs. 2. A thread that has left its
 *           loop passes a barrier, and then closes its loop. The barrier makes sure that no loop
 *           refuses posts, or cancels what it has, while a function of any other loop may still run
 *           with status 0.
 * Failure   A loop whose run fails (its backend's wait, or the user's) stops the runtime, and runs
 *           on until its teardown has run: that is all it can do for the others.
 * Lifetime  Loops exist from create to the last reference. Of the runtime itself there are two
 *           references at most: the user's, and one of the thread that posts the teardowns, since
 *           by its last post it lets the user's thread go on to destroy.
 * Fork      In a child there are the loops and no threads, but for the one that has forked.
 *           So nothing is posted and nobody is waited for: each call looks first whether it is in
 *           a child. A core's thread that has forked ends there, and the process with it.
 * Threads              start  stop  join  destroy  broadcast  loop, loops, plan
 *           start        X     -     -      X         -              -
 *           stop         -     -     -      X         -              -        '-' safe together
 *           join         -     -     X      X         -              -        'X' never together
 *           destroy      X     X     X      X         X              X
 */
#ifndef GYRE_CORES_RUNTIME_H
#define GYRE_CORES_RUNTIME_H

#include <stdatomic.h>

#include <gyre/runtime.h>
#include <gyre/task.h>

#include "contract/port.h"
#include "cores/cpu_plan.h"

enum gyre__runtime_state {
    GYRE__RUNTIME_NEW, /* there are loops and no threads; the loops take posts */
    GYRE__RUNTIME_NEW_STOPPED, /* as NEW, and a stop was asked: it follows the setups */
    GYRE__RUNTIME_STARTING, /* threads are being made, then setups run */
    GYRE__RUNTIME_STARTING_STOPPED, /* as STARTING, and a stop was asked */
    GYRE__RUNTIME_RUNNING, /* every setup has succeeded */
    GYRE__RUNTIME_STOPPING, /* teardowns run, then loops close; until the threads are joined */
    GYRE__RUNTIME_ENDED, /* no thread is left */
    GYRE__RUNTIME_FAILED /* start failed: it unwinds, and no thread is left when it returns */
};

/* One loop and its thread. */
struct gyre__core {
    struct gyre_runtime *runtime; /* [I] */
    struct gyre_loop *loop; /* [I] holds a reference */
    unsigned index; /* [I] */
    uint64_t thread; /* [s] the port's name of it, for join */
    struct gyre_task setup; /* [o] once posted, which is before anybody knows the loop */
    struct gyre_task teardown; /* [o] once posted */
    struct gyre_task end; /* [o] once posted */
    bool setup_over; /* [o] */
    int setup_result; /* [o], and [s] once setups_left is 0 */
    bool torn_down; /* [o] */
    bool ended; /* [o] `end` was run last */
    _Atomic uint64_t serial; /* [a] of the thread, 0 at first */
};

/* [I] set at creation, [s] the thread inside start, [o] the core's thread, [a] atomic. */
struct gyre_runtime {
    const struct gyre__port *port; /* [I] */
    struct gyre_runtime_options options; /* [I] without the pointers that need not live */
    struct gyre__core *cores; /* [I] */
    unsigned cores_made; /* [I] cores that have a loop: all, but in a creation that fails */
    struct gyre__cpu_plan plan; /* [I] */

    _Atomic uint32_t state; /* [a] enum gyre__runtime_state */
    _Atomic uint32_t references; /* [a] */
    _Atomic uint32_t gate; /* [a] parked on by threads that wait for start */
    _Atomic uint32_t setups_left; /* [a] parked on by start */
    _Atomic uint32_t teardowns_left; /* [a] */
    _Atomic uint32_t teardowns_posted; /* [a] 0 or 1; parked on by loops that failed */
    _Atomic uint32_t insiders; /* [a] threads before the barrier; parked on by those at it */
    _Atomic int first_error; /* [a] of a loop's run, 0: none */
};

/* Whether the caller is in a child of the process that made it. */
bool gyre__runtime_is_inherited(const struct gyre_runtime *runtime);

#endif
