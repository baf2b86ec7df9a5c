/* SPDX-License-Identifier: MIT */
/*
 * call - the slots of calls that have a handle: chunks, generations, memory.
 */
#include <gyre/error.h>

#include "harness/gyre_test.h"
#include "loop/timer.h"
#include "memory.h"

enum {
    CHUNK = GYRE__CALLS_CHUNK,
    MILLION = 1000000
};

/* Slots alone, with the handle set as arming a call does. */
static uint64_t take(struct gyre__calls *calls)
{
    uint64_t handle = 0;
    struct gyre_timer *timer;
    cr_assert_eq(gyre__calls_take(calls, &handle, &timer), 0);
    *timer = (struct gyre_timer){.handle = handle};
    return handle;
}

static void give(struct gyre__calls *calls, uint64_t handle)
{
    struct gyre_timer *timer = gyre__calls_find(calls, handle);
    cr_assert_not_null(timer);
    gyre__calls_give(calls, timer);
}

GYRE_TEST(call, handle_finds_its_timer_until_it_is_given_back)
{
    struct gyre__calls calls = {0};
    uint64_t handle = take(&calls);
    cr_assert_neq(handle, 0);
    cr_assert_eq(gyre__calls_find(&calls, handle)->handle, handle);
    give(&calls, handle);
    cr_assert_null(gyre__calls_find(&calls, handle));
    gyre__calls_deinit(&calls);
}

GYRE_TEST(call, handles_that_nobody_made_find_nothing)
{
    struct gyre__calls calls = {0};
    cr_assert_null(gyre__calls_find(&calls, 0), "before the first");
    cr_assert_null(gyre__calls_find(&calls, UINT64_MAX));
    uint64_t handle = take(&calls);
    const uint64_t wrong[] = {0,          1,         handle + 1, handle ^ (UINT64_C(1) << 24),
                              UINT64_MAX, handle - 1};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        cr_assert_null(gyre__calls_find(&calls, wrong[i]), "row %zu", i);
    cr_assert_not_null(gyre__calls_find(&calls, handle));
    gyre__calls_deinit(&calls);
}

GYRE_TEST(call, slot_is_used_again_under_another_generation)
{
    struct gyre__calls calls = {0};
    uint64_t old = take(&calls);
    struct gyre_timer *timer = gyre__calls_find(&calls, old);
    for (int i = 0; i < 1000; i++) {
        give(&calls, old);
        uint64_t handle = take(&calls);
        cr_assert_eq(gyre__calls_find(&calls, handle), timer, "the same slot");
        cr_assert_neq(handle, old);
        cr_assert_null(gyre__calls_find(&calls, old));
        old = handle;
    }
    gyre__calls_deinit(&calls);
}

GYRE_TEST(call, generation_skips_zero_when_it_comes_around)
{
    struct gyre__calls calls = {.generation = (UINT64_MAX >> 24) - 1};
    uint64_t last = take(&calls);
    uint64_t first = take(&calls);
    cr_assert_eq(last >> 24, UINT64_MAX >> 24);
    cr_assert_eq(first >> 24, 1);
    cr_assert_not_null(gyre__calls_find(&calls, last));
    cr_assert_not_null(gyre__calls_find(&calls, first));
    gyre__calls_deinit(&calls);
}

