/* SPDX-License-Identifier: MIT */
/*
 * sync - rules T101 to T103: a loop that is run until a future is resolved.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

struct job {
    struct scene *scene;
    int result; /* of the function */
    int error; /* of the future */
    bool resolves; /* at once */
    bool keeps; /* a reference, in `future` */
    struct gyre_future *future;
    struct gyre_context *context; /* that it ran in */
};

static int do_job(struct gyre_loop *loop, struct gyre_future *future, void *arg)
{
    struct job *job = arg;
    (void)loop;
    say(job->scene, "fn");
    job->context = gyre_context_current();
    if (job->resolves)
        cr_assert_eq(gyre_future_resolve(future, job->error, job), 0);
    if (job->keeps)
        job->future = gyre_future_acquire(future);
    return job->result;
}

/* ---- T101 ------------------------------------------------------------------------------------ */

GYRE_TEST(sync, T101_it_runs_behind_what_is_queued_and_returns_the_value)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene, .resolves = true};
    void *value = NULL;
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "queued")), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, do_job, &job, &value), 0);
    cr_assert_str_eq(scene.text, "queued fn");
    cr_assert_eq(value, &job);
    cr_assert_eq(scene.waits, 0, "it slept");
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, do_job, &job, NULL), 0);
    cr_assert_str_eq(scene.text, "queued fn fn");
    scene_close(&scene);
}

static int resolve_job(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    (void)loop;
    (void)status;
    cr_assert_eq(gyre_future_resolve(job->future, job->error, job), 0);
    gyre_future_release(job->future);
    return 0;
}

GYRE_TEST(sync, T101_a_timer_may_resolve_it)
{
    struct scene scene;
    uint64_t handle;
    scene_open(&scene);
    struct job job = {.scene = &scene, .keeps = true};
    void *value = NULL;
    uint64_t began_ns = scene.now_ns;
    cr_assert_eq(gyre_loop_call_later(scene.loop, MS_NS, &handle, resolve_job, &job), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, SECOND_NS, do_job, &job, &value), 0);
    cr_assert_eq(value, &job);
    cr_assert_eq(scene.now_ns - began_ns, MS_NS);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene.now_ns - began_ns, MS_NS, "the timeout is not armed any more");
    scene_close(&scene);
}

static void *resolve_on_thread(void *arg)
{
    struct job *job = arg;
    if (await_sleep(job->scene->loop, 0))
        (void)gyre_future_resolve(job->future, 0, job); /* the test sees if it failed */
    return NULL;
}

static pthread_t resolver;

static int start_resolver(struct gyre_loop *loop, struct gyre_future *future, void *arg)
{
    struct job *job = arg;
    (void)loop;
    job->future = gyre_future_acquire(future);
    resolver = start_thread(resolve_on_thread, job);
    return 0;
}

GYRE_TEST(sync, T101_another_thread_may_resolve_it)
{
    struct scene scene = {.loop = open_loop()};
    struct job job = {.scene = &scene};
    void *value = NULL;
    cr_assert_eq(gyre_loop_run_sync(scene.loop, 30 * SECOND_NS, start_resolver, &job, &value), 0);
    cr_assert_eq(value, &job);
    cr_assert_eq(pthread_join(resolver, NULL), 0);
    gyre_future_release(job.future);
    gyre_loop_destroy(scene.loop);
}

GYRE_TEST(sync, T101_errors_come_back)
{
    struct scene scene;
    scene_open(&scene);
    struct job failing = {.scene = &scene, .result = -EIO};
    struct job failed = {.scene = &scene, .resolves = true, .error = -EACCES};
    void *value = &scene;
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, do_job, &failing, &value), -EIO);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, do_job, &failed, &value), -EACCES);
    cr_assert_eq(value, &scene, "untouched");
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, NULL, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, do_job, &failed, NULL), -ESHUTDOWN);
    scene_close(&scene);
}

static int run_inside(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    (void)status;
    job->result = gyre_loop_run_sync(loop, GYRE_NEVER, do_job, job, NULL);
    return 0;
}

GYRE_TEST(sync, T101_while_running_it_is_busy)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, run_inside, &job), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(job.result, -EBUSY);
    cr_assert_str_eq(scene.text, "", "the function was not called");
    scene_close(&scene);
}

