/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about what ends a stream: resets, timeouts, the loop's end,
 * misuse.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"
#include "support.h"

static char big[4 * GYRE_STREAM_BUFFER];

/* Fills the stream's way out, so that bytes wait. */
static size_t fill(struct user *user)
{
    size_t written = 0;
    size_t taken;
    do {
        taken = user_write(user, big, sizeof(big));
        written += taken;
    } while (taken == sizeof(big));
    return written;
}

/* ---- resets ---------------------------------------------------------------------------------- */

GYRE_TEST(stream_errors, tells_a_reset_from_an_end)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_tcp(&net, &fd);
    raw_send_text(fd, "abc");
    raw_reset(fd);
    net_until(&net, &user->ended);
    cr_assert_str_eq(user->text, "r3 e-104");
    cr_assert_eq(user->status, -ECONNRESET);
    size_t taken;
    cr_assert_eq(gyre_stream_write(user->stream, "x", 1, &taken), -EPIPE);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, 1, 1), -EPIPE);
    user_free(user);

    user = user_on_tcp(&net, &fd);
    raw_send_text(fd, "abc");
    close(fd);
    net_until(&net, &user->ended);
    cr_assert_str_eq(user->text, "r3 e0");
    user_free(user);
    net_close(&net);
}

GYRE_TEST(stream_errors, reset_reaches_the_peer_as_one)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_tcp(&net, &fd);
    gyre_stream_reset(user->stream);
    user->stream = NULL;
    long got;
    while ((got = raw_receive(fd, big, 1)) == -EAGAIN)
        ;
    cr_assert_eq(got, -ECONNRESET);
    cr_assert_str_eq(user->text, "");
    close(fd);
    user_free(user);

    user = user_on_tcp(&net, &fd);
    gyre_stream_close(user->stream);
    user->stream = NULL;
    while (raw_receive(fd, big, 1) == -EAGAIN)
        ;
    cr_assert_eq(raw_receive(fd, big, 1), 0);
    close(fd);
    user_free(user);
    net_close(&net);
}

GYRE_TEST(stream_errors, reset_while_paused_is_told_and_costs_nothing)
{
    struct net net;
    int fd;
    struct gyre_loop_stats before, after;
    net_open(&net);
    struct user *user = user_on_tcp(&net, &fd);
    raw_send_text(fd, "a");
    net_until(&net, &user->received);
    gyre_stream_pause(user->stream);
    raw_reset(fd);
    net_until(&net, &user->ended);
    cr_assert_str_eq(user->text, "r1 e-104");
    net_settle(&net);
    gyre_loop_stats(net.loop, &before);
    net_settle(&net);
    gyre_loop_stats(net.loop, &after);
    cr_assert_eq(after.events, before.events, "no event comes again and again");
    user_free(user);
    net_close(&net);
}

GYRE_TEST(stream_errors, failure_before_bind_is_told_after_it)
{
    struct net net;
    int fds[2];
    net_open(&net);
    pair_tcp(fds);
    struct user *user = user_new(&net);
    user->stream = stream_on(&net, fds[0]);
    size_t taken;
    cr_assert_eq(gyre_stream_write(user->stream, "x", 1, &taken), 0);
    raw_reset(fds[1]);
    int r = 0;
    while (r == 0) { /* until the system knows */
        net_settle(&net);
        r = gyre_stream_write(user->stream, "x", 1, &taken);
    }
    cr_assert_eq(r, -EPIPE);
    net_settle(&net);
    gyre_stream_bind(user->stream, &user_events, user);
    cr_assert_str_eq(user->text, "", "not inside the call");
    net_settle(&net);
    cr_assert_str_eq(user->text, "e-104");
    user_free(user);
    net_close(&net);
}

