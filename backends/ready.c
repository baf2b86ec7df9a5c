/* SPDX-License-Identifier: MIT */
/*
 * ready - operations made out of readiness, for every backend that has only that.
 *
 * What      A submission tells the poller what to watch, and an event runs the operation it was
 *           for. Nothing here calls the system: descriptors come from the channel, the rest from
 *           the host, so that a simulated world is served as well.
 * Interest  Lazy. A submission adds its bit if the bit is not watched. Nobody takes it off but an
 *           event that finds no operation to claim it, so that a pause and a resume in one turn
 *           cost no system call. Errors stay watched meanwhile.
 * Errors    ERROR goes to whichever operation is active, as readiness: data that came before a
 *           hang-up is read up to the end, and the error is what the descriptor function says. With
 *           none active it would come for ever: the channel is not watched any more, its user is
 *           told, and the next submission watches anew.
 * Fairness  One receive, one send or accepts_max accepts an event; what is over comes with the next
 *           wait. Sends are tried when they are submitted, before any readiness is asked for.
 *
 * States    A completion that waits in the host's queue is the last: its operation awaits nothing.
 *
 *             from        to          when
 *             IDLE        ACTIVE      submitted
 *             ACTIVE      IDLE        before the last completion's function; after one that stopped
 *             ACTIVE      CANCELLING  cancelled while it awaited readiness; -ECANCELED is queued
 *             ACTIVE,     IDLE        the host delivers what is queued
 *             CANCELLING
 */
#include "parts.h"

#include <errno.h>
#include <gyre/stream.h>

/* The one place that changes a state, but for gyre__operation_deliver: the table's last row. */
static void change(struct gyre__operation *operation, enum gyre__operation_state state)
{
    GYRE__ASSERT(state == GYRE__OP_ACTIVE ? operation->state == GYRE__OP_IDLE
                                          : operation->state == GYRE__OP_ACTIVE);
    GYRE__ASSERT(!operation->queued);
    operation->state = (uint8_t)state;
}

/* Whether readiness is for this operation. */
static bool awaits(const struct gyre__operation *operation)
{
    return operation->state == GYRE__OP_ACTIVE && !operation->queued && !operation->stopped;
}

/* As awaits, but not inside its own function: a nested run must not receive into the middle. */
static bool is_open(const struct gyre__operation *operation)
{
    return awaits(operation) && !operation->running;
}

/* Runs a completion of a stream that goes on, unless its function stops it. */
static void complete(struct gyre__operation *operation, int64_t result, void *data)
{
    operation->fn(gyre__channel_of(operation), operation, result, data);
    if (operation->stopped && operation->state == GYRE__OP_ACTIVE)
        change(operation, GYRE__OP_IDLE);
}

/* Runs the last completion. */
static void finish(struct gyre__operation *operation, int64_t result)
{
    change(operation, GYRE__OP_IDLE);
    operation->fn(gyre__channel_of(operation), operation, result, NULL);
}

/* ---- interest -------------------------------------------------------------------------------- */

static void unwatch(struct gyre__channel *channel)
{
    gyre__host_unwatch(channel);
    channel->watched = 0;
}

static int watch(struct gyre__channel *channel, uint32_t events)
{
    events |= GYRE_ERROR;
    uint32_t how = 0;
    if (channel->exclusive) {
        how = GYRE__EXCLUSIVE;
        unwatch(channel); /* such a registration cannot be updated */
    }
    int status = gyre__host_watch(channel, events | how);
    if (status == 0)
        channel->watched = events;
    return status;
}

/* Watches for what an operation just submitted needs. */
static void want(struct gyre__operation *operation, uint32_t event)
{
    struct gyre__channel *channel = gyre__channel_of(operation);
    if ((channel->watched & event) != 0)
        return;
    int status = watch(channel, channel->watched | event);
    if (status != 0)
        gyre__host_complete(channel->loop, operation, status);
}

static void fail(struct gyre__operation *operation, int status)
{
    if (awaits(operation))
        gyre__host_complete(gyre__channel_of(operation)->loop, operation, status);
}

