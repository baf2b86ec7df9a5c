/* SPDX-License-Identifier: MIT */
/*
 * turn - rules T37 to T41 and T45 to T47: the order of a turn's phases. How long it waits: wait.c.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    MANY = 1000
};

static uint64_t handle; /* of calls that no test cancels */

/* ---- T37 ------------------------------------------------------------------------------------- */

/* Says "+" and adds itself again, as often as scene->data counts. */
static int add_self(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    unsigned *left = scene->data;
    if (status != 0)
        return 0;
    say(scene, "+");
    return --*left > 0 ? gyre_loop_add_callback(loop, add_self, scene) : 0;
}

GYRE_TEST(turn, T37_only_callbacks_queued_at_the_top_run)
{
    struct scene scene;
    unsigned left = 3;
    scene_open(&scene);
    scene.data = &left;
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_self, &scene), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "x")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "+ x + +");
    cr_assert_eq(stats_of(scene.loop).callbacks, 4);
    cr_assert_eq(stats_of(scene.loop).polls, 3, "a turn for each +");
    scene_close(&scene);
}

GYRE_TEST(turn, T37_a_poll_without_waiting_comes_between)
{
    struct scene scene;
    unsigned left = 3;
    scene_open(&scene);
    scene.data = &left;
    int writer;
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_self, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "+ pipe:r + pipe:r + pipe:r");
    cr_assert_eq(stats_of(scene.loop).polls, 3);
    cr_assert_eq(scene.waits, 1, "only the last poll was allowed to wait");
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

struct numbered {
    unsigned number;
    unsigned *next; /* the number whose turn it is */
    bool stops;
};

/* Takes 20 us, and checks that its turn has come. */
static int run_numbered(struct gyre_loop *loop, int status, void *arg)
{
    struct numbered *numbered = arg;
    struct timespec began;
    struct timespec now;
    (void)status;
    clock_gettime(CLOCK_MONOTONIC, &began);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - began.tv_sec) * 1000000000L + now.tv_nsec - began.tv_nsec < 20000);
    if (*numbered->next == numbered->number)
        ++*numbered->next;
    return numbered->stops ? gyre_loop_stop(loop) : 0;
}

GYRE_TEST(turn, T37_budget_ends_the_phase_early_and_keeps_the_order)
{
    static struct numbered all[MANY];
    static const struct {
        uint64_t budget_ns;
        bool stops; /* the first callback does: then the budget is off (T61) */
        bool one_turn;
    } table[] = {{1, false, false}, {0, false, true}, {1, true, true}};
    for (size_t row = 0; row < sizeof(table) / sizeof(table[0]); row++) {
        struct gyre_loop_options options;
        struct scene scene;
        unsigned next = 0;
        scene_options(&scene, &options);
        options.callback_budget_ns = table[row].budget_ns;
        scene_open_with(&scene, &options);
        for (unsigned i = 0; i < MANY; i++) {
            all[i] =
                (struct numbered){.number = i, .next = &next, .stops = i == 0 && table[row].stops};
            cr_assert_eq(gyre_loop_add_callback(scene.loop, run_numbered, &all[i]), 0);
        }
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_eq(next, MANY, "row %zu: all have run, in order", row);
        cr_assert_eq(stats_of(scene.loop).polls + table[row].stops == 1, table[row].one_turn,
                     "row %zu: %d polls", row, (int)stats_of(scene.loop).polls);
        cr_assert_leq(scene.waits, 1, "what was cut off forbids waiting");
        scene_close(&scene);
    }
}

/* ---- T38, T39 -------------------------------------------------------------------------------- */

