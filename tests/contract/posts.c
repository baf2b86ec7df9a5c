/* SPDX-License-Identifier: MIT */
/*
 * posts - rules T53 to T57: posts that wait, many at once, from everywhere, and bounded loops; and
 * T38 where a thread ends.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

enum {
    POSTERS = 4,
    POSTS = 2000
};

static uint64_t handle; /* of calls that no test cancels */

/* ---- T38 ------------------------------------------------------------------------------------- */

/* A thread that posts until the last of its destructors. */
static struct {
    struct scene *scene;
    pthread_key_t key;
    pthread_barrier_t barrier;
    struct gyre_task task;
    bool task_first;
    int rounds; /* of destructors */
    int failed;
} farewell;

static bool add_farewell(const char *text)
{
    struct scene *scene = farewell.scene;
    return gyre_loop_add_callback(scene->loop, say_word, word_of(scene, text)) == 0;
}

static void say_farewell(void *arg)
{
    if (farewell.rounds++ == 0) { /* the library's own may be called behind it */
        farewell.failed += pthread_setspecific(farewell.key, arg) != 0;
        return;
    }
    if (!farewell.task_first)
        farewell.failed += !add_farewell("callback");
    farewell.failed += gyre_loop_post(farewell.scene->loop, &farewell.task) != 0;
    if (farewell.task_first)
        farewell.failed += !add_farewell("callback");
}

static void *post_and_leave(void *arg)
{
    farewell.failed = pthread_setspecific(farewell.key, &farewell) != 0;
    farewell.failed += !add_farewell("first");
    farewell.failed += gyre_loop_add_callback(farewell.scene->loop, stop_loop, NULL) != 0;
    (void)pthread_barrier_wait(&farewell.barrier);
    (void)pthread_barrier_wait(&farewell.barrier); /* the loop has run, and waited for nothing */
    farewell.failed += !add_farewell("second");
    return arg;
}

static void end_thread(bool task_first, const char *expected)
{
    struct scene scene;
    scene_open(&scene);
    farewell.scene = &scene;
    farewell.task_first = task_first;
    farewell.rounds = 0;
    gyre_task_init(&farewell.task, say_word, word_of(&scene, "task"));
    cr_assert_eq(pthread_key_create(&farewell.key, say_farewell), 0);
    cr_assert_eq(pthread_barrier_init(&farewell.barrier, NULL, 2), 0);
    pthread_t thread = start_thread(post_and_leave, NULL);
    (void)pthread_barrier_wait(&farewell.barrier);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    (void)pthread_barrier_wait(&farewell.barrier);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(farewell.failed, 0);
    cr_assert_eq(farewell.rounds, 2);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, expected);
    cr_assert_eq(pthread_barrier_destroy(&farewell.barrier), 0);
    cr_assert_eq(pthread_key_delete(farewell.key), 0);
    scene_close(&scene);
}

GYRE_TEST(posts, T38_posts_of_a_thread_that_ends_run_in_order)
{
    end_thread(true, "first second task callback");
    end_thread(false, "first second callback task");
}

/* ---- T53, T54 -------------------------------------------------------------------------------- */

static void *post_one(void *arg)
{
    struct word *word = arg;
    word->result = gyre_loop_add_callback(word->scene->loop, say_word, word);
    return NULL;
}

GYRE_TEST(posts, T53_posts_before_run_are_kept_and_run_in_it)
{
    struct scene scene;
    struct word words[] = {{&scene, "own", 0}, {&scene, "other", 0}, {&scene, "last", 0}};
    scene_open(&scene);
    (void)post_one(&words[0]);
    on_thread(post_one, &words[1]);
    (void)post_one(&words[2]);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, stop_loop, NULL), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "own last other", "each in its poster's order (T38)");
    cr_assert_eq(stats_of(scene.loop).wakes_written, 0, "nobody slept");
    scene_close(&scene);
}

struct traffic {
    struct gyre_loop *loop;
    unsigned seen; /* the loop's */
    _Atomic unsigned refused;
};

static int count_traffic(struct gyre_loop *loop, int status, void *arg)
{
    struct traffic *traffic = arg;
    if (status == 0 && ++traffic->seen == POSTERS * POSTS)
        return gyre_loop_stop(loop);
    return 0;
}

static void *send_traffic(void *arg)
{
    struct traffic *traffic = arg;
    for (int i = 0; i < POSTS; i++) {
        if (gyre_loop_add_callback(traffic->loop, count_traffic, traffic) != 0)
            atomic_fetch_add_explicit(&traffic->refused, 1, memory_order_relaxed); /* a count */
        if (i % 3 == 0)
            sched_yield(); /* lets the loop fall asleep now and then */
    }
    return NULL;
}

GYRE_TEST(posts, T54_no_wake_up_is_lost)
{
    struct traffic traffic = {.loop = open_loop()};
    pthread_t threads[POSTERS];
    for (int i = 0; i < POSTERS; i++)
        threads[i] = start_thread(send_traffic, &traffic);
    run_to_stop(traffic.loop); /* a lost one would let it sleep for ever */
    for (int i = 0; i < POSTERS; i++)
        pthread_join(threads[i], NULL);
    struct gyre_loop_stats stats = stats_of(traffic.loop);
    cr_assert_eq(traffic.seen, POSTERS * POSTS);
    cr_assert_eq(traffic.refused, 0);
    cr_assert_eq(stats.posts, POSTERS * POSTS);
    cr_assert_leq(stats.wakes_written, stats.sleeps);
    gyre_loop_destroy(traffic.loop);
}

/* ---- T55 ------------------------------------------------------------------------------------- */