GYRE_TEST(sync, T101_it_needs_no_room_and_runs_in_the_callers_context)
{
    struct scene scene;
    struct gyre_loop_options options;
    struct gyre_context_options context_options;
    struct gyre_context *context;
    scene_options(&scene, &options);
    options.queue_max = 1;
    scene_open_with(&scene, &options);
    gyre_context_options_init(&context_options);
    cr_assert_eq(gyre_context_create(NULL, &context_options, &context), 0);
    struct job job = {.scene = &scene, .resolves = true};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "full")), 0);
    struct gyre_context *before = gyre_context_enter(context);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, GYRE_NEVER, do_job, &job, NULL), 0);
    cr_assert_eq(gyre_context_enter(before), context);
    cr_assert_eq(job.context, context);
    cr_assert_str_eq(scene.text, "full fn");
    gyre_context_release(context);
    scene_close(&scene);
}

/* ---- T102 ------------------------------------------------------------------------------------ */

GYRE_TEST(sync, T102_a_timeout_ends_it_and_a_late_result_touches_nothing)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene, .keeps = true};
    uint64_t began_ns = scene.now_ns;
    cr_assert_eq(gyre_loop_run_sync(scene.loop, 5 * MS_NS, do_job, &job, NULL), -ETIMEDOUT);
    cr_assert_eq(scene.now_ns - began_ns, 5 * MS_NS);
    cr_assert_eq(gyre_future_resolve(job.future, 0, NULL), 0);
    gyre_future_release(job.future);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_gt(scene.waits, 0, "a late result does not stop another run");
    scene_close(&scene);
}

GYRE_TEST(sync, T102_what_is_resolved_at_once_beats_a_timeout_of_nothing)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene, .resolves = true};
    struct job never = {.scene = &scene};
    cr_assert_eq(gyre_loop_run_sync(scene.loop, 0, do_job, &job, NULL), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, 0, do_job, &never, NULL), -ETIMEDOUT);
    cr_assert_str_eq(scene.text, "fn fn");
    scene_close(&scene);
}

GYRE_TEST(sync, T102_a_result_after_the_close_touches_nothing)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene, .keeps = true};
    cr_assert_eq(gyre_loop_run_sync(scene.loop, MS_NS, do_job, &job, NULL), -ETIMEDOUT);
    scene_close(&scene);
    cr_assert_gt(memory.blocks, 0);
    cr_assert_eq(gyre_future_resolve(job.future, 0, NULL), 0);
    gyre_future_release(job.future);
    cr_assert_eq(memory.blocks, 0);
}

/* ---- T103 ------------------------------------------------------------------------------------ */

GYRE_TEST(sync, T103_a_stop_by_something_else_cancels_it)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene};
    uint64_t handle;
    cr_assert_eq(gyre_loop_call_later(scene.loop, MS_NS, &handle, stop_loop, NULL), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, SECOND_NS, do_job, &job, NULL), -ECANCELED);
    cr_assert_str_eq(scene.text, "fn");
    scene_close(&scene);
}

GYRE_TEST(sync, T103_a_stop_that_came_before_leaves_nothing_behind)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene};
    cr_assert_eq(gyre_loop_stop(scene.loop), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, SECOND_NS, do_job, &job, NULL), -ECANCELED);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "", "the function is not called late");
    cr_assert_eq(scene.wait_ns[0], 3600 * SECOND_NS, "and no timer is left");
    scene_close(&scene);
}

static int unwind(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return GYRE_UNWIND;
}

GYRE_TEST(sync, T103_an_unwinding_leaves_a_call_that_does_nothing)
{
    struct scene scene;
    scene_open(&scene);
    struct job job = {.scene = &scene};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, unwind, NULL), 0);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, SECOND_NS, do_job, &job, NULL), GYRE_UNWIND);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "", "the call was left in the queue");
    scene_close(&scene);
}

static int destroy_inside(struct gyre_loop *loop, struct gyre_future *future, void *arg)
{
    (void)future;
    (void)arg;
    gyre_loop_destroy(loop);
    return gyre_loop_stop(loop);
}

GYRE_TEST(sync, T103_a_loop_destroyed_inside_cancels_it)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_run_sync(scene.loop, SECOND_NS, destroy_inside, &scene, NULL),
                 -ECANCELED);
    cr_assert_eq(memory.blocks, 0);
}
