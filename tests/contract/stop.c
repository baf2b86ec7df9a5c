/* SPDX-License-Identifier: MIT */
/*
 * stop - rules T59 to T65: stopping, running again, runs inside runs.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static uint64_t handle; /* of calls that no test cancels */

static void *stop_from_here(void *arg)
{
    (void)gyre_loop_stop(arg); /* a loop that is no runtime's does not refuse */
    return NULL;
}

/* ---- T59, T60 -------------------------------------------------------------------------------- */

GYRE_TEST(stop, T59_stop_while_not_running_makes_the_next_run_return_at_once)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    struct watch watch = {.scene = &scene, .name = "handler", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "callback")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "timer")), 0);
    cr_assert_eq(gyre_loop_stop(scene.loop), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(stats_of(scene.loop).turns, 0);
    cr_assert_eq(scene.waits, 0);

    cr_assert_eq(scene_run_polls(&scene, 1), 0, "that stop is used up");
    cr_assert_str_eq(scene.text, "callback timer handler:r");
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

GYRE_TEST(stop, T59_several_stops_count_as_one)
{
    struct scene scene;
    scene_open(&scene);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(gyre_loop_stop(scene.loop), 0);
        on_thread(stop_from_here, scene.loop);
    }
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "ran")), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "ran");
    scene_close(&scene);
}

/* Stops by another thread and by itself, in either order. */
static int stop_twice(struct gyre_loop *loop, int status, void *arg)
{
    bool own_first = *(bool *)arg;
    pthread_t thread;
    (void)status;
    if (own_first)
        (void)gyre_loop_stop(loop); /* as in stop_from_here */
    if (pthread_create(&thread, NULL, stop_from_here, loop) != 0)
        return -EAGAIN;
    (void)pthread_join(thread, NULL); /* it exists */
    return own_first ? 0 : gyre_loop_stop(loop);
}

GYRE_TEST(stop, T59_several_stops_of_one_run_leave_none_for_the_next)
{
    for (int own_first = 0; own_first < 2; own_first++) {
        struct scene scene;
        bool order = own_first != 0;
        scene_open(&scene);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_twice, &order), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0);
        cr_assert_eq(scene.waits, 0);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "ran")), 0);
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_str_eq(scene.text, "ran", "own first: %d", own_first);
        scene_close(&scene);
    }
}

static int add_then_stop(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    int r = gyre_loop_add_callback(loop, say_word, arg);
    return r != 0 ? r : gyre_loop_stop(loop);
}

GYRE_TEST(stop, T60_what_is_queued_stays)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_then_stop, word_of(&scene, "stayed")), 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 5, &handle, say_word, word_of(&scene, "timer")),
                 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "");
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(gyre_loop_stop(scene.loop), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0);
        cr_assert_str_eq(scene.text, "");
    }
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "stayed timer");
    scene_close(&scene);
}

/* ---- T61, T62 -------------------------------------------------------------------------------- */

GYRE_TEST(stop, T61_stop_in_a_callback_lets_snapshot_and_due_timers_run)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    struct watch watch = {.scene = &scene, .name = "handler", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "before")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_then_stop, word_of(&scene, "added")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "rest")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "due")), 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 1, &handle, say_word, word_of(&scene, "later")),
                 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "before rest due");
    cr_assert_eq(stats_of(scene.loop).polls, 0);
    cr_assert_eq(stats_of(scene.loop).turns, 1);
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

/* What the first handler of a batch leaves for the round after it. */
struct last_round {
    struct scene scene;
    struct watch watches[2];
    int writers[2];
    struct word words[3];
};

/* Says its word, and queues one that must stay. */
static int say_and_add(struct gyre_loop *loop, int status, void *arg)
{
    struct last_round *round = arg;
    (void)status;
    say(&round->scene, "callback");
    return gyre_loop_add_callback(loop, say_word, &round->words[2]);
}

