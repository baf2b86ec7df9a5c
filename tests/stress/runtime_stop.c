/* SPDX-License-Identifier: MIT */
/*
 * runtime_stop - runtimes that start and stop while foreign threads post to them throughout.
 *
 * Every post is accounted for: run + cancelled + refused = posted, and no task is called twice. The
 * threads hold references to the loops, and go on posting until every loop has refused them.
 */
#include "harness/plain.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <gyre/runtime.h>
#include <gyre/task.h>

#include "crew.h"

enum {
    LOOPS = 3,
    POSTERS = 3,
    TASKS = 2000 /* of each poster in each cycle, if it gets that far */
};

/* Calls counted on the loops of one cycle. */
struct counts {
    _Atomic unsigned run;
    _Atomic unsigned cancelled;
    _Atomic unsigned twice;
};

struct job {
    struct gyre_task task;
    struct counts *counts;
    _Atomic bool called;
};

struct poster {
    pthread_t thread;
    struct gyre_loop *loops[LOOPS];
    struct job *jobs;
    struct counts counts;
    _Atomic unsigned posted; /* read by the main thread as it goes */
    unsigned refused;
    unsigned other; /* results that no post should have */
};

static unsigned load(const _Atomic unsigned *number)
{
    return atomic_load_explicit(number, memory_order_acquire);
}

static void count(_Atomic unsigned *number)
{
    atomic_fetch_add_explicit(number, 1, memory_order_acq_rel);
}

static int run_job(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    (void)loop;
    if (atomic_exchange_explicit(&job->called, true, memory_order_relaxed))
        count(&job->counts->twice); /* relaxed: the count of calls is what is checked */
    count(status == 0 ? &job->counts->run : &job->counts->cancelled);
    return 0;
}

static int run_call(struct gyre_loop *loop, int status, void *arg)
{
    struct counts *counts = arg;
    (void)loop;
    count(status == 0 ? &counts->run : &counts->cancelled);
    return 0;
}

/* Posts in turn to all loops, every third by add_callback, until each has refused. */
static void *post_until_refused(void *arg)
{
    struct poster *poster = arg;
    unsigned refusing = 0; /* a bit a loop */
    for (unsigned i = 0; refusing != (1u << LOOPS) - 1; i++) {
        unsigned at = i % LOOPS;
        struct job *job = &poster->jobs[i % TASKS];
        int r;
        if (i % 3 == 0 || i >= TASKS) {
            r = gyre_loop_add_callback(poster->loops[at], run_call, &poster->counts);
        } else {
            gyre_task_init(&job->task, run_job, job);
            r = gyre_loop_post(poster->loops[at], &job->task);
        }
        if (r == -ESHUTDOWN) {
            poster->refused++;
            refusing |= 1u << at;
        } else if (r != 0) {
            poster->other++;
        }
        count(&poster->posted);
        if (i % 64 == 63) /* let the loops keep up, on few CPUs */
            sched_yield();
    }
    return NULL;
}

static void begin_poster(struct poster *poster, struct gyre_runtime *runtime)
{
    for (unsigned i = 0; i < LOOPS; i++)
        poster->loops[i] = gyre_loop_acquire(gyre_runtime_loop(runtime, i));
    poster->jobs = calloc(TASKS, sizeof(*poster->jobs));
    if (!CHECK(poster->jobs != NULL))
        abort();
    for (unsigned i = 0; i < TASKS; i++)
        poster->jobs[i].counts = &poster->counts;
    if (!CHECK_EQ(pthread_create(&poster->thread, NULL, post_until_refused, poster), 0))
        abort();
}

static void end_poster(struct poster *poster)
{
    CHECK_EQ(pthread_join(poster->thread, NULL), 0);
    CHECK_EQ(load(&poster->counts.run) + load(&poster->counts.cancelled) + poster->refused,
             load(&poster->posted));
    CHECK_EQ(load(&poster->counts.twice), 0);
    CHECK_EQ(poster->other, 0);
    for (unsigned i = 0; i < LOOPS; i++)
        gyre_loop_release(poster->loops[i]);
    free(poster->jobs);
}

/* ---- the ways to stop ------------------------------------------------------------------------ */

static _Atomic unsigned teardowns;

static int count_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)loop;
    (void)index;
    (void)arg;
    count(&teardowns);
    return 0;
}

static struct gyre_runtime *make_runtime(void)
{
    struct gyre_runtime_options options;
    struct gyre_loop_options loop_options;
    struct gyre_runtime *runtime = NULL;
    gyre_loop_options_init(&loop_options);
    loop_options.backend = plain_backend();
    loop_options.waker = plain_waker();
    gyre_runtime_options_init(&options);
    options.loops = LOOPS;
    options.loop = &loop_options;
    options.teardown = count_teardown;
    atomic_store_explicit(&teardowns, 0, memory_order_release);
    if (!CHECK_EQ(gyre_runtime_create(&options, &runtime), 0))
        abort();
    return runtime;
}

static void *stop_runtime(void *arg)
{
    gyre_runtime_stop(arg);
    return NULL;
}

static int stop_on_loop(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    if (status == 0)
        gyre_runtime_stop(arg);
    return 0;
}

static void wait_for_posts(const struct poster *posters, unsigned posts)
{
    for (unsigned i = 0; i < POSTERS; i++)
        while (load(&posters[i].posted) < posts)
            sched_yield();
}

