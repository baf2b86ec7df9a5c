/* SPDX-License-Identifier: MIT */
/*
 * node - caches of nodes: reuse, the way home in batches, and the end of a thread.
 */
#include "loop/node.h"

#include <pthread.h>

#include "harness/gyre_test.h"
#include "loop/thread.h"
#include "memory.h"

enum {
    TAKEN = 100,
    THREADS = 3 * GYRE__HOMEWARD_WAYS
};

/* A thread that takes nodes and waits, step by step, for what the test does with them. */
struct taker {
    pthread_t thread;
    pthread_barrier_t step;
    unsigned count; /* nodes to take */
    unsigned rounds; /* how often, with two steps after each */
    struct gyre_task *tasks[TAKEN];
    unsigned missing;
};

static void *take_nodes(void *arg)
{
    struct taker *taker = arg;
    for (unsigned round = 0; round < taker->rounds; round++) {
        for (unsigned i = 0; i < taker->count; i++) {
            taker->tasks[i] = gyre__node_take();
            taker->missing += taker->tasks[i] == NULL;
        }
        pthread_barrier_wait(&taker->step); /* taken */
        pthread_barrier_wait(&taker->step); /* what the test did is done */
    }
    return NULL;
}

static void taker_start(struct taker *taker, unsigned count, unsigned rounds)
{
    *taker = (struct taker){.count = count, .rounds = rounds};
    cr_assert_eq(pthread_barrier_init(&taker->step, NULL, 2), 0);
    cr_assert_eq(pthread_create(&taker->thread, NULL, take_nodes, taker), 0);
}

static void taker_step(struct taker *taker)
{
    pthread_barrier_wait(&taker->step);
}

static void taker_join(struct taker *taker)
{
    pthread_join(taker->thread, NULL);
    pthread_barrier_destroy(&taker->step);
    cr_assert_eq(taker->missing, 0);
}

GYRE_TEST(node, given_node_is_taken_again)
{
    struct memory memory;
    memory_count(&memory);
    struct gyre_task *task = gyre__node_take();
    cr_assert_not_null(task);
    cr_assert_eq(task->kind, GYRE__TASK_NODE);
    long blocks = memory.blocks;
    for (int i = 0; i < TAKEN; i++) {
        gyre__node_give(task);
        cr_assert_eq(gyre__node_take(), task);
    }
    cr_assert_eq(memory.blocks, blocks);
    gyre__node_give(task);
}

GYRE_TEST(node, node_run_on_its_own_thread_is_home_at_once)
{
    struct memory memory;
    struct gyre__homeward homeward = {0};
    memory_count(&memory);
    struct gyre_task *task = gyre__node_take();
    gyre__homeward_add(&homeward, task);
    cr_assert_eq(gyre__node_take(), task, "without a flush");
    cr_assert_not(homeward.any);
    gyre__node_give(task);
}

GYRE_TEST(node, no_memory_is_null_and_leaves_nothing)
{
    struct memory memory;
    memory_count(&memory);
    atomic_store_explicit(&memory.fails, true, memory_order_relaxed);
    cr_assert_null(gyre__node_take());
    cr_assert_eq(memory.blocks, 0);
    atomic_store_explicit(&memory.fails, false, memory_order_relaxed);
    struct gyre_task *task = gyre__node_take();
    cr_assert_not_null(task);
    atomic_store_explicit(&memory.fails, true, memory_order_relaxed);
    cr_assert_null(gyre__node_take(), "the cache is empty");
    gyre__node_give(task);
    cr_assert_eq(gyre__node_take(), task, "what it holds needs no memory");
    gyre__node_give(task);
}

