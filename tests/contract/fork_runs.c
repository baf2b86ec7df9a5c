/* SPDX-License-Identifier: MIT */
/*
 * fork_runs - rule T112 for forks inside of runs: all of them return in the child.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

static uint64_t handle; /* of calls that no case cancels */

static void T112_run_that_was_forked_inside_returns_in_the_child(void)
{
    struct gyre_loop *loop = family_loop();
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_loop_add_callback(loop, family_fork, &parted), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_call_at(loop, 0, &handle, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_stop, NULL), 0);
    int result = gyre_loop_run(loop);
    if (parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(parted.after, 0);
        CHECK(gyre_loop_current_or_null() == NULL);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(parted.after, 2);
    family_join(parted.child);
    gyre_loop_destroy(loop);
}

static int fork_and_unwind(struct gyre_loop *loop, int status, void *arg)
{
    (void)family_fork(loop, status, arg);
    return GYRE_UNWIND;
}

static void T112_unwinding_ends_the_parents_run_alone(void)
{
    struct gyre_loop *loop = family_loop();
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_loop_add_callback(loop, fork_and_unwind, &parted), 0);
    int result = gyre_loop_run(loop);
    if (parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    CHECK_EQ(result, GYRE_UNWIND);
    family_join(parted.child);
    gyre_loop_destroy(loop);
}

static int run_other(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    return gyre_loop_run(arg) == -ECHILD ? 0 : -EIO;
}

