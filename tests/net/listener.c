/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/listener.h about addresses and accepting.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/loop.h"
#include "served.h"

/* ---- addresses ------------------------------------------------------------------------------- */

GYRE_TEST(listener, serves_one_port_on_all_loops)
{
    struct served served;
    int fds[40];
    serve(&served, 2, "127.0.0.1:0");
    cr_assert_eq(strncmp(served.address, "127.0.0.1:", 10), 0);
    cr_assert_neq(atoi(served.address + 10), 0, "the port that the system chose");
    cr_assert_eq(gyre_listener_address(served.listener, served.address, 4), -EINVAL);
    for (int i = 0; i < 40; i++)
        fds[i] = raw_connect(served.address);
    settle(&served);
    cr_assert_eq(served.total, 40, "also those that connected before the loops ran");
    cr_assert_gt(served.accepted[0], 0);
    cr_assert_gt(served.accepted[1], 0);
    for (int i = 0; i < 40; i++)
        close(fds[i]);
    stop_and_end(&served);
}

GYRE_TEST(listener, serves_ipv6_and_any)
{
    struct served served;
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    serve(&served, 2, "[::1]:0");
    cr_assert_eq(strncmp(served.address, "[::1]:", 6), 0);
    name.sin6_port = htons((uint16_t)atoi(served.address + 6));
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    settle(&served);
    cr_assert_eq(served.total, 1);
    close(fd);
    stop_and_end(&served);

    serve(&served, 2, "*:0");
    fd = raw_connect(served.address);
    settle(&served);
    cr_assert_eq(served.total, 1, "IPv4 as well");
    close(fd);
    stop_and_end(&served);

    serve(&served, 1, "localhost:0");
    stop_and_end(&served);
}

GYRE_TEST(listener, serves_a_unix_path_on_all_loops)
{
    struct served served;
    struct stat status;
    char path[64];
    char address[80];
    int fds[20];
    unix_path(path);
    snprintf(address, sizeof(address), "unix:%s", path);
    serve_nowhere(&served, 2);
    served.options.unix_mode = 0600;
    cr_assert_eq(open_at(&served, address), 0);
    cr_assert_str_eq(served.address, address);
    cr_assert_eq(stat(path, &status), 0);
    cr_assert_eq(status.st_mode & 0777, 0600);
    for (int i = 0; i < 20; i++) {
        fds[i] = connect_unix(path);
        cr_assert_geq(fds[i], 0);
        net_settle(&served.nets[i % 2]);
    }
    settle(&served);
    cr_assert_eq(served.total, 20);
    cr_assert_gt(served.accepted[0], 0);
    cr_assert_gt(served.accepted[1], 0);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    stop_and_end(&served);
    cr_assert_eq(stat(path, &status), -1, "the file goes with the listener");

    serve_nowhere(&served, 2);
    snprintf(address, sizeof(address), "unix:@gyre-test-%d", (int)getpid());
    cr_assert_eq(open_at(&served, address), 0);
    struct gyre_listener *other;
    cr_assert_eq(gyre_listener_open_on(served.loops, 2, address, NULL, &other, on_accept, NULL),
                 -EADDRINUSE);
    stop_and_end(&served);
}

