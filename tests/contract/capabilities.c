/* SPDX-License-Identifier: MIT */
/*
 * capabilities - rule T20: event bits that not every backend takes. Each test asks for its own.
 */
#include "support.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool lacks(const struct scene *scene, uint32_t bit)
{
    return (gyre_loop_capabilities(scene->loop) & bit) == 0;
}

/* Opens a scene with one end of a pair watched; skips the test where the bit is not offered. */
static void open_with(struct scene *scene, struct watch *watch, int fds[2], uint32_t bit)
{
    scene_open(scene);
    if (lacks(scene, bit)) {
        scene_close(scene);
        cr_skip_test("this backend does not take the bit 0x%x", (unsigned)bit);
    }
    make_pair(fds);
    *watch = (struct watch){.scene = scene, .name = "a", .fd = fds[0]};
}

GYRE_TEST(capabilities, T20_capabilities_are_bits_beyond_the_common_ones)
{
    const uint32_t known = GYRE_PRI | GYRE_RDHUP | GYRE_ONESHOT | GYRE_EDGE;
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_capabilities(scene.loop) & ~known, 0);
    cr_assert_eq(GYRE_PRI, 0x2);
    cr_assert_eq(GYRE_RDHUP, 0x2000);
    cr_assert_eq(GYRE_ONESHOT, 1 << 30);
    cr_assert_eq(GYRE_EDGE, UINT32_C(1) << 31);
    scene_close(&scene);
}

GYRE_TEST(capabilities, T20_half_close_is_told_to_who_asked)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    open_with(&scene, &watch, fds, GYRE_RDHUP);
    watch_fd(&watch, GYRE_RDHUP);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.events, GYRE_RDHUP);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ | GYRE_RDHUP), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.events, GYRE_READ | GYRE_RDHUP);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.events, GYRE_READ);
    scene_close(&scene);
    close_pipe(fds);
}

/* A TCP connection over loopback: what is urgent needs one. */
static void make_tcp(int fds[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &bytes), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fds[1], (struct sockaddr *)&name, sizeof(name)), 0);
    fds[0] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(fds[0], 0);
    close(listener);
}

GYRE_TEST(capabilities, T20_urgent_data_is_told_to_who_asked)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    char byte;
    open_with(&scene, &watch, fds, GYRE_PRI);
    close_pipe(fds);
    make_tcp(fds);
    watch.fd = fds[0];
    watch_fd(&watch, GYRE_PRI);
    cr_assert_eq(send(fds[1], "!", 1, MSG_OOB), 1);
    (void)poll(&(struct pollfd){.fd = fds[0], .events = POLLPRI}, 1, -1); /* until it is here */
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.calls, 1);
    cr_assert_eq(watch.events, GYRE_PRI);
    cr_assert_eq(recv(fds[0], &byte, 1, MSG_OOB), 1);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.calls, 1);
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(capabilities, T20_edge_is_called_once_for_each)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    open_with(&scene, &watch, fds, GYRE_EDGE);
    watch_fd(&watch, GYRE_READ | GYRE_EDGE);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(write(fds[1], "x", 1), 1);
        cr_assert_eq(scene_run_polls(&scene, 2), 0);
        cr_assert_eq(watch.calls, i);
        cr_assert_eq(watch.events, GYRE_READ);
    }
    scene_close(&scene);
    close_pipe(fds);
}

/* ---- one-shot -------------------------------------------------------------------------------- */

/* A handler for one call, which is ready for it. */
static void open_with_a_shot(struct scene *scene, struct watch *watch, int fds[2])
{
    open_with(scene, watch, fds, GYRE_ONESHOT);
    watch_fd(watch, GYRE_READ | GYRE_ONESHOT);
    cr_assert_eq(write(fds[1], "x", 1), 1);
}

GYRE_TEST(capabilities, T20_one_shot_is_silent_after_its_call_until_it_is_updated)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    open_with_a_shot(&scene, &watch, fds);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 1);
    close(fds[1]);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 1, "nor for an error");
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_ONESHOT), 0);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 2);
    cr_assert_neq(watch.events & GYRE_ERROR, 0);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), 0);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 4, "it is a common one again");
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0);
    scene_close(&scene);
    close(fds[0]);
}

