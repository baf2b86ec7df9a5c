/* SPDX-License-Identifier: MIT */
/*
 * connect - see connect.h.
 *
 *   name ---lookup---> addresses --+--> socket, attach, connect --> opened
 *   numeric, Unix: the one --------+             |
 *                                  ^             v failed
 *                                  +--- next --- close the channel; none left: `ended`
 *
 * One at a time, in the resolver's order: it puts what works first (RFC 6724), and racing them
 * (RFC 8305) is worth its sockets in a browser rather than in a server's upstream.
 *
 * The timer is armed even without a time limit: it is what tells a stream that waits for a name
 * that the loop closes.
 */
#include "net/connect.h"

#include <gyre/error.h>
#include <gyre/timer.h>

#include "loop/loop.h"
#include "net/resolve.h"
#include "net/timeout.h"

/* Everything is the loop's. */
struct gyre__connect {
    struct gyre_timer timer;
    struct gyre__lookup *lookup; /* NULL: none is under way */
    unsigned next; /* address to be tried */
    unsigned count; /* of addresses */
    unsigned room; /* of the array */
    int error; /* of the last attempt */
    struct gyre__address addresses[];
};

static const struct gyre_connect_options defaults = {
    .size = sizeof(struct gyre_connect_options),
    .timeout_ns = UINT64_C(10) * 1000 * 1000 * 1000,
};

void gyre_connect_options_init(struct gyre_connect_options *options)
{
    *options = defaults;
}

static size_t bytes_of(unsigned room)
{
    return sizeof(struct gyre__connect) + room * sizeof(struct gyre__address);
}

/* ---- ends ------------------------------------------------------------------------------------ */

void gyre__connect_free(struct gyre_stream *stream)
{
    struct gyre__connect *connect = stream->by.connect;
    stream->by.connect = NULL;
    if (connect != NULL)
        gyre__port_release(connect, bytes_of(connect->room));
}

void gyre__connect_stop(struct gyre_stream *stream)
{
    struct gyre__connect *connect = stream->by.connect;
    (void)gyre_timer_stop(&connect->timer); /* -EPERM was ruled out by the caller */
    if (connect->lookup != NULL)
        gyre__resolve_cancel(connect->lookup);
    connect->lookup = NULL;
}

/* Frees a stream that nobody was given. */
GYRE_ON_LOOP static void discard(struct gyre_stream *stream)
{
    gyre__connect_stop(stream);
    gyre__connect_free(stream);
    gyre__stream_free(stream);
}

static int on_time(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    gyre__assert_on_loop();
    gyre__stream_fail(arg, status != 0 ? status : -ETIMEDOUT);
    return 0;
}

/* ---- attempts -------------------------------------------------------------------------------- */

GYRE_ON_LOOP static void open_stream(struct gyre_stream *stream)
{
    gyre__connect_stop(stream);
    gyre__connect_free(stream);
    stream->state = GYRE__STREAM_OPEN;
    struct gyre__stream_call call;
    gyre__stream_enter(stream, &call);
    if (stream->events->opened != NULL)
        stream->events->opened(stream, stream->arg);
    gyre__stream_flush(stream); /* it may have been finished before it was open */
    gyre__stream_steer(stream);
    gyre__stream_leave(stream, &call);
}

static void on_connected(struct gyre__channel *channel, struct gyre__operation *operation,
                         int64_t result, void *data)
{
    struct gyre_stream *stream = gyre__stream_of(channel);
    gyre__assert_on_loop();
    (void)operation;
    (void)data;
    if (stream->state != GYRE__STREAM_CONNECTING)
        return; /* closed, or told of its end */
    if (result == 0) {
        open_stream(stream);
        return;
    }
    stream->by.connect->error = (int)result;
    gyre__stream_detach(stream);
}

