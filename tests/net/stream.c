/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about bytes: what is received, kept, written, ended.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"
#include "net/stream.h"
#include "support.h"

static char big[4 * GYRE_STREAM_BUFFER];

/* Reads what the other end of a stream has for us; the result is how much matched the pattern. */
static size_t read_all(struct net *net, int fd, size_t at)
{
    static char data[2 * GYRE_STREAM_BUFFER];
    size_t begin = at;
    for (;;) {
        long got = raw_receive(fd, data, sizeof(data));
        if (got <= 0)
            return at - begin;
        cr_assert(pattern_matches(data, (size_t)got, at));
        at += (size_t)got;
        net_settle(net);
    }
}

/* ---- reading --------------------------------------------------------------------------------- */

GYRE_TEST(stream, accepted_reads_nothing_before_bind)
{
    struct net net;
    int fds[2];
    net_open(&net);
    pair_unix(fds);
    struct user *user = user_new(&net);
    user->stream = stream_on(&net, fds[0]);
    raw_send_text(fds[1], "hello");
    net_settle(&net);
    cr_assert_eq(net.events, 0);

    gyre_stream_bind(user->stream, &user_events, user);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r5");
    cr_assert_eq(memcmp(user->bytes, "hello", 5), 0);
    user_free(user);
    close(fds[1]);
    net_close(&net);
}

GYRE_TEST(stream, gives_bytes_as_they_come)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    raw_send_text(fd, "abc");
    net_settle(&net);
    raw_send_text(fd, "de");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r2");
    cr_assert_eq(memcmp(user->bytes, "abcde", 5), 0);
    cr_assert_null(user->stream->in.block, "an idle stream holds no buffer");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, offers_kept_bytes_again_with_new_ones)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->use_max = 2;
    raw_send_text(fd, "abcde");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r5");
    raw_send_text(fd, "fg");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r5 r5", "not before new ones come");
    user->use_max = 0;
    raw_send_text(fd, "h");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r5 r5 r4");
    cr_assert_eq(memcmp(user->bytes, "abcdefgh", 8), 0);
    cr_assert_null(user->stream->in.block);
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, keeps_64_kib_and_then_reads_nothing)
{
    struct net net;
    int fd;
    char word[32];
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->on_received = ACT_KEEP;
    pattern_fill(big, 3 * GYRE_STREAM_BUFFER / 2, 0);
    size_t sent = 0;
    while (sent < 3 * GYRE_STREAM_BUFFER / 2) {
        raw_send(fd, big + sent, GYRE_STREAM_BUFFER / 4);
        sent += GYRE_STREAM_BUFFER / 4;
        net_settle(&net);
    }
    snprintf(word, sizeof(word), "r%d", GYRE_STREAM_BUFFER);
    cr_assert_not_null(strstr(user->text, word));
    cr_assert_eq(gyre__buffer_bytes(&user->stream->in), GYRE_STREAM_BUFFER);
    cr_assert_eq(user->received, 4);

    user->on_received = ACT_NOTHING;
    gyre_stream_resume(user->stream);
    cr_assert_eq(user->received, 4, "never inside the call");
    net_settle(&net);
    cr_assert_eq(user->bytes_used, sent);
    cr_assert(pattern_matches(user->bytes, sent, 0));
    cr_assert_null(user->stream->in.block);
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, offers_kept_bytes_on_resume_once)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->on_received = ACT_KEEP;
    raw_send_text(fd, "abc");
    net_settle(&net);
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r3");
    gyre_stream_pause(user->stream);
    net_settle(&net);
    gyre_stream_resume(user->stream);
    gyre_stream_pause(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r3", "paused again before the offer");
    user->on_received = ACT_NOTHING;
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r3 r3");
    user_free(user);
    close(fd);
    net_close(&net);
}

static void rebind(struct user *user)
{
    struct user *other = user->data;
    if (user->stream == NULL)
        return;
    other->stream = user->stream;
    user->stream = NULL;
    gyre_stream_bind(other->stream, &user_events, other);
}

