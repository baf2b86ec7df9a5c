/* SPDX-License-Identifier: MIT */
/*
 * errors - rules T75 and T76: what becomes of negative results, and of SIGPIPE.
 */
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static uint64_t handle; /* of calls that no test cancels */

/* What the error hook got. */
struct failures {
    struct scene scene;
    struct gyre_failure last;
    struct gyre_loop *loop;
    unsigned count;
};

static void note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    struct failures *failures = arg;
    failures->last = *failure;
    failures->loop = loop;
    failures->count++;
}

static void failures_open(struct failures *failures)
{
    struct gyre_loop_options options;
    *failures = (struct failures){.count = 0};
    scene_options(&failures->scene, &options);
    options.on_error = note_failure;
    options.on_error_arg = failures;
    scene_open_with(&failures->scene, &options);
}

/* ---- T75 ------------------------------------------------------------------------------------- */

GYRE_TEST(errors, T75_hook_gets_what_failed_of_a_callback)
{
    struct failures failures;
    struct word word = {&failures.scene, "fails", -EIO};
    failures_open(&failures);
    cr_assert_eq(gyre_loop_add_callback(failures.scene.loop, say_word, &word), 0);
    cr_assert_eq(scene_run(&failures.scene), 0);
    cr_assert_eq(failures.count, 1);
    cr_assert_eq(failures.loop, failures.scene.loop);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_CALLBACK);
    cr_assert_eq(failures.last.error, -EIO);
    cr_assert_eq(failures.last.fd, -1);
    cr_assert_eq(failures.last.fn, say_word);
    cr_assert_null(failures.last.handler);
    cr_assert_eq(failures.last.arg, &word);
    scene_close(&failures.scene);
}

GYRE_TEST(errors, T75_hook_gets_what_failed_of_a_timer)
{
    struct failures failures;
    struct gyre_timer timer;
    struct word words[3];
    failures_open(&failures);
    struct gyre_loop *loop = failures.scene.loop;
    for (int i = 0; i < 3; i++)
        words[i] = (struct word){&failures.scene, "fails", -100 - i};
    gyre_timer_init(&timer, loop, say_word, &words[0]);
    cr_assert_eq(gyre_timer_start(&timer, 0), 0);
    cr_assert_eq(gyre_loop_call_later(loop, 10, &handle, say_word, &words[1]), 0);
    cr_assert_eq(gyre_loop_post_call_at(loop, failures.scene.now_ns + 20, say_word, &words[2]), 0);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(scene_run_polls(&failures.scene, 1), 0);
        cr_assert_eq(failures.count, i + 1);
        cr_assert_eq(failures.last.kind, GYRE_FAILED_TIMER);
        cr_assert_eq(failures.last.error, -100 - (int)i);
        cr_assert_eq(failures.last.fd, -1);
        cr_assert_eq(failures.last.fn, say_word);
        cr_assert_eq(failures.last.arg, &words[i]);
        failures.scene.now_ns += 10;
    }
    scene_close(&failures.scene);
}

GYRE_TEST(errors, T75_hook_gets_the_posted_call_that_cannot_be_armed)
{
    struct memory_count memory = {0};
    struct failures failures;
    struct word word = {&failures.scene, "call", 0};
    count_memory(&memory);
    failures_open(&failures);
    cr_assert_eq(gyre_loop_post_call_at(failures.scene.loop, 7, say_word, &word), 0);
    memory.fail_at = 1;
    cr_assert_eq(scene_run(&failures.scene), 0);
    cr_assert_str_eq(failures.scene.text, "call!");
    cr_assert_eq(failures.count, 1);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_TIMER);
    cr_assert_eq(failures.last.error, -ENOMEM);
    cr_assert_eq(failures.last.fn, say_word, "the user's function, and nothing of ours");
    cr_assert_eq(failures.last.arg, &word);
    scene_close(&failures.scene);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(errors, T75_hook_gets_what_failed_of_a_handler)
{
    struct failures failures;
    failures_open(&failures);
    int writer;
    struct watch watch = {.scene = &failures.scene, .name = "h", .fd = make_readable(&writer)};
    watch.result = -ECONNRESET;
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(scene_run_polls(&failures.scene, 1), 0);
    cr_assert_eq(failures.count, 1);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_HANDLER);
    cr_assert_eq(failures.last.error, -ECONNRESET);
    cr_assert_eq(failures.last.fd, watch.fd);
    cr_assert_null(failures.last.fn);
    cr_assert_eq(failures.last.handler, watch_handler);
    cr_assert_eq(failures.last.arg, &watch);
    scene_close(&failures.scene);
    close_pipe((int[]){watch.fd, writer});
}

GYRE_TEST(errors, T75_failure_stops_neither_the_loop_nor_the_batch)
{
    struct failures failures;
    failures_open(&failures);
    struct scene *scene = &failures.scene;
    struct word callback = {scene, "c", -EIO};
    struct word timer = {scene, "t", -EIO};
    struct watch watches[2];
    int writers[2];
    for (int i = 0; i < 2; i++) {
        watches[i] = (struct watch){.scene = scene, .name = "h", .fd = make_readable(&writers[i])};
        watches[i].result = -EIO;
        watch_fd(&watches[i], GYRE_READ);
        cr_assert_eq(gyre_loop_add_callback(scene->loop, say_word, &callback), 0);
        cr_assert_eq(gyre_loop_call_at(scene->loop, 0, &handle, say_word, &timer), 0);
    }
    cr_assert_eq(scene_run_polls(scene, 2), 0);
    cr_assert_str_eq(scene->text, "c c t t h:r h:r h:r h:r");
    cr_assert_eq(failures.count, 8);
    scene_close(scene);
    for (int i = 0; i < 2; i++)
        close_pipe((int[]){watches[i].fd, writers[i]});
}

