/* SPDX-License-Identifier: MIT */
/*
 * closer - the close functions of a loop's owned descriptors, by descriptor.
 *
 * What     Beside the table of handlers, and of the same shape: a directory of chunks, each made
 *          when the first descriptor in it has an owner. A loop without owners has none of it.
 * Why      Few descriptors have an owner, and the function is needed once, at the end. In the entry
 *          it would cost every idle connection eight bytes; a second kind of entry would cost
 *          every event a comparison.
 */
#ifndef GYRE_LOOP_CLOSER_H
#define GYRE_LOOP_CLOSER_H

#include <gyre/loop.h>

enum gyre__closer_limits {
    GYRE__CLOSERS_CHUNK = 128 /* functions: 1 KiB */
};

struct gyre__closers {
    gyre_close_fn ***chunks;
    uint32_t chunks_count;
};

/* Makes room for fd's function. -ENOMEM. */
int gyre__closers_reserve(struct gyre__closers *closers, int fd);

/* Sets fd's function, for which there is room; NULL, which needs none, clears it. */
void gyre__closers_set(struct gyre__closers *closers, int fd, gyre_close_fn *close);

/* The function of fd, NULL if it has none. */
gyre_close_fn *gyre__closers_find(const struct gyre__closers *closers, int fd);

void gyre__closers_deinit(struct gyre__closers *closers);

#endif