GYRE_TEST(stream_errors, hang_up_of_a_finished_stream_costs_nothing)
{
    struct net net;
    int fd;
    struct gyre_loop_stats before, after;
    net_open(&net);
    struct user *user = user_on_tcp(&net, &fd);
    gyre_stream_finish(user->stream);
    close(fd);
    net_until(&net, &user->ended);
    net_settle(&net);
    gyre_loop_stats(net.loop, &before);
    net_settle(&net);
    gyre_loop_stats(net.loop, &after);
    cr_assert_eq(after.events, before.events);
    cr_assert_str_eq(user->text, "e0");
    user_free(user);
    net_close(&net);
}

static void write_until_it_fails(struct user *user)
{
    size_t taken;
    if (user->stream != NULL)
        (void)!gyre_stream_write(user->stream, big, 1000, &taken);
}

GYRE_TEST(stream_errors, failed_write_is_told_by_ended_and_not_inside_the_call)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    net_settle(&net);
    close(fd);
    cr_assert_eq(user_write(user, "abc", 3), 3);
    cr_assert_str_eq(user->text, "", "not inside the call");
    size_t taken;
    cr_assert_eq(gyre_stream_write(user->stream, "x", 1, &taken), -EPIPE, "known by now");
    net_settle(&net);
    cr_assert_str_eq(user->text, "e-104", "a peer that is gone has reset");
    user_free(user);

    user = user_on_unix(&net, &fd);
    gyre_stream_pause(user->stream);
    close(fd);
    cr_assert_eq(user_write(user, "abc", 3), 3);
    net_settle(&net);
    cr_assert_str_eq(user->text, "e-104", "also while paused");
    user_free(user);

    user = user_on_unix(&net, &fd);
    user->then = write_until_it_fails;
    user->on_received = ACT_KEEP;
    raw_send_text(fd, "abc");
    close(fd);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 e-104");
    user_free(user);

    user = user_on_unix(&net, &fd);
    shutdown(fd, SHUT_WR);
    net_settle(&net);
    close(fd);
    cr_assert_eq(user_write(user, "abc", 3), 3);
    net_settle(&net);
    cr_assert_str_eq(user->text, "e0 e-104", "an end, and then an error");
    user_free(user);
    net_close(&net);
}

GYRE_TEST(stream_errors, answer_that_came_before_the_reset_is_received)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_tcp(&net, &fd);
    (void)fill(user);
    raw_send_text(fd, "413 too large");
    close(fd); /* with bytes unread: a reset */
    net_until(&net, &user->ended);
    cr_assert_str_eq(user->text, "r13 e-104");
    cr_assert_null(user->stream->out.block);
    user_free(user);
    net_close(&net);
}

GYRE_TEST(stream_errors, stream_can_be_closed_in_its_failure)
{
    struct net net;
    int fd;
    for (int i = 0; i < 2; i++) {
        net_open(&net);
        struct user *user = user_on_tcp(&net, &fd);
        user->on_ended = i == 0 ? ACT_CLOSE : ACT_RESET;
        raw_reset(fd);
        net_until(&net, &user->ended);
        net_settle(&net);
        cr_assert_str_eq(user->text, "e-104");
        user_free(user);
        net_close(&net);
    }
}

/* ---- timeouts -------------------------------------------------------------------------------- */