/* Watches no longer for what came unclaimed, unless it was asked for since. */
static void lose_interest(struct gyre__channel *channel, uint32_t unclaimed)
{
    uint32_t events = channel->watched & ~unclaimed;
    if (is_open(&channel->in))
        events |= GYRE_READ;
    if (awaits(&channel->out))
        events |= GYRE_WRITE;
    if (events == channel->watched)
        return;
    int status = watch(channel, events);
    if (status == 0)
        return;
    unwatch(channel);
    fail(&channel->in, status);
    fail(&channel->out, status);
}

/* An error that no operation is there to return. */
static void lose(struct gyre__channel *channel)
{
    unwatch(channel);
    int error = channel->backend->descriptors->connect_result(channel->fd);
    if (error != 0 && channel->lost != NULL)
        channel->lost(channel, error);
}

/* ---- events ---------------------------------------------------------------------------------- */

/* Each accepted connection's function may stop, cancel, close or fork: then none is taken any more,
 * in the child that is. */
static void accept_ready(struct gyre__channel *channel)
{
    struct gyre__operation *accept = &channel->in;
    for (unsigned left = accept->u.accepts_max; left > 0 && awaits(accept); left--) {
        int fd;
        if (gyre__host_is_inherited(channel->loop))
            return;
        int status = channel->backend->descriptors->accept(channel->fd, &fd);
        if (status == -EAGAIN)
            return;
        if (status == 0)
            complete(accept, fd, NULL);
        else if (status != -ECONNABORTED)
            finish(accept, status);
    }
}

static void receive_ready(struct gyre__channel *channel)
{
    struct gyre__operation *receive = &channel->in;
    void *buffer = gyre__host_buffer_take(channel->loop);
    size_t bytes = receive->u.receive_max != 0 ? receive->u.receive_max : GYRE_STREAM_BUFFER;
    int64_t got = -ENOMEM;
    if (buffer != NULL)
        got = channel->backend->descriptors->receive(channel->fd, buffer, bytes);
    if (got > 0) {
        receive->running = true;
        complete(receive, got, buffer);
        receive->running = false;
        if (awaits(receive))
            want(receive, GYRE_READ); /* a nested run may have lost interest */
    } else if (got != -EAGAIN) {
        finish(receive, got);
    }
    gyre__host_buffer_give(channel->loop, buffer);
}

/* Sends what goes: the result of the operation, or -EAGAIN while something is left. */
static int64_t send_some(struct gyre__channel *channel)
{
    struct gyre__operation *send = &channel->out;
    struct gyre__span *span = &send->u.span;
    if (span->bytes > 0) {
        int64_t sent = channel->backend->descriptors->send(channel->fd, span, 1);
        if (sent < 0)
            return sent;
        send->result += sent;
        span->data = (const char *)span->data + sent;
        span->bytes -= (size_t)sent;
    }
    return span->bytes == 0 ? send->result : -EAGAIN;
}

static void out_ready(struct gyre__channel *channel)
{
    int64_t result = channel->out.kind == GYRE__OP_CONNECT
                         ? channel->backend->descriptors->connect_result(channel->fd)
                         : send_some(channel);
    if (result != -EAGAIN)
        finish(&channel->out, result);
}

/* Runs the operations that await the events, inward first. */
static void run_ready(struct gyre__channel *channel, uint32_t events)
{
    uint32_t unclaimed = 0;
    if ((events & (GYRE_READ | GYRE_ERROR)) != 0) {
        if (!is_open(&channel->in))
            unclaimed |= GYRE_READ;
        else if (channel->in.kind == GYRE__OP_RECEIVE)
            receive_ready(channel);
        else
            accept_ready(channel);
    }
    if ((events & (GYRE_WRITE | GYRE_ERROR)) != 0 && !gyre__host_is_inherited(channel->loop)) {
        if (awaits(&channel->out))
            out_ready(channel);
        else
            unclaimed |= GYRE_WRITE;
    }
    if (unclaimed != 0)
        lose_interest(channel, unclaimed);
}

