/* SPDX-License-Identifier: MIT */
/*
 * served - a listener on one or two scenes, and what it accepted.
 */
#ifndef GYRE_TEST_NET_SERVED_H
#define GYRE_TEST_NET_SERVED_H

#include "support.h"

enum {
    SERVED_MAX = 256
};

/* A listener on one or two scenes, and what it accepted. */
struct served {
    struct net nets[2];
    struct gyre_loop *loops[2];
    unsigned count; /* of scenes */
    struct gyre_listener_options options;
    struct gyre_listener *listener;
    char address[GYRE_ADDRESS_MAX];
    struct gyre_stream *streams[SERVED_MAX];
    unsigned accepted[2]; /* on each loop */
    unsigned total;
    int result; /* of accept */
    bool drop; /* accept closes the stream */
    unsigned stop_at; /* accept number that stops the listener; 0: none */
    unsigned done;
    int done_status;
    struct gyre_loop *done_loop;
    uint64_t turns[SERVED_MAX]; /* of the loop, at each accept */
};

/* The function of its `done` and of its connections. */
int on_done(struct gyre_loop *loop, int status, void *arg);
int on_accept(struct gyre_stream *stream, void *arg);

/* Scenes and default options, no listener yet. */
void serve_nowhere(struct served *served, unsigned count);

/* Opens the listener; the result is the call's. */
int open_at(struct served *served, const char *address);

/* Both; must succeed. */
void serve(struct served *served, unsigned count, const char *address);

/* Runs all loops until nothing happens any more. */
void settle(struct served *served);

/* Lets time pass on all loops, in steps of 5 ms. */
void pass(struct served *served, uint64_t ns);

/* Closes the streams, and the loops without the listener. */
void end(struct served *served);

/* Closes the listener, waits for its end, and ends. */
void stop_and_end(struct served *served);

/* Connects to a path: a descriptor or -errno. */
int connect_unix(const char *path);

/* A path that nobody has. */
void unix_path(char path[64]);

#endif
