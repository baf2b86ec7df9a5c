/* SPDX-License-Identifier: MIT */
/*
 * outbound - the sending direction of a stream: written bytes, sent at once if the system takes
 * them.
 *
 * Order     While a send operation is under way, or inside `received`, bytes are only appended to
 *           the buffer; otherwise the buffer and the new bytes go to the system together, in one
 *           call, and what it leaves is buffered and submitted. So the buffer never stands still
 *           outside of `received`: either it is empty, or an operation drains it.
 * Gathered  The answers to requests that came in one receive leave in one send (pipelining).
 * Errors    Never told inside write: they wait in `error`, for the receiving side to see its end.
 */
#include <gyre/error.h>

#include "loop/loop.h"
#include "net/relay.h"
#include "net/stream.h"
#include "net/timeout.h"

static bool is_sending(const struct gyre_stream *stream)
{
    return stream->channel.out.state != GYRE__OP_IDLE;
}

void gyre__stream_give_up(struct gyre_stream *stream, int64_t error)
{
    /* -EPIPE is the peer's reset as well, found a moment later. */
    stream->error = (int16_t)(error == -EPIPE ? -ECONNRESET : error);
    stream->cut = false;
    if (!is_sending(stream))
        gyre__buffer_clear(&stream->out, &stream->channel.loop->blocks);
    gyre__stream_steer(stream);
}

void gyre__stream_finish_now(struct gyre_stream *stream)
{
    stream->finished = true;
    /* It fails only on a connection that is gone, which the receiving side learns anyway. */
    (void)stream->channel.backend->descriptors->finish(stream->channel.fd);
}

/* ---- the operation --------------------------------------------------------------------------- */

/* All that was buffered has left. */
GYRE_ON_LOOP static void emptied(struct gyre_stream *stream)
{
    if (stream->finishing && !stream->finished)
        gyre__stream_finish_now(stream);
    if (stream->cut) {
        stream->cut = false;
        if (stream->events->drained != NULL)
            stream->events->drained(stream, stream->arg);
    }
}

static void on_sent(struct gyre__channel *channel, struct gyre__operation *operation,
                    int64_t result, void *data)
{
    struct gyre_stream *stream = gyre__stream_of(channel);
    gyre__assert_on_loop();
    (void)operation;
    (void)data;
    if (gyre__stream_relay(stream) != NULL) {
        gyre__relay_sent(stream, result);
        return;
    }
    if (stream->state != GYRE__STREAM_OPEN)
        return; /* closed, or told of its end */
    struct gyre__stream_call call;
    gyre__stream_enter(stream, &call);
    if (result < 0) {
        gyre__stream_give_up(stream, result);
    } else {
        gyre__buffer_consume(&stream->out, &channel->loop->blocks, (size_t)result);
        if (stream->out.block != NULL)
            gyre__stream_send(stream); /* written while it was under way */
        else
            emptied(stream);
    }
    gyre__stream_leave(stream, &call);
}

void gyre__stream_send(struct gyre_stream *stream)
{
    stream->channel.backend->operations->send(&stream->channel, gyre__buffer_data(&stream->out),
                                              gyre__buffer_bytes(&stream->out), on_sent);
    gyre__timeouts_begin_write(stream);
}

/* ---- the direct way -------------------------------------------------------------------------- */

/* Sends what is buffered and then `data`, as far as the system takes it: how much of `data` left.
 * An error counts as all of it: it is told by `ended`. */
GYRE_ON_LOOP static size_t send_now(struct gyre_stream *stream, const void *data, size_t bytes)
{
    size_t waiting = gyre__buffer_bytes(&stream->out);
    struct gyre__span spans[2] = {{data, bytes}};
    unsigned count = 1;
    if (waiting > 0) {
        spans[0] = (struct gyre__span){gyre__buffer_data(&stream->out), waiting};
        spans[1] = (struct gyre__span){data, bytes};
        count = bytes > 0 ? 2 : 1;
    }
    int64_t sent = stream->channel.backend->descriptors->send(stream->channel.fd, spans, count);
    if (sent == -EAGAIN)
        return 0;
    if (sent < 0) {
        gyre__stream_give_up(stream, sent);
        return bytes;
    }
    size_t buffered = (size_t)sent < waiting ? (size_t)sent : waiting;
    if (buffered > 0)
        gyre__buffer_consume(&stream->out, &stream->channel.loop->blocks, buffered);
    return (size_t)sent - buffered;
}

void gyre__stream_flush(struct gyre_stream *stream)
{
    if (stream->state != GYRE__STREAM_OPEN || gyre__stream_relay(stream) != NULL ||
        is_sending(stream) || gyre__loop_is_inherited(stream->channel.loop))
        return; /* inherited: `received` has forked, and the parent sends what it had written */
    if (stream->out.block != NULL)
        (void)send_now(stream, NULL, 0); /* nothing beyond the buffer */
    if (stream->out.block != NULL)
        gyre__stream_send(stream);
    else if (stream->error == 0 && stream->finishing && !stream->finished)
        gyre__stream_finish_now(stream);
}

/* Copies what fits: how much. */
static size_t copy(struct gyre_stream *stream, const void *data, size_t bytes)
{
    if (stream->out.block != NULL && !is_sending(stream))
        gyre__buffer_compact(&stream->out);
    return gyre__buffer_append(&stream->out, &stream->channel.loop->blocks, data, bytes);
}

/* ---- write and finish ------------------------------------------------------------------------ */

/* Sends and copies what it can. */
GYRE_ON_LOOP static size_t put(struct gyre_stream *stream, const char *data, size_t bytes)
{
    size_t taken = 0;
    bool gather =
        stream->gathering && bytes <= GYRE_STREAM_BUFFER - gyre__buffer_bytes(&stream->out);
    bool direct = !gather && !is_sending(stream);
    if (direct)
        taken = send_now(stream, data, bytes);
    if (taken < bytes)
        taken += copy(stream, data + taken, bytes - taken);
    if (direct && stream->out.block != NULL)
        gyre__stream_send(stream);
    return taken;
}

int gyre_stream_write(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_taken)
{
    int r = gyre__loop_check_owner(stream->channel.loop, "gyre_stream_write");
    if (r != 0)
        return r;
    if (stream->state == GYRE__STREAM_CONNECTING)
        return -ENOTCONN;
    if (stream->state != GYRE__STREAM_OPEN || stream->finishing || stream->error != 0)
        return -EPIPE;
    size_t taken = bytes > 0 ? put(stream, data, bytes) : 0;
    if (taken < bytes) {
        if (stream->out.block == NULL && taken == 0)
            return -ENOMEM;
        if (stream->out.block == NULL)
            gyre__stream_give_up(stream, -ENOMEM); /* no block: nothing would tell when to go on */
        else
            stream->cut = true;
    }
    *ret_taken = taken;
    return 0;
}

size_t gyre_stream_finish(struct gyre_stream *stream)
{
    if (gyre__loop_check_owner(stream->channel.loop, "gyre_stream_finish") != 0)
        return 0;
    if (stream->state == GYRE__STREAM_OPEN && !stream->finishing) {
        stream->finishing = true;
        gyre__stream_flush(stream); /* also inside `received`: there is nothing more to gather */
    } else if (stream->state == GYRE__STREAM_CONNECTING) {
        stream->finishing = true;
    }
    if (stream->state != GYRE__STREAM_OPEN || stream->error != 0 || stream->out.block == NULL)
        return 0;
    stream->cut = true; /* `drained` is owed */
    return gyre__buffer_bytes(&stream->out);
}
