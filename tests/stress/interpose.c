/* SPDX-License-Identifier: MIT */
/*
 * interpose - see interpose.h.
 *
 * __wrap_x is what a call of x reaches, and __real_x is x itself: names that the linker gives
 * (ld(1), --wrap).
 */
#include "interpose.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

static _Atomic uint64_t allocations;
static _Atomic uint64_t releases;
static _Atomic uint64_t locks;

static void count(_Atomic uint64_t *counter)
{
    /* relaxed: a count, read after the threads that were counted have been met */
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

struct interpose_counts interpose_read(void)
{
    return (struct interpose_counts){
        .allocations = atomic_load_explicit(&allocations, memory_order_relaxed),
        .releases = atomic_load_explicit(&releases, memory_order_relaxed),
        .locks = atomic_load_explicit(&locks, memory_order_relaxed),
    };
}

/* Defines the wrapper of `name`: declared before, since nothing else does. */
#define WRAP(counter, result, name, parameters, arguments) \
    result __real_##name parameters;                       \
    result __wrap_##name parameters;                       \
    result __wrap_##name parameters                        \
    {                                                      \
        count(&counter);                                   \
        return __real_##name arguments;                    \
    }

WRAP(allocations, void *, malloc, (size_t bytes), (bytes))
WRAP(allocations, void *, calloc, (size_t number, size_t bytes), (number, bytes))
WRAP(allocations, void *, realloc, (void *memory, size_t bytes), (memory, bytes))
WRAP(allocations, void *, aligned_alloc, (size_t alignment, size_t bytes), (alignment, bytes))
WRAP(allocations, int, posix_memalign, (void **memory, size_t alignment, size_t bytes),
     (memory, alignment, bytes))
WRAP(releases, void, free, (void *memory), (memory))
WRAP(locks, int, pthread_mutex_lock, (pthread_mutex_t * mutex), (mutex))
WRAP(locks, int, pthread_mutex_trylock, (pthread_mutex_t * mutex), (mutex))
WRAP(locks, int, pthread_mutex_timedlock, (pthread_mutex_t * mutex, const struct timespec *until),
     (mutex, until))
WRAP(locks, int, pthread_rwlock_rdlock, (pthread_rwlock_t * lock), (lock))
WRAP(locks, int, pthread_rwlock_wrlock, (pthread_rwlock_t * lock), (lock))
WRAP(locks, int, pthread_spin_lock, (pthread_spinlock_t * lock), (lock))
WRAP(locks, int, pthread_cond_wait, (pthread_cond_t * condition, pthread_mutex_t *mutex),
     (condition, mutex))
WRAP(locks, int, pthread_cond_signal, (pthread_cond_t * condition), (condition))
WRAP(locks, int, pthread_cond_broadcast, (pthread_cond_t * condition), (condition))
WRAP(locks, int, pthread_once, (pthread_once_t * once, void (*fn)(void)), (once, fn))
WRAP(locks, int, sem_wait, (sem_t * semaphore), (semaphore))
WRAP(locks, int, sem_post, (sem_t * semaphore), (semaphore))
