/* SPDX-License-Identifier: MIT */
/*
 * lane - the word of a lane, its chunks, and its ends, from both sides by turns.
 */
#include "loop/lane.h"

#include <errno.h>

#include "harness/gyre_test.h"
#include "loop/meter.h"
#include "memory.h"

enum {
    MANY = 10000,
    SERIAL = 7
};

struct fixture {
    struct memory memory;
    struct gyre__door door;
    struct gyre__lane *lane;
};

static void begin(struct fixture *fixture)
{
    memory_count(&fixture->memory);
    gyre__door_init(&fixture->door);
    fixture->lane = gyre__lane_create(SERIAL, NULL);
    cr_assert_not_null(fixture->lane);
    cr_assert_eq(fixture->lane->loop_serial, SERIAL);
}

static void set_fails(struct fixture *fixture, bool fails)
{
    atomic_store_explicit(&fixture->memory.fails, fails, memory_order_relaxed);
}

static int nothing(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return 0;
}

static bool put(struct fixture *fixture, uintptr_t number)
{
    struct gyre__message message = {.fn = nothing, .arg = (void *)number};
    return gyre__lane_put(fixture->lane, &message);
}

static int post(struct fixture *fixture, uintptr_t number)
{
    cr_assert(put(fixture, number));
    return gyre__lane_announce(fixture->lane, &fixture->door);
}

/* The next messages are these numbers. */
static void expect(struct fixture *fixture, uintptr_t first, uintptr_t count)
{
    for (uintptr_t i = 0; i < count; i++)
        cr_assert_eq((uintptr_t)gyre__lane_take(fixture->lane).arg, first + i);
}

/* The door holds the lane's node, and nothing else. */
static void expect_node(struct fixture *fixture)
{
    struct gyre_task *node = gyre__door_take(&fixture->door);
    cr_assert_not_null(node);
    cr_assert_eq(gyre__lane_of_node(node), fixture->lane);
    cr_assert_null(node->next);
}

/* Both sides let go. */
static void end(struct fixture *fixture)
{
    gyre__lane_release(fixture->lane);
    gyre__lane_release(fixture->lane);
    cr_assert_eq(fixture->memory.blocks, 0);
    cr_assert_eq(fixture->memory.bytes, 0);
}

GYRE_TEST(lane, messages_come_in_order_across_chunks_and_the_node_comes_once)
{
    struct fixture fixture;
    begin(&fixture);
    for (uintptr_t round = 0; round < 3; round++) {
        for (uintptr_t i = 0; i < MANY; i++)
            cr_assert_eq(post(&fixture, i), GYRE__DOOR_POSTED);
        expect_node(&fixture);
        cr_assert_eq(gyre__lane_look(fixture.lane), MANY);
        expect(&fixture, 0, MANY);
        cr_assert(gyre__lane_is_spent(fixture.lane));
        cr_assert_eq(gyre__lane_settle(fixture.lane), 0);
        cr_assert_null(gyre__door_take(&fixture.door));
    }
    end(&fixture);
}

GYRE_TEST(lane, only_the_first_message_wakes)
{
    struct fixture fixture;
    begin(&fixture);
    for (int round = 0; round < 3; round++) {
        cr_assert(gyre__door_arm(&fixture.door));
        cr_assert_eq(post(&fixture, 0), GYRE__DOOR_POSTED_WAKE);
        cr_assert_eq(post(&fixture, 1), GYRE__DOOR_POSTED);
        expect_node(&fixture);
        cr_assert_eq(gyre__lane_look(fixture.lane), 2);
        expect(&fixture, 0, 2);
        cr_assert_eq(post(&fixture, 2), GYRE__DOOR_POSTED);
        cr_assert_null(gyre__door_take(&fixture.door), "the loop looks by itself");
        cr_assert_eq(gyre__lane_look(fixture.lane), 1);
        expect(&fixture, 2, 1);
        cr_assert_eq(gyre__lane_settle(fixture.lane), 0);
    }
    end(&fixture);
}

GYRE_TEST(lane, settling_fails_for_what_came_meanwhile)
{
    struct fixture fixture;
    begin(&fixture);
    cr_assert_eq(post(&fixture, 0), GYRE__DOOR_POSTED);
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), 1);
    expect(&fixture, 0, 1);
    cr_assert_eq(post(&fixture, 1), GYRE__DOOR_POSTED);
    cr_assert_eq(post(&fixture, 2), GYRE__DOOR_POSTED);
    cr_assert_eq(gyre__lane_settle(fixture.lane), 2);
    cr_assert_null(gyre__door_take(&fixture.door), "the node is still the consumer's");
    expect(&fixture, 1, 2);
    cr_assert_eq(gyre__lane_settle(fixture.lane), 0);
    end(&fixture);
}

