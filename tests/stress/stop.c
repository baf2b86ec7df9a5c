/* SPDX-License-Identifier: MIT */
/*
 * stop - storms of stops and wakes from many threads, a loop run by many threads in turn, and the
 * ping-pong of two sleeping loops: no stop, wake or post is lost.
 *
 * A lost one shows as a wait that does not end: CREW_PATIENCE_S later it is a failure.
 */
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    STOPPERS = 4
};

/* ---- stops ----------------------------------------------------------------------------------- */

/* A loop that one thread runs again and again, and what others have done to it. */
static struct {
    struct gyre_loop *loop;
    _Atomic uint64_t runs; /* that have ended */
    _Atomic uint64_t stops; /* called, or about to be */
    _Atomic uint64_t posted;
    uint64_t arrived; /* the runner's */
    uint64_t each;
    _Atomic bool over;
} storm;

static void storm_begin(uint64_t each)
{
    storm.loop = crew_loop_make(0);
    atomic_store_explicit(&storm.runs, 0, memory_order_relaxed);
    atomic_store_explicit(&storm.stops, 0, memory_order_relaxed);
    atomic_store_explicit(&storm.posted, 0, memory_order_relaxed);
    atomic_store_explicit(&storm.over, false, memory_order_relaxed);
    storm.arrived = 0;
    storm.each = each;
}

static void run_again_and_again(unsigned me, void *arg)
{
    (void)me;
    (void)arg;
    while (!atomic_load_explicit(&storm.over, memory_order_relaxed)) {
        CHECK_EQ(gyre_loop_run(storm.loop), 0);
        uint64_t runs = atomic_load_explicit(&storm.runs, memory_order_relaxed) + 1;
        if (runs > atomic_load_explicit(&storm.stops, memory_order_acquire))
            CHECK(!"a run ended that nobody had stopped");
        atomic_store_explicit(&storm.runs, runs, memory_order_release);
    }
}

static void stop_and_see(unsigned me, void *arg)
{
    uint64_t chance = crew_seed() + me;
    (void)arg;
    for (uint64_t i = 0; i < storm.each; i++) {
        uint64_t before = atomic_load_explicit(&storm.runs, memory_order_acquire);
        /* release: the runner counts the stop before it can see what it did */
        atomic_fetch_add_explicit(&storm.stops, 1, memory_order_release);
        if (gyre_loop_stop(storm.loop) != 0)
            CHECK(!"a stop was refused");
        if (!crew_wait_above(&storm.runs, before)) {
            CHECK(!"a stop was lost");
            return;
        }
        crew_spin(crew_random(&chance) % 2000);
    }
}

static void storm_end(struct crew *runner)
{
    atomic_store_explicit(&storm.over, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&storm.stops, 1, memory_order_release);
    gyre_loop_stop(storm.loop);
    crew_join(runner);
    crew_loop_check(storm.loop);
    plain_note("%llu stops ended %llu runs",
               (unsigned long long)atomic_load_explicit(&storm.stops, memory_order_relaxed),
               (unsigned long long)atomic_load_explicit(&storm.runs, memory_order_relaxed));
}

/* A wake uses the same node as a stop: one must not carry the other's request away. */
static void wake_again_and_again(unsigned me, void *arg)
{
    uint64_t chance = crew_seed() + 200 + me;
    (void)arg;
    while (!atomic_load_explicit(&storm.over, memory_order_relaxed)) {
        gyre_loop_wake(storm.loop);
        crew_spin(crew_random(&chance) % 300);
    }
}

/* Each stop is followed by the end of a run, and each end of a run was preceded by a stop. */
static void no_stop_is_lost_and_none_counts_twice(void)
{
    struct crew runner;
    struct crew stoppers;
    struct crew waker;
    storm_begin(crew_size("GYRE_STRESS_STOPS", 20000, 3000));
    crew_start(&runner, 1, run_again_and_again, NULL);
    crew_start(&waker, 1, wake_again_and_again, NULL);
    crew_start(&stoppers, STOPPERS, stop_and_see, NULL);
    crew_join(&stoppers);
    storm_end(&runner);
    crew_join(&waker);
    gyre_loop_destroy(storm.loop);
}

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, 0);
    storm.arrived++;
    return 0;
}

static void post_into_storm(unsigned me, void *arg)
{
    uint64_t chance = crew_seed() + 100 + me;
    (void)arg;
    for (uint64_t i = 0; i < storm.each * 4; i++) {
        if (gyre_loop_add_callback(storm.loop, arrive, NULL) != 0)
            CHECK(!"a post was refused");
        atomic_fetch_add_explicit(&storm.posted, 1, memory_order_relaxed);
        crew_spin(crew_random(&chance) % 200);
    }
}

