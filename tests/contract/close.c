/* SPDX-License-Identifier: MIT */
/*
 * close - rules T66 to T66d: the end of a run and of a loop.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    POSTERS = 4,
    ROUNDS = 3 /* stress/close.c has more */
};

static uint64_t handle; /* of calls that no test cancels */

/* ---- T66 ------------------------------------------------------------------------------------- */

static int scripted_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    (void)loop;
    (void)timeout_ns;
    return *(int *)arg;
}

GYRE_TEST(close, T66_running_is_reset_on_every_exit)
{
    struct gyre_loop_options options;
    struct scene scene;
    int result = -EIO;
    scene_options(&scene, &options);
    options.wait = scripted_wait;
    options.wait_arg = &result;
    scene_open_with(&scene, &options);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(gyre_loop_run(scene.loop), -EIO, "by a failure");
        cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0, "by a stop inside");
        cr_assert_eq(gyre_loop_stop(scene.loop), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0, "by a stop before");
    }
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0, "nobody is inside any more");
    scene_close(&scene);
}

/* ---- T66a, T66b ------------------------------------------------------------------------------ */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

GYRE_TEST(close, T66a_close_all_fds_closes_every_registered_descriptor)
{
    struct scene scene;
    struct watch watches[40];
    int fds[40][2];
    scene_open(&scene);
    for (int i = 0; i < 40; i++) {
        make_pipe(fds[i]);
        watches[i] = (struct watch){.scene = &scene, .name = "h", .fd = fds[i][0]};
        if (i % 4 != 0)
            watch_fd(&watches[i], i % 4 == 1 ? GYRE_NONE : GYRE_READ);
        if (i % 4 == 3)
            cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[i][0]), 0);
    }
    cr_assert_eq(gyre_loop_close(scene.loop, GYRE_CLOSE_ALL_FDS), 0);
    for (int i = 0; i < 40; i++) {
        cr_assert_eq(is_open(fds[i][0]), i % 4 == 0 || i % 4 == 3, "pipe %d", i);
        cr_assert(is_open(fds[i][1]), "its other end is nobody's handler's");
        (void)close(fds[i][1]); /* it is empty */
        if (is_open(fds[i][0]))
            (void)close(fds[i][0]); /* as above */
    }
    scene_close(&scene);
}

GYRE_TEST(close, T66b_without_the_flag_descriptors_stay_open)
{
    for (int by_destroy = 0; by_destroy < 2; by_destroy++) {
        struct scene scene;
        int fds[2];
        scene_open(&scene);
        make_pipe(fds);
        struct watch watch = {.scene = &scene, .name = "h", .fd = fds[0]};
        watch_fd(&watch, GYRE_READ);
        if (by_destroy == 0)
            cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
        scene_close(&scene);
        cr_assert(is_open(fds[0]));
        cr_assert(is_open(fds[1]));
        close_pipe(fds);
    }
}

static void *post_word(void *arg)
{
    struct word *word = arg;
    word->result = gyre_loop_add_callback(word->scene->loop, say_word, word);
    return NULL;
}

GYRE_TEST(close, T66a_what_is_pending_ends_with_ecanceled_once_each)
{
    struct scene scene;
    struct gyre_task task;
    struct gyre_timer timer;
    scene_open(&scene);
    struct word foreign = {&scene, "foreign", -1};
    uint64_t cancelled;
    gyre_task_init(&task, say_word, word_of(&scene, "task"));
    gyre_timer_init(&timer, scene.loop, say_word, word_of(&scene, "timer"));
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "callback")), 0);
    cr_assert_eq(gyre_loop_post(scene.loop, &task), 0);
    on_thread(post_word, &foreign);
    cr_assert_eq(gyre_timer_start(&timer, 10), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 5, &handle, say_word, word_of(&scene, "call")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 1, &cancelled, say_word, word_of(&scene, "no")), 0);
    cr_assert_eq(gyre_loop_cancel_call(scene.loop, cancelled), 0);
    cr_assert_eq(gyre_loop_post_call_at(scene.loop, 7, say_word, word_of(&scene, "posted")), 0);
    cr_assert_eq(
        gyre_loop_call_at(scene.loop, GYRE_NEVER, &handle, say_word, word_of(&scene, "never")), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "callback! task! posted! foreign! call! timer! never!");
    cr_assert_not(gyre_timer_is_armed(&timer));
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    scene_close(&scene);
    cr_assert_str_eq(scene.text, "callback! task! posted! foreign! call! timer! never!");
}

