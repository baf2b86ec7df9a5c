/* SPDX-License-Identifier: MIT */
/*
 * threads - rules T48 to T56: who may call what from where, posts and wake-ups.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    ROUNDS = 100,
    POSTERS = 4,
    POSTS = 2000
};

static uint64_t handle; /* of calls that no test cancels */

/* ---- T48 ------------------------------------------------------------------------------------- */

/* What the foreign thread calls, and what it calls it with. */
struct foreign {
    struct gyre_loop *loop;
    int fd;
    struct gyre_timer timer;
    struct gyre_timer armed;
    unsigned fired;
    int (*call)(struct foreign *foreign);
    int result;
};

static int never_called(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)loop;
    (void)fd;
    (void)events;
    ++*(unsigned *)arg;
    return 0;
}

static int call_close(struct foreign *foreign)
{
    return gyre_loop_close(foreign->loop, 0);
}

static int call_add_handler(struct foreign *foreign)
{
    return gyre_loop_add_handler(foreign->loop, foreign->fd, GYRE_WRITE, never_called,
                                 &foreign->fired);
}

static int call_update_handler(struct foreign *foreign)
{
    return gyre_loop_update_handler(foreign->loop, foreign->fd, GYRE_WRITE);
}

static int call_remove_handler(struct foreign *foreign)
{
    return gyre_loop_remove_handler(foreign->loop, foreign->fd);
}

static int call_timer_start(struct foreign *foreign)
{
    return gyre_timer_start(&foreign->timer, 0);
}

static int call_timer_stop(struct foreign *foreign)
{
    return gyre_timer_stop(&foreign->armed);
}

static int call_call_at(struct foreign *foreign)
{
    return gyre_loop_call_at(foreign->loop, 0, &handle, count_call, &foreign->fired);
}

static int call_call_later(struct foreign *foreign)
{
    return gyre_loop_call_later(foreign->loop, 0, &handle, count_call, &foreign->fired);
}

static int call_cancel_call(struct foreign *foreign)
{
    return gyre_loop_cancel_call(foreign->loop, 1);
}

static const struct owner_call {
    const char *name;
    int (*call)(struct foreign *foreign);
    int inside; /* the owner's own result, from a callback */
} owner_calls[] = {
    {"gyre_loop_close", call_close, -EBUSY},
    {"gyre_loop_add_handler", call_add_handler, 0},
    {"gyre_loop_update_handler", call_update_handler, 0},
    {"gyre_loop_remove_handler", call_remove_handler, 0},
    {"gyre_timer_start", call_timer_start, 0},
    {"gyre_timer_stop", call_timer_stop, 0},
    {"gyre_loop_call_at", call_call_at, 0},
    {"gyre_loop_call_later", call_call_later, 0},
    {"gyre_loop_cancel_call", call_cancel_call, -ENOENT},
};

static void *call_from_here(void *arg)
{
    struct foreign *foreign = arg;
    foreign->result = foreign->call(foreign);
    return NULL;
}

/* A callback that has another thread make the call meanwhile. */
static int call_from_elsewhere(struct gyre_loop *loop, int status, void *arg)
{
    pthread_t thread;
    (void)loop;
    if (status != 0 || pthread_create(&thread, NULL, call_from_here, arg) != 0)
        return 0;
    return -pthread_join(thread, NULL);
}

static int call_from_inside(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)call_from_here(arg);
    return 0;
}

static void foreign_open(struct foreign *foreign, struct scene *scene)
{
    int fds[2];
    make_pipe(fds);
    (void)close(fds[1]); /* nothing is ever written */
    *foreign = (struct foreign){.loop = scene->loop, .fd = fds[0]};
    gyre_timer_init(&foreign->timer, scene->loop, count_call, &foreign->fired);
    gyre_timer_init(&foreign->armed, scene->loop, count_call, &foreign->fired);
    cr_assert_eq(gyre_timer_start(&foreign->armed, GYRE_NEVER - 1), 0);
}