/* Posts from whichever function of the user's is running. */
static void post_from(struct scene *scene)
{
    unsigned *calls = scene->data;
    if (gyre_loop_add_callback(scene->loop, count_call, calls) != 0 ||
        gyre_loop_post_call_at(scene->loop, 0, count_call, calls) != 0)
        say(scene, "refused");
    gyre_loop_wake(scene->loop);
}

static int post_from_call(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    if (status == 0)
        post_from(arg);
    return -EIO; /* so that the error hook posts as well */
}

static void post_from_handler(struct watch *watch)
{
    post_from(watch->scene);
    watch->then = NULL;
    (void)gyre_loop_remove_handler(watch->scene->loop, watch->fd); /* it is registered */
}

static void post_from_hook(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    (void)failure;
    post_from(arg);
}

static void post_from_wait(struct scene *scene)
{
    scene->on_wait = NULL;
    post_from(scene);
}

GYRE_TEST(posts, T55_posting_from_inside_anything_does_not_deadlock)
{
    struct gyre_loop_options options;
    struct scene scene;
    unsigned calls = 0;
    scene_options(&scene, &options);
    options.on_error = post_from_hook;
    options.on_error_arg = &scene;
    scene_open_with(&scene, &options);
    scene.data = &calls;
    scene.on_wait = post_from_wait;
    int writer;
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = make_readable(&writer)};
    watch.then = post_from_handler;
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, post_from_call, &scene), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, post_from_call, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene_run(&scene), 0); /* what was posted in the wait that ended the first */
    cr_assert_str_eq(scene.text, "pipe:r");
    /* Callback, timer, two calls of the hook, handler, wait: two posts each. */
    cr_assert_eq(calls, 12);
    scene_close(&scene);
    close_pipe((int[]){watch.fd, writer});
}

static int try_after_close(struct gyre_loop *loop, int status, void *arg)
{
    int *results = arg;
    results[0] = status;
    results[1] = gyre_loop_add_callback(loop, count_call, &results[2]);
    gyre_loop_wake(loop);
    return gyre_loop_stop(loop);
}

GYRE_TEST(posts, T55_posting_from_a_cancelled_function_does_not_deadlock)
{
    struct scene scene;
    int results[3] = {0, 0, 0};
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, try_after_close, results), 0);
    scene_close(&scene);
    cr_assert_eq(results[0], -ECANCELED);
    cr_assert_eq(results[1], -ESHUTDOWN);
    cr_assert_eq(results[2], 0);
}

/* ---- T56, T57 -------------------------------------------------------------------------------- */

static void bounded_open(struct scene *scene, uint32_t bound)
{
    struct gyre_loop_options options;
    scene_options(scene, &options);
    options.queue_max = bound;
    scene_open_with(scene, &options);
}

GYRE_TEST(posts, T56_loop_is_unbounded_by_default)
{
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    for (int i = 0; i < 100000; i++)
        cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 100000);
    cr_assert_eq(stats_of(scene.loop).queue_max, 100000, "the high-water mark shows it");
    scene_close(&scene);
}

static int fill_from_inside(struct gyre_loop *loop, int status, void *arg)
{
    struct word *word = arg;
    (void)status;
    /* Its own place is free again: it runs. Two others of the bound wait behind it. */
    word->result = gyre_loop_add_callback(loop, say_word, word);
    return gyre_loop_add_callback(loop, say_word, word) == -EAGAIN ? 0 : -EINVAL;
}

GYRE_TEST(posts, T56_bounded_loop_refuses_what_is_over_and_drops_nothing)
{
    struct scene scene;
    struct word over = {&scene, "over", 0};
    bounded_open(&scene, 3);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, fill_from_inside, &over), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "b")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "c")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &over), -EAGAIN);
    cr_assert_eq(gyre_loop_post_call_at(scene.loop, 0, say_word, &over), -EAGAIN);
    on_thread(post_one, &over);
    cr_assert_eq(over.result, -EAGAIN);
    over.result = -1;
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(over.result, 0);
    cr_assert_str_eq(scene.text, "b c over");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &over), 0, "all room is back");
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, &over), -EAGAIN);
    scene_close(&scene);
}

GYRE_TEST(posts, T56_bounded_loop_takes_a_batch_whole_or_not_at_all)
{
    struct scene scene;
    struct gyre_task tasks[4];
    struct gyre_task *const batch[] = {&tasks[0], &tasks[1], &tasks[2], &tasks[3]};
    bounded_open(&scene, 4);
    for (int i = 0; i < 4; i++)
        gyre_task_init(&tasks[i], say_word, word_of(&scene, "task"));
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "one")), 0);
    cr_assert_eq(gyre_loop_post_batch(scene.loop, batch, 4), -EAGAIN);
    cr_assert_eq(gyre_loop_post_batch(scene.loop, batch, 3), 0);
    cr_assert_eq(gyre_loop_post_batch(scene.loop, batch + 3, 1), -EAGAIN);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "one task task task");
    cr_assert_eq(gyre_loop_post_batch(scene.loop, batch, 4), 0);
    cr_assert_eq(scene_run(&scene), 0);
    scene_close(&scene);
}

GYRE_TEST(posts, T56_stop_and_wake_need_no_room)
{
    struct scene scene;
    bounded_open(&scene, 1);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "kept")), 0);
    gyre_loop_wake(scene.loop);
    cr_assert_eq(gyre_loop_stop(scene.loop), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "", "the stop was met");
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "kept");
    scene_close(&scene);
}

GYRE_TEST(posts, T57_spawned_callbacks_run_as_others_do)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_spawn_callback(scene.loop, say_word, word_of(&scene, "spawned")), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "added")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "spawned added");
    cr_assert_eq(gyre_loop_spawn_callback(scene.loop, say_word, word_of(&scene, "cancelled")), 0);
    scene_close(&scene);
    cr_assert_str_eq(scene.text, "spawned added cancelled!");
}