/* Tries everything that could add work to a loop that closes. */
static int try_to_add(struct gyre_loop *loop, int status, void *arg)
{
    struct word *word = arg;
    struct gyre_task task;
    struct gyre_timer timer;
    gyre_task_init(&task, say_word, word);
    gyre_timer_init(&timer, loop, say_word, word);
    struct gyre_task *const batch[] = {&task};
    bool refused = status == -ECANCELED && gyre_loop_post(loop, &task) == -ESHUTDOWN &&
                   gyre_loop_post_batch(loop, batch, 1) == -ESHUTDOWN &&
                   gyre_loop_add_callback(loop, say_word, word) == -ESHUTDOWN &&
                   gyre_loop_spawn_callback(loop, say_word, word) == -ESHUTDOWN &&
                   gyre_timer_start(&timer, 0) == -ESHUTDOWN &&
                   gyre_loop_call_at(loop, 0, &handle, say_word, word) == -ESHUTDOWN &&
                   gyre_loop_call_later(loop, 0, &handle, say_word, word) == -ESHUTDOWN &&
                   gyre_loop_post_call_at(loop, 0, say_word, word) == -ESHUTDOWN &&
                   gyre_loop_run(loop) != 0 && gyre_loop_close(loop, 0) == -EBUSY;
    say(word->scene, refused ? "refused" : "let in");
    return 0;
}

GYRE_TEST(close, T66a_cancelled_functions_cannot_add_work)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, try_to_add, word_of(&scene, "no")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, try_to_add, word_of(&scene, "no")), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "refused refused");
    cr_assert_eq(stats_of(scene.loop).callbacks, 0);
    scene_close(&scene);
}

static int remove_all(struct gyre_loop *loop, int status, void *arg)
{
    struct watch *watches = arg;
    say(watches->scene, status == -ECANCELED ? "cancelled" : "run");
    for (int i = 0; i < 2; i++) {
        if (gyre_loop_remove_handler(loop, watches[i].fd) != 0)
            say(watches->scene, "not removed");
        (void)close(watches[i].fd); /* the test's own, as users clean up */
    }
    return 0;
}

GYRE_TEST(close, T66a_cancelled_functions_may_remove_handlers_and_close_their_descriptors)
{
    struct scene scene;
    struct watch watches[2];
    int fds[2];
    scene_open(&scene);
    make_pipe(fds);
    for (int i = 0; i < 2; i++) {
        watches[i] = (struct watch){.scene = &scene, .name = "h", .fd = fds[i]};
        watch_fd(&watches[i], GYRE_NONE);
    }
    cr_assert_eq(gyre_loop_add_callback(scene.loop, remove_all, watches), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, GYRE_CLOSE_ALL_FDS), 0);
    cr_assert_str_eq(scene.text, "cancelled");
    cr_assert_not(is_open(fds[0]));
    scene_close(&scene);
}

/* Stops the timer at arg, as objects release what they own. */
static int stop_another(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre_timer *timer = arg;
    (void)loop;
    (void)status;
    return gyre_timer_stop(timer);
}

