/* SPDX-License-Identifier: MIT */
/*
 * peer_gyre - gyre: plain loops with default options, gyre_loop_add_callback and gyre_loop_post.
 */
#define gyre_loop peer_loop /* the struct: a loop of the case's is gyre's, and so is a function */
#include <gyre/gyre.h>

#include <stdlib.h>

#include "measure.h"
#include "peer.h"

struct peer_message {
    struct gyre_task task;
};

const size_t peer_message_bytes = sizeof(struct peer_message);

static void must(int result, const char *what)
{
    if (result != 0)
        measure_fail("%s: %s", what, gyre_error_text(result));
}

struct peer_loop *peer_loop_create(void)
{
    struct gyre_loop *loop;
    must(gyre_loop_create(NULL, &loop), "gyre_loop_create");
    return loop;
}

/* A task that posts itself: a loop with something to call does not wait. */
struct awake {
    struct gyre_task task;
    void (*work)(void);
};

static int turn_again(struct peer_loop *loop, int status, void *arg)
{
    struct awake *awake = arg;
    if (status != 0)
        return 0;
    awake->work();
    return gyre_loop_post(loop, &awake->task);
}

void peer_loop_keep_awake(struct peer_loop *loop, void (*work)(void))
{
    struct awake *awake = malloc(sizeof(*awake));
    if (awake == NULL)
        measure_fail("no memory");
    awake->work = work;
    gyre_task_init(&awake->task, turn_again, awake);
    must(gyre_loop_post(loop, &awake->task), "gyre_loop_post");
}

void peer_loop_run(struct peer_loop *loop)
{
    must(gyre_loop_run(loop), "gyre_loop_run");
}

void peer_loop_stop(struct peer_loop *loop)
{
    must(gyre_loop_stop(loop), "gyre_loop_stop");
}

void peer_call(struct peer_loop *loop, peer_fn *fn, void *arg)
{
    must(gyre_loop_add_callback(loop, fn, arg), "gyre_loop_add_callback");
}

void peer_message_init(struct peer_message *message, peer_fn *fn, void *arg)
{
    gyre_task_init(&message->task, fn, arg);
}

void peer_post(struct peer_loop *loop, struct peer_message *message)
{
    must(gyre_loop_post(loop, &message->task), "gyre_loop_post");
}
