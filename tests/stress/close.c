/* SPDX-License-Identifier: MIT */
/*
 * close - loops closed in the middle of posts, stops, wakes and releases of other threads: run +
 * cancelled + refused = posted, exactly once each, and in the order of each poster.
 *
 * In a round the runner runs a new loop and closes it, in one of several ways; the posters post
 * until they are refused or at their end; the meddlers stop, wake, acquire, release and read the
 * counters. Each thread has a reference of its own, so that the last release falls to any of them.
 *
 * The first round is staged: one post each is sure to be run, cancelled and refused, however the
 * threads are scheduled. In the others nothing waits for anything.
 *
 * GYRE_STRESS_ROUNDS sets the number of rounds.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    POSTERS = 4,
    MEDDLERS = 2,
    RUNNER = POSTERS + MEDDLERS,
    THREADS = RUNNER + 1,
    POSTS = 300, /* of each poster and round */
    BATCH = 4,
    BOUND = 128 /* of the rounds with a bounded loop */
};

/* How a round's loop ends. */
enum ending {
    CLOSES, /* its runner closes it */
    DESTROYS, /* its runner destroys it */
    RELEASES, /* the last of all releases closes it, on whatever thread */
    ANOTHER_CLOSES, /* a meddler closes it, when the runner is out */
    ENDINGS
};

/* How far the staged round is. */
enum stage {
    BEGUN,
    RAN, /* a post has been run: the meddlers may begin */
    IS_OUT, /* the runner is out of the loop: poster 1 makes its last post */
    POSTED, /* the close is sure to meet that post */
    CLOSED /* poster 0 makes its last post */
};

struct item {
    struct gyre_task task;
    struct poster *poster;
    unsigned number;
    unsigned run; /* written by whoever runs or closes the loop */
    unsigned cancelled;
    unsigned refused; /* written by the poster */
};

struct poster {
    struct item items[POSTS];
    unsigned next; /* no post with a smaller number may come: written as `run` is */
};

struct totals {
    uint64_t posted;
    uint64_t run;
    uint64_t cancelled;
    uint64_t refused;
};

static struct {
    struct gyre_loop *loop;
    pthread_barrier_t begins;
    pthread_barrier_t ended;
    struct poster posters[POSTERS];
    enum ending ending;
    bool bounded;
    uint64_t rounds;
    uint64_t seed;
    bool staged;
    _Atomic int stage;
    struct totals totals;
} field;

/* ---- stages ---------------------------------------------------------------------------------- */

static bool is_reached(enum stage stage)
{
    /* acquire: what the runner did is seen by who closes for it, as the user has to see to */
    return atomic_load_explicit(&field.stage, memory_order_acquire) >= (int)stage;
}

static void reach(enum stage stage)
{
    if (!is_reached(stage)) /* one thread each may: the stages follow one another */
        atomic_store_explicit(&field.stage, stage, memory_order_release); /* see is_reached */
}

static void await_if_staged(enum stage stage)
{
    while (field.staged && !is_reached(stage))
        crew_spin(500);
}

/* ---- what runs ------------------------------------------------------------------------------- */

static int never(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, -12345); /* fails */
    return 0;
}

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    struct item *item = arg;
    CHECK_GE(item->number, item->poster->next);
    item->poster->next = item->number + 1;
    if (status == 0) {
        item->run++;
        reach(RAN);
        return 0;
    }
    item->cancelled++;
    CHECK_EQ(status, -ECANCELED);
    int r = gyre_loop_add_callback(loop, never, NULL);
    /* Who is about to be refused may hold the room of a bounded loop for a moment. */
    if (!field.bounded || r != -EAGAIN)
        CHECK_EQ(r, -ESHUTDOWN);
    return 0;
}

/* ---- posters --------------------------------------------------------------------------------- */

static void account(struct item *items, unsigned count, int r)
{
    if (r == 0)
        return;
    if (r != -ESHUTDOWN)
        CHECK_EQ(r, -EAGAIN);
    CHECK(r == -ESHUTDOWN || field.bounded);
    for (unsigned i = 0; i < count; i++)
        items[i].refused++;
}

