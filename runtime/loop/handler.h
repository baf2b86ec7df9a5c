/* SPDX-License-Identifier: MIT */
/*
 * handler - the one table of a loop's descriptors: who gets whose readiness.
 *
 * What     An entry a descriptor, for a user's handler or for a channel of operations, never both.
 *          The table has two levels, and grows by the chunk as descriptors appear; it is never
 *          sized by a resource limit, which may be a thousand million.
 * Identity An event carries descriptor and generation. The generation of an entry changes with
 * every
 *          registration and removal, so that an event of an earlier one is told apart and dropped
 *          (T26, T27, T35). A 32-bit generation comes back after 2^32 changes of one descriptor,
 *          and an event lives for one batch.
 * Phantoms A file that was closed without being removed, while a duplicate keeps it open, cannot be
 *          removed from the kernel's set and would fire for ever. Its event is a stale one although
 *          the entry has not changed since the poll: the set is then rebuilt (T34).
 *
 *            directory -> [ chunk, NULL, chunk, ... ]     chunk = 128 entries of consecutive
 *            descriptors
 */
#ifndef GYRE_LOOP_HANDLER_H
#define GYRE_LOOP_HANDLER_H

#include <gyre/loop.h>

#include "contract/backend.h"
#include "loop/closer.h"

enum gyre__handler_limits {
    GYRE__HANDLERS_CHUNK = 128, /* entries: 5 KiB, what a hundred connections touch anyway */
    GYRE__REBUILD_PAUSE_NS = 10 * 1000 * 1000 /* between two of them: a call a descriptor each */
};

enum gyre__handler_kind {
    GYRE__HANDLER_FREE, /* nobody's */
    GYRE__HANDLER_USER, /* a handler's */
    GYRE__HANDLER_TIMED, /* a handler's, of a loop that times calls */
    GYRE__HANDLER_ONCE, /* a handler's, of GYRE_ONESHOT; `events` is 0 once it was called */
    GYRE__HANDLER_CHANNEL /* operations' */
};

struct gyre__handler {
    union {
        gyre_handler_fn *handler;
        gyre__ready_fn *ready;
    } fn;
    void *arg; /* the user's, or the channel */
    struct gyre_context *context;
    uint32_t events;
    uint32_t generation;
    uint32_t changed; /* number of the poll after which the generation last changed */
    uint8_t kind;
    uint8_t reserved[3];
};

struct gyre__handlers {
    struct gyre__handler **chunks;
    uint32_t chunks_count;
    uint32_t polls; /* number of the last poll; wraps */
    uint64_t rebuilt_ns; /* when the set was last rebuilt or mended, 0: never */
    int torn; /* why a rebuilt set lacks descriptors, perhaps the waker; 0: it is whole */
    struct gyre__closers closers; /* of users' entries alone */
};

/* The entry of fd, NULL if its chunk does not exist. */
static inline struct gyre__handler *gyre__handlers_find(const struct gyre__handlers *handlers,
                                                        int fd)
{
    uint32_t at = (uint32_t)fd / GYRE__HANDLERS_CHUNK;
    if (at >= handlers->chunks_count || handlers->chunks[at] == NULL)
        return NULL;
    return &handlers->chunks[at][(uint32_t)fd % GYRE__HANDLERS_CHUNK];
}

/* Hands the events that are left of the loop's batch to whom they belong, or drops them; silences
 * the waker. Stops early if the run is interrupted. */
void gyre__handlers_dispatch(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Before a wait, while `torn`: adds what the set lacks, if the pause has passed. Until that works
 * no wait may be longer than the pause, since nobody might be able to end it. */
void gyre__handlers_mend(struct gyre_loop *loop) GYRE_ON_LOOP;

/* The loop closes: abandons every channel. Their users close them from the completions. */
void gyre__handlers_abandon(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Closes the descriptor of every handler, or has its owner close it. Nothing can be added any more.
 * In a child the owners are not called, and what is theirs stays open. */
void gyre__handlers_close_fds(struct gyre_loop *loop) GYRE_ON_LOOP;

/* Removes every handler, and frees the table. */
void gyre__handlers_deinit(struct gyre_loop *loop) GYRE_ON_LOOP;

#endif
