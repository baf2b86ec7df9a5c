/* SPDX-License-Identifier: MIT */
/*
 * metrics - what a loop counts and times. The scene's clock stands still but for its waits and for
 * what the functions here spend, so that times are exact; only posts are stamped by the system's.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    TURNS = 100,
    FIRST_CHUNK = 84 /* posts of a thread from its first sample to its second */
};

/* A function that takes its time, by the scene's clock. */
struct spender {
    struct scene *scene;
    uint64_t ns;
    unsigned left; /* calls to come, of one that posts itself */
};

static int spend(struct gyre_loop *loop, int status, void *arg)
{
    struct spender *spender = arg;
    (void)loop;
    (void)status;
    spender->scene->now_ns += spender->ns;
    return 0;
}

static int spend_again(struct gyre_loop *loop, int status, void *arg)
{
    struct spender *spender = arg;
    (void)spend(loop, status, spender);
    return --spender->left > 0 ? gyre_loop_add_callback(loop, spend_again, spender) : 0;
}

/* Runs the loop again, and what is queued with it. */
static int spend_and_nest(struct gyre_loop *loop, int status, void *arg)
{
    struct spender *spender = arg;
    (void)spend(loop, status, spender);
    cr_assert_eq(gyre_loop_stop(loop), 0);
    cr_assert_eq(gyre_loop_run(loop), 0, "returns at once");
    cr_assert_eq(gyre_loop_add_callback(loop, stop_loop, NULL), 0);
    cr_assert_eq(gyre_loop_run(loop), 0);
    return 0;
}

static int spend_reading(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    char byte;
    (void)events;
    cr_assert_eq(read(fd, &byte, 1), 1);
    return spend(loop, 0, arg);
}

static void open_timed(struct scene *scene, enum gyre_timing timing)
{
    struct gyre_loop_options options;
    scene_options(scene, &options);
    options.timing = timing;
    scene_open_with(scene, &options);
}

static struct gyre_histogram histogram_of(const struct scene *scene, enum gyre_loop_metric metric)
{
    struct gyre_histogram histogram;
    cr_assert_eq(gyre_loop_histogram(scene->loop, metric, &histogram), 0);
    return histogram;
}

/* ---- counters -------------------------------------------------------------------------------- */

GYRE_TEST(metrics, timers_are_counted_while_live_and_when_cancelled)
{
    struct scene scene;
    struct gyre_timer timers[3];
    uint64_t handle;
    scene_open(&scene);
    for (unsigned i = 0; i < 3; i++) {
        gyre_timer_init(&timers[i], scene.loop, say_word, word_of(&scene, "t"));
        cr_assert_eq(gyre_timer_start(&timers[i], scene.now_ns + MS_NS), 0);
        cr_assert_eq(gyre_timer_start(&timers[i], scene.now_ns + 2 * MS_NS), 0);
    }
    cr_assert_eq(
        gyre_loop_call_later(scene.loop, SECOND_NS, &handle, say_word, word_of(&scene, "c")), 0);
    cr_assert_eq(stats_of(scene.loop).timers_live, 4, "arming again is no other timer");
    cr_assert_eq(stats_of(scene.loop).timers_cancelled, 0);
    cr_assert_eq(gyre_timer_stop(&timers[0]), 0);
    cr_assert_eq(gyre_timer_stop(&timers[0]), 0);
    cr_assert_eq(gyre_timer_start(&timers[1], GYRE_NEVER), 0);
    cr_assert_eq(gyre_loop_cancel_call(scene.loop, handle), 0);
    cr_assert_eq(stats_of(scene.loop).timers_live, 1);
    cr_assert_eq(stats_of(scene.loop).timers_cancelled, 3);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(stats_of(scene.loop).timers_live, 0);
    cr_assert_eq(stats_of(scene.loop).timers_cancelled, 3, "one has fired");
    cr_assert_eq(stats_of(scene.loop).timers, 1);
    scene_close(&scene);
}

GYRE_TEST(metrics, timers_that_a_close_ends_are_cancelled)
{
    struct scene scene;
    uint64_t handle;
    scene_open(&scene);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(gyre_loop_call_later(scene.loop, 0, &handle, say_word, word_of(&scene, "c")),
                     0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "c! c!");
    cr_assert_eq(stats_of(scene.loop).timers_live, 0);
    cr_assert_eq(stats_of(scene.loop).timers_cancelled, 2);
    scene_close(&scene);
}

