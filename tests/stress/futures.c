/* SPDX-License-Identifier: MIT */
/*
 * futures - futures resolved by racing threads while loops add functions to them and close: each
 * function is called once, in the order of adding, and with 0 only when the result can be read.
 *
 * In a round two runners, each with a loop of its own, add functions to all the futures, inside
 * their run and behind it, and close at some moment; two resolvers try each future in different
 * orders, so that each is resolved once by one of them.
 *
 * GYRE_STRESS_ROUNDS sets the number of rounds.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    RUNNERS = 2,
    RESOLVERS = 2,
    THREADS = RUNNERS + RESOLVERS,
    FUTURES = 12,
    WAITS = 8, /* of each loop and future */
    STEP = 4 /* added by one callback */
};

struct wait {
    struct gyre_future *future;
    unsigned *next; /* of its future and loop: no smaller number may come */
    unsigned number;
    unsigned added;
    unsigned run;
    unsigned cancelled;
};

struct side { /* a runner's */
    struct gyre_loop *loop;
    struct wait waits[FUTURES * WAITS];
    unsigned next[FUTURES];
    unsigned at; /* the next to be added */
    unsigned leave_at; /* when to stop */
    uint64_t chance;
};

static struct {
    struct side sides[RUNNERS];
    struct gyre_future *futures[FUTURES];
    _Atomic unsigned resolved[FUTURES];
    pthread_barrier_t begins;
    pthread_barrier_t ended;
    uint64_t rounds;
    uint64_t seed;
    uint64_t run;
    uint64_t cancelled;
} field;

static int value; /* of every future */

/* ---- runners --------------------------------------------------------------------------------- */

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    struct wait *wait = arg;
    void *got = NULL;
    (void)loop;
    CHECK_GE(wait->number, *wait->next);
    *wait->next = wait->number + 1;
    if (status == 0) {
        wait->run++;
        CHECK_EQ(gyre_future_result(wait->future, &got), 0);
        CHECK(got == &value);
    } else {
        wait->cancelled++;
        CHECK_EQ(status, -ECANCELED);
    }
    return 0;
}

static void add_one(struct side *side)
{
    struct wait *wait = &side->waits[side->at++];
    wait->added = 1;
    CHECK_EQ(gyre_future_add_done(wait->future, side->loop, arrive, wait), 0);
}

static int add_some(struct gyre_loop *loop, int status, void *arg)
{
    struct side *side = arg;
    if (status != 0)
        return 0;
    for (unsigned i = 0; i < STEP && side->at < FUTURES * WAITS; i++)
        add_one(side);
    crew_spin(crew_random(&side->chance) % 2000);
    if (side->at >= side->leave_at)
        CHECK_EQ(gyre_loop_stop(loop), 0);
    else
        CHECK_EQ(gyre_loop_add_callback(loop, add_some, side), 0);
    return 0;
}

static void run_loop(struct side *side)
{
    CHECK_EQ(gyre_loop_add_callback(side->loop, add_some, side), 0);
    CHECK_EQ(gyre_loop_run(side->loop), 0);
    for (unsigned i = 0; i < STEP && side->at < FUTURES * WAITS; i++)
        add_one(side); /* nobody is inside */
    crew_spin(crew_random(&side->chance) % 2000);
    if (crew_random(&side->chance) % 2 == 0)
        CHECK_EQ(gyre_loop_close(side->loop, 0), 0);
    gyre_loop_destroy(side->loop);
}

/* ---- resolvers ------------------------------------------------------------------------------- */

static void resolve_all(unsigned me, uint64_t *chance)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        unsigned at = me == 0 ? i : FUTURES - 1 - i;
        crew_spin(crew_random(chance) % 4000);
        int r = gyre_future_resolve(field.futures[at], 0, &value);
        if (r == 0) /* relaxed: read after the barrier */
            atomic_fetch_add_explicit(&field.resolved[at], 1, memory_order_relaxed);
        else
            CHECK_EQ(r, -EALREADY);
    }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void prepare_side(struct side *side)
{
    *side = (struct side){.loop = crew_loop_make(0), .chance = side->chance};
    for (unsigned i = 0; i < FUTURES * WAITS; i++) {
        unsigned future = i % FUTURES;
        side->waits[i] = (struct wait){
            .future = field.futures[future], .next = &side->next[future], .number = i / FUTURES};
    }
    side->leave_at = 1 + (unsigned)(crew_random(&side->chance) % (FUTURES * WAITS));
}

static void prepare(void)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        CHECK_EQ(gyre_future_create(&field.futures[i]), 0);
        atomic_store_explicit(&field.resolved[i], 0, memory_order_relaxed);
    }
    for (unsigned i = 0; i < RUNNERS; i++)
        prepare_side(&field.sides[i]);
}

static void judge(void)
{
    for (unsigned i = 0; i < FUTURES; i++) {
        CHECK_EQ(atomic_load_explicit(&field.resolved[i], memory_order_relaxed), 1);
        gyre_future_release(field.futures[i]);
    }
    for (unsigned i = 0; i < RUNNERS * FUTURES * WAITS; i++) {
        const struct wait *wait = &field.sides[i / (FUTURES * WAITS)].waits[i % (FUTURES * WAITS)];
        CHECK_EQ(wait->run + wait->cancelled, wait->added);
        field.run += wait->run;
        field.cancelled += wait->cancelled;
    }
}

static void take_part(unsigned me, void *arg)
{
    (void)arg;
    uint64_t chance = field.seed + me * 1000;
    for (uint64_t round = 0; round < field.rounds; round++) {
        pthread_barrier_wait(&field.begins);
        if (me < RUNNERS)
            run_loop(&field.sides[me]);
        else
            resolve_all(me - RUNNERS, &chance);
        pthread_barrier_wait(&field.ended);
    }
}

static void functions_that_wait_for_futures_are_called_once_and_in_order(void)
{
    struct crew crew;
    field.rounds = crew_size("GYRE_STRESS_ROUNDS", 4000, 400);
    field.seed = crew_seed();
    for (unsigned i = 0; i < RUNNERS; i++)
        field.sides[i].chance = field.seed + i;
    pthread_barrier_init(&field.begins, NULL, THREADS + 1);
    pthread_barrier_init(&field.ended, NULL, THREADS + 1);
    crew_start(&crew, THREADS, take_part, NULL);
    for (uint64_t round = 0; round < field.rounds; round++) {
        prepare();
        pthread_barrier_wait(&field.begins);
        pthread_barrier_wait(&field.ended);
        judge();
    }
    crew_join(&crew);
    pthread_barrier_destroy(&field.begins);
    pthread_barrier_destroy(&field.ended);
    CHECK_NE(field.run, 0); /* the case is one: both of what may happen did */
    CHECK_NE(field.cancelled, 0);
    plain_note("%llu rounds: %llu run, %llu cancelled", (unsigned long long)field.rounds,
               (unsigned long long)field.run, (unsigned long long)field.cancelled);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(functions_that_wait_for_futures_are_called_once_and_in_order),
};
PLAIN_MAIN(cases)