static void stop_in_handler(struct watch *watch)
{
    struct last_round *round = watch->scene->data;
    struct gyre_loop *loop = watch->scene->loop;
    round->watches[0].then = round->watches[1].then = NULL;
    if (gyre_loop_stop(loop) != 0 || gyre_loop_add_callback(loop, say_and_add, round) != 0 ||
        gyre_loop_call_at(loop, 0, &handle, say_word, &round->words[0]) != 0 ||
        gyre_loop_call_later(loop, 1, &handle, say_word, &round->words[1]) != 0)
        say(watch->scene, "refused");
}

GYRE_TEST(stop, T62_stop_in_a_handler_lets_the_batch_and_one_more_round_run)
{
    struct last_round round = {.words = {{&round.scene, "due", 0},
                                         {&round.scene, "later", 0},
                                         {&round.scene, "stayed", 0}}};
    struct scene *scene = &round.scene;
    scene_open(scene);
    scene->data = &round;
    for (int i = 0; i < 2; i++) {
        round.watches[i] = (struct watch){.scene = scene, .name = "h", .then = stop_in_handler};
        round.watches[i].fd = make_readable(&round.writers[i]);
        watch_fd(&round.watches[i], GYRE_READ);
    }
    scene->waits_max = 1000; /* not the scene ends this run */
    cr_assert_eq(gyre_loop_run(scene->loop), 0);
    cr_assert_str_eq(scene->text, "h:r h:r callback due");
    cr_assert_eq(stats_of(scene->loop).polls, 1);
    hush(scene);
    cr_assert_eq(scene_run_polls(scene, 1), 0);
    cr_assert_eq(strncmp(scene->text, "stayed ", 7), 0, "%s", scene->text);
    scene_close(scene);
    for (int i = 0; i < 2; i++)
        close_pipe((int[]){round.watches[i].fd, round.writers[i]});
}

/* ---- T63 ------------------------------------------------------------------------------------- */

static struct gyre_loop *signalled; /* what the signal handler stops */

static void stop_by_signal(int number)
{
    (void)number;
    (void)gyre_loop_stop(signalled); /* as in stop_from_here */
}

static int raise_signal(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return raise(SIGUSR1);
}

static void raise_in_wait(struct scene *scene)
{
    if (scene->waits == 3)
        (void)raise(SIGUSR1); /* as if it came just before the poll */
}

GYRE_TEST(stop, T63_stop_may_be_called_by_a_signal_handler)
{
    struct sigaction action = {.sa_handler = stop_by_signal};
    struct scene scene;
    scene_open(&scene);
    signalled = scene.loop;
    cr_assert_eq(sigaction(SIGUSR1, &action, NULL), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, raise_signal, NULL), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(scene.waits, 0);

    scene.on_wait = raise_in_wait;
    scene.waits_max = 1000;
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(scene.waits, 3);

    scene.on_wait = NULL;
    cr_assert_eq(raise(SIGUSR1), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0, "met by the next run");
    cr_assert_eq(scene.waits, 3);
    scene_close(&scene);
}

static void *stop_a_sleeper(void *arg)
{
    if (await_sleep(arg, 0))
        (void)gyre_loop_stop(arg); /* as in stop_from_here */
    return NULL;
}

GYRE_TEST(stop, T63_stop_by_another_thread_wakes_the_loop)
{
    struct gyre_loop *loop = open_loop();
    pthread_t thread = start_thread(stop_a_sleeper, loop);
    run_to_stop(loop);
    pthread_join(thread, NULL);
    cr_assert_eq(stats_of(loop).sleeps, 1);
    cr_assert_eq(stats_of(loop).wakes_written, 1);
    gyre_loop_destroy(loop);
}

/* A thread that adds callbacks, and more of them and a stop while these run. */
struct poster {
    struct gyre_loop *loop;
    pthread_t thread;
    pthread_barrier_t step;
    bool wakes; /* the loop's own node is on its way before the last post */
    unsigned ran;
    unsigned last_ran;
};

enum {
    POSTED = 40, /* and a budget cuts after 32, see GYRE__BUDGET_STEP */
    MET = 20 /* the one that lets the thread go on */
};

