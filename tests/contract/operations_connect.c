/* SPDX-License-Identifier: MIT */
/*
 * operations_connect - the rules of contract/backend.h for connect and accept.
 */
#include "wire.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* ---- connect --------------------------------------------------------------------------------- */

GYRE_TEST(operations_connect, connect_that_is_decided_at_once_completes_later)
{
    struct scene scene;
    struct wire wire;
    struct gyre__address address;
    scene_open(&scene);
    int listener = open_listener(wire_path(), &address);
    wire_open(&wire, &scene, open_socket(&address));
    wire_connect(&wire, &address);
    cr_assert_str_eq(scene.text, "", "never inside the submission");
    wire_cancel(&wire.channel.out);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "c0", "a cancel comes too late");
    cr_assert_eq(wire.channel.out.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
    close(listener);
}

GYRE_TEST(operations_connect, connect_over_tcp_succeeds_once)
{
    struct scene scene;
    struct wire wire;
    struct gyre__address address;
    scene_open(&scene);
    int listener = open_listener("127.0.0.1:0", &address);
    wire_open(&wire, &scene, open_socket(&address));
    wire_connect(&wire, &address);
    cr_assert_str_eq(scene.text, "");
    await_ready(wire.channel.fd, POLLOUT);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "c0");
    wire_send(&wire, "x", 1);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "c0 s1");
    wires_end(&scene, &wire);
    close(listener);
}

static void refuse(const char *text)
{
    struct scene scene;
    struct wire wire;
    struct gyre__address address;
    scene_open(&scene);
    close(open_listener(text, &address));
    wire_open(&wire, &scene, open_socket(&address));
    wire_connect(&wire, &address);
    cr_assert_str_eq(scene.text, "");
    await_ready(wire.channel.fd, POLLOUT);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "cECONNREFUSED");
    cr_assert_eq(wire.channel.out.state, GYRE__OP_IDLE);
    wires_end(&scene, &wire);
}

GYRE_TEST(operations_connect, refused_connect_tells_so)
{
    refuse("127.0.0.1:0");
    refuse(wire_path());
}

GYRE_TEST(operations_connect, undecided_connect_can_be_cancelled)
{
    struct scene scene;
    struct wire wire;
    struct gyre__address address;
    scene_open(&scene);
    int listener = open_listener("127.0.0.1:0", &address);
    if (wire_backend()->descriptors->steer_away(listener) != 0)
        cr_skip_test("this system cannot leave a connect undecided");
    wire_open(&wire, &scene, open_socket(&address));
    wire_connect(&wire, &address);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "");
    wire_cancel(&wire.channel.out);
    cr_assert_str_eq(scene.text, "", "never inside the cancel");
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "cECANCELED");
    wires_end(&scene, &wire);
    close(listener);
}

/* ---- accept ---------------------------------------------------------------------------------- */

enum {
    CLIENTS = 5
};

struct hall {
    struct scene scene;
    struct wire wire; /* that accepts */
    int clients[CLIENTS];
};

/* A listener with five connections waiting. */
static void open_hall(struct hall *hall)
{
    struct gyre__address address;
    scene_open(&hall->scene);
    int listener = open_listener(wire_path(), &address);
    wire_open(&hall->wire, &hall->scene, listener);
    for (int i = 0; i < CLIENTS; i++)
        hall->clients[i] = open_client(&address);
}

static void close_hall(struct hall *hall)
{
    wires_end(&hall->scene, &hall->wire);
    for (int i = 0; i < CLIENTS; i++)
        close(hall->clients[i]);
}

