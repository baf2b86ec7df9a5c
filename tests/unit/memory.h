/* SPDX-License-Identifier: MIT */
/*
 * memory - counts the library's blocks, and lets its allocations fail.
 */
#ifndef GYRE_TEST_UNIT_MEMORY_H
#define GYRE_TEST_UNIT_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>

struct memory {
    _Atomic long blocks; /* in use */
    _Atomic long bytes;
    _Atomic bool fails; /* from now on */
    _Atomic size_t block_max; /* more bytes fail; 0: no limit */
};

/* Has the library allocate through `memory` until the process of this test ends. Nothing may have
 * been allocated before. */
void memory_count(struct memory *memory);

#endif
