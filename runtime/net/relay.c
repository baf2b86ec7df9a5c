/* SPDX-License-Identifier: MIT */
/*
 * relay - two streams joined: what one receives, the other sends.
 *
 *   streams[0] --- direction 0 ---> streams[1]      the bytes of direction d come from streams[d]
 *   streams[0] <--- direction 1 --- streams[1]      and wait in the `out` of streams[!d]
 *
 * Usual    A completed receive is sent from the buffer that it came in, directly: one receive and
 *          one send a chunk, no copy, no allocation, no change of interest. What the system does
 *          not take is copied into a block, the receive stops, and goes on when the block has
 *          drained.
 * End      0 from one side: once its bytes have left, the other side is finished. Both: done.
 * Failure  The side that fails first gets nothing more. What it had sent before is still read, to
 *          its end, and sent on; then the other side is reset. A reset discards what the system
 *          has not delivered, so it waits for that, 50 ms at most: a reset must arrive within 100.
 * States   WAITING -> RUNNING -> LINGERING -> DONE; RUNNING -> DOOMED -> DONE when it would have
 *          ended inside the call that made it.
 * Lifetime The user's functions (progress, done) may cancel the relay and run the loop: the memory
 *          goes with the last of the calls into this file (`depth`).
 */
#include "net/relay.h"

#include <gyre/error.h>
#include <gyre/timer.h>

#include "loop/context.h"
#include "loop/loop.h"
#include "net/timeout.h"

enum {
    LINGER_NS = 50 * 1000 * 1000, /* see Failure */
    LINGER_STEP_NS = 1000 * 1000 /* first look again after this; then as long as it has been */
};

enum relay_state {
    WAITING, /* for the calls into the user's functions that stand on the stack */
    RUNNING,
    DOOMED, /* ends with the timer: `done` is never called inside gyre_stream_relay */
    LINGERING, /* all was sent that could be; the reset waits */
    DONE /* done was called; the memory waits */
};

/* Everything is the loop's. */
struct gyre_relay {
    struct gyre_timer timer; /* of idleness; of lingering; of doom */
    struct gyre_stream *streams[2];
    uint64_t bytes[2];
    gyre_relay_fn *done; /* may be NULL */
    void *arg;
    struct gyre_context *context; /* of done and progress */
    void (*progress)(void *arg, int direction, size_t bytes); /* may be NULL */
    uint64_t idle_ns;
    uint64_t active_at; /* when a byte last moved; when lingering began */
    int64_t taken; /* see taken(), when last looked at */
    int16_t status; /* of the end that is coming */
    uint8_t state; /* enum relay_state */
    uint8_t depth; /* of calls into this file */
    int8_t failed; /* the side that did so first, -1: none */
    bool inside; /* inside gyre_stream_relay */
};

_Static_assert(sizeof(struct gyre_relay) <= 208, "part of an idle pair's 1 KiB");

static const struct gyre_relay_options defaults = {.size = sizeof(struct gyre_relay_options)};

void gyre_relay_options_init(struct gyre_relay_options *options)
{
    *options = defaults;
}

static int side_of(const struct gyre_stream *stream)
{
    return stream == stream->by.relay->streams[1];
}

static struct gyre_loop *loop_of(const struct gyre_relay *relay)
{
    return relay->streams[0]->channel.loop;
}

static bool is_sending(const struct gyre_stream *stream)
{
    return stream->channel.out.state != GYRE__OP_IDLE;
}

static void clear(struct gyre__buffer *buffer, struct gyre_relay *relay)
{
    gyre__buffer_clear(buffer, &loop_of(relay)->blocks);
}

/* ---- end ------------------------------------------------------------------------------------- */

static void enter(struct gyre_relay *relay)
{
    relay->depth++;
}

static void leave(struct gyre_relay *relay)
{
    if (--relay->depth > 0 || relay->state != DONE)
        return;
    struct gyre_context *context = relay->context;
    gyre__port_release(relay, sizeof(*relay));
    gyre__context_drop(context);
}