/* Posts "1" to "6" in all forms. */
static int post_in_order(struct gyre_loop *loop, int status, void *arg)
{
    static const char *const names[] = {"1", "2", "3", "4", "5", "6"};
    static struct gyre_task tasks[4];
    struct gyre_task *const batch[] = {&tasks[1], &tasks[2]};
    struct word *words[6];
    for (int i = 0; i < 6; i++)
        words[i] = word_of(arg, names[i]);
    gyre_task_init(&tasks[0], say_word, words[1]);
    gyre_task_init(&tasks[1], say_word, words[2]);
    gyre_task_init(&tasks[2], say_word, words[3]);
    gyre_task_init(&tasks[3], say_word, words[5]);
    int r = status;
    r |= gyre_loop_add_callback(loop, say_word, words[0]);
    r |= gyre_loop_post(loop, &tasks[0]);
    r |= gyre_loop_post_batch(loop, batch, 2);
    r |= gyre_loop_spawn_callback(loop, say_word, words[4]);
    r |= gyre_loop_post(loop, &tasks[3]);
    r |= gyre_loop_post_batch(loop, NULL, 0);
    return r;
}

GYRE_TEST(turn, T38_posts_of_the_owner_run_in_order_whatever_their_form)
{
    for (unsigned inside = 0; inside < 2; inside++) {
        struct scene scene;
        scene_open(&scene);
        if (inside != 0)
            cr_assert_eq(gyre_loop_add_callback(scene.loop, post_in_order, &scene), 0);
        else
            cr_assert_eq(post_in_order(scene.loop, 0, &scene), 0);
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_str_eq(scene.text, "1 2 3 4 5 6", "inside: %u", inside);
        cr_assert_eq(stats_of(scene.loop).callbacks, 6 + inside);
        scene_close(&scene);
    }
}

/* Says "in", and posts "after" as the owner. */
static int say_and_post(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    say(scene, "in");
    return status == 0 ? gyre_loop_add_callback(loop, say_word, word_of(scene, "after")) : 0;
}

/* A run that a stop ends at once, and which leaves in the queue what was posted before it. */
static void run_nothing(struct scene *scene)
{
    cr_assert_eq(gyre_loop_stop(scene->loop), 0);
    cr_assert_eq(gyre_loop_run(scene->loop), 0);
    cr_assert_str_eq(scene->text, "");
}

static void *run_nothing_on_thread(void *arg)
{
    struct scene *scene = arg;
    if (gyre_loop_stop(scene->loop) != 0 || gyre_loop_run(scene->loop) != 0)
        say(scene, "failed");
    return NULL;
}

GYRE_TEST(turn, T38_posts_between_runs_come_before_those_of_the_next_run)
{
    for (unsigned other = 0; other < 2; other++) {
        struct scene scene;
        scene_open(&scene);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_and_post, &scene), 0);
        if (other != 0)
            on_thread(run_nothing_on_thread, &scene);
        else
            run_nothing(&scene);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "between")), 0);
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_str_eq(scene.text, "in between after", "run by another before: %u", other);
        scene_close(&scene);
    }
}

/* Posts as the owner, behind what the budget left in the queue, and ends the run. */
static int stop_in_timer(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    if (status != 0)
        return 0;
    cr_assert_eq(gyre_loop_add_callback(loop, say_word, word_of(scene, "third")), 0);
    return gyre_loop_stop(loop);
}

GYRE_TEST(turn, T38_posts_between_runs_come_after_those_of_the_last_run)
{
    struct gyre_loop_options options;
    struct scene scene;
    unsigned calls = 0;
    scene_options(&scene, &options);
    options.callback_budget_ns = 1; /* so that a callback is left, with its lane, at the stop */
    scene_open_with(&scene, &options);
    for (unsigned i = 0; i < MANY; i++)
        cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "second")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, stop_in_timer, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_lt(calls, MANY, "cut by the budget");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "fourth")), 0);
    cr_assert_eq(gyre_loop_stop(scene.loop), 0); /* which looks at lanes that are queued */
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "second third fourth");
    scene_close(&scene);
}

