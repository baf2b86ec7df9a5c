/* SPDX-License-Identifier: MIT */
/*
 * executor - rules T104, T105 and T66e: blocking work on other threads.
 */
#include "support.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>

enum {
    JOBS = 200
};

/* Work that waits, if it has a gate, until that is opened. */
struct job {
    pthread_t thread; /* that it ran on */
    _Atomic unsigned *gate; /* NULL: none */
    _Atomic unsigned begun;
    unsigned done;
    int result;
    int status;
    unsigned *left; /* the last one done stops the loop */
};

static int do_job(void *arg)
{
    struct job *job = arg;
    job->thread = pthread_self();
    atomic_store_explicit(&job->begun, 1, memory_order_release);
    /* acquire: the gate opens after what the test did before */
    while (job->gate != NULL && atomic_load_explicit(job->gate, memory_order_acquire) == 0)
        sched_yield();
    return job->result;
}

static int end_job(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    job->done++;
    job->status = status;
    return --*job->left == 0 && status != -ECANCELED ? gyre_loop_stop(loop) : 0;
}

static void submit(struct gyre_loop *loop, struct gyre_executor *executor, struct job *job)
{
    cr_assert_eq(gyre_loop_run_in_executor(loop, executor, do_job, end_job, job), 0);
}

static struct gyre_executor *make_executor(uint32_t threads, uint32_t queue_max)
{
    struct gyre_executor_options options;
    struct gyre_executor *executor;
    gyre_executor_options_init(&options);
    options.threads = threads;
    options.queue_max = queue_max;
    cr_assert_eq(gyre_executor_create(&options, &executor), 0);
    return executor;
}

static void await_begun(struct job *job)
{
    while (atomic_load_explicit(&job->begun, memory_order_acquire) == 0)
        sched_yield(); /* ctest's limit is this wait's */
}

/* ---- T104 ------------------------------------------------------------------------------------ */

GYRE_TEST(executor, T104_work_runs_on_a_worker_and_its_result_on_the_loop)
{
    struct gyre_loop *loop = open_loop();
    unsigned left = 1;
    struct job job = {.result = 42, .left = &left};
    submit(loop, NULL, &job);
    cr_assert_eq(job.done, 0);
    run_to_stop(loop);
    cr_assert_eq(job.done, 1);
    cr_assert_eq(job.status, 42);
    cr_assert_not(pthread_equal(job.thread, pthread_self()));
    gyre_loop_destroy(loop);
}

GYRE_TEST(executor, T104_each_piece_of_work_is_done_once)
{
    static struct job jobs[JOBS];
    struct gyre_loop *loop = open_loop();
    struct gyre_executor *executor = make_executor(3, JOBS);
    unsigned left = JOBS;
    for (int i = 0; i < JOBS; i++) {
        jobs[i] = (struct job){.result = -i, .left = &left};
        submit(loop, executor, &jobs[i]);
    }
    run_to_stop(loop);
    for (int i = 0; i < JOBS; i++) {
        cr_assert_eq(jobs[i].done, 1);
        cr_assert_eq(jobs[i].status, -i);
    }
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

static struct gyre_context *seen_context;

static int note_context(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    (void)arg;
    seen_context = gyre_context_current();
    return gyre_loop_stop(loop);
}

static int nothing(void *arg)
{
    (void)arg;
    return 0;
}

GYRE_TEST(executor, T104_done_runs_in_the_context_of_the_call)
{
    struct gyre_loop *loop = open_loop();
    struct gyre_context_options options;
    struct gyre_context *context;
    gyre_context_options_init(&options);
    cr_assert_eq(gyre_context_create(NULL, &options, &context), 0);
    struct gyre_context *before = gyre_context_enter(context);
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, nothing, note_context, NULL), 0);
    cr_assert_eq(gyre_context_enter(before), context);
    run_to_stop(loop);
    cr_assert_eq(seen_context, context);
    gyre_context_release(context);
    gyre_loop_destroy(loop);
}

static void note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    *(struct gyre_failure *)arg = *failure;
}

static int fail_and_stop(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    cr_assert_eq(gyre_loop_stop(loop), 0);
    return status;
}

static int fail(void *arg)
{
    (void)arg;
    return -EIO;
}

GYRE_TEST(executor, T104_what_done_returns_is_a_callbacks_result)
{
    struct gyre_loop_options options;
    struct gyre_loop *loop;
    struct gyre_failure failure = {.error = 0};
    gyre_loop_options_init(&options);
    options.backend = gyre_test_backend();
    options.waker = gyre_test_waker();
    options.make_current = GYRE_CURRENT_NO;
    options.on_error = note_failure;
    options.on_error_arg = &failure;
    cr_assert_eq(gyre_loop_create(&options, &loop), 0);
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, fail, fail_and_stop, &failure), 0);
    run_to_stop(loop);
    cr_assert_eq(failure.kind, GYRE_FAILED_CALLBACK);
    cr_assert_eq(failure.error, -EIO);
    cr_assert_eq(failure.fn, fail_and_stop);
    gyre_loop_destroy(loop);
}

