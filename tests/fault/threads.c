/* SPDX-License-Identifier: MIT */
/*
 * threads - loops on several threads while calls fail: posts that wake a sleeping loop, runtimes
 * from create to destroy, and the watchdog.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "sweep.h"

enum {
    ROUNDS = 6, /* of posts, each to a loop that sleeps */
    POSTS = ROUNDS * 2,
    LOOPS = 2,
    PLAN_BYTES = 16384,
    BLOCKED_NS = 1000 * 1000,
    BLOCKED_MAX_S = 5
};

/* ---- posts from another thread --------------------------------------------------------------- */

struct visit {
    struct gyre_loop *loop;
    struct gyre_task tasks[ROUNDS];
    unsigned accepted; /* the poster's */
    unsigned ends; /* the loop's */
    _Atomic bool over; /* the run has ended: do not wait for a sleep */
};

static int end_post(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    ++*(unsigned *)arg;
    return 0;
}

/* Waits until the loop has gone to sleep once more than `sleeps` times, or its run is over. The
 * alarm is the limit. */
static uint64_t await_sleep(struct visit *visit, uint64_t sleeps)
{
    const struct timespec pause = {0, 20 * 1000};
    struct gyre_loop_stats stats;
    do {
        gyre_loop_stats(visit->loop, &stats);
        if (stats.sleeps > sleeps || atomic_load_explicit(&visit->over, memory_order_acquire))
            break;
        (void)nanosleep(&pause,
                        NULL); /* the loop's thread may need the CPU; no signal comes here */
    } while (true);
    return stats.sleeps;
}

/* Posts in both forms, each time to a loop that sleeps; then wakes it, and stops it. */
static void post_rounds(void *arg)
{
    struct visit *visit = arg;
    uint64_t sleeps = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        sleeps = await_sleep(visit, sleeps);
        gyre_task_init(&visit->tasks[i], end_post, &visit->ends);
        int r = gyre_loop_post(visit->loop, &visit->tasks[i]);
        visit->accepted += r == 0;
        HOLDS(r == 0 || (r == -ESHUTDOWN && sweep_told() != 0));
        r = gyre_loop_add_callback(visit->loop, end_post, &visit->ends);
        visit->accepted += r == 0;
        HOLDS(r == 0 || r == -ENOMEM || (r == -ESHUTDOWN && sweep_told() != 0));
        if (r == -ENOMEM)
            (void)sweep_tell(r);
    }
    sleeps = await_sleep(visit, sleeps);
    gyre_loop_wake(visit->loop);
    (void)await_sleep(visit, sleeps);
    HOLDS_EQ(gyre_loop_stop(visit->loop), 0);
}

static void post_to_a_sleeper(const void *arg)
{
    struct gyre_loop_options options = sweep_loop_options();
    struct visit visit = {.accepted = 0};
    (void)arg;
    if (sweep_tell(gyre_loop_create(&options, &visit.loop)) != 0)
        return;
    struct sweep_thread *poster = sweep_thread_start(post_rounds, &visit);
    int r = sweep_tell(gyre_loop_run(visit.loop));
    /* release: pairs with the acquire in await_sleep; what was told is seen */
    atomic_store_explicit(&visit.over, true, memory_order_release);
    if (r != 0)
        HOLDS_EQ(gyre_loop_close(visit.loop, 0), 0); /* while the other still posts */
    sweep_thread_join(poster);
    HOLDS_EQ(gyre_loop_close(visit.loop, 0), 0);
    HOLDS_EQ(visit.ends, visit.accepted);
    if (sweep_told() == 0)
        HOLDS_EQ(visit.accepted, POSTS);
    gyre_loop_destroy(visit.loop);
}

static void posts_of_another_thread_end_once_each(void)
{
    sweep(post_to_a_sleeper, NULL);
}

/* ---- runtimes -------------------------------------------------------------------------------- */

