/* SPDX-License-Identifier: MIT */
/*
 * steady_state - after warm-up nothing that a loop does all day takes memory, gives it back, or
 * takes a lock: posts of all forms, timers, handlers, stops and wakes, from its own thread and from
 * others. Counted by interpose.h; the first case shows that the counter counts.
 *
 * A measured part uses nothing of the harness but CHECK, which does not fail, and spins where it
 * has to wait. Threads are made and joined outside it.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crew.h"
#include "harness/plain.h"
#include "interpose.h"

enum {
    POSTERS = 4,
    WINDOW = 128, /* callbacks of a poster under way while measured */
    WARM = 1024, /* and while warming up: more than WINDOW, and what waits to be sent home */
    BATCH = 8,
    TIMERS = 200,
    CALLS = 50, /* with handles: fewer than one chunk of slots */
    PAIRS = 20
};

static struct interpose_counts began;

static void measure(void)
{
    began = interpose_read();
}

static void check_steady(void)
{
    struct interpose_counts now = interpose_read();
    CHECK_EQ(now.allocations - began.allocations, 0);
    CHECK_EQ(now.releases - began.releases, 0);
    CHECK_EQ(now.locks - began.locks, 0);
}

/* ---- the counter ----------------------------------------------------------------------------- */

static int nothing(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return 0;
}

static void add_first_callback(unsigned me, void *arg)
{
    (void)me;
    CHECK_EQ(gyre_loop_add_callback(arg, nothing, NULL), 0);
}

static void the_counter_counts(void)
{
    struct interpose_counts before = interpose_read();
    void *volatile block = malloc(1); /* volatile: a compiler may leave out what nobody looks at */
    block = realloc(block, 2);
    free(block);
    struct interpose_counts after = interpose_read();
    CHECK_EQ(after.allocations - before.allocations, 2);
    CHECK_EQ(after.releases - before.releases, 1);

    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
    CHECK_EQ(interpose_read().locks - before.locks, 1);

    /* The library's own calls, too: a loop, and the first callback of a thread, take memory. */
    struct crew crew;
    before = interpose_read();
    struct gyre_loop *loop = crew_loop_make(0);
    CHECK_GE(interpose_read().allocations - before.allocations, 1);
    before = interpose_read();
    crew_start(&crew, 1, add_first_callback, loop);
    crew_join(&crew);
    CHECK_GE(interpose_read().allocations - before.allocations, 1);
    before = interpose_read();
    gyre_loop_destroy(loop);
    CHECK_GE(interpose_read().releases - before.releases, 1);
}

/* ---- posts ----------------------------------------------------------------------------------- */

/* The phases of a case with posters: each waits for the word to reach its phase. */
enum {
    WARMING = 1,
    MEASURING,
    LEAVING
};

struct row {
    _Alignas(64) _Atomic uint64_t run;
    _Alignas(64) uint64_t posted;
    struct gyre_task tasks[WINDOW];
    struct gyre_loop *loop;
};

static struct {
    struct row rows[POSTERS];
    _Atomic uint64_t phase;
    _Atomic uint64_t ready; /* posters that are done with the phase */
    uint64_t each;
} posts;

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    struct row *row = arg;
    (void)loop;
    if (status != 0)
        CHECK_EQ(status, 0);
    atomic_fetch_add_explicit(&row->run, 1, memory_order_release);
    return 0;
}

/* Waits until no more than `most` of the row are under way. */
static void wait_for_room(struct row *row, uint64_t most)
{
    while (row->posted - atomic_load_explicit(&row->run, memory_order_acquire) > most)
        sched_yield();
}

static void reach(uint64_t phase)
{
    atomic_fetch_add_explicit(&posts.ready, 1, memory_order_release);
    while (atomic_load_explicit(&posts.phase, memory_order_acquire) < phase)
        sched_yield();
}

static struct gyre_task *next_task(struct row *row, uint64_t ahead)
{
    struct gyre_task *task = &row->tasks[(row->posted + ahead) % WINDOW];
    gyre_task_init(task, arrive, row);
    return task;
}