GYRE_TEST(stream, hands_kept_bytes_to_whoever_is_bound_next)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *first = user_on_unix(&net, &fd);
    struct user *second = user_new(&net);
    first->use_max = 4;
    first->then = rebind;
    first->data = second;
    raw_send_text(fd, "headbody");
    net_settle(&net);
    cr_assert_str_eq(first->text, "r8");
    cr_assert_str_eq(second->text, "r4");
    cr_assert_eq(memcmp(second->bytes, "body", 4), 0);
    user_free(first);
    user_free(second);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, pause_holds_back_bytes_and_the_end)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    gyre_stream_pause(user->stream);
    raw_send_text(fd, "abc");
    net_settle(&net);
    cr_assert_str_eq(user->text, "");
    shutdown(fd, SHUT_WR);
    net_settle(&net);
    cr_assert_str_eq(user->text, "");
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 e0");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, pause_and_resume_in_one_turn_lose_nothing)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    net_settle(&net);
    for (int i = 0; i < 3; i++) { /* the receive is being cancelled meanwhile */
        gyre_stream_pause(user->stream);
        gyre_stream_resume(user->stream);
    }
    raw_send_text(fd, "abc");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3");
    gyre_stream_resume(user->stream); /* of one that is not paused */
    gyre_stream_pause(user->stream);
    gyre_stream_pause(user->stream);
    raw_send_text(fd, "d");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3");
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r1");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, pause_inside_received_keeps_the_rest)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->on_received = ACT_PAUSE;
    user->use_max = 1;
    raw_send_text(fd, "abc");
    net_settle(&net);
    raw_send_text(fd, "de");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3");
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 r2", "the bytes kept alone; then it is paused again");
    user->on_received = ACT_PAUSE_RESUME;
    user->use_max = 0;
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_eq(user->bytes_used, 5);
    cr_assert_eq(memcmp(user->bytes, "abcde", 5), 0);
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, without_received_drops_bytes)
{
    static const struct gyre_stream_events none;
    struct net net;
    int fds[2];
    net_open(&net);
    pair_unix(fds);
    struct gyre_stream *stream = stream_on(&net, fds[0]);
    gyre_stream_bind(stream, &none, NULL);
    raw_send_text(fds[1], "abc");
    shutdown(fds[1], SHUT_WR);
    net_settle(&net);
    cr_assert(stream->ended);
    cr_assert_null(stream->in.block);
    gyre_stream_bind(stream, NULL, NULL);
    gyre_stream_close(stream);
    net_settle(&net);
    cr_assert_eq(raw_receive(fds[1], big, 1), 0);
    close(fds[1]);
    net_close(&net);
}

/* ---- writing --------------------------------------------------------------------------------- */

GYRE_TEST(stream, write_takes_what_fits_and_drained_tells_when_all_left)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    size_t written = 0;
    size_t taken;
    do {
        pattern_fill(big, sizeof(big), written);
        taken = user_write(user, big, sizeof(big));
        written += taken;
    } while (taken == sizeof(big));
    cr_assert_eq(user_write(user, "x", 1), 0, "full");
    cr_assert_eq(gyre__buffer_bytes(&user->stream->out), GYRE_STREAM_BUFFER);
    net_settle(&net);
    cr_assert_str_eq(user->text, "");

    cr_assert_eq(read_all(&net, fd, 0), written);
    cr_assert_str_eq(user->text, "d", "once, when all of it has left");
    cr_assert_null(user->stream->out.block);
    cr_assert_eq(user_write(user, "x", 1), 1);
    net_settle(&net);
    cr_assert_str_eq(user->text, "d", "nothing was cut short since");
    user_free(user);
    close(fd);
    net_close(&net);
}

static void write_more(struct user *user)
{
    size_t *written = user->data;
    size_t taken;
    if (user->stream == NULL || user->text[user->text_used - 1] != 'd')
        return;
    do {
        pattern_fill(big, 10000, *written);
        taken = user_write(user, big, 10000);
        *written += taken;
    } while (taken == 10000 && *written < 4000000);
}

GYRE_TEST(stream, goes_on_writing_from_drained)
{
    struct net net;
    int fd;
    size_t written = 0;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->then = write_more;
    user->data = &written;
    user->text[user->text_used++] = 'd';
    write_more(user);
    cr_assert_lt(written, 4000000);
    cr_assert_geq(read_all(&net, fd, 0), 4000000);
    cr_assert_gt(user->drained, 3);
    user_free(user);
    close(fd);
    net_close(&net);
}