/* A thread's posts, each with its number. */
struct poster {
    struct gyre_loop *loop;
    unsigned next; /* the number that must run next */
    unsigned failed;
    struct numbered_post {
        struct gyre_task task;
        struct poster *poster;
        unsigned number;
    } posts[MANY];
};

static int run_post(struct gyre_loop *loop, int status, void *arg)
{
    struct numbered_post *post = arg;
    (void)loop;
    if (status != 0 || post->poster->next != post->number)
        post->poster->failed++;
    post->poster->next++;
    return 0;
}

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (unsigned i = 0; i < MANY; i += 4) {
        struct numbered_post *four = &poster->posts[i];
        struct gyre_task *const batch[] = {&four[1].task, &four[2].task};
        for (unsigned j = 0; j < 4; j++) {
            four[j].poster = poster;
            four[j].number = i + j;
            gyre_task_init(&four[j].task, run_post, &four[j]);
        }
        if (gyre_loop_add_callback(poster->loop, run_post, &four[0]) != 0 ||
            gyre_loop_post_batch(poster->loop, batch, 2) != 0 ||
            gyre_loop_post(poster->loop, &four[3].task) != 0)
            poster->failed++;
    }
    return NULL;
}

GYRE_TEST(turn, T38_posts_of_each_thread_run_in_order)
{
    static struct poster posters[3];
    pthread_t threads[3];
    struct scene scene;
    scene_open(&scene);
    for (int i = 0; i < 3; i++) {
        posters[i] = (struct poster){.loop = scene.loop};
        threads[i] = start_thread(post_all, &posters[i]);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    cr_assert_eq(scene_run(&scene), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(posters[i].next, MANY);
        cr_assert_eq(posters[i].failed, 0);
    }
    cr_assert_eq(stats_of(scene.loop).posts, 3 * MANY);
    scene_close(&scene);
}

GYRE_TEST(turn, T39_callbacks_then_due_timers_then_poll_then_handlers)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    struct watch watch = {.scene = &scene, .name = "handler", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "timer")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "callback")), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "callback timer handler:r");
    cr_assert_eq(stats_of(scene.loop).turns, 2, "the second only looks at what the handler added");
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

/* ---- T40, T41 -------------------------------------------------------------------------------- */

static int step_clock(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    (void)loop;
    (void)status;
    scene->now_ns += SECOND_NS;
    say(scene, "step");
    return 0;
}

GYRE_TEST(turn, T40_due_timers_are_gathered_before_any_callback_runs)
{
    struct scene scene;
    scene_open(&scene);
    uint64_t now = scene.now_ns;
    int writer;
    struct watch watch = {.scene = &scene, .name = "poll", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_call_at(scene.loop, now, &handle, say_word, word_of(&scene, "due")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, now + 1, &handle, say_word, word_of(&scene, "next")),
                 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, step_clock, &scene), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "step due poll:r next poll:r",
                     "the step makes `next` due too late");
    cr_assert_eq(stats_of(scene.loop).timers, 2);
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

static int note_reads(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    unsigned *reads = scene->data;
    (void)loop;
    (void)status;
    *reads = scene->clock_reads;
    return 0;
}

GYRE_TEST(turn, T40_clock_is_read_once_to_gather_and_only_if_there_are_timers)
{
    struct scene scene;
    unsigned reads = 0;
    scene_open(&scene);
    scene.data = &reads;
    cr_assert_eq(gyre_loop_add_callback(scene.loop, note_reads, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene.clock_reads, 0, "no timer, no reading");

    for (uint64_t deadline = 0; deadline < 10; deadline++)
        cr_assert_eq(gyre_loop_call_at(scene.loop, deadline, &handle, note_reads, &scene), 0);
    cr_assert_eq(scene.clock_reads, 0, "arming needs none either");
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(reads, 1, "one for all ten");
    cr_assert_eq(scene.clock_reads, 1, "none for a wait without a deadline");
    scene_close(&scene);
}

static int add_past_timer(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    return gyre_loop_call_at(loop, 0, &handle, say_word, arg);
}

GYRE_TEST(turn, T40_timer_added_now_does_not_run_in_this_turn)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    struct watch watch = {.scene = &scene, .name = "poll", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    struct word past[] = {{&scene, "from-callback", 0}, {&scene, "from-timer", 0}};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_past_timer, &past[0]), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 5, &handle, add_past_timer, &past[1]), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 6, &handle, say_word, word_of(&scene, "armed")), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "armed poll:r from-callback from-timer poll:r");
    cr_assert_eq(scene.waits, 1, "a timer in the past forbids waiting");
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

