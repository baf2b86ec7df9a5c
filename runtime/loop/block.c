/* SPDX-License-Identifier: MIT */
/*
 * block - see block.h.
 */
#include "loop/block.h"

#include "loop/loop.h"

void *gyre__blocks_take(struct gyre__blocks *blocks)
{
    if (blocks->kept_count > 0)
        return blocks->kept[--blocks->kept_count];
    return gyre__port_allocate(GYRE_STREAM_BUFFER);
}

void gyre__blocks_give(struct gyre__blocks *blocks, void *block)
{
    if (block == NULL)
        return;
    if (blocks->kept_count < GYRE__BLOCKS_KEPT)
        blocks->kept[blocks->kept_count++] = block;
    else
        gyre__port_release(block, GYRE_STREAM_BUFFER);
}

void gyre__blocks_deinit(struct gyre__blocks *blocks)
{
    while (blocks->kept_count > 0)
        gyre__port_release(blocks->kept[--blocks->kept_count], GYRE_STREAM_BUFFER);
}

void *gyre__host_buffer_take(struct gyre_loop *loop)
{
    return gyre__blocks_take(&loop->blocks);
}

void gyre__host_buffer_give(struct gyre_loop *loop, void *buffer)
{
    gyre__blocks_give(&loop->blocks, buffer);
}
