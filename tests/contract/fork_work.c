/* SPDX-License-Identifier: MIT */
/*
 * fork_work - rule T112 where work and futures are under way: what a child lets go of, once each,
 * and that it runs nothing of its parent's.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

enum {
    OWN_THREADS = 4 /* of a loop's own executor */
};

static int count_work(void *arg)
{
    unsigned *calls = arg;
    ++*calls;
    return 0;
}

static int stop_at_end(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    return status == -ECANCELED ? 0 : gyre_loop_stop(loop);
}

static unsigned count_descriptors(void)
{
    unsigned open = 0;
    for (int fd = 0; fd < 256; fd++)
        open += fcntl(fd, F_GETFD) >= 0;
    return open;
}

/* As family_join, of one that may hang: it is ended then. */
static void join_child_in_time(pid_t child)
{
    for (unsigned i = 0; i < 10000; i++) {
        siginfo_t info = {.si_pid = 0};
        if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) != 0 || info.si_pid != 0)
            break;
        (void)poll(NULL, 0, 1);
    }
    if (CHECK(child > 0))
        (void)kill(child, SIGKILL); /* without effect on one that has ended */
    family_join(child);
}

/* The waker is closed with the last reference, so it shows when that goes. */
static void check_that_it_goes_with_the_callers(struct gyre_loop *loop, unsigned before)
{
    CHECK_EQ(gyre_loop_close(loop, 0), 0);
    CHECK_GE(count_descriptors(), before + 1);
    gyre_loop_release(loop);
    CHECK_EQ(count_descriptors(), before);
}

/* ---- work ------------------------------------------------------------------------------------ */

struct desk {
    bool at_once; /* runs what it gets */
    struct gyre_work *work; /* else keeps it */
};

static int take_work(struct gyre_work *work, void *arg)
{
    struct desk *desk = arg;
    if (desk->at_once)
        gyre_work_run(work);
    else
        desk->work = work;
    return 0;
}

static void T112_work_that_came_home_is_let_go_of_once_in_a_child(void)
{
    unsigned before = count_descriptors();
    struct gyre_loop *loop = family_loop();
    struct desk desk = {.at_once = true};
    struct gyre_executor *executor = NULL;
    unsigned calls = 0;
    CHECK_EQ(gyre_executor_create_foreign(&executor, take_work, &desk), 0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, executor, count_work, stop_at_end, &calls), 0);
    CHECK_EQ(calls, 1);
    pid_t child = fork();
    if (child == 0) {
        check_that_it_goes_with_the_callers(loop, before);
        plain_exit_child();
    }
    family_join(child);
    CHECK_EQ(gyre_loop_run(loop), 0);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

/* What is with a foreign executor is there in both processes, for both to end. */
static void end_in_both(bool closes_first, void (*end)(struct gyre_work *work))
{
    unsigned before = count_descriptors();
    struct gyre_loop *loop = family_loop();
    struct desk desk = {.work = NULL};
    struct gyre_executor *executor = NULL;
    unsigned calls = 0;
    CHECK_EQ(gyre_executor_create_foreign(&executor, take_work, &desk), 0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, executor, count_work, stop_at_end, &calls), 0);
    pid_t child = fork();
    if (child == 0) {
        if (!closes_first)
            end(desk.work);
        check_that_it_goes_with_the_callers(loop, before);
        if (closes_first)
            end(desk.work);
        CHECK_EQ(calls, 0); /* it is the parent's to run */
        plain_exit_child();
    }
    family_join(child);
    gyre_work_run(desk.work);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(calls, 1);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

static void T112_foreign_work_may_be_cancelled_in_a_child_at_any_time(void)
{
    end_in_both(false, gyre_work_cancel);
    end_in_both(true, gyre_work_cancel);
}

static void T112_a_parents_work_is_not_run_in_a_child(void)
{
    end_in_both(false, gyre_work_run);
    end_in_both(true, gyre_work_run);
}

