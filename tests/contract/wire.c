/* SPDX-License-Identifier: MIT */
/*
 * wire - see wire.h.
 */
#include "wire.h"

#include <gyre/error.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    OUTCOME_MS = 10000 /* a limit for what comes at once */
};

const struct gyre__backend *wire_backend(void)
{
    const struct gyre__backend *backend;
    cr_assert_eq(gyre__backend_find(gyre_test_backend(), &backend), 0);
    return backend;
}

/* ---- saying ---------------------------------------------------------------------------------- */

static void say_result(struct scene *scene, char letter, int64_t result)
{
    char text[32];
    if (result < 0)
        (void)snprintf(text, sizeof(text), "%c%s", letter, gyre_error_name((int)result));
    else
        (void)snprintf(text, sizeof(text), "%c%lld", letter, (long long)result);
    say(scene, text);
}

static bool goes_on(const struct gyre__operation *operation, int64_t result)
{
    return (operation->kind == GYRE__OP_ACCEPT && result >= 0) ||
           (operation->kind == GYRE__OP_RECEIVE && result > 0);
}

static void done(struct gyre__channel *channel, struct gyre__operation *operation, int64_t result,
                 void *data)
{
    static const char letters[] = {
        [GYRE__OP_ACCEPT] = 'a', [GYRE__OP_RECEIVE] = 'r', [GYRE__OP_CONNECT] = 'c',
        [GYRE__OP_SEND] = 's',   [GYRE__OP_CLOSE] = 'x',
    };
    struct wire *wire = (struct wire *)channel;
    cr_assert_eq(gyre__channel_of(operation), channel);
    cr_assert_eq(data != NULL, operation->kind == GYRE__OP_RECEIVE && result > 0);
    cr_assert_eq(operation->state, goes_on(operation, result) ? GYRE__OP_ACTIVE : GYRE__OP_IDLE);
    wire->calls++;
    if (data != NULL) {
        wire->received += (uint64_t)result;
        wire->last = ((unsigned char *)data)[result - 1];
    }
    if (operation->kind == GYRE__OP_ACCEPT && result >= 0) {
        close((int)result);
        say(wire->scene, "a");
    } else {
        say_result(wire->scene, letters[operation->kind], result);
    }
    if (wire->then != NULL)
        wire->then(wire, operation, result);
}

static void lost(struct gyre__channel *channel, int error)
{
    struct wire *wire = (struct wire *)channel;
    say_result(wire->scene, 'l', error);
    if (wire->then != NULL)
        wire->then(wire, NULL, error);
}

/* ---- wires ----------------------------------------------------------------------------------- */

void wire_open(struct wire *wire, struct scene *scene, int fd)
{
    const struct gyre__backend *backend = wire_backend();
    memset(wire, 0, sizeof(*wire));
    wire->channel.backend = backend;
    cr_assert_eq(backend->operations->attach(&wire->channel, scene->loop, fd), 0);
    wire->channel.lost = lost;
    wire->scene = scene;
}

int wire_open_pair(struct wire *wire, struct scene *scene)
{
    int fds[2];
    make_pair(fds);
    wire_open(wire, scene, fds[0]);
    return fds[1];
}

void wire_accept(struct wire *wire, unsigned accepts_max)
{
    wire->channel.backend->operations->accept(&wire->channel, accepts_max, done);
}

void wire_receive(struct wire *wire)
{
    wire->channel.backend->operations->receive(&wire->channel, done);
}

void wire_connect(struct wire *wire, const struct gyre__address *address)
{
    wire->channel.backend->operations->connect(&wire->channel, address, done);
}

void wire_send(struct wire *wire, const void *data, size_t bytes)
{
    wire->channel.backend->operations->send(&wire->channel, data, bytes, done);
}

void wire_cancel(struct gyre__operation *operation)
{
    gyre__channel_of(operation)->backend->operations->cancel(operation);
}

void wire_close(struct wire *wire)
{
    wire->channel.backend->operations->close(&wire->channel, done);
}

void wires_poll(struct scene *scene)
{
    cr_assert_eq(scene_run_polls(scene, 1), 0);
}

void wires_settle(struct scene *scene)
{
    size_t used;
    do {
        used = scene->used;
        wires_poll(scene);
        wires_poll(scene);
    } while (scene->used != used);
}

void wires_end(struct scene *scene, struct wire *wire)
{
    wire->then = NULL;
    if (wire->channel.close.state == GYRE__OP_IDLE && wire->channel.fd >= 0)
        wire_close(wire);
    wires_settle(scene);
    cr_assert_eq(wire->channel.close.state, GYRE__OP_IDLE);
    scene_close(scene);
}

/* ---- sockets --------------------------------------------------------------------------------- */

void await_ready(int fd, short events)
{
    struct pollfd poller = {.fd = fd, .events = events};
    cr_assert_eq(poll(&poller, 1, OUTCOME_MS), 1);
}

int open_socket(const struct gyre__address *address)
{
    int fd = -1;
    cr_assert_eq(wire_backend()->descriptors->socket(address, &fd), 0);
    return fd;
}

const char *wire_path(void)
{
    static char path[64];
    snprintf(path, sizeof(path), "unix:@gyre-test-operations-%ld", (long)getpid());
    return path;
}

int open_listener(const char *text, struct gyre__address *ret_address)
{
    const struct gyre__descriptors *descriptors = wire_backend()->descriptors;
    struct gyre__address address;
    cr_assert_eq(descriptors->parse(text, &address), 0);
    int fd = open_socket(&address);
    cr_assert_eq(descriptors->bind(fd, &address), 0);
    cr_assert_eq(descriptors->listen(fd, 64), 0);
    cr_assert_eq(descriptors->local_name(fd, ret_address), 0);
    return fd;
}

int open_client(const struct gyre__address *address)
{
    int fd = open_socket(address);
    int status = wire_backend()->descriptors->connect(fd, address);
    cr_assert(status == 0 || status == -EINPROGRESS);
    return fd;
}

int wire_open_tcp(struct wire *wire, struct scene *scene)
{
    struct gyre__address address;
    int accepted = -1;
    int listener = open_listener("127.0.0.1:0", &address);
    int client = open_client(&address);
    await_ready(listener, POLLIN);
    await_ready(client, POLLOUT);
    cr_assert_eq(wire_backend()->descriptors->accept(listener, &accepted), 0);
    close(listener);
    wire_open(wire, scene, accepted);
    return client;
}

void reset_peer(int fd, int peer)
{
    cr_assert_eq(wire_backend()->descriptors->set_option(fd, GYRE__SOCKET_LINGER_RESET, 1), 0);
    close(fd);
    await_ready(peer, POLLHUP);
}
