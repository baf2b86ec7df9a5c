/* SPDX-License-Identifier: MIT */
/*
 * part - a listener on one loop: accepts, backs off, drains. See listener.h.
 *
 *   POSTED --> DETACHED --> ACCEPTING <--> FULL      stop: DETACHED, ACCEPTING, FULL -> DRAINING
 *                                                    close, the loop's end: any -> CLOSING --> gone
 *
 * Full      An accept that fails for want of descriptors leaves its connection in the backlog,
 *           where a level-triggered poller would report it for ever. So the operation ends, and is
 *           submitted again after 10 ms, doubled each time up to 500. Each time the longest wait
 *           has passed, one connection is refused through the reserve descriptor.
 * Draining  New connections are steered away (a Unix socket's file is removed). The operation goes
 *           on for drain_ns, in which handshakes under way complete; then what is left is accepted
 *           until there is nothing. Where the system cannot steer away and new ones keep coming, or
 *           where descriptors are short, that takes drain_ns once more at most.
 */
#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"
#include "net/listener.h"
#include "net/stream.h"
#include "net/timeout.h"

static const uint64_t wait_min_ns = UINT64_C(10) * 1000 * 1000;
static const uint64_t wait_max_ns = UINT64_C(500) * 1000 * 1000;
static const uint64_t warn_pause_ns = UINT64_C(10) * 1000 * 1000 * 1000;

/* ---- end ------------------------------------------------------------------------------------- */

static void close_reserve(struct gyre__part *part)
{
    if (part->reserve_fd >= 0)
        part->listener->descriptors->close(part->reserve_fd);
    part->reserve_fd = -1;
}

static void on_closed(struct gyre__channel *channel, struct gyre__operation *operation,
                      int64_t result, void *data)
{
    gyre__assert_on_loop();
    (void)operation;
    (void)result;
    (void)data;
    gyre__listener_part_ended((struct gyre__part *)(void *)channel);
}

GYRE_ON_LOOP static void close_part(struct gyre__part *part, int status)
{
    if (part->state == GYRE__PART_CLOSING)
        return;
    part->state = GYRE__PART_CLOSING;
    part->status = status;
    (void)gyre_timer_stop(&part->timer); /* this is the owner */
    close_reserve(part);
    if (status == 0) /* else only this loop's part ends: the others still serve the path */
        gyre__listener_unlink(part->listener);
    if (part->attached) {
        part->channel.backend->operations->close(&part->channel, on_closed);
        return;
    }
    part->listener->descriptors->close(part->fd);
    gyre__listener_part_ended(part);
}

static void on_lost(struct gyre__channel *channel, int error)
{
    gyre__assert_on_loop();
    if (error == -ECANCELED) /* a listening socket has no other error that matters */
        close_part((struct gyre__part *)(void *)channel, error);
}

/* ---- accept ---------------------------------------------------------------------------------- */

GYRE_ON_LOOP static void report(const struct gyre__part *part, int error)
{
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_ACCEPT, .error = error, .fd = part->fd, .arg = part->listener->arg};
    gyre__loop_report(part->loop, &failure);
}

/* Makes a connection a stream, and hands it to the user. */
GYRE_ON_LOOP static void hand_over_in_context(struct gyre__part *part, int fd)
{
    struct gyre_stream *stream;
    int r = gyre__stream_accepted(part->loop, fd, &stream);
    if (r != 0) {
        part->listener->descriptors->close(fd);
        report(part, r);
        return;
    }
    r = part->listener->accept(stream, part->listener->arg);
    (void)gyre_context_enter(part->listener->context); /* whatever it has entered */
    if (r < 0) {
        gyre__stream_dispose(stream, true);
        report(part, r);
    }
}

GYRE_ON_LOOP static void hand_over(struct gyre__part *part, int fd)
{
    gyre__context_begin(part->listener->context);
    hand_over_in_context(part, fd);
    gyre__context_end();
}