static void post_one(struct row *row, unsigned form)
{
    struct gyre_task *tasks[BATCH];
    uint64_t count = form == 3 ? BATCH : 1;
    int r = -1;
    for (uint64_t i = 0; i < count; i++)
        tasks[i] = next_task(row, i);
    switch (form) {
    case 0:
        r = gyre_loop_add_callback(row->loop, arrive, row);
        break;
    case 1:
        r = gyre_loop_spawn_callback(row->loop, arrive, row);
        break;
    case 2:
        r = gyre_loop_post(row->loop, tasks[0]);
        break;
    case 3:
        r = gyre_loop_post_batch(row->loop, tasks, BATCH);
        break;
    default:
        break;
    }
    if (r != 0)
        CHECK_EQ(r, 0);
    row->posted += count;
}

static void post_all(unsigned me, void *arg)
{
    struct row *row = &posts.rows[me];
    uint64_t chance = crew_seed() + me;
    (void)arg;
    reach(WARMING); /* the loop is held: this many nodes are out at once */
    for (unsigned i = 0; i < WARM; i++)
        post_one(row, 0);
    reach(MEASURING);
    while (row->posted < posts.each) {
        uint64_t dice = crew_random(&chance);
        wait_for_room(row, WINDOW - BATCH);
        post_one(row, dice % 4);
        if (dice % 1024 < 4)
            gyre_loop_wake(row->loop);
        if (dice % 1024 == 9)
            crew_spin(20000); /* so that the loop sleeps now and then */
    }
    wait_for_room(row, 0);
    reach(LEAVING);
}

static void wait_ready(uint64_t times)
{
    while (atomic_load_explicit(&posts.ready, memory_order_acquire) < times * POSTERS)
        sched_yield();
}

static bool all_have_run(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < POSTERS; i++)
        if (atomic_load_explicit(&posts.rows[i].run, memory_order_acquire) < WARM)
            return false;
    return true;
}

static void go_on(uint64_t phase)
{
    atomic_store_explicit(&posts.phase, phase, memory_order_release);
}

static void posts_take_no_lock_and_no_memory(void)
{
    struct crew_loop it;
    struct crew crew;
    struct gyre_loop *loop = crew_loop_make(0);
    (void)crew_seed();
    posts.each = crew_size("GYRE_STRESS_STEADY", 500000, 50000);
    atomic_store_explicit(&posts.phase, 0, memory_order_relaxed);
    atomic_store_explicit(&posts.ready, 0, memory_order_relaxed);
    for (unsigned i = 0; i < POSTERS; i++) {
        posts.rows[i].loop = loop;
        posts.rows[i].posted = 0;
        atomic_store_explicit(&posts.rows[i].run, 0, memory_order_relaxed);
    }
    crew_start(&crew, POSTERS, post_all, NULL);
    wait_ready(1);
    go_on(WARMING);
    wait_ready(2);
    crew_loop_run(&it, loop);
    CHECK(crew_wait(all_have_run, NULL));
    measure();
    go_on(MEASURING);
    wait_ready(3);
    check_steady();
    go_on(LEAVING);
    crew_join(&crew);
    crew_loop_end(&it);

    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    CHECK_GE(stats.posts, POSTERS * posts.each);
    CHECK_NE(stats.wakes_written, 0); /* asleep and awake: both are measured */
    gyre_loop_destroy(loop);
}

/* ---- what a loop does by itself -------------------------------------------------------------- */

/* One round of everything; run WARMING and MEASURING times from the loop's own timer. */
struct day {
    struct gyre_timer clock;
    struct gyre_timer timers[TIMERS];
    struct gyre_task tasks[BATCH];
    uint64_t handles[CALLS];
    int pairs[PAIRS][2];
    uint64_t chance;
    uint64_t rounds;
    uint64_t warm;
    uint64_t fired;
    uint64_t called;
    uint64_t handled;
    uint64_t ran;
};

static int count(struct gyre_loop *loop, int status, void *arg)
{
    uint64_t *counter = arg;
    (void)loop;
    *counter += status == 0;
    return 0;
}

static int echo(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct day *day = arg;
    char byte;
    (void)loop;
    if ((events & GYRE_READ) != 0 && read(fd, &byte, 1) == 1)
        day->handled++;
    return 0;
}