GYRE_TEST(close, T66a_cancelled_timers_may_stop_others)
{
    struct scene scene;
    struct gyre_timer timers[10];
    scene_open(&scene);
    for (int i = 0; i < 10; i += 2) {
        gyre_timer_init(&timers[i], scene.loop, stop_another, &timers[i + 1]);
        gyre_timer_init(&timers[i + 1], scene.loop, say_word, word_of(&scene, "not stopped"));
        cr_assert_eq(gyre_timer_start(&timers[i], (uint64_t)i), 0);
        cr_assert_eq(gyre_timer_start(&timers[i + 1], (uint64_t)i), 0);
    }
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "");
    for (int i = 0; i < 10; i++)
        cr_assert_not(gyre_timer_is_armed(&timers[i]));
    scene_close(&scene);
}

/* ---- T66c ------------------------------------------------------------------------------------ */

static int note_close(struct gyre_loop *loop, int status, void *arg)
{
    int *result = arg;
    if (status == 0)
        *result = gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS);
    return 0;
}

static int stop_and_close(struct gyre_loop *loop, int status, void *arg)
{
    (void)gyre_loop_stop(loop); /* a loop that is no runtime's does not refuse */
    return note_close(loop, status, arg);
}

GYRE_TEST(close, T66c_close_while_running_is_refused)
{
    static gyre_fn *const functions[] = {note_close, stop_and_close};
    for (int i = 0; i < 2; i++) {
        struct scene scene;
        int results[2] = {0, 0};
        int fds[2];
        scene_open(&scene);
        make_pipe(fds);
        struct watch watch = {.scene = &scene, .name = "h", .fd = fds[0]};
        watch_fd(&watch, GYRE_READ);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, functions[i], &results[0]), 0);
        cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, functions[i], &results[1]), 0);
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_eq(results[0], -EBUSY);
        cr_assert_eq(results[1], -EBUSY);
        cr_assert(is_open(fds[0]));
        scene_close(&scene);
        close_pipe(fds);
    }
}

/* Destroys its loop, and queues a word that the close must cancel. */
static int destroy_inside(struct gyre_loop *loop, int status, void *arg)
{
    struct word *late = arg;
    (void)status;
    gyre_loop_destroy(loop);
    say(late->scene, "destroyed");
    int r = gyre_loop_add_callback(loop, say_word, late);
    return r != 0 ? r : gyre_loop_stop(loop);
}

GYRE_TEST(close, T66c_destroy_inside_a_run_is_left_to_its_end)
{
    for (int current = 0; current < 2; current++) {
        struct scene scene;
        unsigned before = count_descriptors();
        scene_open(&scene);
        gyre_loop_make_current(current != 0 ? scene.loop : NULL);
        struct word late = {&scene, "late", 0};
        cr_assert_eq(gyre_loop_add_callback(scene.loop, destroy_inside, &late), 0);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "ran")), 0);
        cr_assert_eq(
            gyre_loop_call_later(scene.loop, 5, &handle, say_word, word_of(&scene, "timer")), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0);
        cr_assert_str_eq(scene.text, "destroyed ran late! timer!", "current: %d", current);
        cr_assert_null(gyre_loop_current_or_null(), "current: %d", current);
        cr_assert_eq(count_descriptors(), before, "current: %d", current);
    }
}

static void *destroy_here(void *arg)
{
    gyre_loop_destroy(arg);
    return NULL;
}

static int destroy_elsewhere(struct gyre_loop *loop, int status, void *arg)
{
    pthread_t thread;
    (void)status;
    if (pthread_create(&thread, NULL, destroy_here, loop) != 0)
        return -EAGAIN;
    (void)pthread_join(thread, NULL); /* it exists */
    say(arg, "destroyed");
    return gyre_loop_stop(loop);
}

GYRE_TEST(close, T66c_destroy_by_another_thread_leaves_the_close_to_the_last_release)
{
    struct scene scene;
    unsigned before = count_descriptors();
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, destroy_elsewhere, &scene), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "ran")), 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 5, &handle, say_word, word_of(&scene, "timer")),
                 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "destroyed ran timer!");
    cr_assert_eq(count_descriptors(), before);
}

