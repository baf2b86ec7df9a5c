/* SPDX-License-Identifier: MIT */
/*
 * wire - a channel that says each completion: the letter of the operation (a, r, c, s, x for close,
 * l for lost) and the result, "r5" or "sEPIPE". An accepted connection says "a" and is closed.
 *
 * Settle   Completions of one poll may lead to others. wires_settle turns the loop until a turn
 *          says nothing more. Unix sockets deliver inside the call that sends; for TCP, await what
 *          the kernel is to do first.
 */
#ifndef GYRE_TEST_CONTRACT_WIRE_H
#define GYRE_TEST_CONTRACT_WIRE_H

#include "contract/backend.h"
#include "support.h"

struct wire {
    struct gyre__channel channel;
    struct scene *scene;
    unsigned calls; /* of done */
    uint64_t received; /* bytes */
    unsigned char last; /* byte received */
    /* If not NULL, called at the end of each completion. */
    void (*then)(struct wire *wire, struct gyre__operation *operation, int64_t result);
    struct wire *other; /* for `then` */
};

/* The backend of this run. */
const struct gyre__backend *wire_backend(void);

/* Attaches; must succeed. */
void wire_open(struct wire *wire, struct scene *scene, int fd);

/* A wire at one end of a pair of Unix sockets; the result is the other end. */
int wire_open_pair(struct wire *wire, struct scene *scene);

/* Submissions, with a completion that says what came. */
void wire_accept(struct wire *wire, unsigned accepts_max);
void wire_receive(struct wire *wire);
void wire_connect(struct wire *wire, const struct gyre__address *address);
void wire_send(struct wire *wire, const void *data, size_t bytes);
void wire_cancel(struct gyre__operation *operation);
void wire_close(struct wire *wire);

/* Turns the loop until nothing is said any more. */
void wires_settle(struct scene *scene);

/* Turns the loop up to its next wait, and polls once. */
void wires_poll(struct scene *scene);

/* Closes what is not closed, and the scene. */
void wires_end(struct scene *scene, struct wire *wire);

/* Waits until a descriptor has one of poll's events. */
void await_ready(int fd, short events);

/* A Unix address of this process's own: the pairs' tests run side by side. */
const char *wire_path(void);

/* A socket that listens at an address in text; *ret_address is where. */
int open_listener(const char *text, struct gyre__address *ret_address);

/* A socket for connecting to `address`. */
int open_socket(const struct gyre__address *address);

/* A socket that is connected to `address`, or for which the connect is under way. */
int open_client(const struct gyre__address *address);

/* A wire at one end of a TCP connection; the result is the other end. */
int wire_open_tcp(struct wire *wire, struct scene *scene);

/* Closes a TCP socket so that its peer sees a reset, which it does when this returns. */
void reset_peer(int fd, int peer);

#endif