GYRE_ON_LOOP static void conclude(struct gyre_relay *relay, int status)
{
    if (relay->state == DONE)
        return;
    struct gyre_loop *loop = loop_of(relay);
    if (relay->inside) {
        relay->state = DOOMED;
        relay->status = (int16_t)status;
        (void)gyre__timer_start_own(&relay->timer, gyre__loop_turn_ns(loop)); /* the loop is open */
        return;
    }
    relay->state = DONE;
    (void)gyre_timer_stop(&relay->timer); /* the caller is the owner */
    for (int side = 0; side < 2; side++)
        gyre__stream_dispose(relay->streams[side], status != 0);
    struct gyre_relay_result result = {status, {relay->bytes[0], relay->bytes[1]}};
    if (relay->done == NULL)
        return;
    struct gyre_context *before = gyre_context_enter(relay->context);
    relay->done(loop, &result, relay->arg);
    (void)gyre_context_enter(before);
}

/* Resets the other side once the system has delivered what it was given. */
GYRE_ON_LOOP static void linger(struct gyre_relay *relay)
{
    const struct gyre__channel *other = &relay->streams[!relay->failed]->channel;
    uint64_t now = gyre_loop_now_ns(loop_of(relay));
    if (relay->state == RUNNING)
        relay->active_at = now;
    relay->state = LINGERING;
    uint64_t lingered = now - relay->active_at;
    uint64_t step = lingered < LINGER_STEP_NS ? LINGER_STEP_NS : lingered;
    uint64_t next = lingered + step < LINGER_NS ? now + step : relay->active_at + LINGER_NS;
    if (lingered >= LINGER_NS || other->backend->descriptors->unsent(other->fd) <= 0 ||
        gyre__timer_start_own(&relay->timer, next) != 0)
        conclude(relay, relay->status);
}

/* ---- moving bytes ---------------------------------------------------------------------------- */

/* Counts bytes sent on. False: the relay is no longer running; in a child never, should `progress`
 * fork. */
GYRE_ON_LOOP static bool count(struct gyre_relay *relay, int direction, size_t bytes)
{
    relay->bytes[direction] += bytes;
    if (relay->idle_ns != 0)
        relay->active_at = gyre__loop_turn_ns(loop_of(relay));
    if (relay->progress != NULL && bytes > 0) {
        struct gyre_context *before = gyre_context_enter(relay->context);
        relay->progress(relay->arg, direction, bytes);
        (void)gyre_context_enter(before);
    }
    return relay->state == RUNNING && !gyre__loop_is_inherited(loop_of(relay));
}

/* Ends a direction whose bytes have all left. */
GYRE_ON_LOOP static void end_direction(struct gyre_relay *relay, int direction)
{
    if (relay->failed == direction) {
        linger(relay);
        return;
    }
    if (!relay->streams[!direction]->finished)
        gyre__stream_finish_now(relay->streams[!direction]);
    if (relay->streams[0]->finished && relay->streams[1]->finished)
        conclude(relay, 0);
}

/* Does what comes next in a direction, unless a send under way does it later. */
GYRE_ON_LOOP static void advance(struct gyre_relay *relay, int direction)
{
    struct gyre_stream *from = relay->streams[direction];
    struct gyre_stream *to = relay->streams[!direction];
    if (relay->state != RUNNING || is_sending(to) || to->error != 0)
        return;
    if (to->out.block == NULL) {
        to->out = from->in;
        from->in = (struct gyre__buffer){0};
    }
    if (to->out.block != NULL) {
        gyre__stream_send(to);
        from->channel.backend->operations->cancel(
            &from->channel.in); /* it may have been under way before */
    } else if (from->ended) {
        end_direction(relay, direction);
    } else if (from->channel.in.state == GYRE__OP_IDLE) {
        gyre__stream_receive(from);
    }
}

