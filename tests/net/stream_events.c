/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about what may be done inside events, and in which order: all of
 * it.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/loop.h"
#include "net/stream.h"
#include "support.h"

static char big[4 * GYRE_STREAM_BUFFER];

/* ---- closing inside events ------------------------------------------------------------------- */

static void close_inside(enum act act)
{
    struct net net;
    int fd;
    net_open(&net);

    struct user *user = user_on_unix(&net, &fd);
    user->on_received = act;
    raw_send_text(fd, "abc");
    shutdown(fd, SHUT_WR);
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3");
    cr_assert_eq(raw_receive(fd, big, 1), 0);
    user_free(user);
    close(fd);

    user = user_on_unix(&net, &fd);
    user->on_ended = act;
    shutdown(fd, SHUT_WR);
    net_settle(&net);
    cr_assert_str_eq(user->text, "e0");
    user_free(user);
    close(fd);

    user = user_on_unix(&net, &fd);
    user->on_drained = act;
    while (user_write(user, big, sizeof(big)) == sizeof(big))
        ;
    while (user->stream != NULL && raw_receive(fd, big, sizeof(big)) > 0)
        net_settle(&net);
    cr_assert_str_eq(user->text, "d");
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_events, can_be_closed_inside_each_event)
{
    close_inside(ACT_CLOSE);
}

GYRE_TEST(stream_events, can_be_reset_inside_each_event)
{
    close_inside(ACT_RESET);
}

static void close_after_writing(struct user *user)
{
    if (user->stream == NULL)
        return;
    cr_assert_eq(user_write(user, "answer", 6), 6);
    struct gyre_stream *stream = user->stream;
    user->stream = NULL;
    gyre_stream_close(stream);
}

GYRE_TEST(stream_events, close_inside_received_drops_what_was_gathered)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->then = close_after_writing;
    user->use_max = 1;
    raw_send_text(fd, "abc");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3");
    cr_assert_eq(raw_receive(fd, big, 10), 0);
    user_free(user);
    close(fd);
    net_close(&net);
}

static int close_and_run(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    (void)arg;
    return gyre_loop_stop(loop);
}

/* Closes the stream, and turns the loop inside the event, as a nested run will. */
static void close_and_turn(struct user *user)
{
    struct gyre_stream *stream = user->stream;
    if (stream == NULL)
        return;
    user->stream = NULL;
    gyre_stream_close(stream);
    for (int i = 0; i < 3; i++)
        (void)gyre__loop_run_completions(user->net->loop);
    cr_assert_eq(gyre_loop_add_callback(user->net->loop, close_and_run, NULL), 0);
}

GYRE_TEST(stream_events, survives_a_nested_run_after_its_close)
{
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->use_max = 1;
    user->then = close_and_turn;
    raw_send_text(fd, "abc");
    net_settle(&net);
    cr_assert_str_eq(user->text, "r3");
    user_free(user);
    close(fd);
    net_close(&net);
}

/* ---- anything in any order ------------------------------------------------------------------- */

struct chaos {
    uint64_t seed;
    size_t sent;
    size_t seen;
    size_t written;
    size_t taken;
};

static void chaos_event(struct user *user)
{
    struct chaos *chaos = user->data;
    if (user->stream == NULL)
        return;
    switch (next_random(&chaos->seed) % 8) {
    case 0:
        gyre_stream_pause(user->stream);
        break;
    case 1:
        gyre_stream_resume(user->stream);
        break;
    case 2:
        gyre_stream_pause(user->stream);
        gyre_stream_resume(user->stream);
        break;
    case 3: {
        size_t bytes = next_random(&chaos->seed) % 100000;
        pattern_fill(big, bytes, chaos->written);
        chaos->written += user_write(user, big, bytes);
        break;
    }
    default:
        user->use_max =
            next_random(&chaos->seed) % 3 == 0 ? 1 + next_random(&chaos->seed) % 70000 : 0;
        break;
    }
}

static void chaos_read(struct net *net, struct user *user, int fd, struct chaos *chaos)
{
    long got = raw_receive(fd, big, 1 + next_random(&chaos->seed) % 150000);
    if (got > 0) {
        cr_assert(pattern_matches(big, (size_t)got, chaos->taken));
        chaos->taken += (size_t)got;
    }
    if (next_random(&chaos->seed) % 3 == 0)
        net_settle(net);
    cr_assert(pattern_matches(user->bytes, user->bytes_used, chaos->seen));
    chaos->seen += user->bytes_used;
    user_hush(user);
}

static void chaos_run(uint64_t seed)
{
    struct chaos chaos = {.seed = seed};
    struct net net;
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    user->then = chaos_event;
    user->data = &chaos;
    for (int i = 0; i < 200; i++) {
        size_t bytes = 1 + next_random(&chaos.seed) % 90000;
        pattern_fill(big, bytes, chaos.sent);
        ssize_t sent = send(fd, big, bytes, MSG_DONTWAIT);
        chaos.sent += sent > 0 ? (size_t)sent : 0;
        chaos_event(user);
        chaos_read(&net, user, fd, &chaos);
    }
    user->then = NULL;
    user->use_max = 0;
    gyre_stream_resume(user->stream);
    (void)gyre_stream_finish(user->stream);
    for (int i = 0; i < 50; i++)
        chaos_read(&net, user, fd, &chaos);
    net_settle(&net);
    chaos_read(&net, user, fd, &chaos);
    cr_assert_eq(chaos.seen, chaos.sent, "seed %llu", (unsigned long long)seed);
    cr_assert_eq(chaos.taken, chaos.written, "seed %llu", (unsigned long long)seed);
    cr_assert_null(user->stream->in.block);
    cr_assert_null(user->stream->out.block);
    user_free(user);
    close(fd);
    net_close(&net);
}

GYRE_TEST(stream_events, keeps_bytes_whole_in_any_order_of_calls)
{
    for (uint64_t seed = 1; seed <= 30; seed++)
        chaos_run(seed);
}