static void renew_reserve(struct gyre__part *part)
{
    if (part->reserve_fd < 0 && part->listener->descriptors->reserve(&part->reserve_fd) != 0)
        part->reserve_fd = -1; /* later, then: descriptors are short just now */
}

/* There was no descriptor, or no memory: waits in `state`. */
GYRE_ON_LOOP static void back_off(struct gyre__part *part, enum gyre__part_state state, int error)
{
    uint64_t now = gyre_loop_now_ns(part->loop);
    if (part->warned_ns == 0 || now - part->warned_ns >= warn_pause_ns) {
        gyre__log(GYRE_LOG_WARNING, "a listener backs off: %s", gyre_error_text(error));
        part->warned_ns = now;
    }
    if (part->state == GYRE__PART_DRAINING)
        return; /* its timer is running, and accepts what there is */
    part->state = (uint8_t)state;
    (void)gyre__timer_start_own(&part->timer, gyre__deadline(now, part->wait_ns)); /* it is open */
}

static void on_accepted(struct gyre__channel *channel, struct gyre__operation *operation,
                        int64_t result, void *data)
{
    struct gyre__part *part = (struct gyre__part *)(void *)channel;
    gyre__assert_on_loop();
    (void)operation;
    (void)data;
    if (result >= 0) {
        part->wait_ns = wait_min_ns;
        if (part->reserve_fd < 0)
            renew_reserve(part);
        hand_over(part, (int)result);
    } else if (part->state != GYRE__PART_CLOSING && result != -ECANCELED) {
        back_off(part, GYRE__PART_FULL, (int)result);
    }
}

/* Accepts from now on. */
static void submit(struct gyre__part *part)
{
    part->state = GYRE__PART_ACCEPTING;
    part->channel.backend->operations->accept(&part->channel, part->listener->options.accepts_max,
                                              on_accepted);
}

/* ---- full ------------------------------------------------------------------------------------ */

/* Takes the oldest connection with the last descriptor, and closes both. */
static void refuse_one(struct gyre__part *part)
{
    int fd;
    if (part->reserve_fd < 0)
        return;
    close_reserve(part);
    if (part->listener->descriptors->accept(part->fd, &fd) == 0)
        part->listener->descriptors->close(fd);
    renew_reserve(part);
}

GYRE_ON_LOOP static void attach(struct gyre__part *part)
{
    part->channel.backend = part->loop->backend;
    int r = part->channel.backend->operations->attach(&part->channel, part->loop, part->fd);
    if (r != 0) {
        back_off(part, GYRE__PART_DETACHED, r);
        return;
    }
    part->attached = true;
    part->channel.exclusive = part->listener->shared;
    part->channel.lost = on_lost;
    submit(part);
}

/* A back-off is over. */
GYRE_ON_LOOP static void try_again(struct gyre__part *part)
{
    if (part->wait_ns >= wait_max_ns && part->state == GYRE__PART_FULL)
        refuse_one(part);
    part->wait_ns = part->wait_ns < wait_max_ns / 2 ? part->wait_ns * 2 : wait_max_ns;
    if (part->state == GYRE__PART_FULL)
        submit(part);
    else
        attach(part);
}

/* ---- draining -------------------------------------------------------------------------------- */

/* What an attempt to accept the rest has left. */
enum rest {
    REST_NONE, /* nothing is there */
    REST_MORE, /* perhaps: a turn's share was accepted */
    REST_SHORT /* there is no descriptor or no memory for what is there */
};

/* Accepts what is there, as much as a turn may. */
GYRE_ON_LOOP static enum rest accept_rest(struct gyre__part *part)
{
    for (unsigned i = 0; i < part->listener->options.accepts_max; i++) {
        int fd;
        int r = part->listener->descriptors->accept(part->fd, &fd);
        if (r == -EAGAIN)
            return REST_NONE;
        if (r == 0)
            hand_over(part, fd);
        else if (r != -ECONNABORTED)
            return REST_SHORT;
        if (part->state != GYRE__PART_DRAINING || gyre__loop_is_inherited(part->loop))
            return REST_MORE; /* the user's function has run the loop, and it closed, or forked */
    }
    return REST_MORE;
}

