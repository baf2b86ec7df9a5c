/* SPDX-License-Identifier: MIT */
/*
 * message - a function to be called, with what it is called with: how callbacks travel in lanes,
 * and what is left of a task or a timer when it is called and its memory is the user's again.
 */
#ifndef GYRE_LOOP_MESSAGE_H
#define GYRE_LOOP_MESSAGE_H

#include <gyre/base.h>

struct gyre__message {
    gyre_fn *fn; /* NULL, in a lane: arg is a task */
    void *arg;
    struct gyre_context *context; /* with a reference, which the call drops */
};

#endif
