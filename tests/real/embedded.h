/* SPDX-License-Identifier: MIT */
/*
 * embedded - the work that a loop does inside a foreign one, and what must hold of it: a handler
 * that echoes what a thread sends, callbacks of two threads, timers one after another. All comes to
 * its end only if the foreign loop waits for the right things and no longer than it may.
 */
#ifndef GYRE_TEST_REAL_EMBEDDED_H
#define GYRE_TEST_REAL_EMBEDDED_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <gyre/gyre.h>

enum embedded_sizes {
    EMBEDDED_MESSAGES = 500, /* echoed, one at a time */
    EMBEDDED_POSTS = 20000, /* of each of two threads */
    EMBEDDED_TIMERS = 50, /* a millisecond apart */
    EMBEDDED_PATIENCE_S = 20
};

struct embedded {
    struct gyre_loop *loop;
    int fd; /* of the loop */
    int pair[2]; /* pair[0] is the loop's handler's */
    unsigned echoed;
    unsigned posts;
    unsigned timers;
    unsigned early; /* timers that fired before their time */
    uint64_t deadline_ns; /* of the timer that is armed */
    uint64_t began_ns;
    struct gyre_timer timer;
    pthread_t threads[3];
};

/* Makes a loop with work to do. False: the backend cannot be embedded, or a check failed. */
bool embedded_open(struct embedded *work);

/* How long the foreign loop may wait, in ms, rounded up; also while nothing is to be done. */
int embedded_prepare(struct embedded *work);

/* Makes a turn. True: all is done, or it takes too long, and the foreign loop is to end. */
bool embedded_turn(struct embedded *work);

/* Checks that all was done, and frees it. */
void embedded_close(struct embedded *work);

#endif