GYRE_TEST(executor, T104_a_full_queue_refuses)
{
    struct gyre_loop *loop = open_loop();
    struct gyre_executor *executor = make_executor(1, 2);
    _Atomic unsigned gate = 0;
    unsigned left = 3;
    struct job jobs[4];
    for (int i = 0; i < 4; i++)
        jobs[i] = (struct job){.gate = &gate, .left = &left};
    submit(loop, executor, &jobs[0]);
    await_begun(&jobs[0]);
    submit(loop, executor, &jobs[1]);
    submit(loop, executor, &jobs[2]);
    cr_assert_eq(gyre_loop_run_in_executor(loop, executor, do_job, end_job, &jobs[3]), -EAGAIN);
    atomic_store_explicit(&gate, 1, memory_order_release);
    run_to_stop(loop);
    cr_assert_eq(jobs[2].done, 1);
    cr_assert_eq(jobs[3].done, 0, "it was refused");
    submit(loop, executor, &jobs[3]);
    left = 1;
    run_to_stop(loop);
    cr_assert_eq(jobs[3].done, 1);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

GYRE_TEST(executor, T104_arguments_are_checked)
{
    struct gyre_loop *loop = open_loop();
    struct gyre_executor_options options;
    struct gyre_executor *executor;
    gyre_executor_options_init(&options);
    options.threads = 0;
    cr_assert_eq(gyre_executor_create(&options, &executor), -EINVAL);
    gyre_executor_options_init(&options);
    options.queue_max = 0;
    cr_assert_eq(gyre_executor_create(&options, &executor), -EINVAL);
    options.queue_max = (1 << 20) + 1;
    cr_assert_eq(gyre_executor_create(&options, &executor), -EINVAL);
    gyre_executor_options_init(&options);
    options.size--;
    cr_assert_eq(gyre_executor_create(&options, &executor), -EINVAL);
    cr_assert_eq(gyre_executor_create_foreign(&executor, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, NULL, end_job, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, do_job, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_close(loop, 0), 0);
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, do_job, end_job, NULL), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_set_executor(loop, NULL), -ESHUTDOWN);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(NULL);
}

static int note_signals(void *arg)
{
    return pthread_sigmask(SIG_BLOCK, NULL, arg);
}

GYRE_TEST(executor, T104_workers_have_all_signals_blocked)
{
    struct gyre_loop *loop = open_loop();
    sigset_t blocked;
    sigemptyset(&blocked);
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, note_signals, fail_and_stop, &blocked), 0);
    run_to_stop(loop);
    cr_assert_eq(sigismember(&blocked, SIGTERM), 1);
    cr_assert_eq(sigismember(&blocked, SIGCHLD), 1);
    gyre_loop_destroy(loop);
}

static int again(struct gyre_loop *loop, int status, void *arg)
{
    unsigned *left = arg;
    (void)status;
    if (--*left == 0)
        return gyre_loop_stop(loop);
    return gyre_loop_run_in_executor(loop, NULL, nothing, again, arg);
}

GYRE_TEST(executor, T104_a_submit_allocates_nothing_after_warm_up)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct gyre_loop *loop = open_loop();
    unsigned left = 10;
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, nothing, again, &left), 0);
    run_to_stop(loop);
    long calls = memory.calls;
    left = 100;
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, nothing, again, &left), 0);
    run_to_stop(loop);
    cr_assert_eq(memory.calls, calls);
    gyre_loop_destroy(loop);
    cr_assert_eq(memory.blocks, 0);
}

/* ---- T105 ------------------------------------------------------------------------------------ */

struct foreign {
    struct gyre_work *works[4];
    unsigned count;
    int answer; /* negative: refuses */
};

static int take_work(struct gyre_work *work, void *arg)
{
    struct foreign *foreign = arg;
    if (foreign->answer < 0)
        return foreign->answer;
    foreign->works[foreign->count++] = work;
    return foreign->answer;
}

static void *run_works(void *arg)
{
    struct foreign *foreign = arg;
    for (unsigned i = 0; i < foreign->count; i++)
        gyre_work_run(foreign->works[i]);
    return NULL;
}

