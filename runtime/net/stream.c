/* SPDX-License-Identifier: MIT */
/*
 * stream - the life of a stream: made, attached, failed, closed, freed. See stream.h.
 *
 *   accepted: create + attach ---------------> OPEN --fail--> FAILED
 *   connect.c: create, attach, connected ----> OPEN              |
 *                  |                            |                |
 *                  +--fail--> FAILED            |                |
 *                                               +---- close -----+--> CLOSED --> freed
 */
#include "net/stream.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"
#include "net/connect.h"
#include "net/relay.h"
#include "net/timeout.h"

static const struct gyre_stream_events no_events;

/* ---- made ------------------------------------------------------------------------------------ */

/* The connection is lost, or the loop closes, and no operation was there to tell. */
static void on_lost(struct gyre__channel *channel, int error)
{
    struct gyre_stream *stream = gyre__stream_of(channel);
    gyre__assert_on_loop();
    if (error == -ECANCELED) {
        gyre__stream_fail(stream, error);
        gyre__stream_detach(stream);
    } else if (gyre__stream_relay(stream) != NULL) {
        gyre__relay_lost(stream, error);
    } else if (stream->state == GYRE__STREAM_OPEN) {
        gyre__stream_give_up(stream, error);
    }
}

struct gyre_stream *gyre__stream_create(struct gyre_loop *loop)
{
    struct gyre_stream *stream = gyre__port_allocate(sizeof(*stream));
    if (stream == NULL)
        return NULL;
    stream->channel.loop = loop;
    stream->events = &no_events;
    stream->context = gyre__context_capture();
    stream->state = GYRE__STREAM_CONNECTING;
    return stream;
}

void gyre__stream_free(struct gyre_stream *stream)
{
    gyre__context_drop(stream->context);
    gyre__port_release(stream, sizeof(*stream));
}

int gyre__stream_attach(struct gyre_stream *stream, int fd)
{
    struct gyre_loop *loop = stream->channel.loop;
    stream->channel.backend = loop->backend;
    int r = loop->backend->operations->attach(&stream->channel, loop, fd);
    if (r != 0)
        return r;
    stream->channel.lost = on_lost;
    stream->attached = true;
    return 0;
}

int gyre__stream_accepted(struct gyre_loop *loop, int fd, struct gyre_stream **ret_stream)
{
    struct gyre_stream *stream = gyre__stream_create(loop);
    if (stream == NULL)
        return -ENOMEM;
    /* Else a reply may wait for the peer's delayed acknowledgement; a failure costs only that. */
    (void)loop->backend->descriptors->set_option(fd, GYRE__SOCKET_NODELAY, 1);
    int r = gyre__stream_attach(stream, fd);
    if (r != 0) {
        gyre__stream_free(stream);
        return r;
    }
    stream->state = GYRE__STREAM_OPEN;
    *ret_stream = stream;
    return 0;
}

/* ---- freed ----------------------------------------------------------------------------------- */

/* Frees what nobody can use any more. */
GYRE_ON_LOOP static void settle(struct gyre_stream *stream)
{
    if (stream->depth > 0 || stream->attached)
        return;
    if (stream->state == GYRE__STREAM_FAILED || stream->state == GYRE__STREAM_CLOSED) {
        /* Given back here, and not at the close, for the calls that stand on the stack still read
         * them; nor later: the loop may be gone when a failed stream is closed at last. */
        if (stream->in.block != NULL)
            gyre__buffer_clear(&stream->in, &stream->channel.loop->blocks);
        if (stream->out.block != NULL)
            gyre__buffer_clear(&stream->out, &stream->channel.loop->blocks);
        gyre__connect_free(stream);
    }
    if (stream->state == GYRE__STREAM_CLOSED)
        gyre__stream_free(stream);
}

static void on_closed(struct gyre__channel *channel, struct gyre__operation *operation,
                      int64_t result, void *data)
{
    struct gyre_stream *stream = gyre__stream_of(channel);
    gyre__assert_on_loop();
    (void)operation;
    (void)result;
    (void)data;
    stream->attached = false;
    if (stream->state == GYRE__STREAM_CONNECTING)
        gyre__connect_next(stream);
    else
        settle(stream);
}

void gyre__stream_detach(struct gyre_stream *stream)
{
    if (stream->attached && stream->channel.close.state == GYRE__OP_IDLE)
        stream->channel.backend->operations->close(&stream->channel, on_closed);
}

void gyre__stream_enter(struct gyre_stream *stream, struct gyre__stream_call *call)
{
    GYRE__ASSERT(stream->depth < UINT8_MAX);
    stream->depth++;
    call->context = gyre_context_acquire(stream->context);
    call->before = gyre_context_enter(call->context);
}

