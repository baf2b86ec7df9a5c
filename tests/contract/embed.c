/* SPDX-License-Identifier: MIT */
/*
 * embed - a loop's turns made one by one: prepare, run_once and fd. Rules T10, T31, T42, T50, T59,
 * T61 and T64 as they hold for these.
 */
#include "support.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

static uint64_t handle; /* of calls that no test cancels */

static uint64_t prepare(struct gyre_loop *loop)
{
    uint64_t wait_ns = 4711;
    cr_assert_eq(gyre_loop_prepare(loop, &wait_ns), 0);
    return wait_ns;
}

/* The loop's descriptor; skips the test where the backend has none. */
static int fd_of(struct gyre_loop *loop)
{
    int fd = -1;
    int r = gyre_loop_fd(loop, &fd);
    if (r == -ENOTSUP)
        cr_skip_test("a poller of this backend has no descriptor of its own");
    cr_assert_eq(r, 0);
    return fd;
}

static bool is_readable(int fd, int timeout_ms)
{
    struct pollfd polled = {.fd = fd, .events = POLLIN};
    return poll(&polled, 1, timeout_ms) == 1 && (polled.revents & POLLIN) != 0;
}

/* ---- turns ----------------------------------------------------------------------------------- */

GYRE_TEST(embed, T37_one_turn_runs_what_is_queued_and_no_more)
{
    struct scene scene;
    scene_open(&scene);
    struct gyre_loop *loop = scene.loop;
    cr_assert_eq(gyre_loop_add_callback(loop, say_word, word_of(&scene, "a")), 0);
    cr_assert_eq(gyre_loop_call_at(loop, 0, &handle, say_word, word_of(&scene, "due")), 0);
    cr_assert_eq(gyre_loop_call_later(loop, 7, &handle, say_word, word_of(&scene, "later")), 0);
    cr_assert_eq(prepare(loop), 0);
    cr_assert_eq(gyre_loop_run_once(loop), 0);
    cr_assert_str_eq(scene.text, "a due");
    cr_assert_eq(prepare(loop), 7);
    cr_assert_eq(gyre_loop_run_once(loop), 0);
    cr_assert_str_eq(scene.text, "a due", "a turn before the deadline runs nothing");
    scene.now_ns += 7;
    cr_assert_eq(gyre_loop_run_once(loop), 0);
    cr_assert_str_eq(scene.text, "a due later");
    cr_assert_eq(scene.waits, 0, "it never waits");
    scene_close(&scene);
}

static int add_word(struct gyre_loop *loop, int status, void *arg)
{
    struct word *word = arg;
    (void)status;
    say(word->scene, "adds");
    return gyre_loop_add_callback(loop, say_word, word);
}

GYRE_TEST(embed, T42_prepare_says_zero_while_something_is_queued)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS, "twice, without a turn in between");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_word, word_of(&scene, "added")), 0);
    cr_assert_eq(prepare(scene.loop), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "adds");
    cr_assert_eq(prepare(scene.loop), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "adds added");
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    scene_close(&scene);
}

GYRE_TEST(embed, T41_handlers_come_before_the_callbacks_of_the_turn)
{
    struct scene scene;
    int writer;
    scene_open(&scene);
    struct watch watch = {.scene = &scene, .name = "h", .fd = make_readable(&writer)};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "callback")), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "h:r callback");
    cr_assert_eq(watch.calls, 1);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, watch.fd), 0);
    close(watch.fd);
    close(writer);
    scene_close(&scene);
}

GYRE_TEST(embed, T31_events_left_by_a_turn_forbid_the_wait)
{
    struct scene scene;
    int writers[2];
    struct watch watches[2];
    scene_open(&scene);
    for (int i = 0; i < 2; i++) {
        watches[i] = (struct watch){.scene = &scene, .name = "h", .result = GYRE_UNWIND};
        watches[i].fd = make_readable(&writers[i]);
        watch_fd(&watches[i], GYRE_READ);
    }
    cr_assert_eq(gyre_loop_run_once(scene.loop), GYRE_UNWIND);
    cr_assert_str_eq(scene.text, "h:r");
    cr_assert_eq(prepare(scene.loop), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), GYRE_UNWIND);
    cr_assert_str_eq(scene.text, "h:r h:r");
    cr_assert_eq(watches[0].calls, 1, "each has had its own");
    cr_assert_eq(stats_of(scene.loop).polls, 1);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    scene_close(&scene);
    for (int i = 0; i < 2; i++)
        close_pipe((int[]){watches[i].fd, writers[i]});
}

/* ---- stops, nesting, refusals ---------------------------------------------------------------- */

GYRE_TEST(embed, T59_stop_before_the_turn_is_met_and_nothing_runs)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "kept")), 0);
    cr_assert_eq(gyre_loop_stop(scene.loop), 0);
    cr_assert_eq(prepare(scene.loop), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), GYRE_STOPPED);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "kept");
    scene_close(&scene);
}

GYRE_TEST(embed, T61_stop_in_a_callback_lets_the_turn_finish)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "rest")), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), GYRE_STOPPED);
    cr_assert_str_eq(scene.text, "rest");
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0, "that stop is spent");
    scene_close(&scene);
}

GYRE_TEST(embed, T77_unwind_ends_the_turn)
{
    struct scene scene;
    scene_open(&scene);
    struct word unwinds = {&scene, "unwinds", GYRE_UNWIND};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &unwinds), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "left")), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), GYRE_UNWIND);
    cr_assert_str_eq(scene.text, "unwinds");
    cr_assert_eq(prepare(scene.loop), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "unwinds left");
    scene_close(&scene);
}