GYRE_TEST(executor, T105_a_foreign_executor_can_be_set)
{
    struct gyre_loop *loop = open_loop();
    struct foreign foreign = {.count = 0};
    struct gyre_executor *executor;
    unsigned left = 2;
    struct job jobs[2] = {{.result = 7, .left = &left}, {.left = &left}};
    cr_assert_eq(gyre_executor_create_foreign(&executor, take_work, &foreign), 0);
    cr_assert_eq(gyre_loop_set_executor(loop, executor), 0);
    gyre_executor_destroy(executor); /* the loop has a reference */
    submit(loop, NULL, &jobs[0]);
    submit(loop, NULL, &jobs[1]);
    cr_assert_eq(foreign.count, 2);
    pthread_t thread = start_thread(run_works, &foreign);
    run_to_stop(loop);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(jobs[0].status, 7);
    cr_assert_eq(jobs[1].done, 1);
    gyre_loop_destroy(loop);
}

GYRE_TEST(executor, T105_a_foreign_executor_may_refuse_cancel_and_run_at_once)
{
    struct gyre_loop *loop = open_loop();
    struct foreign foreign = {.answer = -ENOBUFS};
    struct gyre_executor *executor;
    unsigned left = 2;
    struct job jobs[2] = {{.left = &left}, {.left = &left}};
    cr_assert_eq(gyre_executor_create_foreign(&executor, take_work, &foreign), 0);
    cr_assert_eq(gyre_loop_run_in_executor(loop, executor, do_job, end_job, &jobs[0]), -ENOBUFS);
    foreign.answer = 0;
    submit(loop, executor, &jobs[0]);
    submit(loop, executor, &jobs[1]);
    gyre_work_cancel(foreign.works[0]);
    gyre_work_run(foreign.works[1]); /* on the loop's thread */
    cr_assert_eq(jobs[0].done + jobs[1].done, 0, "never inside the call");
    run_to_stop(loop);
    cr_assert_eq(jobs[0].status, -ECANCELED);
    cr_assert_eq(jobs[0].begun, 0);
    cr_assert_eq(jobs[1].status, 0);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

GYRE_TEST(executor, T105_only_a_negative_answer_refuses)
{
    struct gyre_loop *loop = open_loop();
    struct foreign foreign = {.answer = 1};
    struct gyre_executor *executor;
    unsigned left = 1;
    struct job job = {.result = 7, .left = &left};
    cr_assert_eq(gyre_executor_create_foreign(&executor, take_work, &foreign), 0);
    submit(loop, executor, &job);
    cr_assert_eq(foreign.count, 1);
    gyre_work_run(foreign.works[0]);
    run_to_stop(loop);
    cr_assert_eq(job.status, 7);
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

/* ---- T66e ------------------------------------------------------------------------------------ */

static void *open_gate_later(void *arg)
{
    struct job *job = arg;
    await_begun(job);
    for (int i = 0; i < 100; i++)
        sched_yield(); /* the close is likely to wait by then; both orders are right */
    atomic_store_explicit(job->gate, 1, memory_order_release);
    return NULL;
}

static void close_with_work(struct gyre_executor *executor)
{
    struct gyre_loop *loop = open_loop();
    _Atomic unsigned gate = 0;
    unsigned left = 8;
    struct job jobs[8];
    for (int i = 0; i < 8; i++) {
        jobs[i] = (struct job){.gate = &gate, .left = &left};
        submit(loop, executor, &jobs[i]);
    }
    await_begun(&jobs[0]);
    pthread_t thread = start_thread(open_gate_later, &jobs[0]);
    cr_assert_eq(gyre_loop_close(loop, 0), 0);
    cr_assert_eq(gate, 1, "it waited for what ran");
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(jobs[i].done, 1);
        cr_assert_eq(jobs[i].status, -ECANCELED);
    }
    cr_assert_eq(pthread_join(thread, NULL), 0);
    gyre_loop_release(loop);
}

GYRE_TEST(executor, T66e_closing_joins_the_loops_own_executor)
{
    close_with_work(NULL);
    cr_assert(true, "the harness counts the threads at the end");
}

GYRE_TEST(executor, T66e_closing_leaves_another_executor_alone)
{
    struct gyre_executor *executor = make_executor(2, 16);
    close_with_work(executor);
    struct gyre_loop *loop = open_loop();
    unsigned left = 1;
    struct job job = {.result = 3, .left = &left};
    submit(loop, executor, &job);
    run_to_stop(loop);
    cr_assert_eq(job.status, 3, "it still works");
    gyre_loop_destroy(loop);
    gyre_executor_destroy(executor);
}

GYRE_TEST(executor, T66e_a_foreign_executor_may_come_late_with_work_of_a_closed_loop)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct gyre_loop *loop = open_loop();
    struct foreign foreign = {.count = 0};
    struct gyre_executor *executor;
    unsigned left = 2;
    struct job jobs[2] = {{.left = &left}, {.left = &left}};
    cr_assert_eq(gyre_executor_create_foreign(&executor, take_work, &foreign), 0);
    submit(loop, executor, &jobs[0]);
    submit(loop, executor, &jobs[1]);
    gyre_loop_destroy(loop);
    cr_assert_eq(jobs[0].status, -ECANCELED);
    cr_assert_eq(jobs[1].done, 1);
    gyre_work_run(foreign.works[0]);
    gyre_work_cancel(foreign.works[1]);
    cr_assert_eq(jobs[0].begun, 0, "it is not run");
    cr_assert_eq(jobs[0].done, 1);
    gyre_executor_destroy(executor);
    cr_assert_eq(memory.blocks, 0);
}

