/* SPDX-License-Identifier: MIT */
/*
 * timeout - the read and write timeouts of a stream: allocated for those that have some.
 *
 * What     One timer for both. What moves only notes the turn's time; the timer finds out when it
 *          fires, and is armed again for what is left.
 * Progress A send under way completes when all of it has left. What has left of it meanwhile is
 * read
 *          off the operation an eighth of the timeout apart, which is how late a write timeout may
 *          be.
 */
#ifndef GYRE_NET_TIMEOUT_H
#define GYRE_NET_TIMEOUT_H

#include <gyre/timer.h>

#include "net/stream.h"

struct gyre__timeouts {
    struct gyre_timer timer;
    uint64_t read_ns; /* 0: none */
    uint64_t write_ns; /* 0: none */
    uint64_t read_at; /* when something came, or reading began */
    uint64_t write_at; /* when something left, or bytes began to wait */
    int64_t sent; /* of the send under way, when last looked at */
};

/* A deadline that cannot wrap, and that a timer takes. */
static inline uint64_t gyre__deadline(uint64_t now_ns, uint64_t delay_ns)
{
    return delay_ns < GYRE_NEVER - 1 - now_ns ? now_ns + delay_ns : GYRE_NEVER - 1;
}

/* Reading, or waiting to write, has begun. */
void gyre__timeouts_begin_read(struct gyre_stream *stream) GYRE_ON_LOOP;
void gyre__timeouts_begin_write(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Something came. */
void gyre__timeouts_note_read(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Ends and frees them. */
void gyre__timeouts_end(struct gyre_stream *stream) GYRE_ON_LOOP;

#endif
