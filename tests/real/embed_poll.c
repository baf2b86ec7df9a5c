/* SPDX-License-Identifier: MIT */
/*
 * embed_poll - a loop inside a loop around poll(2).
 */
#include <poll.h>

#include "embedded.h"
#include "harness/plain.h"

static void loop_inside_poll_does_all_its_work(void)
{
    struct embedded work;
    if (!embedded_open(&work))
        PLAIN_SKIP("this backend has no descriptor of its own");
    do {
        struct pollfd polled = {.fd = work.fd, .events = POLLIN};
        (void)poll(&polled, 1, embedded_prepare(&work)); /* a signal: the turn finds nothing */
    } while (!embedded_turn(&work));
    embedded_close(&work);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(loop_inside_poll_does_all_its_work),
};

PLAIN_MAIN(cases)
