/* SPDX-License-Identifier: MIT */
/*
 * The sentence of gyre/stream.h about a `received` that runs the loop: what it was given stays as
 * it is, and what comes meanwhile comes afterwards.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

/* What a user's `received` does: has `text` sent to `fd`, and runs the loop. */
struct nested {
    int fd;
    const char *text;
    unsigned on; /* number of the event that does so */
};

/* Ends the outer run, as it must be before another begins, and runs until nothing happens. */
static void settle_inside(struct net *net)
{
    cr_assert_eq(gyre_loop_stop(net->loop), 0);
    cr_assert_eq(gyre_loop_run(net->loop), 0, "the stop was this one's");
    net_settle(net);
}

static void run_inside(struct user *user)
{
    const struct nested *nested = user->data;
    if (user->received != nested->on)
        return;
    raw_send_text(nested->fd, nested->text);
    settle_inside(user->net);
    cr_assert_eq(user->received, nested->on, "nothing is received meanwhile");
    user->on_received = ACT_NOTHING;
}

/* The first run ends with the one inside it. */
static void settle_twice(struct net *net)
{
    net_settle(net);
    net_settle(net);
}

/* Whether exactly `text` was used. */
static bool used(const struct user *user, const char *text)
{
    size_t bytes = strlen(text);
    return user->bytes_used == bytes && memcmp(user->bytes, text, bytes) == 0;
}

GYRE_TEST(nested, run_inside_received_keeps_this_streams_bytes)
{
    struct net net;
    struct nested nested = {.text = "second", .on = 1};
    net_open(&net);
    struct user *user = user_on_unix(&net, &nested.fd);
    user->data = &nested;
    user->then = run_inside;
    user->on_received = ACT_KEEP;
    raw_send_text(nested.fd, "first ");
    settle_twice(&net);
    cr_assert_str_eq(user->text, "r6 r12");
    cr_assert(used(user, "first second"));
    raw_send_text(nested.fd, "third");
    settle_twice(&net);
    cr_assert_str_eq(user->text, "r6 r12 r5", "it receives on");
    user_free(user);
    close(nested.fd);
    net_close(&net);
}

GYRE_TEST(nested, run_inside_received_keeps_this_streams_bytes_if_another_receives)
{
    struct net net;
    struct nested nested = {.text = "others", .on = 1};
    int fd;
    net_open(&net);
    struct user *user = user_on_unix(&net, &fd);
    struct user *other = user_on_unix(&net, &nested.fd);
    user->data = &nested;
    user->then = run_inside;
    user->on_received = ACT_KEEP;
    raw_send_text(fd, "first ");
    settle_twice(&net);
    cr_assert_str_eq(other->text, "r6", "the run served it");
    cr_assert(used(other, "others"));
    raw_send_text(fd, "second");
    settle_twice(&net);
    cr_assert_str_eq(user->text, "r6 r12");
    cr_assert(used(user, "first second"));
    user_free(user);
    user_free(other);
    close(fd);
    close(nested.fd);
    net_close(&net);
}

GYRE_TEST(nested, run_inside_received_of_kept_bytes_uses_those_alone)
{
    for (int resumed = 0; resumed < 2; resumed++) {
        struct net net;
        struct nested nested = {.text = "second", .on = 2};
        net_open(&net);
        struct user *user = user_on_unix(&net, &nested.fd);
        user->data = &nested;
        user->on_received = ACT_KEEP;
        raw_send_text(nested.fd, "kept");
        settle_twice(&net);
        user->on_received = ACT_NOTHING;
        user->then = run_inside;
        if (resumed != 0)
            gyre_stream_resume(user->stream);
        else
            raw_send_text(nested.fd, "x");
        settle_twice(&net);
        cr_assert_str_eq(user->text, resumed != 0 ? "r4 r4 r6" : "r4 r5 r6");
        cr_assert(used(user, resumed != 0 ? "keptsecond" : "keptxsecond"));
        user_free(user);
        close(nested.fd);
        net_close(&net);
    }
}

