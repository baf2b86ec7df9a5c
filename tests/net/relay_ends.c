/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about the ends of relays: resets, idleness, cancel, the loop's
 * end.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "joined.h"
#include "net/stream.h"

static char big[4 * GYRE_STREAM_BUFFER];

/* ---- resets ---------------------------------------------------------------------------------- */

/* Reads the pattern of a blocked reader until the end or an error, which is the result. */
static long read_to_end(struct net *net, int fd, size_t *ret_bytes)
{
    for (;;) {
        long got = raw_receive(fd, big, sizeof(big));
        if (got == -EAGAIN) {
            net_settle(net);
            continue;
        }
        if (got <= 0)
            return got;
        cr_assert(pattern_matches(big, (size_t)got, *ret_bytes));
        *ret_bytes += (size_t)got;
    }
}

GYRE_TEST(relay_ends, passes_a_reset_on_after_the_bytes_before_it)
{
    struct net net;
    struct joined joined;
    size_t seen = 0;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    join(&joined);
    pattern_fill(big, 40000, 0);
    raw_send(joined.fds[0], big, 40000);
    raw_reset(joined.fds[0]);
    net_until(&net, &joined.done);
    cr_assert_eq(joined.result.status, -ECONNRESET);
    cr_assert_eq(joined.result.bytes[0], 40000);
    cr_assert_eq(read_to_end(&net, joined.fds[1], &seen), -ECONNRESET);
    cr_assert_eq(seen, 40000);
    close(joined.fds[1]);
    net_close(&net);
}

GYRE_TEST(relay_ends, reset_of_a_side_that_waits_is_not_missed)
{
    struct net net;
    struct joined joined;
    size_t seen = 0;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    join(&joined);
    size_t sent = send_all(&net, joined.fds[0], 0);
    while (joined.streams[1]->out.block == NULL) { /* until the reader's side stands still */
        sent += send_all(&net, joined.fds[0], sent);
        net_settle(&net);
    }
    raw_reset(joined.fds[0]); /* and what the system still has to send goes with it */
    cr_assert_eq(joined.done, 0);
    for (int i = 0; i < 100 && joined.done == 0; i++) {
        net_pass(&net, MS_NS);
        long got = raw_receive(joined.fds[1], big, sizeof(big));
        if (got > 0)
            cr_assert(pattern_matches(big, (size_t)got, seen));
        seen += got > 0 ? (size_t)got : 0;
        i = got > 0 ? 0 : i;
    }
    while (joined.done == 0)
        net_pass(&net, MS_NS);
    cr_assert_eq(joined.result.status, -ECONNRESET);
    (void)read_to_end(&net, joined.fds[1], &seen);
    cr_assert_eq(seen, joined.result.bytes[0], "all that the relay had got");
    close(joined.fds[1]);
    net_close(&net);
}

GYRE_TEST(relay_ends, bytes_before_a_reset_arrive_also_if_sending_finds_it_first)
{
    struct net net;
    struct joined joined;
    size_t seen = 0;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    join(&joined);
    pattern_fill(big, 30000, 0);
    raw_send(joined.fds[0], big, 30000);
    raw_reset(joined.fds[0]);
    raw_send_text(joined.fds[1], "to nobody");
    net_until(&net, &joined.done);
    cr_assert_eq(joined.result.status, -ECONNRESET);
    cr_assert_eq(read_to_end(&net, joined.fds[1], &seen), -ECONNRESET);
    cr_assert_eq(seen, 30000);
    close(joined.fds[1]);
    net_close(&net);
}

GYRE_TEST(relay_ends, reset_after_a_half_close_is_passed_on)
{
    struct net net;
    struct joined joined;
    size_t seen = 0;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    join(&joined);
    shutdown(joined.fds[0], SHUT_WR);
    while (raw_receive(joined.fds[1], big, 1) == -EAGAIN)
        net_settle(&net);
    cr_assert_eq(joined.done, 0);
    raw_reset(joined.fds[0]);
    net_until(&net, &joined.done);
    cr_assert_eq(joined.result.status, -ECONNRESET, "nobody had to send for it to be seen");
    long end = read_to_end(&net, joined.fds[1], &seen);
    cr_assert(end == 0 || end == -ECONNRESET, "it had read its end before");
    cr_assert_lt(send(joined.fds[1], "x", 1, MSG_NOSIGNAL), 0);
    close(joined.fds[1]);
    net_close(&net);
}