struct set {
    struct gyre_runtime *runtime;
    enum gyre_pin pin;
    struct gyre_task tasks[LOOPS];
    _Atomic unsigned setups;
    _Atomic unsigned teardowns;
    _Atomic unsigned posts; /* accepted */
    _Atomic unsigned ends; /* of posts */
    _Atomic unsigned calls; /* of the broadcast's function */
    _Atomic unsigned done;
};

static void count(_Atomic unsigned *number)
{
    /* relaxed: read after the threads were joined */
    atomic_fetch_add_explicit(number, 1, memory_order_relaxed);
}

static int end_shared_post(struct gyre_loop *loop, int status, void *arg)
{
    struct set *set = arg;
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    count(&set->ends);
    return 0;
}

static int set_up(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct set *set = arg;
    (void)index;
    if (sweep_tell(gyre_loop_add_callback(loop, end_shared_post, set)) == 0)
        count(&set->posts);
    count(&set->setups);
    return 0;
}

static int tear_down(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct set *set = arg;
    (void)loop;
    /* To the other loop: it runs still, until every teardown has returned. */
    int r = gyre_loop_add_callback(gyre_runtime_loop(set->runtime, !index), end_shared_post, set);
    HOLDS(r == 0 || r == -ENOMEM);
    if (sweep_tell(r) == 0)
        count(&set->posts);
    count(&set->teardowns);
    return 0;
}

static int call(struct gyre_loop *loop, int status, void *arg)
{
    struct set *set = arg;
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    count(&set->calls);
    return 0;
}

/* The broadcast is through: stops the runtime, which nobody else does. */
static int end_broadcast(struct gyre_loop *loop, int status, void *arg)
{
    struct set *set = arg;
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    HOLDS(atomic_load_explicit(&set->calls, memory_order_relaxed) <= LOOPS); /* that are open */
    count(&set->done);
    gyre_runtime_stop(set->runtime);
    return 0;
}

/* What a runtime that has started does. */
static void use(struct set *set)
{
    for (unsigned i = 0; i < LOOPS; i++) {
        gyre_task_init(&set->tasks[i], end_shared_post, set);
        int r = gyre_loop_post(gyre_runtime_loop(set->runtime, i), &set->tasks[i]);
        HOLDS(r == 0 || (r == -ESHUTDOWN));
        if (r == 0)
            count(&set->posts);
    }
    int r = gyre_runtime_broadcast(set->runtime, call, set, end_broadcast, set);
    HOLDS(r == 0 || r == -ENOMEM || r == -ESHUTDOWN);
    if (r == -ENOMEM)
        (void)sweep_tell(r);
    if (r != 0)
        gyre_runtime_stop(set->runtime);
    (void)sweep_tell(gyre_runtime_join(set->runtime));
    if (sweep_told() == 0)
        HOLDS_EQ(r, 0);
    HOLDS_EQ(set->done, r == 0);
    if (sweep_told() == 0 || r != 0)
        HOLDS_EQ(set->calls, r == 0 ? LOOPS : 0);
}

static void run_set(const void *arg)
{
    struct gyre_runtime_options options;
    struct gyre_loop_options loop_options = sweep_loop_options();
    struct set set = {.pin = *(const enum gyre_pin *)arg};
    gyre_runtime_options_init(&options);
    options.loops = LOOPS;
    options.pin = set.pin;
    options.setup = set_up;
    options.teardown = tear_down;
    options.arg = &set;
    options.loop = &loop_options;
    if (sweep_tell(gyre_runtime_create(&options, &set.runtime)) != 0)
        return;
    struct gyre_loop *kept = gyre_loop_acquire(gyre_runtime_loop(set.runtime, 1));
    bool started = sweep_tell(gyre_runtime_start(set.runtime)) == 0;
    if (started)
        use(&set);
    gyre_runtime_destroy(set.runtime);
    struct gyre_task late;
    gyre_task_init(&late, end_shared_post, &set);
    HOLDS_EQ(gyre_loop_post(kept, &late), -ESHUTDOWN);
    gyre_loop_release(kept);
    HOLDS_EQ(set.ends, set.posts);
    HOLDS_EQ(set.teardowns, set.setups);
    HOLDS(set.setups == LOOPS || sweep_told() != 0);
}

