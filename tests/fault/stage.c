/* SPDX-License-Identifier: MIT */
/*
 * stage - see stage.h.
 */
#include "stage.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

enum {
    PIECE = 16 * 1000, /* of one write of the client's */
    TRIES_MAX = SWEEP_BURST + 1
};

static const char path_prefix[] = "unix:";

const char *stage_ipv4(void)
{
    static char address[32];
    unsigned pid = (unsigned)getpid();
    (void)snprintf(address, sizeof(address), "127.%u.%u.%u:0", 64 + (pid >> 16) % 64,
                   (pid >> 8) % 256, pid % 254 + 1);
    return address;
}

const char *stage_path(void)
{
    static char path[64];
    (void)snprintf(path, sizeof(path), "%s/tmp/gyre-fault.%d", path_prefix, (int)getpid());
    return path;
}

void stage_remove_path(void)
{
    inject_outside_begin();
    (void)unlink(stage_path() + sizeof(path_prefix) - 1); /* it need not be there */
    inject_outside_end();
}

/* ---- parties --------------------------------------------------------------------------------- */

void stage_enter(struct stage *stage)
{
    stage->parties++;
}

void stage_leave(struct stage *stage)
{
    if (HOLDS(stage->parties > 0) && --stage->parties == 0)
        (void)gyre_loop_stop(stage->loop); /* it is no runtime's */
}

static int on_listener_done(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    stage_leave(arg);
    return 0;
}

static void close_listeners(struct stage *stage)
{
    for (unsigned i = 0; i < 2; i++) {
        if (stage->listeners[i] != NULL)
            gyre_listener_close(stage->listeners[i], on_listener_done, stage);
        stage->listeners[i] = NULL;
    }
}

bool stage_listen(struct stage *stage, unsigned index, const char *address, gyre_accept_fn *accept)
{
    if (sweep_tell(gyre_listener_open_on(&stage->loop, 1, address, NULL, &stage->listeners[index],
                                         accept, stage)) != 0) {
        stage->listeners[index] = NULL;
        return false;
    }
    stage_enter(stage);
    return true;
}

/* ---- servers --------------------------------------------------------------------------------- */

static void close_side(struct stage_side *side)
{
    gyre_stream_close(side->stream);
    side->stream = NULL;
    stage_leave(side->stage);
}

static void on_side_received(struct gyre_stream *stream, const void *data, size_t bytes,
                             size_t *ret_used, void *arg)
{
    struct stage_side *side = arg;
    int r = gyre_stream_write(stream, data, bytes, ret_used);
    if (r == 0 && *ret_used < bytes)
        gyre_stream_pause(stream); /* until it has drained */
    if (r == 0 || r == -EPIPE)
        return; /* -EPIPE: its end is on its way, and tells why */
    (void)sweep_tell(r);
    close_side(side);
}

static void on_side_ended(struct gyre_stream *stream, int status, void *arg)
{
    struct stage_side *side = arg;
    side->ended = true;
    if (sweep_tell(status) != 0 || gyre_stream_finish(stream) == 0)
        close_side(side);
}

static void on_side_drained(struct gyre_stream *stream, void *arg)
{
    struct stage_side *side = arg;
    if (side->ended)
        close_side(side);
    else
        gyre_stream_resume(stream);
}

int stage_accept(struct gyre_stream *stream, void *arg)
{
    static const struct gyre_stream_events events = {
        .received = on_side_received, .ended = on_side_ended, .drained = on_side_drained};
    struct stage *stage = arg;
    char peer[128];
    (void)sweep_tell(gyre_stream_peer(stream, peer, sizeof(peer)));
    for (unsigned i = 0; i < STAGE_SIDES_MAX; i++) {
        struct stage_side *side = &stage->sides[i];
        if (side->stream != NULL)
            continue;
        *side = (struct stage_side){.stage = stage, .stream = stream};
        stage_enter(stage);
        gyre_stream_bind(stream, &events, side);
        return 0;
    }
    HOLDS(!"there is a free side");
    return -EBUSY;
}