struct refusals {
    int run_once;
    int prepare;
    int run;
    struct gyre_loop *current;
};

static int try_inside(struct gyre_loop *loop, int status, void *arg)
{
    struct refusals *refusals = arg;
    uint64_t wait_ns;
    (void)status;
    refusals->run_once = gyre_loop_run_once(loop);
    refusals->prepare = gyre_loop_prepare(loop, &wait_ns);
    refusals->run = gyre_loop_run(loop);
    refusals->current = gyre_loop_current_or_null();
    return 0;
}

GYRE_TEST(embed, T64_turn_inside_a_turn_is_busy)
{
    struct scene scene;
    struct refusals refusals = {0};
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, try_inside, &refusals), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_eq(refusals.run_once, -EBUSY);
    cr_assert_eq(refusals.prepare, -EBUSY);
    cr_assert_eq(refusals.run, -EBUSY);
    cr_assert_eq(refusals.current, scene.loop, "T10: a turn makes its loop current");
    cr_assert_null(gyre_loop_current_or_null());
    refusals = (struct refusals){0};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, try_inside, &refusals), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(refusals.run_once, -EBUSY);
    cr_assert_eq(refusals.prepare, -EBUSY);
    scene_close(&scene);
}

GYRE_TEST(embed, T66d_closed_loop_has_no_turns)
{
    struct scene scene;
    uint64_t wait_ns = 7;
    int fd = 7;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_prepare(scene.loop, &wait_ns), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_fd(scene.loop, &fd), -ESHUTDOWN);
    cr_assert_eq(wait_ns, 7);
    cr_assert_eq(fd, 7);
    scene_close(&scene);
}

static int destroy_inside(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    say(arg, "destroys");
    gyre_loop_destroy(loop);
    return 0;
}

static int prepare_inside(struct gyre_loop *loop, int status, void *arg)
{
    int *result = arg;
    uint64_t wait_ns;
    (void)status;
    *result = gyre_loop_prepare(loop, &wait_ns);
    return 0;
}

GYRE_TEST(embed, T66d_loop_that_closes_cannot_be_prepared)
{
    struct scene scene;
    int results[2] = {0, 0};
    unsigned calls = 0;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, prepare_inside, &results[0]), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_eq(results[0], -EBUSY);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, prepare_inside, &results[1]), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_eq(results[1], -ESHUTDOWN);
    cr_assert_eq(calls, 2, "the one behind was cancelled, once");
    scene_close(&scene);
}

GYRE_TEST(embed, T66d_loop_may_be_destroyed_in_its_turn)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, destroy_inside, &scene), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "rest")), 0);
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "destroys rest");
}

/* ---- under a foreign loop -------------------------------------------------------------------- */

static void *post_word(void *arg)
{
    struct word *word = arg;
    word->result = gyre_loop_add_callback(word->scene->loop, say_word, word);
    return NULL;
}

GYRE_TEST(embed, T50_post_after_prepare_makes_the_descriptor_readable)
{
    struct scene scene;
    scene_open(&scene);
    int fd = fd_of(scene.loop);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    cr_assert_not(is_readable(fd, 0));
    on_thread(post_word, word_of(&scene, "posted"));
    cr_assert(is_readable(fd, 10000));
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "posted");
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    cr_assert_not(is_readable(fd, 0), "the ring was heard");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "own")), 0);
    cr_assert(is_readable(fd, 10000), "so is a post of the loop's own thread");
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "posted own");
    cr_assert_eq(stats_of(scene.loop).wakes_written, 2);
    scene_close(&scene);
}

static int ignore(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)loop;
    (void)fd;
    (void)events;
    (void)arg;
    return 0;
}

GYRE_TEST(embed, T19_loop_cannot_watch_its_own_descriptor)
{
    struct scene scene;
    scene_open(&scene);
    int fd = fd_of(scene.loop);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fd, GYRE_READ, ignore, NULL), -ELOOP);
    cr_assert_str_eq(gyre_error_name(-ELOOP), "ELOOP");
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fd), -ENOENT);
    scene_close(&scene);
}

GYRE_TEST(embed, T50_ready_handler_makes_the_descriptor_readable)
{
    struct scene scene;
    int pipe[2];
    scene_open(&scene);
    make_pipe(pipe);
    int fd = fd_of(scene.loop);
    struct watch watch = {.scene = &scene, .name = "h", .fd = pipe[0]};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    cr_assert_not(is_readable(fd, 0));
    cr_assert_eq(write(pipe[1], "x", 1), 1);
    cr_assert(is_readable(fd, 10000));
    cr_assert_eq(gyre_loop_run_once(scene.loop), 0);
    cr_assert_str_eq(scene.text, "h:r");
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, pipe[0]), 0);
    cr_assert_not(is_readable(fd, 0));
    close_pipe(pipe);
    scene_close(&scene);
}

GYRE_TEST(embed, T50_run_after_prepare_sleeps_and_is_woken)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    cr_assert_eq(scene_run_polls(&scene, 1), 0); /* its first wait ends it: it does wait */
    cr_assert_eq(scene.waits, 1);
    cr_assert_eq(prepare(scene.loop), 3600 * SECOND_NS);
    on_thread(post_word, word_of(&scene, "posted"));
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "posted");
    scene_close(&scene);
}
