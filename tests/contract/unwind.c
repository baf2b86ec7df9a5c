/* SPDX-License-Identifier: MIT */
/*
 * unwind - rule T77: GYRE_UNWIND from a callback, timer or handler makes run return it, cleanly.
 */
#include "support.h"

#include <string.h>
#include <unistd.h>

static uint64_t handle; /* of calls that no test cancels */

GYRE_TEST(unwind, T77_callbacks_result_ends_the_run_at_once)
{
    struct scene scene;
    scene_open(&scene);
    struct word unwinds = {&scene, "unwinds", GYRE_UNWIND};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "before")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &unwinds), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "after")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "due")), 0);
    cr_assert_eq(scene_run(&scene), GYRE_UNWIND);
    cr_assert_str_eq(scene.text, "before unwinds");
    cr_assert_eq(stats_of(scene.loop).polls, 0);
    cr_assert_eq(scene_run(&scene), 0); /* what was left, in order and once */
    cr_assert_str_eq(scene.text, "before unwinds after due");
    scene_close(&scene);
}

GYRE_TEST(unwind, T77_timers_result_leaves_the_other_due_ones)
{
    struct scene scene;
    scene_open(&scene);
    struct word unwinds = {&scene, "unwinds", GYRE_UNWIND};
    cr_assert_eq(gyre_loop_call_at(scene.loop, 1, &handle, say_word, &unwinds), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 2, &handle, say_word, word_of(&scene, "b")), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 3, &handle, say_word, word_of(&scene, "c")), 0);
    cr_assert_eq(scene_run(&scene), GYRE_UNWIND);
    cr_assert_str_eq(scene.text, "unwinds");
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "a")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(strncmp(scene.text, "unwinds b c", 11), 0, "%s", scene.text);
    cr_assert_str_eq(scene.text, "unwinds b c a");
    scene_close(&scene);
}

GYRE_TEST(unwind, T77_handlers_result_leaves_the_rest_of_the_batch)
{
    struct scene scene;
    struct watch watches[2];
    int writers[2];
    scene_open(&scene);
    for (int i = 0; i < 2; i++) {
        watches[i] = (struct watch){.scene = &scene, .name = i == 0 ? "a" : "b"};
        watches[i].fd = make_readable(&writers[i]);
        watches[i].result = GYRE_UNWIND;
        watch_fd(&watches[i], GYRE_READ);
    }
    cr_assert_eq(scene_run(&scene), GYRE_UNWIND);
    unsigned first = watches[0].calls;
    cr_assert_eq(watches[0].calls + watches[1].calls, 1);
    cr_assert_eq(scene_run(&scene), GYRE_UNWIND);
    cr_assert_eq(watches[0].calls + watches[1].calls, 2);
    cr_assert_eq(watches[0].calls, 1, "the event that was left is served first (T31)");
    cr_assert(first <= 1);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(gyre_loop_remove_handler(scene.loop, watches[i].fd), 0);
        close(watches[i].fd);
        close(writers[i]);
    }
    scene_close(&scene);
}

static int run_inside(struct gyre_loop *loop, int status, void *arg)
{
    struct word *word = arg;
    struct gyre_loop *other = word->scene->data;
    (void)loop;
    (void)status;
    word->result = gyre_loop_run(other);
    say(word->scene, word->text);
    return 0;
}

static int unwind(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    return status == 0 ? GYRE_UNWIND : 0;
}

GYRE_TEST(unwind, T77_unwinds_the_innermost_run_alone)
{
    struct scene outer;
    struct scene inner;
    scene_open(&outer);
    scene_open(&inner);
    outer.data = inner.loop;
    struct word word = {&outer, "ran", 0};
    cr_assert_eq(gyre_loop_add_callback(inner.loop, unwind, NULL), 0);
    cr_assert_eq(gyre_loop_add_callback(outer.loop, run_inside, &word), 0);
    cr_assert_eq(gyre_loop_add_callback(outer.loop, say_word, word_of(&outer, "next")), 0);
    cr_assert_eq(scene_run(&outer), 0);
    cr_assert_eq(word.result, GYRE_UNWIND);
    cr_assert_str_eq(outer.text, "ran next");
    cr_assert_null(gyre_loop_current_or_null());
    scene_close(&inner);
    scene_close(&outer);
}

GYRE_TEST(unwind, T77_state_is_reset_and_a_cancelled_call_unwinds_nothing)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, unwind, NULL), 0);
    cr_assert_eq(gyre_loop_stop(scene.loop), 0); /* before: that run returns at once */
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene_run(&scene), GYRE_UNWIND);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene.waits, 1);
    struct word cancelled = {&scene, "x", GYRE_UNWIND};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &cancelled), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &cancelled), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "x! x!");
    scene_close(&scene);
}