GYRE_TEST(threads, T48_owners_functions_are_refused_on_another_thread)
{
#ifdef GYRE_DEBUG
    cr_skip_test("this build aborts there");
#endif
    struct log_record log;
    record_log(&log);
    for (size_t i = 0; i < sizeof(owner_calls) / sizeof(owner_calls[0]); i++) {
        struct scene scene;
        struct foreign foreign;
        scene_open(&scene);
        foreign_open(&foreign, &scene);
        foreign.call = owner_calls[i].call;
        log.lines = 0;
        cr_assert_eq(gyre_loop_add_callback(scene.loop, call_from_elsewhere, &foreign), 0);
        cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
        cr_assert_eq(gyre_loop_run(scene.loop), 0);
        cr_assert_eq(foreign.result, -EPERM, "%s", owner_calls[i].name);
        cr_assert_eq(log.lines, 1, "%s", owner_calls[i].name);
        cr_assert_not_null(strstr(log.line, owner_calls[i].name), "%s", log.line);
        cr_assert_eq(foreign.fired, 0);
        cr_assert(gyre_timer_is_armed(&foreign.armed));
        cr_assert_not(gyre_timer_is_armed(&foreign.timer));
        cr_assert_eq(gyre_loop_remove_handler(scene.loop, foreign.fd), -ENOENT);
        scene_close(&scene);
        (void)close(foreign.fd); /* it is empty */
    }
}

GYRE_TEST(threads, T48_log_line_names_both_threads)
{
#ifdef GYRE_DEBUG
    cr_skip_test("this build aborts there");
#endif
    struct log_record log;
    record_log(&log);
    struct scene scene;
    struct foreign foreign;
    scene_open(&scene);
    foreign_open(&foreign, &scene);
    foreign.call = call_call_at;
    cr_assert_eq(gyre_loop_add_callback(scene.loop, call_from_elsewhere, &foreign), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    const char *first = strstr(log.line, "thread ");
    cr_assert_not_null(first, "%s", log.line);
    const char *second = strstr(first + 1, "thread ");
    cr_assert_not_null(second, "%s", log.line);
    unsigned long long numbers[2] = {0, 0};
    cr_assert_eq(sscanf(first, "thread %llu", &numbers[0]), 1);
    cr_assert_eq(sscanf(second, "thread %llu", &numbers[1]), 1);
    cr_assert_neq(numbers[0], numbers[1]);
    scene_close(&scene);
    (void)close(foreign.fd); /* it is empty */
}

GYRE_TEST(threads, T48_owners_functions_work_inside_and_while_nobody_is)
{
    for (size_t i = 0; i < sizeof(owner_calls) / sizeof(owner_calls[0]); i++) {
        if (owner_calls[i].call == call_close || owner_calls[i].call == call_update_handler ||
            owner_calls[i].call == call_remove_handler)
            continue; /* these need a state of their own: see below */
        struct scene scene;
        struct foreign foreign;
        scene_open(&scene);
        foreign_open(&foreign, &scene);
        foreign.call = owner_calls[i].call;
        on_thread(call_from_here, &foreign);
        cr_assert_eq(foreign.result, owner_calls[i].inside, "%s: outside", owner_calls[i].name);
        scene_close(&scene);
        (void)close(foreign.fd); /* it is empty */

        scene_open(&scene);
        foreign_open(&foreign, &scene);
        foreign.call = owner_calls[i].call;
        cr_assert_eq(gyre_loop_add_callback(scene.loop, call_from_inside, &foreign), 0);
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_eq(foreign.result, owner_calls[i].inside, "%s: inside", owner_calls[i].name);
        scene_close(&scene);
        (void)close(foreign.fd); /* it is empty */
    }
}

GYRE_TEST(threads, T48_handlers_may_be_changed_on_any_thread_while_nobody_is_inside)
{
    int (*const order[])(struct foreign * foreign) = {call_add_handler, call_update_handler,
                                                      call_remove_handler, call_close};
    struct scene scene;
    struct foreign foreign;
    scene_open(&scene);
    foreign_open(&foreign, &scene);
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
        foreign.call = order[i];
        on_thread(call_from_here, &foreign);
        cr_assert_eq(foreign.result, 0, "step %zu", i);
    }
    cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &foreign.fired), -ESHUTDOWN);
    scene_close(&scene);
    (void)close(foreign.fd); /* it is empty */
}

static int task_function(struct gyre_loop *loop, int status, void *arg)
{
    return count_call(loop, status, arg);
}

/* Every function for any thread, while the loop runs. */
static void *call_all(void *arg)
{
    struct foreign *foreign = arg;
    struct gyre_loop *loop = foreign->loop;
    static struct gyre_task tasks[2];
    struct gyre_task *const batch[] = {&tasks[1]};
    gyre_task_init(&tasks[0], task_function, &foreign->fired);
    gyre_task_init(&tasks[1], task_function, &foreign->fired);
    foreign->result = gyre_loop_acquire(loop) != loop;
    foreign->result |= gyre_loop_post(loop, &tasks[0]);
    foreign->result |= gyre_loop_post_batch(loop, batch, 1);
    foreign->result |= gyre_loop_add_callback(loop, count_call, &foreign->fired);
    foreign->result |= gyre_loop_spawn_callback(loop, count_call, &foreign->fired);
    foreign->result |= gyre_loop_post_call_at(loop, 0, count_call, &foreign->fired);
    foreign->result |= stats_of(loop).turns == 0;
    foreign->result |= gyre_loop_now_ns(loop) == 0;
    foreign->result |= gyre_loop_backend(loop) == NULL;
    gyre_loop_wake(loop);
    gyre_loop_release(loop);
    foreign->result |= gyre_loop_stop(loop);
    return NULL;
}