GYRE_TEST(relay_ends, waits_50_ms_at_most_for_a_reader_before_the_reset)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    int small = 4096;
    cr_assert_eq(setsockopt(joined.fds[1], SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    join(&joined);
    for (size_t sent = 0; sent < 400000; sent += 4000) { /* more than the reader's window */
        raw_send(joined.fds[0], big, 4000);
        while (joined.progress[0] < sent)
            net_settle(&net);
    }
    cr_assert_gt(
        joined.streams[1]->channel.backend->descriptors->unsent(joined.streams[1]->channel.fd), 0);
    raw_reset(joined.fds[0]);
    while (joined.streams[0]->error == 0)
        net_settle(&net);
    net_pass(&net, 49 * MS_NS);
    cr_assert_eq(joined.done, 0);
    net_pass(&net, 1 * MS_NS);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, -ECONNRESET);
    close(joined.fds[1]);
    net_close(&net);
}

/* ---- a reader that stands still -------------------------------------------------------------- */

GYRE_TEST(relay_ends, does_not_end_because_kept_bytes_wait_for_a_reader)
{
    struct net net;
    struct joined joined;
    size_t written = 0;
    size_t taken;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    struct user *user = user_new(&net);
    user->stream = joined.streams[0];
    user->on_received = ACT_KEEP;
    gyre_stream_bind(user->stream, &user_events, user);
    do { /* until the system and the stream take no more */
        pattern_fill(big, 30000, written);
        cr_assert_eq(gyre_stream_write(joined.streams[1], big, 30000, &taken), 0);
        written += taken;
    } while (taken == 30000);
    pattern_fill(big, 100000, written);
    raw_send(joined.fds[0], big, 40000);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r40000");
    join(&joined);
    user->stream = NULL;
    raw_send(joined.fds[0], big + 40000, 60000);
    net_settle(&net);
    cr_assert_eq(joined.done, 0);
    cr_assert_eq(read_all(&net, joined.fds[1], 0), written + 100000);
    gyre_relay_cancel(joined.relay);
    cr_assert_geq(joined.result.bytes[0], 100000);
    user_free(user);
    close_fds(&joined);
    net_close(&net);
}

/* ---- idleness, cancel, the loop's end -------------------------------------------------------- */