static int count_last(struct gyre_loop *loop, int status, void *arg)
{
    struct poster *poster = arg;
    (void)loop;
    poster->last_ran += status == 0;
    return 0;
}

static int count_and_meet(struct gyre_loop *loop, int status, void *arg)
{
    struct poster *poster = arg;
    (void)loop;
    if (status == 0 && ++poster->ran == MET) {
        pthread_barrier_wait(&poster->step); /* the thread goes on */
        pthread_barrier_wait(&poster->step); /* and has stopped the loop */
    }
    return 0;
}

static void *post_and_stop(void *arg)
{
    struct poster *poster = arg;
    for (unsigned i = 0; i < POSTED; i++) {
        if (gyre_loop_add_callback(poster->loop, count_and_meet, poster) != 0)
            return NULL;
    }
    pthread_barrier_wait(&poster->step); /* the loop may run */
    pthread_barrier_wait(&poster->step);
    if (poster->wakes)
        gyre_loop_wake(poster->loop);
    if (gyre_loop_add_callback(poster->loop, count_last, poster) == 0)
        (void)gyre_loop_stop(poster->loop); /* it is no runtime's */
    pthread_barrier_wait(&poster->step);
    return NULL;
}

GYRE_TEST(stop, T63_what_a_thread_posted_before_its_stop_still_runs)
{
    for (int budget = 0; budget < 2; budget++) {
        for (int wakes = 0; wakes < 2; wakes++) {
            struct gyre_loop_options options;
            struct scene scene;
            scene_options(&scene, &options);
            options.callback_budget_ns = (uint64_t)budget; /* 1 ns: cut at each look */
            scene_open_with(&scene, &options);
            struct poster poster = {.loop = scene.loop, .wakes = wakes != 0};
            cr_assert_eq(pthread_barrier_init(&poster.step, NULL, 2), 0);
            cr_assert_eq(pthread_create(&poster.thread, NULL, post_and_stop, &poster), 0);
            pthread_barrier_wait(&poster.step);
            cr_assert_eq(gyre_loop_run(scene.loop), 0);
            cr_assert_eq(pthread_join(poster.thread, NULL), 0);
            cr_assert_eq(poster.ran, POSTED);
            cr_assert_eq(poster.last_ran, 1, "budget %d, wakes %d", budget, wakes);
            pthread_barrier_destroy(&poster.step);
            scene_close(&scene);
        }
    }
}

/* ---- T64 ------------------------------------------------------------------------------------- */

/* Runs the loop that runs, from everywhere; counts the refusals. */
static void *try_to_run(void *arg)
{
    struct scene *scene = arg;
    unsigned *refused = scene->data;
    if (gyre_loop_run(scene->loop) == -EBUSY)
        ++*refused;
    return NULL;
}

static int run_in_call(struct gyre_loop *loop, int status, void *arg)
{
    pthread_t thread;
    (void)loop;
    (void)status;
    (void)try_to_run(arg);
    if (pthread_create(&thread, NULL, try_to_run, arg) == 0)
        (void)pthread_join(thread, NULL); /* it exists */
    return -EIO; /* for the error hook */
}

static void run_in_handler(struct watch *watch)
{
    (void)try_to_run(watch->scene);
}

static void run_in_hook(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    (void)failure;
    (void)try_to_run(arg);
}

static void run_in_wait(struct scene *scene)
{
    scene->on_wait = NULL;
    (void)try_to_run(scene);
}

GYRE_TEST(stop, T64_run_while_running_is_refused)
{
    struct gyre_loop_options options;
    struct scene scene;
    unsigned refused = 0;
    scene_options(&scene, &options);
    options.on_error = run_in_hook;
    options.on_error_arg = &scene;
    scene_open_with(&scene, &options);
    scene.data = &refused;
    scene.on_wait = run_in_wait;
    scene.waits_max = 2;
    int writer;
    struct watch watch = {.scene = &scene, .name = "h", .fd = make_readable(&writer)};
    watch.then = run_in_handler;
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, run_in_call, &scene), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, run_in_call, &scene), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    /* Callback and timer, three each with thread and hook; the wait; the handler, the first time:
     * the second time the run is about to end. */
    cr_assert_eq(refused, 8, "%u", refused);
    cr_assert_eq(scene.waits, 2, "the run went on");
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

