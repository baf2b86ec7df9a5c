/* SPDX-License-Identifier: MIT */
/*
 * call - the timers that have a handle instead of a place in the user's object.
 *
 *   handle = generation (40 bits) | slot (24 bits), slot = chunk * 64 + bit
 *
 * What     Chunks of 64 timers, made on demand and freed when empty, so that memory follows the
 *          live timers (T81c). One empty chunk is kept, lest a single call made and cancelled in
 *          turn allocate each time. The generation counts all handles ever made: a slot's next
 *          handle is never an old one.
 * Limits   GYRE__CALLS_MAX pending; the array of chunks keeps its largest size, 2 MiB at that
 *          limit. A generation comes back after 2^40 handles: a third of an hour at one a
 *          nanosecond, and then it has to meet its own slot.
 */
#include "loop/timer.h"

#include <string.h>

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

enum {
    SLOT_BITS = 24,
    NO_CHUNK = UINT32_MAX
};

struct gyre__calls_chunk {
    uint64_t live; /* a bit a slot */
    struct gyre_timer timers[GYRE__CALLS_CHUNK];
};

_Static_assert(GYRE__CALLS_CHUNK == 64, "one word of bits a chunk");
_Static_assert(GYRE__CALLS_MAX == 1 << SLOT_BITS, "a slot fits its bits");

static uint32_t slot_of(uint64_t handle)
{
    return (uint32_t)(handle & (GYRE__CALLS_MAX - 1));
}

static int grow(struct gyre__calls *calls)
{
    uint32_t count = calls->chunks_count == 0 ? 8 : calls->chunks_count * 2;
    struct gyre__calls_chunk **chunks = gyre__port_allocate(count * sizeof(*chunks));
    if (chunks == NULL)
        return -ENOMEM;
    if (calls->chunks != NULL) {
        memcpy(chunks, calls->chunks, calls->chunks_count * sizeof(*chunks));
        gyre__port_release(calls->chunks, calls->chunks_count * sizeof(*chunks));
    } else {
        calls->empty = NO_CHUNK;
    }
    calls->chunks = chunks;
    calls->chunks_count = count;
    return 0;
}

/* Moves `open` to the first chunk with a free slot, and makes that chunk if need be. */
static int find_open(struct gyre__calls *calls)
{
    while (calls->open < calls->chunks_count && calls->chunks[calls->open] != NULL &&
           calls->chunks[calls->open]->live == UINT64_MAX)
        calls->open++;
    if (calls->open == GYRE__CALLS_MAX / GYRE__CALLS_CHUNK)
        return -EAGAIN;
    if (calls->open == calls->chunks_count) {
        int r = grow(calls);
        if (r != 0)
            return r;
    }
    struct gyre__calls_chunk **place = &calls->chunks[calls->open];
    if (*place == NULL && calls->empty != NO_CHUNK) {
        *place = calls->chunks[calls->empty];
        calls->chunks[calls->empty] = NULL;
        calls->empty = NO_CHUNK;
    } else if (*place == NULL) {
        *place = gyre__port_allocate(sizeof(**place));
    } else if (calls->empty == calls->open) {
        calls->empty = NO_CHUNK;
    }
    return *place != NULL ? 0 : -ENOMEM;
}

int gyre__calls_take(struct gyre__calls *calls, uint64_t *ret_handle, struct gyre_timer **ret_timer)
{
    int r = find_open(calls);
    if (r != 0)
        return r;
    struct gyre__calls_chunk *chunk = calls->chunks[calls->open];
    unsigned bit = (unsigned)__builtin_ctzll(~chunk->live);
    chunk->live |= UINT64_C(1) << bit;
    calls->generation = (calls->generation + 1) & (UINT64_MAX >> SLOT_BITS);
    if (calls->generation == 0)
        calls->generation = 1; /* a handle is never 0 */
    *ret_handle = calls->generation << SLOT_BITS | (calls->open * GYRE__CALLS_CHUNK + bit);
    *ret_timer = &chunk->timers[bit];
    return 0;
}