static void hold_the_last_post(unsigned me)
{
    if (me == 0 && field.ending != RELEASES)
        await_if_staged(CLOSED);
    if (me == 1)
        await_if_staged(IS_OUT);
}

static void post_round(unsigned me, uint64_t *chance)
{
    struct poster *poster = &field.posters[me];
    struct gyre_task *tasks[BATCH];
    unsigned count;
    for (unsigned at = 0; at < POSTS; at += count) {
        struct item *item = &poster->items[at];
        uint64_t dice = crew_random(chance);
        count = dice % 4 == 0 && at + BATCH < POSTS ? BATCH : 1;
        if (at == POSTS - 1)
            hold_the_last_post(me);
        for (unsigned i = 0; i < count; i++)
            tasks[i] = &item[i].task;
        if (count > 1)
            account(item, count, gyre_loop_post_batch(field.loop, tasks, count));
        else if (dice % 4 == 1)
            account(item, 1, gyre_loop_post(field.loop, tasks[0]));
        else
            account(item, 1, gyre_loop_add_callback(field.loop, arrive, item));
        if (dice % 64 == 2)
            crew_spin((dice >> 8) % 4000);
    }
    if (me == 1 && field.staged)
        reach(POSTED);
}

/* ---- meddlers -------------------------------------------------------------------------------- */

static void meddle(uint64_t *chance)
{
    struct gyre_loop_stats stats;
    unsigned count = (unsigned)(crew_random(chance) % 100);
    await_if_staged(RAN);
    for (unsigned i = 0; i < count; i++) {
        uint64_t dice = crew_random(chance);
        switch (dice % 4) {
        case 0:
            gyre_loop_wake(field.loop);
            break;
        case 1:
            gyre_loop_release(gyre_loop_acquire(field.loop));
            break;
        case 2:
            gyre_loop_stats(field.loop, &stats);
            break;
        case 3:
            crew_spin((dice >> 8) % 2000);
            break;
        }
        if (dice % 32 == 31)
            CHECK_EQ(gyre_loop_stop(field.loop), 0);
    }
    CHECK_EQ(gyre_loop_stop(field.loop), 0); /* whatever happened before: the runner comes out */
}

static void close_for_runner(void)
{
    while (!is_reached(IS_OUT)) {
        gyre_loop_stop(field.loop); /* one each for all the runs of the runner */
        crew_spin(500);
    }
    await_if_staged(POSTED);
    CHECK_EQ(gyre_loop_close(field.loop, 0), 0);
    CHECK_EQ(gyre_loop_close(field.loop, 0), 0); /* harmless */
    reach(CLOSED);
}

/* ---- runner ---------------------------------------------------------------------------------- */