GYRE_TEST(stream_errors, read_timeout_counts_from_the_last_byte)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, SECOND_NS, 0), 0);
    net_pass(&net, 900 * MS_NS);
    raw_send_text(fd, "a");
    net_pass(&net, 900 * MS_NS);
    raw_send_text(fd, "b");
    net_pass(&net, 999 * MS_NS);
    cr_assert_str_eq(user->text, "r1 r1");
    net_pass(&net, 1 * MS_NS);
    cr_assert_str_eq(user->text, "r1 r1 e-110");
    cr_assert_eq(user->status, -ETIMEDOUT);
    net_pass(&net, 10 * SECOND_NS);
    cr_assert_str_eq(user->text, "r1 r1 e-110", "once");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_errors, read_timeout_does_not_count_while_nothing_is_read)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, SECOND_NS, SECOND_NS), 0);
    gyre_stream_pause(user->stream);
    net_pass(&net, 5 * SECOND_NS);
    gyre_stream_resume(user->stream);
    net_pass(&net, 999 * MS_NS);
    cr_assert_str_eq(user->text, "");
    shutdown(fd, SHUT_WR);
    net_pass(&net, 5 * SECOND_NS);
    cr_assert_str_eq(user->text, "e0", "after the end there is nothing to wait for");
    user_free(user);
    close(fd);

    user = user_on_unix(&net, &fd);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, SECOND_NS, 0), 0);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, 0, 0), 0);
    net_pass(&net, 5 * SECOND_NS);
    cr_assert_str_eq(user->text, "");
    cr_assert_null(user->stream->timeouts, "none are allocated");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_errors, write_timeout_counts_while_bytes_wait)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    int small = 4096; /* so that a little that is read makes room for a little */
    cr_assert_eq(setsockopt(user->stream->channel.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)),
                 0);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, 0, SECOND_NS), 0);
    net_pass(&net, 5 * SECOND_NS);
    (void)fill(user);
    for (int i = 0; i < 5; i++) { /* a little leaves: that is progress */
        net_pass(&net, 800 * MS_NS);
        cr_assert_gt(raw_receive(fd, big, 20000), 0);
    }
    cr_assert_str_eq(user->text, "");
    net_pass(&net, 800 * MS_NS);
    cr_assert_str_eq(user->text, "");
    net_pass(&net, 2 * SECOND_NS);
    cr_assert_str_eq(user->text, "e-110");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_errors, write_timeout_is_at_most_an_eighth_late)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, 0, 800 * MS_NS), 0);
    (void)fill(user);
    net_pass(&net, 799 * MS_NS);
    cr_assert_str_eq(user->text, "");
    net_pass(&net, 102 * MS_NS);
    cr_assert_str_eq(user->text, "e-110");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_errors, stream_can_be_closed_when_its_time_is_over)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->on_ended = ACT_CLOSE;
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, SECOND_NS, SECOND_NS), 0);
    net_pass(&net, 2 * SECOND_NS);
    cr_assert_str_eq(user->text, "e-110");
    cr_assert_eq(raw_receive(fd, big, 1), 0);
    user_free(user);
    close(fd);
    net_close(&net);
}

/* ---- the loop's end -------------------------------------------------------------------------- */

/* Streams in all states, whose loop closes; what each event does is `act`. */
static void close_loop_under(enum act act, bool streams_first)
{
    struct net net;
    struct user *users[5];
    int fds[5];
    net_open(&net);
    for (int i = 0; i < 5; i++) {
        users[i] = user_on_unix(&net, &fds[i]);
        users[i]->on_ended = act;
        cr_assert_eq(gyre_stream_set_timeouts(users[i]->stream, SECOND_NS, SECOND_NS), 0);
    }
    gyre_stream_pause(users[1]->stream);
    (void)fill(users[2]);
    users[3]->on_received = ACT_KEEP;
    raw_send_text(fds[3], "kept");
    net_settle(&net);
    gyre_stream_pause(users[4]->stream); /* its receive is being cancelled */

    cr_assert_eq(gyre_loop_close(net.loop, 0), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(users[i]->ended, 1);
        cr_assert_eq(users[i]->status, -ECANCELED);
        cr_assert(raw_receive(fds[i], big, sizeof(big)) != -EAGAIN, "its descriptor is closed");
        close(fds[i]);
    }
    if (!streams_first)
        net_close(&net);
    for (int i = 0; i < 5; i++)
        user_free(users[i]);
    if (streams_first)
        net_close(&net);
}

GYRE_TEST(stream_errors, loop_that_closes_ends_its_streams)
{
    close_loop_under(ACT_CLOSE, false);
    close_loop_under(ACT_RESET, true);
}

GYRE_TEST(stream_errors, stream_can_be_closed_after_its_loop)
{
    close_loop_under(ACT_NOTHING, true);
    close_loop_under(ACT_NOTHING, false);
}

