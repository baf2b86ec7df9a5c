/* SPDX-License-Identifier: MIT */
/*
 * bounded - loops that accept at most so many posts that have not run: the bound is never
 * exceeded, what is refused is refused with -EAGAIN, and what is accepted runs.
 *
 * The library makes room right before it calls a function, so that the running one does not count.
 */
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    POSTERS = 4,
    BOUND = 64,
    BATCH = 5,
    ITEMS = 128,
    ROUNDS = 50
};

static struct {
    struct gyre_loop *loop;
    sem_t held; /* the loop's thread is inside a callback */
    sem_t let_go;
    uint64_t each;
    _Atomic uint64_t next[POSTERS]; /* the loop's: the number that is to come */
    uint64_t run; /* the loop's */
    _Atomic uint64_t accepted;
    _Atomic uint64_t refused;
    _Atomic int64_t under_way; /* never more than are */
} field;

static void begin(uint64_t each)
{
    field.loop = crew_loop_make(BOUND);
    sem_init(&field.held, 0, 0);
    sem_init(&field.let_go, 0, 0);
    field.each = each;
    field.run = 0;
    for (unsigned i = 0; i < POSTERS; i++)
        atomic_store_explicit(&field.next[i], 0, memory_order_relaxed);
    atomic_store_explicit(&field.accepted, 0, memory_order_relaxed);
    atomic_store_explicit(&field.refused, 0, memory_order_relaxed);
    atomic_store_explicit(&field.under_way, 0, memory_order_relaxed);
}

static void finish(void)
{
    struct gyre_loop_stats stats;
    gyre_loop_stats(field.loop, &stats);
    CHECK_LE(stats.queue_max, BOUND);
    gyre_loop_destroy(field.loop);
    sem_destroy(&field.held);
    sem_destroy(&field.let_go);
}

/* ---- a held loop ----------------------------------------------------------------------------- */

static int hold(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, 0);
    sem_post(&field.held);
    sem_wait(&field.let_go);
    return 0;
}

static int count(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, 0);
    field.run++;
    return 0;
}

static void fill(unsigned me, void *arg)
{
    unsigned refusals = 0;
    (void)me;
    (void)arg;
    while (refusals < 10) {
        int r = gyre_loop_add_callback(field.loop, count, NULL);
        if (r == 0) {
            atomic_fetch_add_explicit(&field.accepted, 1, memory_order_relaxed);
            continue;
        }
        CHECK_EQ(r, -EAGAIN);
        refusals++;
    }
}

/* Lets the loop go on, and holds it again behind all that was accepted. */
static void run_what_is_there(struct gyre_task *holder)
{
    sem_post(&field.let_go);
    while (gyre_loop_post(field.loop, holder) == -EAGAIN)
        sched_yield();
    sem_wait(&field.held);
}

/* While nothing runs, all posters together get in as many as the bound says, to the last one. */
static void a_held_loop_accepts_exactly_its_bound(void)
{
    struct crew_loop it;
    struct crew crew;
    struct gyre_task holder;
    struct gyre_task tasks[BOUND + 1];
    struct gyre_task *batch[BOUND + 1];
    begin(0);
    crew_loop_run(&it, field.loop);
    gyre_task_init(&holder, hold, NULL);
    for (unsigned i = 0; i <= BOUND; i++) {
        gyre_task_init(&tasks[i], count, NULL);
        batch[i] = &tasks[i];
    }
    CHECK_EQ(gyre_loop_post(field.loop, &holder), 0);
    sem_wait(&field.held);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        CHECK_EQ(gyre_loop_post_batch(field.loop, batch, BOUND + 1), -EAGAIN);
        if (round % 2 == 0) {
            CHECK_EQ(gyre_loop_post_batch(field.loop, batch, BOUND), 0);
        } else {
            crew_start(&crew, POSTERS, fill, NULL);
            crew_join(&crew);
            CHECK_EQ(atomic_load_explicit(&field.accepted, memory_order_relaxed),
                     (round + 1) / 2 * BOUND);
        }
        CHECK_EQ(gyre_loop_post(field.loop, &tasks[BOUND]), -EAGAIN);
        gyre_loop_wake(field.loop); /* is no post, and needs no room */
        run_what_is_there(&holder);
        CHECK_EQ(field.run, round * BOUND);
    }
    gyre_loop_stop(field.loop); /* is no post either */
    sem_post(&field.let_go);
    pthread_join(it.thread, NULL);
    CHECK_EQ(it.result, 0);
    crew_loop_check(field.loop);
    finish();
}

/* ---- a loop that runs ------------------------------------------------------------------------ */

struct item {
    struct gyre_task task;
    unsigned poster;
    uint64_t number;
};

/* The task of post n is used again by post n + ITEMS: by then it has run, if the bound holds. */
static struct item items[POSTERS][ITEMS];

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    struct item *item = arg;
    (void)loop;
    /* relaxed: a count. Posters add after a post; room was made just before this call, for one. */
    if (atomic_fetch_sub_explicit(&field.under_way, 1, memory_order_relaxed) > BOUND + 1)
        CHECK(!"more than the bound is under way");
    /* relaxed: this thread alone writes it */
    uint64_t next = atomic_load_explicit(&field.next[item->poster], memory_order_relaxed);
    if (status != 0 || item->number != next)
        CHECK(!"cancelled, lost, or out of order");
    field.run++;
    /* release: the poster may use the item again */
    atomic_store_explicit(&field.next[item->poster], next + 1, memory_order_release);
    return 0;
}