/* Of three, the first holds the only thread until the others were cancelled. */
struct ending {
    struct gyre_executor *executor;
    _Atomic unsigned gate;
    struct job jobs[3];
    unsigned cancelled;
    unsigned left;
};

static void *destroy_busy(void *arg)
{
    struct ending *ending = arg;
    await_begun(&ending->jobs[0]);
    gyre_executor_destroy(ending->executor);
    return NULL;
}

static struct ending ending;

static int end_one(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    job->done++;
    job->status = status;
    ending.cancelled += status == -ECANCELED;
    if (ending.cancelled == 2)
        atomic_store_explicit(&ending.gate, 1, memory_order_release);
    return --ending.left == 0 ? gyre_loop_stop(loop) : 0;
}

GYRE_TEST(executor, T66e_destroying_an_executor_cancels_what_is_queued)
{
    struct gyre_loop *loop = open_loop();
    ending = (struct ending){.executor = make_executor(1, 16), .left = 3};
    cr_assert_eq(gyre_loop_set_executor(loop, ending.executor), 0);
    for (int i = 0; i < 3; i++) {
        ending.jobs[i] = (struct job){.gate = &ending.gate, .result = 5};
        cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, do_job, end_one, &ending.jobs[i]), 0);
    }
    pthread_t thread = start_thread(destroy_busy, &ending);
    run_to_stop(loop);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    cr_assert_eq(ending.jobs[0].status, 5, "it was waited for");
    for (int i = 1; i < 3; i++) {
        cr_assert_eq(ending.jobs[i].status, -ECANCELED);
        cr_assert_eq(ending.jobs[i].begun, 0);
    }
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, do_job, end_one, &ending), -ESHUTDOWN);
    gyre_loop_destroy(loop);
}

/* ---- workers that end what they work for ----------------------------------------------------- */

/* Work whose loop is released meanwhile. */
struct orphan {
    struct job job; /* first */
    pthread_t closer; /* that done was called on */
    _Atomic int status; /* of that call; 1: not yet */
};

static int end_orphan(struct gyre_loop *loop, int status, void *arg)
{
    struct orphan *orphan = arg;
    (void)loop;
    orphan->closer = pthread_self();
    atomic_store_explicit(&orphan->status, status, memory_order_release);
    return 0;
}

GYRE_TEST(executor, T66e_worker_that_is_the_last_to_hold_a_loop_closes_it)
{
    _Atomic unsigned gate = 0;
    struct orphan orphan = {.job = {.gate = &gate}, .status = 1};
    struct gyre_loop *loop = open_loop();
    cr_assert_eq(gyre_loop_run_in_executor(loop, NULL, do_job, end_orphan, &orphan), 0);
    await_begun(&orphan.job);
    gyre_loop_release(loop);
    cr_assert_eq(orphan.status, 1, "it is not waited for");
    atomic_store_explicit(&gate, 1, memory_order_release);
    while (atomic_load_explicit(&orphan.status, memory_order_acquire) == 1)
        sched_yield();
    cr_assert_eq(orphan.status, -ECANCELED);
    cr_assert(pthread_equal(orphan.closer, orphan.job.thread));
    cr_assert(true, "the harness counts the threads at the end");
}

static int destroy_executor(void *arg)
{
    gyre_executor_destroy(arg);
    return 0;
}

static int stop_unless_cancelled(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    return status == 0 ? gyre_loop_stop(loop) : 0;
}

GYRE_TEST(executor, T104_work_may_destroy_its_executor)
{
    struct gyre_executor *executor = make_executor(2, 16);
    struct gyre_loop *loop = open_loop();
    cr_assert_eq(gyre_loop_run_in_executor(loop, executor, destroy_executor, stop_unless_cancelled,
                                           executor),
                 0);
    run_to_stop(loop);
    gyre_loop_destroy(loop);
    cr_assert(true, "the harness counts the threads at the end");
}