/* Begins an attempt. On failure nothing of it is left. */
GYRE_ON_LOOP static int attempt(struct gyre_stream *stream, const struct gyre__address *address)
{
    struct gyre_loop *loop = stream->channel.loop;
    const struct gyre__descriptors *descriptors = loop->backend->descriptors;
    int fd;
    int r = descriptors->socket(address, &fd);
    if (r != 0)
        return r;
    (void)descriptors->set_option(fd, GYRE__SOCKET_NODELAY, 1); /* costs only delay */
    r = gyre__stream_attach(stream, fd);
    if (r != 0) {
        descriptors->close(fd);
        return r;
    }
    stream->channel.backend->operations->connect(&stream->channel, address, on_connected);
    return 0;
}

void gyre__connect_next(struct gyre_stream *stream)
{
    struct gyre__connect *connect = stream->by.connect;
    while (connect->next < connect->count && !stream->channel.loop->closed) {
        int r = attempt(stream, &connect->addresses[connect->next++]);
        if (r == 0)
            return;
        connect->error = r;
    }
    gyre__stream_fail(stream, stream->channel.loop->closed ? -ECANCELED : connect->error);
}

static void on_resolved(void *arg, int status, char texts[][GYRE_ADDRESS_MAX], unsigned count)
{
    struct gyre_stream *stream = arg;
    struct gyre__connect *connect = stream->by.connect;
    gyre__assert_on_loop();
    connect->lookup = NULL;
    connect->error = status != 0 ? status : -EADDRNOTAVAIL;
    for (unsigned i = 0; status == 0 && i < count && connect->count < connect->room; i++) {
        if (stream->channel.loop->backend->descriptors->parse(
                texts[i], &connect->addresses[connect->count]) == 0)
            connect->count++;
    }
    gyre__connect_next(stream);
}

/* ---- the call -------------------------------------------------------------------------------- */

static int check(struct gyre_loop *loop, const struct gyre_connect_options *options)
{
    int r = gyre__loop_check_owner(loop, "gyre_stream_connect");
    if (r != 0)
        return r;
    if (loop->closed)
        return -ESHUTDOWN;
    return options->size == sizeof(*options) ? 0 : -EINVAL;
}

/* A stream with room for so many addresses, and its time running. */
GYRE_ON_LOOP static int make(struct gyre_loop *loop, unsigned room, uint64_t timeout_ns,
                             struct gyre_stream **ret_stream)
{
    struct gyre_stream *stream = gyre__stream_create(loop);
    struct gyre__connect *connect = gyre__port_allocate(bytes_of(room));
    if (stream == NULL || connect == NULL) {
        if (stream != NULL)
            gyre__stream_free(stream);
        if (connect != NULL)
            gyre__port_release(connect, bytes_of(room));
        return -ENOMEM;
    }
    connect->room = room;
    stream->by.connect = connect;
    gyre_timer_init(&connect->timer, loop, on_time, stream);
    uint64_t delay_ns = timeout_ns != 0 ? timeout_ns : GYRE_NEVER;
    int r =
        gyre__timer_start_own(&connect->timer, gyre__deadline(gyre_loop_now_ns(loop), delay_ns));
    if (r != 0) {
        discard(stream);
        return r;
    }
    *ret_stream = stream;
    return 0;
}

int gyre_stream_connect(struct gyre_loop *loop, const char *address,
                        const struct gyre_connect_options *options, struct gyre_stream **ret_stream,
                        const struct gyre_stream_events *events, void *arg)
{
    struct gyre__address parsed;
    struct gyre_stream *stream;
    if (options == NULL)
        options = &defaults;
    int r = check(loop, options);
    if (r != 0)
        return r;
    int numeric = loop->backend->descriptors->parse(address, &parsed);
    if (numeric != 0 && numeric != -EINVAL)
        return numeric;
    r = make(loop, numeric == 0 ? 1 : GYRE_ADDRESSES_MAX, options->timeout_ns, &stream);
    if (r != 0)
        return r;
    struct gyre__connect *connect = stream->by.connect;
    if (numeric == 0) {
        connect->addresses[0] = parsed;
        connect->count = 1;
        connect->next = 1;
        r = attempt(stream, &connect->addresses[0]);
    } else {
        r = gyre__resolve_start(loop, address, &connect->lookup, on_resolved, stream);
    }
    if (r != 0) {
        discard(stream);
        return r;
    }
    gyre_stream_bind(stream, events, arg);
    *ret_stream = stream;
    return 0;
}