/* ---- the client ------------------------------------------------------------------------------ */

static unsigned char byte_at(size_t position)
{
    return (unsigned char)(position * 7 + position / 251);
}

static void close_client(struct stage *stage)
{
    gyre_stream_close(stage->client);
    stage->client = NULL;
    close_listeners(stage);
    stage_leave(stage);
}

static void send_more(struct stage *stage)
{
    unsigned char piece[PIECE];
    while (stage->sent < STAGE_BYTES) {
        size_t bytes = STAGE_BYTES - stage->sent < PIECE ? STAGE_BYTES - stage->sent : PIECE;
        size_t taken;
        for (size_t i = 0; i < bytes; i++)
            piece[i] = byte_at(stage->sent + i);
        int r = gyre_stream_write(stage->client, piece, bytes, &taken);
        if (r == -EPIPE)
            return; /* its end is on its way */
        if (sweep_tell(r) != 0) {
            close_client(stage);
            return;
        }
        stage->sent += taken;
        if (taken < bytes)
            return; /* drained comes */
    }
    (void)gyre_stream_finish(stage->client); /* what waits leaves by itself */
}

static void on_client_opened(struct gyre_stream *stream, void *arg)
{
    uint64_t second = 1000 * 1000 * 1000;
    (void)sweep_tell(gyre_stream_set_timeouts(stream, 8 * second, 8 * second));
    send_more(arg);
}

static void on_client_received(struct gyre_stream *stream, const void *data, size_t bytes,
                               size_t *ret_used, void *arg)
{
    struct stage *stage = arg;
    (void)stream;
    (void)ret_used; /* all of them */
    for (size_t i = 0; i < bytes; i++) {
        if (((const unsigned char *)data)[i] != byte_at(stage->got + i))
            stage->intact = false;
    }
    stage->got += bytes;
}

static void on_client_ended(struct gyre_stream *stream, int status, void *arg)
{
    struct stage *stage = arg;
    (void)stream;
    stage->finished = sweep_tell(status) == 0;
    close_client(stage);
}

static void on_client_drained(struct gyre_stream *stream, void *arg)
{
    struct stage *stage = arg;
    (void)stream;
    if (stage->sent < STAGE_BYTES)
        send_more(stage);
}

void stage_connect(struct stage *stage, const char *address)
{
    static const struct gyre_stream_events events = {.opened = on_client_opened,
                                                     .received = on_client_received,
                                                     .ended = on_client_ended,
                                                     .drained = on_client_drained};
    stage->intact = true;
    stage_enter(stage);
    if (sweep_tell(
            gyre_stream_connect(stage->loop, address, NULL, &stage->client, &events, stage)) == 0)
        return;
    stage->client = NULL;
    close_client(stage);
}

/* ---- the loop -------------------------------------------------------------------------------- */

bool stage_open(struct stage *stage)
{
    struct gyre_loop_options options = sweep_loop_options();
    return sweep_tell(gyre_loop_create(&options, &stage->loop)) == 0;
}

void stage_close(struct stage *stage)
{
    HOLDS_EQ(gyre_loop_close(stage->loop, 0), 0);
    close_listeners(stage); /* after the loop, for once */
    HOLDS_EQ(stage->parties, 0);
    gyre_loop_release(stage->loop);
}

void stage_run(struct stage *stage)
{
    int r = -1;
    for (int tries = 0; tries < TRIES_MAX && r != 0; tries++) {
        r = sweep_tell(gyre_loop_run(stage->loop));
        if (r != 0 && stage->closes)
            break;
    }
    HOLDS(r == 0 || stage->closes);
    if (r == 0)
        HOLDS_EQ(stage->parties, 0);
    stage_close(stage);
    if (sweep_told() != 0)
        return;
    HOLDS(stage->finished);
    HOLDS(stage->intact);
    HOLDS_EQ(stage->got, STAGE_BYTES);
}