GYRE_TEST(stream_errors, loop_that_closes_frees_streams_closed_before)
{
    struct net net;
    int fds[2];
    net_open(&net);
    struct user *user = user_on_unix(&net, &fds[0]);
    gyre_stream_close(user->stream);
    user->stream = NULL;
    struct user *other = user_on_unix(&net, &fds[1]);
    (void)fill(other);
    net_settle(&net);
    gyre_stream_close(other->stream); /* while a send has the buffer */
    other->stream = NULL;
    net_close(&net);
    cr_assert_str_eq(user->text, "");
    cr_assert_str_eq(other->text, "");
    user_free(user);
    user_free(other);
    close(fds[0]);
    close(fds[1]);
}

/* ---- misuse and small things ----------------------------------------------------------------- */

struct stray {
    struct gyre_stream *stream;
    int write, timeouts, peer;
};

static void *use_elsewhere(void *arg)
{
    struct stray *stray = arg;
    size_t taken;
    char text[GYRE_ADDRESS_MAX];
    stray->write = gyre_stream_write(stray->stream, "x", 1, &taken);
    stray->timeouts = gyre_stream_set_timeouts(stray->stream, 1, 1);
    stray->peer = gyre_stream_peer(stray->stream, text, sizeof(text));
    gyre_stream_close(stray->stream);
    gyre_stream_reset(stray->stream);
    gyre_stream_pause(stray->stream);
    gyre_stream_finish(stray->stream);
    gyre_stream_resume(stray->stream);
    gyre_stream_bind(stray->stream, NULL, NULL);
    return NULL;
}

static void use_on_a_thread(struct user *user)
{
    struct stray stray = {.stream = user->stream};
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, use_elsewhere, &stray), 0);
    pthread_join(thread, NULL);
    cr_assert_eq(stray.write, -EPERM);
    cr_assert_eq(stray.timeouts, -EPERM);
    cr_assert_eq(stray.peer, -EPERM);
}

static void ignore_line(enum gyre_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    ++*(unsigned *)arg;
}

GYRE_TEST(stream_errors, calls_from_another_thread_are_refused_and_logged)
{
    struct net net;
    int fd;
    unsigned lines = 0;
    gyre_set_log(ignore_line, &lines);
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->then = use_on_a_thread;
    raw_send_text(fd, "abc");
    net_settle(&net);
    user->then = NULL;
    raw_send_text(fd, "d");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r1", "and leave the stream as it was");
    cr_assert_eq(lines, 9);
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_errors, peer_has_an_address)
{
    struct net net;
    int fd;
    char text[GYRE_ADDRESS_MAX];
    net_open(&net);
    struct user *user = user_on_tcp(&net, &fd);
    cr_assert_eq(gyre_stream_loop(user->stream), net.loop);
    cr_assert_eq(gyre_stream_peer(user->stream, text, sizeof(text)), 0);
    cr_assert_eq(strncmp(text, "127.0.0.1:", 10), 0);
    cr_assert_eq(gyre_stream_peer(user->stream, text, 5), -EINVAL);
    raw_reset(fd);
    net_until(&net, &user->ended);
    cr_assert_eq(gyre_stream_peer(user->stream, text, sizeof(text)), -ENOTCONN);
    user_free(user);
    gyre_stream_close(NULL);
    gyre_stream_reset(NULL);
    net_close(&net);
}

GYRE_TEST(stream_errors, idle_stream_is_small)
{
    cr_assert_leq(sizeof(struct gyre_stream), 264);
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->on_received = ACT_ECHO;
    raw_send(fd, big, 30000);
    net_settle(&net);
    cr_assert_eq(raw_receive(fd, big, sizeof(big)), 30000);
    cr_assert_null(user->stream->in.block);
    cr_assert_null(user->stream->out.block);
    cr_assert_null(user->stream->timeouts);
    cr_assert_null(user->stream->by.connect);
    user_free(user);
    close(fd);
    net_close(&net);
}