static int post_items(struct item *row, uint64_t number, unsigned wanted)
{
    struct gyre_task *tasks[BATCH];
    for (unsigned i = 0; i < wanted; i++) {
        struct item *item = &row[(number + i) % ITEMS];
        item->number = number + i;
        tasks[i] = &item->task;
    }
    return wanted == 1 ? gyre_loop_post(field.loop, tasks[0])
                       : gyre_loop_post_batch(field.loop, tasks, wanted);
}

static void post_all(unsigned me, void *arg)
{
    uint64_t chance = crew_seed() + me;
    uint64_t done = 0;
    (void)arg;
    while (done < field.each) {
        unsigned wanted = crew_random(&chance) % 3 == 0 && field.each - done >= BATCH ? BATCH : 1;
        /* acquire: pairs with the release in arrive */
        uint64_t next = atomic_load_explicit(&field.next[me], memory_order_acquire);
        if (done - next > BOUND + 1) {
            CHECK_LE(done - next, BOUND + 1); /* the bound does not hold */
            return;
        }
        int r = post_items(items[me], done, wanted);
        if (r == 0) {
            done += wanted;
            atomic_fetch_add_explicit(&field.under_way, wanted, memory_order_relaxed);
            continue;
        }
        if (r != -EAGAIN)
            CHECK_EQ(r, -EAGAIN);
        atomic_fetch_add_explicit(&field.refused, wanted, memory_order_relaxed);
        sched_yield();
    }
}

static void a_running_loop_loses_nothing_that_it_accepted(void)
{
    struct crew_loop it;
    struct crew crew;
    begin(crew_size("GYRE_STRESS_BOUNDED", 500000, 50000));
    for (unsigned i = 0; i < POSTERS * ITEMS; i++) {
        struct item *item = &items[i / ITEMS][i % ITEMS];
        gyre_task_init(&item->task, arrive, item);
        item->poster = i / ITEMS;
    }
    crew_loop_run(&it, field.loop);
    crew_start(&crew, POSTERS, post_all, NULL);
    crew_join(&crew);
    struct gyre_task holder;
    gyre_task_init(&holder, hold, NULL);
    run_what_is_there(&holder); /* nothing is held before it: this hold lets itself go */
    crew_loop_end(&it);
    CHECK_EQ(field.run, POSTERS * field.each);
    for (unsigned i = 0; i < POSTERS; i++)
        CHECK_EQ(atomic_load_explicit(&field.next[i], memory_order_relaxed), field.each);
    CHECK_NE(atomic_load_explicit(&field.refused, memory_order_relaxed), 0);
    plain_note("%llu accepted, %llu refused", (unsigned long long)field.run,
               (unsigned long long)atomic_load_explicit(&field.refused, memory_order_relaxed));
    finish();
}

/* ---- the loop's own posts -------------------------------------------------------------------- */

struct own {
    struct gyre_timer timer;
    uint64_t posted;
    unsigned rounds;
};

/* Fills the loop in each of ROUNDS turns; then waits for the rest to run. */
static int fill_own(struct gyre_loop *loop, int status, void *arg)
{
    struct own *own = arg;
    CHECK_EQ(status, 0);
    if (own->rounds > 0) {
        own->rounds--;
        while (gyre_loop_add_callback(loop, count, NULL) == 0)
            own->posted++;
        CHECK_EQ(own->posted - field.run, BOUND);
        CHECK_EQ(gyre_loop_spawn_callback(loop, count, NULL), -EAGAIN);
    } else if (field.run == own->posted) {
        return gyre_loop_stop(loop);
    }
    return gyre_timer_start(&own->timer, 0);
}

static void own_posts_count_too(void)
{
    struct own own = {.rounds = ROUNDS};
    begin(0);
    gyre_timer_init(&own.timer, field.loop, fill_own, &own);
    CHECK_EQ(gyre_timer_start(&own.timer, 0), 0);
    CHECK_EQ(gyre_loop_run(field.loop), 0);
    CHECK_EQ(own.rounds, 0);
    CHECK_GE(own.posted, 2 * BOUND);
    CHECK_EQ(field.run, own.posted);
    finish();
}

/* ---- closing --------------------------------------------------------------------------------- */

static int count_cancelled(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    CHECK_EQ(status, -ECANCELED);
    field.run++;
    return 0;
}

static void a_full_loop_that_closed_is_closed_and_not_full(void)
{
    struct gyre_task task;
    struct gyre_task *batch[] = {&task};
    begin(0);
    gyre_task_init(&task, count_cancelled, NULL);
    while (gyre_loop_add_callback(field.loop, count_cancelled, NULL) == 0)
        ;
    CHECK_EQ(gyre_loop_close(field.loop, 0), 0);
    CHECK_EQ(field.run, BOUND);
    for (unsigned i = 0; i < 2 * BOUND; i++) {
        CHECK_EQ(gyre_loop_add_callback(field.loop, count_cancelled, NULL), -ESHUTDOWN);
        CHECK_EQ(gyre_loop_post_batch(field.loop, batch, 1), -ESHUTDOWN);
    }
    finish();
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_held_loop_accepts_exactly_its_bound),
    PLAIN_CASE(a_running_loop_loses_nothing_that_it_accepted),
    PLAIN_CASE(own_posts_count_too),
    PLAIN_CASE(a_full_loop_that_closed_is_closed_and_not_full),
};
PLAIN_MAIN(cases)
