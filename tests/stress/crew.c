/* SPDX-License-Identifier: MIT */
/*
 * crew - see crew.h.
 */
#include "crew.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/plain.h"

static void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "crew: %s: %s\n", what, strerror(error));
    abort();
}

/* ---- threads --------------------------------------------------------------------------------- */

static void *run_member(void *arg)
{
    const struct crew_member *member = arg;
    member->crew->fn(member->index, member->crew->arg);
    return NULL;
}

void crew_start(struct crew *crew, unsigned count, void (*fn)(unsigned index, void *arg), void *arg)
{
    must(count > CREW_MAX, "too many threads");
    crew->count = count;
    crew->fn = fn;
    crew->arg = arg;
    for (unsigned i = 0; i < count; i++) {
        struct crew_member *member = &crew->members[i];
        member->crew = crew;
        member->index = i;
        must(pthread_create(&member->thread, NULL, run_member, member), "pthread_create");
    }
}

void crew_join(struct crew *crew)
{
    for (unsigned i = 0; i < crew->count; i++)
        must(pthread_join(crew->members[i].thread, NULL), "pthread_join");
}

/* ---- loops ----------------------------------------------------------------------------------- */

static struct gyre_loop *make(struct gyre_loop_options *options)
{
    struct gyre_loop *loop;
    options->backend = plain_backend();
    options->waker = plain_waker();
    options->make_current = GYRE_CURRENT_NO;
    must(-gyre_loop_create(options, &loop), "gyre_loop_create");
    return loop;
}

struct gyre_loop *crew_loop_make_patient(void)
{
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.wait_max_ns = GYRE_NEVER;
    return make(&options);
}

struct gyre_loop *crew_loop_make(uint32_t queue_max)
{
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.queue_max = queue_max;
    return make(&options);
}

static uint64_t observe(void *arg)
{
    struct crew_observer *observer = arg;
    struct timespec now;
    uint64_t asked = atomic_load_explicit(&observer->asked, memory_order_relaxed);
    /* relaxed: what is asked for is ordered by the way in that is tested */
    atomic_store_explicit(&observer->seen, asked, memory_order_relaxed);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static int end_observation(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, -ECANCELED);
    return 0;
}

struct gyre_loop *crew_loop_make_observed(struct crew_observer *observer)
{
    struct gyre_loop_options options;
    atomic_store_explicit(&observer->asked, 0, memory_order_relaxed);
    atomic_store_explicit(&observer->seen, 0, memory_order_relaxed);
    gyre_loop_options_init(&options);
    options.clock = observe;
    options.clock_arg = observer;
    struct gyre_loop *loop = make(&options);
    gyre_timer_init(&observer->timer, loop, end_observation, NULL);
    must(-gyre_timer_start(&observer->timer, GYRE_NEVER - 1), "gyre_timer_start");
    return loop;
}

static void *run_loop(void *arg)
{
    struct crew_loop *it = arg;
    it->result = gyre_loop_run(it->loop);
    return NULL;
}

void crew_loop_run(struct crew_loop *it, struct gyre_loop *loop)
{
    it->loop = loop;
    must(pthread_create(&it->thread, NULL, run_loop, it), "pthread_create");
}

void crew_loop_check(const struct gyre_loop *loop)
{
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    CHECK_LE(stats.wakes_written, stats.sleeps);
    CHECK_LE(stats.sleeps, stats.polls);
    CHECK_LE(stats.polls, stats.turns);
}

static bool has_turned(void *loop)
{
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    return stats.turns > 0;
}

void crew_loop_end(struct crew_loop *it)
{
    CHECK(crew_wait(has_turned, it->loop)); /* a stop before the run would have it run nothing */
    /* Not by a callback: what other threads have posted need not run before that. */
    must(-gyre_loop_stop(it->loop), "gyre_loop_stop");
    must(pthread_join(it->thread, NULL), "pthread_join");
    CHECK_EQ(it->result, 0);
    crew_loop_check(it->loop);
}

/* ---- time and chance ------------------------------------------------------------------------- */

double crew_now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

bool crew_wait(bool (*holds)(void *arg), void *arg)
{
    double began = crew_now_s();
    while (!holds(arg)) {
        if (crew_now_s() - began > CREW_PATIENCE_S)
            return false;
        sched_yield();
    }
    return true;
}

struct above {
    _Atomic uint64_t *word;
    uint64_t than;
};

static bool is_above(void *arg)
{
    const struct above *above = arg;
    /* acquire: pairs with the release of whoever counts, if the caller needs what came before */
    return atomic_load_explicit(above->word, memory_order_acquire) > above->than;
}

bool crew_wait_above(_Atomic uint64_t *word, uint64_t than)
{
    struct above above = {word, than};
    return crew_wait(is_above, &above);
}

uint64_t crew_random(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t crew_seed(void)
{
    static _Atomic uint64_t seed;
    uint64_t known = atomic_load_explicit(&seed, memory_order_relaxed);
    if (known != 0)
        return known;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t made = (uint64_t)plain_number("GYRE_TEST_SEED", now.tv_nsec | 1);
    /* relaxed: one number, and nothing beside it; who comes second takes the first one's */
    if (!atomic_compare_exchange_strong_explicit(&seed, &known, made, memory_order_relaxed,
                                                 memory_order_relaxed))
        return known;
    plain_note("GYRE_TEST_SEED=%llu", (unsigned long long)made);
    return made;
}

void crew_spin(uint64_t count)
{
    for (volatile uint64_t i = 0; i < count; i++)
        ;
}

uint64_t crew_size(const char *name, uint64_t full, uint64_t with_tsan)
{
    uint64_t size =
        (plain_tsan() ? with_tsan : full) / (uint64_t)plain_number("GYRE_STRESS_SHARE", 1);
    return (uint64_t)plain_number(name, (long)size);
}
