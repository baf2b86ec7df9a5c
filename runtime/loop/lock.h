/* SPDX-License-Identifier: MIT */
/*
 * lock - a mutex, for the rare things that are the process's: not for a loop's path, and never held
 * around a user's function.
 *
 * States   FREE -> HELD        lock, nobody waits          HELD -> FREE      unlock
 *          HELD -> AWAITED     a second one waits          AWAITED -> FREE   unlock, which wakes
 *          Who has waited takes it as AWAITED, since others may still wait: one wake too many at
 *          most.
 */
#ifndef GYRE_LOOP_LOCK_H
#define GYRE_LOOP_LOCK_H

#include "contract/port.h"

enum gyre__lock_state {
    GYRE__LOCK_FREE,
    GYRE__LOCK_HELD,
    GYRE__LOCK_AWAITED
};

struct gyre__lock {
    _Atomic uint32_t state; /* FREE at first */
};

static inline void gyre__lock_acquire(struct gyre__lock *lock)
{
    uint32_t state = GYRE__LOCK_FREE;
    /* acquire: pairs with the release below; what the last holder did is seen */
    if (atomic_compare_exchange_strong_explicit(&lock->state, &state, GYRE__LOCK_HELD,
                                                memory_order_acquire, memory_order_relaxed))
        return;
    while (atomic_exchange_explicit(&lock->state, GYRE__LOCK_AWAITED, memory_order_acquire) !=
           GYRE__LOCK_FREE)
        gyre__port_native()->park(&lock->state, GYRE__LOCK_AWAITED);
}

static inline void gyre__lock_release(struct gyre__lock *lock)
{
    /* release: pairs with the acquires above */
    if (atomic_exchange_explicit(&lock->state, GYRE__LOCK_FREE, memory_order_release) ==
        GYRE__LOCK_AWAITED)
        gyre__port_native()->unpark(&lock->state);
}

#endif
