/* SPDX-License-Identifier: MIT */
/*
 * lanes - threads that add callbacks and end while these are under way: whatever side lets go of a
 * lane last frees it, with all of its chunks.
 *
 * The allocator is the test's, and counts the blocks that are out; the harness compares the count
 * after each case. The main thread itself posts nothing to loops on other threads, since it would
 * keep a lane.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "crew.h"
#include "harness/balance.h"
#include "harness/plain.h"
#include "loop/inbox.h"

enum {
    THREADS = 32
};

/* ---- the allocator --------------------------------------------------------------------------- */

static _Atomic long blocks;
static _Atomic long bytes_out;

static void *allocate(size_t bytes, void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&bytes_out, (long)bytes, memory_order_relaxed);
    return malloc(bytes);
}

static void release(void *memory, size_t bytes, void *arg)
{
    (void)arg;
    atomic_fetch_sub_explicit(&blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&bytes_out, (long)bytes, memory_order_relaxed);
    free(memory);
}

static long count_blocks(void)
{
    return atomic_load_explicit(&blocks, memory_order_relaxed);
}

static long count_bytes(void)
{
    return atomic_load_explicit(&bytes_out, memory_order_relaxed);
}

/* ---- posts ----------------------------------------------------------------------------------- */

static struct {
    struct gyre_loop *loops[2];
    uint64_t run[2]; /* each its loop's */
    uint64_t cancelled[2];
    uint64_t each;
    _Atomic uint64_t accepted;
    _Atomic uint64_t refused;
} field;

static void begin(uint64_t each)
{
    for (unsigned i = 0; i < 2; i++) {
        field.loops[i] = crew_loop_make(0);
        field.run[i] = 0;
        field.cancelled[i] = 0;
    }
    field.each = each;
    atomic_store_explicit(&field.accepted, 0, memory_order_relaxed);
    atomic_store_explicit(&field.refused, 0, memory_order_relaxed);
}

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    unsigned i = loop == field.loops[1];
    (void)arg;
    if (status == 0)
        field.run[i]++;
    else
        field.cancelled[i]++;
    return 0;
}

static void post_and_end(unsigned me, void *arg)
{
    uint64_t accepted = 0;
    uint64_t refused = 0;
    (void)arg;
    for (uint64_t i = 0; i < field.each; i++) {
        int r = gyre_loop_add_callback(field.loops[(me + i) % 2], arrive, NULL);
        accepted += r == 0;
        refused += r == -ESHUTDOWN;
    }
    CHECK_EQ(accepted + refused, field.each);
    atomic_fetch_add_explicit(&field.accepted, accepted, memory_order_relaxed);
    atomic_fetch_add_explicit(&field.refused, refused, memory_order_relaxed);
}

static void end(uint64_t posted)
{
    for (unsigned i = 0; i < 2; i++)
        gyre_loop_destroy(field.loops[i]);
    uint64_t ran = field.run[0] + field.run[1];
    uint64_t cancelled = field.cancelled[0] + field.cancelled[1];
    CHECK_EQ(ran + cancelled, atomic_load_explicit(&field.accepted, memory_order_relaxed));
    CHECK_EQ(atomic_load_explicit(&field.accepted, memory_order_relaxed) +
                 atomic_load_explicit(&field.refused, memory_order_relaxed),
             posted);
    plain_note("%llu run, %llu cancelled, %llu refused", (unsigned long long)ran,
               (unsigned long long)cancelled,
               (unsigned long long)atomic_load_explicit(&field.refused, memory_order_relaxed));
}

static void threads_end_before_their_callbacks_run(void)
{
    struct crew crew;
    struct crew_loop its[2];
    begin(1000);
    crew_start(&crew, THREADS, post_and_end, NULL);
    crew_join(&crew);
    CHECK_GE(count_bytes(), (long)(THREADS * field.each * sizeof(struct gyre__message)));
    for (unsigned i = 0; i < 2; i++)
        crew_loop_run(&its[i], field.loops[i]);
    for (unsigned i = 0; i < 2; i++)
        crew_loop_end(&its[i]);
    CHECK_EQ(field.run[0] + field.run[1], THREADS * field.each);
    end(THREADS * field.each);
}

static void threads_end_before_their_loops_close(void)
{
    struct crew crew;
    begin(1000);
    crew_start(&crew, THREADS, post_and_end, NULL);
    crew_join(&crew);
    end(THREADS * field.each);
    CHECK_EQ(field.cancelled[0] + field.cancelled[1], THREADS * field.each);
}