GYRE_TEST(node, nodes_go_home_in_full_batches_and_by_a_flush)
{
    struct memory memory;
    struct gyre__homeward homeward = {0};
    struct taker taker;
    const unsigned batch = GYRE__HOMEWARD_BATCH;
    memory_count(&memory);
    taker_start(&taker, batch + 1, 4);
    taker_step(&taker);
    const long blocks = 1 + (long)batch + 1; /* the cache and its nodes */
    cr_assert_eq(memory.blocks, blocks);
    for (unsigned i = 0; i < batch; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    struct gyre_task *late = taker.tasks[batch];
    gyre__homeward_add(&homeward, late);
    taker_step(&taker);

    taker_step(&taker); /* it took the batch, and had to make the last one */
    cr_assert_eq(memory.blocks, blocks + 1);
    gyre__homeward_flush(&homeward);
    cr_assert_not(homeward.any);
    for (unsigned i = 0; i <= batch; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    gyre__homeward_flush(&homeward);
    taker_step(&taker);

    taker_step(&taker); /* all were at home */
    cr_assert_eq(memory.blocks, blocks + 1);
    for (unsigned i = 0; i <= batch; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    gyre__homeward_flush(&homeward);
    taker_step(&taker);

    taker_step(&taker);
    for (unsigned i = 0; i <= batch; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    gyre__homeward_flush(&homeward);
    gyre__homeward_flush(&homeward); /* nothing is left to send */
    taker_step(&taker);
    taker_join(&taker);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(node, more_caches_than_ways_all_get_their_own_nodes)
{
    static struct taker takers[THREADS];
    struct memory memory;
    struct gyre__homeward homeward = {0};
    memory_count(&memory);
    for (int i = 0; i < THREADS; i++) {
        taker_start(&takers[i], 3, 2);
        taker_step(&takers[i]);
    }
    for (int node = 0; node < 3; node++) {
        for (int i = 0; i < THREADS; i++)
            gyre__homeward_add(&homeward, takers[i].tasks[node]);
    }
    gyre__homeward_flush(&homeward);
    for (int i = 0; i < THREADS; i++) {
        struct gyre_task *before[] = {takers[i].tasks[0], takers[i].tasks[1], takers[i].tasks[2]};
        taker_step(&takers[i]);
        taker_step(&takers[i]);
        for (int node = 0; node < 3; node++) {
            struct gyre_task *task = takers[i].tasks[node];
            cr_assert(task == before[0] || task == before[1] || task == before[2], "thread %d", i);
        }
    }
    cr_assert_eq(memory.blocks, 4 * THREADS);
    for (int i = 0; i < THREADS; i++) {
        for (int node = 0; node < 3; node++)
            gyre__homeward_add(&homeward, takers[i].tasks[node]);
        taker_step(&takers[i]);
        taker_join(&takers[i]);
    }
    gyre__homeward_flush(&homeward);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(node, thread_that_ends_with_all_nodes_at_home_frees_everything)
{
    struct memory memory;
    struct gyre__homeward homeward = {0};
    struct taker taker;
    memory_count(&memory);
    taker_start(&taker, TAKEN, 1);
    taker_step(&taker);
    for (unsigned i = 0; i < TAKEN; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    gyre__homeward_flush(&homeward);
    taker_step(&taker);
    taker_join(&taker);
    cr_assert_eq(memory.blocks, 0);
    cr_assert_eq(memory.bytes, 0);
}

GYRE_TEST(node, nodes_under_way_when_their_thread_ends_free_themselves_and_the_last_the_cache)
{
    struct memory memory;
    struct gyre__homeward homeward = {0};
    struct taker taker;
    memory_count(&memory);
    taker_start(&taker, TAKEN, 1);
    taker_step(&taker);
    for (unsigned i = 0; i < TAKEN / 2; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    gyre__homeward_flush(&homeward);
    taker_step(&taker);
    taker_join(&taker);
    cr_assert_eq(memory.blocks, 1 + TAKEN / 2, "the cache waits for the others");
    for (unsigned i = TAKEN / 2; i < TAKEN - 1; i++)
        gyre__homeward_add(&homeward, taker.tasks[i]);
    gyre__homeward_flush(&homeward);
    cr_assert_eq(memory.blocks, 2);
    gyre__homeward_add(&homeward, taker.tasks[TAKEN - 1]);
    gyre__homeward_flush(&homeward);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(node, nodes_past_the_limit_are_freed_instead_of_kept)
{
    static struct gyre_task *tasks[GYRE__NODES_MAX + TAKEN];
    const unsigned count = GYRE__NODES_MAX + TAKEN;
    struct memory memory;
    memory_count(&memory);
    for (unsigned i = 0; i < count; i++) {
        tasks[i] = gyre__node_take();
        cr_assert_not_null(tasks[i]);
    }
    cr_assert_eq(memory.blocks, 1 + (long)count);
    for (unsigned i = 0; i < count; i++)
        gyre__node_give(tasks[i]);
    cr_assert_eq(memory.blocks, 1 + GYRE__NODES_MAX);
    struct gyre__nodes *nodes = gyre__thread.nodes;
    gyre__thread.nodes = NULL; /* as the end of the thread does */
    gyre__nodes_close(nodes);
    cr_assert_eq(memory.blocks, 0);
}
