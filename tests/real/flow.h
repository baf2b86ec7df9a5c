/* SPDX-License-Identifier: MIT */
/*
 * flow - bytes for the tests with real traffic: seeded streams, their checksums, and the sockets at
 * both ends.
 *
 * What     A flow is a seed and a length. The sender makes its bytes as it goes and sums them up;
 *          the receiver sums up what it gets. Equal sums and lengths: nothing was lost, doubled,
 *          changed or moved.
 * Threads  Each flow_send and flow_receive blocks its thread; the two ends run side by side.
 */
#ifndef FLOW_H
#define FLOW_H

#include <netinet/in.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct flow {
    int fd;
    uint64_t seed; /* of the sender's */
    uint64_t bytes; /* to send, or got: at most what is set before */
    uint64_t slow_bytes; /* of them so many at 1 MiB a second; the rest at full speed */
    uint64_t sum;
    int error; /* errno, 0 if the flow came to its end */
    pthread_t thread;
};

uint64_t flow_now_ms(void);
uint64_t flow_now_us(void);
void flow_sleep_ms(unsigned milliseconds);

/* As threads; join with flow_join. */
bool flow_start_send(struct flow *flow);
bool flow_start_receive(struct flow *flow);
void flow_join(struct flow *flow);

/* Makes, or compares with, the bytes of the stream `seed` from `offset` on. */
void flow_fill(uint64_t seed, uint64_t offset, void *data, size_t bytes);
bool flow_matches(uint64_t seed, uint64_t offset, const void *data, size_t bytes);

/* The next number of the sequence that `state` began as the seed of; less than `below`. */
unsigned flow_draw(uint64_t *state, unsigned below);

/* A listening socket on a free port of 127.0.0.1; its address as text in ret_text (32 bytes). */
int flow_listen(int backlog, char *ret_text);

/* As text (32 bytes), an address that nobody listens at, nor will but for those we tell: it is one
 * of 127.0.0.0/8 made from our pid, whose ports no outgoing connection takes. */
void flow_dead_address(char *ret_text);

/* A connected socket, or -1 with the case failed. Receives time out after 20 s. */
int flow_connect(const struct sockaddr_in *address);

/* As flow_connect, for a peer that may reset at once: -1, and no failure, if that came before
 * connect had returned, which it then says by ECONNRESET. */
int flow_connect_unless_reset(const struct sockaddr_in *address);

int flow_accept(int listener);

/* Closes so that the peer sees a reset. */
void flow_reset(int fd);

/* Sends or receives all `bytes` bytes; false with errno (0: the peer ended) if not. */
bool flow_put(int fd, const void *data, size_t bytes);
bool flow_get(int fd, void *data, size_t bytes);

/* What the peer does next: 0 it ends, ECONNRESET it resets, EBADMSG it sends, EAGAIN nothing. */
int flow_end(int fd);

/* Waits for an event on fd at most so long. */
bool flow_wait(int fd, short events, unsigned milliseconds);

#endif
