/* SPDX-License-Identifier: MIT */
/*
 * lag - how late the machine runs what is ready. See lag.h.
 */
#include "lag.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "flow.h"
#include "harness/plain.h"

enum {
    CPUS_MAX = 64
};

struct watcher {
    pthread_t thread;
    atomic_uint_fast64_t worst_us; /* written by its thread, and set to 0 by lag_begin */
    atomic_uint_fast64_t wakes;
};

static struct watcher watchers[CPUS_MAX];
static unsigned count;
static atomic_bool over;

static void *watch(void *arg)
{
    struct watcher *watcher = arg;

    /* Relaxed: numbers that publish nothing else; `wakes` is counted after what it is about. */
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        uint64_t began = flow_now_us(), late;
        flow_sleep_ms(1);
        late = flow_now_us() - began - 1000;
        if (late > atomic_load_explicit(&watcher->worst_us, memory_order_relaxed))
            atomic_store_explicit(&watcher->worst_us, late, memory_order_relaxed);
        /* Release: pairs with the acquire in lag_worst_us. */
        atomic_fetch_add_explicit(&watcher->wakes, 1, memory_order_release);
    }
    return NULL;
}

bool lag_start(void)
{
    cpu_set_t allowed, one;

    count = 0;
    atomic_store_explicit(&over, false, memory_order_relaxed); /* no thread reads it yet */
    if (!CHECK_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0))
        return false;
    for (size_t cpu = 0; cpu < CPU_SETSIZE && count < CPUS_MAX; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        if (!CHECK_EQ(pthread_create(&watchers[count].thread, NULL, watch, &watchers[count]), 0))
            break;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_EQ(pthread_setaffinity_np(watchers[count].thread, sizeof(one), &one), 0);
        count++;
    }
    return count != 0;
}

void lag_stop(void)
{
    atomic_store_explicit(&over, true, memory_order_relaxed); /* the joins wait for it */
    for (unsigned i = 0; i < count; i++)
        CHECK_EQ(pthread_join(watchers[i].thread, NULL), 0);
    count = 0;
}

void lag_begin(void)
{
    for (unsigned i = 0; i < count; i++)
        atomic_store_explicit(&watchers[i].worst_us, 0, memory_order_relaxed);
}

uint64_t lag_worst_us(void)
{
    uint64_t worst = 0;

    for (unsigned i = 0; i < count; i++) {
        uint64_t before = atomic_load_explicit(&watchers[i].wakes, memory_order_acquire), one;
        while (atomic_load_explicit(&watchers[i].wakes, memory_order_acquire) == before)
            flow_sleep_ms(1);
        one = atomic_load_explicit(&watchers[i].worst_us, memory_order_relaxed);
        worst = one > worst ? one : worst;
    }
    return worst;
}