GYRE_TEST(lane, closing_takes_what_was_announced_and_refuses_the_rest)
{
    struct fixture fixture;
    begin(&fixture);
    for (uintptr_t i = 0; i < 3; i++)
        cr_assert_eq(post(&fixture, i), GYRE__DOOR_POSTED);
    struct gyre_task *node = gyre__door_close(&fixture.door);
    cr_assert_eq(gyre__lane_of_node(node), fixture.lane);
    cr_assert_eq(gyre__lane_look(fixture.lane), 3);
    expect(&fixture, 0, 1);
    cr_assert_eq(post(&fixture, 3), GYRE__DOOR_POSTED, "the lane is still open");
    cr_assert_eq(gyre__lane_close(fixture.lane), 1);
    cr_assert(gyre__lane_is_closed(fixture.lane));
    cr_assert_eq(post(&fixture, 4), -ESHUTDOWN);
    expect(&fixture, 1, 3);
    cr_assert(gyre__lane_is_spent(fixture.lane));
    gyre__lane_forsake(fixture.lane);
    gyre__lane_release(fixture.lane);
    cr_assert_eq(fixture.memory.blocks, 0);
}

GYRE_TEST(lane, a_lane_that_the_door_never_took_is_freed_by_its_producer)
{
    struct fixture fixture;
    begin(&fixture);
    cr_assert_null(gyre__door_close(&fixture.door));
    cr_assert_eq(post(&fixture, 0), -ESHUTDOWN);
    cr_assert(gyre__lane_is_closed(fixture.lane));
    gyre__lane_forsake(fixture.lane);
    cr_assert_eq(fixture.memory.blocks, 0);
}

GYRE_TEST(lane, an_idle_lane_is_refused_by_the_door_and_closed_without_a_message)
{
    struct fixture fixture;
    begin(&fixture);
    cr_assert_eq(post(&fixture, 0), GYRE__DOOR_POSTED);
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), 1);
    expect(&fixture, 0, 1);
    cr_assert_eq(gyre__lane_settle(fixture.lane), 0);
    cr_assert_null(gyre__door_close(&fixture.door));
    cr_assert_eq(post(&fixture, 1), -ESHUTDOWN, "between the door's close and the lane's");
    cr_assert_eq(gyre__lane_close(fixture.lane), 0);
    gyre__lane_forsake(fixture.lane);
    cr_assert_neq(fixture.memory.blocks, 0, "the loop's reference is left");
    gyre__lane_release(fixture.lane);
    cr_assert_eq(fixture.memory.blocks, 0);
}

GYRE_TEST(lane, without_memory_what_a_chunk_holds_can_be_posted)
{
    struct fixture fixture;
    begin(&fixture);
    set_fails(&fixture, true);
    for (uintptr_t i = 0; i < GYRE__LANE_CHUNK_MIN; i++)
        cr_assert_eq(post(&fixture, i), GYRE__DOOR_POSTED);
    cr_assert_not(put(&fixture, 0));
    cr_assert_not(put(&fixture, 0));
    set_fails(&fixture, false);
    cr_assert_eq(post(&fixture, GYRE__LANE_CHUNK_MIN), GYRE__DOOR_POSTED);
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), GYRE__LANE_CHUNK_MIN + 1);
    expect(&fixture, 0, GYRE__LANE_CHUNK_MIN + 1);
    end(&fixture);
}

GYRE_TEST(lane, tasks_are_put_all_or_none)
{
    struct fixture fixture;
    struct gyre_task tasks[GYRE__LANE_CHUNK_MIN * 2];
    struct gyre_task *order[GYRE__LANE_CHUNK_MIN * 2];
    const size_t count = sizeof(order) / sizeof(order[0]);
    for (size_t i = 0; i < count; i++)
        order[i] = &tasks[i];
    begin(&fixture);
    cr_assert_eq(post(&fixture, 100), GYRE__DOOR_POSTED);
    set_fails(&fixture, true);
    cr_assert_not(gyre__lane_put_tasks(fixture.lane, order, count));
    cr_assert(put(&fixture, 101), "there is room as before");
    set_fails(&fixture, false);
    cr_assert(gyre__lane_put_tasks(fixture.lane, order, count));
    cr_assert_eq(gyre__lane_announce(fixture.lane, &fixture.door), GYRE__DOOR_POSTED);
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), 2 + count);
    expect(&fixture, 100, 2);
    for (size_t i = 0; i < count; i++) {
        struct gyre__message message = gyre__lane_take(fixture.lane);
        cr_assert_null(message.fn);
        cr_assert_eq(message.arg, &tasks[i]);
    }
    end(&fixture);
}

GYRE_TEST(lane, a_burst_is_kept_up_to_the_limit_and_used_again)
{
    struct fixture fixture;
    const uintptr_t count = GYRE__LANE_KEPT / sizeof(struct gyre__message) * 3;
    begin(&fixture);
    for (uintptr_t i = 0; i < count; i++)
        cr_assert_geq(post(&fixture, i), 0);
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), count);
    expect(&fixture, 0, count);
    long kept = fixture.memory.bytes;
    cr_assert_leq(kept, GYRE__LANE_KEPT + (long)GYRE__LANE_CHUNK_MAX * 24 + 1024);
    cr_assert_geq(kept, GYRE__LANE_KEPT * 15 / 16);
    set_fails(&fixture, true);
    for (uintptr_t i = 0; i < count / 4; i++)
        cr_assert_geq(post(&fixture, i), 0);
    cr_assert_eq(gyre__lane_look(fixture.lane), count / 4);
    expect(&fixture, 0, count / 4);
    end(&fixture);
}

