/* SPDX-License-Identifier: MIT */
/*
 * buffer - see buffer.h.
 */
#include "net/buffer.h"

#include <string.h>

#include "contract/port.h"

size_t gyre__buffer_append(struct gyre__buffer *buffer, struct gyre__blocks *blocks,
                           const void *data, size_t bytes)
{
    if (bytes == 0)
        return 0;
    if (buffer->block == NULL) {
        buffer->block = gyre__blocks_take(blocks);
        if (buffer->block == NULL)
            return 0;
    }
    size_t room = GYRE_STREAM_BUFFER - buffer->end;
    if (bytes > room)
        bytes = room;
    memcpy(buffer->block + buffer->end, data, bytes);
    buffer->end += (uint32_t)bytes;
    return bytes;
}

void gyre__buffer_compact(struct gyre__buffer *buffer)
{
    if (buffer->start == 0)
        return;
    memmove(buffer->block, gyre__buffer_data(buffer), gyre__buffer_bytes(buffer));
    buffer->end -= buffer->start;
    buffer->start = 0;
}

void gyre__buffer_consume(struct gyre__buffer *buffer, struct gyre__blocks *blocks, size_t bytes)
{
    GYRE__ASSERT(bytes <= gyre__buffer_bytes(buffer));
    buffer->start += (uint32_t)bytes;
    if (buffer->start == buffer->end)
        gyre__buffer_clear(buffer, blocks);
}

void gyre__buffer_clear(struct gyre__buffer *buffer, struct gyre__blocks *blocks)
{
    gyre__blocks_give(blocks, buffer->block);
    *buffer = (struct gyre__buffer){0};
}