/* ---- T65 ------------------------------------------------------------------------------------- */

/* Begins a run inside the run, which `inner` then ends. */
static int nest(struct gyre_loop *loop, int status, void *arg)
{
    struct word *inner = arg;
    struct scene *scene = inner->scene;
    (void)status;
    say(scene, "[");
    int r = gyre_loop_stop(loop);
    if (r == 0)
        r = gyre_loop_run(loop);
    say(scene, stats_of(loop).turns == 1 ? "at-once" : "turned");
    if (r == 0)
        r = gyre_loop_add_callback(loop, say_word, inner);
    if (r == 0)
        r = gyre_loop_add_callback(loop, stop_loop, NULL);
    if (r == 0)
        r = gyre_loop_run(loop);
    say(scene, "]");
    return r;
}

GYRE_TEST(stop, T65_nested_run_runs_and_the_outer_ends_after_it)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, nest, word_of(&scene, "inner")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "snapshot")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "due")), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    /* The inner run goes on with the snapshot and the due timers: each runs once. */
    cr_assert_str_eq(scene.text, "[ at-once snapshot inner due ]");
    cr_assert_eq(scene.waits, 0, "nothing waited for");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "again")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "[ at-once snapshot inner due ] again");
    scene_close(&scene);
}

GYRE_TEST(stop, T65_nested_run_in_a_timer_keeps_the_timers_behind_it)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 1, &handle, nest, word_of(&scene, "inner")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 2, &handle, say_word, word_of(&scene, "second")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 3, &handle, say_word, word_of(&scene, "third")), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "[ at-once inner second third ]");
    cr_assert_eq(stats_of(scene.loop).timers, 3);
    scene_close(&scene);
}

struct other_loop {
    struct scene *outer;
    struct scene inner;
    int result;
};

static int run_other(struct gyre_loop *loop, int status, void *arg)
{
    struct other_loop *other = arg;
    (void)loop;
    (void)status;
    say(other->outer, "[");
    other->result = scene_run(&other->inner);
    say(other->outer, "]");
    return 0;
}

GYRE_TEST(stop, T65_another_loop_may_be_run_inside_a_callback)
{
    struct scene outer;
    struct other_loop other = {.outer = &outer, .result = -1};
    scene_open(&outer);
    scene_open(&other.inner);
    cr_assert_eq(gyre_loop_add_callback(other.inner.loop, say_word, word_of(&outer, "inner")), 0);
    cr_assert_eq(gyre_loop_add_callback(outer.loop, run_other, &other), 0);
    cr_assert_eq(gyre_loop_add_callback(outer.loop, say_word, word_of(&outer, "outer")), 0);
    cr_assert_eq(scene_run(&outer), 0);
    cr_assert_eq(other.result, 0);
    cr_assert_str_eq(outer.text, "[ inner ] outer");
    cr_assert_eq(outer.waits, 1, "the outer one went on to its own end");
    scene_close(&other.inner);
    scene_close(&outer);
}

static int nest_deep(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    unsigned *left = scene->data;
    (void)status;
    if (*left == 0)
        return gyre_loop_stop(loop);
    --*left;
    int r = gyre_loop_add_callback(loop, nest_deep, scene);
    if (r == 0)
        r = gyre_loop_stop(loop);
    if (r == 0)
        r = gyre_loop_run(loop);
    if (r == 0)
        r = gyre_loop_run(loop);
    say(scene, "out");
    return r;
}

GYRE_TEST(stop, T65_runs_nest_deeply_and_end_from_the_innermost)
{
    struct scene scene;
    unsigned left = 20;
    scene_open(&scene);
    scene.data = &left;
    cr_assert_eq(gyre_loop_add_callback(scene.loop, nest_deep, &scene), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(left, 0);
    cr_assert_eq(scene.used, 20 * strlen("out ") - 1);
    cr_assert_eq(scene.waits, 0);
    scene_close(&scene);
}
