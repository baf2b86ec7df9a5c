/* SPDX-License-Identifier: MIT */
/*
 * joined - see joined.h.
 */
#include "joined.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char big[4 * GYRE_STREAM_BUFFER];

void on_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
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

void make_pairs(struct joined *joined, struct net *net, void (*make)(int[2]))
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

void join(struct joined *joined)
{
    joined->inside = 1;
    cr_assert_eq(gyre_stream_relay(joined->streams[0], joined->streams[1], &joined->options,
                                   &joined->relay, on_done, joined),
                 0);
    joined->inside = 0;
}

void close_fds(struct joined *joined)
{
    close(joined->fds[0]);
    close(joined->fds[1]);
}

size_t read_all(struct net *net, int fd, size_t at)
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

size_t send_all(struct net *net, int fd, size_t at)
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
