/* SPDX-License-Identifier: MIT */
/*
 * queue - the callbacks of a loop, oldest first.
 */
#include "loop/queue.h"

#include "harness/gyre_test.h"

GYRE_TEST(queue, is_first_in_first_out_and_counts)
{
    struct gyre__queue queue = {0};
    struct gyre_task tasks[5];
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 5; i++)
            gyre__queue_append(&queue, &tasks[i]);
        cr_assert_eq(queue.added - queue.taken, 5);
        for (int i = 0; i < 5; i++)
            cr_assert_eq(gyre__queue_take(&queue), &tasks[i]);
        cr_assert_null(queue.head, "empty again, and used again");
    }
    cr_assert_eq(queue.added, 15);
    cr_assert_eq(queue.taken, 15);
}

GYRE_TEST(queue, task_may_be_appended_again_once_it_is_taken)
{
    struct gyre__queue queue = {0};
    struct gyre_task tasks[2];
    gyre__queue_append(&queue, &tasks[0]);
    gyre__queue_append(&queue, &tasks[1]);
    for (int i = 0; i < 10; i++) {
        struct gyre_task *task = gyre__queue_take(&queue);
        cr_assert_eq(task, &tasks[i % 2]);
        gyre__queue_append(&queue, task);
    }
    cr_assert_eq(queue.added - queue.taken, 2);
}

GYRE_TEST(queue, list_is_appended_whole_to_an_empty_and_to_a_filled_queue)
{
    for (int filled = 0; filled < 2; filled++) {
        struct gyre__queue queue = {0};
        struct gyre_task tasks[6];
        if (filled != 0)
            gyre__queue_append(&queue, &tasks[0]);
        tasks[1].next = &tasks[2];
        tasks[2].next = &tasks[3];
        tasks[3].next = NULL;
        gyre__queue_splice(&queue, &tasks[1], &tasks[3], 3);
        gyre__queue_append(&queue, &tasks[4]);
        tasks[5].next = NULL;
        gyre__queue_splice(&queue, &tasks[5], &tasks[5], 1);
        for (int i = filled != 0 ? 0 : 1; i < 6; i++)
            cr_assert_eq(gyre__queue_take(&queue), &tasks[i]);
        cr_assert_null(queue.head);
        cr_assert_eq(queue.added, queue.taken);
    }
}
