/* SPDX-License-Identifier: MIT */
/*
 * descriptors - the slots of gyre__descriptors, one by one, on loopback and on Unix sockets.
 *
 * What a peer does is mostly there when the call returns, since loopback is worked off inside it.
 * A busy system may leave it to a thread: so it is polled for.
 */
#include "contract/backend.h"
#include "harness/gyre_test.h"

#include <errno.h>
#include <fcntl.h>
#include <gyre/address.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    OUTCOME_MS = 10000 /* a limit for what comes at once */
};

static const struct gyre__descriptors *descriptors(void)
{
    const struct gyre__backend *backend;
    cr_assert_eq(gyre__backend_find(gyre_test_backend(), &backend), 0);
    return backend->descriptors;
}

static struct gyre__address parse(const char *text)
{
    struct gyre__address address;
    cr_assert_eq(descriptors()->parse(text, &address), 0, "%s", text);
    return address;
}

static int make_socket(const struct gyre__address *address)
{
    int fd = -1;
    cr_assert_eq(descriptors()->socket(address, &fd), 0);
    return fd;
}

/* A socket that listens at `text`; *ret_address is where. */
static int make_listener(const char *text, struct gyre__address *ret_address)
{
    struct gyre__address address = parse(text);
    int fd = make_socket(&address);
    cr_assert_eq(descriptors()->bind(fd, &address), 0);
    cr_assert_eq(descriptors()->listen(fd, 16), 0);
    cr_assert_eq(descriptors()->local_name(fd, ret_address), 0);
    return fd;
}

/* Waits until fd has one of the events of poll. */
static void await(int fd, short events)
{
    struct pollfd poller = {.fd = fd, .events = events};
    cr_assert_eq(poll(&poller, 1, OUTCOME_MS), 1);
}

static int accept_one(int listener)
{
    int accepted = -1;
    await(listener, POLLIN);
    cr_assert_eq(descriptors()->accept(listener, &accepted), 0);
    return accepted;
}

static int64_t receive(int fd, void *data, size_t bytes)
{
    await(fd, POLLIN);
    return descriptors()->receive(fd, data, bytes);
}

static int result_of_connect(int fd, const struct gyre__address *address)
{
    int status = descriptors()->connect(fd, address);
    if (status != -EINPROGRESS)
        return status;
    await(fd, POLLOUT);
    return descriptors()->connect_result(fd);
}

/* Two connected sockets: fds[0] connected, fds[1] was accepted. */
static void make_pair(const char *listen_at, int fds[2])
{
    struct gyre__address address;
    int listener = make_listener(listen_at, &address);
    fds[0] = make_socket(&address);
    cr_assert_eq(result_of_connect(fds[0], &address), 0);
    fds[1] = accept_one(listener);
    descriptors()->close(listener);
}

static void close_pair(const int fds[2])
{
    descriptors()->close(fds[0]);
    descriptors()->close(fds[1]);
}

