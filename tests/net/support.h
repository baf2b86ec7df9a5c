/* SPDX-License-Identifier: MIT */
/*
 * support - what the tests of net share: a loop in virtual time, pairs of sockets with a stream on
 * one end, and events that are written down.
 *
 * Scene    A loop whose clock only its waits move. net_settle runs it until two polls in a row
 *          bring nothing; net_pass does the same and lets so much time pass. Pairs of Unix sockets
 *          deliver inside the call that sends, so that a scene of them has settled when it says so.
 * TCP      Delivers a moment later. net_until runs the scene until a number is no longer 0, at
 *          about the pace of real time; the time limit is ctest's.
 * Record   Each event appends a word: "o" opened, "r5" 5 bytes received, "e0" and "e-104" ended,
 *          "d" drained. What was used of the bytes is kept in `bytes`.
 */
#ifndef GYRE_TEST_NET_SUPPORT_H
#define GYRE_TEST_NET_SUPPORT_H

#include <gyre/gyre.h>

#include "harness/gyre_test.h"

#define MS_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

enum {
    USER_TEXT = 4096,
    USER_BYTES = 1 << 20
};

struct net {
    struct gyre_loop *loop;
    uint64_t now_ns;
    uint64_t until_ns; /* virtual time that may pass */
    uint64_t events; /* of the loop, at the last wait */
    unsigned quiet; /* waits in a row that brought nothing */
    const unsigned *flag; /* of net_until, else NULL */
};

/* A loop on this run's backend. */
void net_open(struct net *net);
void net_open_bounded(struct net *net, uint32_t queue_max);
bool net_try_open(struct net *net);
void net_close(struct net *net);

/* Runs until nothing happens any more. */
void net_settle(struct net *net);

/* Settles, while `ns` of virtual time pass. */
void net_pass(struct net *net, uint64_t ns);

/* Runs until *flag is not 0. */
void net_until(struct net *net, const unsigned *flag);

/* ---- sockets --------------------------------------------------------------------------------- */

/* Two connected sockets, non-blocking. */
void pair_unix(int fds[2]);
void pair_tcp(int fds[2]);

/* A TCP socket that listens at 127.0.0.1, and its address. */
int raw_listen(char address[64]);

/* A TCP connection to 127.0.0.1 at the port of `address`, blocking until made. */
int raw_connect(const char *address);

/* All must succeed. */
void raw_send(int fd, const void *data, size_t bytes);
void raw_send_text(int fd, const char *text);

/* What is there: bytes, 0 at the end, -errno (-EAGAIN: nothing). */
long raw_receive(int fd, void *data, size_t bytes);

/* Whether exactly `text` is there. */
bool raw_has(int fd, const char *text);

/* Closes so that the peer sees a reset. */
void raw_reset(int fd);

/* ---- users of streams ------------------------------------------------------------------------ */

enum act {
    ACT_NOTHING,
    ACT_CLOSE,
    ACT_RESET,
    ACT_PAUSE,
    ACT_RESUME,
    ACT_PAUSE_RESUME,
    ACT_FINISH,
    ACT_ECHO, /* writes what came */
    ACT_KEEP, /* uses nothing */
    ACT_STOP /* the loop */
};

struct user {
    struct gyre_stream *stream; /* NULL once closed */
    struct net *net;
    enum act on_opened;
    enum act on_received;
    enum act on_ended;
    enum act on_drained;
    size_t use_max; /* of a received; 0: all */
    void (*then)(struct user *user); /* called at the end of each event, if not NULL */
    void *data; /* the test's */
    unsigned opened, received, ended, drained; /* events so far */
    int status; /* of the last ended */
    unsigned inside; /* of its events: none may come inside another's */
    char text[USER_TEXT];
    size_t text_used;
    unsigned char *bytes; /* used ones, at most USER_BYTES of them */
    size_t bytes_used;
};

extern const struct gyre_stream_events user_events;

/* A user without a stream; `free` closes its stream, too. */
struct user *user_new(struct net *net);
void user_free(struct user *user);

/* A stream on one end of a pair, bound to a new user; *ret_fd is the other. */
struct user *user_on_unix(struct net *net, int *ret_fd);
struct user *user_on_tcp(struct net *net, int *ret_fd);

/* A stream on fd, bound to nobody. */
struct gyre_stream *stream_on(struct net *net, int fd);

/* Forgets what was written down. */
void user_hush(struct user *user);

/* What a stream's write took. */
size_t user_write(struct user *user, const void *data, size_t bytes);

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Byte number `at` of a stream of bytes that repeats after a prime. */
static inline unsigned char pattern(size_t at)
{
    return (unsigned char)(at % 251 ^ at / 251);
}

void pattern_fill(void *data, size_t bytes, size_t at);
bool pattern_matches(const void *data, size_t bytes, size_t at);

/* A generator with a seed, for tests that try many orders. */
static inline uint32_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33);
}

/* The number of descriptors of this process. */
unsigned count_fds(void);

#endif