void gyre__stream_leave(struct gyre_stream *stream, struct gyre__stream_call *call)
{
    (void)gyre_context_enter(call->before);
    gyre_context_release(call->context);
    if (--stream->depth > 0)
        return;
    if (gyre__stream_relay(stream) != NULL)
        gyre__relay_begin(stream->by.relay);
    else
        settle(stream);
}

/* ---- failed and closed ----------------------------------------------------------------------- */

/* Ends all that goes on by itself. */
GYRE_ON_LOOP static void still(struct gyre_stream *stream)
{
    gyre__timeouts_end(stream);
    if (stream->state == GYRE__STREAM_CONNECTING)
        gyre__connect_stop(stream);
    else
        stream->by.relay = NULL;
}

void gyre__stream_fail(struct gyre_stream *stream, int error)
{
    if (stream->state > GYRE__STREAM_OPEN)
        return;
    if (gyre__stream_relay(stream) != NULL) {
        gyre__relay_abort(stream->by.relay, error);
        return;
    }
    if (!stream->bound && error != -ECANCELED) {
        stream->error = (int16_t)error; /* whoever is bound will be told */
        return;
    }
    still(stream);
    stream->state = GYRE__STREAM_FAILED;
    if (stream->attached) {
        stream->channel.backend->operations->cancel(&stream->channel.in);
        stream->channel.backend->operations->cancel(&stream->channel.out);
    }
    struct gyre__stream_call call;
    gyre__stream_enter(stream, &call);
    if (stream->events->ended != NULL)
        stream->events->ended(stream, error, stream->arg);
    gyre__stream_leave(stream, &call);
}

void gyre__stream_dispose(struct gyre_stream *stream, bool reset)
{
    if (stream->state < GYRE__STREAM_FAILED)
        still(stream);
    stream->state = GYRE__STREAM_CLOSED;
    /* Else an ordinary close: in a child the connection is the parent's too. */
    if (stream->attached && reset && stream->channel.fd >= 0 &&
        !gyre__loop_is_inherited(stream->channel.loop))
        (void)stream->channel.backend->descriptors->set_option(stream->channel.fd,
                                                               GYRE__SOCKET_LINGER_RESET, 1);
    gyre__stream_detach(stream);
    settle(stream);
}

/* A stream that has failed and lost its descriptor may have outlived the loop, and any thread may
 * free it. */
static bool may_close(const struct gyre_stream *stream, const char *function)
{
    if (stream->state == GYRE__STREAM_FAILED && !stream->attached)
        return true;
    return gyre__loop_check_owner(stream->channel.loop, function) == 0;
}

/* In a child: closes its copy of the descriptor. The connection and the registration are the
 * parent's; the memory stays, since that of the loop refers to it. */
static void forsake(struct gyre_stream *stream)
{
    if (stream->attached && stream->channel.fd >= 0)
        stream->channel.backend->descriptors->close(stream->channel.fd);
    stream->channel.fd = -1;
}

GYRE_ON_LOOP static void close_stream(struct gyre_stream *stream, bool reset, const char *function)
{
    if (stream == NULL)
        return;
    if (may_close(stream, function))
        gyre__stream_dispose(stream, reset);
    else if (gyre__loop_is_inherited(stream->channel.loop))
        forsake(stream);
}

void gyre_stream_close(struct gyre_stream *stream)
{
    close_stream(stream, false, "gyre_stream_close");
}

void gyre_stream_reset(struct gyre_stream *stream)
{
    close_stream(stream, true, "gyre_stream_reset");
}

/* ---- small things ---------------------------------------------------------------------------- */

void gyre_stream_bind(struct gyre_stream *stream, const struct gyre_stream_events *events,
                      void *arg)
{
    if (gyre__loop_check_owner(stream->channel.loop, "gyre_stream_bind") != 0)
        return;
    struct gyre_context *before = stream->context;
    stream->context = gyre__context_capture();
    stream->events = events != NULL ? events : &no_events;
    stream->arg = arg;
    stream->bound = true;
    stream->offer = true; /* the bytes kept were another's to refuse */
    gyre__stream_steer(stream);
    gyre__context_drop(before); /* last: it may close the stream, or the loop */
}

struct gyre_loop *gyre_stream_loop(const struct gyre_stream *stream)
{
    return stream->channel.loop;
}

int gyre_stream_peer(const struct gyre_stream *stream, char *text, size_t bytes)
{
    struct gyre__address address;
    const struct gyre__channel *channel = &stream->channel;
    int r = gyre__loop_check_owner(channel->loop, "gyre_stream_peer");
    if (r != 0)
        return r;
    if (stream->state != GYRE__STREAM_OPEN)
        return -ENOTCONN;
    r = channel->backend->descriptors->peer_name(channel->fd, &address);
    return r != 0 ? r : channel->backend->descriptors->format(&address, text, bytes);
}
