/* SPDX-License-Identifier: MIT */
/*
 * futures - rules T100, T78 and the part of T66a that is about done-callbacks.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

static struct gyre_future *make_future(void)
{
    struct gyre_future *future;
    cr_assert_eq(gyre_future_create(&future), 0);
    return future;
}

static void wait_for(struct scene *scene, struct gyre_future *future, const char *text)
{
    cr_assert_eq(gyre_future_add_done(future, scene->loop, say_word, word_of(scene, text)), 0);
}

/* ---- the result ------------------------------------------------------------------------------ */

GYRE_TEST(futures, T100_a_future_is_resolved_once)
{
    int first;
    int second;
    void *value = NULL;
    struct gyre_future *future = make_future();
    cr_assert_not(gyre_future_is_done(future));
    cr_assert_eq(gyre_future_result(future, &value), -EINPROGRESS);
    cr_assert_eq(gyre_future_resolve(future, EIO, &first), -EINVAL, "errors are negative");
    cr_assert_eq(gyre_future_resolve(future, 0, &first), 0);
    cr_assert_eq(gyre_future_resolve(future, -EIO, &second), -EALREADY);
    cr_assert(gyre_future_is_done(future));
    cr_assert_eq(gyre_future_result(future, &value), 0);
    cr_assert_eq(value, &first);
    cr_assert_eq(gyre_future_result(future, NULL), 0);
    gyre_future_release(future);
    gyre_future_release(NULL);
}

GYRE_TEST(futures, T100_an_error_comes_without_a_value)
{
    int word;
    void *value = &word;
    struct gyre_future *future = make_future();
    cr_assert_eq(gyre_future_resolve(future, -EIO, NULL), 0);
    cr_assert_eq(gyre_future_result(future, &value), -EIO);
    cr_assert_eq(value, &word, "untouched");
    gyre_future_release(future);
}

static void count_release(void *value)
{
    ++*(unsigned *)value;
}

GYRE_TEST(futures, T100_the_last_reference_releases_the_value)
{
    unsigned released = 0;
    struct gyre_future *future = make_future();
    gyre_future_set_release(future, count_release);
    cr_assert_eq(gyre_future_acquire(future), future);
    cr_assert_eq(gyre_future_resolve(future, -EIO, &released), 0);
    gyre_future_release(future);
    cr_assert_eq(released, 0);
    gyre_future_release(future);
    cr_assert_eq(released, 1, "also with an error");
}

GYRE_TEST(futures, T100_without_a_value_nothing_is_released)
{
    struct gyre_future *future = make_future();
    gyre_future_set_release(future, count_release);
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    cr_assert(gyre_future_is_done(future));
    gyre_future_release(future); /* would crash */
}

/* ---- done-callbacks -------------------------------------------------------------------------- */

GYRE_TEST(futures, T100_a_done_callback_never_runs_inside_the_call)
{
    struct scene scene;
    scene_open(&scene);
    struct gyre_future *future = make_future();
    wait_for(&scene, future, "early");
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    cr_assert_str_eq(scene.text, "", "not in resolve");
    wait_for(&scene, future, "late");
    cr_assert_str_eq(scene.text, "", "not in add, when it is done already");
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "early late");
    gyre_future_release(future);
    scene_close(&scene);
}

static int resolve_inside(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    struct gyre_future *future = scene->data;
    (void)loop;
    (void)status;
    wait_for(scene, future, "a");
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    wait_for(scene, future, "b");
    wait_for(scene, future, "c");
    say(scene, "caller");
    return 0;
}

GYRE_TEST(futures, T100_inside_a_callback_it_runs_in_a_later_turn)
{
    struct scene scene;
    scene_open(&scene);
    scene.data = make_future();
    cr_assert_eq(gyre_loop_add_callback(scene.loop, resolve_inside, &scene), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "next")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "caller next a b c");
    gyre_future_release(scene.data);
    scene_close(&scene);
}

static void *resolve_it(void *arg)
{
    /* It is the only one. */
    return gyre_future_resolve(arg, 0, NULL) == 0 ? arg : NULL;
}

static int add_after_another_thread(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    (void)loop;
    (void)status;
    on_thread(resolve_it, scene->data);
    cr_assert(gyre_future_is_done(scene->data));
    wait_for(scene, scene->data, "late");
    return 0;
}

GYRE_TEST(futures, T100_another_threads_resolution_keeps_the_order_of_adding)
{
    struct scene scene;
    scene_open(&scene);
    scene.data = make_future();
    wait_for(&scene, scene.data, "first");
    wait_for(&scene, scene.data, "second");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, add_after_another_thread, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "first second late");
    gyre_future_release(scene.data);
    scene_close(&scene);
}

