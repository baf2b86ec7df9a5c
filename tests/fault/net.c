/* SPDX-License-Identifier: MIT */
/*
 * net - listeners and streams while calls fail: bound, connected, served, stopped.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stage.h"

enum {
    LOOPS = 2,
    WAITING = 3, /* connections in the backlog of a listener that stops */
    DRAIN_NS = 12 * 1000 * 1000 /* a burst is over before that is, twice */
};

/* ---- bound ----------------------------------------------------------------------------------- */

static int refuse(struct gyre_stream *stream, void *arg)
{
    (void)stream;
    (void)arg;
    return -ECONNABORTED;
}

/* What a listener was told; a path whose server has no room for a connection now is in use. */
static int hear_bind(int result)
{
    struct inject_report report = inject_read();
    if (result == -EADDRINUSE && report.fired && report.call == INJECT_CONNECT_PATH &&
        report.fault.code == EAGAIN)
        return sweep_tell(-EAGAIN);
    return sweep_tell(result);
}

/* Listens on two loops that never run, and closes. */
static void bind_on_two_loops(const void *arg)
{
    struct gyre_loop_options options = sweep_loop_options();
    struct gyre_loop *loops[LOOPS] = {NULL, NULL};
    struct gyre_listener *listener;
    char text[256];
    for (unsigned i = 0; i < LOOPS; i++) {
        if (sweep_tell(gyre_loop_create(&options, &loops[i])) != 0)
            loops[i] = NULL;
    }
    if (loops[0] != NULL && loops[1] != NULL &&
        hear_bind(gyre_listener_open_on(loops, LOOPS, arg, NULL, &listener, refuse, NULL)) == 0) {
        HOLDS_EQ(gyre_listener_address(listener, text, sizeof(text)), 0);
        /* As asked for, but for the port. */
        if (strncmp(arg, "localhost", 9) != 0)
            HOLDS(strncmp(text, arg, strlen(arg) - 1) == 0);
        gyre_listener_close(listener, NULL, NULL);
    }
    for (unsigned i = 0; i < LOOPS; i++)
        gyre_loop_destroy(loops[i]);
    stage_remove_path();
}

static void a_listener_that_cannot_bind_leaves_nothing(void)
{
    sweep(bind_on_two_loops, stage_ipv4());
    sweep(bind_on_two_loops, "[::1]:0");
    sweep(bind_on_two_loops, "*:0");
    sweep(bind_on_two_loops, "localhost:0");
}

static void a_path_that_cannot_be_served_leaves_no_file(void)
{
    sweep(bind_on_two_loops, stage_path());
    char path[40]; /* its own: the pairs' programs run side by side */
    snprintf(path, sizeof(path), "unix:@gyre-fault-%ld", (long)getpid());
    sweep(bind_on_two_loops, path);
}

/* The file of a server that is gone. */
static void make_stale(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    inject_outside_begin();
    strcpy(address.sun_path, stage_path() + strlen("unix:"));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    HOLDS(fd >= 0);
    HOLDS_EQ(bind(fd, (const struct sockaddr *)(const void *)&address, sizeof(address)), 0);
    (void)close(fd);
    inject_outside_end();
}

static void bind_over_stale(const void *arg)
{
    make_stale();
    bind_on_two_loops(arg);
}

static void the_file_of_a_dead_server_is_replaced(void)
{
    sweep(bind_over_stale, stage_path());
}

/* ---- connected ------------------------------------------------------------------------------- */

struct echo {
    const char *listens;
    const char
        *connects; /* NULL: where it listens; else the host, and the port is the listener's */
    bool closes;
};

static void echo(const void *arg)
{
    const struct echo *echo = arg;
    struct stage stage = {.closes = echo->closes};
    char address[256];
    if (!stage_open(&stage))
        return;
    if (!stage_listen(&stage, 0, echo->listens, stage_accept)) {
        stage_close(&stage);
        stage_remove_path();
        return;
    }
    HOLDS_EQ(gyre_listener_address(stage.listeners[0], address, sizeof(address)), 0);
    if (echo->connects != NULL) {
        char port[16];
        HOLDS(strlen(strrchr(address, ':')) < sizeof(port));
        strcpy(port, strrchr(address, ':'));
        strcpy(address, echo->connects);
        strcat(address, port);
    }
    stage_connect(&stage, address);
    stage_run(&stage);
    stage_remove_path();
}

static void bytes_arrive_or_the_error_does_over_ipv4(void)
{
    struct echo over = {.listens = stage_ipv4()};
    sweep(echo, &over);
}

