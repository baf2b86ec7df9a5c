/* SPDX-License-Identifier: MIT */
/*
 * handler - the table of descriptors: chunks, generations, more ready than a batch holds.
 */
#include "loop/handler.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "harness/gyre_test.h"
#include "loop/loop.h"
#include "memory.h"

enum {
    CHUNK = GYRE__HANDLERS_CHUNK,
    MANY = 1100
};

static int count_event(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    unsigned *calls = arg;
    (void)loop;
    (void)fd;
    (void)events;
    ++*calls;
    return 0;
}

/* Lets the loop poll once, and end. */
static int stop_in_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    (void)timeout_ns;
    (void)arg;
    return gyre_loop_stop(loop);
}

static struct gyre_loop *open_loop(void)
{
    struct gyre_loop_options options;
    struct gyre_loop *loop;
    gyre_loop_options_init(&options);
    options.make_current = GYRE_CURRENT_NO;
    options.wait = stop_in_wait;
    cr_assert_eq(gyre_loop_create(&options, &loop), 0);
    return loop;
}

static void raise_limit(rlim_t descriptors)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= descriptors)
        return;
    limit.rlim_cur = descriptors;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        cr_skip_test("the system allows fewer than %d descriptors", (int)descriptors);
}

/* A pipe that is readable for ever. */
static void open_ready(int fds[2])
{
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    cr_assert_eq(write(fds[1], "x", 1), 1);
}

static void close_both(const int fds[2])
{
    (void)close(fds[0]); /* what was in it is of no use any more */
    (void)close(fds[1]);
}

static unsigned count_chunks(const struct gyre__handlers *handlers)
{
    unsigned count = 0;
    for (uint32_t at = 0; at < handlers->chunks_count; at++)
        count += handlers->chunks[at] != NULL;
    return count;
}

/* ---- chunks ---------------------------------------------------------------------------------- */

GYRE_TEST(handler, table_grows_by_the_chunk_where_descriptors_appear)
{
    static const int numbers[] = {CHUNK - 1, CHUNK,     7 * CHUNK + 1, 8 * CHUNK,
                                  9 * CHUNK, 3 * CHUNK, 40 * CHUNK - 1};
    raise_limit(40 * CHUNK);
    struct memory memory;
    memory_count(&memory);
    struct gyre_loop *loop = open_loop();
    const struct gyre__handlers *handlers = &loop->handlers;
    int fds[2];
    unsigned calls[sizeof(numbers) / sizeof(numbers[0])] = {0};
    open_ready(fds);
    cr_assert_eq(count_chunks(handlers), 0, "nothing is made ahead");
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int fd = numbers[i];
        cr_assert_null(gyre__handlers_find(handlers, fd), "%d", fd);
        cr_assert_eq(dup2(fds[0], fd), fd);
        cr_assert_eq(gyre_loop_add_handler(loop, fd, GYRE_READ, count_event, &calls[i]), 0);
        cr_assert_eq(count_chunks(handlers), i + 1, "each of them is in another chunk");
        cr_assert_eq(gyre__handlers_find(handlers, fd)->arg, &calls[i]);
    }
    cr_assert_null(gyre__handlers_find(handlers, 20 * CHUNK), "between");
    cr_assert_null(gyre__handlers_find(handlers, 1 << 30), "far beyond");
    cr_assert_eq(gyre_loop_run(loop), 0);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        cr_assert_eq(calls[i], 1);
        (void)close(numbers[i]); /* a duplicate */
    }
    gyre_loop_destroy(loop);
    cr_assert_eq(memory.blocks, 0);
    close_both(fds);
}

GYRE_TEST(handler, refused_descriptors_make_no_chunk)
{
    struct memory memory;
    memory_count(&memory);
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    long blocks = memory.blocks;
    const int refused[] = {-1, 100 * CHUNK, 1 << 30, 2147483647};
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        cr_assert_lt(gyre_loop_add_handler(loop, refused[i], GYRE_READ, count_event, &calls), 0);
    cr_assert_eq(memory.blocks, blocks);
    cr_assert_eq(count_chunks(&loop->handlers), 0);
    gyre_loop_destroy(loop);
}

GYRE_TEST(handler, no_memory_for_a_chunk_leaves_nothing_registered)
{
    struct memory memory;
    memory_count(&memory);
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    int fds[2];
    open_ready(fds);
    atomic_store_explicit(&memory.fails, true, memory_order_relaxed);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, count_event, &calls), -ENOMEM);
    atomic_store_explicit(&memory.fails, false, memory_order_relaxed);
    cr_assert_eq(gyre_loop_run(loop), 0);
    cr_assert_eq(calls, 0);
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    cr_assert_eq(stats.events_stale, 0, "the system has forgotten it");
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, count_event, &calls), 0);
    cr_assert_eq(gyre_loop_run(loop), 0);
    cr_assert_eq(calls, 1);
    gyre_loop_destroy(loop);
    close_both(fds);
}

/* ---- generations ----------------------------------------------------------------------------- */

GYRE_TEST(handler, generation_changes_with_registration_and_removal_and_not_with_an_update)
{
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    int fds[2];
    open_ready(fds);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, count_event, &calls), 0);
    const struct gyre__handler *entry = gyre__handlers_find(&loop->handlers, fds[0]);
    uint32_t generation = entry->generation;
    cr_assert_neq(generation, 0);
    cr_assert_eq(gyre_loop_update_handler(loop, fds[0], GYRE_NONE), 0);
    cr_assert_eq(entry->generation, generation);
    cr_assert_eq(gyre_loop_remove_handler(loop, fds[0]), 0);
    cr_assert_eq(entry->generation, generation + 1);
    cr_assert_eq(gyre_loop_remove_handler(loop, fds[0]), -ENOENT);
    cr_assert_eq(entry->generation, generation + 1);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, count_event, &calls), 0);
    cr_assert_eq(entry->generation, generation + 2);
    gyre_loop_destroy(loop);
    close_both(fds);
}