static void T112_a_parents_executor_refuses_in_a_child(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_executor_options options;
    struct gyre_executor *executor = NULL;
    unsigned calls = 0;
    gyre_executor_options_init(&options);
    options.threads = 1;
    CHECK_EQ(gyre_executor_create(&options, &executor), 0);
    /* So that its thread has begun: a lock of a sanitizer that it held in the fork would be held in
     * the child for ever. */
    CHECK_EQ(gyre_loop_run_in_executor(loop, executor, count_work, stop_at_end, &calls), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    pid_t child = fork();
    if (child == 0) {
        struct gyre_loop *own = family_loop();
        CHECK_EQ(gyre_loop_run_in_executor(own, executor, count_work, stop_at_end, &calls),
                 -ECHILD);
        CHECK_EQ(gyre_loop_set_executor(own, executor), 0);
        CHECK_EQ(gyre_loop_run_in_executor(own, NULL, count_work, stop_at_end, &calls), -ECHILD);
        CHECK_EQ(gyre_loop_set_executor(own, NULL), 0);
        CHECK_EQ(gyre_loop_run_in_executor(own, NULL, count_work, stop_at_end, &calls), 0);
        CHECK_EQ(gyre_loop_run(own), 0);
        CHECK_EQ(calls, 2); /* on threads of its own */
        gyre_loop_destroy(own);
        gyre_executor_destroy(executor);
        plain_exit_child();
    }
    join_child_in_time(child);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

struct split {
    _Atomic pid_t child;
    _Atomic bool queued; /* there is more work behind */
    _Atomic unsigned *runs; /* of that, in both processes */
};

static int fork_in_work(void *arg)
{
    struct split *parted = arg;
    while (!atomic_load_explicit(&parted->queued, memory_order_acquire))
        ; /* the case's thread sets it a few instructions later */
    pid_t child = fork();
    if (child != 0)
        atomic_store_explicit(&parted->child, child, memory_order_release);
    return 0;
}

static int do_nothing(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return 0;
}

static int count_shared(void *arg)
{
    struct split *parted = arg;
    atomic_fetch_add_explicit(parted->runs, 1, memory_order_relaxed);
    return 0;
}

static void T112_worker_that_has_forked_ends_in_the_child(void)
{
    struct split parted = {.child = -1};
    struct gyre_executor_options options;
    struct gyre_executor *executor = NULL;
    struct gyre_loop *loop = family_loop();
    void *shared =
        mmap(NULL, sizeof(*parted.runs), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (!CHECK(shared != MAP_FAILED))
        return;
    parted.runs = shared;
    gyre_executor_options_init(&options);
    options.threads = 1;
    CHECK_EQ(gyre_executor_create(&options, &executor), 0);
    CHECK_EQ(gyre_loop_set_executor(loop, executor), 0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, NULL, fork_in_work, do_nothing, &parted), 0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, NULL, count_shared, stop_at_end, &parted), 0);
    atomic_store_explicit(&parted.queued, true, memory_order_release);
    CHECK_EQ(gyre_loop_run(loop), 0);
    join_child_in_time(atomic_load_explicit(&parted.child, memory_order_acquire));
    CHECK_EQ(atomic_load_explicit(parted.runs, memory_order_relaxed), 1);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
    CHECK_EQ(munmap(shared, sizeof(*parted.runs)), 0);
}

struct household {
    struct gyre_loop *loop;
    struct gyre_executor *executor; /* NULL: the loop's own */
    void (*leave)(struct household *household);
    _Atomic pid_t child;
};

static void leave_executor(struct household *household)
{
    gyre_executor_destroy(household->executor);
}

static void leave_loop(struct household *household)
{
    gyre_loop_destroy(household->loop);
}

static void leave_loop_first(struct household *household)
{
    leave_loop(household);
    leave_executor(household);
}

static void leave_executor_first(struct household *household)
{
    leave_executor(household);
    leave_loop(household);
}

static int fork_and_leave(void *arg)
{
    struct household *household = arg;
    pid_t child = fork();
    if (child == 0)
        household->leave(household);
    else
        atomic_store_explicit(&household->child, child, memory_order_release);
    return 0; /* in the child the worker ends, which may touch nothing of what is gone */
}

/* Work that ends when each thread has taken a piece of it. */
struct gathering {
    unsigned threads;
    _Atomic unsigned arrived;
    unsigned done;
};

static int gather(void *arg)
{
    struct gathering *gathering = arg;
    atomic_fetch_add_explicit(&gathering->arrived, 1, memory_order_acq_rel);
    while (atomic_load_explicit(&gathering->arrived, memory_order_acquire) < gathering->threads)
        (void)sched_yield();
    return 0;
}

static int end_gathering(struct gyre_loop *loop, int status, void *arg)
{
    struct gathering *gathering = arg;
    CHECK_EQ(status, 0);
    return ++gathering->done == gathering->threads ? gyre_loop_stop(loop) : 0;
}

/* Has all threads begun, and the loop run: a lock of a sanitizer that one of them held in a fork
 * would be held in the child for ever. */
static void warm_up(struct gyre_loop *loop, struct gyre_executor *executor, unsigned threads)
{
    struct gathering gathering = {.threads = threads};
    for (unsigned i = 0; i < threads; i++)
        CHECK_EQ(gyre_loop_run_in_executor(loop, executor, gather, end_gathering, &gathering), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
}

static void part_in_work(void (*leave)(struct household *household), bool owned)
{
    struct household household = {.loop = family_loop(), .leave = leave, .child = -1};
    struct gyre_executor_options options;
    gyre_executor_options_init(&options);
    options.threads = 1;
    if (!owned)
        CHECK_EQ(gyre_executor_create(&options, &household.executor), 0);
    warm_up(household.loop, household.executor, owned ? OWN_THREADS : 1);
    CHECK_EQ(gyre_loop_run_in_executor(household.loop, household.executor, fork_and_leave,
                                       stop_at_end, &household),
             0);
    CHECK_EQ(gyre_loop_run(household.loop), 0);
    join_child_in_time(atomic_load_explicit(&household.child, memory_order_acquire));
    gyre_loop_destroy(household.loop);
    gyre_executor_destroy(household.executor);
}

/* Under the address sanitizer. */
static void T112_work_that_has_forked_may_let_go_of_all_in_the_child(void)
{
    part_in_work(leave_executor, false);
    part_in_work(leave_loop, false);
    part_in_work(leave_loop, true);
    part_in_work(leave_loop_first, false);
    part_in_work(leave_executor_first, false);
}

/* ---- futures --------------------------------------------------------------------------------- */

static void resolve(struct gyre_future *future)
{
    CHECK_EQ(gyre_future_resolve(future, 0, NULL), 0);
}

/* Forks with a function waiting, behind `early`; the child does `first`, closes, does `last`. */
static void part_with_waiter(void (*early)(struct gyre_future *future),
                             void (*first)(struct gyre_future *future),
                             void (*last)(struct gyre_future *future))
{
    unsigned before = count_descriptors();
    struct gyre_loop *loop = family_loop();
    struct gyre_future *future = NULL;
    CHECK_EQ(gyre_future_create(&future), 0);
    CHECK_EQ(gyre_future_add_done(future, loop, stop_at_end, NULL), 0);
    early(future);
    pid_t child = fork();
    if (child == 0) {
        first(future);
        CHECK_EQ(gyre_loop_close(loop, 0), 0);
        CHECK_GE(count_descriptors(), before + 1);
        gyre_loop_release(loop);
        last(future);
        gyre_future_release(future);
        CHECK_EQ(count_descriptors(), before);
        plain_exit_child();
    }
    family_join(child);
    if (!gyre_future_is_done(future))
        resolve(future);
    CHECK_EQ(gyre_loop_run(loop), 0);
    gyre_loop_destroy(loop);
    gyre_future_release(future);
}

static void leave_it(struct gyre_future *future)
{
    CHECK(future != NULL);
}

static void T112_functions_that_wait_are_let_go_of_once_in_a_child(void)
{
    part_with_waiter(resolve, leave_it, leave_it);
    part_with_waiter(leave_it, resolve, leave_it);
    part_with_waiter(leave_it, leave_it, resolve);
    part_with_waiter(leave_it, leave_it, leave_it);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T112_work_that_came_home_is_let_go_of_once_in_a_child),
    PLAIN_CASE(T112_foreign_work_may_be_cancelled_in_a_child_at_any_time),
    PLAIN_CASE(T112_a_parents_work_is_not_run_in_a_child),
    PLAIN_CASE(T112_a_parents_executor_refuses_in_a_child),
    PLAIN_CASE(T112_worker_that_has_forked_ends_in_the_child),
    PLAIN_CASE(T112_work_that_has_forked_may_let_go_of_all_in_the_child),
    PLAIN_CASE(T112_functions_that_wait_are_let_go_of_once_in_a_child),
};

PLAIN_MAIN(cases)