static void bytes_arrive_or_the_error_does_over_ipv6(void)
{
    static const struct echo over = {.listens = "[::1]:0"};
    sweep(echo, &over);
}

static void bytes_arrive_or_the_error_does_over_a_path(void)
{
    struct echo over = {.listens = stage_path()};
    sweep(echo, &over);
}

static void bytes_arrive_or_the_error_does_by_name(void)
{
    static const struct echo over = {.listens = "127.0.0.1:0", .connects = "localhost"};
    sweep(echo, &over);
}

static void a_failed_run_can_end_in_a_close(void)
{
    struct echo over = {.listens = stage_ipv4(), .closes = true};
    sweep(echo, &over);
}

/* ---- stopped --------------------------------------------------------------------------------- */

struct stopping {
    struct stage stage;
    unsigned accepted;
};

static int accept_and_close(struct gyre_stream *stream, void *arg)
{
    struct stopping *stopping = arg;
    stopping->accepted++;
    gyre_stream_close(stream);
    return 0;
}

static int on_stopped(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    HOLDS(status == 0 || status == -ECANCELED);
    return gyre_loop_stop(loop);
}

static void connect_outside(const char *text, int fds[WAITING])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    char host[64];
    strcpy(host, text);
    char *port = strrchr(host, ':');
    *port++ = '\0';
    address.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
    HOLDS_EQ(inet_pton(AF_INET, host, &address.sin_addr), 1);
    inject_outside_begin();
    for (unsigned i = 0; i < WAITING; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        HOLDS_EQ(connect(fds[i], (const struct sockaddr *)(const void *)&address, sizeof(address)),
                 0);
    }
    inject_outside_end();
}

/* Whether all that waited had to be accepted. Not if something was told; nor if accept said that
 * nobody waits; nor if descriptors were short for as long as a stop takes at most. */
static bool loses_none(uint64_t lasted_ns)
{
    struct inject_report report = inject_read();
    if (!report.fired || report.call != INJECT_ACCEPT4)
        return sweep_told() == 0;
    return report.fault.code != EAGAIN && lasted_ns < 2 * (uint64_t)DRAIN_NS;
}

static void stop_with_backlog(const void *arg)
{
    struct gyre_loop_options loop_options = sweep_loop_options();
    struct gyre_listener_options options;
    struct gyre_listener *listener;
    struct stopping stopping = {.accepted = 0};
    struct gyre_loop *loop;
    char address[64];
    int fds[WAITING];
    (void)arg;
    gyre_listener_options_init(&options);
    options.drain_ns = DRAIN_NS;
    options.accepts_max = 1;
    if (sweep_tell(gyre_loop_create(&loop_options, &loop)) != 0)
        return;
    if (sweep_tell(gyre_listener_open_on(&loop, 1, stage_ipv4(), &options, &listener,
                                         accept_and_close, &stopping)) != 0) {
        gyre_loop_destroy(loop);
        return;
    }
    HOLDS_EQ(gyre_listener_address(listener, address, sizeof(address)), 0);
    connect_outside(address, fds);
    gyre_listener_stop(listener, on_stopped, NULL);
    uint64_t began = gyre_loop_now_ns(loop);
    (void)sweep_tell(gyre_loop_run(loop));
    if (loses_none(gyre_loop_now_ns(loop) - began))
        HOLDS_EQ(stopping.accepted, WAITING);
    gyre_loop_destroy(loop);
    inject_outside_begin();
    for (unsigned i = 0; i < WAITING; i++)
        (void)close(fds[i]);
    inject_outside_end();
}

static void a_stop_loses_no_connection(void)
{
    sweep(stop_with_backlog, NULL);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_listener_that_cannot_bind_leaves_nothing),
    PLAIN_CASE(a_path_that_cannot_be_served_leaves_no_file),
    PLAIN_CASE(the_file_of_a_dead_server_is_replaced),
    PLAIN_CASE(bytes_arrive_or_the_error_does_over_ipv4),
    PLAIN_CASE(bytes_arrive_or_the_error_does_over_ipv6),
    PLAIN_CASE(bytes_arrive_or_the_error_does_over_a_path),
    PLAIN_CASE(bytes_arrive_or_the_error_does_by_name),
    PLAIN_CASE(a_failed_run_can_end_in_a_close),
    PLAIN_CASE(a_stop_loses_no_connection),
};

PLAIN_MAIN(cases)