GYRE_TEST(operations_connect, accept_takes_its_limit_a_poll_and_goes_on)
{
    struct hall hall;
    open_hall(&hall);
    wire_accept(&hall.wire, 2);
    cr_assert_str_eq(hall.scene.text, "", "never inside the submission");
    wires_poll(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a");
    wires_poll(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a a a");
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a a a a");
    cr_assert_eq(hall.wire.channel.in.state, GYRE__OP_ACTIVE);
    close_hall(&hall);
}

static void stop_second(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)result;
    if (wire->calls == 2)
        gyre__operation_stop(operation);
}

GYRE_TEST(operations_connect, accept_that_is_stopped_midway_leaves_the_rest)
{
    struct hall hall;
    open_hall(&hall);
    hall.wire.then = stop_second;
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a");
    cr_assert_eq(hall.wire.channel.in.state, GYRE__OP_IDLE);
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a a a a");
    close_hall(&hall);
}

static void cancel_second(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)result;
    if (wire->calls == 2)
        wire_cancel(operation);
}

GYRE_TEST(operations_connect, accept_that_is_cancelled_midway_leaves_the_rest)
{
    struct hall hall;
    open_hall(&hall);
    hall.wire.then = cancel_second;
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a aECANCELED");
    cr_assert_eq(hall.wire.channel.in.state, GYRE__OP_IDLE);
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a aECANCELED a a a");
    close_hall(&hall);
}

static void close_second(struct wire *wire, struct gyre__operation *operation, int64_t result)
{
    (void)operation;
    (void)result;
    if (wire->calls == 2)
        wire_close(wire);
}

GYRE_TEST(operations_connect, accept_whose_channel_closes_midway_ends)
{
    struct hall hall;
    char byte;
    open_hall(&hall);
    hall.wire.then = close_second;
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "a a aECANCELED x0");
    await_ready(hall.clients[CLIENTS - 1], POLLHUP);
    cr_assert_leq(read(hall.clients[CLIENTS - 1], &byte, 1), 0, "it was never taken");
    close_hall(&hall);
}

/* Sets how many descriptors the process may have open. */
static rlim_t limit_descriptors(rlim_t limit)
{
    struct rlimit now;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &now), 0);
    rlim_t before = now.rlim_cur;
    now.rlim_cur = limit;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &now), 0);
    return before;
}

GYRE_TEST(operations_connect, accept_without_descriptors_ends_and_can_go_on_later)
{
    struct hall hall;
    open_hall(&hall);
    int lowest = dup(hall.clients[0]); /* the number that an accept would get */
    close(lowest);
    rlim_t before = limit_descriptors((rlim_t)lowest);
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "aEMFILE");
    cr_assert_eq(hall.wire.channel.in.state, GYRE__OP_IDLE);
    limit_descriptors(before);
    wire_accept(&hall.wire, 64);
    wires_settle(&hall.scene);
    cr_assert_str_eq(hall.scene.text, "aEMFILE a a a a a");
    close_hall(&hall);
}

/* ---- one file for several pollers ------------------------------------------------------------ */

GYRE_TEST(operations_connect, shared_listener_gives_each_connection_to_one_channel)
{
    struct scene scene;
    struct wire wires[2];
    struct gyre__address address;
    int copy = -1;
    scene_open(&scene);
    int listener = open_listener(wire_path(), &address);
    cr_assert_eq(wire_backend()->descriptors->duplicate(listener, &copy), 0);
    wire_open(&wires[0], &scene, listener);
    wire_open(&wires[1], &scene, copy);
    for (int i = 0; i < 2; i++) {
        wires[i].channel.exclusive = true;
        wire_accept(&wires[i], 1);
    }
    int client = open_client(&address);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "a");
    wire_cancel(&wires[0].channel.in); /* pause and resume */
    wires_settle(&scene);
    wire_accept(&wires[0], 1);
    wire_close(&wires[1]);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "a aECANCELED aECANCELED x0");
    int second = open_client(&address);
    wires_settle(&scene);
    cr_assert_str_eq(scene.text, "a aECANCELED aECANCELED x0 a");
    cr_assert_eq(stats_of(scene.loop).events_stale, 0, "nothing of the closed one is left");
    wires_end(&scene, &wires[0]);
    close(client);
    close(second);
}
