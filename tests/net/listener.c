/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/listener.h: addresses, accepting, shortage, and the ways to end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/loop.h"
#include "net/listener.h"
#include "support.h"

enum {
    SERVED_MAX = 256
};

/* A listener on one or two scenes, and what it accepted. */
struct served {
    struct net nets[2];
    struct gyre_loop *loops[2];
    unsigned count; /* of scenes */
    struct gyre_listener_options options;
    struct gyre_listener *listener;
    char address[GYRE_ADDRESS_MAX];
    struct gyre_stream *streams[SERVED_MAX];
    unsigned accepted[2]; /* on each loop */
    unsigned total;
    int result; /* of accept */
    bool drop; /* accept closes the stream */
    unsigned stop_at; /* accept number that stops the listener; 0: none */
    unsigned done;
    int done_status;
    struct gyre_loop *done_loop;
    uint64_t turns[SERVED_MAX]; /* of the loop, at each accept */
};

static int on_done(struct gyre_loop *loop, int status, void *arg)
{
    struct served *served = arg;
    served->done++;
    served->done_status = status;
    served->done_loop = loop;
    return 0;
}

static int on_accept(struct gyre_stream *stream, void *arg)
{
    struct served *served = arg;
    struct gyre_loop_stats stats;
    bool second = served->count > 1 && gyre_stream_loop(stream) == served->loops[1];
    gyre_loop_stats(gyre_stream_loop(stream), &stats);
    served->turns[served->total] = stats.turns;
    served->accepted[second]++;
    if (served->result < 0) {
        served->total++;
        return served->result;
    }
    served->streams[served->total++] = stream;
    if (served->drop) {
        gyre_stream_close(stream);
        served->streams[served->total - 1] = NULL;
    }
    if (served->total == served->stop_at)
        gyre_listener_stop(served->listener, on_done, served);
    return 0;
}

static void serve_nowhere(struct served *served, unsigned count)
{
    memset(served, 0, sizeof(*served));
    served->count = count;
    gyre_listener_options_init(&served->options);
    for (unsigned i = 0; i < count; i++) {
        net_open(&served->nets[i]);
        served->loops[i] = served->nets[i].loop;
    }
}

static int open_at(struct served *served, const char *address)
{
    int r = gyre_listener_open_on(served->loops, served->count, address, &served->options,
                                  &served->listener, on_accept, served);
    if (r == 0)
        cr_assert_eq(gyre_listener_address(served->listener, served->address,
                                           sizeof(served->address)),
                     0);
    return r;
}

static void serve(struct served *served, unsigned count, const char *address)
{
    serve_nowhere(served, count);
    int r = open_at(served, address);
    cr_assert_eq(r, 0, "%s: %s", address, strerror(-r));
}

static void settle(struct served *served)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < served->count; i++)
            net_settle(&served->nets[i]);
    }
}

/* Lets time pass on all loops in steps of 5 ms. */
static void pass(struct served *served, uint64_t ns)
{
    for (uint64_t passed = 0; passed < ns; passed += 5 * MS_NS) {
        for (unsigned i = 0; i < served->count; i++)
            net_pass(&served->nets[i], 5 * MS_NS);
    }
}

/* Closes the streams, and the loops without the listener. */
static void end(struct served *served)
{
    for (unsigned i = 0; i < served->total; i++)
        gyre_stream_close(served->streams[i]);
    for (unsigned i = 0; i < served->count; i++)
        net_close(&served->nets[i]);
}

static void stop_and_end(struct served *served)
{
    gyre_listener_close(served->listener, on_done, served);
    settle(served);
    cr_assert_eq(served->done, 1);
    cr_assert_eq(served->done_status, 0);
    end(served);
}

