/* SPDX-License-Identifier: MIT */
/*
 * peer_libev - libev: a list under a mutex (closures.h), and ev_async_send to ring.
 */
#include <ev.h>
#include <stdlib.h>

#include "closures.h"
#include "measure.h"

struct peer_loop {
    struct ev_loop *loop;
    ev_async bell;
    ev_idle idle;
    void (*work)(void);
    struct closures closures;
};

static void on_ring(struct ev_loop *ev, ev_async *bell, int events)
{
    struct peer_loop *loop = bell->data;
    (void)ev;
    (void)events;
    closures_run(&loop->closures, loop);
}

struct peer_loop *peer_loop_create(void)
{
    struct peer_loop *loop = malloc(sizeof(*loop));
    if (loop == NULL)
        measure_fail("no memory");
    closures_init(&loop->closures);
    loop->loop = ev_loop_new(EVFLAG_AUTO);
    if (loop->loop == NULL)
        measure_fail("ev_loop_new");
    ev_async_init(&loop->bell, on_ring);
    loop->bell.data = loop;
    ev_async_start(loop->loop, &loop->bell);
    return loop;
}

static void on_idle(struct ev_loop *ev, ev_idle *idle, int events)
{
    const struct peer_loop *loop = idle->data;
    (void)ev;
    (void)events;
    loop->work();
}

/* Of the highest priority: else it would not be called in a turn that has anything else. */
void peer_loop_keep_awake(struct peer_loop *loop, void (*work)(void))
{
    loop->work = work;
    ev_idle_init(&loop->idle, on_idle);
    loop->idle.data = loop;
    ev_set_priority(&loop->idle, EV_MAXPRI);
    ev_idle_start(loop->loop, &loop->idle);
}

void peer_loop_run(struct peer_loop *loop)
{
    (void)ev_run(loop->loop, 0); /* says that the bell is active, as it should be */
}

void peer_loop_stop(struct peer_loop *loop)
{
    ev_break(loop->loop, EVBREAK_ALL);
}

void peer_call(struct peer_loop *loop, peer_fn *fn, void *arg)
{
    if (closures_add(&loop->closures, fn, arg))
        ev_async_send(loop->loop, &loop->bell);
}

void peer_post(struct peer_loop *loop, struct peer_message *message)
{
    if (closures_post(&loop->closures, message))
        ev_async_send(loop->loop, &loop->bell);
}
