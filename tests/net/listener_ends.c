/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/listener.h about shortage, and about the ways to end.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "net/listener.h"
#include "served.h"

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

GYRE_TEST(listener_ends, backs_off_without_descriptors_and_comes_back)
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

GYRE_TEST(listener_ends, can_be_stopped_and_closed_while_it_backs_off)
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

GYRE_TEST(listener_ends, open_without_descriptors_leaves_nothing)
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

GYRE_TEST(listener_ends, stop_accepts_what_had_arrived)
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

GYRE_TEST(listener_ends, stop_of_a_path_accepts_what_had_arrived)
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

GYRE_TEST(listener_ends, can_be_stopped_inside_accept)
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

GYRE_TEST(listener_ends, close_resets_the_backlog)
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

/* Ends the loops first, and then gives the listener back: `done` comes inside the call. */
static void end_loops_first(struct served *served)
{
    end(served);
    cr_assert_eq(served->done, 0);
    gyre_listener_close(served->listener, on_done, served);
    cr_assert_eq(served->done, 1);
    cr_assert_eq(served->done_status, -ECANCELED);
}

GYRE_TEST(listener_ends, ends_with_its_loops_and_stays_the_callers)
{
    struct served served;
    char path[64];
    char address[80];
    unix_path(path);
    snprintf(address, sizeof(address), "unix:%s", path);

    serve(&served, 2, "127.0.0.1:0"); /* the parts are still on their way */
    end_loops_first(&served);
    serve(&served, 2, "127.0.0.1:0");
    settle(&served);
    end_loops_first(&served);
    serve(&served, 2, address);
    settle(&served);
    end_loops_first(&served);
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
    gyre_listener_close(served.listener, NULL, NULL);
}

GYRE_TEST(listener_ends, path_stays_while_one_loop_serves_it)
{
    struct served served;
    char path[64];
    char address[80];
    unix_path(path);
    snprintf(address, sizeof(address), "unix:%s", path);
    serve(&served, 2, address);
    settle(&served);
    net_close(&served.nets[0]);
    int fd = connect_unix(path);
    cr_assert_geq(fd, 0);
    net_settle(&served.nets[1]);
    cr_assert_eq(served.accepted[1], 1);
    gyre_listener_close(served.listener, on_done, &served);
    net_settle(&served.nets[1]);
    cr_assert_eq(served.done, 1);
    cr_assert_neq(access(path, F_OK), 0);
    gyre_stream_close(served.streams[0]);
    net_close(&served.nets[1]);
    close(fd);
}

/* A listener that another thread opens while its loop is inside a function, which ends it. */
struct overtaking {
    struct served served;
    char address[80];
    void (*end)(struct gyre_listener *listener, gyre_fn *done, void *arg);
    int result;
};

static void *open_here(void *arg)
{
    struct overtaking *overtaking = arg;
    struct served *served = &overtaking->served;
    overtaking->result =
        gyre_listener_open_on(served->loops, 1, overtaking->address, &served->options,
                              &served->listener, on_accept, served);
    return NULL;
}

static int open_there_and_end(struct gyre_loop *loop, int status, void *arg)
{
    struct overtaking *overtaking = arg;
    pthread_t thread;
    (void)loop;
    cr_assert_eq(status, 0);
    cr_assert_eq(pthread_create(&thread, NULL, open_here, overtaking), 0);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(overtaking->result, 0);
    overtaking->end(overtaking->served.listener, on_done, &overtaking->served);
    return 0;
}

GYRE_TEST(listener_ends, ends_also_if_that_is_said_before_its_loop_knows_of_it)
{
    static struct overtaking overtaking;
    struct served *served = &overtaking.served;
    char path[64];
    for (int stop = 0; stop < 2; stop++) {
        unix_path(path);
        snprintf(overtaking.address, sizeof(overtaking.address), "unix:%s", path);
        overtaking.end = stop != 0 ? gyre_listener_stop : gyre_listener_close;
        serve_nowhere(served, 1);
        cr_assert_eq(gyre_loop_add_callback(served->loops[0], open_there_and_end, &overtaking), 0);
        pass(served, 500 * MS_NS);
        cr_assert_eq(served->done, 1, "stop: %d", stop);
        cr_assert_eq(served->done_status, 0);
        cr_assert_eq(connect_unix(path), -ENOENT, "nobody serves it");
        end(served);
    }
}

GYRE_TEST(listener_ends, is_not_opened_on_a_loop_that_has_closed)
{
    struct served served;
    serve_nowhere(&served, 2);
    cr_assert_eq(gyre_loop_close(served.loops[1], 0), 0);
    unsigned before = count_fds();
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), -ESHUTDOWN);
    cr_assert_null(served.listener);
    cr_assert_eq(count_fds(), before);
    net_settle(&served.nets[0]);
    struct gyre_loop_stats stats;
    gyre_loop_stats(served.loops[0], &stats);
    cr_assert_eq(stats.posts, 0, "nothing may be accepted on the other loop meanwhile");
    cr_assert_eq(gyre_loop_close(served.loops[0], 0), 0);
    cr_assert_eq(open_at(&served, "127.0.0.1:0"), -ESHUTDOWN);
    end(&served);
}
