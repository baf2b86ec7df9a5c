/* SPDX-License-Identifier: MIT */
/*
 * stream - the struct, and what the parts of net may do with a stream.
 *
 * What     A stream is a channel, a buffer for each direction, and who gets its events. inbound.c
 *          and outbound.c are its two directions; connect.c opens one; a relay takes two over.
 * States   CONNECTING -> OPEN -> FAILED -> CLOSED, each but the last may be left out. Events come
 *          in CONNECTING and OPEN alone; FAILED is entered before `ended` is called with the error.
 * Lifetime The memory lives until three things are over: the user's hold (CLOSED), the channel
 *          (`attached`), and the calls into the user's functions that stand on the stack (`depth`:
 *          a function may close the stream, and run the loop as well).
 * Later    Nothing is called inside a call of the user's that is not `received` itself. A nudge, a
 *          receive that is cancelled at once, has the stream come by in the next turn instead; it
 *          costs no memory and, since interest is lazy, no system call.
 * Errors   An error found while sending waits in `error` until the receiving side has seen its end:
 *          what the peer sent before it went is still delivered (a server's early answer, say).
 * Seam     What TLS will put itself between is few calls: receive and cancel in inbound.c, send in
 *          outbound.c, finish in outbound.c, close in stream.c, and the direct send of relay.c. A
 *          table for them now would be a call through a pointer for each chunk, and nobody to fill
 *          it.
 */
#ifndef GYRE_NET_STREAM_H
#define GYRE_NET_STREAM_H

#include <gyre/stream.h>

#include "contract/backend.h"
#include "net/buffer.h"

struct gyre__connect;
struct gyre__timeouts;

enum gyre__stream_state {
    GYRE__STREAM_CONNECTING, /* `connect` is at work */
    GYRE__STREAM_OPEN, /* the user's, or the relay's */
    GYRE__STREAM_FAILED, /* was told so; only close is left */
    GYRE__STREAM_CLOSED /* the user let go of it */
};

/* Everything is the loop's. */
struct gyre_stream {
    struct gyre__channel channel;
    const struct gyre_stream_events *events; /* never NULL */
    void *arg;
    struct gyre_context *context; /* that the events run in */
    struct gyre__buffer in; /* received and not used */
    struct gyre__buffer out; /* written and not sent */
    struct gyre__timeouts *timeouts; /* NULL: none */
    union {
        struct gyre__connect *connect; /* until OPEN, NULL if accepted */
        struct gyre_relay *relay; /* from OPEN on, NULL: the user's */
    } by;
    int16_t error; /* of a direction, not told yet */
    uint8_t state; /* enum gyre__stream_state */
    uint8_t depth; /* of calls into the user's functions */
    bool attached : 1; /* the channel has a descriptor, or its close is under way */
    bool bound : 1; /* somebody wants to read */
    bool paused : 1;
    bool ended : 1; /* the peer has finished */
    bool offer : 1; /* the bytes kept are to be offered again */
    bool receiving : 1; /* inside the receive's completion, whose end steers */
    bool gathering : 1; /* inside `received`: writes wait for its end */
    bool cut : 1; /* a write took less than it was given: `drained` is owed */
    bool finishing : 1; /* the user has finished */
    bool finished : 1; /* and the system knows */
};

_Static_assert(sizeof(struct gyre_stream) <= 264,
               "two of these, a relay and two handlers are an idle pair, for 1 KiB with the rest");

/* ---- stream.c -------------------------------------------------------------------------------- */

static inline struct gyre_stream *gyre__stream_of(struct gyre__channel *channel)
{
    _Static_assert(offsetof(struct gyre_stream, channel) == 0, "so that this is a cast");
    return (struct gyre_stream *)(void *)channel;
}

/* The relay that has the stream, or NULL. */
static inline struct gyre_relay *gyre__stream_relay(const struct gyre_stream *stream)
{
    return stream->state == GYRE__STREAM_OPEN ? stream->by.relay : NULL;
}

/* A stream without a descriptor, CONNECTING. NULL: no memory. */
struct gyre_stream *gyre__stream_create(struct gyre_loop *loop);

/* Frees a stream without a descriptor. */
void gyre__stream_free(struct gyre_stream *stream);

/* Makes fd the stream's. On failure it stays the caller's. */
int gyre__stream_attach(struct gyre_stream *stream, int fd) GYRE_ON_LOOP;

/* Makes an accepted connection a stream. On failure fd stays the caller's. */
int gyre__stream_accepted(struct gyre_loop *loop, int fd, struct gyre_stream **ret_stream)
    GYRE_ON_LOOP;

/* Has the descriptor closed; the channel is free after its completion. */
void gyre__stream_detach(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Stand around each call of the user's functions, which run in the stream's context; leave may free
 * the stream. */
struct gyre__stream_call {
    struct gyre_context *context; /* with a reference: the function may bind the stream anew */
    struct gyre_context *before;
};
void gyre__stream_enter(struct gyre_stream *stream, struct gyre__stream_call *call);
void gyre__stream_leave(struct gyre_stream *stream, struct gyre__stream_call *call) GYRE_ON_LOOP;

/* Ends a stream that has not ended with an error: tells its user. */
void gyre__stream_fail(struct gyre_stream *stream, int error) GYRE_ON_LOOP;

/* What gyre_stream_close and _reset do. */
void gyre__stream_dispose(struct gyre_stream *stream, bool reset) GYRE_ON_LOOP;

/* ---- inbound.c ------------------------------------------------------------------------------- */

/* Receives, or stops receiving, or has the stream come by, as its state now asks for. */
void gyre__stream_steer(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Submits a receive, for a relay. */
void gyre__stream_receive(struct gyre_stream *stream) GYRE_ON_LOOP;

/* ---- outbound.c ------------------------------------------------------------------------------ */

/* Submits what is buffered, which must be something, to be sent. */
void gyre__stream_send(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Sends what was gathered, and finishes if that was asked for. */
void gyre__stream_flush(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Ends our direction, now that nothing is buffered. */
void gyre__stream_finish_now(struct gyre_stream *stream) GYRE_ON_LOOP;

/* The sending direction has failed: what waits to be sent is void, and the stream fails as soon as
 * the receiving direction has come to its end, or now if that leads nowhere. */
void gyre__stream_give_up(struct gyre_stream *stream, int64_t error) GYRE_ON_LOOP;

#endif
