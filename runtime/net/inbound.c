/* SPDX-License-Identifier: MIT */
/*
 * inbound - the receiving direction of a stream: what comes, what is kept, and when to ask for
 * more.
 *
 * Kept      Bytes that `received` does not use go into a buffer, and a receive is then limited to
 *           the room that it has left: nothing is ever taken from the system that there is no place
 *           for.
 * Steering  Whether to receive follows from the state of the stream (wants), and one function
 *           brings it about. Inside the receive's completion it waits for the end, so that a pause
 *           and a resume there cost nothing and the operation is stopped rather than cancelled.
 * Races     A receive that is being cancelled still completes. Until then nothing can be submitted;
 *           its completion steers again, so that a resume in between is not lost. The end that
 *           comes while the user has paused is not told; the next receive finds it again.
 */
#include <gyre/error.h>

#include "loop/loop.h"
#include "net/relay.h"
#include "net/stream.h"
#include "net/timeout.h"

static gyre__operation_fn on_received;

/* ---- steering -------------------------------------------------------------------------------- */

static bool listens(const struct gyre_stream *stream)
{
    return stream->state == GYRE__STREAM_OPEN && stream->bound && !stream->paused;
}

/* Whether more bytes are wanted from the system. */
static bool wants(const struct gyre_stream *stream)
{
    return listens(stream) && !stream->ended &&
           gyre__buffer_bytes(&stream->in) < GYRE_STREAM_BUFFER;
}

/* Whether the stream is to come by in the next turn: for bytes to offer again, or an error that no
 * receive will lead to. */
static bool wants_nudge(const struct gyre_stream *stream)
{
    if (stream->state != GYRE__STREAM_OPEN || !stream->bound)
        return false;
    if (stream->error != 0 && (stream->error != -ECONNRESET || !wants(stream)))
        return true;
    return stream->offer && stream->in.block != NULL && listens(stream);
}

/* Limits the receive that goes on to the room there is. */
static void limit(struct gyre_stream *stream)
{
    uint32_t room = (uint32_t)(GYRE_STREAM_BUFFER - gyre__buffer_bytes(&stream->in));
    stream->channel.in.u.receive_max = room > 0 ? room : 1; /* none: only for a nudge */
}

void gyre__stream_receive(struct gyre_stream *stream)
{
    limit(stream);
    stream->channel.backend->operations->receive(&stream->channel, on_received);
}

GYRE_ON_LOOP static void nudge(struct gyre_stream *stream)
{
    if (stream->channel.in.state == GYRE__OP_IDLE)
        gyre__stream_receive(stream);
    stream->channel.backend->operations->cancel(&stream->channel.in);
}

void gyre__stream_steer(struct gyre_stream *stream)
{
    if (stream->state != GYRE__STREAM_OPEN || stream->receiving ||
        stream->channel.in.state == GYRE__OP_CANCELLING)
        return;
    if (wants_nudge(stream)) {
        nudge(stream);
    } else if (!wants(stream)) {
        stream->channel.backend->operations->cancel(&stream->channel.in);
    } else if (stream->channel.in.state == GYRE__OP_IDLE) {
        gyre__stream_receive(stream);
        gyre__timeouts_begin_read(stream);
    }
}