/* Accepts what is there, and closes when nothing is left, or nothing can be done about it. */
GYRE_ON_LOOP static void drain(struct gyre__part *part)
{
    enum rest rest = accept_rest(part);
    if (part->state != GYRE__PART_DRAINING || gyre__loop_is_inherited(part->loop))
        return;
    uint64_t now = gyre_loop_now_ns(part->loop);
    uint64_t last = gyre__deadline(part->drained_ns, part->listener->options.drain_ns);
    bool ends = part->steered && rest == REST_MORE; /* what there is becomes less */
    uint64_t again = rest == REST_SHORT ? gyre__deadline(now, wait_min_ns) : now;
    if (again > last && now < last)
        again = last; /* a last attempt */
    if (rest == REST_NONE || (!ends && now >= last) ||
        gyre__timer_start_own(&part->timer, again) != 0)
        close_part(part, 0);
}

GYRE_ON_LOOP static void begin_drain(struct gyre__part *part)
{
    if (part->state == GYRE__PART_DRAINING || part->state == GYRE__PART_CLOSING)
        return;
    part->steered = part->listener->descriptors->steer_away(part->fd) == 0 ||
                    part->listener->descriptors->path(&part->listener->address) != NULL;
    gyre__listener_unlink(part->listener);
    if (part->state == GYRE__PART_FULL)
        submit(part);
    part->state = GYRE__PART_DRAINING;
    part->drained_ns =
        gyre__deadline(gyre_loop_now_ns(part->loop), part->listener->options.drain_ns);
    if (gyre__timer_start_own(&part->timer, part->drained_ns) != 0)
        close_part(part, -ECANCELED);
}

/* ---- from the loop --------------------------------------------------------------------------- */

static int on_time(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__part *part = arg;
    (void)loop;
    gyre__assert_on_loop();
    if (status != 0) { /* a channel learns of the loop's end by itself */
        if (!part->attached)
            close_part(part, status);
        return 0;
    }
    if (part->state != GYRE__PART_DRAINING) {
        try_again(part);
        return 0;
    }
    if (!part->attached) {
        drain(part); /* with its end the part is gone */
        return 0;
    }
    gyre__channel_enter(&part->channel); /* the user's functions may run the loop */
    drain(part);
    gyre__channel_leave(&part->channel);
    return 0;
}

static int on_attach(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__part *part = arg;
    (void)loop;
    gyre__assert_on_loop();
    if (status != 0)
        close_part(part, status);
    else
        attach(part);
    return 0;
}

static int on_command(struct gyre_loop *loop, int status, void *arg)
{
    struct gyre__part *part = arg;
    struct gyre_listener *listener = part->listener;
    gyre__assert_on_loop();
    /* The loop's own posts overtake those that are still in its door: the attach comes next. */
    if (status == 0 && part->state == GYRE__PART_POSTED)
        return gyre__loop_post_exempt(loop, &part->command);
    if (status == 0 && listener->command == GYRE__LISTENER_STOP)
        begin_drain(part);
    else if (status == 0)
        close_part(part, 0);
    gyre__listener_release(listener);
    return 0;
}

void gyre__part_init(struct gyre__part *part, struct gyre_listener *listener,
                     struct gyre_loop *loop)
{
    part->listener = listener;
    part->loop = gyre_loop_acquire(loop);
    part->fd = -1;
    part->reserve_fd = -1;
    part->wait_ns = wait_min_ns;
    gyre_task_init(&part->attach, on_attach, part);
    gyre_task_init(&part->command, on_command, part);
    gyre_timer_init(&part->timer, loop, on_time, part);
}