GYRE_TEST(relay_ends, ends_when_it_was_idle_for_long)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    joined.options.idle_ns = SECOND_NS;
    join(&joined);
    for (int i = 0; i < 4; i++) {
        net_pass(&net, 900 * MS_NS);
        raw_send_text(joined.fds[i % 2], "x");
        net_settle(&net);
    }
    net_pass(&net, 999 * MS_NS);
    cr_assert_eq(joined.done, 0);
    net_pass(&net, 1 * MS_NS);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, -ETIMEDOUT);
    cr_assert_eq(joined.result.bytes[0], 2);
    cr_assert_eq(joined.result.bytes[1], 2);
    close_fds(&joined);

    make_pairs(&joined, &net, pair_unix);
    join(&joined);
    net_pass(&net, 1000 * SECOND_NS);
    cr_assert_eq(joined.done, 0, "never, by default");
    gyre_relay_cancel(joined.relay);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay_ends, is_not_idle_while_a_slow_reader_reads)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    int small = 4096;
    cr_assert_eq(
        setsockopt(joined.streams[1]->channel.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
    joined.options.idle_ns = SECOND_NS;
    join(&joined);
    size_t sent = send_all(&net, joined.fds[0], 0);
    size_t seen = 0;
    for (int i = 0; i < 5; i++) {
        net_pass(&net, 700 * MS_NS);
        long got = raw_receive(joined.fds[1], big, 20000);
        cr_assert_gt(got, 0);
        seen += (size_t)got;
    }
    cr_assert_lt(seen, sent);
    cr_assert_eq(joined.done, 0);
    net_pass(&net, 3 * SECOND_NS);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, -ETIMEDOUT);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay_ends, is_not_idle_while_the_system_still_delivers)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    const struct gyre__channel *to = &joined.streams[1]->channel;
    int room = 400000; /* for all: the relay itself has nothing left to send */
    int window = 32768;
    cr_assert_eq(setsockopt(to->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)), 0);
    cr_assert_eq(setsockopt(joined.fds[1], SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)), 0);
    joined.options.idle_ns = SECOND_NS;
    join(&joined);
    size_t sent = 0, seen = 0;
    for (; sent < 6 * 40000; sent += 40000) {
        pattern_fill(big, 40000, sent);
        raw_send(joined.fds[0], big, 40000);
        net_settle(&net);
    }
    cr_assert_eq(joined.progress[0], sent);
    unsigned reads = 0;
    for (; to->backend->descriptors->unsent(to->fd) > 0; reads++) {
        net_pass(&net, 900 * MS_NS);
        cr_assert_eq(joined.done, 0, "after %zu bytes", seen);
        long got = raw_receive(joined.fds[1], big, sizeof(big)); /* what fitted the window */
        cr_assert_gt(got, 0);
        cr_assert(pattern_matches(big, (size_t)got, seen));
        seen += (size_t)got;
    }
    cr_assert_gt(reads, 2);
    seen += read_all(&net, joined.fds[1], seen);
    cr_assert_eq(seen, sent);
    net_pass(&net, 3 * SECOND_NS);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, -ETIMEDOUT);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay_ends, cancel_ends_it_before_it_returns)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    join(&joined);
    (void)send_all(&net, joined.fds[0], 0);
    gyre_relay_cancel(joined.relay);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, -ECANCELED);
    net_settle(&net);
    cr_assert_eq(joined.done, 1);
    close_fds(&joined);

    make_pairs(&joined, &net, pair_unix);
    joined.cancel_at = 2;
    join(&joined);
    raw_send_text(joined.fds[0], "abc");
    net_settle(&net);
    raw_send_text(joined.fds[1], "d");
    net_settle(&net);
    cr_assert_eq(joined.done, 1, "inside progress");
    cr_assert_eq(joined.result.bytes[0], 3);
    cr_assert_eq(joined.result.bytes[1], 1);
    close_fds(&joined);

    make_pairs(&joined, &net, pair_unix);
    joined.cancel_at = 1;
    join(&joined);
    size_t sent = send_all(&net, joined.fds[0], 0);
    cr_assert_gt(sent, 0);
    cr_assert_eq(joined.done, 1, "inside progress of a chunk that the system took a part of");
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay_ends, cancel_resets_both_peers)
{
    struct net net;
    struct joined joined;
    size_t seen = 0;
    net_open(&net);
    make_pairs(&joined, &net, pair_tcp);
    join(&joined);
    net_settle(&net);
    gyre_relay_cancel(joined.relay);
    cr_assert_eq(read_to_end(&net, joined.fds[0], &seen), -ECONNRESET);
    cr_assert_eq(read_to_end(&net, joined.fds[1], &seen), -ECONNRESET);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay_ends, ends_with_its_loop)
{
    struct net net;
    struct joined joined[4];
    net_open(&net);
    for (int i = 0; i < 4; i++) {
        make_pairs(&joined[i], &net, pair_unix);
        joined[i].options.idle_ns = i % 2 == 0 ? SECOND_NS : 0;
        join(&joined[i]);
    }
    (void)send_all(&net, joined[1].fds[0], 0);
    shutdown(joined[2].fds[0], SHUT_WR);
    (void)send_all(&net, joined[3].fds[0], 0);
    shutdown(joined[3].fds[1], SHUT_WR);
    net_settle(&net);
    net_close(&net);
    for (int i = 0; i < 4; i++) {
        cr_assert_eq(joined[i].done, 1);
        cr_assert_eq(joined[i].result.status, -ECANCELED);
        close_fds(&joined[i]);
    }
}
