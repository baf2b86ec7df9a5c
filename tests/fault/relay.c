/* SPDX-License-Identifier: MIT */
/*
 * relay - two streams joined while calls fail: the client of a front that relays to an echo server.
 */
#include <errno.h>

#include "stage.h"

/* The front's pair. */
struct front {
    struct stage *stage;
    struct gyre_stream *near; /* the client's */
    struct gyre_stream *far; /* to the echo server */
    struct gyre_relay *relay;
    char address[256]; /* of the echo server */
    bool begun;
    struct gyre_relay_result result;
};

static void leave(struct front *front)
{
    gyre_stream_close(front->near);
    gyre_stream_close(front->far);
    front->near = NULL;
    front->far = NULL;
    stage_leave(front->stage);
}

static void on_relayed(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    struct front *front = arg;
    (void)loop;
    (void)sweep_tell(result->status);
    front->result = *result;
    leave(front);
}

static void on_far_opened(struct gyre_stream *stream, void *arg)
{
    struct front *front = arg;
    struct gyre_relay_options options;
    gyre_relay_options_init(&options);
    options.idle_ns = UINT64_C(8) * 1000 * 1000 * 1000;
    int r = gyre_stream_relay(front->near, stream, &options, &front->relay, on_relayed, front);
    if (r == 0) {
        front->near = NULL; /* the relay's now */
        front->far = NULL;
        return;
    }
    if (r != -EPIPE) /* -EPIPE: the near one has failed, and is told of it below */
        (void)sweep_tell(r);
    leave(front);
}

/* Either failed before they were joined. */
static void on_ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)stream;
    (void)sweep_tell(status);
    leave(arg);
}

static int accept_front(struct gyre_stream *stream, void *arg)
{
    static const struct gyre_stream_events far_events = {.opened = on_far_opened,
                                                         .ended = on_ended};
    static const struct gyre_stream_events near_events = {.ended = on_ended};
    struct stage *stage = arg;
    struct front *front = stage->extra;
    HOLDS(!front->begun);
    front->begun = true;
    int r = gyre_stream_connect(stage->loop, front->address, NULL, &front->far, &far_events, front);
    if (r != 0) {
        front->far = NULL;
        return r; /* reported, and the near one reset */
    }
    front->near = stream;
    stage_enter(stage);
    gyre_stream_bind(stream, &near_events, front);
    gyre_stream_pause(stream); /* what comes is the relay's */
    return 0;
}

static void relay(const void *arg)
{
    struct stage stage = {.closes = *(const bool *)arg};
    struct front front = {.stage = &stage};
    char address[256];
    stage.extra = &front;
    if (!stage_open(&stage))
        return;
    if (!stage_listen(&stage, 0, stage_path(), stage_accept) ||
        !stage_listen(&stage, 1, stage_ipv4(), accept_front)) {
        stage_close(&stage);
        stage_remove_path();
        return;
    }
    HOLDS_EQ(gyre_listener_address(stage.listeners[0], front.address, sizeof(front.address)), 0);
    HOLDS_EQ(gyre_listener_address(stage.listeners[1], address, sizeof(address)), 0);
    stage_connect(&stage, address);
    stage_run(&stage);
    if (sweep_told() == 0) {
        HOLDS_EQ(front.result.bytes[0], STAGE_BYTES);
        HOLDS_EQ(front.result.bytes[1], STAGE_BYTES);
    }
    stage_remove_path();
}

static void a_relay_delivers_or_says_why_not(void)
{
    static const bool closes = false;
    sweep(relay, &closes);
}

static void a_relay_of_a_run_that_fails_ends_in_a_close(void)
{
    static const bool closes = true;
    sweep(relay, &closes);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_relay_delivers_or_says_why_not),
    PLAIN_CASE(a_relay_of_a_run_that_fails_ends_in_a_close),
};

PLAIN_MAIN(cases)