GYRE_TEST(call, memory_grows_by_the_chunk_and_one_empty_chunk_stays)
{
    static uint64_t handles[4 * CHUNK];
    struct memory memory;
    struct gyre__calls calls = {0};
    memory_count(&memory);
    for (int i = 0; i < 4 * CHUNK; i++) {
        handles[i] = take(&calls);
        cr_assert_eq(memory.blocks, 2 + i / CHUNK, "the directory and the chunks: call %d", i);
    }
    for (int i = 4 * CHUNK - 1; i >= 0; i--)
        give(&calls, handles[i]);
    cr_assert_eq(memory.blocks, 2, "the directory and one chunk");
    gyre__calls_deinit(&calls);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(call, chunks_empty_in_any_order)
{
    static const int orders[][4] = {{0, 1, 2, 3}, {3, 2, 1, 0}, {1, 3, 0, 2}, {2, 0, 3, 1}};
    static uint64_t handles[4 * CHUNK];
    struct memory memory;
    memory_count(&memory);
    for (size_t row = 0; row < sizeof(orders) / sizeof(orders[0]); row++) {
        struct gyre__calls calls = {0};
        for (int round = 0; round < 3; round++) {
            for (int i = 0; i < 4 * CHUNK; i++)
                handles[i] = take(&calls);
            for (int i = 0; i < 4; i++) {
                for (int slot = 0; slot < CHUNK; slot++)
                    give(&calls, handles[orders[row][i] * CHUNK + slot]);
                cr_assert_eq(memory.blocks, 1 + (i < 3 ? 4 - i : 1), "row %zu, chunk %d", row, i);
            }
        }
        gyre__calls_deinit(&calls);
        cr_assert_eq(memory.blocks, 0);
    }
}

GYRE_TEST(call, free_slots_in_front_are_used_first)
{
    static uint64_t handles[4 * CHUNK];
    struct memory memory;
    struct gyre__calls calls = {0};
    memory_count(&memory);
    for (int i = 0; i < 4 * CHUNK; i++)
        handles[i] = take(&calls);
    long blocks = memory.blocks;
    for (int i = 0; i < 4 * CHUNK; i += 7)
        give(&calls, handles[i]);
    for (int i = 0; i < 4 * CHUNK; i += 7) {
        uint64_t handle = take(&calls);
        cr_assert_eq(handle & 0xffffff, i, "the lowest free slot");
        handles[i] = handle;
    }
    cr_assert_eq(memory.blocks, blocks);
    for (int i = 0; i < 4 * CHUNK; i++)
        cr_assert_not_null(gyre__calls_find(&calls, handles[i]));
    gyre__calls_deinit(&calls);
}

GYRE_TEST(call, a_million_calls_in_turn_leave_nothing)
{
    struct memory memory;
    struct gyre__calls calls = {0};
    memory_count(&memory);
    uint64_t kept = take(&calls);
    long bytes = memory.bytes;
    for (int i = 0; i < MILLION; i++)
        give(&calls, take(&calls));
    cr_assert_eq(memory.bytes, bytes);
    cr_assert_not_null(gyre__calls_find(&calls, kept));
    gyre__calls_deinit(&calls);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(call, no_memory_is_an_error_that_passes)
{
    struct memory memory;
    struct gyre__calls calls = {0};
    uint64_t handle = 4711;
    struct gyre_timer *timer = NULL;
    memory_count(&memory);
    for (int i = 0; i <= 2 * CHUNK; i++) {
        if (i % CHUNK == 0) { /* a chunk is needed */
            atomic_store_explicit(&memory.fails, true, memory_order_relaxed);
            cr_assert_eq(gyre__calls_take(&calls, &handle, &timer), -ENOMEM);
            cr_assert_eq(handle, 4711, "the result is untouched by a failure");
            atomic_store_explicit(&memory.fails, false, memory_order_relaxed);
        }
        (void)take(&calls);
    }
    gyre__calls_deinit(&calls);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(call, limit_is_an_error)
{
    /* As after so many calls: no chunk below has a free slot. */
    struct gyre__calls calls = {.open = GYRE__CALLS_MAX / GYRE__CALLS_CHUNK};
    uint64_t handle = 4711;
    struct gyre_timer *timer;
    cr_assert_eq(GYRE__CALLS_MAX, 16777216, "the public header's number");
    cr_assert_eq(gyre__calls_take(&calls, &handle, &timer), -EAGAIN);
    cr_assert_eq(handle, 4711);
}
