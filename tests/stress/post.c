/* SPDX-License-Identifier: MIT */
/*
 * post - many threads post to several loops, by all forms mixed: each call runs exactly once, on
 * the right loop, and in the order of its thread.
 *
 * A lane is one poster's row of posts to one loop. Its posts are numbered; the loop checks that the
 * number that comes is the next, which is both order and exactly once. At most WINDOW posts of a
 * lane are under way, so that the task of post n may be used again by post n + WINDOW.
 *
 * GYRE_STRESS_POSTS sets the number of posts of the first case.
 */
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    POSTERS = 8,
    LOOPS = 2,
    LANES = POSTERS * LOOPS,
    WINDOW = 4096,
    BATCH_MAX = 16,
    LINE = 64,
    NUMBER_BITS = 48 /* of a callback's argument; the lane stands above */
};

struct lane {
    _Alignas(LINE) _Atomic uint64_t run; /* the loop's */
    _Alignas(LINE) uint64_t posted; /* the poster's */
    struct gyre_loop *loop;
    struct item {
        struct gyre_task task;
        struct lane *lane;
        uint64_t number;
    } items[WINDOW];
};

static struct lane *lanes;

static void make_lanes(unsigned count)
{
    lanes = aligned_alloc(LINE, count * sizeof(*lanes));
    for (unsigned i = 0; i < count; i++) {
        lanes[i].loop = NULL;
        lanes[i].posted = 0;
        atomic_init(&lanes[i].run, 0);
    }
}

/* ---- what runs ------------------------------------------------------------------------------- */

static int arrive(struct gyre_loop *loop, int status, struct lane *lane, uint64_t number)
{
    /* relaxed: this loop alone writes it */
    uint64_t run = atomic_load_explicit(&lane->run, memory_order_relaxed);
    if (status != 0 || loop != lane->loop || number != run) {
        CHECK_EQ(status, 0);
        CHECK(loop == lane->loop);
        CHECK_EQ(number, run);
    }
    /* release: the poster may use the task again */
    atomic_store_explicit(&lane->run, run + 1, memory_order_release);
    return 0;
}

static int arrive_callback(struct gyre_loop *loop, int status, void *arg)
{
    uint64_t word = (uintptr_t)arg;
    return arrive(loop, status, &lanes[word >> NUMBER_BITS],
                  word & ((UINT64_C(1) << NUMBER_BITS) - 1));
}

static int arrive_task(struct gyre_loop *loop, int status, void *arg)
{
    struct item *item = arg;
    return arrive(loop, status, item->lane, item->number);
}

/* ---- posting --------------------------------------------------------------------------------- */

static void *next_word(struct lane *lane)
{
    uint64_t at = (uint64_t)(lane - lanes);
    return (void *)(uintptr_t)(at << NUMBER_BITS | lane->posted);
}

static struct gyre_task *next_task(struct lane *lane, uint64_t ahead)
{
    struct item *item = &lane->items[(lane->posted + ahead) % WINDOW];
    item->lane = lane;
    item->number = lane->posted + ahead;
    gyre_task_init(&item->task, arrive_task, item);
    return &item->task;
}

static int post_batch(struct lane *lane, uint64_t count)
{
    struct gyre_task *tasks[BATCH_MAX];
    for (uint64_t i = 0; i < count; i++)
        tasks[i] = next_task(lane, i);
    return gyre_loop_post_batch(lane->loop, tasks, count);
}

/* Posts up to `left` numbers of a lane by a form that `dice` chooses; returns how many. */
static uint64_t post_some(struct lane *lane, uint64_t dice, uint64_t left)
{
    uint64_t count = 1;
    int r = -1;
    switch (dice % 4) {
    case 0:
        r = gyre_loop_add_callback(lane->loop, arrive_callback, next_word(lane));
        break;
    case 1:
        r = gyre_loop_spawn_callback(lane->loop, arrive_callback, next_word(lane));
        break;
    case 2:
        r = gyre_loop_post(lane->loop, next_task(lane, 0));
        break;
    case 3:
        count = 1 + (dice >> 8) % BATCH_MAX;
        count = count < left ? count : left;
        r = post_batch(lane, count);
        break;
    }
    if (r != 0)
        CHECK_EQ(r, 0);
    lane->posted += count;
    return count;
}

static bool has_room(const struct lane *lane)
{
    /* acquire: pairs with the release in arrive */
    uint64_t run = atomic_load_explicit(&lane->run, memory_order_acquire);
    return lane->posted - run <= WINDOW - BATCH_MAX;
}

