/* SPDX-License-Identifier: MIT */
/*
 * stray - rules T34 to T36: events that have no handler, closed descriptors, results of handlers.
 *
 * A file that was closed without being removed, while a duplicate keeps it open, goes on being
 * reported by some systems and cannot be removed there; on others nothing comes of it. These tests
 * demand the same of both.
 */
#include "support.h"

#include <errno.h>
#include <unistd.h>

enum {
    NUMBERS = 256 /* descriptors of a test are below */
};

static int count_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    unsigned char *calls = arg;
    (void)loop;
    if (events == GYRE_READ)
        calls[fd]++;
    return 0;
}

/* ---- T34 to T36 ------------------------------------------------------------------------------ */

GYRE_TEST(stray, T34_event_that_nobody_can_remove_is_dropped_for_good)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    int writers[2];
    struct watch gone = {.scene = &scene, .name = "gone", .fd = make_readable(&writers[0])};
    struct watch stays = {.scene = &scene, .name = "stays", .fd = make_readable(&writers[1])};
    watch_fd(&gone, GYRE_READ);
    watch_fd(&stays, GYRE_READ);
    int duplicate = dup(gone.fd);
    (void)close(gone.fd); /* the duplicate keeps the file, and with it the registration */
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, gone.fd), -ENOENT);

    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    struct gyre_loop_stats after_one = stats_of(scene.loop);
    cr_assert_eq(scene_run_polls(&scene, 10), 0);
    struct gyre_loop_stats after = stats_of(scene.loop);
    cr_assert_eq(gone.calls, 0);
    cr_assert_eq(stays.calls, 11, "the rebuilt set has the others");
    cr_assert_eq(after.events_stale, after_one.events_stale, "dropped for good");
    cr_assert_leq(after.events_stale, 1);
    cr_assert_eq(after.rebuilds, after.events_stale);
    cr_assert_eq(log.lines, after.events_stale, "%s", log.line);
    scene_close(&scene);
    close_pipe((int[]){duplicate, writers[0]});
    close_pipe((int[]){stays.fd, writers[1]});
}

GYRE_TEST(stray, T21_T34_handlers_for_nothing_hear_of_errors_after_the_set_was_rebuilt)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    int writer;
    int readers[2];
    struct watch gone = {.scene = &scene, .name = "gone", .fd = make_readable(&writer)};
    struct watch quiet[2];
    watch_fd(&gone, GYRE_READ);
    for (int i = 0; i < 2; i++) {
        int fds[2];
        make_pipe(fds);
        readers[i] = fds[0];
        quiet[i] = (struct watch){.scene = &scene, .name = "quiet", .fd = fds[1]};
        watch_fd(&quiet[i], i == 0 ? GYRE_NONE : GYRE_WRITE);
    }
    cr_assert_eq(gyre_loop_update_handler(scene.loop, quiet[1].fd, GYRE_NONE), 0);
    int duplicate = dup(gone.fd);
    (void)close(gone.fd); /* as above */
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, gone.fd), -ENOENT);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "");
    for (int i = 0; i < 2; i++)
        (void)close(readers[i]); /* nobody reads any more: an error for the writer */
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(quiet[0].calls, 1, "added for nothing");
    cr_assert_eq(quiet[1].calls, 1, "updated to nothing");
    cr_assert_eq(quiet[0].events & quiet[1].events & GYRE_READ, 0);
    cr_assert_eq(log.lines, stats_of(scene.loop).rebuilds, "%s", log.line);
    scene_close(&scene);
    close_pipe((int[]){duplicate, writer});
    close_pipe((int[]){quiet[0].fd, quiet[1].fd});
}

/* Ends one sleep by a wake, and the next, which is the rebuilt set's, by a stop. */
static void *wake_then_stop(void *arg)
{
    struct gyre_loop *loop = arg;
    if (await_sleep(loop, 0))
        gyre_loop_wake(loop);
    if (await_sleep(loop, 1))
        (void)gyre_loop_stop(loop); /* a loop that is no runtime's does not refuse */
    return NULL; /* else the test hangs, and its time limit tells */
}

GYRE_TEST(stray, T34_loop_sleeps_and_can_be_woken_after_the_set_was_rebuilt)
{
    struct log_record log;
    record_log(&log);
    struct gyre_loop *loop = open_loop();
    unsigned char calls[NUMBERS] = {0};
    int writer;
    int reader = make_readable(&writer);
    cr_assert_lt(reader, NUMBERS);
    cr_assert_eq(gyre_loop_add_handler(loop, reader, GYRE_READ, count_ready, calls), 0);
    int duplicate = dup(reader);
    (void)close(reader); /* the duplicate keeps the file */
    cr_assert_eq(gyre_loop_remove_handler(loop, reader), -ENOENT);
    pthread_t thread = start_thread(wake_then_stop, loop);
    run_to_stop(loop);
    pthread_join(thread, NULL);
    struct gyre_loop_stats stats = stats_of(loop);
    cr_assert_eq(calls[reader], 0);
    cr_assert_leq(stats.events_stale, 1, "no spin");
    cr_assert_eq(stats.rebuilds, stats.events_stale);
    cr_assert_leq(stats.sleeps, 4);
    gyre_loop_destroy(loop);
    close_pipe((int[]){duplicate, writer});
}