static void use_timers(struct gyre_loop *loop, struct day *day)
{
    uint64_t now = gyre_loop_now_ns(loop);
    for (unsigned i = 0; i < TIMERS / 4; i++) {
        uint64_t dice = crew_random(&day->chance);
        struct gyre_timer *timer = &day->timers[dice % TIMERS];
        if (dice >> 32 & 1)
            gyre_timer_stop(timer);
        else
            CHECK_EQ(gyre_timer_start(timer, now + (dice >> 40) % 300000), 0);
    }
    for (unsigned i = 0; i < CALLS / 4; i++) {
        uint64_t dice = crew_random(&day->chance);
        uint64_t *handle = &day->handles[dice % CALLS];
        gyre_loop_cancel_call(loop, *handle); /* what has run is unknown, which is harmless */
        CHECK_EQ(gyre_loop_call_later(loop, (dice >> 40) % 300000, handle, count, &day->called), 0);
    }
}

static void use_handlers(struct gyre_loop *loop, struct day *day)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        int *pair = day->pairs[i];
        uint64_t dice = crew_random(&day->chance);
        if (dice % 2 == 0)
            CHECK_EQ(write(pair[1], "x", 1), 1);
        if (dice % 8 == 1) {
            CHECK_EQ(gyre_loop_update_handler(loop, pair[0], GYRE_NONE), 0);
            CHECK_EQ(gyre_loop_update_handler(loop, pair[0], GYRE_READ), 0);
        } else if (dice % 8 == 3) {
            CHECK_EQ(gyre_loop_remove_handler(loop, pair[0]), 0);
            CHECK_EQ(gyre_loop_add_handler(loop, pair[0], GYRE_READ, echo, day), 0);
        }
    }
}

static int live_a_round(struct gyre_loop *loop, int status, void *arg)
{
    struct day *day = arg;
    struct gyre_task *batch[BATCH];
    if (status != 0)
        return 0;
    if (day->rounds == day->warm)
        measure();
    use_timers(loop, day);
    use_handlers(loop, day);
    for (unsigned i = 0; i < BATCH; i++) {
        CHECK_EQ(gyre_loop_add_callback(loop, count, &day->ran), 0);
        gyre_task_init(&day->tasks[i], count, &day->ran);
        batch[i] = &day->tasks[i];
    }
    CHECK_EQ(gyre_loop_post(loop, batch[0]), 0);
    CHECK_EQ(gyre_loop_post_batch(loop, &batch[1], BATCH - 1), 0);
    gyre_loop_wake(loop);
    if (day->rounds % 16 == 0)
        gyre_loop_stop(loop); /* run is called again: a run costs nothing either */
    if (--day->rounds > 0)
        return gyre_timer_start(&day->clock, gyre_loop_now_ns(loop) + 20000);
    check_steady();
    return gyre_loop_stop(loop);
}

static void timers_and_handlers_take_no_lock_and_no_memory(void)
{
    static struct day day;
    struct gyre_loop *loop = crew_loop_make(0);
    uint64_t rounds = crew_size("GYRE_STRESS_DAY", 40000, 4000);
    day = (struct day){.chance = crew_seed(), .rounds = rounds, .warm = rounds * 3 / 4};
    gyre_timer_init(&day.clock, loop, live_a_round, &day);
    for (unsigned i = 0; i < TIMERS; i++)
        gyre_timer_init(&day.timers[i], loop, count, &day.fired);
    for (unsigned i = 0; i < PAIRS; i++) {
        int kind = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
        CHECK_EQ(socketpair(AF_UNIX, kind, 0, day.pairs[i]), 0);
        CHECK_EQ(gyre_loop_add_handler(loop, day.pairs[i][0], GYRE_READ, echo, &day), 0);
    }
    CHECK_EQ(gyre_timer_start(&day.clock, 0), 0);
    while (day.rounds > 0)
        CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_GE(day.fired, rounds);
    CHECK_GE(day.called, rounds);
    CHECK_GE(day.handled, rounds);
    CHECK_GE(day.ran, (rounds - 1) * BATCH * 2);
    plain_note("%llu rounds: %llu timers, %llu calls, %llu events, %llu callbacks",
               (unsigned long long)rounds, (unsigned long long)day.fired,
               (unsigned long long)day.called, (unsigned long long)day.handled,
               (unsigned long long)day.ran);
    crew_loop_check(loop);
    gyre_loop_destroy(loop);
    for (unsigned i = 0; i < PAIRS; i++) {
        close(day.pairs[i][0]);
        close(day.pairs[i][1]);
    }
}

static const struct plain_case cases[] = {
    PLAIN_CASE(the_counter_counts),
    PLAIN_CASE(posts_take_no_lock_and_no_memory),
    PLAIN_CASE(timers_and_handlers_take_no_lock_and_no_memory),
};
PLAIN_MAIN(cases)