struct gyre_timer *gyre__calls_find(struct gyre__calls *calls, uint64_t handle)
{
    uint32_t slot = slot_of(handle);
    if (slot / GYRE__CALLS_CHUNK >= calls->chunks_count)
        return NULL;
    struct gyre__calls_chunk *chunk = calls->chunks[slot / GYRE__CALLS_CHUNK];
    if (chunk == NULL || (chunk->live >> slot % GYRE__CALLS_CHUNK & 1) == 0)
        return NULL;
    struct gyre_timer *timer = &chunk->timers[slot % GYRE__CALLS_CHUNK];
    return timer->handle == handle ? timer : NULL;
}

void gyre__calls_give(struct gyre__calls *calls, struct gyre_timer *timer)
{
    uint32_t slot = slot_of(timer->handle);
    uint32_t at = slot / GYRE__CALLS_CHUNK;
    struct gyre__calls_chunk *chunk = calls->chunks[at];
    chunk->live &= ~(UINT64_C(1) << slot % GYRE__CALLS_CHUNK);
    if (at < calls->open)
        calls->open = at;
    if (chunk->live != 0)
        return;
    uint32_t spare = calls->empty;
    if (spare == NO_CHUNK) {
        calls->empty = at;
        return;
    }
    /* Of two empty chunks the one in front stays: it is the next to be used. */
    uint32_t goes = spare < at ? at : spare;
    calls->empty = spare < at ? spare : at;
    gyre__port_release(calls->chunks[goes], sizeof(*chunk));
    calls->chunks[goes] = NULL;
}

void gyre__calls_deinit(struct gyre__calls *calls)
{
    for (uint32_t at = 0; at < calls->chunks_count; at++) {
        if (calls->chunks[at] != NULL)
            gyre__port_release(calls->chunks[at], sizeof(**calls->chunks));
    }
    if (calls->chunks != NULL)
        gyre__port_release(calls->chunks, calls->chunks_count * sizeof(*calls->chunks));
    *calls = (struct gyre__calls){0};
}

/* ---- the public functions -------------------------------------------------------------------- */

static int arm(struct gyre_loop *loop, uint64_t deadline_ns, uint64_t *ret_handle, gyre_fn *fn,
               void *arg)
{
    if (fn == NULL)
        return -EINVAL;
    if (loop->closed)
        return -ESHUTDOWN;
    uint64_t handle;
    struct gyre_timer *timer;
    int r = gyre__calls_take(&loop->timers.calls, &handle, &timer);
    if (r != 0)
        return r;
    gyre_timer_init(timer, loop, fn, arg);
    timer->handle = handle;
    timer->context = gyre__context_capture();
    gyre__timers_start(&loop->timers, timer, deadline_ns);
    *ret_handle = handle;
    return 0;
}

int gyre_loop_call_at(struct gyre_loop *loop, uint64_t deadline_ns, uint64_t *ret_handle,
                      gyre_fn *fn, void *arg)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_call_at");
    return r != 0 ? r : arm(loop, deadline_ns, ret_handle, fn, arg);
}

int gyre_loop_call_later(struct gyre_loop *loop, uint64_t delay_ns, uint64_t *ret_handle,
                         gyre_fn *fn, void *arg)
{
    /* Before the clock is read, which may be the user's and for the loop's thread alone. */
    int r = gyre__loop_check_owner(loop, "gyre_loop_call_later");
    if (r != 0)
        return r;
    uint64_t now = gyre_loop_now_ns(loop);
    uint64_t deadline = delay_ns < GYRE_NEVER - now ? now + delay_ns : GYRE_NEVER;
    return arm(loop, deadline, ret_handle, fn, arg);
}

int gyre_loop_cancel_call(struct gyre_loop *loop, uint64_t handle)
{
    int r = gyre__loop_check_owner(loop, "gyre_loop_cancel_call");
    if (r != 0)
        return r;
    struct gyre_timer *timer = gyre__calls_find(&loop->timers.calls, handle);
    if (timer == NULL)
        return -ENOENT;
    struct gyre_context *context = timer->context;
    timer->context = NULL;
    gyre__timers_stop(&loop->timers, timer);
    gyre__calls_give(&loop->timers.calls, timer);
    gyre__context_drop(context); /* last: its release may cancel again, or close the loop */
    return 0;
}