static int call_all_elsewhere(struct gyre_loop *loop, int status, void *arg)
{
    pthread_t thread;
    (void)loop;
    (void)status;
    return pthread_create(&thread, NULL, call_all, arg) != 0 ? 0 : -pthread_join(thread, NULL);
}

GYRE_TEST(threads, T48_any_thread_functions_work_while_another_is_inside)
{
    struct log_record log;
    record_log(&log);
    struct gyre_loop *loop = open_loop();
    struct foreign foreign = {.loop = loop, .result = -1};
    cr_assert_eq(gyre_loop_add_callback(loop, call_all_elsewhere, &foreign), 0);
    run_to_stop(loop);
    cr_assert_eq(foreign.result, 0);
    cr_assert_eq(log.lines, 0, "%s", log.line);
    /* The call that was posted is armed in the turn in which the stop is met: a later turn's. */
    cr_assert_eq(foreign.fired, 4);
    cr_assert_eq(gyre_loop_stop(loop), 0);
    run_to_stop(loop);
    cr_assert_eq(gyre_loop_add_callback(loop, stop_loop, NULL), 0);
    run_to_stop(loop);
    cr_assert_eq(foreign.fired, 5);
    gyre_loop_destroy(loop);
}

/* ---- T50, T51 -------------------------------------------------------------------------------- */

/* Posts once to a loop that sleeps, and stops it at the next sleep. */
struct visitor {
    struct gyre_loop *loop;
    int (*post)(struct visitor *visitor);
    struct gyre_task task;
    unsigned calls;
    int result;
};

static int by_post(struct visitor *visitor)
{
    gyre_task_init(&visitor->task, count_call, &visitor->calls);
    return gyre_loop_post(visitor->loop, &visitor->task);
}

static int by_batch(struct visitor *visitor)
{
    struct gyre_task *const batch[] = {&visitor->task};
    gyre_task_init(&visitor->task, count_call, &visitor->calls);
    return gyre_loop_post_batch(visitor->loop, batch, 1);
}

static int by_callback(struct visitor *visitor)
{
    return gyre_loop_add_callback(visitor->loop, count_call, &visitor->calls);
}

static int by_spawn(struct visitor *visitor)
{
    return gyre_loop_spawn_callback(visitor->loop, count_call, &visitor->calls);
}

static int by_call_at(struct visitor *visitor)
{
    return gyre_loop_post_call_at(visitor->loop, 0, count_call, &visitor->calls);
}

static int by_wake(struct visitor *visitor)
{
    gyre_loop_wake(visitor->loop);
    visitor->calls++; /* it has nothing else to run */
    return 0;
}

static void *visit(void *arg)
{
    struct visitor *visitor = arg;
    if (!await_sleep(visitor->loop, 0))
        return NULL;
    visitor->result = visitor->post(visitor);
    if (await_sleep(visitor->loop, 1))
        (void)gyre_loop_stop(visitor->loop);
    return NULL;
}

GYRE_TEST(threads, T50_post_from_another_thread_wakes_a_sleeping_loop)
{
    int (*const forms[])(struct visitor * visitor) = {by_post,  by_batch,   by_callback,
                                                      by_spawn, by_call_at, by_wake};
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct visitor visitor = {.loop = open_loop(), .post = forms[i], .result = -1};
        pthread_t thread = start_thread(visit, &visitor);
        run_to_stop(visitor.loop);
        pthread_join(thread, NULL);
        cr_assert_eq(visitor.result, 0, "form %zu", i);
        cr_assert_eq(visitor.calls, 1, "form %zu", i);
        cr_assert_eq(stats_of(visitor.loop).wakes_written, 2, "form %zu: it, and the stop", i);
        cr_assert_eq(stats_of(visitor.loop).sleeps, 2, "form %zu", i);
        gyre_loop_destroy(visitor.loop);
    }
}

