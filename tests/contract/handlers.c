/* SPDX-License-Identifier: MIT */
/*
 * handlers - rules T16 to T25: registering descriptors, and what is reported of them.
 */
#include "support.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- T16 to T18 ------------------------------------------------------------------------------ */

struct call {
    struct gyre_loop *loop;
    int fd;
    uint32_t events;
    unsigned calls;
};

static int note_call(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct call *call = arg;
    *call = (struct call){.loop = loop, .fd = fd, .events = events, .calls = call->calls + 1};
    return 0;
}

GYRE_TEST(handlers, T16_handler_gets_loop_fd_events_and_arg)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    int reader = make_readable(&writer);
    struct call call = {0};
    cr_assert_eq(gyre_loop_add_handler(scene.loop, reader, GYRE_READ, note_call, &call), 0);
    cr_assert_eq(call.calls, 0, "never inside the registration");
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(call.calls, 1);
    cr_assert_eq(call.loop, scene.loop);
    cr_assert_eq(call.fd, reader);
    cr_assert_eq(call.events, GYRE_READ);
    scene_close(&scene);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(handlers, T16_handler_without_a_function_is_refused)
{
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], GYRE_READ, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), -ENOENT);
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(handlers, T17_second_registration_of_a_descriptor_is_refused)
{
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    struct watch first = {.scene = &scene, .name = "first", .fd = fds[0]};
    struct call second = {0};
    watch_fd(&first, GYRE_READ);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], GYRE_READ, note_call, &second), -EEXIST);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], GYRE_WRITE, note_call, &second),
                 -EEXIST);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], GYRE_READ, note_call, &second), 0);
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(handlers, T17_one_descriptor_may_be_registered_with_two_loops)
{
    struct scene one;
    struct scene two;
    scene_open(&one);
    scene_open(&two);
    int writer;
    int reader = make_readable(&writer);
    struct watch here = {.scene = &one, .name = "here", .fd = reader};
    struct watch there = {.scene = &two, .name = "there", .fd = reader};
    watch_fd(&here, GYRE_READ);
    watch_fd(&there, GYRE_READ);
    cr_assert_eq(scene_run_polls(&one, 1), 0);
    cr_assert_eq(scene_run_polls(&two, 1), 0);
    cr_assert_str_eq(one.text, "here:r");
    cr_assert_str_eq(two.text, "there:r");
    scene_close(&one);
    scene_close(&two);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(handlers, T18_refused_second_registration_leaves_the_first_as_it_was)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    int reader = make_readable(&writer);
    struct watch first = {.scene = &scene, .name = "first", .fd = reader};
    struct call second = {0};
    watch_fd(&first, GYRE_READ);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, reader, GYRE_NONE, note_call, &second), -EEXIST);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_str_eq(scene.text, "first:r first:r");
    cr_assert_eq(second.calls, 0);
    scene_close(&scene);
    close_pipe((int[]){reader, writer});
}

/* ---- T19, T20 -------------------------------------------------------------------------------- */

GYRE_TEST(handlers, T19_what_cannot_be_registered_is_refused_at_once)
{
    struct scene scene;
    scene_open(&scene);
    int file = make_file();
    const struct {
        int fd;
        int expected;
    } table[] = {
        {-1, -EINVAL},     {-1000, -EINVAL}, {closed_number(), -EBADF},
        {1 << 30, -EBADF}, {file, -EPERM},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct call call = {0};
        cr_assert_eq(gyre_loop_add_handler(scene.loop, table[i].fd, GYRE_READ, note_call, &call),
                     table[i].expected, "row %zu", i);
        cr_assert_eq(gyre_loop_remove_handler(scene.loop, table[i].fd), -ENOENT, "row %zu", i);
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_eq(call.calls, 0);
    }
    scene_close(&scene);
    (void)close(file); /* it has no content */
}

GYRE_TEST(handlers, T19_refused_descriptor_number_can_be_registered_once_it_is_open)
{
    struct scene scene;
    scene_open(&scene);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = closed_number()};
    cr_assert_eq(gyre_loop_add_handler(scene.loop, watch.fd, GYRE_READ, watch_handler, &watch),
                 -EBADF);
    int writer;
    int reader = make_readable(&writer);
    cr_assert_eq(reader, watch.fd, "the system gives the lowest free number");
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "pipe:r");
    scene_close(&scene);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(handlers, T20_event_bits_have_the_documented_values)
{
    cr_assert_eq(GYRE_NONE, 0);
    cr_assert_eq(GYRE_READ, 0x1);
    cr_assert_eq(GYRE_WRITE, 0x4);
    cr_assert_eq(GYRE_ERROR, 0x18);
}

GYRE_TEST(handlers, T20_further_bits_are_refused_and_change_nothing)
{
    /* Urgent data, half-close, exclusive, one-shot, edge, and one that nobody has. */
    static const uint32_t table[] = {0x2,      0x2000, 1u << 28,       1u << 30,
                                     1u << 31, 0x20,   GYRE_READ | 0x2};
    struct scene scene;
    scene_open(&scene);
    int writer;
    int reader = make_readable(&writer);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = reader};
    const uint32_t taken = gyre_loop_capabilities(scene.loop);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if ((table[i] & taken) != 0)
            continue; /* capabilities.c has these */
        cr_assert_eq(gyre_loop_add_handler(scene.loop, reader, table[i], watch_handler, &watch),
                     -ENOTSUP, "row %zu", i);
        cr_assert_eq(gyre_loop_remove_handler(scene.loop, reader), -ENOENT, "row %zu", i);
    }
    watch_fd(&watch, GYRE_READ);
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if ((table[i] & taken) == 0)
            cr_assert_eq(gyre_loop_update_handler(scene.loop, reader, table[i]), -ENOTSUP,
                         "row %zu", i);
    }
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "pipe:r");
    scene_close(&scene);
    close_pipe((int[]){reader, writer});
}