static void assert_flags(int fd, bool non_blocking)
{
    cr_assert_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    if (non_blocking)
        cr_assert_eq(fcntl(fd, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}

static void assert_text(const struct gyre__address *address, const char *start)
{
    char text[GYRE_ADDRESS_MAX];
    cr_assert_eq(descriptors()->format(address, text, sizeof(text)), 0);
    cr_assert_eq(strncmp(text, start, strlen(start)), 0, "%s, and not %s", text, start);
}

static unsigned port_of(const struct gyre__address *address)
{
    char text[GYRE_ADDRESS_MAX];
    cr_assert_eq(descriptors()->format(address, text, sizeof(text)), 0);
    return (unsigned)strtoul(strrchr(text, ':') + 1, NULL, 10);
}

static bool has_ipv6(void)
{
    struct gyre__address any = parse("*:0");
    return any.family == AF_INET6;
}

/* ---- making ---------------------------------------------------------------------------------- */

GYRE_TEST(descriptors, every_descriptor_is_close_on_exec_and_sockets_do_not_block)
{
    int fds[2];
    int reserve;
    int copy;
    make_pair("127.0.0.1:0", fds);
    cr_assert_eq(descriptors()->reserve(&reserve), 0);
    cr_assert_eq(descriptors()->duplicate(fds[0], &copy), 0);
    assert_flags(fds[0], true);
    assert_flags(fds[1], true);
    assert_flags(copy, true);
    assert_flags(reserve, false);
    close_pair(fds);
    descriptors()->close(copy);
    descriptors()->close(reserve);
}

GYRE_TEST(descriptors, duplicate_keeps_the_file_open)
{
    int fds[2];
    int copy;
    char byte;
    make_pair("unix:@gyre-test-duplicate", fds);
    cr_assert_eq(descriptors()->duplicate(fds[0], &copy), 0);
    descriptors()->close(fds[0]);
    cr_assert_eq(descriptors()->receive(fds[1], &byte, 1), -EAGAIN);
    descriptors()->close(copy);
    cr_assert_eq(receive(fds[1], &byte, 1), 0);
    descriptors()->close(fds[1]);
}

GYRE_TEST(descriptors, functions_of_a_closed_number_fail)
{
    int fds[2];
    struct gyre__address address;
    make_pair("127.0.0.1:0", fds);
    close_pair(fds);
    cr_assert_eq(descriptors()->receive(fds[0], &address, 1), -EBADF);
    cr_assert_eq(descriptors()->listen(fds[0], 1), -EBADF);
    cr_assert_eq(descriptors()->local_name(fds[0], &address), -EBADF);
    cr_assert_eq(descriptors()->unsent(fds[0]), -EBADF);
    cr_assert_eq(descriptors()->connect_result(fds[0]), -EBADF);
    cr_assert_eq(descriptors()->duplicate(fds[0], &fds[1]), -EBADF);
    cr_assert_eq(descriptors()->steer_away(fds[0]), -EBADF);
}

/* ---- addresses in use ------------------------------------------------------------------------ */

GYRE_TEST(descriptors, any_serves_both_families)
{
    static const char *const hosts[] = {"127.0.0.1:", "[::1]:"};
    struct gyre__address local;
    int listener = make_listener("*:0", &local);
    unsigned families = has_ipv6() ? 2 : 1;
    assert_text(&local, families == 2 ? "*:" : "0.0.0.0:");
    for (unsigned i = 0; i < families; i++) {
        char text[GYRE_ADDRESS_MAX];
        struct gyre__address peer;
        (void)snprintf(text, sizeof(text), "%s%u", hosts[i], port_of(&local));
        struct gyre__address address = parse(text);
        int fd = make_socket(&address);
        cr_assert_eq(result_of_connect(fd, &address), 0, "%s", text);
        int accepted = accept_one(listener);
        cr_assert_eq(descriptors()->peer_name(accepted, &peer), 0);
        assert_text(&peer, hosts[i]);
        close_pair((int[]){fd, accepted});
    }
    descriptors()->close(listener);
}

/* Binds to any address of IPv4 at a port; false if somebody has it. */
static bool bind_ipv4(int fd, unsigned at_port)
{
    char text[GYRE_ADDRESS_MAX];
    (void)snprintf(text, sizeof(text), "0.0.0.0:%u", at_port);
    struct gyre__address address = parse(text);
    int status = descriptors()->bind(fd, &address);
    cr_assert(status == 0 || status == -EADDRINUSE);
    return status == 0;
}

GYRE_TEST(descriptors, any_of_ipv6_and_any_of_ipv4_are_served_side_by_side)
{
    if (!has_ipv6())
        cr_skip_test("no IPv6");
    struct gyre__address local;
    struct gyre__address ipv4 = parse("0.0.0.0:0");
    int first = make_listener("[::]:0", &local);
    int second = make_socket(&ipv4);
    assert_text(&local, "[::]:");
    /* The system chose the port among those that are free for IPv6. */
    for (int tries = 0; tries < 20 && !bind_ipv4(second, port_of(&local)); tries++) {
        descriptors()->close(first);
        first = make_listener("[::]:0", &local);
    }
    cr_assert_eq(descriptors()->local_name(second, &ipv4), 0);
    cr_assert_eq(port_of(&ipv4), port_of(&local));
    cr_assert_eq(descriptors()->listen(second, 1), 0);
    close_pair((int[]){first, second});
}

GYRE_TEST(descriptors, address_in_use_is_shared_with_reuseport_and_refused_without)
{
    struct gyre__address local = parse("127.0.0.1:0");
    int fds[3];
    for (unsigned i = 0; i < 3; i++)
        fds[i] = make_socket(&local);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(descriptors()->set_option(fds[i], GYRE__SOCKET_REUSEPORT, 1), 0);
        cr_assert_eq(descriptors()->bind(fds[i], &local), 0);
        cr_assert_eq(descriptors()->listen(fds[i], 1), 0);
        cr_assert_eq(descriptors()->local_name(fds[0], &local), 0); /* the second joins the first */
    }
    cr_assert_eq(descriptors()->bind(fds[2], &local), -EADDRINUSE);
    close_pair(fds);
    descriptors()->close(fds[2]);
}

GYRE_TEST(descriptors, address_of_another_machine_is_not_available)
{
    struct gyre__address address = parse("192.0.2.1:0");
    int fd = make_socket(&address);
    cr_assert_eq(descriptors()->bind(fd, &address), -EADDRNOTAVAIL);
    descriptors()->close(fd);
}

GYRE_TEST(descriptors, peer_of_a_socket_that_is_not_connected_has_no_name)
{
    struct gyre__address local;
    struct gyre__address peer;
    int listener = make_listener("127.0.0.1:0", &local);
    cr_assert_eq(descriptors()->peer_name(listener, &peer), -ENOTCONN);
    cr_assert_neq(port_of(&local), 0);
    descriptors()->close(listener);
}

GYRE_TEST(descriptors, unix_peer_without_a_name_is_written_as_such)
{
    int fds[2];
    struct gyre__address address;
    char text[GYRE_ADDRESS_MAX];
    make_pair("unix:@gyre-test-unnamed", fds);
    cr_assert_eq(descriptors()->peer_name(fds[1], &address), 0);
    cr_assert_eq(descriptors()->format(&address, text, sizeof(text)), 0);
    cr_assert_str_eq(text, "unix:");
    cr_assert_eq(descriptors()->peer_name(fds[0], &address), 0);
    assert_text(&address, "unix:@gyre-test-unnamed");
    close_pair(fds);
}

/* ---- options --------------------------------------------------------------------------------- */

GYRE_TEST(descriptors, options_that_a_unix_socket_lacks)
{
    struct gyre__address address = parse("unix:@gyre-test-options");
    int fd = make_socket(&address);
    cr_assert_eq(descriptors()->set_option(fd, GYRE__SOCKET_NODELAY, 1), 0);
    cr_assert_eq(descriptors()->set_option(fd, GYRE__SOCKET_REUSEADDR, 1), 0);
    cr_assert_eq(descriptors()->set_option(fd, GYRE__SOCKET_LINGER_RESET, 1), 0);
    cr_assert_eq(descriptors()->set_option(fd, GYRE__SOCKET_REUSEPORT, 1), -ENOTSUP);
    cr_assert_eq(descriptors()->steer_away(fd), -ENOTSUP);
    cr_assert_eq(descriptors()->unsent(fd), -ENOTSUP);
    descriptors()->close(fd);
}

GYRE_TEST(descriptors, linger_reset_makes_close_a_reset)
{
    int fds[2];
    char byte;
    make_pair("127.0.0.1:0", fds);
    cr_assert_eq(descriptors()->set_option(fds[0], GYRE__SOCKET_LINGER_RESET, 1), 0);
    descriptors()->close(fds[0]);
    cr_assert_eq(receive(fds[1], &byte, 1), -ECONNRESET);
    cr_assert_eq(receive(fds[1], &byte, 1), 0, "an error is told once");
    descriptors()->close(fds[1]);
}

/* ---- connections ----------------------------------------------------------------------------- */

GYRE_TEST(descriptors, accept_without_a_connection_would_block)
{
    struct gyre__address local;
    int accepted = -2;
    int listener = make_listener("127.0.0.1:0", &local);
    cr_assert_eq(descriptors()->accept(listener, &accepted), -EAGAIN);
    cr_assert_eq(accepted, -2, "untouched");
    descriptors()->close(listener);
}

GYRE_TEST(descriptors, connect_to_nobody_is_refused)
{
    struct gyre__address local;
    int listener = make_listener("127.0.0.1:0", &local);
    descriptors()->close(listener);
    int fd = make_socket(&local);
    cr_assert_eq(result_of_connect(fd, &local), -ECONNREFUSED);
    descriptors()->close(fd);
}

GYRE_TEST(descriptors, unix_connects_are_decided_at_once)
{
    struct gyre__address local;
    struct gyre__address nobody = parse("unix:@gyre-test-nobody");
    struct gyre__address missing = parse("unix:/nonexistent/gyre");
    int listener = make_listener("unix:@gyre-test-connect", &local);
    cr_assert_eq(descriptors()->listen(listener, 0), 0);
    int fds[3];
    for (unsigned i = 0; i < 3; i++)
        fds[i] = make_socket(&local);
    cr_assert_eq(descriptors()->connect(fds[0], &local), 0);
    cr_assert_eq(descriptors()->connect(fds[1], &local), -EAGAIN,
                 "one waits, and one is the limit");
    cr_assert_eq(descriptors()->connect(fds[2], &nobody), -ECONNREFUSED);
    cr_assert_eq(descriptors()->connect(fds[2], &missing), -ENOENT);
    close_pair(fds);
    close_pair((int[]){fds[2], listener});
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Sends until the peer's and the system's room is full; returns how much that was. */
static int64_t fill(int fd)
{
    static const char block[65536];
    const struct gyre__span span = {block, sizeof(block)};
    int64_t total = 0;
    int64_t sent;
    while ((sent = descriptors()->send(fd, &span, 1)) > 0)
        total += sent;
    cr_assert_eq(sent, -EAGAIN);
    return total;
}

/* Receives up to the end; returns how much that was. */
static int64_t drain(int fd)
{
    char block[4096];
    int64_t total = 0;
    int64_t got;
    while ((got = receive(fd, block, sizeof(block))) > 0)
        total += got;
    cr_assert_eq(got, 0);
    return total;
}

GYRE_TEST(descriptors, spans_arrive_in_order)
{
    int fds[2];
    char text[16] = "";
    const struct gyre__span spans[] = {{"ab", 2}, {"", 0}, {"cde", 3}, {"f", 1}};
    make_pair("127.0.0.1:0", fds);
    cr_assert_eq(descriptors()->send(fds[0], spans, 4), 6);
    cr_assert_eq(receive(fds[1], text, sizeof(text)), 6);
    cr_assert_str_eq(text, "abcdef");
    close_pair(fds);
}

GYRE_TEST(descriptors, more_spans_than_one_call_takes_are_sent_in_part)
{
    enum {
        SPANS = 40
    };
    struct gyre__span spans[SPANS];
    int fds[2];
    for (unsigned i = 0; i < SPANS; i++)
        spans[i] = (struct gyre__span){"x", 1};
    make_pair("127.0.0.1:0", fds);
    int64_t sent = descriptors()->send(fds[0], spans, SPANS);
    cr_assert_gt(sent, 0);
    cr_assert_leq(sent, SPANS);
    descriptors()->close(fds[0]);
    cr_assert_eq(drain(fds[1]), sent);
    descriptors()->close(fds[1]);
}

GYRE_TEST(descriptors, full_socket_would_block_and_tells_what_has_not_arrived)
{
    int fds[2];
    make_pair("127.0.0.1:0", fds);
    cr_assert_eq(descriptors()->unsent(fds[0]), 0);
    int64_t total = fill(fds[0]);
    cr_assert_gt(descriptors()->unsent(fds[0]), 0);
    cr_assert_leq(descriptors()->unsent(fds[0]), total);
    descriptors()->close(fds[0]);
    cr_assert_eq(drain(fds[1]), total);
    descriptors()->close(fds[1]);
}

GYRE_TEST(descriptors, finish_ends_one_direction)
{
    int fds[2];
    char byte;
    const struct gyre__span span = {"x", 1};
    make_pair("127.0.0.1:0", fds);
    cr_assert_eq(descriptors()->receive(fds[1], &byte, 1), -EAGAIN);
    cr_assert_eq(descriptors()->finish(fds[0]), 0);
    cr_assert_eq(receive(fds[1], &byte, 1), 0);
    cr_assert_eq(descriptors()->send(fds[0], &span, 1), -EPIPE, "and no SIGPIPE");
    cr_assert_eq(descriptors()->send(fds[1], &span, 1), 1);
    cr_assert_eq(receive(fds[0], &byte, 1), 1);
    close_pair(fds);
}

GYRE_TEST(descriptors, send_to_a_peer_that_closed_fails_without_a_signal)
{
    int fds[2];
    const struct gyre__span spans[] = {{"x", 1}, {"y", 1}};
    make_pair("unix:@gyre-test-pipe", fds);
    descriptors()->close(fds[1]);
    cr_assert_eq(descriptors()->send(fds[0], spans, 1), -EPIPE);
    cr_assert_eq(descriptors()->send(fds[0], spans, 2), -EPIPE);
    descriptors()->close(fds[0]);
}

/* ---- steering -------------------------------------------------------------------------------- */

static bool is_decided(int fd)
{
    struct pollfd poller = {.fd = fd, .events = POLLOUT};
    return poll(&poller, 1, 0) == 1;
}

static void steer(const char *listen_at)
{
    struct gyre__address local;
    int listener = make_listener(listen_at, &local);
    int early = make_socket(&local);
    int late = make_socket(&local);
    char byte = 0;
    const struct gyre__span span = {"x", 1};
    int status = descriptors()->connect(early, &local);
    cr_assert(status == -EINPROGRESS || status == 0);
    await(early, POLLOUT);
    status = descriptors()->steer_away(listener);
    if (status == -ENOTSUP)
        cr_skip_test("this system cannot steer");
    cr_assert_eq(status, 0);
    cr_assert_eq(descriptors()->connect(late, &local), -EINPROGRESS);
    cr_assert_not(is_decided(late), "its SYN is dropped");
    int accepted = accept_one(listener); /* what was there is kept */
    cr_assert_eq(descriptors()->accept(listener, &status), -EAGAIN);
    descriptors()->close(listener);
    cr_assert_eq(descriptors()->send(early, &span, 1), 1);
    cr_assert_eq(receive(accepted, &byte, 1), 1);
    cr_assert_eq(byte, 'x');
    cr_assert_eq(descriptors()->finish(accepted), 0);
    cr_assert_eq(receive(early, &byte, 1), 0);
    close_pair((int[]){early, late});
    descriptors()->close(accepted);
}

GYRE_TEST(descriptors, steered_socket_keeps_its_connections_and_gets_no_new_ones)
{
    steer("127.0.0.1:0");
}

GYRE_TEST(descriptors, steered_socket_of_ipv6_likewise)
{
    if (!has_ipv6())
        cr_skip_test("no IPv6");
    steer("[::1]:0");
}

/* ---- files ----------------------------------------------------------------------------------- */

GYRE_TEST(descriptors, only_sockets_are_unlinked)
{
    char folder[] = "/tmp/gyre-test-XXXXXX";
    char path[64];
    char text[80];
    struct gyre__address local;
    struct stat stat;
    cr_assert_not_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/x", folder);
    (void)snprintf(text, sizeof(text), "unix:%s", path);
    cr_assert_eq(descriptors()->unlink(path), -ENOENT);
    int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(file, 0);
    cr_assert_eq(descriptors()->unlink(path), -ENOTSOCK);
    cr_assert_eq(unlink(path), 0, "it is still there");
    descriptors()->close(file);
    int listener = make_listener(text, &local);
    cr_assert_str_eq(descriptors()->path(&local), path);
    cr_assert_eq(descriptors()->set_mode(path, 0620), 0);
    cr_assert_eq(lstat(path, &stat), 0);
    cr_assert_eq(stat.st_mode & 0777, 0620);
    cr_assert_eq(descriptors()->unlink(path), 0);
    cr_assert_eq(descriptors()->set_mode(path, 0600), -ENOENT);
    descriptors()->close(listener);
    cr_assert_eq(rmdir(folder), 0);
}