/* Has the poll set made anew: for a file that was closed, while a duplicate keeps it open. */
static void force_rebuild(struct scene *scene)
{
    int writer;
    int reader = make_readable(&writer);
    uint64_t before = stats_of(scene->loop).rebuilds;
    struct watch phantom = {.scene = scene, .name = "p", .fd = dup(reader)};
    watch_fd(&phantom, GYRE_READ);
    int kept = dup(reader);
    close(phantom.fd);
    (void)gyre_loop_remove_handler(scene->loop, phantom.fd); /* -ENOENT: it was closed */
    scene->now_ns += SECOND_NS; /* past the pause between two of them */
    cr_assert_eq(scene_run_polls(scene, 2), 0);
    cr_assert_eq(stats_of(scene->loop).rebuilds, before + 1);
    close(kept);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(capabilities, T20_rebuilt_poll_set_does_not_fire_a_shot_again)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    open_with_a_shot(&scene, &watch, fds);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watch.calls, 1);
    force_rebuild(&scene);
    cr_assert_eq(watch.calls, 1);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ | GYRE_ONESHOT), 0);
    force_rebuild(&scene);
    cr_assert_eq(watch.calls, 2, "one that is armed survives");
    force_rebuild(&scene);
    cr_assert_eq(watch.calls, 2);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, fds[0]), 0, "it had a handler");
    scene_close(&scene);
    close_pipe(fds);
}

GYRE_TEST(capabilities, T17_shot_keeps_its_place_in_a_rebuilt_poll_set)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    open_with_a_shot(&scene, &watch, fds);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    force_rebuild(&scene);
    cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[0], GYRE_READ, watch_handler, &watch),
                 -EEXIST);
    close(fds[1]); /* a hang-up, of which nobody asked to hear again */
    force_rebuild(&scene);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 1);
    close(fds[0]);
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ), -ENOENT);
    scene_close(&scene);
}

GYRE_TEST(capabilities, T20_shot_of_a_batch_in_which_the_set_is_rebuilt_is_one_call)
{
    struct scene scene;
    struct watch watch;
    int fds[2];
    int writer;
    open_with(&scene, &watch, fds, GYRE_ONESHOT);
    int reader = make_readable(&writer);
    struct watch phantom = {.scene = &scene, .name = "p", .fd = dup(reader)};
    watch_fd(&phantom, GYRE_READ); /* ready first, and so reported first */
    watch_fd(&watch, GYRE_READ | GYRE_ONESHOT);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    close(phantom.fd);
    (void)gyre_loop_remove_handler(scene.loop, phantom.fd); /* -ENOENT: it was closed */
    scene.now_ns += SECOND_NS;
    cr_assert_eq(scene_run_polls(&scene, 3), 0);
    cr_assert_eq(stats_of(scene.loop).rebuilds, 1);
    cr_assert_eq(watch.calls, 1, "and not another for the new set");
    cr_assert_eq(gyre_loop_update_handler(scene.loop, fds[0], GYRE_READ | GYRE_ONESHOT), 0);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 2);
    scene_close(&scene);
    close_pipe((int[]){reader, writer});
    close_pipe(fds);
}

static void rearm_other(struct watch *watch)
{
    struct gyre_loop *loop = watch->scene->loop;
    watch->then = NULL;
    watch->other->then = NULL;
    if (gyre_loop_update_handler(loop, watch->other->fd, GYRE_READ | GYRE_ONESHOT) != 0)
        say(watch->scene, "not armed");
}

GYRE_TEST(capabilities, T28_shot_armed_before_an_event_of_the_batch_is_armed_after_it)
{
    struct scene scene;
    struct watch watches[2];
    int fds[2][2];
    open_with(&scene, &watches[0], fds[0], GYRE_ONESHOT);
    make_pair(fds[1]);
    watches[1] = (struct watch){.scene = &scene, .name = "b", .fd = fds[1][0]};
    for (int i = 0; i < 2; i++) {
        watches[i].other = &watches[1 - i];
        watches[i].then = rearm_other;
        watch_fd(&watches[i], GYRE_READ | GYRE_ONESHOT);
        cr_assert_eq(write(fds[i][1], "x", 1), 1);
    }
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(watches[0].calls + watches[1].calls, 2, "what was fetched is delivered");
    force_rebuild(&scene);
    cr_assert_eq(watches[0].calls + watches[1].calls, 3, "and the new arming is not lost");
    scene_close(&scene);
    close_pipe(fds[0]);
    close_pipe(fds[1]);
}
