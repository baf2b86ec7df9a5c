/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about relays: bytes, back-pressure, how they begin.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "joined.h"
#include "net/stream.h"

static char big[4 * GYRE_STREAM_BUFFER];

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

/* Writes to the stream until it takes no more. */
static size_t fill(struct gyre_stream *stream)
{
    size_t written = 0;
    size_t taken;
    do {
        pattern_fill(big, 50000, written);
        cr_assert_eq(gyre_stream_write(stream, big, 50000, &taken), 0);
        written += taken;
    } while (taken == 50000);
    return written;
}

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
    size_t written = fill(joined.streams[1]); /* bytes of the user's that have not left yet */
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

/* A relay that begins inside `received`, which uses `use_max` bytes, while what was written to the
 * other side has not left. */
static void begin_while_the_other_side_is_full(size_t use_max, size_t first)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    struct user *user = user_new(&net);
    user->stream = joined.streams[0];
    user->use_max = use_max;
    user->then = join_inside;
    user->data = &joined;
    size_t written = fill(joined.streams[1]);
    pattern_fill(big, first, written - use_max);
    raw_send(joined.fds[0], big, first);
    gyre_stream_bind(user->stream, &user_events, user);
    net_settle(&net);
    cr_assert_not_null(joined.relay);
    size_t sent = send_all(&net, joined.fds[0], written - use_max + first) + first;
    cr_assert_gt(sent, first);
    cr_assert_eq(joined.done, 0, "it waits for the reader");
    cr_assert_leq(gyre__buffer_bytes(&joined.streams[0]->in), GYRE_STREAM_BUFFER);
    cr_assert_eq(read_all(&net, joined.fds[1], 0), written + sent - use_max);
    cr_assert_eq(joined.done, 0);
    gyre_relay_cancel(joined.relay);
    user_free(user);
    close_fds(&joined);
    net_close(&net);
}

GYRE_TEST(relay, begins_with_unused_bytes_while_the_other_side_is_full)
{
    begin_while_the_other_side_is_full(1, GYRE_STREAM_BUFFER);
    begin_while_the_other_side_is_full(1000, 3000);
}

GYRE_TEST(relay, begins_with_bytes_kept_and_used_in_turn_while_the_other_side_is_full)
{
    struct net net;
    struct joined joined;
    net_open(&net);
    make_pairs(&joined, &net, pair_unix);
    struct user *user = user_new(&net);
    user->stream = joined.streams[0];
    user->use_max = 10000;
    gyre_stream_bind(user->stream, &user_events, user);
    size_t written = fill(joined.streams[1]);
    size_t at = written - 2 * user->use_max; /* of the first byte that is sent */
    pattern_fill(big, GYRE_STREAM_BUFFER + user->use_max, at);
    raw_send(joined.fds[0], big, GYRE_STREAM_BUFFER);
    net_settle(&net);
    raw_send(joined.fds[0], big + GYRE_STREAM_BUFFER, user->use_max);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r65536 r65536", "what is kept begins in the middle now");
    user->stream = NULL;
    join(&joined);
    size_t end = at + GYRE_STREAM_BUFFER + user->use_max;
    end += send_all(&net, joined.fds[0], end);
    cr_assert_eq(joined.done, 0);
    cr_assert_eq(read_all(&net, joined.fds[1], 0), end);
    cr_assert_eq(joined.done, 0);
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
