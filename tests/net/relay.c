/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about relays: bytes, back-pressure, ends, resets, idleness,
 * cancel.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"
#include "support.h"

static char big[4 * GYRE_STREAM_BUFFER];

/* Two streams joined, and the outer ends of their pairs: what goes into fds[0] comes out at fds[1].
 * */
struct joined {
    struct net *net;
    struct gyre_stream *streams[2];
    int fds[2];
    struct gyre_relay *relay;
    struct gyre_relay_options options;
    unsigned done;
    unsigned cancel_at; /* progress calls until the relay is cancelled; 0: never */
    unsigned inside; /* gyre_stream_relay or gyre_relay_cancel */
    struct gyre_relay_result result;
    uint64_t progress[2];
};

static void on_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    struct joined *joined = arg;
    cr_assert_eq(loop, joined->net->loop);
    cr_assert_eq(joined->inside, 0, "never inside the call that makes it");
    joined->done++;
    joined->result = *result;
}

static void on_progress(void *arg, int direction, size_t bytes)
{
    struct joined *joined = arg;
    cr_assert_gt(bytes, 0);
    joined->progress[direction] += bytes;
    if (joined->cancel_at > 0 && --joined->cancel_at == 0)
        gyre_relay_cancel(joined->relay);
}

static void make_pairs(struct joined *joined, struct net *net, void (*make)(int[2]))
{
    memset(joined, 0, sizeof(*joined));
    joined->net = net;
    gyre_relay_options_init(&joined->options);
    joined->options.progress = on_progress;
    for (int i = 0; i < 2; i++) {
        int fds[2];
        make(fds);
        joined->streams[i] = stream_on(net, fds[0]);
        joined->fds[i] = fds[1];
    }
}

static void join(struct joined *joined)
{
    joined->inside = 1;
    cr_assert_eq(gyre_stream_relay(joined->streams[0], joined->streams[1], &joined->options,
                                   &joined->relay, on_done, joined),
                 0);
    joined->inside = 0;
}

static void close_fds(struct joined *joined)
{
    close(joined->fds[0]);
    close(joined->fds[1]);
}

/* Reads the pattern, from `at` on, until nothing is there any more: how much that was. */
static size_t read_all(struct net *net, int fd, size_t at)
{
    size_t begin = at;
    for (;;) {
        long got = raw_receive(fd, big, sizeof(big));
        if (got <= 0)
            return at - begin;
        cr_assert(pattern_matches(big, (size_t)got, at));
        at += (size_t)got;
        net_settle(net);
    }
}

/* Sends the pattern, from `at` on, until the system takes no more: how much that was. */
static size_t send_all(struct net *net, int fd, size_t at)
{
    size_t begin = at;
    for (;;) {
        pattern_fill(big, 30000, at);
        ssize_t sent = send(fd, big, 30000, MSG_NOSIGNAL);
        if (sent < 0)
            return at - begin;
        at += (size_t)sent;
        net_settle(net);
    }
}

/* ---- bytes ----------------------------------------------------------------------------------- */

