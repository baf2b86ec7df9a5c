/* SPDX-License-Identifier: MIT */
/*
 * block - a loop's buffers of GYRE_STREAM_BUFFER bytes, a few of them kept for reuse.
 *
 * A receive borrows one for its completion. A stream holds a block only while it has bytes that it
 * could not hand on, so that a loop needs few; what is beyond the few goes back to the allocator,
 * since a burst must not stay for ever.
 */
#ifndef GYRE_LOOP_BLOCK_H
#define GYRE_LOOP_BLOCK_H

#include <gyre/stream.h>

enum gyre__block_limits {
    GYRE__BLOCKS_KEPT = 16 /* 1 MiB a loop: enough for the streams that are behind in one turn */
};

struct gyre__blocks {
    void *kept[GYRE__BLOCKS_KEPT];
    unsigned kept_count;
};

/* A block of GYRE_STREAM_BUFFER bytes with any content, or NULL. */
void *gyre__blocks_take(struct gyre__blocks *blocks);

/* Gives one back; NULL is ignored. */
void gyre__blocks_give(struct gyre__blocks *blocks, void *block);

/* Frees what is kept. Blocks still out are their holders'. */
void gyre__blocks_deinit(struct gyre__blocks *blocks);

#endif