static void finish_inside(struct user *user)
{
    const struct nested *nested = user->data;
    if (user->ended != 0)
        return;
    close(nested->fd);
    settle_inside(user->net);
    cr_assert_eq(user->ended, 0, "nor the end");
}

GYRE_TEST(nested, run_inside_received_does_not_miss_the_end)
{
    struct net net;
    struct nested nested = {.on = 1};
    net_open(&net);
    struct user *user = user_on_unix(&net, &nested.fd);
    user->data = &nested;
    user->then = finish_inside;
    raw_send_text(nested.fd, "last");
    settle_twice(&net);
    cr_assert_str_eq(user->text, "r4 e0");
    user_free(user);
    net_close(&net);
}

static void close_inside(struct user *user)
{
    struct nested *nested = user->data;
    gyre_stream_close(user->stream);
    user->stream = NULL;
    settle_inside(user->net);
    cr_assert_eq(raw_receive(nested->fd, &(char){0}, 1), 0, "the run closed it");
}

GYRE_TEST(nested, run_inside_received_may_see_the_streams_close)
{
    struct net net;
    struct nested nested = {.on = 1};
    net_open(&net);
    struct user *user = user_on_unix(&net, &nested.fd);
    user->data = &nested;
    user->then = close_inside;
    user->on_received = ACT_KEEP;
    raw_send_text(nested.fd, "last");
    settle_twice(&net);
    cr_assert_str_eq(user->text, "r4");
    user_free(user);
    close(nested.fd);
    net_close(&net);
}

/* ---- relayed inside `received` --------------------------------------------------------------- */

struct relayed {
    struct net *net;
    struct gyre_stream *other;
    int other_fd;
    int third_fd; /* of a stream that keeps what it receives */
    unsigned received;
    unsigned done;
    bool intact;
};

static void note_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    struct relayed *relayed = arg;
    (void)loop;
    cr_assert_eq(result->status, -ECONNRESET);
    relayed->done++;
}

static void relay_and_run(struct gyre_stream *stream, const void *data, size_t bytes,
                          size_t *ret_used, void *arg)
{
    struct relayed *relayed = arg;
    struct gyre_relay *relay;
    if (relayed->received++ == 0) {
        *ret_used = 0;
        return;
    }
    cr_assert_eq(bytes, strlen("keptx"));
    cr_assert_eq(gyre_stream_relay(relayed->other, stream, NULL, &relay, note_done, relayed), 0);
    raw_reset(relayed->other_fd);
    settle_inside(relayed->net);
    raw_send_text(relayed->third_fd, "others");
    settle_inside(relayed->net);
    relayed->intact = memcmp(data, "keptx", bytes) == 0;
}

static const struct gyre_stream_events relaying = {.received = relay_and_run};

GYRE_TEST(nested, relay_that_fails_inside_received_leaves_its_bytes)
{
    struct net net;
    struct relayed relayed = {.net = &net};
    int fds[2];
    int others[2];
    net_open(&net);
    pair_unix(fds);
    pair_tcp(others);
    gyre_stream_bind(stream_on(&net, fds[0]), &relaying, &relayed);
    relayed.other = stream_on(&net, others[0]);
    gyre_stream_bind(relayed.other, NULL, NULL); /* it receives */
    relayed.other_fd = others[1];
    struct user *third = user_on_unix(&net, &relayed.third_fd);
    third->on_received = ACT_KEEP;
    raw_send_text(fds[1], "kept");
    settle_twice(&net);
    raw_send_text(fds[1], "x");
    settle_twice(&net);
    cr_assert_eq(relayed.received, 2);
    cr_assert(relayed.intact);
    net_pass(&net, SECOND_NS);
    cr_assert_eq(relayed.done, 1);
    user_free(third);
    close(relayed.third_fd);
    close(fds[1]);
    net_close(&net);
}