GYRE_TEST(metrics, without_timing_no_clock_is_read_and_all_times_are_zero)
{
    struct scene scene;
    scene_open(&scene);
    struct spender spender = {&scene, MS_NS, TURNS};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend_again, &spender), 0);
    cr_assert_eq(scene_run(&scene), 0);
    struct gyre_loop_stats stats = stats_of(scene.loop);
    cr_assert_eq(stats.callbacks, TURNS);
    cr_assert_eq(scene.clock_reads, 0);
    cr_assert_eq(stats.busy_ns, 0);
    cr_assert_eq(stats.idle_ns, 0);
    cr_assert_eq(stats.longest_call_ns, 0);
    cr_assert_null(stats.longest_call);
    cr_assert_eq(histogram_of(&scene, GYRE_METRIC_TURN).count, 0);
    cr_assert_eq(histogram_of(&scene, GYRE_METRIC_POST_LAG).count, 0);
    scene_close(&scene);
}

GYRE_TEST(metrics, unknown_values_are_refused)
{
    struct gyre_loop_options options;
    struct gyre_histogram histogram;
    struct gyre_loop *loop;
    struct scene scene;
    scene_options(&scene, &options);
    cr_assert_eq(options.timing, GYRE_TIMING_NONE);
    options.timing = (enum gyre_timing)(GYRE_TIMING_CALLS + 1);
    cr_assert_eq(gyre_loop_create(&options, &loop), -EINVAL);
    scene_open(&scene);
    cr_assert_eq(gyre_loop_histogram(scene.loop, (enum gyre_loop_metric)3, &histogram), -EINVAL);
    scene_close(&scene);
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* A callback that spends 3 ms is queued; a timer that spends 2 ms is returned. */
static struct spender open_spending(struct scene *scene, struct spender *callback)
{
    open_timed(scene, GYRE_TIMING_TURNS);
    *callback = (struct spender){scene, 3 * MS_NS, 0};
    cr_assert_eq(gyre_loop_add_callback(scene->loop, spend, callback), 0);
    return (struct spender){scene, 2 * MS_NS, 0};
}

GYRE_TEST(metrics, each_turn_is_timed_and_sleeps_are_idle)
{
    struct scene scene;
    struct spender callback;
    uint64_t handle;
    struct spender timer = open_spending(&scene, &callback);
    cr_assert_eq(gyre_loop_call_at(scene.loop, SECOND_NS + 10 * MS_NS, &handle, spend, &timer), 0);
    cr_assert_eq(scene_run(&scene), 0);
    struct gyre_loop_stats stats = stats_of(scene.loop);
    struct gyre_histogram turns = histogram_of(&scene, GYRE_METRIC_TURN);
    cr_assert_eq(stats.turns, 3, "the callback's, the timer's, and the one that meets the stop");
    cr_assert_eq(turns.count, 3);
    cr_assert_eq(turns.sum_ns, 5 * MS_NS);
    cr_assert_eq(turns.max_ns, 3 * MS_NS);
    cr_assert_eq(stats.busy_ns, 5 * MS_NS);
    cr_assert_eq(stats.idle_ns, 7 * MS_NS);
    cr_assert_eq(stats.longest_call_ns, 0, "calls are not timed");
    cr_assert_null(stats.longest_call);
    scene_close(&scene);
}

GYRE_TEST(metrics, a_turn_that_does_not_sleep_ends_with_its_poll)
{
    struct scene scene;
    open_timed(&scene, GYRE_TIMING_TURNS);
    struct spender spender = {&scene, MS_NS, TURNS};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend_again, &spender), 0);
    cr_assert_eq(scene_run(&scene), 0);
    struct gyre_histogram turns = histogram_of(&scene, GYRE_METRIC_TURN);
    cr_assert_eq(turns.count, stats_of(scene.loop).turns);
    cr_assert_eq(turns.sum_ns, TURNS * MS_NS);
    cr_assert_eq(turns.max_ns, MS_NS);
    cr_assert_eq(stats_of(scene.loop).busy_ns, TURNS * MS_NS);
    cr_assert_eq(stats_of(scene.loop).idle_ns, 0);
    scene_close(&scene);
}

GYRE_TEST(metrics, a_turn_of_a_host_loop_is_counted_once)
{
    struct scene scene;
    open_timed(&scene, GYRE_TIMING_TURNS);
    struct spender spender = {&scene, MS_NS, 0};
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(gyre_loop_add_callback(scene.loop, spend, &spender), 0);
        cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
        scene.now_ns += SECOND_NS; /* the host's */
    }
    cr_assert_eq(histogram_of(&scene, GYRE_METRIC_TURN).count, 3);
    cr_assert_eq(stats_of(scene.loop).busy_ns, 3 * MS_NS);
    cr_assert_eq(stats_of(scene.loop).idle_ns, 0);
    scene_close(&scene);
}

