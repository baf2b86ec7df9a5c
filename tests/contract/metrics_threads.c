/* SPDX-License-Identifier: MIT */
/*
 * metrics_threads - statistics and histograms that are read while the loop runs and others post.
 *
 * A plain program, so that it runs under the thread sanitizer. Nobody waits: the reader reads until
 * the poster has ended, and once more.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include <gyre/gyre.h>

#include "harness/plain.h"

enum {
    POSTS = 20000
};

struct scene {
    struct gyre_loop *loop;
    _Atomic bool posted;
    unsigned calls;
    uint64_t handle;
};

static uint64_t ticks_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int nothing(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return 0;
}

/* Each call arms a timer, stops the one before or lets it fire, and the last one ends the run. */
static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    (void)status;
    if (++scene->calls % 2 == 0)
        (void)gyre_loop_cancel_call(loop, scene->handle); /* -ENOENT: it has fired */
    CHECK_EQ(gyre_loop_call_later(loop, scene->calls % 3 * 1000, &scene->handle, nothing, NULL), 0);
    return scene->calls == POSTS ? gyre_loop_stop(loop) : 0;
}

static void *post_all(void *arg)
{
    struct scene *scene = arg;
    for (unsigned i = 0; i < POSTS; i++)
        CHECK_EQ(gyre_loop_add_callback(scene->loop, arrive, scene), 0);
    /* release: pairs with the acquire of the reader, which has nothing more to do then */
    atomic_store_explicit(&scene->posted, true, memory_order_release);
    return NULL;
}

static uint64_t sum_of(const struct gyre_histogram *histogram)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < GYRE_HISTOGRAM_BUCKETS; i++)
        sum += histogram->buckets[i];
    return sum;
}

static void *read_all(void *arg)
{
    struct scene *scene = arg;
    struct gyre_loop_stats before = {.turns = 0};
    bool last = false;
    while (!last) {
        struct gyre_loop_stats stats;
        struct gyre_histogram turns;
        last = atomic_load_explicit(&scene->posted, memory_order_acquire);
        gyre_loop_stats(scene->loop, &stats);
        CHECK_EQ(gyre_loop_histogram(scene->loop, GYRE_METRIC_TURN, &turns), 0);
        CHECK_EQ(sum_of(&turns), turns.count);
        CHECK_GE(stats.turns, before.turns);
        CHECK_GE(stats.callbacks, before.callbacks);
        CHECK_GE(stats.busy_ns, before.busy_ns);
        CHECK_GE(stats.longest_call_ns, before.longest_call_ns);
        before = stats;
    }
    return NULL;
}

static void check_at_end(struct scene *scene, uint64_t passed_ns)
{
    struct gyre_loop_stats stats;
    struct gyre_histogram turns;
    struct gyre_histogram timers;
    struct gyre_histogram posts;
    gyre_loop_stats(scene->loop, &stats);
    CHECK_EQ(stats.callbacks, POSTS);
    CHECK_EQ(stats.posts, POSTS);
    CHECK_EQ(stats.timers + stats.timers_cancelled + stats.timers_live, POSTS);
    CHECK_LE(stats.busy_ns + stats.idle_ns, passed_ns);
    CHECK_LE(stats.longest_call_ns, stats.busy_ns);
    CHECK(stats.longest_call != NULL);
    CHECK_EQ(gyre_loop_histogram(scene->loop, GYRE_METRIC_TURN, &turns), 0);
    CHECK_EQ(turns.count, stats.turns);
    CHECK_EQ(turns.sum_ns, stats.busy_ns);
    CHECK_EQ(gyre_loop_histogram(scene->loop, GYRE_METRIC_TIMER_LAG, &timers), 0);
    CHECK_EQ(timers.count, stats.timers);
    CHECK_EQ(gyre_loop_histogram(scene->loop, GYRE_METRIC_POST_LAG, &posts), 0);
    CHECK_GE(posts.count, POSTS / 1344);
    CHECK_LE(posts.count, POSTS / 84 + 1);
    CHECK_LE(posts.max_ns, passed_ns);
}

static void any_thread_reads_while_the_loop_runs(void)
{
    struct gyre_loop_options options;
    struct scene scene = {.calls = 0};
    pthread_t poster;
    pthread_t reader;
    gyre_loop_options_init(&options);
    options.backend = plain_backend();
    options.waker = plain_waker();
    options.make_current = GYRE_CURRENT_NO;
    options.timing = GYRE_TIMING_CALLS;
    if (!CHECK_EQ(gyre_loop_create(&options, &scene.loop), 0))
        return;
    uint64_t began_ns = ticks_ns();
    CHECK_EQ(pthread_create(&reader, NULL, read_all, &scene), 0);
    CHECK_EQ(pthread_create(&poster, NULL, post_all, &scene), 0);
    CHECK_EQ(gyre_loop_run(scene.loop), 0);
    uint64_t passed_ns = ticks_ns() - began_ns;
    CHECK_EQ(pthread_join(poster, NULL), 0);
    CHECK_EQ(pthread_join(reader, NULL), 0);
    check_at_end(&scene, passed_ns);
    gyre_loop_destroy(scene.loop);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(any_thread_reads_while_the_loop_runs),
};

PLAIN_MAIN(cases)