static int stop_with_value(struct gyre_loop *loop, int status, void *arg)
{
    void *value = NULL;
    cr_assert_eq(status, 0);
    cr_assert_eq(gyre_future_result(arg, &value), 0);
    cr_assert_eq(value, loop);
    return gyre_loop_stop(loop);
}

static void *resolve_when_asleep(void *arg)
{
    struct gyre_loop **loop_and_future = arg;
    struct gyre_future *future = (void *)loop_and_future[1];
    if (await_sleep(loop_and_future[0], 0))
        (void)gyre_future_resolve(future, 0, loop_and_future[0]); /* the test sees if it failed */
    return NULL;
}

GYRE_TEST(futures, T100_another_threads_resolution_wakes_the_loop)
{
    struct gyre_loop *loop = open_loop();
    struct gyre_future *future = make_future();
    void *both[] = {loop, future};
    cr_assert_eq(gyre_future_add_done(future, loop, stop_with_value, future), 0);
    pthread_t thread = start_thread(resolve_when_asleep, both);
    run_to_stop(loop);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(stats_of(loop).wakes_written, 1);
    gyre_future_release(future);
    gyre_loop_destroy(loop);
}

GYRE_TEST(futures, T100_a_future_is_kept_until_its_callback_has_run)
{
    struct scene scene;
    unsigned released = 0;
    scene_open(&scene);
    struct gyre_future *future = make_future();
    gyre_future_set_release(future, count_release);
    wait_for(&scene, future, "done");
    cr_assert_eq(gyre_future_resolve(future, 0, &released), 0);
    gyre_future_release(future);
    cr_assert_eq(released, 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "done");
    cr_assert_eq(released, 1);
    scene_close(&scene);
}

GYRE_TEST(futures, T100_one_future_is_waited_for_on_several_loops)
{
    struct scene scenes[2];
    struct gyre_future *future = make_future();
    for (int i = 0; i < 2; i++) {
        scene_open(&scenes[i]);
        wait_for(&scenes[i], future, "a");
    }
    for (int i = 0; i < 2; i++)
        wait_for(&scenes[i], future, "b");
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(scene_run(&scenes[i]), 0);
        cr_assert_str_eq(scenes[i].text, "a b");
        scene_close(&scenes[i]);
    }
    gyre_future_release(future);
}

GYRE_TEST(futures, T100_done_callbacks_need_no_room_of_a_bounded_loop)
{
    struct scene scene;
    struct gyre_loop_options options;
    scene_options(&scene, &options);
    options.queue_max = 1;
    scene_open_with(&scene, &options);
    struct gyre_future *future = make_future();
    wait_for(&scene, future, "done");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "full")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "no")), -EAGAIN);
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert(strcmp(scene.text, "full done") == 0 || strcmp(scene.text, "done full") == 0);
    for (int i = 0; i < 2; i++) { /* and they return none */
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "x")),
                     i == 0 ? 0 : -EAGAIN);
    }
    gyre_future_release(future);
    scene_close(&scene);
}

GYRE_TEST(futures, T100_adding_checks_its_arguments)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct scene scene;
    scene_open(&scene);
    struct gyre_future *future = make_future();
    cr_assert_eq(gyre_future_add_done(future, scene.loop, NULL, NULL), -EINVAL);
    memory.fail_at = memory.calls + 1;
    cr_assert_eq(gyre_future_add_done(future, scene.loop, say_word, NULL), -ENOMEM);
    struct gyre_future *none;
    cr_assert_eq(gyre_future_create(&none), -ENOMEM);
    memory.fail_at = 0;
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_eq(gyre_future_add_done(future, scene.loop, say_word, NULL), -ESHUTDOWN);
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    gyre_future_release(future);
    scene_close(&scene);
    cr_assert_eq(memory.blocks, 0);
}

/* ---- T106 ------------------------------------------------------------------------------------ */

static int note_context(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    *(struct gyre_context **)arg = gyre_context_current();
    return 0;
}