/* What is queued when a run ends stays for the next (T60). */
static void stops_lose_no_post(void)
{
    struct crew runner;
    struct crew stoppers;
    struct crew posters;
    storm_begin(crew_size("GYRE_STRESS_STOPS", 20000, 3000) / 2);
    crew_start(&runner, 1, run_again_and_again, NULL);
    crew_start(&stoppers, 2, stop_and_see, NULL);
    crew_start(&posters, 2, post_into_storm, NULL);
    crew_join(&stoppers);
    crew_join(&posters);
    storm_end(&runner);

    struct crew_loop rest;
    crew_loop_run(&rest, storm.loop); /* what the last stop left */
    crew_loop_end(&rest);
    CHECK_EQ(storm.arrived, atomic_load_explicit(&storm.posted, memory_order_relaxed));
    gyre_loop_destroy(storm.loop);
}

/* Two stops of one run are one: the second must not end the next run (T59). */
struct twice {
    sem_t asked;
    sem_t stopped;
    struct gyre_loop *loop;
    uint64_t rounds;
    unsigned run;
};

static void stop_when_asked(unsigned me, void *arg)
{
    struct twice *twice = arg;
    (void)me;
    for (uint64_t i = 0; i < twice->rounds; i++) {
        sem_wait(&twice->asked);
        gyre_loop_stop(twice->loop);
        sem_post(&twice->stopped);
    }
}

static int stop_twice(struct gyre_loop *loop, int status, void *arg)
{
    struct twice *twice = arg;
    CHECK_EQ(status, 0);
    CHECK_EQ(gyre_loop_stop(loop), 0);
    sem_post(&twice->asked);
    sem_wait(&twice->stopped);
    twice->run++;
    return 0;
}

static void stops_of_one_run_count_as_one(void)
{
    struct twice twice = {.loop = crew_loop_make(0), .rounds = 200};
    struct gyre_task task;
    struct crew other;
    sem_init(&twice.asked, 0, 0);
    sem_init(&twice.stopped, 0, 0);
    crew_start(&other, 1, stop_when_asked, &twice);
    gyre_task_init(&task, stop_twice, &twice);
    for (unsigned i = 1; i <= twice.rounds; i++) {
        CHECK_EQ(gyre_loop_post(twice.loop, &task), 0);
        CHECK_EQ(gyre_loop_run(twice.loop), 0);
        if (!CHECK_EQ(twice.run, i)) {
            CHECK_EQ(gyre_loop_run(twice.loop), 0); /* the task is queued: let it run */
            i = twice.run;
        }
    }
    crew_join(&other);
    gyre_loop_destroy(twice.loop);
    sem_destroy(&twice.asked);
    sem_destroy(&twice.stopped);
}

/* ---- wakes ----------------------------------------------------------------------------------- */

static struct crew_observer observer;

static void wake_and_see(unsigned me, void *arg)
{
    uint64_t chance = crew_seed() + me;
    (void)arg;
    for (uint64_t i = 0; i < storm.each; i++) {
        uint64_t before = atomic_fetch_add_explicit(&observer.asked, 1, memory_order_relaxed);
        gyre_loop_wake(storm.loop);
        if (!crew_wait_above(&observer.seen, before)) {
            CHECK(!"a wake was lost");
            return;
        }
        crew_spin(crew_random(&chance) % 2000);
    }
}

/* After each wake a turn takes what is posted: the wake itself, if nothing else. */
static void no_wake_is_lost(void)
{
    struct crew_loop it;
    struct crew wakers;
    struct gyre_loop_stats stats;
    storm.loop = crew_loop_make_observed(&observer);
    storm.each = crew_size("GYRE_STRESS_WAKES", 20000, 3000);
    crew_loop_run(&it, storm.loop);
    crew_start(&wakers, STOPPERS, wake_and_see, NULL);
    crew_join(&wakers);
    crew_loop_end(&it);
    gyre_loop_stats(storm.loop, &stats);
    CHECK_EQ(stats.callbacks, 0);
    CHECK_EQ(stats.posts, 0);
    plain_note("%llu wakes: %llu turns, %llu sleeps, %llu wakes written",
               (unsigned long long)storm.each * STOPPERS, (unsigned long long)stats.turns,
               (unsigned long long)stats.sleeps, (unsigned long long)stats.wakes_written);
    gyre_loop_destroy(storm.loop);
}

/* ---- threads in turn ------------------------------------------------------------------------- */

/*
 * The loop goes round from thread to thread (T52). Whoever has just run it posts to it, while the
 * next one runs it: a post from its own thread by every mark but the one that counts.
 */
struct baton {
    struct gyre_loop *loop;
    uint64_t turns;
    uint64_t arrived; /* the runner's */
};

static int pass_on(struct gyre_loop *loop, int status, void *arg)
{
    struct baton *baton = arg;
    CHECK_EQ(status, 0);
    baton->arrived++;
    return gyre_loop_stop(loop);
}

