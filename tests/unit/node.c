/* SPDX-License-Identifier: MIT */
/*
 * node - the pool of a loop's own tasks: reuse, its limit, no memory.
 */
#include "loop/node.h"

#include "harness/gyre_test.h"
#include "memory.h"

GYRE_TEST(node, given_node_is_taken_again)
{
    struct memory memory;
    struct gyre__nodes nodes = {0};
    memory_count(&memory);
    struct gyre_task *task = gyre__node_take(&nodes);
    cr_assert_not_null(task);
    cr_assert_eq(gyre__task_kind(task), GYRE__TASK_NODE);
    for (int i = 0; i < 100; i++) {
        gyre__node_give(&nodes, task);
        cr_assert_eq(gyre__node_take(&nodes), task);
    }
    cr_assert_eq(memory.blocks, 1);
    gyre__node_give(&nodes, task);
    gyre__nodes_deinit(&nodes);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(node, pool_keeps_no_more_than_its_limit)
{
    struct memory memory;
    struct gyre__nodes nodes = {0};
    struct gyre_task *all = NULL;
    memory_count(&memory);
    for (unsigned i = 0; i < GYRE__NODES_KEPT + 10; i++) {
        struct gyre_task *task = gyre__node_take(&nodes);
        task->next = all;
        all = task;
    }
    while (all != NULL) {
        struct gyre_task *next = all->next;
        gyre__node_give(&nodes, all);
        all = next;
    }
    cr_assert_eq(memory.blocks, GYRE__NODES_KEPT);
    gyre__nodes_deinit(&nodes);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(node, no_memory_is_null_and_what_is_kept_needs_none)
{
    struct memory memory;
    struct gyre__nodes nodes = {0};
    memory_count(&memory);
    struct gyre_task *task = gyre__node_take(&nodes);
    atomic_store_explicit(&memory.fails, true, memory_order_relaxed);
    cr_assert_null(gyre__node_take(&nodes));
    gyre__node_give(&nodes, task);
    cr_assert_eq(gyre__node_take(&nodes), task);
    gyre__node_give(&nodes, task);
    gyre__nodes_deinit(&nodes);
}