/* An event as the poller would report it for a registration of that generation. */
static struct gyre__event event_of(int fd, uint32_t generation)
{
    uint64_t datum = (uint64_t)generation << 32 | (uint32_t)fd;
    return (struct gyre__event){.datum = datum, .events = GYRE_READ};
}

/* As if the poller had reported this one event. */
static void dispatch_one(struct gyre_loop *loop, struct gyre__event event)
{
    loop->batch[0] = event;
    loop->batch_next = 0;
    loop->batch_count = 1;
    gyre__handlers_dispatch(loop);
}

GYRE_TEST(handler, event_of_another_generation_is_dropped)
{
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    int fds[2];
    open_ready(fds);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, count_event, &calls), 0);
    uint32_t generation = gyre__handlers_find(&loop->handlers, fds[0])->generation;
    const uint32_t others[] = {0, generation - 1, generation + 1, UINT32_MAX};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct gyre__event event = event_of(fds[0], others[i]);
        dispatch_one(loop, event);
        cr_assert_eq(calls, 0, "row %zu", i);
    }
    struct gyre__event event = event_of(fds[0], generation);
    dispatch_one(loop, event);
    cr_assert_eq(calls, 1);
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    cr_assert_eq(stats.events, 1);
    cr_assert_eq(stats.events_stale, 4);
    cr_assert_eq(stats.rebuilds, 0, "it was registered after the last poll");
    gyre_loop_destroy(loop);
    close_both(fds);
}

static void ignore_log(enum gyre_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

GYRE_TEST(handler, stale_event_of_an_unchanged_entry_rebuilds_the_set)
{
    gyre_set_log(ignore_log, NULL);
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    int fds[2];
    open_ready(fds);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, count_event, &calls), 0);
    cr_assert_eq(gyre_loop_run(loop), 0);
    cr_assert_eq(calls, 1);
    uint32_t generation = gyre__handlers_find(&loop->handlers, fds[0])->generation;
    struct gyre__event event = event_of(fds[0], generation - 1);
    dispatch_one(loop, event);
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    cr_assert_eq(stats.rebuilds, 1, "nothing changed since the poll: it will come again");
    cr_assert_eq(gyre_loop_run(loop), 0);
    cr_assert_eq(calls, 2, "the registration survives");
    gyre_loop_destroy(loop);
    close_both(fds);
}

GYRE_TEST(handler, event_beyond_the_table_is_dropped)
{
    gyre_set_log(ignore_log, NULL);
    struct gyre_loop *loop = open_loop();
    const int numbers[] = {0, 5 * CHUNK, 2147483647};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        struct gyre__event event = event_of(numbers[i], 1);
        dispatch_one(loop, event);
    }
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    cr_assert_eq(stats.events_stale, 3);
    cr_assert_eq(stats.events, 0);
    cr_assert_eq(count_chunks(&loop->handlers), 0);
    gyre_loop_destroy(loop);
}

/* ---- many ------------------------------------------------------------------------------------ */

GYRE_TEST(handler, eleven_hundred_ready_descriptors_are_all_served)
{
    static unsigned calls[MANY];
    static int duplicates[MANY];
    raise_limit(2 * MANY);
    struct gyre_loop *loop = open_loop();
    int fds[2];
    open_ready(fds);
    for (int i = 0; i < MANY; i++) {
        duplicates[i] = dup(fds[0]);
        cr_assert_geq(duplicates[i], 0);
        cr_assert_eq(gyre_loop_add_handler(loop, duplicates[i], GYRE_READ, count_event, &calls[i]),
                     0);
    }
    const unsigned polls = (MANY + GYRE__BATCH_MAX - 1) / GYRE__BATCH_MAX;
    for (unsigned i = 0; i < polls; i++)
        cr_assert_eq(gyre_loop_run(loop), 0);
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    cr_assert_eq(stats.polls, polls);
    cr_assert_leq(stats.events, polls * GYRE__BATCH_MAX);
    for (int i = 0; i < MANY; i++)
        cr_assert(calls[i] == 1 || calls[i] == 2, "descriptor %d was called %u times",
                  duplicates[i], calls[i]);
    for (int i = 0; i < MANY; i++) {
        cr_assert_eq(gyre_loop_remove_handler(loop, duplicates[i]), 0);
        (void)close(duplicates[i]); /* a duplicate */
    }
    gyre_loop_destroy(loop);
    close_both(fds);
}

GYRE_TEST(handler, close_visits_every_chunk)
{
    raise_limit(20 * CHUNK);
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    int fds[2];
    open_ready(fds);
    for (int at = 1; at < 20; at += 3) {
        cr_assert_eq(dup2(fds[0], at * CHUNK), at * CHUNK);
        cr_assert_eq(gyre_loop_add_handler(loop, at * CHUNK, GYRE_READ, count_event, &calls), 0);
    }
    cr_assert_eq(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0);
    for (int at = 1; at < 20; at += 3)
        cr_assert_lt(fcntl(at * CHUNK, F_GETFD), 0, "chunk %d", at);
    cr_assert_null(loop->handlers.chunks);
    gyre_loop_release(loop);
    close_both(fds);
}
