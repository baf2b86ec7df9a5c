/* SPDX-License-Identifier: MIT */
/*
 * peer_libuv - libuv: a list under a mutex (closures.h), and uv_async_send to ring.
 */
#include <stdlib.h>
#include <uv.h>

#include "closures.h"
#include "measure.h"

struct peer_loop {
    uv_loop_t loop;
    uv_async_t bell;
    uv_idle_t idle;
    void (*work)(void);
    struct closures closures;
};

static void must(int result, const char *what)
{
    if (result != 0)
        measure_fail("%s: %s", what, uv_strerror(result));
}

static void on_ring(uv_async_t *bell)
{
    struct peer_loop *loop = bell->data;
    closures_run(&loop->closures, loop);
}

struct peer_loop *peer_loop_create(void)
{
    struct peer_loop *loop = malloc(sizeof(*loop));
    if (loop == NULL)
        measure_fail("no memory");
    closures_init(&loop->closures);
    must(uv_loop_init(&loop->loop), "uv_loop_init");
    must(uv_async_init(&loop->loop, &loop->bell, on_ring), "uv_async_init");
    loop->bell.data = loop;
    return loop;
}

static void on_idle(uv_idle_t *idle)
{
    const struct peer_loop *loop = idle->data;
    loop->work();
}

void peer_loop_keep_awake(struct peer_loop *loop, void (*work)(void))
{
    loop->work = work;
    must(uv_idle_init(&loop->loop, &loop->idle), "uv_idle_init");
    loop->idle.data = loop;
    must(uv_idle_start(&loop->idle, on_idle), "uv_idle_start");
}

void peer_loop_run(struct peer_loop *loop)
{
    (void)uv_run(&loop->loop, UV_RUN_DEFAULT); /* says that the bell is open, as it should be */
}

void peer_loop_stop(struct peer_loop *loop)
{
    uv_stop(&loop->loop);
}

static void ring(struct peer_loop *loop)
{
    must(uv_async_send(&loop->bell), "uv_async_send");
}

void peer_call(struct peer_loop *loop, peer_fn *fn, void *arg)
{
    if (closures_add(&loop->closures, fn, arg))
        ring(loop);
}

void peer_post(struct peer_loop *loop, struct peer_message *message)
{
    if (closures_post(&loop->closures, message))
        ring(loop);
}
