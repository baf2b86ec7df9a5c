/* SPDX-License-Identifier: MIT */
/*
 * interpose - counts what a steady state must not do: take memory, give it back, take a lock.
 *
 * The linker's --wrap leads every call that the program's own objects make, libgyre.a's among them,
 * through here (CMakeLists.txt lists the names). It works in every build, since a sanitizer's own
 * malloc is the one that is called in the end. Calls that the C library makes inside itself are
 * not seen; the runtime makes none that would (tests/tidy/runtime-imports.txt).
 */
#ifndef GYRE_TEST_INTERPOSE_H
#define GYRE_TEST_INTERPOSE_H

#include <stdint.h>

struct interpose_counts {
    uint64_t allocations; /* malloc, calloc, realloc, aligned_alloc, posix_memalign */
    uint64_t releases; /* free */
    uint64_t locks; /* mutexes, read-write locks, condition variables, semaphores, once */
};

/* What the whole process has done since its start. */
struct interpose_counts interpose_read(void);

#endif