static int say_polls(struct gyre_loop *loop, int status, void *arg)
{
    char text[32];
    (void)status;
    (void)snprintf(text, sizeof(text), "after-poll-%d", (int)stats_of(loop).polls);
    say(arg, text);
    return 0;
}

static void queue_say_polls(struct watch *watch)
{
    if (gyre_loop_add_callback(watch->scene->loop, say_polls, watch->scene) != 0)
        say(watch->scene, "refused");
}

GYRE_TEST(turn, T41_callbacks_queued_by_handlers_run_before_the_next_poll)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    struct watch watch = {.scene = &scene, .name = "h", .fd = make_readable(&writer)};
    watch.then = queue_say_polls;
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "first")), 0);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_str_eq(scene.text, "first h:r after-poll-1 h:r after-poll-2");
    cr_assert_eq(stats_of(scene.loop).polls, 2);
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

/* ---- T45 to T47 ------------------------------------------------------------------------------ */

GYRE_TEST(turn, T45_running_flag_is_tested_after_the_timers_and_before_the_poll)
{
    for (int by_timer = 0; by_timer < 2; by_timer++) {
        struct scene scene;
        scene_open(&scene);
        int writer;
        struct watch watch = {.scene = &scene, .name = "pipe", .fd = make_readable(&writer)};
        watch_fd(&watch, GYRE_READ);
        cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, by_timer != 0 ? stop_loop : say_word,
                                       word_of(&scene, "first")),
                     0);
        cr_assert_eq(gyre_loop_call_at(scene.loop, 1, &handle, say_word, word_of(&scene, "last")),
                     0);
        if (by_timer == 0)
            cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0);
        cr_assert_str_eq(scene.text, by_timer != 0 ? "last" : "first last");
        cr_assert_eq(stats_of(scene.loop).polls, 0);
        cr_assert_eq(scene.waits, 0);
        scene_close(&scene);
        close_pipe((int[]){watch.fd, writer});
    }
}

/* An object with its own task and timer, which frees itself in whichever is called. */
struct self_made {
    struct gyre_task task;
    struct gyre_timer timer;
    struct scene *scene;
};

static int free_self(struct gyre_loop *loop, int status, void *arg)
{
    struct self_made *self = arg;
    (void)loop;
    (void)status;
    say(self->scene, "freed");
    memset(self, 0xff, sizeof(*self)); /* what the loop may no longer read */
    free(self);
    return 0;
}

static struct self_made *make_self(struct scene *scene)
{
    struct self_made *self = malloc(sizeof(*self));
    cr_assert_not_null(self);
    gyre_task_init(&self->task, free_self, self);
    gyre_timer_init(&self->timer, scene->loop, free_self, self);
    self->scene = scene;
    return self;
}

GYRE_TEST(turn, T46_task_and_timer_may_be_freed_by_their_functions)
{
    struct scene scene;
    scene_open(&scene);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(gyre_loop_post(scene.loop, &make_self(&scene)->task), 0);
        cr_assert_eq(gyre_timer_start(&make_self(&scene)->timer, (uint64_t)i), 0);
        cr_assert_eq(gyre_timer_start(&make_self(&scene)->timer, scene.now_ns + 1), 0);
    }
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "freed freed freed freed freed freed");
    cr_assert_eq(gyre_loop_post(scene.loop, &make_self(&scene)->task), 0);
    cr_assert_eq(gyre_timer_start(&make_self(&scene)->timer, 0), 0);
    scene_close(&scene);
    cr_assert_eq(scene.used, 8 * strlen("freed ") - 1, "the close calls the rest: %s", scene.text);
}

