/* SPDX-License-Identifier: MIT */
/*
 * net - listeners and streams while calls fail: bound, connected, served, stopped.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "stage.h"

enum {
    LOOPS = 2
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
    sweep(bind_on_two_loops, "127.0.0.1:0");
    sweep(bind_on_two_loops, "[::1]:0");
    sweep(bind_on_two_loops, "*:0");
    sweep(bind_on_two_loops, "localhost:0");
}

static void a_path_that_cannot_be_served_leaves_no_file(void)
{
    sweep(bind_on_two_loops, stage_path());
    sweep(bind_on_two_loops, "unix:@gyre-fault");
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
    static const struct echo over = {.listens = "127.0.0.1:0"};
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
    static const struct echo over = {.listens = "127.0.0.1:0", .closes = true};
    sweep(echo, &over);
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
};

PLAIN_MAIN(cases)