static void a_loop_run_by_new_threads_in_turn_loses_no_wake(void)
{
    struct baton baton = {.loop = crew_loop_make(0)};
    struct gyre_task task;
    struct crew_loop it;
    baton.turns = crew_size("GYRE_STRESS_TURNS", 5000, 1000);
    gyre_task_init(&task, pass_on, &baton);
    for (uint64_t i = 0; i < baton.turns; i++) {
        crew_loop_run(&it, baton.loop); /* a new thread, whose identity an old one had */
        if (i % 2 == 0)
            crew_spin(i % 64 * 500);
        CHECK_EQ(gyre_loop_post(baton.loop, &task), 0);
        pthread_join(it.thread, NULL);
        CHECK_EQ(it.result, 0);
    }
    CHECK_EQ(baton.arrived, baton.turns);
    crew_loop_check(baton.loop);
    gyre_loop_destroy(baton.loop);
}

static pthread_barrier_t all_there;

/* All threads meet at each turn; one of them runs, the one that ran before it posts. */
static void run_or_post(unsigned me, void *arg)
{
    struct baton *baton = arg;
    struct gyre_task task;
    gyre_task_init(&task, pass_on, baton);
    for (uint64_t turn = 0; turn < baton->turns; turn++) {
        pthread_barrier_wait(&all_there);
        if (turn % STOPPERS == me)
            CHECK_EQ(gyre_loop_run(baton->loop), 0);
        else if ((turn + STOPPERS - 1) % STOPPERS == me)
            CHECK_EQ(gyre_loop_post(baton->loop, &task), 0);
        else
            gyre_loop_wake(baton->loop);
        pthread_barrier_wait(&all_there); /* the task may be used again */
    }
}

static void a_loop_run_by_the_same_threads_in_turn_loses_no_wake(void)
{
    struct baton baton = {.loop = crew_loop_make(0)};
    struct crew crew;
    baton.turns = crew_size("GYRE_STRESS_TURNS", 5000, 1000);
    pthread_barrier_init(&all_there, NULL, STOPPERS);
    crew_start(&crew, STOPPERS, run_or_post, &baton);
    crew_join(&crew);
    pthread_barrier_destroy(&all_there);
    CHECK_EQ(baton.arrived, baton.turns);
    crew_loop_check(baton.loop);
    gyre_loop_destroy(baton.loop);
}

/* ---- ping-pong ------------------------------------------------------------------------------- */

static struct {
    struct crew_loop sides[2];
    struct gyre_loop *loops[2];
    struct gyre_task ball;
    uint64_t left;
    _Atomic uint64_t over;
} game;

static int hit(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    CHECK_EQ(status, 0);
    if (--game.left == 0) {
        atomic_store_explicit(&game.over, 1, memory_order_release);
        return 0;
    }
    return gyre_loop_post(game.loops[loop == game.loops[0]], &game.ball);
}

static void two_sleeping_loops_play_ping_pong(void)
{
    uint64_t hits = crew_size("GYRE_STRESS_HITS", 300000, 60000);
    uint64_t sleeps = 0;
    game.left = hits;
    atomic_store_explicit(&game.over, 0, memory_order_relaxed);
    gyre_task_init(&game.ball, hit, NULL);
    game.loops[0] = crew_loop_make(0);
    game.loops[1] = crew_loop_make(0);
    double began = crew_now_s();
    CHECK_EQ(gyre_loop_post(game.loops[0], &game.ball), 0);
    crew_loop_run(&game.sides[0], game.loops[0]);
    crew_loop_run(&game.sides[1], game.loops[1]);
    sem_t nobody; /* this thread leaves the CPUs to the players */
    sem_init(&nobody, 0, 0);
    while (atomic_load_explicit(&game.over, memory_order_acquire) == 0 &&
           crew_now_s() - began < 3 * CREW_PATIENCE_S) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 20000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        sem_timedwait(&nobody, &until);
    }
    sem_destroy(&nobody);
    double took = crew_now_s() - began;
    CHECK(atomic_load_explicit(&game.over, memory_order_acquire) != 0); /* else a wake was lost */
    for (unsigned i = 0; i < 2; i++) {
        struct gyre_loop_stats stats;
        crew_loop_end(&game.sides[i]);
        gyre_loop_stats(game.loops[i], &stats);
        sleeps += stats.sleeps;
        plain_note("side %u: %llu posts, %llu sleeps, %llu wakes written", i,
                   (unsigned long long)stats.posts, (unsigned long long)stats.sleeps,
                   (unsigned long long)stats.wakes_written);
    }
    CHECK_GE(sleeps, hits / 4); /* the players slept, or this shows nothing */
    plain_note("%llu hits in %.2f s: %.1f us a hit", (unsigned long long)hits, took,
               took * 1e6 / (double)hits);
    gyre_loop_destroy(game.loops[0]);
    gyre_loop_destroy(game.loops[1]);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(no_stop_is_lost_and_none_counts_twice),
    PLAIN_CASE(stops_lose_no_post),
    PLAIN_CASE(stops_of_one_run_count_as_one),
    PLAIN_CASE(no_wake_is_lost),
    PLAIN_CASE(a_loop_run_by_new_threads_in_turn_loses_no_wake),
    PLAIN_CASE(a_loop_run_by_the_same_threads_in_turn_loses_no_wake),
    PLAIN_CASE(two_sleeping_loops_play_ping_pong),
};
PLAIN_MAIN(cases)