/* ---- T66d ------------------------------------------------------------------------------------ */

GYRE_TEST(close, T66d_closed_loop_refuses_and_is_otherwise_harmless)
{
    struct scene scene;
    struct gyre_task task;
    struct gyre_timer timer;
    unsigned calls = 0;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    struct watch watch = {.scene = &scene, .name = "h", .fd = fds[0]};
    watch_fd(&watch, GYRE_READ);
    struct gyre_loop *loop = gyre_loop_acquire(scene.loop);
    gyre_loop_destroy(scene.loop);

    struct gyre_task *const batch[] = {&task};
    gyre_task_init(&task, count_call, &calls);
    gyre_timer_init(&timer, loop, count_call, &calls);
    cr_assert_eq(gyre_loop_post(loop, &task), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_post_batch(loop, batch, 1), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_add_callback(loop, count_call, &calls), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_spawn_callback(loop, count_call, &calls), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_post_call_at(loop, 0, count_call, &calls), -ESHUTDOWN);
    cr_assert_eq(gyre_timer_start(&timer, 0), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_call_at(loop, 0, &handle, count_call, &calls), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_call_later(loop, 0, &handle, count_call, &calls), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[1], GYRE_WRITE, watch_handler, &watch),
                 -ESHUTDOWN);
    cr_assert_eq(gyre_loop_run(loop), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_update_handler(loop, fds[0], GYRE_READ), -ENOENT);
    cr_assert_eq(gyre_loop_remove_handler(loop, fds[0]), -ENOENT);
    cr_assert_eq(gyre_loop_cancel_call(loop, 1), -ENOENT);
    cr_assert_eq(gyre_timer_stop(&timer), 0);
    cr_assert_eq(gyre_loop_stop(loop), 0);
    gyre_loop_wake(loop);
    cr_assert_eq(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0, "a second close is a no-op");
    cr_assert(is_open(fds[0]), "it closes nothing");
    cr_assert_eq(gyre_loop_run(loop), -ESHUTDOWN);
    cr_assert_eq(calls + watch.calls, 0);
    cr_assert_not_null(gyre_loop_backend(loop));
    gyre_loop_release(loop);
    close_pipe(fds);
}

GYRE_TEST(close, T66d_memory_and_waker_live_until_the_last_reference)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    unsigned before = count_descriptors();
    struct gyre_loop *loop = open_loop();
    cr_assert_eq(gyre_loop_acquire(loop), loop);
    cr_assert_eq(gyre_loop_acquire(loop), loop);
    gyre_loop_destroy(loop);
    cr_assert_gt(memory.blocks, 0);
    cr_assert_gt(count_descriptors(), before, "the waker's descriptor is not recycled");
    gyre_loop_release(loop);
    cr_assert_gt(count_descriptors(), before);
    gyre_loop_wake(loop);
    gyre_loop_release(loop);
    cr_assert_eq(memory.blocks, 0);
    cr_assert_eq(count_descriptors(), before);
    gyre_loop_release(NULL);
    gyre_loop_destroy(NULL);
}

GYRE_TEST(close, T66d_last_release_closes_an_open_loop)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "callback")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "timer")), 0);
    gyre_loop_release(gyre_loop_acquire(scene.loop));
    cr_assert_str_eq(scene.text, "");
    gyre_loop_release(scene.loop);
    cr_assert_str_eq(scene.text, "callback! timer!");
}

static int release_one(struct gyre_loop *loop, int status, void *arg)
{
    say(arg, status == -ECANCELED ? "released" : "run");
    gyre_loop_release(loop);
    return 0;
}

static int destroy_one(struct gyre_loop *loop, int status, void *arg)
{
    say(arg, status == -ECANCELED ? "destroyed" : "run");
    gyre_loop_destroy(loop);
    return 0;
}

