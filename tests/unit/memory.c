/* SPDX-License-Identifier: MIT */
/*
 * memory - see memory.h.
 */
#include "harness/gyre_test.h"

#include "memory.h"

#include <gyre/base.h>
#include <stdlib.h>

/* All orders here are relaxed: the tests read the counts after a join or a barrier. */

static void *allocate(size_t bytes, void *arg)
{
    struct memory *memory = arg;
    size_t max = atomic_load_explicit(&memory->block_max, memory_order_relaxed);
    if (atomic_load_explicit(&memory->fails, memory_order_relaxed) || (max != 0 && bytes > max))
        return NULL;
    void *block = malloc(bytes);
    if (block != NULL) {
        atomic_fetch_add_explicit(&memory->blocks, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&memory->bytes, (long)bytes, memory_order_relaxed);
    }
    return block;
}

static void release(void *block, size_t bytes, void *arg)
{
    struct memory *memory = arg;
    atomic_fetch_sub_explicit(&memory->blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&memory->bytes, (long)bytes, memory_order_relaxed);
    free(block);
}

void memory_count(struct memory *memory)
{
    struct gyre_allocator allocator = {.allocate = allocate, .release = release, .arg = memory};
    *memory = (struct memory){.blocks = 0};
    cr_assert_eq(gyre_set_allocator(&allocator), 0);
}