/* A side cannot be sent to any more, or has `ended` with an error. */
GYRE_ON_LOOP static void fail(struct gyre_relay *relay, int side, int64_t error)
{
    struct gyre_stream *failed = relay->streams[side];
    struct gyre_stream *other = relay->streams[!side];
    int16_t status = (int16_t)(error == -EPIPE ? -ECONNRESET : error);
    if (relay->failed == !side) {
        conclude(relay, relay->status);
        return;
    }
    if (relay->failed < 0) {
        relay->failed = (int8_t)side;
        relay->status = status;
    }
    failed->error = status;
    if (status != -ECONNRESET)
        failed->ended = true; /* such a connection may stand still for ever */
    if (!is_sending(failed))
        clear(&failed->out, relay);
    if (relay->state != WAITING) /* else `received` may stand on the stack, and use them */
        clear(&other->in, relay);
    other->channel.backend->operations->cancel(&other->channel.in);
    advance(relay, side);
}

/* Puts received bytes that cannot be sent now into `buffer`, and receives no more. */
GYRE_ON_LOOP static bool hold(struct gyre_relay *relay, int direction, struct gyre__buffer *buffer,
                              const char *data, size_t bytes)
{
    gyre__operation_stop(&relay->streams[direction]->channel.in);
    gyre__buffer_compact(buffer); /* room was counted without where its bytes begin */
    if (gyre__buffer_append(buffer, &loop_of(relay)->blocks, data, bytes) == bytes)
        return true;
    conclude(relay, -ENOMEM);
    return false;
}

GYRE_ON_LOOP static void forward(struct gyre_relay *relay, int direction, const char *data,
                                 size_t bytes)
{
    struct gyre_stream *from = relay->streams[direction];
    struct gyre_stream *to = relay->streams[!direction];
    if (to->error != 0)
        return; /* it has nowhere to go */
    if (relay->state != RUNNING || to->out.block != NULL) { /* as it may be at the start */
        (void)hold(relay, direction, &from->in, data, bytes); /* a failure was told */
        return;
    }
    struct gyre__span span = {data, bytes};
    int64_t sent = to->channel.backend->descriptors->send(to->channel.fd, &span, 1);
    if (sent == (int64_t)bytes) {
        (void)count(relay, direction, bytes); /* there is nothing else to do */
        return;
    }
    if (sent < 0 && sent != -EAGAIN) {
        fail(relay, !direction, sent);
        return;
    }
    size_t left = sent < 0 ? 0 : (size_t)sent;
    if (hold(relay, direction, &to->out, data + left, bytes - left)) {
        gyre__stream_send(to);
        (void)count(relay, direction, left);
    }
}

/* ---- from the streams ------------------------------------------------------------------------ */

void gyre__relay_received(struct gyre_stream *stream, int64_t result, void *data)
{
    struct gyre_relay *relay = stream->by.relay;
    int side = side_of(stream);
    enter(relay);
    if (result > 0) {
        forward(relay, side, data, (size_t)result);
    } else if (result == 0) {
        stream->ended = true;
        advance(relay, side);
    } else if (result != -ECANCELED) {
        stream->ended = true;
        fail(relay, side, result);
    } else {
        advance(relay, side);
    }
    leave(relay);
}

void gyre__relay_sent(struct gyre_stream *stream, int64_t result)
{
    struct gyre_relay *relay = stream->by.relay;
    int side = side_of(stream);
    enter(relay);
    if (result < 0) {
        fail(relay, side, result);
    } else {
        gyre__buffer_consume(&stream->out, &loop_of(relay)->blocks, (size_t)result);
        if (count(relay, !side, (size_t)result))
            advance(relay, !side);
    }
    leave(relay);
}

void gyre__relay_lost(struct gyre_stream *stream, int error)
{
    struct gyre_relay *relay = stream->by.relay;
    enter(relay);
    fail(relay, side_of(stream), error);
    leave(relay);
}

void gyre__relay_abort(struct gyre_relay *relay, int error)
{
    enter(relay);
    conclude(relay, error);
    leave(relay);
}

/* ---- time ------------------------------------------------------------------------------------ */

/* Grows, between two completed sends, with each byte that a peer's system takes. */
static int64_t taken(const struct gyre_relay *relay)
{
    int64_t bytes = 0;
    for (int side = 0; side < 2; side++) {
        const struct gyre__channel *channel = &relay->streams[side]->channel;
        int64_t unsent = channel->backend->descriptors->unsent(channel->fd);
        if (is_sending(relay->streams[side]))
            bytes += channel->out.result;
        bytes -= unsent > 0 ? unsent : 0;
    }
    return bytes;
}

