/* SPDX-License-Identifier: MIT */
/*
 * work_queue - the queue of an executor, on one thread: order, bound, wakes and the end. What
 * threads do to it is in tests/stress and tests/model.
 */
#include "loop/work_queue.h"

#include <errno.h>

#include "contract/backend.h"
#include "harness/gyre_test.h"
#include "loop/executor.h"

static struct gyre_work works[8];

static void open_queue(struct gyre__work_queue *queue, uint32_t max)
{
    cr_assert_eq(gyre__work_queue_init(queue, gyre__port_native(), max), 0);
}

GYRE_TEST(work_queue, gives_the_oldest_first)
{
    struct gyre__work_queue queue;
    open_queue(&queue, 4);
    for (int round = 0; round < 5; round++) {
        for (int i = 0; i < 3; i++)
            cr_assert_eq(gyre__work_queue_put(&queue, &works[i]), 0);
        for (int i = 0; i < 3; i++)
            cr_assert_eq(gyre__work_queue_take(&queue), &works[i]);
    }
    gyre__work_queue_deinit(&queue);
}

GYRE_TEST(work_queue, refuses_when_it_is_full)
{
    static const struct {
        uint32_t max, size;
    } cases[] = {{1, 2}, {2, 2}, {3, 4}, {4, 4}, {5, 8}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct gyre__work_queue queue;
        open_queue(&queue, cases[i].max);
        for (int round = 0; round < 3; round++) {
            for (uint32_t at = 0; at < cases[i].size; at++)
                cr_assert_eq(gyre__work_queue_put(&queue, &works[at]), 0);
            cr_assert_eq(gyre__work_queue_put(&queue, &works[0]), -EAGAIN);
            for (uint32_t at = 0; at < cases[i].size; at++)
                cr_assert_eq(gyre__work_queue_take(&queue), &works[at]);
        }
        gyre__work_queue_deinit(&queue);
    }
}

GYRE_TEST(work_queue, closed_refuses_and_counts_what_is_left)
{
    struct gyre__work_queue queue;
    open_queue(&queue, 4);
    cr_assert_eq(gyre__work_queue_put(&queue, &works[0]), 0);
    cr_assert_eq(gyre__work_queue_put(&queue, &works[1]), 0);
    cr_assert_eq(gyre__work_queue_close(&queue), 2);
    cr_assert_eq(gyre__work_queue_put(&queue, &works[2]), -ESHUTDOWN);
    cr_assert_null(gyre__work_queue_take(&queue));
    cr_assert_eq(gyre__work_queue_pop(&queue), &works[0]);
    cr_assert_eq(gyre__work_queue_pop(&queue), &works[1]);
    gyre__work_queue_deinit(&queue);
}

GYRE_TEST(work_queue, without_a_sleeper_no_wake_is_given)
{
    struct gyre__work_queue queue;
    open_queue(&queue, 4);
    cr_assert_eq(gyre__work_queue_put(&queue, &works[0]), 0);
    cr_assert_eq(gyre__work_queue_put(&queue, &works[1]), 0);
    cr_assert_eq(queue.wakes, 0);
    cr_assert_eq(gyre__work_queue_take(&queue), &works[0]);
    cr_assert_eq(queue.wakes, 0);
    cr_assert_eq(gyre__work_queue_close(&queue), 1);
    cr_assert_eq(queue.wakes, 0);
    gyre__work_queue_deinit(&queue);
}