/* ---- lags ------------------------------------------------------------------------------------ */

GYRE_TEST(metrics, a_timer_is_late_by_what_ran_before_it)
{
    struct scene scene;
    struct spender callback;
    uint64_t handle;
    struct spender timer = open_spending(&scene, &callback);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(gyre_loop_call_at(scene.loop, SECOND_NS, &handle, spend, &timer), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 2 * SECOND_NS, &handle, spend, &timer), 0);
    cr_assert_eq(scene_run(&scene), 0);
    struct gyre_histogram lags = histogram_of(&scene, GYRE_METRIC_TIMER_LAG);
    cr_assert_eq(lags.count, 3);
    cr_assert_eq(lags.sum_ns, 3 * MS_NS + 5 * MS_NS);
    cr_assert_eq(lags.max_ns, 5 * MS_NS);
    cr_assert_eq(lags.buckets[0], 1, "the last is in time");
    cr_assert_eq(gyre_histogram_quantile(&lags, 1), 5 * MS_NS);
    scene_close(&scene);
}

struct posts {
    struct scene *scene;
    unsigned count;
    unsigned calls;
    struct gyre_task task;
};

static void *add_callbacks(void *arg)
{
    struct posts *posts = arg;
    for (unsigned i = 0; i < posts->count; i++)
        if (gyre_loop_add_callback(posts->scene->loop, count_call, &posts->calls) != 0)
            return NULL;
    return NULL;
}

static void *post_task(void *arg)
{
    struct posts *posts = arg;
    gyre_task_init(&posts->task, count_call, &posts->calls);
    (void)gyre_loop_post(posts->scene->loop, &posts->task);
    return NULL;
}

static uint64_t ticks_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

GYRE_TEST(metrics, posts_of_another_thread_are_sampled)
{
    struct scene scene;
    open_timed(&scene, GYRE_TIMING_TURNS);
    struct posts posts = {.scene = &scene, .count = FIRST_CHUNK};
    uint64_t began_ns = ticks_ns();
    on_thread(add_callbacks, &posts);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(histogram_of(&scene, GYRE_METRIC_POST_LAG).count, 1, "the thread's first");
    posts.count = FIRST_CHUNK + 1;
    on_thread(add_callbacks, &posts);
    cr_assert_eq(scene_run(&scene), 0);
    struct gyre_histogram lags = histogram_of(&scene, GYRE_METRIC_POST_LAG);
    cr_assert_eq(lags.count, 3, "its first, and the one behind its first chunk");
    cr_assert_eq(posts.calls, 2 * FIRST_CHUNK + 1);
    cr_assert_gt(lags.sum_ns, 0, "a thread has ended in between");
    cr_assert_leq(lags.max_ns, ticks_ns() - began_ns);
    scene_close(&scene);
}

GYRE_TEST(metrics, a_thread_that_posts_tasks_alone_is_sampled_too)
{
    struct scene scene;
    open_timed(&scene, GYRE_TIMING_TURNS);
    struct posts posts = {.scene = &scene};
    on_thread(post_task, &posts);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(posts.calls, 1);
    cr_assert_eq(histogram_of(&scene, GYRE_METRIC_POST_LAG).count, 1);
    cr_assert_eq(stats_of(scene.loop).posts, 1);
    scene_close(&scene);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void assert_longest(const struct scene *scene, uint64_t ns, gyre_fn *fn)
{
    cr_assert_eq(stats_of(scene->loop).longest_call_ns, ns);
    cr_assert_eq((uintptr_t)stats_of(scene->loop).longest_call, (uintptr_t)fn);
}

GYRE_TEST(metrics, the_longest_call_is_known_with_its_function)
{
    struct scene scene;
    uint64_t handle;
    open_timed(&scene, GYRE_TIMING_CALLS);
    struct spender callback = {&scene, 2 * MS_NS, 2};
    struct spender timer = {&scene, 3 * MS_NS, 0};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend_again, &callback), 0);
    cr_assert_eq(scene_run(&scene), 0);
    assert_longest(&scene, 2 * MS_NS, spend_again);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 0, &handle, spend, &timer), 0);
    cr_assert_eq(scene_run(&scene), 0);
    assert_longest(&scene, 3 * MS_NS, spend);
    callback.left = 1;
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend_again, &callback), 0);
    cr_assert_eq(scene_run(&scene), 0);
    assert_longest(&scene, 3 * MS_NS, spend);
    scene_close(&scene);
}

