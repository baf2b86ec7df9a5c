/* SPDX-License-Identifier: MIT */
/*
 * closer - see closer.h.
 */
#include "loop/closer.h"

#include <gyre/error.h>

#include "contract/port.h"

enum {
    CHUNK_BYTES = GYRE__CLOSERS_CHUNK * sizeof(gyre_close_fn *)
};

/* Where the function of fd stands; NULL if its chunk does not exist. */
static gyre_close_fn **place_of(const struct gyre__closers *closers, int fd)
{
    uint32_t at = (uint32_t)fd / GYRE__CLOSERS_CHUNK;
    if (at >= closers->chunks_count || closers->chunks[at] == NULL)
        return NULL;
    return &closers->chunks[at][(uint32_t)fd % GYRE__CLOSERS_CHUNK];
}

static int grow(struct gyre__closers *closers, uint32_t count)
{
    gyre_close_fn ***chunks = gyre__port_allocate(count * sizeof(*chunks));
    if (chunks == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < closers->chunks_count; i++)
        chunks[i] = closers->chunks[i];
    if (closers->chunks != NULL)
        gyre__port_release(closers->chunks, closers->chunks_count * sizeof(*chunks));
    closers->chunks = chunks;
    closers->chunks_count = count;
    return 0;
}

int gyre__closers_reserve(struct gyre__closers *closers, int fd)
{
    uint32_t at = (uint32_t)fd / GYRE__CLOSERS_CHUNK;
    if (at >= closers->chunks_count) {
        int r = grow(closers, at < 4 ? 8 : at * 2);
        if (r != 0)
            return r;
    }
    if (closers->chunks[at] == NULL)
        closers->chunks[at] = gyre__port_allocate(CHUNK_BYTES);
    return closers->chunks[at] != NULL ? 0 : -ENOMEM;
}

void gyre__closers_set(struct gyre__closers *closers, int fd, gyre_close_fn *close)
{
    gyre_close_fn **place = place_of(closers, fd);
    if (place != NULL)
        *place = close;
}

gyre_close_fn *gyre__closers_find(const struct gyre__closers *closers, int fd)
{
    gyre_close_fn *const *place = place_of(closers, fd);
    return place != NULL ? *place : NULL;
}

void gyre__closers_deinit(struct gyre__closers *closers)
{
    for (uint32_t at = 0; at < closers->chunks_count; at++) {
        if (closers->chunks[at] != NULL)
            gyre__port_release(closers->chunks[at], CHUNK_BYTES);
    }
    if (closers->chunks != NULL)
        gyre__port_release(closers->chunks, closers->chunks_count * sizeof(*closers->chunks));
    closers->chunks = NULL;
    closers->chunks_count = 0;
}