static void post_all(unsigned me, void *arg)
{
    uint64_t left = *(const uint64_t *)arg;
    uint64_t chance = crew_seed() + me;
    while (left > 0) {
        uint64_t dice = crew_random(&chance);
        struct lane *lane = &lanes[me * LOOPS + (dice >> 32) % LOOPS];
        while (!has_room(lane))
            sched_yield();
        left -= post_some(lane, dice, left);
    }
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void check_loop(struct crew_loop *it, unsigned number)
{
    struct gyre_loop_stats stats;
    uint64_t posted = 0;
    for (unsigned lane = number; lane < LANES; lane += LOOPS) {
        CHECK_EQ(atomic_load_explicit(&lanes[lane].run, memory_order_relaxed), lanes[lane].posted);
        posted += lanes[lane].posted;
    }
    gyre_loop_stats(it->loop, &stats);
    CHECK_EQ(stats.posts, posted);
    CHECK_EQ(stats.callbacks, posted);
    CHECK_GE(stats.queue_max, 1);
    plain_note("loop %u: %llu posts, %llu turns, %llu sleeps, %llu wakes written", number,
               (unsigned long long)stats.posts, (unsigned long long)stats.turns,
               (unsigned long long)stats.sleeps, (unsigned long long)stats.wakes_written);
}

static void posts_of_eight_threads_run_once_each_and_in_order(void)
{
    uint64_t each = crew_size("GYRE_STRESS_POSTS", 10000000, 1000000) / POSTERS;
    struct crew_loop loops[LOOPS];
    struct crew posters;

    (void)crew_seed();
    make_lanes(LANES);
    for (unsigned i = 0; i < LOOPS; i++)
        crew_loop_run(&loops[i], crew_loop_make(0));
    for (unsigned i = 0; i < LANES; i++)
        lanes[i].loop = loops[i % LOOPS].loop;
    double began = crew_now_s();
    crew_start(&posters, POSTERS, post_all, &each);
    crew_join(&posters);
    for (unsigned i = 0; i < LOOPS; i++)
        crew_loop_end(&loops[i]);
    double took = crew_now_s() - began;
    plain_note("%llu posts in %.2f s: %.2f million a second", (unsigned long long)each * POSTERS,
               took, (double)each * POSTERS / took / 1e6);
    for (unsigned i = 0; i < LOOPS; i++) {
        check_loop(&loops[i], i);
        gyre_loop_destroy(loops[i].loop);
    }
    free(lanes);
}

/* A callback that posts itself again until told to end: its loop never sleeps. */
struct busy {
    struct gyre_task task;
    _Atomic bool ends;
    _Atomic uint64_t turns;
};

static int stay_busy(struct gyre_loop *loop, int status, void *arg)
{
    struct busy *busy = arg;
    CHECK_EQ(status, 0);
    atomic_fetch_add_explicit(&busy->turns, 1, memory_order_relaxed);
    if (!atomic_load_explicit(&busy->ends, memory_order_relaxed))
        CHECK_EQ(gyre_loop_post(loop, &busy->task), 0);
    return 0;
}

static void a_loop_that_is_awake_is_never_woken(void)
{
    uint64_t each = crew_size("GYRE_STRESS_AWAKE", 400000, 40000) / POSTERS;
    struct gyre_loop_stats before;
    struct gyre_loop_stats after;
    struct busy busy = {.ends = false};
    struct crew_loop it;
    struct crew posters;

    make_lanes(LANES);
    gyre_task_init(&busy.task, stay_busy, &busy);
    struct gyre_loop *loop = crew_loop_make(0);
    for (unsigned i = 0; i < LANES; i++)
        lanes[i].loop = loop;
    CHECK_EQ(gyre_loop_post(loop, &busy.task), 0);
    crew_loop_run(&it, loop);
    CHECK(crew_wait_above(&busy.turns, 10));
    gyre_loop_stats(loop, &before);
    crew_start(&posters, POSTERS, post_all, &each);
    for (uint64_t i = 0; i < each; i++)
        gyre_loop_wake(loop);
    crew_join(&posters);
    gyre_loop_stats(loop, &after);
    CHECK_EQ(after.wakes_written, before.wakes_written);
    CHECK_EQ(after.sleeps, before.sleeps);
    CHECK_EQ(after.sleeps, 0);
    CHECK_GE(after.posts, each);

    atomic_store_explicit(&busy.ends, true, memory_order_relaxed);
    crew_loop_end(&it);
    for (unsigned i = 0; i < LANES; i++)
        CHECK_EQ(atomic_load_explicit(&lanes[i].run, memory_order_relaxed), lanes[i].posted);
    gyre_loop_destroy(loop);
    free(lanes);
}

/* Posts to its own loop by every form, from timers too, so that the loop sleeps in between. */
struct own {
    struct gyre_timer timer;
    struct gyre_task tasks[3];
    uint64_t run;
    uint64_t rounds;
};

static int count_own(struct gyre_loop *loop, int status, void *arg)
{
    struct own *own = arg;
    (void)loop;
    CHECK_EQ(status, 0);
    own->run++;
    return 0;
}

static int post_own(struct gyre_loop *loop, int status, void *arg)
{
    struct own *own = arg;
    struct gyre_task *batch[] = {&own->tasks[1], &own->tasks[2]};
    CHECK_EQ(status, 0);
    CHECK_EQ(gyre_loop_add_callback(loop, count_own, own), 0);
    CHECK_EQ(gyre_loop_spawn_callback(loop, count_own, own), 0);
    CHECK_EQ(gyre_loop_post(loop, &own->tasks[0]), 0);
    CHECK_EQ(gyre_loop_post_batch(loop, batch, 2), 0);
    gyre_loop_wake(loop);
    if (--own->rounds == 0)
        return gyre_loop_stop(loop);
    return gyre_timer_start(&own->timer, gyre_loop_now_ns(loop) + 20000);
}

static int stop_own(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    CHECK_EQ(status, 0);
    return gyre_loop_stop(loop);
}

static void a_loop_never_wakes_itself(void)
{
    uint64_t rounds = crew_size("GYRE_STRESS_OWN", 20000, 2000);
    struct gyre_loop *loop = crew_loop_make(0);
    struct own own = {.rounds = rounds};
    struct gyre_loop_stats stats;

    gyre_timer_init(&own.timer, loop, post_own, &own);
    for (unsigned i = 0; i < 3; i++)
        gyre_task_init(&own.tasks[i], count_own, &own);
    CHECK_EQ(gyre_timer_start(&own.timer, 0), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    gyre_loop_stop(loop); /* nobody is inside: the next run returns at once (T59) */
    CHECK_EQ(gyre_loop_run(loop), 0); /* and what is queued stays */
    CHECK_EQ(own.run, (rounds - 1) * 5);
    gyre_loop_stats(loop, &stats);
    CHECK_EQ(stats.wakes_written, 0);
    CHECK_EQ(stats.posts, 0);
    CHECK_GE(stats.sleeps, rounds / 2);
    gyre_timer_init(&own.timer, loop, stop_own, NULL);
    CHECK_EQ(gyre_timer_start(&own.timer, 0), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(own.run, rounds * 5);
    gyre_loop_destroy(loop);
}

/* ---- loops that post to loops ---------------------------------------------------------------- */

enum {
    PEERS = 3
};

struct peer {
    struct crew_loop it;
    struct gyre_task task; /* posts the next share to everybody */
    uint64_t chance;
    uint64_t left;
    unsigned index;
};

static struct peer peers[PEERS];
static _Atomic uint64_t peers_done;

static int post_to_peers(struct gyre_loop *loop, int status, void *arg)
{
    struct peer *peer = arg;
    CHECK_EQ(status, 0);
    for (unsigned i = 0; i < 64 && peer->left > 0; i++) {
        uint64_t dice = crew_random(&peer->chance);
        struct lane *lane = &lanes[peer->index * PEERS + (dice >> 32) % PEERS];
        if (has_room(lane))
            peer->left -= post_some(lane, dice, peer->left);
    }
    if (peer->left > 0)
        return gyre_loop_post(loop, &peer->task);
    atomic_fetch_add_explicit(&peers_done, 1, memory_order_release);
    return 0;
}

static void loops_post_to_each_other_in_order(void)
{
    uint64_t each = crew_size("GYRE_STRESS_PEERS", 1000000, 100000);

    make_lanes(PEERS * PEERS);
    atomic_store_explicit(&peers_done, 0, memory_order_relaxed);
    for (unsigned i = 0; i < PEERS; i++) {
        struct peer *peer = &peers[i];
        *peer = (struct peer){.chance = crew_seed() + i, .left = each, .index = i};
        gyre_task_init(&peer->task, post_to_peers, peer);
        peer->it.loop = crew_loop_make(0);
        for (unsigned from = 0; from < PEERS; from++)
            lanes[from * PEERS + i].loop = peer->it.loop;
    }
    for (unsigned i = 0; i < PEERS; i++)
        CHECK_EQ(gyre_loop_post(peers[i].it.loop, &peers[i].task), 0);
    for (unsigned i = 0; i < PEERS; i++)
        crew_loop_run(&peers[i].it, peers[i].it.loop);
    CHECK(crew_wait_above(&peers_done, PEERS - 1));
    for (unsigned i = 0; i < PEERS; i++)
        crew_loop_end(&peers[i].it);
    for (unsigned i = 0; i < PEERS * PEERS; i++)
        CHECK_EQ(atomic_load_explicit(&lanes[i].run, memory_order_relaxed), lanes[i].posted);
    for (unsigned i = 0; i < PEERS; i++)
        gyre_loop_destroy(peers[i].it.loop);
    free(lanes);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(posts_of_eight_threads_run_once_each_and_in_order),
    PLAIN_CASE(a_loop_that_is_awake_is_never_woken),
    PLAIN_CASE(a_loop_never_wakes_itself),
    PLAIN_CASE(loops_post_to_each_other_in_order),
};
PLAIN_MAIN(cases)
