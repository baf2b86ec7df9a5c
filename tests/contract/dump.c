/* SPDX-License-Identifier: MIT */
/*
 * dump - gyre_loop_dump, inside the loop and outside of it. What a thread that blocks looks like
 * from another: tests/stress/watchdog.c.
 */
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void append(const char *line, void *arg)
{
    char *text = arg;
    size_t used = strlen(text);
    cr_assert_lt(used + strlen(line) + 2, SCENE_TEXT_BYTES * 4);
    strcat(text, line);
    strcat(text, "\n");
}

static int ignore_event(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)loop;
    (void)fd;
    (void)events;
    (void)arg;
    return 0;
}

static int dump_here(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    return gyre_loop_dump(loop, append, arg);
}

GYRE_TEST(watchdog, dump_in_a_call_tells_what_is_pending)
{
    struct scene scene;
    static char text[SCENE_TEXT_BYTES * 4];
    uint64_t handle;
    unsigned calls = 0;
    unsigned timers = 0;
    int fds[2];
    char expected[64];
    make_pipe(fds);
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], GYRE_READ, ignore_event, NULL), 0);
    for (unsigned i = 1; i <= 40; i++)
        cr_assert_eq(gyre_loop_call_later(scene.loop, i * MS_NS, &handle, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, dump_here, text), 0);
    cr_assert_eq(scene_run(&scene), 0);
    (void)snprintf(expected, sizeof(expected), "fd %d events 0x", fds[0]);
    cr_assert(strstr(text, expected) != NULL, "%s", text);
    cr_assert(strstr(text, "timers armed: 40\n") != NULL, "%s", text);
    cr_assert(strstr(text, "  timer in 1000 us: ") != NULL, "%s", text);
    for (const char *at = text; (at = strstr(at, "  timer ")) != NULL; at++)
        timers++;
    cr_assert_eq(timers, 32);
    cr_assert_eq(calls, 40);
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(watchdog, dump_outside_of_the_loop_leaves_it_alone)
{
    struct scene scene;
    static char text[SCENE_TEXT_BYTES * 4];
    unsigned calls = 0;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_dump(scene.loop, append, text), 0);
    cr_assert(strstr(text, "turns 0, ") != NULL, "%s", text);
    cr_assert(strstr(text, "not watched") != NULL, "%s", text);
    cr_assert(strstr(text, "callbacks queued") == NULL, "%s", text);
    cr_assert_eq(gyre_loop_dump(scene.loop, NULL, NULL), -EINVAL);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 1);
    scene_close(&scene);
}

GYRE_TEST(watchdog, dump_in_a_callback_lists_those_behind_it)
{
    struct scene scene;
    static char text[SCENE_TEXT_BYTES * 4];
    unsigned calls = 0;
    unsigned listed = 0;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, dump_here, text), 0);
    for (unsigned i = 0; i < 40; i++)
        cr_assert_eq(gyre_loop_add_callback(scene.loop, count_call, &calls), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert(strstr(text, "callbacks queued: 40\n") != NULL, "%s", text);
    for (const char *at = text; (at = strstr(at, "  callback ")) != NULL; at++)
        listed++;
    cr_assert_eq(listed, 32);
    cr_assert_eq(calls, 40);
    scene_close(&scene);
}
