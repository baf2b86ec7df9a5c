/* SPDX-License-Identifier: MIT */
/*
 * post - the case: threads have a loop on another thread call a function with an argument.
 *
 * An operation is one post, from the first post to the last call. The argument is the number that
 * producers.h checks.
 */
#include "peer.h"
#include "producers.h"

static struct peer_loop *loop;

static int arrive(struct peer_loop *on, int status, void *arg)
{
    (void)status;
    if (producers_arrived((uintptr_t)arg))
        peer_loop_stop(on);
    return 0;
}

static void send(unsigned producer, unsigned slot, uint64_t number)
{
    (void)producer;
    (void)slot;
    peer_call(loop, arrive, (void *)(uintptr_t)number);
}

static void run(void)
{
    peer_loop_run(loop);
}

int main(int argc, char **argv)
{
    loop = peer_loop_create();
    producers_measure(argc, argv, send, run);
    return 0;
}