static void threads_end_while_their_callbacks_run(void)
{
    uint64_t generations = crew_size("GYRE_STRESS_GENERATIONS", 300, 20);
    struct crew crews[2];
    struct crew_loop its[2];
    begin(200);
    for (unsigned i = 0; i < 2; i++)
        crew_loop_run(&its[i], field.loops[i]);
    crew_start(&crews[0], THREADS / 2, post_and_end, NULL);
    for (uint64_t i = 1; i < generations; i++) {
        crew_start(&crews[i % 2], THREADS / 2, post_and_end, NULL);
        crew_join(&crews[(i - 1) % 2]);
    }
    crew_join(&crews[(generations - 1) % 2]);
    for (unsigned i = 0; i < 2; i++)
        crew_loop_end(&its[i]);
    CHECK_EQ(atomic_load_explicit(&field.refused, memory_order_relaxed), 0);
    end(generations * THREADS / 2 * field.each);
}

static void threads_end_while_their_loops_close(void)
{
    uint64_t rounds = crew_size("GYRE_STRESS_ROUNDS", 200, 20);
    uint64_t chance = crew_seed();
    for (uint64_t round = 0; round < rounds; round++) {
        struct crew crew;
        struct crew_loop its[2];
        begin(200);
        for (unsigned i = 0; i < 2; i++)
            crew_loop_run(&its[i], gyre_loop_acquire(field.loops[i]));
        crew_start(&crew, THREADS / 2, post_and_end, NULL);
        crew_spin(crew_random(&chance) % 200000);
        for (unsigned i = 0; i < 2; i++)
            crew_loop_end(&its[i]);
        for (unsigned i = 0; i < 2; i++)
            CHECK_EQ(gyre_loop_close(field.loops[i], 0), 0);
        crew_join(&crew);
        for (unsigned i = 0; i < 2; i++)
            gyre_loop_release(field.loops[i]);
        CHECK_EQ(field.run[0] + field.run[1] + field.cancelled[0] + field.cancelled[1],
                 atomic_load_explicit(&field.accepted, memory_order_relaxed));
        for (unsigned i = 0; i < 2; i++)
            gyre_loop_destroy(field.loops[i]);
    }
}

/* ---- bursts ---------------------------------------------------------------------------------- */

static _Atomic uint64_t burst_run;

static int arrive_in_burst(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, 0);
    atomic_fetch_add_explicit(&burst_run, 1, memory_order_release);
    return 0;
}

static bool bytes_are_few(void *arg)
{
    const long *base = arg;
    return count_bytes() - *base <=
           GYRE__LANE_KEPT + GYRE__LANE_KEPT / 16; /* and the lane itself */
}

/* Twice as much as a lane may keep is under way at once: the loop is run when all is posted. */
static void burst(unsigned me, void *arg)
{
    const uint64_t kept = GYRE__LANE_KEPT / sizeof(struct gyre__message);
    const uint64_t few = kept * 15 / 16; /* what heads of chunks leave of it */
    struct crew_loop *it = arg;
    long base = count_bytes();
    (void)me;
    for (uint64_t i = 0; i < kept * 2; i++)
        CHECK_EQ(gyre_loop_add_callback(it->loop, arrive_in_burst, NULL), 0);
    CHECK_GE(count_bytes() - base, 2 * (long)GYRE__LANE_KEPT);
    crew_loop_run(it, it->loop);
    CHECK(crew_wait_above(&burst_run, kept * 2 - 1));
    CHECK(crew_wait(bytes_are_few, &base));

    /* What was kept serves the next burst of that size. */
    long before = count_bytes();
    CHECK_GE(before - base, GYRE__LANE_KEPT * 15 / 16);
    for (uint64_t i = 0; i < few; i++)
        CHECK_EQ(gyre_loop_add_callback(it->loop, arrive_in_burst, NULL), 0);
    CHECK_LE(count_bytes(), before);
    CHECK(crew_wait_above(&burst_run, kept * 2 + few - 1));
}

static void a_burst_leaves_no_more_than_a_lane_may_keep(void)
{
    struct crew crew;
    struct crew_loop it = {.loop = crew_loop_make(0)};
    atomic_store_explicit(&burst_run, 0, memory_order_relaxed);
    crew_start(&crew, 1, burst, &it);
    crew_join(&crew);
    crew_loop_end(&it);
    gyre_loop_destroy(it.loop);
}

/* ---- threads that come and go ---------------------------------------------------------------- */