int failing_callback_with_a_name(struct gyre_loop *loop, int status, void *arg);
int failing_callback_with_a_name(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return -ETIMEDOUT;
}

GYRE_TEST(errors, T75_without_a_hook_a_failure_is_logged)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, failing_callback_with_a_name, NULL), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(log.lines, 1);
    cr_assert_eq(log.level, GYRE_LOG_ERROR);
    cr_assert_not_null(strstr(log.line, "ETIMEDOUT"), "%s", log.line);
    cr_assert_not_null(strstr(log.line, "callback"), "%s", log.line);
    scene_close(&scene);
}

GYRE_TEST(errors, T75_success_and_reserved_results_reach_no_hook)
{
    static const int results[] = {0, GYRE_STOPPED, 4711};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct failures failures;
        struct word word = {&failures.scene, "ran", results[i]};
        failures_open(&failures);
        cr_assert_eq(gyre_loop_add_callback(failures.scene.loop, say_word, &word), 0);
        cr_assert_eq(gyre_loop_call_at(failures.scene.loop, 0, &handle, say_word, &word), 0);
        cr_assert_eq(scene_run(&failures.scene), 0);
        cr_assert_str_eq(failures.scene.text, "ran ran");
        cr_assert_eq(failures.count, 0);
        scene_close(&failures.scene);
    }
}

/* ---- T76 ------------------------------------------------------------------------------------- */

GYRE_TEST(errors, T76_epipe_is_silent_from_a_handler_alone)
{
    struct failures failures;
    failures_open(&failures);
    struct scene *scene = &failures.scene;
    struct word word = {scene, "fails", -EPIPE};
    int writer;
    struct watch watch = {.scene = scene, .name = "h", .fd = make_readable(&writer)};
    watch.result = -EPIPE;
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(scene_run_polls(scene, 1), 0);
    cr_assert_eq(watch.calls, 1);
    cr_assert_eq(failures.count, 0);

    cr_assert_eq(gyre_loop_add_callback(scene->loop, say_word, &word), 0);
    cr_assert_eq(scene_run_polls(scene, 1), 0);
    cr_assert_eq(failures.count, 1);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_CALLBACK);
    cr_assert_eq(gyre_loop_call_at(scene->loop, 0, &handle, say_word, &word), 0);
    cr_assert_eq(scene_run_polls(scene, 1), 0);
    cr_assert_eq(failures.count, 2);
    cr_assert_eq(failures.last.kind, GYRE_FAILED_TIMER);
    scene_close(scene);
    close_pipe((int[]){watch.fd, writer});
}

static bool is_blocked(void)
{
    sigset_t mask;
    return pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 && sigismember(&mask, SIGPIPE) == 1;
}

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

/* Writes to a pipe that nobody reads. */
static int write_in_vain(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    int fds[2];
    (void)loop;
    (void)status;
    if (pipe(fds) != 0)
        return -errno;
    (void)close(fds[0]); /* nobody reads */
    say(scene, write(fds[1], "x", 1) < 0 && errno == EPIPE ? "epipe" : "written");
    say(scene, is_blocked() ? "blocked" : "open");
    (void)close(fds[1]); /* it took nothing */
    return 0;
}

GYRE_TEST(errors, T76_sigpipe_does_not_kill_and_the_mask_is_restored)
{
    struct scene scene;
    struct sigaction before;
    struct sigaction after;
    cr_assert_eq(sigaction(SIGPIPE, NULL, &before), 0);
    cr_assert_eq(before.sa_handler, SIG_DFL, "it would kill");
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, write_in_vain, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "epipe blocked");
    cr_assert_not(is_blocked());
    cr_assert_not(is_pending());
    cr_assert_eq(sigaction(SIGPIPE, NULL, &after), 0);
    cr_assert_eq(after.sa_handler, before.sa_handler, "the host's disposition is left alone");
    scene_close(&scene);
}

GYRE_TEST(errors, T76_sigpipe_that_the_host_had_pending_stays)
{
    struct scene scene;
    sigset_t set;
    cr_assert_eq(sigemptyset(&set), 0);
    cr_assert_eq(sigaddset(&set, SIGPIPE), 0);
    cr_assert_eq(pthread_sigmask(SIG_BLOCK, &set, NULL), 0);
    cr_assert_eq(raise(SIGPIPE), 0);
    cr_assert(is_pending());
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, write_in_vain, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert(is_pending());
    cr_assert(is_blocked(), "as the host had it");
    int number;
    cr_assert_eq(sigwait(&set, &number), 0);
    cr_assert_eq(number, SIGPIPE);

    cr_assert_eq(gyre_loop_add_callback(scene.loop, write_in_vain, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_not(is_pending(), "the run's own is consumed");
    cr_assert(is_blocked());
    scene_close(&scene);
}

static int nest(struct gyre_loop *loop, int status, void *arg)
{
    struct scene *scene = arg;
    (void)status;
    int r = gyre_loop_add_callback(loop, write_in_vain, scene);
    if (r == 0)
        r = gyre_loop_add_callback(loop, stop_loop, NULL);
    if (r == 0)
        r = gyre_loop_stop(loop);
    if (r == 0)
        r = gyre_loop_run(loop);
    if (r == 0)
        r = gyre_loop_run(loop);
    say(scene, is_blocked() ? "still-blocked" : "open");
    return r;
}

GYRE_TEST(errors, T76_sigpipe_stays_blocked_after_a_nested_run)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, nest, &scene), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "epipe blocked still-blocked");
    cr_assert_not(is_blocked());
    cr_assert_not(is_pending());
    scene_close(&scene);
}
