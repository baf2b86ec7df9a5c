/* SPDX-License-Identifier: MIT */
/*
 * operations_close - the rules of contract/backend.h for close, abandon and lost.
 */
#include "wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- close ----------------------------------------------------------------------------------- */

GYRE_TEST(operations_close, close_frees_the_number_at_once_and_completes_later)
{
    struct scene scene;
    struct wire wire;
    char byte;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    int fd = wire.channel.fd;
    wire_close(&wire);
    cr_assert_eq(fcntl(fd, F_GETFD), -1);
    cr_assert_eq(read(peer, &byte, 1), 0);
    cr_assert_str_eq(scene.text, "", "never inside the call");
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "x0");
    cr_assert_eq(wire.channel.close.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations_close, close_cancels_what_is_active_and_completes_last)
{
    static char much[4 << 20];
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_receive(&wire);
    wire_send(&wire, much, sizeof(much));
    wires_settle(&scene);
    wire_close(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "rECANCELED sECANCELED x0");
    cr_assert_eq(wire.calls, 3);
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations_close, completions_that_wait_come_before_the_close)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_receive(&wire);
    wire_send(&wire, "abc", 3);
    wire_cancel(&wire.channel.in);
    wire_close(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "s3 rECANCELED x0");
    cr_assert_eq(wire.calls, 3);
    wires_end(&scene, &wire);
    close(peer);
}

static void close_now(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)operation;
    (void)result;
    wire->then = NULL;
    wire_close(wire);
}

GYRE_TEST(operations_close, completion_may_close_its_channel)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = close_now;
    wire_receive(&wire);
    cr_assert_eq(write(peer, "ab", 2), 2);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r2 rECANCELED x0");
    wires_end(&scene, &wire);
    close(peer);
}

static void stop_and_close(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)result;
    wire->then = NULL;
    gyre__operation_stop(operation);
    wire_close(wire);
}

GYRE_TEST(operations_close, completion_that_stopped_is_the_last_though_it_closes)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = stop_and_close;
    wire_receive(&wire);
    cr_assert_eq(write(peer, "ab", 2), 2);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r2 x0");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations_close, last_completion_may_close_its_channel)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = close_now;
    wire_receive(&wire);
    close(peer);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r0 x0");
    wires_end(&scene, &wire);
}

static void close_other(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)operation;
    (void)result;
    wire->then = NULL;
    wire->other->then = NULL;
    wire_close(wire->other);
}

GYRE_TEST(operations_close, channel_that_another_closes_gets_nothing_of_the_batch)
{
    struct scene scene;
    struct wire wires[2];
    int peers[2];
    scene_open(&scene);
    for (int i = 0; i < 2; i++) {
        peers[i] = wire_open_pair(&wires[i], &scene);
        wires[i].other = &wires[1 - i];
        wires[i].then = close_other;
        wire_receive(&wires[i]);
        cr_assert_eq(write(peers[i], "abc", 3), 3);
    }
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r3 rECANCELED x0", "the first closes the second");
    struct wire *left = wires[0].channel.fd >= 0 ? &wires[0] : &wires[1];
    cr_assert_eq(stats_of(scene.loop).rebuilds, 0);
    wires_end(&scene, left);
    close_pipe(peers);
}

/* A nested run inside a completion (T65): the channel must stay until the completion returns. */
static void close_and_turn(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    struct scene *scene = wire->scene;
    (void)operation;
    (void)result;
    wire->then = NULL;
    wire_close(wire);
    cr_assert_eq(gyre_loop_stop(scene->loop), 0);
    (void)gyre_loop_run(scene->loop); /* in a callback: refused or at once, as the loop has it */
    say(scene, "(");
    (void)gyre_loop_run(scene->loop);
    say(scene, ")");
}

GYRE_TEST(operations_close, close_waits_for_a_completion_that_is_running)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = close_and_turn;
    wire_receive(&wire);
    cr_assert_eq(write(peer, "a", 1), 1);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1 ( rECANCELED ) x0");
    cr_assert_eq(wire.calls, 3);
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations_close, close_waits_for_a_completion_that_waited_itself)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = close_and_turn;
    wire_send(&wire, "a", 1);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "s1 ( ) x0");
    cr_assert_eq(wire.calls, 2);
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations_close, number_that_comes_again_gets_no_old_events)
{
    struct scene scene;
    struct wire first;
    struct wire second;
    scene_open(&scene);
    int peer = wire_open_pair(&first, &scene);
    int fd = first.channel.fd;
    wire_receive(&first);
    wires_settle(&scene);
    cr_assert_eq(write(peer, "abc", 3), 3);
    wire_close(&first);
    int other_peer = wire_open_pair(&second, &scene);
    cr_assert_eq(second.channel.fd, fd);
    wire_receive(&second);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "rECANCELED x0");
    cr_assert_eq(second.calls, 0);
    wires_end(&scene, &second);
    close(peer);
    close(other_peer);
}

/* ---- lost ------------------------------------------------------------------------------------ */

static void stop_receiving(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)wire;
    if (result > 0)
        gyre__operation_stop(operation);
}

GYRE_TEST(operations_close, error_that_no_operation_awaits_is_told_once)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_tcp(&wire, &scene);
    wire.then = stop_receiving;
    wire_receive(&wire);
    cr_assert_eq(write(peer, "a", 1), 1);
    await_ready(wire.channel.fd, POLLIN);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1");
    reset_peer(peer, wire.channel.fd);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1 lECONNRESET");
    uint64_t events = stats_of(scene.loop).events;
    wires_settle(&scene);
    cr_assert_eq(stats_of(scene.loop).events, events, "it does not spin");
    wire_receive(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1 lECONNRESET r0");
    wires_end(&scene, &wire);
}

GYRE_TEST(operations_close, hang_up_alone_is_no_error_and_does_not_spin)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = stop_receiving;
    wire.channel.in.u.receive_max = 1;
    wire_receive(&wire);
    cr_assert_eq(write(peer, "ab", 2), 2);
    wires_settle(&scene);
    close(peer);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1");
    uint64_t events = stats_of(scene.loop).events;
    wires_settle(&scene);
    cr_assert_eq(stats_of(scene.loop).events, events);
    wire.then = NULL;
    wire_receive(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1 r1 r0", "what came before it is kept");
    wires_end(&scene, &wire);
}

/* ---- the loop closes ------------------------------------------------------------------------- */

GYRE_TEST(operations_close, closing_loop_cancels_and_tells_the_user_who_closes)
{
    static char much[4 << 20];
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_receive(&wire);
    wire_send(&wire, much, sizeof(much));
    wires_settle(&scene);
    wire.then = close_now;
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_str_eq(scene.text, "lECANCELED rECANCELED sECANCELED x0");
    cr_assert_eq(wire.channel.fd, -1);
    scene_close(&scene);
    close(peer);
}

GYRE_TEST(operations_close, closed_loop_takes_no_channel)
{
    struct scene scene;
    struct gyre__channel channel = {.backend = wire_backend()};
    int fds[2];
    scene_open(&scene);
    make_pair(fds);
    cr_assert_eq(gyre_loop_close(scene.loop, 0), 0);
    cr_assert_eq(channel.backend->operations->attach(&channel, scene.loop, fds[0]), -ESHUTDOWN);
    cr_assert_eq(fcntl(fds[0], F_GETFD), FD_CLOEXEC, "it is still the caller's");
    scene_close(&scene);
    close_pipe(fds);
}