static unsigned sends;

static int64_t count_send(int fd, const struct gyre__span *spans, unsigned count)
{
    const struct gyre__backend *backend;
    cr_assert_eq(gyre__backend_find(gyre_test_backend(), &backend), 0);
    sends++;
    return backend->descriptors->send(fd, spans, count);
}

static void answer_each_line(struct user *user)
{
    for (int i = 0; i < 3; i++)
        cr_assert_eq(user_write(user, "answer ", 7), 7);
}

GYRE_TEST(stream, writes_inside_received_leave_together)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    struct gyre__backend backend = *user->stream->channel.backend;
    struct gyre__descriptors counting = *backend.descriptors;
    counting.send = count_send;
    backend.descriptors = &counting;
    user->stream->channel.backend = &backend;
    user->then = answer_each_line;
    raw_send_text(fd, "1 2 3");
    net_settle(&net);
    cr_assert_eq(sends, 1);
    cr_assert(raw_has(fd, "answer answer answer "));
    cr_assert_null(user->stream->out.block);
    answer_each_line(user);
    cr_assert_eq(sends, 4, "outside, each leaves at once");
    user_free(user);
    close(fd);
    net_close(&net);
}

static void write_200_kib(struct user *user)
{
    size_t *written = user->data;
    for (int i = 0; i < 20; i++) {
        pattern_fill(big, 10240, *written);
        *written += user_write(user, big, 10240);
    }
    (void)gyre_stream_finish(user->stream); /* drained is not waited for */
    user->then = NULL;
}

GYRE_TEST(stream, writes_inside_received_may_exceed_the_buffer)
{
    struct net net;
    int fd;
    size_t written = 0;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->then = write_200_kib;
    user->data = &written;
    raw_send_text(fd, "go");
    net_settle(&net);
    cr_assert_gt(written, 2 * GYRE_STREAM_BUFFER);
    cr_assert_eq(read_all(&net, fd, 0), written);
    cr_assert_eq(raw_receive(fd, big, 1), 0, "the end comes after everything written");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, finish_ends_after_what_was_written_and_reading_goes_on)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    pattern_fill(big, sizeof(big), 0);
    size_t written = user_write(user, big, sizeof(big));
    size_t waiting = gyre__buffer_bytes(&user->stream->out);
    cr_assert_gt(waiting, 0);
    cr_assert_eq(gyre_stream_finish(user->stream), waiting);
    cr_assert_eq(gyre_stream_finish(user->stream), waiting);
    size_t taken = 7;
    cr_assert_eq(gyre_stream_write(user->stream, "x", 1, &taken), -EPIPE);
    cr_assert_eq(taken, 7, "untouched on failure");
    net_settle(&net);
    cr_assert_eq(read_all(&net, fd, 0), written);
    cr_assert_eq(raw_receive(fd, big, 1), 0);
    raw_send_text(fd, "still");
    net_settle(&net);
    cr_assert_str_eq(user->text, "d r5", "drained tells when all has left");
    cr_assert_eq(gyre_stream_finish(user->stream), 0);
    net_settle(&net);
    cr_assert_str_eq(user->text, "d r5");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, finish_inside_received_follows_the_answer)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->on_received = ACT_ECHO;
    raw_send_text(fd, "abc");
    net_settle(&net);
    cr_assert(raw_has(fd, "abc"));
    user->then = answer_each_line;
    user->on_received = ACT_FINISH;
    user->then = NULL;
    raw_send_text(fd, "d");
    net_settle(&net);
    cr_assert_eq(raw_receive(fd, big, 1), 0);
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream, ended_leaves_the_sending_direction_open)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->use_max = 1;
    raw_send_text(fd, "abc");
    shutdown(fd, SHUT_WR);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 e0");
    cr_assert_null(user->stream->in.block, "bytes kept are void");
    cr_assert_eq(user_write(user, "answer", 6), 6);
    cr_assert(raw_has(fd, "answer"));
    net_settle(&net);
    gyre_stream_pause(user->stream);
    gyre_stream_resume(user->stream);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3 e0", "the end comes once");
    user_free(user);
    close(fd);
    net_close(&net);
}