static int connect_unix(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int r = connect(fd, (struct sockaddr *)&name, sizeof(name));
    if (r == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

static void unix_path(char path[64])
{
    static int number;
    snprintf(path, 64, "/tmp/gyre-listener-%d-%d", (int)getpid(), number++);
}

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
    cr_assert_eq(failure.kind, GYRE_FAILED_HANDLER);
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

/* ---- shortage -------------------------------------------------------------------------------- */

static struct rlimit limit_before;

/* No descriptor beyond those that are open. */
static void take_descriptors(void)
{
    struct rlimit limit;
    int lowest = fcntl(0, F_DUPFD_CLOEXEC, 0);
    cr_assert_geq(lowest, 0);
    close(lowest);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    limit = limit_before;
    limit.rlim_cur = (rlim_t)lowest;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

static void give_descriptors(void)
{
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit_before), 0);
}

static void ignore_line(enum gyre_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    ++*(unsigned *)arg;
}

/* How many of the connections are still open. */
static unsigned alive(const int fds[], unsigned count)
{
    unsigned open = 0;
    char byte;
    for (unsigned i = 0; i < count; i++)
        open += raw_receive(fds[i], &byte, 1) == -EAGAIN;
    return open;
}

GYRE_TEST(listener, backs_off_without_descriptors_and_comes_back)
{
    struct served served;
    struct gyre_loop_stats before, after;
    unsigned lines = 0;
    int fds[20];
    gyre_set_log(ignore_line, &lines);
    serve(&served, 1, "127.0.0.1:0");
    for (int i = 0; i < 20; i++)
        fds[i] = raw_connect(served.address);
    int hole = dup(0);
    take_descriptors(); /* `hole` is the last one */
    settle(&served);
    cr_assert_eq(served.total, 0);
    gyre_loop_stats(served.loops[0], &before);
    pass(&served, 600 * MS_NS); /* 10, 20, 40, 80, 160, 320 are 630 ms */
    cr_assert_eq(alive(fds, 20), 20);
    pass(&served, 530 * MS_NS + 10 * MS_NS);
    cr_assert_eq(alive(fds, 20), 19, "one is refused when the longest wait has passed");
    pass(&served, 2000 * MS_NS);
    cr_assert_eq(alive(fds, 20), 15);
    gyre_loop_stats(served.loops[0], &after);
    cr_assert_lt(after.events - before.events, 30, "and costs next to nothing");
    cr_assert_eq(lines, 1, "one line");

    give_descriptors();
    pass(&served, 500 * MS_NS);
    cr_assert_geq(served.total, 14, "service resumes with the next look");
    cr_assert_eq(served.listener->parts[0].wait_ns, 10 * MS_NS);
    cr_assert_geq(served.listener->parts[0].reserve_fd, 0);
    close(hole);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    stop_and_end(&served);
}

GYRE_TEST(listener, can_be_stopped_and_closed_while_it_backs_off)
{
    struct served served;
    unsigned lines = 0;
    int fds[3];
    gyre_set_log(ignore_line, &lines);
    for (int round = 0; round < 3; round++) {
        serve(&served, 1, "127.0.0.1:0");
        for (int i = 0; i < 3; i++)
            fds[i] = raw_connect(served.address);
        take_descriptors();
        settle(&served);
        pass(&served, 100 * MS_NS);
        if (round == 0) {
            gyre_listener_stop(served.listener, on_done, &served);
            pass(&served, 50 * MS_NS);
            give_descriptors();
            pass(&served, 300 * MS_NS);
            cr_assert_eq(served.total, 3, "they had arrived before the stop");
        } else if (round == 1) {
            gyre_listener_stop(served.listener, on_done, &served);
            pass(&served, 500 * MS_NS);
            give_descriptors();
            cr_assert_eq(served.total, 0, "there was no descriptor all the time");
        } else {
            give_descriptors();
            gyre_listener_close(served.listener, on_done, &served);
            settle(&served);
            cr_assert_eq(served.total, 0);
        }
        cr_assert_eq(served.done, 1);
        cr_assert_eq(served.done_status, 0);
        end(&served);
        for (int i = 0; i < 3; i++)
            close(fds[i]);
    }
}

GYRE_TEST(listener, open_without_descriptors_leaves_nothing)
{
    struct served served;
    struct rlimit limit;
    serve_nowhere(&served, 2);
    unsigned before = count_fds();
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit_before), 0);
    int r = -EMFILE;
    for (rlim_t more = 0; r != 0 && more < 20; more++) {
        limit = limit_before;
        limit.rlim_cur = before + more;
        cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
        r = open_at(&served, "127.0.0.1:0");
        give_descriptors();
        cr_assert(r == 0 || r == -EMFILE, "%d", r);
        if (r != 0)
            cr_assert_eq(count_fds(), before);
    }
    cr_assert_eq(r, 0);
    cr_assert_eq(count_fds(), before + 4, "a socket and a reserve each");
    stop_and_end(&served);
}

/* ---- the ways to end ------------------------------------------------------------------------- */