static void a_runtime_starts_whole_or_leaves_nothing(void)
{
    static const enum gyre_pin pin = GYRE_PIN_NEVER;
    sweep(run_set, &pin);
}

static void a_pinned_runtime_starts_whole_or_leaves_nothing(void)
{
    static const enum gyre_pin pin = GYRE_PIN_AUTO;
    sweep(run_set, &pin);
}

/* Made, and never started. What is short for a moment must not change the plan in silence. */
static void create_and_destroy(const void *arg)
{
    char *undisturbed = *(char *const *)arg;
    struct gyre_runtime_options options;
    struct gyre_loop_options loop_options = sweep_loop_options();
    struct gyre_runtime *runtime;
    char plan[PLAN_BYTES];
    gyre_runtime_options_init(&options);
    options.loop = &loop_options;
    if (sweep_tell(gyre_runtime_create(&options, &runtime)) != 0)
        return;
    HOLDS(gyre_runtime_loops(runtime) > 0);
    HOLDS(gyre_runtime_plan(runtime, plan, sizeof(plan)) < sizeof(plan));
    if (undisturbed[0] == '\0')
        strcpy(undisturbed, plan);
    HOLDS(strcmp(undisturbed, plan) == 0);
    gyre_runtime_destroy(runtime);
}

static void a_runtime_that_cannot_be_made_leaves_nothing(void)
{
    static char plan[PLAN_BYTES];
    static char *const undisturbed = plan;
    static const struct injection nothing = {.at = 0};
    HOLDS_EQ(sweep_once(&nothing, create_and_destroy, &undisturbed), 0);
    sweep(create_and_destroy, &undisturbed);
}

/* ---- the watchdog ---------------------------------------------------------------------------- */

static void count_report(struct gyre_loop *loop, const struct gyre_blocking *blocking, void *arg)
{
    _Atomic unsigned *reports = arg;
    (void)loop;
    HOLDS(blocking->stack_count <= GYRE_STACK_MAX);
    /* relaxed: the watchdog is joined before it is compared */
    atomic_fetch_add_explicit(reports, 1, memory_order_relaxed);
}

static int block_until_reported(struct gyre_loop *loop, int status, void *arg)
{
    const _Atomic unsigned *reports = arg;
    time_t end = time(NULL) + BLOCKED_MAX_S;
    if (status != 0)
        return 0;
    while (atomic_load_explicit(reports, memory_order_relaxed) == 0 && time(NULL) < end)
        ;
    return gyre_loop_stop(loop);
}

static void block_a_watched_loop(const void *arg)
{
    struct gyre_loop_options options = sweep_loop_options();
    struct gyre_loop *loop;
    _Atomic unsigned reports = 0;
    (void)arg;
    if (sweep_tell(gyre_loop_create(&options, &loop)) != 0)
        return;
    int r = sweep_tell(gyre_loop_set_blocking_threshold(loop, BLOCKED_NS, count_report, &reports));
    bool watched = r == 0;
    r = sweep_tell(gyre_loop_add_callback(loop, block_until_reported, &reports));
    if (watched && r == 0 && sweep_tell(gyre_loop_run(loop)) == 0)
        HOLDS_EQ(reports, 1);
    HOLDS_EQ(gyre_loop_set_blocking_threshold(loop, 0, NULL, NULL), 0);
    gyre_loop_destroy(loop);
}

static void a_blocked_loop_is_reported_or_cannot_be_watched(void)
{
    sweep(block_a_watched_loop, NULL);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(posts_of_another_thread_end_once_each),
    PLAIN_CASE(a_runtime_that_cannot_be_made_leaves_nothing),
    PLAIN_CASE(a_runtime_starts_whole_or_leaves_nothing),
    PLAIN_CASE(a_blocked_loop_is_reported_or_cannot_be_watched),
    PLAIN_CASE(a_pinned_runtime_starts_whole_or_leaves_nothing),
};

PLAIN_MAIN(cases)
