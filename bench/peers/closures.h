/* SPDX-License-Identifier: MIT */
/*
 * closures - what the users of libuv, libevent and libev write around the one thing that these let
 * another thread do, which is to ring: a list under a mutex.
 *
 * Ring     Only the closure that finds the list empty needs to ring: the loop takes the whole list.
 *          Many programs ring each time; this is them at their best.
 * Memory   closures_add allocates each, and the loop frees it when it has called it.
 *          closures_post takes the caller's, which is the caller's again when it is called.
 */
#ifndef BENCH_CLOSURES_H
#define BENCH_CLOSURES_H

#include <pthread.h>
#include <stdbool.h>

#include "peer.h"

struct peer_message {
    struct peer_message *next;
    peer_fn *fn;
    void *arg;
    bool allocated;
};

struct closures {
    pthread_mutex_t mutex;
    struct peer_message *first;
    struct peer_message **last;
};

void closures_init(struct closures *closures);

/* Appends; true if the caller has to ring. */
bool closures_add(struct closures *closures, peer_fn *fn, void *arg);
bool closures_post(struct closures *closures, struct peer_message *message);

/* Takes the list and calls what is in it, in order. */
void closures_run(struct closures *closures, struct peer_loop *loop);

#endif