GYRE_TEST(listener, stop_accepts_what_had_arrived)
{
    struct served served;
    int fds[100];
    serve_nowhere(&served, 2);
    served.options.accepts_max = 4;
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), 0);
    settle(&served);
    for (int i = 0; i < 100; i++)
        fds[i] = raw_connect(served.address);
    gyre_listener_stop(served.listener, on_done, &served);
    settle(&served);
    cr_assert_eq(served.done, 0, "handshakes may be under way");
    pass(&served, 200 * MS_NS);
    settle(&served);
    cr_assert_eq(served.done, 1);
    cr_assert_eq(served.done_status, 0);
    cr_assert(served.done_loop == served.loops[0] || served.done_loop == served.loops[1]);
    cr_assert_eq(served.total, 100);
    cr_assert_eq(alive(fds, 100), 100);
    end(&served);
    for (int i = 0; i < 100; i++)
        close(fds[i]);
}

GYRE_TEST(listener, stop_of_a_path_accepts_what_had_arrived)
{
    struct served served;
    char path[64];
    char address[80];
    int fds[30];
    unix_path(path);
    snprintf(address, sizeof(address), "unix:%s", path);
    serve_nowhere(&served, 2);
    served.options.accepts_max = 2;
    served.options.drain_ns = 0;
    cr_assert_eq(open_at(&served, address), 0);
    for (int i = 0; i < 30; i++)
        fds[i] = connect_unix(path);
    gyre_listener_stop(served.listener, on_done, &served);
    net_settle(&served.nets[0]);
    cr_assert_eq(connect_unix(path), -ENOENT, "nobody new");
    settle(&served);
    cr_assert_eq(served.done, 1);
    cr_assert_eq(served.total, 30);
    cr_assert_eq(alive(fds, 30), 30);
    end(&served);
    for (int i = 0; i < 30; i++)
        close(fds[i]);
}

GYRE_TEST(listener, can_be_stopped_inside_accept)
{
    struct served served;
    int fds[5];
    serve(&served, 1, "127.0.0.1:0");
    served.stop_at = 2;
    for (int i = 0; i < 5; i++)
        fds[i] = raw_connect(served.address);
    pass(&served, 500 * MS_NS);
    cr_assert_eq(served.total, 5);
    cr_assert_eq(served.done, 1);
    end(&served);
    for (int i = 0; i < 5; i++)
        close(fds[i]);
}

GYRE_TEST(listener, close_resets_the_backlog)
{
    struct served served;
    serve(&served, 2, "127.0.0.1:0");
    settle(&served);
    int fd = raw_connect(served.address);
    gyre_listener_close(served.listener, on_done, &served);
    settle(&served);
    cr_assert_eq(served.done, 1);
    cr_assert_leq(served.total, 1);
    cr_assert_eq(alive(&fd, 1), served.total);
    close(fd);
    end(&served);
}

GYRE_TEST(listener, goes_with_its_loops)
{
    struct served served;
    char path[64];
    char address[80];
    unix_path(path);
    snprintf(address, sizeof(address), "unix:%s", path);

    serve(&served, 2, "127.0.0.1:0"); /* the parts are still on their way */
    end(&served);
    serve(&served, 2, "127.0.0.1:0");
    settle(&served);
    end(&served);
    serve(&served, 2, address);
    settle(&served);
    end(&served);
    cr_assert_neq(access(path, F_OK), 0);

    serve(&served, 2, "127.0.0.1:0"); /* stopped, and cut short by the loops */
    settle(&served);
    gyre_listener_stop(served.listener, on_done, &served);
    net_settle(&served.nets[0]);
    end(&served);
    cr_assert_eq(served.done, 1);
    cr_assert_eq(served.done_status, -ECANCELED);

    serve(&served, 2, "127.0.0.1:0"); /* one loop goes, the other serves on */
    settle(&served);
    net_close(&served.nets[0]);
    served.count = 1;
    served.nets[0] = served.nets[1];
    net_settle(&served.nets[1]);
    net_close(&served.nets[1]);
}

GYRE_TEST(listener, is_not_opened_on_a_loop_that_has_closed)
{
    struct served served;
    serve_nowhere(&served, 2);
    cr_assert_eq(gyre_loop_close(served.loops[1], 0), 0);
    unsigned before = count_fds();
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), -ESHUTDOWN);
    cr_assert_null(served.listener);
    net_settle(&served.nets[0]);
    cr_assert_eq(count_fds(), before, "the part that was posted ended as well");
    cr_assert_eq(gyre_loop_close(served.loops[0], 0), 0);
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), -ESHUTDOWN);
    end(&served);
}
