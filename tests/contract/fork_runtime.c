/* SPDX-License-Identifier: MIT */
/*
 * fork_runtime - rule T112 for forks inside of what a runtime calls: what is left is the parent's.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <stdlib.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

static int fork_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)index;
    return family_fork(loop, 0, arg);
}

/* The child's one thread ends when its run has returned, and the process with it. */
static void T112_child_that_was_forked_in_a_teardown_ends(void)
{
    struct parted parted = {.child = -1};
    struct gyre_runtime *runtime = family_runtime(1, fork_in_teardown, &parted);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    family_join(parted.child);
    gyre_runtime_destroy(runtime);
}

static int count_in_parent(struct gyre_loop *loop, int status, void *arg)
{
    struct parted *parted = arg;
    if (parted->child == 0)
        _exit(EXIT_FAILURE);
    return family_count(loop, status, &parted->after);
}

static void T112_child_that_was_forked_in_a_broadcast_does_not_finish_it(void)
{
    struct parted parted = {.child = -1};
    struct gyre_runtime *runtime = family_runtime(1, NULL, NULL);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    CHECK_EQ(gyre_runtime_broadcast(runtime, family_fork, &parted, count_in_parent, &parted), 0);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    family_join(parted.child);
    CHECK_EQ(parted.after, 1);
    gyre_runtime_destroy(runtime);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T112_child_that_was_forked_in_a_teardown_ends),
    PLAIN_CASE(T112_child_that_was_forked_in_a_broadcast_does_not_finish_it),
};

PLAIN_MAIN(cases)
