/* SPDX-License-Identifier: MIT */
/*
 * contexts_left - rule T109 where a user's function is not the loop's call itself: whatever it has
 * entered and not left, the thread is back where it was.
 */
#include "support.h"

struct stray {
    struct scene scene;
    struct gyre_context *other;
    unsigned calls;
    bool strayed; /* a later call ran in `other` */
};

static void open_stray(struct stray *stray)
{
    *stray = (struct stray){.calls = 0};
    scene_open(&stray->scene);
    cr_assert_eq(gyre_context_create(NULL, NULL, &stray->other), 0);
}

static void close_stray(struct stray *stray)
{
    cr_assert_null(gyre_context_current());
    gyre_context_release(stray->other);
    scene_close(&stray->scene);
}

static int look(struct gyre_loop *loop, int status, void *arg)
{
    struct stray *stray = arg;
    (void)loop;
    (void)status;
    stray->calls++;
    stray->strayed |= gyre_context_current() == stray->other;
    return 0;
}

static void release_and_stay(void *value, void *arg)
{
    struct stray *stray = arg;
    (void)value;
    stray->calls++;
    (void)gyre_context_enter(stray->other);
}

GYRE_TEST(contexts_left, T109_thread_is_back_behind_a_contexts_release)
{
    struct stray stray;
    struct gyre_context *first;
    struct gyre_context_options options;
    open_stray(&stray);
    gyre_context_options_init(&options);
    options.release = release_and_stay;
    options.arg = &stray;
    cr_assert_eq(gyre_context_create(NULL, &options, &first), 0);
    (void)gyre_context_enter(first);
    cr_assert_eq(gyre_loop_add_callback(stray.scene.loop, look, &stray), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(first);
    cr_assert_eq(gyre_loop_add_callback(stray.scene.loop, look, &stray), 0);
    cr_assert_eq(scene_run(&stray.scene), 0);
    cr_assert_eq(stray.calls, 3);
    cr_assert_not(stray.strayed);
    close_stray(&stray);
}

static void wait_and_stay(struct scene *scene)
{
    (void)gyre_context_enter(((struct stray *)scene->data)->other);
}

GYRE_TEST(contexts_left, T109_thread_is_back_behind_a_users_wait)
{
    struct stray stray;
    struct gyre_timer timer;
    open_stray(&stray);
    stray.scene.data = &stray;
    stray.scene.on_wait = wait_and_stay;
    gyre_timer_init(&timer, stray.scene.loop, look, &stray);
    cr_assert_eq(gyre_timer_start(&timer, stray.scene.now_ns + 1), 0);
    cr_assert_eq(scene_run(&stray.scene), 0);
    cr_assert_eq(stray.calls, 1);
    cr_assert_not(stray.strayed);
    close_stray(&stray);
}

static int run_here(struct gyre_work *work, void *arg)
{
    (void)arg;
    gyre_work_run(work);
    return 0;
}

static int work_and_stay(void *arg)
{
    struct stray *stray = arg;
    stray->calls++;
    (void)gyre_context_enter(stray->other);
    return 0;
}

GYRE_TEST(contexts_left, T109_thread_is_back_behind_work)
{
    struct stray stray;
    struct gyre_executor *executor;
    open_stray(&stray);
    cr_assert_eq(gyre_executor_create_foreign(&executor, run_here, NULL), 0);
    cr_assert_eq(gyre_loop_run_in_executor(stray.scene.loop, executor, work_and_stay, look, &stray),
                 0);
    cr_assert_null(gyre_context_current());
    cr_assert_eq(scene_run(&stray.scene), 0);
    cr_assert_eq(stray.calls, 2);
    cr_assert_not(stray.strayed);
    gyre_executor_destroy(executor);
    close_stray(&stray);
}