/* Keeps the clock where the test has put it. */
static void stand_still(struct scene *scene)
{
    scene->now_ns = *(uint64_t *)scene->data;
}

/* Registers a readable pipe and closes it without removal; the result is its duplicate. */
static int make_phantom(struct scene *scene, struct watch *watch, int *ret_writer)
{
    *watch = (struct watch){.scene = scene, .name = "gone", .fd = make_readable(ret_writer)};
    watch_fd(watch, GYRE_READ);
    int duplicate = dup(watch->fd);
    (void)close(watch->fd); /* the duplicate keeps the file */
    cr_assert_eq(gyre_loop_remove_handler(scene->loop, watch->fd), -ENOENT);
    return duplicate;
}

GYRE_TEST(stray, T34_rebuilds_and_log_lines_are_limited_in_rate)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    uint64_t now = SECOND_NS;
    scene.data = &now;
    scene.on_wait = stand_still;
    struct watch watches[2];
    int writers[2];
    int duplicates[2];
    duplicates[0] = make_phantom(&scene, &watches[0], &writers[0]);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    uint64_t once = stats_of(scene.loop).rebuilds;
    cr_assert_leq(once, 1);

    duplicates[1] = make_phantom(&scene, &watches[1], &writers[1]);
    now += 9 * MS_NS;
    cr_assert_eq(scene_run_polls(&scene, 20), 0);
    cr_assert_eq(stats_of(scene.loop).rebuilds, once, "not again within 10 ms");
    cr_assert_eq(log.lines, once, "one line a rebuild: %s", log.line);
    now += MS_NS;
    cr_assert_eq(scene_run_polls(&scene, 20), 0);
    cr_assert_eq(stats_of(scene.loop).rebuilds, 2 * once);
    cr_assert_eq(log.lines, 2 * once);
    cr_assert_eq(watches[0].calls + watches[1].calls, 0);
    scene_close(&scene);
    for (int i = 0; i < 2; i++)
        close_pipe((int[]){duplicates[i], writers[i]});
}

GYRE_TEST(stray, T35_new_file_under_a_closed_number_registers)
{
    struct scene scene;
    scene_open(&scene);
    int old[2];
    make_pipe(old);
    struct watch before = {.scene = &scene, .name = "old", .fd = old[0]};
    watch_fd(&before, GYRE_READ);
    close_pipe(old); /* without removal */
    int fds[2];
    make_pipe(fds);
    struct watch after = {.scene = &scene, .name = "new", .fd = fds[0]};
    cr_assert_eq(fds[0], old[0], "the system gives the lowest free number");
    watch_fd(&after, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "new:r");
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0);
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(stray, T35_new_file_does_not_get_the_events_of_one_that_lives_on)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    int writer;
    struct watch before = {.scene = &scene, .name = "old", .fd = make_readable(&writer)};
    watch_fd(&before, GYRE_READ);
    int duplicate = dup(before.fd);
    int fds[2];
    make_pipe(fds);
    /* The number's new file is an empty pipe; the old one, readable, lives on. */
    cr_assert_eq(dup2(fds[0], before.fd), before.fd);
    struct watch after = {.scene = &scene, .name = "new", .fd = before.fd};
    watch_fd(&after, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 5), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(write(fds[1], "x", 1), 1);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "new:r");
    cr_assert_eq(before.calls, 0);
    scene_close(&scene);
    close_pipe((int[]){duplicate, writer});
    close_pipe(fds);
    (void)close(after.fd); /* a duplicate of fds[0] */
}

GYRE_TEST(stray, T35_handler_of_a_closed_descriptor_gets_nothing_of_the_file_that_got_its_number)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    int writer;
    int reader = make_readable(&writer);
    make_pair(fds);
    struct watch gone = {.scene = &scene, .name = "gone", .fd = fds[0]};
    watch_fd(&gone, GYRE_READ);
    cr_assert_eq(dup2(reader, fds[0]), fds[0]); /* closes it, without removal */
    cr_assert_eq(scene_run_polls(&scene, 3), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(stats_of(scene.loop).events_stale, 0);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), -ENOENT);
    cr_assert_eq(log.lines, 0, "%s", log.line);
    scene_close(&scene);
    close_pipe(fds);
    close_pipe((int[]){reader, writer});
}

static void note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    *(int *)arg += failure->error;
}

GYRE_TEST(stray, T36_result_of_a_handler_is_0_or_a_negative_errno)
{
    static const int results[] = {0, -EIO, -EAGAIN, -1};
    for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
        struct gyre_loop_options options;
        struct scene scene;
        int failed = 0;
        scene_options(&scene, &options);
        options.on_error = note_failure;
        options.on_error_arg = &failed;
        scene_open_with(&scene, &options);
        int writer;
        int reader = make_readable(&writer);
        struct watch watch = {.scene = &scene, .name = "pipe", .fd = reader, .result = results[i]};
        watch_fd(&watch, GYRE_READ);
        cr_assert_eq(scene_run_polls(&scene, 2), 0);
        cr_assert_eq(watch.calls, 2, "a failure does not remove it: row %zu", i);
        cr_assert_eq(failed, 2 * results[i], "row %zu", i);
        scene_close(&scene);
        close_pipe((int[]){reader, writer});
    }
}