GYRE_TEST(lane, it_is_abandoned_when_its_thread_has_gone_and_nothing_is_left)
{
    struct fixture fixture;
    begin(&fixture);
    cr_assert_eq(post(&fixture, 0), GYRE__DOOR_POSTED);
    cr_assert_not(gyre__lane_is_abandoned(fixture.lane));
    gyre__lane_forsake(fixture.lane); /* the thread ends */
    cr_assert_not(gyre__lane_is_abandoned(fixture.lane), "a message is under way");
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), 1);
    expect(&fixture, 0, 1);
    cr_assert_not(gyre__lane_is_abandoned(fixture.lane), "not settled");
    cr_assert_eq(gyre__lane_settle(fixture.lane), 0);
    cr_assert(gyre__lane_is_abandoned(fixture.lane));
    gyre__lane_release(fixture.lane);
    cr_assert_eq(fixture.memory.blocks, 0);
}

GYRE_TEST(lane, a_detoured_task_is_marked_until_the_lane_is_idle)
{
    struct fixture fixture;
    struct gyre_task tasks[2];
    begin(&fixture);
    gyre_task_init(&tasks[0], nothing, NULL);
    gyre_task_init(&tasks[1], nothing, NULL);
    tasks[1].next = &tasks[0];
    cr_assert_eq(post(&fixture, 0), GYRE__DOOR_POSTED);
    cr_assert_not(gyre__lane_is_detoured(fixture.lane));
    cr_assert_eq(gyre__lane_detour(fixture.lane, &fixture.door, &tasks[1], &tasks[0]),
                 GYRE__DOOR_POSTED);
    cr_assert_eq(tasks[0].tagged_context, GYRE__TASK_USER | GYRE__TASK_DETOURED);
    cr_assert_eq(tasks[1].tagged_context, GYRE__TASK_USER, "it comes behind the other one");
    cr_assert(gyre__lane_is_detoured(fixture.lane));
    cr_assert_eq(gyre__door_take(&fixture.door), &tasks[1]);
    cr_assert_eq(gyre__lane_look(fixture.lane), 1);
    expect(&fixture, 0, 1);
    cr_assert(gyre__lane_is_detoured(fixture.lane), "until the lane is idle");
    cr_assert_eq(gyre__lane_settle(fixture.lane), 0);
    cr_assert_not(gyre__lane_is_detoured(fixture.lane));
    end(&fixture);
}

GYRE_TEST(lane, a_task_whose_detour_is_refused_is_not_marked)
{
    struct fixture fixture;
    struct gyre_task task;
    begin(&fixture);
    gyre_task_init(&task, nothing, NULL);
    cr_assert_eq(post(&fixture, 0), GYRE__DOOR_POSTED);
    expect_node(&fixture);
    (void)gyre__door_close(&fixture.door);
    cr_assert_eq(gyre__lane_detour(fixture.lane, &fixture.door, &task, &task), -ESHUTDOWN);
    cr_assert_eq(task.tagged_context, GYRE__TASK_USER);
    cr_assert_not(gyre__lane_is_detoured(fixture.lane));
    end(&fixture);
}

/* ---- stamps ---------------------------------------------------------------------------------- */

static uint64_t samples(const struct gyre__meter *meter)
{
    struct gyre_histogram lags;
    gyre__histogram_read(&meter->post_lags, &lags);
    return lags.count;
}

GYRE_TEST(lane, the_first_message_of_each_chunk_is_timed_when_it_is_taken)
{
    struct fixture fixture;
    begin(&fixture);
    struct gyre__meter *meter = gyre__meter_create(gyre__port_native(), false);
    cr_assert_not_null(meter);
    gyre__lane_forsake(fixture.lane);
    fixture.lane = gyre__lane_create(SERIAL, meter);
    cr_assert_not_null(fixture.lane);
    for (uintptr_t i = 0; i <= GYRE__LANE_CHUNK_MIN; i++)
        cr_assert_geq(post(&fixture, i), 0);
    expect_node(&fixture);
    cr_assert_eq(gyre__lane_look(fixture.lane), GYRE__LANE_CHUNK_MIN + 1);
    cr_assert_eq(samples(meter), 0);
    expect(&fixture, 0, 1);
    cr_assert_eq(samples(meter), 1);
    expect(&fixture, 1, GYRE__LANE_CHUNK_MIN - 1);
    cr_assert_eq(samples(meter), 1);
    expect(&fixture, GYRE__LANE_CHUNK_MIN, 1);
    cr_assert_eq(samples(meter), 2);
    gyre__meter_destroy(meter);
    end(&fixture);
}