GYRE_TEST(close, T66d_cancelled_function_may_drop_the_last_reference)
{
    static gyre_fn *const functions[] = {release_one, destroy_one};
    static const char *const texts[] = {"released next!", "destroyed next!"};
    struct memory_count memory = {0};
    count_memory(&memory);
    for (int i = 0; i < 2; i++) {
        struct scene scene;
        struct gyre_task tasks[2];
        unsigned before = count_descriptors();
        scene_open(&scene);
        gyre_task_init(&tasks[0], functions[i], &scene);
        gyre_task_init(&tasks[1], say_word, word_of(&scene, "next"));
        for (int j = 0; j < 2; j++)
            cr_assert_eq(gyre_loop_post(scene.loop, &tasks[j]), 0);
        cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
        cr_assert_str_eq(scene.text, texts[i]);
        cr_assert_eq(memory.blocks, 0);
        cr_assert_eq(count_descriptors(), before);
    }
}

/* A thread that posts until the loop has closed. */
struct racer {
    struct gyre_loop *loop;
    _Atomic unsigned posted; /* also shows that it has begun */
    unsigned refusal;
    _Atomic unsigned run;
    _Atomic unsigned cancelled;
};

static int count_ended(struct gyre_loop *loop, int status, void *arg)
{
    struct racer *racer = arg;
    (void)loop;
    /* relaxed: the test reads after the join */
    atomic_fetch_add_explicit(status == 0 ? &racer->run : &racer->cancelled, 1,
                              memory_order_relaxed);
    return 0;
}

static void *post_until_refused(void *arg)
{
    struct racer *racer = arg;
    int r;
    while ((r = gyre_loop_add_callback(racer->loop, count_ended, racer)) == 0 || r == -EAGAIN) {
        if (r == 0) /* relaxed: a count */
            atomic_fetch_add_explicit(&racer->posted, 1, memory_order_relaxed);
        else
            sched_yield(); /* the loop is full */
    }
    racer->refusal = (unsigned)-r;
    gyre_loop_wake(racer->loop);
    (void)gyre_loop_stop(racer->loop); /* harmless now */
    gyre_loop_release(racer->loop);
    return NULL;
}

static int stop_when_busy(struct gyre_loop *loop, int status, void *arg)
{
    const struct racer *racers = arg;
    bool busy = true;
    for (int i = 0; i < POSTERS; i++) /* relaxed: only whether it has begun */
        busy = busy && atomic_load_explicit(&racers[i].posted, memory_order_relaxed) > 0;
    if (status != 0)
        return 0;
    return busy ? gyre_loop_stop(loop) : gyre_loop_call_at(loop, 0, &handle, stop_when_busy, arg);
}

GYRE_TEST(close, T66d_post_that_races_with_close_is_run_cancelled_or_refused)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct racer racers[POSTERS];
        pthread_t threads[POSTERS];
        struct gyre_loop_options options;
        struct gyre_loop *loop;
        gyre_loop_options_init(&options);
        options.backend = gyre_test_backend();
        options.waker = gyre_test_waker();
        options.make_current = GYRE_CURRENT_NO;
        options.queue_max = 100;
        cr_assert_eq(gyre_loop_create(&options, &loop), 0);
        for (int i = 0; i < POSTERS; i++) {
            racers[i] = (struct racer){.loop = gyre_loop_acquire(loop)};
            threads[i] = start_thread(post_until_refused, &racers[i]);
        }
        cr_assert_eq(gyre_loop_call_at(loop, 0, &handle, stop_when_busy, racers), 0);
        run_to_stop(loop);
        gyre_loop_destroy(loop);
        for (int i = 0; i < POSTERS; i++)
            pthread_join(threads[i], NULL);
        for (int i = 0; i < POSTERS; i++) {
            cr_assert_eq(racers[i].refusal, ESHUTDOWN);
            cr_assert_eq(racers[i].run + racers[i].cancelled, racers[i].posted, "none is lost");
        }
    }
}