/* Posts and arms itself anew from inside its function. */
static int again(struct gyre_loop *loop, int status, void *arg)
{
    struct self_made *self = arg;
    unsigned *left = self->scene->data;
    (void)status;
    if (*left == 0)
        return 0;
    say(self->scene, "again");
    return --*left % 2 == 0 ? gyre_loop_post(loop, &self->task) : gyre_timer_start(&self->timer, 0);
}

GYRE_TEST(turn, T46_task_and_timer_are_the_users_again_inside_their_functions)
{
    struct scene scene;
    struct self_made self = {.scene = &scene};
    unsigned left = 4;
    scene_open(&scene);
    scene.data = &left;
    gyre_task_init(&self.task, again, &self);
    gyre_timer_init(&self.timer, scene.loop, again, &self);
    cr_assert_eq(gyre_loop_post(scene.loop, &self.task), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "again again again again");
    cr_assert_not(gyre_timer_is_armed(&self.timer));
    scene_close(&scene);
}

static int arm_and_cancel(struct gyre_loop *loop, uint64_t number)
{
    uint64_t cancelled;
    int r = gyre_loop_call_at(loop, number, &cancelled, say_word, NULL);
    return r != 0 ? r : gyre_loop_cancel_call(loop, cancelled);
}

GYRE_TEST(turn, T46_resources_go_with_the_call_or_the_cancellation)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    struct scene scene;
    unsigned calls = 0;
    long settled = 0;
    scene_open(&scene);
    for (uint64_t i = 0; i < 2 * MANY; i++) {
        if (i == MANY)
            settled = memory.blocks;
        cr_assert_eq(arm_and_cancel(scene.loop, i), 0);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
        cr_assert_eq(scene_run(&scene), 0);
    }
    cr_assert_eq(calls, 2 * MANY);
    cr_assert_eq(memory.blocks, settled);
    scene_close(&scene);
}

/* Returns the next result; at the 0 behind the last it stops the loop. */
static int scripted_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    const int **next = arg;
    (void)timeout_ns;
    return **next != 0 ? *(*next)++ : gyre_loop_stop(loop);
}

GYRE_TEST(turn, T47_interrupted_wait_starts_a_new_turn)
{
    const int results[] = {-EINTR, -EINTR, -EIO, 0};
    const int *next = results;
    struct gyre_loop_options options;
    struct scene scene;
    scene_options(&scene, &options);
    options.wait = scripted_wait;
    options.wait_arg = &next;
    scene_open_with(&scene, &options);
    cr_assert_eq(gyre_loop_run(scene.loop), -EIO);
    cr_assert_eq(next, results + 3);
    cr_assert_eq(stats_of(scene.loop).turns, 3);
    cr_assert_eq(stats_of(scene.loop).polls, 0, "what interrupted the wait comes before a poll");
    scene_close(&scene);
}

GYRE_TEST(turn, T47_other_errors_are_returned_and_the_state_is_reset)
{
    static const int errors[] = {-EIO, -EBADF, -ENOMEM, -EINVAL};
    for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
        const int results[] = {errors[i], errors[i], 0};
        const int *next = results;
        struct gyre_loop_options options;
        struct scene scene;
        scene_options(&scene, &options);
        options.wait = scripted_wait;
        options.wait_arg = &next;
        scene_open_with(&scene, &options);
        cr_assert_eq(gyre_loop_run(scene.loop), errors[i]);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "works")), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), errors[i], "it runs again, and fails again");
        cr_assert_str_eq(scene.text, "works");
        cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0);
        scene_close(&scene);
    }
}
