/* SPDX-License-Identifier: MIT */
/*
 * timeout - see timeout.h.
 */
#include "net/timeout.h"

#include <gyre/error.h>

#include "loop/loop.h"

static bool reads(const struct gyre_stream *stream)
{
    return stream->timeouts->read_ns != 0 && stream->channel.in.state == GYRE__OP_ACTIVE;
}

static bool waits_to_write(const struct gyre_stream *stream)
{
    /* A connect is an outbound operation too, and has a time limit of its own. */
    return stream->timeouts->write_ns != 0 && stream->state == GYRE__STREAM_OPEN &&
           stream->channel.out.state == GYRE__OP_ACTIVE;
}

/* When there is something to look at next. */
static uint64_t next(const struct gyre_stream *stream, uint64_t now)
{
    const struct gyre__timeouts *timeouts = stream->timeouts;
    uint64_t at = GYRE_NEVER;
    if (reads(stream))
        at = gyre__deadline(timeouts->read_at, timeouts->read_ns);
    if (waits_to_write(stream)) {
        uint64_t look = gyre__deadline(now, timeouts->write_ns / 8 + 1);
        if (look < at)
            at = look;
    }
    return at;
}

GYRE_ON_LOOP static void arm(struct gyre_stream *stream, uint64_t now)
{
    struct gyre_timer *timer = &stream->timeouts->timer;
    uint64_t at = next(stream, now);
    if (at == GYRE_NEVER || (gyre_timer_is_armed(timer) && timer->deadline_ns <= at))
        return; /* it fires, finds out, and is armed for what is left */
    (void)gyre__timer_start_own(timer, at); /* -ESHUTDOWN: then the loop's end is the stream's */
}

/* Bytes of a send under way that have left since the last look are progress. */
static void look_at_send(struct gyre_stream *stream, uint64_t now)
{
    struct gyre__timeouts *timeouts = stream->timeouts;
    if (stream->channel.out.result != timeouts->sent)
        timeouts->write_at = now;
    timeouts->sent = stream->channel.out.result;
}

static int fire(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre_stream *stream = arg;
    struct gyre__timeouts *timeouts = stream->timeouts;
    gyre__assert_on_loop();
    if (status != 0)
        return 0; /* the channel's user learns of the loop's end by itself */
    uint64_t now = gyre_loop_now_ns(loop);
    if (waits_to_write(stream))
        look_at_send(stream, now);
    if ((reads(stream) && now - timeouts->read_at >= timeouts->read_ns) ||
        (waits_to_write(stream) && now - timeouts->write_at >= timeouts->write_ns))
        gyre__stream_fail(stream, -ETIMEDOUT);
    else
        arm(stream, now);
    return 0;
}

void gyre__timeouts_begin_read(struct gyre_stream *stream)
{
    if (stream->timeouts == NULL)
        return;
    uint64_t now = gyre__loop_turn_ns(stream->channel.loop);
    stream->timeouts->read_at = now;
    arm(stream, now);
}

void gyre__timeouts_begin_write(struct gyre_stream *stream)
{
    if (stream->timeouts == NULL)
        return;
    uint64_t now = gyre__loop_turn_ns(stream->channel.loop);
    stream->timeouts->write_at = now;
    stream->timeouts->sent = stream->channel.out.result;
    arm(stream, now);
}

void gyre__timeouts_note_read(struct gyre_stream *stream)
{
    if (stream->timeouts != NULL)
        stream->timeouts->read_at = gyre__loop_turn_ns(stream->channel.loop);
}

void gyre__timeouts_end(struct gyre_stream *stream)
{
    struct gyre__timeouts *timeouts = stream->timeouts;
    if (timeouts == NULL)
        return;
    (void)gyre_timer_stop(&timeouts->timer); /* -EPERM was ruled out by the caller */
    gyre__port_release(timeouts, sizeof(*timeouts));
    stream->timeouts = NULL;
}

int gyre_stream_set_timeouts(struct gyre_stream *stream, uint64_t read_ns, uint64_t write_ns)
{
    int r = gyre__loop_check_owner(stream->channel.loop, "gyre_stream_set_timeouts");
    if (r != 0)
        return r;
    if (stream->state > GYRE__STREAM_OPEN)
        return -EPIPE;
    if (read_ns == 0 && write_ns == 0) {
        gyre__timeouts_end(stream);
        return 0;
    }
    if (stream->timeouts == NULL) {
        struct gyre__timeouts *timeouts = gyre__port_allocate(sizeof(*timeouts));
        if (timeouts == NULL)
            return -ENOMEM;
        gyre_timer_init(&timeouts->timer, stream->channel.loop, fire, stream);
        stream->timeouts = timeouts;
    }
    stream->timeouts->read_ns = read_ns;
    stream->timeouts->write_ns = write_ns;
    gyre__timeouts_begin_read(stream);
    gyre__timeouts_begin_write(stream);
    return 0;
}
