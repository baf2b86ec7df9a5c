/* SPDX-License-Identifier: MIT */
/*
 * connect - how a stream comes by its descriptor: addresses tried in turn, within one time limit.
 */
#ifndef GYRE_NET_CONNECT_H
#define GYRE_NET_CONNECT_H

#include "net/stream.h"

/* The channel is free after an attempt that failed: tries the next address, or fails the stream. */
void gyre__connect_next(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Ends the lookup and the time limit. The memory stays: an attempt may still have an address. */
void gyre__connect_stop(struct gyre_stream *stream) GYRE_ON_LOOP;

/* Frees what a stream that never opened still has. */
void gyre__connect_free(struct gyre_stream *stream);

#endif