GYRE_TEST(metrics, a_call_with_a_nested_run_is_as_long_as_both)
{
    struct scene scene;
    open_timed(&scene, GYRE_TIMING_CALLS);
    struct spender outer = {&scene, MS_NS, 0};
    struct spender inner = {&scene, 2 * MS_NS, 0};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend_and_nest, &outer), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend, &inner), 0);
    cr_assert_eq(scene_run(&scene), 0);
    assert_longest(&scene, 3 * MS_NS, spend_and_nest);
    cr_assert_eq(stats_of(scene.loop).busy_ns, 3 * MS_NS);
    cr_assert_leq(histogram_of(&scene, GYRE_METRIC_TURN).count, stats_of(scene.loop).turns);
    scene_close(&scene);
}

static void time_a_handler(uint32_t events)
{
    struct scene scene;
    int fds[2];
    open_timed(&scene, GYRE_TIMING_CALLS);
    struct spender spender = {&scene, MS_NS, 0};
    if ((events & GYRE_ONESHOT & ~gyre_loop_capabilities(scene.loop)) != 0) {
        scene_close(&scene);
        cr_skip_test("this backend takes no handler that fires once");
    }
    fds[0] = make_readable(&fds[1]);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], events, spend_reading, &spender), 0);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(stats_of(scene.loop).events, 1);
    cr_assert_eq(stats_of(scene.loop).longest_call_ns, MS_NS);
    cr_assert_eq((uintptr_t)stats_of(scene.loop).longest_call, (uintptr_t)spend_reading);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), 0);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0);
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(metrics, a_handler_can_be_the_longest_call)
{
    time_a_handler(GYRE_READ);
}

GYRE_TEST(metrics, a_handler_that_fires_once_can_be_the_longest_call)
{
    time_a_handler(GYRE_READ | GYRE_ONESHOT);
}

GYRE_TEST(metrics, a_periodic_call_is_named_by_the_users_function)
{
    struct scene scene;
    struct gyre_periodic periodic;
    open_timed(&scene, GYRE_TIMING_CALLS);
    struct spender spender = {&scene, MS_NS, 0};
    cr_assert_eq(gyre_periodic_init(&periodic, scene.loop, SECOND_NS, spend, &spender), 0);
    cr_assert_eq(gyre_periodic_start(&periodic), 0);
    cr_assert_eq(scene_run_polls(&scene, 3), 0);
    assert_longest(&scene, MS_NS, spend);
    cr_assert_eq(gyre_periodic_stop(&periodic), 0);
    scene_close(&scene);
}

static int spend_on_signal(struct gyre_loop *loop, int signo, void *arg)
{
    (void)signo;
    return spend(loop, 0, arg);
}

GYRE_TEST(metrics, a_signals_call_is_named_by_the_users_function)
{
    struct scene scene;
    open_timed(&scene, GYRE_TIMING_CALLS);
    struct spender spender = {&scene, MS_NS, 0};
    cr_assert_eq(gyre_loop_add_signal(scene.loop, SIGUSR1, spend_on_signal, &spender), 0);
    cr_assert_eq(raise(SIGUSR1), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(stats_of(scene.loop).longest_call_ns, MS_NS);
    cr_assert_eq((uintptr_t)stats_of(scene.loop).longest_call, (uintptr_t)spend_on_signal);
    cr_assert_eq(gyre_loop_remove_signal(scene.loop, SIGUSR1), 0);
    scene_close(&scene);
}

/* ---- the dump -------------------------------------------------------------------------------- */

static void append(const char *line, void *arg)
{
    char *text = arg;
    cr_assert_lt(strlen(text) + strlen(line) + 2, SCENE_TEXT_BYTES);
    strcat(text, line);
    strcat(text, "\n");
}

GYRE_TEST(metrics, a_dump_tells_the_times_of_a_loop_that_has_them)
{
    struct scene scene;
    static char text[SCENE_TEXT_BYTES];
    open_timed(&scene, GYRE_TIMING_CALLS);
    struct spender spender = {&scene, 3 * MS_NS, 0};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, spend, &spender), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(gyre_loop_dump(scene.loop, append, text), 0);
    cr_assert(strstr(text, "timers live 0, fired 0, cancelled 0\n") != NULL, "%s", text);
    cr_assert(strstr(text, "busy 3000 us, idle 0 us\n") != NULL, "%s", text);
    cr_assert(strstr(text, "longest call 3000000 ns: ") != NULL, "%s", text);
    cr_assert(strstr(text, "turns: 2, half up to ") != NULL, "%s", text);
    cr_assert(strstr(text, "timers late") == NULL, "%s", text);
    scene_close(&scene);
}