/* One life of a runtime: how it is stopped, and after how many posts, depends on the cycle. */
static void live_once(unsigned cycle)
{
    static struct poster posters[POSTERS];
    struct gyre_runtime *runtime = make_runtime();
    pthread_t stopper;
    bool stopper_made = cycle % 3 == 2;
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.refused = 0};
        begin_poster(&posters[i], runtime);
    }
    if (cycle % 5 == 4)
        wait_for_posts(posters, 100); /* before start */
    if (stopper_made) /* at any time of start */
        CHECK_EQ(pthread_create(&stopper, NULL, stop_runtime, runtime), 0);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    if (!stopper_made)
        wait_for_posts(posters, 1 + cycle * 37 % 1000);
    if (cycle % 3 == 0)
        gyre_runtime_stop(runtime);
    else if (cycle % 3 == 1)
        CHECK_EQ(gyre_loop_add_callback(gyre_runtime_loop(runtime, cycle % LOOPS), stop_on_loop,
                                        runtime),
                 0);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    CHECK_EQ(load(&teardowns), LOOPS);
    gyre_runtime_destroy(runtime); /* the stopper may not have returned yet */
    for (unsigned i = 0; i < POSTERS; i++)
        end_poster(&posters[i]);
    if (stopper_made)
        CHECK_EQ(pthread_join(stopper, NULL), 0);
}

static void posts_of_foreign_threads_are_run_cancelled_or_refused(void)
{
    uint64_t cycles = crew_size("GYRE_STRESS_CYCLES", 300, 60);
    for (uint64_t cycle = 0; cycle < cycles; cycle++)
        live_once((unsigned)cycle);
}

static void runtimes_that_are_never_started_cancel_or_refuse(void)
{
    for (unsigned cycle = 0; cycle < 20; cycle++) {
        static struct poster posters[POSTERS];
        struct gyre_runtime *runtime = make_runtime();
        for (unsigned i = 0; i < POSTERS; i++) {
            posters[i] = (struct poster){.refused = 0};
            begin_poster(&posters[i], runtime);
        }
        wait_for_posts(posters, cycle * 10);
        gyre_runtime_destroy(runtime);
        CHECK_EQ(load(&teardowns), 0);
        for (unsigned i = 0; i < POSTERS; i++) {
            end_poster(&posters[i]);
            CHECK_EQ(load(&posters[i].counts.run), 0);
        }
    }
}

/* ---- broadcasts ------------------------------------------------------------------------------ */

struct cast {
    _Atomic unsigned run;
    _Atomic unsigned cancelled;
    _Atomic unsigned done;
    _Atomic int done_status;
    int result;
};

struct caster {
    pthread_t thread;
    struct gyre_runtime *runtime;
    struct cast *casts;
    unsigned count;
};

enum {
    CASTS = 400
};

static int cast_fn(struct gyre_loop *loop, int status, void *arg)
{
    struct cast *cast = arg;
    (void)loop;
    count(status == 0 ? &cast->run : &cast->cancelled);
    return 0;
}

static int cast_done(struct gyre_loop *loop, int status, void *arg)
{
    struct cast *cast = arg;
    (void)loop;
    atomic_store_explicit(&cast->done_status, status, memory_order_release);
    count(&cast->done);
    return 0;
}

static void *cast_until_refused(void *arg)
{
    struct caster *caster = arg;
    for (unsigned i = 0; i < CASTS; i++) {
        struct cast *cast = &caster->casts[i];
        cast->result = gyre_runtime_broadcast(caster->runtime, cast_fn, cast, cast_done, cast);
        caster->count++;
        if (cast->result != 0)
            break;
    }
    return NULL;
}

static void check_cast(const struct cast *cast)
{
    unsigned run = load(&cast->run);
    unsigned cancelled = load(&cast->cancelled);
    int status = atomic_load_explicit(&cast->done_status, memory_order_acquire);
    if (cast->result != 0) {
        CHECK_EQ(cast->result, -ESHUTDOWN);
        CHECK_EQ(run + cancelled + load(&cast->done), 0);
        return;
    }
    CHECK_EQ(load(&cast->done), 1);
    CHECK_LE(run + cancelled, LOOPS);
    if (status == 0)
        CHECK_EQ(run, LOOPS);
    else
        CHECK_EQ(status, -ECANCELED);
}

static void broadcasts_into_a_stop_end_once_each(void)
{
    uint64_t cycles = crew_size("GYRE_STRESS_CASTS", 150, 30);
    for (uint64_t cycle = 0; cycle < cycles; cycle++) {
        struct gyre_runtime *runtime = make_runtime();
        struct caster casters[POSTERS];
        CHECK_EQ(gyre_runtime_start(runtime), 0);
        for (unsigned i = 0; i < POSTERS; i++) {
            casters[i] = (struct caster){.runtime = runtime};
            casters[i].casts = calloc(CASTS, sizeof(struct cast));
            CHECK_EQ(pthread_create(&casters[i].thread, NULL, cast_until_refused, &casters[i]), 0);
        }
        for (unsigned i = 0; i < cycle % 50; i++)
            sched_yield();
        gyre_runtime_stop(runtime);
        CHECK_EQ(gyre_runtime_join(runtime), 0);
        for (unsigned i = 0; i < POSTERS; i++)
            CHECK_EQ(pthread_join(casters[i].thread, NULL), 0);
        for (unsigned i = 0; i < POSTERS; i++) {
            for (unsigned j = 0; j < casters[i].count; j++)
                check_cast(&casters[i].casts[j]);
            free(casters[i].casts);
        }
        gyre_runtime_destroy(runtime);
    }
}

static const struct plain_case cases[] = {
    PLAIN_CASE(posts_of_foreign_threads_are_run_cancelled_or_refused),
    PLAIN_CASE(runtimes_that_are_never_started_cancel_or_refuse),
    PLAIN_CASE(broadcasts_into_a_stop_end_once_each),
};
PLAIN_MAIN(cases)
