/* SPDX-License-Identifier: MIT */
/*
 * inject - see inject.h.
 *
 * The counters are relaxed: they order nothing, and what fired is looked at when the threads that
 * could have fired it have been joined. The one that can outlast that, a thread that looks up a
 * name, can only make a run seem one in which nothing fired.
 */
#include "inject.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <gyre/base.h>

#include "harness/balance.h"

/* The injection. Constant while armed, and atomic for the thread that outlasts its run. */
static struct {
    _Atomic unsigned only;
    _Atomic unsigned at;
    _Atomic unsigned choice;
    _Atomic unsigned burst;
} current;
static _Atomic bool armed;
static _Atomic unsigned calls;
static _Atomic unsigned left; /* of the burst */
static _Atomic int reached_call; /* -1: not reached */
static _Thread_local unsigned outside;

void inject_arm(const struct injection *injection)
{
    atomic_store_explicit(&current.only, injection->only, memory_order_relaxed);
    atomic_store_explicit(&current.at, injection->at, memory_order_relaxed);
    atomic_store_explicit(&current.choice, injection->choice, memory_order_relaxed);
    atomic_store_explicit(&current.burst, injection->burst, memory_order_relaxed);
    atomic_store_explicit(&calls, 0, memory_order_relaxed);
    atomic_store_explicit(&left, 0, memory_order_relaxed);
    atomic_store_explicit(&reached_call, -1, memory_order_relaxed);
    /* release: pairs with the acquire in inject_here, which then sees the above */
    atomic_store_explicit(&armed, true, memory_order_release);
}

void inject_disarm(void)
{
    atomic_store_explicit(&armed, false, memory_order_relaxed);
}

static unsigned chosen(void)
{
    return atomic_load_explicit(&current.choice, memory_order_relaxed);
}

struct inject_report inject_read(void)
{
    struct inject_report report = {
        .calls = atomic_load_explicit(&calls, memory_order_relaxed),
    };
    int call = atomic_load_explicit(&reached_call, memory_order_relaxed);
    if (call < 0)
        return report;
    size_t count;
    const struct fault *faults = inject_faults((enum inject_call)call, &count);
    report.reached = true;
    report.call = (enum inject_call)call;
    report.fired = chosen() < count;
    if (report.fired)
        report.fault = faults[chosen()];
    return report;
}

/* Takes one of the burst; false: it is over. */
static bool take_one(void)
{
    unsigned more = atomic_load_explicit(&left, memory_order_relaxed);
    while (more > 0) {
        if (atomic_compare_exchange_weak_explicit(&left, &more, more - 1, memory_order_relaxed,
                                                  memory_order_relaxed))
            return true;
    }
    return false;
}

/* Whether this call, of the kind that counts, is to fail. */
static bool is_hit(enum inject_call call, size_t choices)
{
    unsigned number = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
    unsigned at = atomic_load_explicit(&current.at, memory_order_relaxed);
    if (number == at) {
        unsigned burst = atomic_load_explicit(&current.burst, memory_order_relaxed);
        atomic_store_explicit(&left, burst - 1, memory_order_relaxed);
        atomic_store_explicit(&reached_call, (int)call, memory_order_relaxed);
        return chosen() < choices;
    }
    return number > at && chosen() < choices &&
           atomic_load_explicit(&reached_call, memory_order_relaxed) == (int)call && take_one();
}

const struct fault *inject_here(enum inject_call call)
{
    size_t count;
    /* acquire: pairs with the release in inject_arm */
    if (outside > 0 || !atomic_load_explicit(&armed, memory_order_acquire))
        return NULL;
    unsigned only = atomic_load_explicit(&current.only, memory_order_relaxed);
    if (only != INJECT_ANY && only != call)
        return NULL;
    const struct fault *faults = inject_faults(call, &count);
    return is_hit(call, count) ? &faults[chosen()] : NULL;
}

void inject_outside_begin(void)
{
    outside++;
}

void inject_outside_end(void)
{
    outside--;
}

const char *inject_code_name(int code)
{
    if (code == INJECT_SHORT)
        return "one byte";
    if (code == INJECT_PENDING)
        return "a pending ECONNREFUSED";
    const char *name = strerrorname_np(code);
    return name != NULL ? name : "no errno";
}

/* ---- memory ---------------------------------------------------------------------------------- */

static _Atomic long blocks;
static _Atomic long bytes_used;

static void *allocate(size_t bytes, void *arg)
{
    (void)arg;
    if (inject_here(INJECT_ALLOCATE) != NULL)
        return NULL;
    void *memory = malloc(bytes);
    if (memory == NULL)
        return NULL;
    memset(memory, 0xa5, bytes);
    atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes_used, (long)bytes, memory_order_relaxed);
    return memory;
}

static void release(void *memory, size_t bytes, void *arg)
{
    (void)arg;
    memset(memory, 0xa5, bytes); /* whoever still reads it reads nonsense */
    free(memory);
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes_used, (long)bytes, memory_order_relaxed);
}

static long count_blocks(void)
{
    return atomic_load_explicit(&blocks, memory_order_relaxed);
}

static long count_bytes(void)
{
    return atomic_load_explicit(&bytes_used, memory_order_relaxed);
}

void inject_allocator(void)
{
    static const struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    if (gyre_set_allocator(&allocator) != 0) {
        fprintf(stderr, "inject: the library was used before\n");
        abort();
    }
    gyre_balance_count("blocks of the library's", count_blocks);
    gyre_balance_count("bytes of the library's", count_bytes);
}
