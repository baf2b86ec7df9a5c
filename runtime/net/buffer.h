/* SPDX-License-Identifier: MIT */
/*
 * buffer - the bytes that wait in one direction of a stream: a block of the loop's, held only while
 * there are any.
 *
 *   block  [ . . . . | x x x x x x x x | . . . . . ]      GYRE_STREAM_BUFFER bytes
 *                    start             end
 *
 * Why      A block that is given back as soon as it is empty is what makes an idle stream small. A
 *          ring was rejected: its bytes are in two pieces when they are offered or sent, and a
 *          buffer that drains as a whole wraps for nothing.
 * Lent     While a send has bytes of the block, they may only be appended to: no compact, no
 *          consume.
 */
#ifndef GYRE_NET_BUFFER_H
#define GYRE_NET_BUFFER_H

#include "loop/block.h"

struct gyre__buffer {
    unsigned char *block; /* NULL while empty */
    uint32_t start;
    uint32_t end;
};

static inline size_t gyre__buffer_bytes(const struct gyre__buffer *buffer)
{
    return buffer->end - buffer->start;
}

static inline unsigned char *gyre__buffer_data(const struct gyre__buffer *buffer)
{
    return buffer->block + buffer->start;
}

/* Copies what fits behind the bytes that wait, and returns how much that was: 0 also without
 * memory. */
size_t gyre__buffer_append(struct gyre__buffer *buffer, struct gyre__blocks *blocks,
                           const void *data, size_t bytes);

/* Moves the bytes to the front, so that all the room is behind them. */
void gyre__buffer_compact(struct gyre__buffer *buffer);

/* Drops the first `bytes` bytes; the last one gives the block back. */
void gyre__buffer_consume(struct gyre__buffer *buffer, struct gyre__blocks *blocks, size_t bytes);

/* Drops everything. */
void gyre__buffer_clear(struct gyre__buffer *buffer, struct gyre__blocks *blocks);

#endif
