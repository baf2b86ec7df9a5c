/* SPDX-License-Identifier: MIT */
/*
 * peer_libevent - libevent: a list under a mutex (closures.h), and event_active to ring.
 *
 * The base has locks (evthread_use_pthreads), since event_active comes from other threads; libevent
 * then wakes it through an eventfd of its own. event_base_once would allocate an event for each
 * post and take the base's lock as well.
 */
#include <event2/event.h>
#include <event2/thread.h>
#include <stdlib.h>

#include "closures.h"
#include "measure.h"

struct peer_loop {
    struct event_base *base;
    struct event *bell;
    struct event *turn; /* if it is kept awake */
    void (*work)(void);
    struct closures closures;
};

static void on_ring(evutil_socket_t none, short events, void *arg)
{
    struct peer_loop *loop = arg;
    (void)none;
    (void)events;
    closures_run(&loop->closures, loop);
}

struct peer_loop *peer_loop_create(void)
{
    struct peer_loop *loop = malloc(sizeof(*loop));
    if (loop == NULL)
        measure_fail("no memory");
    closures_init(&loop->closures);
    if (evthread_use_pthreads() != 0)
        measure_fail("evthread_use_pthreads");
    loop->base = event_base_new();
    if (loop->base == NULL)
        measure_fail("event_base_new");
    loop->bell = event_new(loop->base, -1, EV_PERSIST, on_ring, loop);
    if (loop->bell == NULL)
        measure_fail("event_new");
    return loop;
}

static void on_turn(evutil_socket_t none, short events, void *arg)
{
    const struct timeval now = {0, 0};
    const struct peer_loop *loop = arg;
    (void)none;
    (void)events;
    loop->work();
    if (event_add(loop->turn, &now) != 0)
        measure_fail("event_add");
}

/* A timer that is always due. One that repeats must have a time to wait (EV_PERSIST is no use with
 * 0), and an event that activates itself is called again before any poll. */
void peer_loop_keep_awake(struct peer_loop *loop, void (*work)(void))
{
    const struct timeval now = {0, 0};
    loop->work = work;
    loop->turn = evtimer_new(loop->base, on_turn, loop);
    if (loop->turn == NULL || event_add(loop->turn, &now) != 0)
        measure_fail("event_add");
}

void peer_loop_run(struct peer_loop *loop)
{
    if (event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY) != 0)
        measure_fail("event_base_loop");
}

void peer_loop_stop(struct peer_loop *loop)
{
    if (event_base_loopbreak(loop->base) != 0)
        measure_fail("event_base_loopbreak");
}

void peer_call(struct peer_loop *loop, peer_fn *fn, void *arg)
{
    if (closures_add(&loop->closures, fn, arg))
        event_active(loop->bell, 0, 0);
}

void peer_post(struct peer_loop *loop, struct peer_message *message)
{
    if (closures_post(&loop->closures, message))
        event_active(loop->bell, 0, 0);
}