/* Steering at the end of the receive's completion, where the operation may still be ACTIVE. */
GYRE_ON_LOOP static void steer_on(struct gyre_stream *stream)
{
    stream->receiving = false;
    if (stream->state != GYRE__STREAM_OPEN)
        return;
    if (gyre__stream_relay(stream) != NULL) {
        /* Begun inside `received`: what was not used is kept, and there may be no room for more. */
        if (stream->in.block != NULL)
            stream->channel.backend->operations->cancel(&stream->channel.in);
        return;
    }
    if (stream->channel.in.state != GYRE__OP_ACTIVE || wants_nudge(stream))
        gyre__stream_steer(stream);
    else if (wants(stream))
        limit(stream);
    else
        gyre__operation_stop(&stream->channel.in);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Offers bytes, and says how many were used. */
GYRE_ON_LOOP static size_t offer(struct gyre_stream *stream, const void *data, size_t bytes)
{
    size_t used = bytes;
    stream->offer = false;
    if (stream->events->received == NULL)
        return used;
    stream->gathering = true;
    stream->events->received(stream, data, bytes, &used, stream->arg);
    stream->gathering = false;
    if (stream->out.block != NULL || stream->finishing)
        gyre__stream_flush(stream);
    GYRE__ASSERT(used <= bytes);
    return used < bytes ? used : bytes;
}

GYRE_ON_LOOP static void offer_kept(struct gyre_stream *stream)
{
    size_t used = offer(stream, gyre__buffer_data(&stream->in), gyre__buffer_bytes(&stream->in));
    gyre__buffer_consume(&stream->in, &stream->channel.loop->blocks, used);
}

/* False: there was no memory, and the stream has failed. */
GYRE_ON_LOOP static bool keep(struct gyre_stream *stream, const unsigned char *data, size_t bytes)
{
    if (bytes == 0 || stream->state != GYRE__STREAM_OPEN)
        return true; /* what is left of a closed stream's bytes is nobody's */
    if (stream->in.block != NULL)
        gyre__buffer_compact(&stream->in);
    if (gyre__buffer_append(&stream->in, &stream->channel.loop->blocks, data, bytes) == bytes)
        return true;
    gyre__stream_fail(stream, -ENOMEM);
    return false;
}

GYRE_ON_LOOP static void take(struct gyre_stream *stream, const unsigned char *data, size_t bytes)
{
    gyre__timeouts_note_read(stream);
    if (listens(stream) && stream->in.block == NULL) {
        size_t used = offer(stream, data, bytes);
        (void)keep(stream, data + used, bytes - used); /* a failure was told */
    } else if (keep(stream, data, bytes) && listens(stream)) {
        offer_kept(stream);
    }
}

/* ---- completions ----------------------------------------------------------------------------- */

GYRE_ON_LOOP static void end_of_peer(struct gyre_stream *stream)
{
    if (!listens(stream))
        return; /* the next receive finds it again */
    stream->ended = true;
    gyre__buffer_clear(&stream->in, &stream->channel.loop->blocks);
    if (stream->events->ended != NULL)
        stream->events->ended(stream, 0, stream->arg);
}

GYRE_ON_LOOP static void complete(struct gyre_stream *stream, int64_t result, void *data)
{
    if (result > 0) {
        take(stream, data, (size_t)result);
        return;
    }
    if (stream->error != 0 && (result != -ECANCELED || wants_nudge(stream))) {
        gyre__stream_fail(stream, stream->error); /* the first error found is the better reason */
        return;
    }
    if (stream->offer && stream->in.block != NULL && listens(stream))
        offer_kept(stream);
    if (stream->state != GYRE__STREAM_OPEN || gyre__stream_relay(stream) != NULL)
        return;
    if (result == 0 && !stream->ended)
        end_of_peer(stream);
    else if (result != 0 && result != -ECANCELED)
        gyre__stream_fail(stream, (int)result);
}

static void on_received(struct gyre__channel *channel, struct gyre__operation *operation,
                        int64_t result, void *data)
{
    struct gyre_stream *stream = gyre__stream_of(channel);
    gyre__assert_on_loop();
    (void)operation;
    if (gyre__stream_relay(stream) != NULL) {
        gyre__relay_received(stream, result, data);
        return;
    }
    if (stream->state != GYRE__STREAM_OPEN)
        return; /* closed, or told of its end */
    struct gyre__stream_call call;
    gyre__stream_enter(stream, &call);
    stream->receiving = true;
    complete(stream, result, data);
    steer_on(stream);
    gyre__stream_leave(stream, &call);
}

/* ---- pause and resume ------------------------------------------------------------------------ */

void gyre_stream_pause(struct gyre_stream *stream)
{
    if (gyre__loop_check_owner(stream->channel.loop, "gyre_stream_pause") != 0)
        return;
    stream->paused = true;
    gyre__stream_steer(stream);
}

void gyre_stream_resume(struct gyre_stream *stream)
{
    if (gyre__loop_check_owner(stream->channel.loop, "gyre_stream_resume") != 0)
        return;
    stream->paused = false;
    stream->offer = true; /* also those that a `received` that is running will not use */
    gyre__stream_steer(stream);
}