static void T112_all_runs_that_are_nested_return_in_the_child(void)
{
    struct gyre_loop *outer = family_loop();
    struct gyre_loop *inner = family_loop();
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_loop_add_callback(inner, family_fork, &parted), 0);
    CHECK_EQ(gyre_loop_add_callback(inner, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_add_callback(inner, family_stop, NULL), 0);
    CHECK_EQ(gyre_loop_add_callback(outer, run_other, inner), 0);
    CHECK_EQ(gyre_loop_add_callback(outer, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_add_callback(outer, family_stop, NULL), 0);
    int result = gyre_loop_run(outer);
    if (parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(parted.after, 0);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(parted.after, 2);
    family_join(parted.child);
    gyre_loop_destroy(outer);
    gyre_loop_destroy(inner);
}

static int fork_in_an_inner_run(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    CHECK_EQ(gyre_loop_add_callback(loop, family_fork, arg), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_stop, NULL), 0);
    CHECK_EQ(gyre_loop_stop(loop), 0);
    CHECK_EQ(gyre_loop_run(loop), 0); /* that stop's */
    int result = gyre_loop_run(loop);
    CHECK_EQ(result, ((struct parted *)arg)->child == 0 ? -ECHILD : 0);
    return 0;
}

static void T112_outer_run_of_the_same_loop_returns_in_the_child_too(void)
{
    struct gyre_loop *loop = family_loop();
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_loop_add_callback(loop, fork_in_an_inner_run, &parted), 0);
    CHECK_EQ(gyre_loop_call_at(loop, 0, &handle, family_count, &parted.after),
             0); /* due in both runs */
    int result = gyre_loop_run(loop);
    if (parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(parted.after, 0);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(parted.after, 1);
    family_join(parted.child);
    gyre_loop_destroy(loop);
}

/* ---- what is called in the child, before they have returned --------------------------------- */

enum {
    TIMERS = 80 /* so many that the last is put off without being moved */
};

struct couple {
    struct parted parted;
    struct gyre_loop *loops[2]; /* the second is run inside the first */
    struct gyre_timer timers[2][TIMERS];
};

static void arm_all(struct couple *couple)
{
    for (unsigned i = 0; i < 2; i++) {
        uint64_t now_ns = gyre_loop_now_ns(couple->loops[i]);
        for (unsigned at = 0; at < TIMERS; at++) {
            struct gyre_timer *timer = &couple->timers[i][at];
            gyre_timer_init(timer, couple->loops[i], family_count, &couple->parted.after);
            CHECK_EQ(gyre_timer_start(timer, now_ns + (at + 1) * UINT64_C(3600000000000)), 0);
        }
    }
}

static void ask(struct couple *couple)
{
    for (unsigned i = 0; i < 2; i++) {
        family_check_refusals(couple->loops[i], 0);
        CHECK_EQ(gyre_timer_start(&couple->timers[i][TIMERS - 1], GYRE_NEVER - 1), -ECHILD);
    }
}

static int fork_and_ask(struct gyre_loop *loop, int status, void *arg)
{
    struct couple *couple = arg;
    (void)family_fork(loop, status, &couple->parted);
    if (couple->parted.child == 0)
        ask(couple);
    return gyre_loop_stop(loop) == 0 ? 0 : -EIO;
}

static int run_and_ask(struct gyre_loop *loop, int status, void *arg)
{
    struct couple *couple = arg;
    int r = gyre_loop_run(couple->loops[1]);
    (void)status;
    if (couple->parted.child != 0)
        return gyre_loop_stop(loop);
    CHECK_EQ(r, -ECHILD);
    ask(couple);
    return 0;
}

static void T112_calls_in_a_run_that_was_forked_inside_are_refused(void)
{
    static struct couple couple;
    couple.loops[0] = family_loop();
    couple.loops[1] = family_loop();
    arm_all(&couple);
    CHECK_EQ(gyre_loop_add_callback(couple.loops[1], fork_and_ask, &couple), 0);
    CHECK_EQ(gyre_loop_add_callback(couple.loops[0], run_and_ask, &couple), 0);
    int result = gyre_loop_run(couple.loops[0]);
    if (couple.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        ask(&couple);
        CHECK_EQ(couple.parted.after, 0);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(couple.parted.after, 0);
    family_join(couple.parted.child);
    gyre_loop_destroy(couple.loops[1]);
    gyre_loop_destroy(couple.loops[0]);
    CHECK_EQ(couple.parted.after, 2 * TIMERS); /* cancelled: none was lost */
}

/* ---- what is freed in the child, inside of its own call -------------------------------------- */

struct clockwork {
    struct parted parted;
    struct gyre_periodic *periodic;
};

static int fork_and_free(struct gyre_loop *loop, int status, void *arg)
{
    struct clockwork *clockwork = arg;
    if (status != 0)
        return 0;
    (void)family_fork(loop, status, &clockwork->parted);
    if (clockwork->parted.child != 0)
        return gyre_loop_stop(loop);
    CHECK_EQ(gyre_periodic_stop(clockwork->periodic), -ECHILD);
    memset(clockwork->periodic, 0xff, sizeof(*clockwork->periodic)); /* a crash, if it is used */
    free(clockwork->periodic);
    return 0;
}

static void T112_periodic_may_be_freed_in_the_child_inside_its_call(void)
{
    struct gyre_loop *loop = family_loop();
    struct clockwork clockwork = {.parted = {.child = -1}};
    clockwork.periodic = malloc(sizeof(*clockwork.periodic));
    if (!CHECK(clockwork.periodic != NULL))
        return;
    CHECK_EQ(gyre_periodic_init(clockwork.periodic, loop, 1000, fork_and_free, &clockwork), 0);
    CHECK_EQ(gyre_periodic_start(clockwork.periodic), 0);
    int result = gyre_loop_run(loop);
    if (clockwork.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    family_join(clockwork.parted.child);
    CHECK(gyre_periodic_is_running(clockwork.periodic));
    gyre_loop_destroy(loop);
    free(clockwork.periodic);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T112_run_that_was_forked_inside_returns_in_the_child),
    PLAIN_CASE(T112_unwinding_ends_the_parents_run_alone),
    PLAIN_CASE(T112_all_runs_that_are_nested_return_in_the_child),
    PLAIN_CASE(T112_outer_run_of_the_same_loop_returns_in_the_child_too),
    PLAIN_CASE(T112_calls_in_a_run_that_was_forked_inside_are_refused),
    PLAIN_CASE(T112_periodic_may_be_freed_in_the_child_inside_its_call),
};

PLAIN_MAIN(cases)