GYRE_TEST(listener, finds_an_address_that_is_served)
{
    struct served served, other;
    char address[64];
    int one = 1;
    int raw = raw_listen(address);
    serve_nowhere(&served, 2);
    cr_assert_eq(open_at(&served, address), -EADDRINUSE);
    served.options.share = true;
    cr_assert_eq(open_at(&served, address), -EADDRINUSE, "the other does not share");
    served.options.share = false;
    close(raw);
    cr_assert_eq(open_at(&served, address), 0);

    serve_nowhere(&other, 1);
    cr_assert_eq(open_at(&other, address), -EADDRINUSE, "by ourselves");
    other.options.share = true;
    cr_assert_eq(open_at(&other, address), 0);
    stop_and_end(&other);
    raw = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(setsockopt(raw, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    close(raw);
    stop_and_end(&served);
    serve(&served, 1, address);
    stop_and_end(&served);
}

GYRE_TEST(listener, takes_over_a_path_whose_server_is_gone)
{
    struct served served, other;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char path[64];
    char address[80];
    unix_path(path);
    snprintf(address, sizeof(address), "unix:%s", path);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int raw = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(raw, (struct sockaddr *)&name, sizeof(name)), 0);
    cr_assert_eq(listen(raw, 1), 0);
    serve_nowhere(&served, 1);
    cr_assert_eq(open_at(&served, address), -EADDRINUSE, "somebody listens");
    cr_assert_eq(access(path, F_OK), 0);
    close(raw);
    cr_assert_eq(open_at(&served, address), 0);
    int fd = connect_unix(path);
    cr_assert_geq(fd, 0);
    close(fd);
    serve_nowhere(&other, 1);
    cr_assert_eq(open_at(&other, address), -EADDRINUSE);
    end(&other);
    stop_and_end(&served);

    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(file, 0);
    close(file);
    serve_nowhere(&served, 1);
    cr_assert_eq(open_at(&served, address), -EADDRINUSE, "a file that is no socket");
    cr_assert_eq(access(path, F_OK), 0, "stays");
    unlink(path);
    end(&served);
}

GYRE_TEST(listener, refuses_wrong_arguments)
{
    struct served served;
    struct gyre_listener *listener = NULL;
    struct gyre_loop *many[1] = {NULL};
    serve_nowhere(&served, 1);
    cr_assert_eq(open_at(&served, "nonsense"), -EINVAL);
    cr_assert_eq(open_at(&served, "1.2.3.4:70000"), -EINVAL);
    cr_assert_eq(open_at(&served, "192.0.2.1:0"), -EADDRNOTAVAIL);
    cr_assert_eq(open_at(&served, "unix:/nonexistent/path"), -ENOENT);
    served.options.accepts_max = 0;
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), -EINVAL);
    served.options.accepts_max = 1;
    served.options.size = 1;
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), -EINVAL);
    cr_assert_eq(gyre_listener_open_on(many, 0, "127.0.0.1:0", NULL, &listener, on_accept, NULL),
                 -EINVAL);
    cr_assert_eq(gyre_listener_open_on(served.loops, 1, "127.0.0.1:0", NULL, &listener, NULL, NULL),
                 -EINVAL);
    cr_assert_null(listener);
    end(&served);
}

/* ---- accepting ------------------------------------------------------------------------------- */

static struct gyre_failure failure;

static void on_error(struct gyre_loop *loop, const struct gyre_failure *what, void *arg)
{
    (void)loop;
    ++*(unsigned *)arg;
    failure = *what;
}

GYRE_TEST(listener, failed_accept_resets_the_stream_and_is_reported)
{
    struct served served;
    unsigned errors = 0;
    serve_nowhere(&served, 1);
    served.nets[0].loop->options.on_error = on_error;
    served.nets[0].loop->options.on_error_arg = &errors;
    served.result = -ENOSPC;
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), 0);
    int fd = raw_connect(served.address);
    net_until(&served.nets[0], &errors);
    cr_assert_eq(failure.kind, GYRE_FAILED_ACCEPT);
    cr_assert_eq(failure.error, -ENOSPC);
    char byte;
    while (raw_receive(fd, &byte, 1) == -EAGAIN)
        ;
    cr_assert_lt(send(fd, "x", 1, MSG_NOSIGNAL), 0);
    cr_assert_eq(served.total, 1);
    served.total = 0;
    close(fd);
    stop_and_end(&served);
}

GYRE_TEST(listener, accepts_only_so_many_in_a_turn)
{
    struct served served;
    int fds[10];
    serve_nowhere(&served, 1);
    served.options.accepts_max = 3;
    served.drop = true;
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), 0);
    for (int i = 0; i < 10; i++)
        fds[i] = raw_connect(served.address);
    settle(&served);
    cr_assert_eq(served.total, 10);
    for (unsigned i = 3; i < 10; i++)
        cr_assert_gt(served.turns[i], served.turns[i - 3]);
    for (int i = 0; i < 10; i++)
        close(fds[i]);
    stop_and_end(&served);
}
