/* SPDX-License-Identifier: MIT */
/*
 * joined - two pairs of sockets whose streams a relay joins, and what came of it.
 */
#ifndef GYRE_TEST_NET_JOINED_H
#define GYRE_TEST_NET_JOINED_H

#include "support.h"

/* Two streams joined, and the outer ends of their pairs: what goes into fds[0] comes out of fds[1].
 */
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

/* Pairs made by `make`, and their streams, not joined yet. */
void make_pairs(struct joined *joined, struct net *net, void (*make)(int[2]));

/* Joins them, with joined->options. */
void join(struct joined *joined);

void close_fds(struct joined *joined);

/* Reads the pattern, from `at` on, until nothing is there any more: how much that was. */
size_t read_all(struct net *net, int fd, size_t at);

/* Sends the pattern, from `at` on, until the system takes no more: how much that was. */
size_t send_all(struct net *net, int fd, size_t at);

/* A relay's `done` for those who make it themselves. */
void on_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg);

#endif