/* ---- T21 ------------------------------------------------------------------------------------- */

GYRE_TEST(handlers, T21_error_is_always_added)
{
    static const uint32_t table[] = {GYRE_NONE, GYRE_READ, GYRE_WRITE, GYRE_ERROR};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct scene scene;
        scene_open(&scene);
        int fds[2];
        make_pipe(fds);
        struct watch watch = {.scene = &scene, .name = "pipe", .fd = fds[1]};
        watch_fd(&watch, table[i]);
        (void)close(fds[0]); /* nobody reads any more: an error for the writer */
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_eq(watch.calls, 1, "row %zu", i);
        cr_assert_neq(watch.events & GYRE_ERROR, 0, "row %zu", i);

        cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[1], table[i]), 0);
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_eq(watch.calls, 2, "row %zu: after an update", i);
        cr_assert_neq(watch.events & GYRE_ERROR, 0, "row %zu: after an update", i);
        scene_close(&scene);
        (void)close(fds[1]); /* it is empty */
    }
}

GYRE_TEST(handlers, T21_hang_up_counts_as_error)
{
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = fds[0]};
    watch_fd(&watch, GYRE_NONE);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.calls, 0);
    (void)close(fds[1]); /* nobody writes any more */
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.calls, 1);
    cr_assert_neq(watch.events & GYRE_ERROR, 0);
    cr_assert_eq(watch.events & GYRE_WRITE, 0);
    scene_close(&scene);
    (void)close(fds[0]); /* it is empty */
}

/* ---- T22, T23 -------------------------------------------------------------------------------- */

GYRE_TEST(handlers, T22_readiness_is_reported_while_it_lasts)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    int reader = make_readable(&writer);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = reader};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 3), 0);
    cr_assert_eq(watch.calls, 3, "once a poll, though nobody reads");
    char byte;
    cr_assert_eq(read(reader, &byte, 1), 1);
    cr_assert_eq(scene_run_polls(&scene, 3), 0);
    cr_assert_eq(watch.calls, 3, "not once it is read");
    scene_close(&scene);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(handlers, T23_only_requested_readiness_is_reported)
{
    static const struct {
        uint32_t asked;
        const char *reported;
    } table[] = {
        {GYRE_NONE, ""},
        {GYRE_READ, "both:r"},
        {GYRE_WRITE, "both:w"},
        {GYRE_READ | GYRE_WRITE, "both:rw"},
        {GYRE_READ | GYRE_WRITE | GYRE_ERROR, "both:rw"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct scene scene;
        scene_open(&scene);
        int fds[2];
        make_pair(fds);
        cr_assert_eq(write(fds[1], "x", 1), 1); /* fds[0] is readable and writable now */
        struct watch watch = {.scene = &scene, .name = "both", .fd = fds[0]};
        watch_fd(&watch, table[i].asked);
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_str_eq(scene.text, table[i].reported, "row %zu", i);
        cr_assert_eq(stats_of(scene.loop).events, table[i].reported[0] != '\0', "row %zu", i);
        scene_close(&scene);
        close_pipe(fds);
    }
}

/* ---- T24, T25 -------------------------------------------------------------------------------- */

GYRE_TEST(handlers, T24_update_replaces_the_mask)
{
    static const struct {
        uint32_t events;
        const char *reported;
    } steps[] = {
        {GYRE_READ, "both:r"}, {GYRE_WRITE, "both:w"},
        {GYRE_NONE, ""},       {GYRE_READ | GYRE_WRITE, "both:rw"},
        {GYRE_READ, "both:r"},
    };
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pair(fds);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    struct watch watch = {.scene = &scene, .name = "both", .fd = fds[0]};
    watch_fd(&watch, GYRE_NONE);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        hush(&scene);
        cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], steps[i].events), 0);
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        cr_assert_str_eq(scene.text, steps[i].reported, "step %zu", i);
    }
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(handlers, T24_update_of_an_unknown_descriptor_is_refused)
{
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = fds[0]};
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), -ENOENT);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, closed_number(), GYRE_READ), -ENOENT);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, 1 << 30, GYRE_READ), -ENOENT);
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), -ENOENT);
    watch_fd(&watch, GYRE_READ);
    close_pipe(fds);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), -ENOENT, "it was closed");
    scene_close(&scene);
}

GYRE_TEST(handlers, T25_removal_of_an_unknown_or_closed_descriptor_is_harmless)
{
    struct log_record log;
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = fds[0]};
    const int unknown[] = {-1, fds[0], fds[1], closed_number(), 1 << 30};
    for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
        cr_assert_eq(gyre_loop_remove_handler(scene.loop, unknown[i]), -ENOENT, "row %zu", i);
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), -ENOENT, "twice");
    watch_fd(&watch, GYRE_READ);
    close_pipe(fds);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), -ENOENT, "closed");
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), -ENOENT, "closed, twice");
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(watch.calls, 0);
    cr_assert_eq(log.lines, 0, "quiet: %s", log.line);
    scene_close(&scene);
}