GYRE_TEST(relay, passes_bytes_both_ways_and_ends)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    join(&joined);
    raw_send_text(joined.fds[0], "hello");
    raw_send_text(joined.fds[1], "world!");
    net_settle(&net);
    cr_assert(raw_has(joined.fds[1], "hello"));
    cr_assert(raw_has(joined.fds[0], "world!"));
    cr_assert_null(joined.streams[0]->out.block, "none is held while idle");
    cr_assert_null(joined.streams[1]->out.block);

    shutdown(joined.fds[0], SHUT_WR);
    net_settle(&net);
    cr_assert_eq(raw_receive(joined.fds[1], big, 1), 0, "a half-close is passed on as one");
    cr_assert_eq(joined.done, 0);
    raw_send_text(joined.fds[1], "more");
    net_settle(&net);
    cr_assert(raw_has(joined.fds[0], "more"));
    shutdown(joined.fds[1], SHUT_WR);
    net_settle(&net);
    cr_assert_eq(raw_receive(joined.fds[0], big, 1), 0);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, 0);
    cr_assert_eq(joined.result.bytes[0], 5);
    cr_assert_eq(joined.result.bytes[1], 10);
    cr_assert_eq(joined.progress[0], 5);
    cr_assert_eq(joined.progress[1], 10);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay, holds_64_kib_for_a_slow_reader_and_loses_nothing)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    join(&joined);
    size_t sent = send_all(&net, joined.fds[0], 0);
    cr_assert_gt(sent, GYRE_STREAM_BUFFER);
    cr_assert_leq(gyre__buffer_bytes(&joined.streams[1]->out), GYRE_STREAM_BUFFER);
    cr_assert_null(joined.streams[0]->in.block);
    cr_assert_lt(joined.streams[1]->by.relay == NULL ? 0 : joined.progress[0], sent);

    raw_send_text(joined.fds[1], "the other way is free");
    net_settle(&net);
    cr_assert(raw_has(joined.fds[0], "the other way is free"));

    size_t seen = 0;
    while (seen < 3 * sent) { /* it stalls and goes on again and again */
        size_t got = read_all(&net, joined.fds[1], seen);
        cr_assert_gt(got, 0);
        seen += got;
        if (sent < 3 * GYRE_STREAM_BUFFER * 8)
            sent += send_all(&net, joined.fds[0], sent);
        if (seen == sent)
            break;
    }
    cr_assert_eq(seen, sent);
    cr_assert_null(joined.streams[1]->out.block);
    shutdown(joined.fds[0], SHUT_WR);
    shutdown(joined.fds[1], SHUT_WR);
    net_settle(&net);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.bytes[0], sent);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay, end_waits_for_the_bytes_before_it)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    join(&joined);
    size_t sent = send_all(&net, joined.fds[0], 0);
    shutdown(joined.fds[0], SHUT_WR);
    shutdown(joined.fds[1], SHUT_WR);
    net_settle(&net);
    cr_assert_eq(joined.done, 0);
    cr_assert_eq(read_all(&net, joined.fds[1], 0), sent);
    cr_assert_eq(raw_receive(joined.fds[1], big, 1), 0);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, 0);
    close_fds(&joined);
    net_close(&net);
}

/* ---- start ----------------------------------------------------------------------------------- */

GYRE_TEST(relay, sends_kept_and_written_bytes_first)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    struct user *user = user_new(&net);
    user->stream = joined.streams[0];
    user->use_max = 3;
    gyre_stream_bind(user->stream, &user_events, user);
    raw_send_text(joined.fds[0], "abcdef");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r6");
    size_t written = 0;
    size_t taken;
    do { /* bytes of the user's that have not left yet */
        pattern_fill(big, 50000, written);
        cr_assert_eq(gyre_stream_write(joined.streams[1], big, 50000, &taken), 0);
        written += taken;
    } while (taken == 50000);
    join(&joined);
    raw_send_text(joined.fds[0], "ghi");
    net_settle(&net);
    size_t seen = 0;
    while (seen < written) {
        long got = raw_receive(joined.fds[1], big, written - seen);
        cr_assert_gt(got, 0);
        cr_assert(pattern_matches(big, (size_t)got, seen));
        seen += (size_t)got;
        net_settle(&net);
    }
    cr_assert(raw_has(joined.fds[1], "defghi"));
    cr_assert_str_eq(user->text, "r6", "events are the relay's");
    user->stream = NULL;
    gyre_relay_cancel(joined.relay);
    cr_assert_eq(joined.done, 1);
    user_free(user);
    close_fds(&joined);
    net_close(&net);
}

static void join_inside(struct user *user)
{
    struct joined *joined = user->data;
    if (user->stream == NULL)
        return;
    user->stream = NULL;
    size_t taken;
    cr_assert_eq(gyre_stream_write(joined->streams[0], "200 ", 4, &taken), 0);
    join(joined);
}

