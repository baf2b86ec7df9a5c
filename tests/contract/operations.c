/* SPDX-License-Identifier: MIT */
/*
 * operations - the rules of contract/backend.h for receive and send.
 */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void put(int fd, const char *text)
{
    size_t bytes = strlen(text);
    cr_assert_eq(write(fd, text, bytes), (ssize_t)bytes);
}

/* ---- attach ---------------------------------------------------------------------------------- */

GYRE_TEST(operations, descriptor_has_a_handler_or_operations)
{
    struct scene scene;
    struct wire wire;
    struct wire second;
    struct watch watch = {.scene = &scene, .name = "h"};
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    second = wire;
    const struct gyre__operations *operations = wire.channel.backend->operations;
    cr_assert_eq(operations->attach(&second.channel, scene.loop, wire.channel.fd), -EBUSY);
    cr_assert_eq(
        gyre_loop_add_handler(scene.loop, wire.channel.fd, GYRE_READ, watch_handler, &watch),
        -EBUSY);
    watch.fd = peer;
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(operations->attach(&second.channel, scene.loop, peer), -EBUSY);
    put(wire.channel.fd, "x");
    wires_poll(&scene);
    cr_assert_eq(watch.calls, 1, "the handler is as it was");
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, peer), 0);
    wires_end(&scene, &wire);
    close(peer);
}

/* ---- receive --------------------------------------------------------------------------------- */

GYRE_TEST(operations, receive_goes_on_to_the_end)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    put(peer, "abc");
    wire_receive(&wire);
    cr_assert_str_eq(scene.text, "", "never inside the submission");
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r3");
    cr_assert_eq(wire.last, 'c');
    put(peer, "de");
    wires_settle(&scene);
    close(peer);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r3 r2 r0");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wires_settle(&scene);
    cr_assert_eq(wire.calls, 3, "the last is the last");
    wires_end(&scene, &wire);
}

GYRE_TEST(operations, bytes_before_a_hang_up_are_all_received)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.channel.in.u.receive_max = 4;
    put(peer, "0123456789");
    close(peer);
    wire_receive(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r4 r4 r2 r0");
    cr_assert_eq(wire.received, 10);
    wires_end(&scene, &wire);
}

GYRE_TEST(operations, receive_takes_one_helping_a_poll)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.channel.in.u.receive_max = 2;
    put(peer, "abcdef");
    wire_receive(&wire);
    wires_poll(&scene);
    cr_assert_str_eq(scene.text, "r2");
    wires_poll(&scene);
    cr_assert_str_eq(scene.text, "r2 r2");
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations, reset_ends_a_receive_once)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_tcp(&wire, &scene);
    wire_receive(&wire);
    wires_settle(&scene);
    reset_peer(peer, wire.channel.fd);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "rECONNRESET");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
}

static void stop_receiving(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)wire;
    (void)result;
    gyre__operation_stop(operation);
}

GYRE_TEST(operations, stop_makes_the_running_completion_the_last)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.channel.in.u.receive_max = 2;
    wire.then = stop_receiving;
    put(peer, "abcd");
    wire_receive(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r2");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wire.then = NULL;
    wire_receive(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r2 r2", "what came meanwhile is there");
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations, readiness_that_nobody_awaits_does_not_spin)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.channel.in.u.receive_max = 1;
    wire.then = stop_receiving;
    put(peer, "ab");
    wire_receive(&wire);
    wires_settle(&scene);
    uint64_t events = stats_of(scene.loop).events;
    for (int i = 0; i < 8; i++)
        wires_poll(&scene);
    cr_assert_eq(stats_of(scene.loop).events, events);
    cr_assert_str_eq(scene.text, "r1");
    wires_end(&scene, &wire);
    close(peer);
}

static void receive_again(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    if (operation->state == GYRE__OP_IDLE && result < 0) {
        wire->then = NULL;
        wire_receive(wire);
    }
}

GYRE_TEST(operations, last_completion_may_submit_again)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.then = receive_again;
    wire_receive(&wire);
    wire_cancel(&wire.channel.in);
    put(peer, "x");
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "rECANCELED r1");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_ACTIVE);
    wires_end(&scene, &wire);
    close(peer);
}

/* ---- cancel ---------------------------------------------------------------------------------- */

GYRE_TEST(operations, cancelled_receive_completes_once_and_later)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_receive(&wire);
    wires_settle(&scene);
    put(peer, "never seen by this receive");
    wire_cancel(&wire.channel.in);
    wire_cancel(&wire.channel.in);
    cr_assert_eq(wire.channel.in.state, GYRE__OP_CANCELLING);
    cr_assert_str_eq(scene.text, "", "never inside the cancel");
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "rECANCELED");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    close(peer);
}

GYRE_TEST(operations, cancel_of_an_idle_operation_is_nothing)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_cancel(&wire.channel.in);
    wire_cancel(&wire.channel.out);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    close(peer);
}

static void cancel_first(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)result;
    if (wire->calls == 1)
        wire_cancel(operation);
}

GYRE_TEST(operations, receive_cancelled_by_its_completion_has_one_more)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire.channel.in.u.receive_max = 1;
    wire.then = cancel_first;
    put(peer, "ab");
    wire_receive(&wire);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "r1 rECANCELED");
    cr_assert_eq(wire.channel.in.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    close(peer);
}