GYRE_TEST(futures, T106_done_callbacks_run_in_the_context_of_registration)
{
    struct scene scene;
    struct gyre_context_options options;
    struct gyre_context *context;
    struct gyre_context *seen[3] = {NULL};
    scene_open(&scene);
    gyre_context_options_init(&options);
    cr_assert_eq(gyre_context_create(NULL, &options, &context), 0);
    struct gyre_future *future = make_future();
    struct gyre_future *open = make_future();
    struct gyre_context *before = gyre_context_enter(context);
    cr_assert_eq(gyre_future_add_done(future, scene.loop, note_context, &seen[0]), 0);
    cr_assert_eq(gyre_future_add_done(open, scene.loop, note_context, &seen[1]), 0);
    (void)gyre_context_enter(before);
    seen[2] = context;
    cr_assert_eq(gyre_future_add_done(future, scene.loop, note_context, &seen[2]), 0);
    gyre_context_release(context); /* those that wait hold it */
    cr_assert_eq(gyre_future_resolve(future, 0, NULL), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(seen[0], context);
    cr_assert_null(seen[2]);
    scene_close(&scene);
    cr_assert_eq(seen[1], context, "cancelled in it, too");
    gyre_future_release(future);
    gyre_future_release(open);
}

/* ---- T66a: close ----------------------------------------------------------------------------- */

GYRE_TEST(futures, T66a_close_cancels_what_waits_once)
{
    struct scene scene;
    scene_open(&scene);
    struct gyre_future *resolved = make_future();
    struct gyre_future *open = make_future();
    wait_for(&scene, open, "a");
    wait_for(&scene, resolved, "r");
    wait_for(&scene, open, "b");
    cr_assert_eq(gyre_future_resolve(resolved, 0, NULL), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "r! a! b!");
    cr_assert_eq(gyre_future_resolve(open, 0, NULL), 0, "it is late, and nobody minds");
    cr_assert_str_eq(scene.text, "r! a! b!");
    gyre_future_release(resolved);
    gyre_future_release(open);
    scene_close(&scene);
}

static int resolve_on_end(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    (void)loop;
    say(scene, status == -ECANCELED ? "ends!" : "ends");
    cr_assert_eq(gyre_future_resolve(scene->data, 0, NULL), 0);
    return 0;
}

GYRE_TEST(futures, T66a_a_resolution_in_the_close_cancels_too)
{
    struct scene scene;
    scene_open(&scene);
    scene.data = make_future();
    wait_for(&scene, scene.data, "waits");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, resolve_on_end, &scene), 0);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "ends! waits!");
    gyre_future_release(scene.data);
    scene_close(&scene);
}

GYRE_TEST(futures, T66a_a_future_that_is_never_resolved_leaves_nothing)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct scene scene;
    scene_open(&scene);
    struct gyre_future *future = make_future();
    wait_for(&scene, future, "a");
    wait_for(&scene, future, "b");
    gyre_future_release(future);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "");
    scene_close(&scene);
    cr_assert_str_eq(scene.text, "a! b!");
    cr_assert_eq(memory.blocks, 0);
}

/* ---- T78 ------------------------------------------------------------------------------------- */

struct failures {
    unsigned count;
    struct gyre_failure last;
};

static void note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    struct failures *failures = arg;
    (void)loop;
    failures->count++;
    failures->last = *failure;
}

GYRE_TEST(futures, T78_a_watched_failure_goes_to_the_error_hook)
{
    struct scene scene;
    struct failures failures = {0};
    struct gyre_loop_options options;
    scene_options(&scene, &options);
    options.on_error = note_failure;
    options.on_error_arg = &failures;
    scene_open_with(&scene, &options);
    struct gyre_future *bad = make_future();
    struct gyre_future *good = make_future();
    struct gyre_future *late = make_future();
    cr_assert_eq(gyre_loop_watch_future(scene.loop, bad), 0);
    cr_assert_eq(gyre_loop_watch_future(scene.loop, good), 0);
    cr_assert_eq(gyre_loop_watch_future(scene.loop, late), 0);
    cr_assert_eq(gyre_future_resolve(good, 0, NULL), 0);
    cr_assert_eq(gyre_future_resolve(bad, -EIO, NULL), 0);
    cr_assert_eq(failures.count, 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(failures.count, 1);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_FUTURE);
    cr_assert_eq(failures.last.error, -EIO);
    cr_assert_eq(failures.last.arg, bad);
    cr_assert_null(failures.last.fn);
    cr_assert_eq(gyre_future_resolve(late, -EIO, NULL), 0);
    scene_close(&scene);
    cr_assert_eq(failures.count, 1, "a cancelled watch has nothing to say");
    gyre_future_release(bad);
    gyre_future_release(good);
    gyre_future_release(late);
}

GYRE_TEST(futures, T78_without_a_hook_it_is_logged)
{
    struct log_record log;
    struct scene scene;
    record_log(&log);
    scene_open(&scene);
    struct gyre_future *future = make_future();
    cr_assert_eq(gyre_loop_watch_future(scene.loop, future), 0);
    cr_assert_eq(gyre_future_resolve(future, -ECONNRESET, NULL), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(log.lines, 1);
    cr_assert_not_null(strstr(log.line, "watched future failed"));
    cr_assert_not_null(strstr(log.line, "ECONNRESET"));
    gyre_future_release(future);
    scene_close(&scene);
}