GYRE_TEST(relay, begins_inside_received_with_what_was_not_used)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    struct user *user = user_new(&net);
    user->stream = joined.streams[0];
    user->use_max = 8;
    user->then = join_inside;
    user->data = &joined;
    gyre_stream_bind(user->stream, &user_events, user);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, SECOND_NS, SECOND_NS), 0);
    raw_send_text(joined.fds[0], "CONNECT body");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r12");
    cr_assert(raw_has(joined.fds[1], "body"));
    cr_assert(raw_has(joined.fds[0], "200 "));
    raw_send_text(joined.fds[1], "reply");
    net_pass(&net, 10 * SECOND_NS);
    cr_assert(raw_has(joined.fds[0], "reply"));
    cr_assert_eq(joined.done, 0, "the stream's timeouts are void");
    gyre_relay_cancel(joined.relay);
    user_free(user);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay, begins_inside_ended_and_ends_that_direction)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    struct user *user = user_new(&net);
    user->stream = joined.streams[0];
    user->then = join_inside;
    user->data = &joined;
    gyre_stream_bind(user->stream, &user_events, user);
    shutdown(joined.fds[0], SHUT_WR);
    net_settle(&net);
    cr_assert_str_eq(user->text, "e0");
    cr_assert_eq(raw_receive(joined.fds[1], big, 1), 0);
    shutdown(joined.fds[1], SHUT_WR);
    net_settle(&net);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, 0);
    user_free(user);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay, of_ended_streams_is_done_later_and_not_inside_the_call)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    for (int i = 0; i < 2; i++) {
        gyre_stream_bind(joined.streams[i], NULL, NULL);
        shutdown(joined.fds[i], SHUT_WR);
    }
    net_settle(&net);
    join(&joined);
    cr_assert_eq(joined.done, 0);
    net_settle(&net);
    cr_assert_eq(joined.done, 1);
    cr_assert_eq(joined.result.status, 0);
    close_fds(&joined);

    make_pairs(&joined, &net, pair_unix);
    for (int i = 0; i < 2; i++) {
        gyre_stream_bind(joined.streams[i], NULL, NULL);
        shutdown(joined.fds[i], SHUT_WR);
    }
    net_settle(&net);
    join(&joined);
    net_close(&net);
    cr_assert_eq(joined.done, 1, "also when the loop closes first");
    close_fds(&joined);
}

GYRE_TEST(relay, refuses_what_cannot_be_joined)
{
    struct net net, other;
    struct joined joined, elsewhere;
    struct gyre_relay *relay = NULL;
    struct gyre_relay_options options;
    net_open(&net);
    net_open(&other);
    make_pairs(&joined, &net, pair_unix);
    make_pairs(&elsewhere, &other, pair_unix);
    struct gyre_stream *a = joined.streams[0];
    struct gyre_stream *b = joined.streams[1];
    cr_assert_eq(gyre_stream_relay(a, a, NULL, &relay, on_done, &joined), -EINVAL);
    cr_assert_eq(gyre_stream_relay(a, elsewhere.streams[0], NULL, &relay, on_done, &joined),
                 -EINVAL);
    gyre_relay_options_init(&options);
    options.size = 1;
    cr_assert_eq(gyre_stream_relay(a, b, &options, &relay, on_done, &joined), -EINVAL);
    struct gyre_stream *connecting;
    char address[64];
    int listener = raw_listen(address);
    cr_assert_eq(gyre_stream_connect(net.loop, address, NULL, &connecting, NULL, NULL), 0);
    cr_assert_eq(gyre_stream_relay(a, connecting, NULL, &relay, on_done, &joined), -ENOTCONN);
    gyre_stream_finish(b);
    cr_assert_eq(gyre_stream_relay(a, b, NULL, &relay, on_done, &joined), -EPIPE);
    cr_assert_null(relay);
    gyre_stream_close(connecting);
    gyre_stream_close(a);
    gyre_stream_close(b);
    for (int i = 0; i < 2; i++)
        gyre_stream_close(elsewhere.streams[i]);
    close_fds(&joined);
    close_fds(&elsewhere);
    close(listener);
    net_close(&net);
    net_close(&other);
}

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