/* ---- send ------------------------------------------------------------------------------------ */

GYRE_TEST(operations, send_begins_at_once_and_completes_later)
{
    struct scene scene;
    struct wire wire;
    char text[8] = "";
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_send(&wire, "abc", 3);
    cr_assert_eq(read(peer, text, sizeof(text)), 3);
    cr_assert_str_eq(text, "abc");
    cr_assert_str_eq(scene.text, "", "never inside the submission");
    wire_cancel(&wire.channel.out);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "s3", "a cancel comes too late");
    wire_send(&wire, "", 0);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "s3 s0");
    wires_end(&scene, &wire);
    close(peer);
}

enum {
    MUCH = 4 << 20 /* bytes: more than a pair of sockets holds */
};

static unsigned char *make_much(void)
{
    unsigned char *much = malloc(MUCH);
    cr_assert_not_null(much);
    for (size_t i = 0; i < MUCH; i++)
        much[i] = (unsigned char)(i * 7 + i / 251);
    return much;
}

/* Reads what is there and compares it with `much` from *at on. */
static void read_some(int fd, const unsigned char *much, size_t *at)
{
    unsigned char block[32768];
    ssize_t got;
    while ((got = read(fd, block, sizeof(block))) > 0) {
        cr_assert_eq(memcmp(block, much + *at, (size_t)got), 0);
        *at += (size_t)got;
    }
}

GYRE_TEST(operations, send_to_a_full_socket_goes_on_as_the_peer_reads)
{
    struct scene scene;
    struct wire wire;
    unsigned char *much = make_much();
    size_t at = 0;
    unsigned rounds = 0;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_send(&wire, much, MUCH);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(wire.channel.out.state, GYRE__OP_ACTIVE);
    while (at < MUCH) {
        read_some(peer, much, &at);
        wires_poll(&scene);
        rounds++;
    }
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "s4194304");
    cr_assert_gt(rounds, 2, "it never fitted at once");
    cr_assert_eq(read(peer, much, 1), -1, "nothing twice");
    wires_end(&scene, &wire);
    close(peer);
    free(much);
}

GYRE_TEST(operations, writability_that_nobody_awaits_does_not_spin)
{
    struct scene scene;
    struct wire wire;
    unsigned char *much = make_much();
    size_t at = 0;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_send(&wire, much, MUCH);
    while (scene.used == 0) {
        read_some(peer, much, &at);
        wires_poll(&scene);
    }
    wires_settle(&scene);
    uint64_t events = stats_of(scene.loop).events;
    for (int i = 0; i < 8; i++)
        wires_poll(&scene);
    cr_assert_eq(stats_of(scene.loop).events, events);
    cr_assert_str_eq(scene.text, "s4194304");
    wires_end(&scene, &wire);
    close(peer);
    free(much);
}

GYRE_TEST(operations, cancelled_send_leaves_the_channel_usable)
{
    struct scene scene;
    struct wire wire;
    unsigned char *much = make_much();
    size_t at = 0;
    char byte = 0;
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_send(&wire, much, MUCH);
    wires_settle(&scene);
    wire_cancel(&wire.channel.out);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "sECANCELED");
    read_some(peer, much, &at);
    cr_assert_lt(at, MUCH);
    wire_send(&wire, "y", 1);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "sECANCELED s1");
    cr_assert_eq(read(peer, &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    wires_end(&scene, &wire);
    close(peer);
    free(much);
}

GYRE_TEST(operations, send_to_a_peer_that_closed_fails_with_epipe)
{
    struct scene scene;
    struct wire wire;
    scene_open(&scene);
    close(wire_open_pair(&wire, &scene));
    wire_send(&wire, "x", 1);
    cr_assert_str_eq(scene.text, "", "never inside the submission");
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "sEPIPE");
    wires_end(&scene, &wire);
}

GYRE_TEST(operations, peer_that_goes_ends_a_send_under_way)
{
    struct scene scene;
    struct wire wire;
    unsigned char *much = make_much();
    scene_open(&scene);
    int peer = wire_open_pair(&wire, &scene);
    wire_send(&wire, much, MUCH);
    wires_settle(&scene);
    close(peer);
    wires_settle(&scene);
    cr_assert_eq(strncmp(scene.text, "sE", 2), 0, "%s", scene.text);
    cr_assert_eq(wire.calls, 1);
    cr_assert_eq(wire.channel.out.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    free(much);
}

GYRE_TEST(operations, both_directions_work_side_by_side)
{
    struct scene scene;
    struct wire left;
    struct wire right;
    int fds[2];
    unsigned char *much = make_much();
    scene_open(&scene);
    make_pair(fds);
    wire_open(&left, &scene, fds[0]);
    wire_open(&right, &scene, fds[1]);
    wire_receive(&left);
    wire_receive(&right);
    wire_send(&left, much, MUCH);
    wire_send(&right, much, MUCH);
    while (left.received < MUCH || right.received < MUCH) {
        hush(&scene);
        wires_poll(&scene);
    }
    wires_settle(&scene);
    cr_assert_eq(left.received, MUCH);
    cr_assert_eq(right.received, MUCH);
    cr_assert_eq(left.channel.out.state, GYRE__OP_IDLE);
    cr_assert_eq(right.channel.out.state, GYRE__OP_IDLE);
    wire_close(&left);
    wires_end(&scene, &right);
    free(much);
}