static uint64_t idle_at(const struct gyre_relay *relay)
{
    return gyre__deadline(relay->active_at, relay->idle_ns);
}

GYRE_ON_LOOP static void check_idle(struct gyre_relay *relay)
{
    uint64_t now = gyre_loop_now_ns(loop_of(relay));
    int64_t moved = taken(relay);
    if (moved != relay->taken) { /* what the system holds may take longer than idleness */
        relay->taken = moved;
        relay->active_at = now;
    }
    if (now - relay->active_at >= relay->idle_ns ||
        gyre__timer_start_own(&relay->timer, idle_at(relay)) != 0)
        conclude(relay, relay->failed < 0 ? -ETIMEDOUT : relay->status);
}

static int on_time(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre_relay *relay = arg;
    (void)loop;
    gyre__assert_on_loop();
    enter(relay);
    if (status != 0)
        conclude(relay, status);
    else if (relay->state == DOOMED)
        conclude(relay, relay->status);
    else if (relay->state == LINGERING)
        linger(relay);
    else
        check_idle(relay);
    leave(relay);
    return 0;
}

/* ---- start and cancel ------------------------------------------------------------------------ */

void gyre__relay_begin(struct gyre_relay *relay)
{
    if (relay->state != WAITING || relay->streams[0]->depth > 0 || relay->streams[1]->depth > 0 ||
        gyre__loop_is_inherited(loop_of(relay)))
        return;
    enter(relay);
    relay->state = RUNNING;
    relay->active_at = gyre__loop_turn_ns(loop_of(relay));
    if (relay->idle_ns != 0)
        (void)gyre__timer_start_own(&relay->timer, idle_at(relay)); /* the loop is open */
    advance(relay, 0);
    advance(relay, 1);
    leave(relay);
}

static int check(const struct gyre_stream *stream)
{
    if (stream->state == GYRE__STREAM_CONNECTING)
        return -ENOTCONN;
    return stream->state != GYRE__STREAM_OPEN || stream->error != 0 || stream->finishing ? -EPIPE
                                                                                         : 0;
}

static int check_all(const struct gyre_stream *a, const struct gyre_stream *b,
                     const struct gyre_relay_options *options)
{
    int r = gyre__loop_check_owner(a->channel.loop, "gyre_stream_relay");
    if (r != 0)
        return r;
    if (a == b || a->channel.loop != b->channel.loop || options->size != sizeof(*options))
        return -EINVAL;
    r = check(a);
    return r != 0 ? r : check(b);
}

/* Takes a stream from its user. */
GYRE_ON_LOOP static void take(struct gyre_relay *relay, struct gyre_stream *stream)
{
    gyre__timeouts_end(stream);
    stream->by.relay = relay;
    if (stream->in.block == NULL) /* else the receive under way stays limited to the room left */
        stream->channel.in.u.receive_max = 0;
}

int gyre_stream_relay(struct gyre_stream *a, struct gyre_stream *b,
                      const struct gyre_relay_options *options, struct gyre_relay **ret_relay,
                      gyre_relay_fn *done, void *arg)
{
    if (options == NULL)
        options = &defaults;
    int r = check_all(a, b, options);
    if (r != 0)
        return r;
    struct gyre_relay *relay = gyre__port_allocate(sizeof(*relay));
    if (relay == NULL)
        return -ENOMEM;
    gyre_timer_init(&relay->timer, a->channel.loop, on_time, relay);
    relay->streams[0] = a;
    relay->streams[1] = b;
    relay->done = done;
    relay->arg = arg;
    relay->context = gyre__context_capture();
    relay->progress = options->progress;
    relay->idle_ns = options->idle_ns;
    relay->failed = -1;
    relay->inside = true;
    take(relay, a);
    take(relay, b);
    *ret_relay = relay;
    gyre__relay_begin(relay);
    relay->inside = false;
    return 0;
}

void gyre_relay_cancel(struct gyre_relay *relay)
{
    if (gyre__loop_check_owner(loop_of(relay), "gyre_relay_cancel") != 0)
        return;
    gyre__relay_abort(relay, -ECANCELED);
}