GYRE_TEST(relay, passes_a_reset_on_after_the_bytes_before_it)
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

GYRE_TEST(relay, reset_of_a_side_that_waits_is_not_missed)
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

GYRE_TEST(relay, bytes_before_a_reset_arrive_also_if_sending_finds_it_first)
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

GYRE_TEST(relay, reset_after_a_half_close_is_passed_on)
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

GYRE_TEST(relay, waits_50_ms_at_most_for_a_reader_before_the_reset)
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
    cr_assert_gt(joined.streams[1]->channel.descriptors->unsent(joined.streams[1]->channel.fd), 0);
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

/* ---- idleness, cancel, the loop's end -------------------------------------------------------- */

GYRE_TEST(relay, ends_when_it_was_idle_for_long)
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

GYRE_TEST(relay, is_not_idle_while_a_slow_reader_reads)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    int small = 4096;
    cr_assert_eq(setsockopt(joined.streams[1]->channel.fd, SOL_SOCKET, SO_SNDBUF, &small,
                            sizeof(small)),
                 0);
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

GYRE_TEST(relay, cancel_ends_it_before_it_returns)
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

GYRE_TEST(relay, cancel_resets_both_peers)
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

GYRE_TEST(relay, ends_with_its_loop)
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

/* ---- anything in any order ------------------------------------------------------------------- */

struct transcript {
    uint64_t seed;
    size_t length[2]; /* that each side sends before it ends */
    size_t sent[2];
    size_t seen[2];
    bool ended[2];
};

static void play(struct transcript *transcript, struct joined *joined, int side)
{
    static char data[100000];
    size_t left = transcript->length[side] - transcript->sent[side];
    size_t bytes = 1 + next_random(&transcript->seed) % sizeof(data);
    if (next_random(&transcript->seed) % 2 == 0) {
        bytes = bytes < left ? bytes : left;
        pattern_fill(data, bytes, transcript->sent[side]);
        ssize_t sent = send(joined->fds[side], data, bytes, MSG_NOSIGNAL);
        transcript->sent[side] += sent > 0 ? (size_t)sent : 0;
        if (transcript->sent[side] == transcript->length[side])
            shutdown(joined->fds[side], SHUT_WR);
        return;
    }
    long got = raw_receive(joined->fds[side], data, bytes);
    if (got > 0) {
        cr_assert(pattern_matches(data, (size_t)got, transcript->seen[side]));
        transcript->seen[side] += (size_t)got;
    }
    transcript->ended[side] |= got == 0;
}

GYRE_TEST(relay, keeps_half_close_transcripts_byte_exact)
{
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct transcript transcript = {.seed = seed};
        struct net net;
        struct joined joined;
        net_open(&net);
        make_pairs(&joined, &net, pair_unix);
        join(&joined);
        for (int side = 0; side < 2; side++)
            transcript.length[side] = next_random(&transcript.seed) % 900000;
        while (!transcript.ended[0] || !transcript.ended[1]) {
            play(&transcript, &joined, (int)(next_random(&transcript.seed) % 2));
            if (next_random(&transcript.seed) % 3 == 0)
                net_settle(&net);
        }
        net_settle(&net);
        for (int side = 0; side < 2; side++) {
            cr_assert_eq(transcript.seen[!side], transcript.length[side]);
            cr_assert_eq(joined.result.bytes[side], transcript.length[side]);
        }
        cr_assert_eq(joined.done, 1);
        cr_assert_eq(joined.result.status, 0);
        close_fds(&joined);
        net_close(&net);
    }
}