static void run_round(uint64_t *chance)
{
    int r = gyre_loop_run(field.loop);
    CHECK_EQ(r, 0);
    if (field.ending == ANOTHER_CLOSES && crew_random(chance) % 2 == 0)
        CHECK_EQ(gyre_loop_run(field.loop), 0);
    crew_spin(crew_random(chance) % 4000);
    reach(IS_OUT);
    if (field.ending == CLOSES || field.ending == DESTROYS)
        await_if_staged(POSTED);
    switch (field.ending) {
    case CLOSES:
        CHECK_EQ(gyre_loop_close(field.loop, GYRE_CLOSE_ALL_FDS), 0);
        CHECK_EQ(gyre_loop_run(field.loop), -ESHUTDOWN);
        CHECK_EQ(gyre_loop_stop(field.loop), 0);
        gyre_loop_release(field.loop);
        reach(CLOSED);
        break;
    case DESTROYS:
        gyre_loop_destroy(field.loop);
        reach(CLOSED);
        break;
    case RELEASES:
    case ANOTHER_CLOSES:
    case ENDINGS:
        gyre_loop_release(field.loop);
        break;
    }
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static void prepare(uint64_t round)
{
    field.bounded = field.ending == CLOSES && round % 2 == 1;
    field.loop = crew_loop_make(field.bounded ? BOUND : 0);
    for (unsigned i = 1; i < THREADS; i++)
        gyre_loop_acquire(field.loop);
    field.staged = round == 0;
    atomic_store_explicit(&field.stage, BEGUN, memory_order_relaxed);
    for (unsigned i = 0; i < POSTERS; i++) {
        struct poster *poster = &field.posters[i];
        poster->next = 0;
        for (unsigned at = 0; at < POSTS; at++) {
            poster->items[at] = (struct item){.poster = poster, .number = at};
            gyre_task_init(&poster->items[at].task, arrive, &poster->items[at]);
        }
    }
}

static void judge(void)
{
    for (unsigned i = 0; i < POSTERS * POSTS; i++) {
        const struct item *item = &field.posters[i / POSTS].items[i % POSTS];
        field.totals.posted++;
        field.totals.run += item->run;
        field.totals.cancelled += item->cancelled;
        field.totals.refused += item->refused;
        if (item->run + item->cancelled + item->refused == 1)
            continue;
        plain_note("poster %u, post %u: run %u, cancelled %u, refused %u", i / POSTS, i % POSTS,
                   item->run, item->cancelled, item->refused);
        CHECK_EQ(item->run + item->cancelled + item->refused, 1);
    }
}

static void take_part(unsigned me, void *arg)
{
    (void)arg;
    uint64_t chance = field.seed + me * 1000;
    for (uint64_t round = 0; round < field.rounds; round++) {
        pthread_barrier_wait(&field.begins);
        if (me == RUNNER) {
            run_round(&chance);
        } else {
            if (me < POSTERS)
                post_round(me, &chance);
            else
                meddle(&chance);
            if (me == POSTERS && field.ending == ANOTHER_CLOSES)
                close_for_runner();
            gyre_loop_release(field.loop);
        }
        pthread_barrier_wait(&field.ended);
    }
}

static void run_rounds(enum ending ending)
{
    struct crew crew;
    field.ending = ending;
    field.rounds = crew_size("GYRE_STRESS_ROUNDS", 2000, 200);
    field.seed = crew_seed() + ending;
    field.totals = (struct totals){0};
    pthread_barrier_init(&field.begins, NULL, THREADS + 1);
    pthread_barrier_init(&field.ended, NULL, THREADS + 1);
    crew_start(&crew, THREADS, take_part, NULL);
    for (uint64_t round = 0; round < field.rounds; round++) {
        prepare(round);
        pthread_barrier_wait(&field.begins);
        pthread_barrier_wait(&field.ended);
        judge();
    }
    crew_join(&crew);
    pthread_barrier_destroy(&field.begins);
    pthread_barrier_destroy(&field.ended);
    const struct totals *totals = &field.totals;
    CHECK_EQ(totals->run + totals->cancelled + totals->refused, totals->posted);
    CHECK_NE(totals->run, 0); /* the case is one: all of what may happen did */
    CHECK_NE(totals->cancelled, 0);
    CHECK(ending == RELEASES || totals->refused != 0);
    CHECK(ending != RELEASES || totals->refused == 0); /* whoever posts has it open */
    plain_note("%llu rounds: %llu run, %llu cancelled, %llu refused",
               (unsigned long long)field.rounds, (unsigned long long)totals->run,
               (unsigned long long)totals->cancelled, (unsigned long long)totals->refused);
}

static void closed_by_its_runner_each_post_ends_once(void)
{
    run_rounds(CLOSES);
}

static void destroyed_by_its_runner_each_post_ends_once(void)
{
    run_rounds(DESTROYS);
}

static void closed_by_the_last_release_each_post_ends_once(void)
{
    run_rounds(RELEASES);
}

static void closed_by_another_thread_each_post_ends_once(void)
{
    run_rounds(ANOTHER_CLOSES);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(closed_by_its_runner_each_post_ends_once),
    PLAIN_CASE(destroyed_by_its_runner_each_post_ends_once),
    PLAIN_CASE(closed_by_the_last_release_each_post_ends_once),
    PLAIN_CASE(closed_by_another_thread_each_post_ends_once),
};
PLAIN_MAIN(cases)