/* Posts many to a loop that is inside a callback. */
static void *post_many(void *arg)
{
    struct visitor *visitor = arg;
    visitor->result = 0;
    for (int i = 0; i < POSTS; i++)
        visitor->result |= gyre_loop_add_callback(visitor->loop, count_call, &visitor->calls);
    return NULL;
}

static int be_visited(struct gyre_loop *loop, int status, void *arg)
{
    pthread_t thread;
    (void)status;
    if (pthread_create(&thread, NULL, post_many, arg) != 0)
        return -EAGAIN;
    (void)pthread_join(thread, NULL); /* it exists */
    return gyre_loop_add_callback(loop, stop_loop, NULL);
}

GYRE_TEST(threads, T50_posts_to_a_loop_that_is_awake_write_nothing)
{
    struct scene scene;
    scene_open(&scene);
    struct visitor visitor = {.loop = scene.loop, .result = -1};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, be_visited, &visitor), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(visitor.result, 0);
    cr_assert_eq(visitor.calls, POSTS);
    cr_assert_eq(stats_of(scene.loop).wakes_written, 0);
    scene_close(&scene);
}

static int post_in_all_forms(struct gyre_loop *loop, int status, void *arg)
{
    struct visitor *visitor = arg;
    (void)status;
    (void)loop;
    return by_post(visitor) | by_callback(visitor) | by_spawn(visitor) | by_call_at(visitor) |
           by_wake(visitor);
}

GYRE_TEST(threads, T51_posts_of_the_loops_own_thread_write_nothing)
{
    struct scene scene;
    scene_open(&scene);
    struct visitor visitor = {.loop = scene.loop};
    cr_assert_eq(gyre_loop_add_callback(scene.loop, post_in_all_forms, &visitor), 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 5, &handle, post_in_all_forms, &visitor), 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 10, &handle, stop_loop, NULL), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(visitor.calls, 10);
    cr_assert_eq(scene.waits, 2, "it slept");
    cr_assert_eq(stats_of(scene.loop).wakes_written, 0);
    cr_assert_eq(stats_of(scene.loop).posts, 1, "the first, which was posted from outside the run");
    scene_close(&scene);
}

/* ---- T52 ------------------------------------------------------------------------------------- */

static void *run_it(void *arg)
{
    struct visitor *visitor = arg;
    visitor->result = gyre_loop_run(visitor->loop);
    return NULL;
}

/* Ends the sleep after visitor->calls of them, by a callback. */
static void *stop_in_its_sleep(void *arg)
{
    struct visitor *visitor = arg;
    if (await_sleep(visitor->loop, visitor->calls))
        visitor->result = gyre_loop_add_callback(visitor->loop, stop_loop, NULL);
    return NULL;
}

GYRE_TEST(threads, T52_former_owners_and_reused_thread_ids_lose_no_wake_up)
{
    struct visitor visitor = {.loop = open_loop()};
    struct gyre_loop *loop = visitor.loop;
    for (unsigned i = 0; i < ROUNDS; i++) {
        /* A thread owns the loop for a while, and ends; the next one often gets its identity. */
        cr_assert_eq(gyre_loop_stop(loop), 0);
        on_thread(run_it, &visitor);
        cr_assert_eq(visitor.result, 0);
        visitor.calls = i;
        pthread_t poster = start_thread(stop_in_its_sleep, &visitor);
        run_to_stop(loop);
        pthread_join(poster, NULL);
        cr_assert_eq(stats_of(loop).sleeps, i + 1);
        cr_assert_eq(stats_of(loop).wakes_written, i + 1, "a wake for each sleep");
    }
    gyre_loop_destroy(loop);
}

static int end_of_turn(struct gyre_loop *loop, int status, void *arg)
{
    ++*(unsigned *)arg;
    return status != 0 ? 0 : gyre_loop_stop(loop);
}

static void *take_turn(void *arg)
{
    struct visitor *visitor = arg;
    if (gyre_loop_add_callback(visitor->loop, end_of_turn, &visitor->calls) == 0)
        visitor->result = gyre_loop_run(visitor->loop);
    return NULL;
}

GYRE_TEST(threads, T52_threads_may_run_a_loop_in_turn)
{
    struct visitor visitor = {.loop = open_loop()};
    for (unsigned i = 0; i < ROUNDS; i++) {
        on_thread(take_turn, &visitor);
        cr_assert_eq(visitor.result, 0);
        take_turn(&visitor);
        cr_assert_eq(visitor.result, 0);
    }
    cr_assert_eq(visitor.calls, 2 * ROUNDS);
    cr_assert_eq(stats_of(visitor.loop).wakes_written, 0);
    gyre_loop_destroy(visitor.loop);
}
