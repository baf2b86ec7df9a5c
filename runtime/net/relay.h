/* SPDX-License-Identifier: MIT */
/*
 * relay - what the streams of a relay hand it: their completions, and the end of the calls into the
 * user's functions that its start had to wait for.
 */
#ifndef GYRE_NET_RELAY_H
#define GYRE_NET_RELAY_H

#include "net/stream.h"

/* No call into the user's functions stands on the stack any more: starts the relay, once. */
void gyre__relay_begin(struct gyre_relay *relay) GYRE_ON_LOOP;

/* The completions of a stream that a relay has, and what its channel learns without one. */
void gyre__relay_received(struct gyre_stream *stream, int64_t result, void *data) GYRE_ON_LOOP;
void gyre__relay_sent(struct gyre_stream *stream, int64_t result) GYRE_ON_LOOP;
void gyre__relay_lost(struct gyre_stream *stream, int error) GYRE_ON_LOOP;

/* A stream cannot go on, and nor can its relay. */
void gyre__relay_abort(struct gyre_relay *relay, int error) GYRE_ON_LOOP;

#endif