static void post_once(unsigned me, void *arg)
{
    (void)me;
    CHECK_EQ(gyre_loop_add_callback(arg, arrive_in_burst, NULL), 0);
}

static void a_loop_forgets_the_lanes_of_ended_threads(void)
{
    const uint64_t threads = crew_size("GYRE_STRESS_ENDED", 1000, 200);
    struct crew_loop it = {.loop = crew_loop_make(0)};
    long most = 0;
    atomic_store_explicit(&burst_run, 0, memory_order_relaxed);
    long base = count_bytes();
    crew_loop_run(&it, it.loop);
    for (uint64_t i = 0; i < threads; i++) {
        struct crew crew;
        crew_start(&crew, 1, post_once, it.loop);
        crew_join(&crew);
        CHECK(crew_wait_above(&burst_run, i)); /* else they may all be under way at once */
        long now = count_bytes() - base;
        most = now > most ? now : most;
    }
    plain_note("%ld bytes at most", most);
    CHECK_LE(most, 4 * GYRE__INBOX_SWEEP_MIN * 4096L);
    crew_loop_end(&it);
    gyre_loop_destroy(it.loop);
}

static void post_to_many_loops(unsigned me, void *arg)
{
    const uint64_t loops = crew_size("GYRE_STRESS_LOOPS", 500, 100);
    (void)me;
    (void)arg;
    long base = count_bytes();
    long most = 0;
    for (uint64_t i = 0; i < loops; i++) {
        struct gyre_loop *loop = crew_loop_make(0);
        CHECK_EQ(gyre_loop_add_callback(loop, arrive, NULL), 0);
        gyre_loop_destroy(loop);
        long now = count_bytes() - base;
        most = now > most ? now : most;
    }
    plain_note("%ld bytes at most", most);
    CHECK_LE(most, 16 * 4096);
}

static void a_thread_forgets_the_lanes_of_closed_loops(void)
{
    struct crew crew;
    crew_start(&crew, 1, post_to_many_loops, NULL);
    crew_join(&crew);
}

/* A loop's own thread adds and ends, too. */
static int add_more(struct gyre_loop *loop, int status, void *arg)
{
    uint64_t *left = arg;
    CHECK_EQ(status, 0);
    if (--*left == 0)
        return gyre_loop_stop(loop);
    return gyre_loop_add_callback(loop, add_more, left);
}

static void run_own(unsigned me, void *arg)
{
    uint64_t left = 10000;
    struct gyre_loop *loop = arg;
    (void)me;
    CHECK_EQ(gyre_loop_add_callback(loop, add_more, &left), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(left, 0);
}

static int count_rest(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK(status == 0 || status == -ECANCELED);
    return 0;
}

static void add_to_own_and_leave(unsigned me, void *arg)
{
    struct gyre_loop *loop = arg;
    (void)me;
    for (unsigned i = 0; i < 100; i++)
        CHECK_EQ(gyre_loop_add_callback(loop, count_rest, NULL), 0);
    gyre_loop_stop(loop);
    CHECK_EQ(gyre_loop_run(loop), 0); /* returns at once: a hundred are left */
}

static void threads_that_run_a_loop_leave_nothing(void)
{
    struct crew crew;
    struct gyre_loop *loop = crew_loop_make(0);
    crew_start(&crew, 1, run_own, loop);
    crew_join(&crew);
    gyre_loop_destroy(loop);
    loop = crew_loop_make(0);
    crew_start(&crew, 1, add_to_own_and_leave, loop);
    crew_join(&crew);
    gyre_loop_destroy(loop);
    CHECK_EQ(count_blocks(), 0);
    CHECK_EQ(count_bytes(), 0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(threads_end_before_their_callbacks_run),
    PLAIN_CASE(threads_end_before_their_loops_close),
    PLAIN_CASE(threads_end_while_their_callbacks_run),
    PLAIN_CASE(threads_end_while_their_loops_close),
    PLAIN_CASE(a_burst_leaves_no_more_than_a_lane_may_keep),
    PLAIN_CASE(a_loop_forgets_the_lanes_of_ended_threads),
    PLAIN_CASE(a_thread_forgets_the_lanes_of_closed_loops),
    PLAIN_CASE(threads_that_run_a_loop_leave_nothing),
};

int main(int argc, char **argv)
{
    static const struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    if (gyre_set_allocator(&allocator) != 0)
        return 2;
    gyre_balance_count("blocks", count_blocks);
    gyre_balance_count("bytes", count_bytes);
    return plain_main(argc, argv, cases, sizeof(cases) / sizeof(cases[0]));
}