static void ready(struct gyre__channel *channel, uint32_t events)
{
    gyre__channel_enter(channel);
    if ((events & GYRE_ERROR) != 0 && !is_open(&channel->in) && !awaits(&channel->out))
        lose(channel);
    else
        run_ready(channel, events);
    gyre__channel_leave(channel);
}

/* ---- submissions ----------------------------------------------------------------------------- */

static int attach(struct gyre__channel *channel, struct gyre_loop *loop, int fd)
{
    *channel = (struct gyre__channel){
        .loop = loop,
        .backend = channel->backend,
        .in.kind = GYRE__OP_RECEIVE,
        .out.kind = GYRE__OP_SEND,
        .close.kind = GYRE__OP_CLOSE,
        .fd = fd,
    };
    return gyre__host_claim(channel, ready);
}

static void submit(struct gyre__operation *operation, enum gyre__operation_kind kind,
                   gyre__operation_fn *fn)
{
    operation->kind = (uint8_t)kind;
    GYRE__ASSERT(gyre__channel_of(operation)->close.state == GYRE__OP_IDLE);
    change(operation, GYRE__OP_ACTIVE);
    operation->stopped = false;
    operation->result = 0;
    operation->fn = fn;
}

static void submit_accept(struct gyre__channel *channel, unsigned accepts_max,
                          gyre__operation_fn *fn)
{
    GYRE__ASSERT(accepts_max > 0);
    channel->in.u.accepts_max = accepts_max;
    submit(&channel->in, GYRE__OP_ACCEPT, fn);
    want(&channel->in, GYRE_READ);
}

static void submit_receive(struct gyre__channel *channel, gyre__operation_fn *fn)
{
    submit(&channel->in, GYRE__OP_RECEIVE, fn);
    want(&channel->in, GYRE_READ);
}

static void submit_connect(struct gyre__channel *channel, const struct gyre__address *address,
                           gyre__operation_fn *fn)
{
    submit(&channel->out, GYRE__OP_CONNECT, fn);
    int status = channel->backend->descriptors->connect(channel->fd, address);
    if (status == -EINPROGRESS)
        want(&channel->out, GYRE_WRITE);
    else
        gyre__host_complete(channel->loop, &channel->out, status);
}

static void submit_send(struct gyre__channel *channel, const void *data, size_t bytes,
                        gyre__operation_fn *fn)
{
    channel->out.u.span = (struct gyre__span){data, bytes};
    submit(&channel->out, GYRE__OP_SEND, fn);
    int64_t result = send_some(channel);
    if (result == -EAGAIN)
        want(&channel->out, GYRE_WRITE);
    else
        gyre__host_complete(channel->loop, &channel->out, result);
}

static void cancel(struct gyre__operation *operation)
{
    if (!awaits(operation))
        return;
    change(operation, GYRE__OP_CANCELLING);
    gyre__host_complete(gyre__channel_of(operation)->loop, operation, -ECANCELED);
}

static void abandon(struct gyre__channel *channel)
{
    gyre__channel_enter(channel);
    cancel(&channel->in);
    cancel(&channel->out);
    if (channel->lost != NULL)
        channel->lost(channel, -ECANCELED);
    gyre__channel_leave(channel);
}

static void close_channel(struct gyre__channel *channel, gyre__operation_fn *fn)
{
    cancel(&channel->in);
    cancel(&channel->out);
    submit(&channel->close, GYRE__OP_CLOSE, fn);
    if (channel->exclusive && channel->watched != 0)
        unwatch(channel);
    gyre__host_release(channel);
    channel->backend->descriptors->close(channel->fd);
    channel->fd = -1;
    channel->watched = 0;
    if (channel->depth == 0) /* else gyre__channel_leave completes it */
        gyre__host_complete(channel->loop, &channel->close, 0);
}

const struct gyre__operations gyre__operations_ready = {
    .attach = attach,
    .accept = submit_accept,
    .receive = submit_receive,
    .connect = submit_connect,
    .send = submit_send,
    .cancel = cancel,
    .close = close_channel,
    .abandon = abandon,
};
