/* SPDX-License-Identifier: MIT */
/*
 * workers - threads of the program's own give work to the loops of a runtime and get the answers.
 *
 *     workers [--loops N] [--threads N] [--jobs N]
 *
 *     worker thread                     a core's loop                    loop 0
 *       post(core, job) ------------->    run_job: count, answer
 *       run own loop    <-------------    post(worker's loop, job)
 *       take_answer ... stop
 *       add_callback(loop 0) ----------------------------------------->   worker_done
 *                                         report       <-- broadcast --   after the last one
 *                                                                         print_report, stop
 *
 * Shows     The three ways to reach a loop from another thread. gyre_loop_post sends a task that is
 *           embedded in the job: no memory is allocated, and the same job travels back as the
 *           answer. gyre_loop_add_callback is for calls that have no object of their own.
 *           gyre_runtime_broadcast runs a function on every loop, and one when all have.
 * Threads   No lock and no atomic: each datum belongs to one thread at a time, and a post hands it
 *           over with all that was written before. A worker gets its answers on a loop that it
 *           makes and runs itself.
 * Output    The same for the same numbers; every answer and every total is checked. Exit status 0,
 *           1 if something was wrong, 2 if an option was.
 */
#include <getopt.h>
#include <gyre/gyre.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    THREADS_MAX = 64,
    JOBS_MAX = 1000000
};

/* What a core keeps, in its loop's thread alone. */
struct core {
    uint64_t jobs;
    uint64_t steps;
};

struct worker;

struct job {
    struct gyre_task task; /* how it travels, both ways */
    struct worker *worker;
    uint64_t number;
    uint64_t steps; /* the answer */
};

struct worker {
    pthread_t thread;
    struct gyre_loop *loop; /* its own, for the answers */
    struct job *jobs;
    uint64_t first; /* number of its first job */
    uint64_t answers;
    uint64_t steps;
    uint64_t wrong;
};

static struct gyre_runtime *runtime;
static struct core cores[GYRE_LOOPS_MAX];
static unsigned threads = 4, jobs = 1000; /* jobs of each thread */

/* Loop 0's alone, until the runtime has ended. */
static unsigned workers_done;
static uint64_t total_wrong, total_steps;
static bool sound;

/* The work: how many steps of Collatz's rule lead from a number to 1. */
static uint64_t count_steps(uint64_t number)
{
    uint64_t steps = 0;
    for (; number > 1; steps++)
        number = number % 2 == 0 ? number / 2 : 3 * number + 1;
    return steps;
}

static void must(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "workers: %s: %s\n", what, gyre_error_text(error));
    exit(EXIT_FAILURE);
}

/* ---- jobs: there and back -------------------------------------------------------------------- */

/* On the worker's loop. */
static int take_answer(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    struct worker *worker = job->worker;
    if (status != 0)
        return 0; /* the loop closes first: not here, where run ends with the last answer */
    worker->wrong += job->steps != count_steps(job->number);
    worker->steps += job->steps;
    if (++worker->answers == jobs)
        return gyre_loop_stop(loop);
    return 0;
}

/* On a core's loop: gyre_loop_user says which core this is. */
static int run_job(struct gyre_loop *loop, int status, void *arg)
{
    struct job *job = arg;
    struct core *core = gyre_loop_user(loop);
    if (status == 0) { /* else the loop closes, and the job goes back without an answer */
        job->steps = count_steps(job->number);
        core->steps += job->steps;
        core->jobs++;
    }
    /* From here on the task is ours again, so that it can carry the answer. */
    gyre_task_init(&job->task, take_answer, job);
    return gyre_loop_post(job->worker->loop, &job->task);
}

/* ---- the end: callbacks and a broadcast ------------------------------------------------------ */

/* On every core's loop: hands over what only this thread may read. */
static int report(struct gyre_loop *loop, int status, void *arg)
{
    struct core *reports = arg;
    const struct core *core = gyre_loop_user(loop);
    if (status == 0)
        reports[core - cores] = *core;
    return 0;
}

/* On loop 0, after `report` has returned on every loop: it sees all that they have written. */
static int print_report(struct gyre_loop *loop, int status, void *arg)
{
    const struct core *reports = arg;
    uint64_t done = 0, steps = 0;
    (void)loop;
    if (status != 0)
        return 0;
    for (unsigned i = 0; i < gyre_runtime_loops(runtime); i++) {
        printf("loop=%u jobs=%" PRIu64 " steps=%" PRIu64 "\n", i, reports[i].jobs,
               reports[i].steps);
        done += reports[i].jobs;
        steps += reports[i].steps;
    }
    sound = done == (uint64_t)threads * jobs && steps == total_steps && total_wrong == 0;
    printf("%u threads, %" PRIu64 " jobs, %" PRIu64 " wrong answers, %" PRIu64 " steps: %s\n",
           threads, done, total_wrong, steps, sound ? "as they should be" : "WRONG");
    gyre_runtime_stop(runtime);
    return 0;
}

/* On loop 0. */
static int worker_done(struct gyre_loop *loop, int status, void *arg)
{
    static struct core reports[GYRE_LOOPS_MAX];
    const struct worker *worker = arg;
    (void)loop;
    if (status != 0)
        return 0;
    total_wrong += worker->wrong;
    total_steps += worker->steps;
    if (++workers_done < threads)
        return 0;
    return gyre_runtime_broadcast(runtime, report, reports, print_report, reports);
}

/* ---- a worker -------------------------------------------------------------------------------- */

static void *work(void *arg)
{
    struct worker *worker = arg;
    must(gyre_loop_create(NULL, &worker->loop), "a worker's loop");
    for (unsigned i = 0; i < jobs; i++) {
        struct job *job = &worker->jobs[i];
        job->worker = worker;
        job->number = worker->first + i;
        gyre_task_init(&job->task, run_job, job);
        unsigned core = (unsigned)(job->number % gyre_runtime_loops(runtime));
        must(gyre_loop_post(gyre_runtime_loop(runtime, core), &job->task), "post");
    }
    must(gyre_loop_run(worker->loop), "a worker's run"); /* until take_answer stops it */
    must(gyre_loop_add_callback(gyre_runtime_loop(runtime, 0), worker_done, worker), "callback");
    return NULL;
}

static void run_workers(void)
{
    struct worker *workers = calloc(threads, sizeof(*workers));
    must(workers != NULL ? 0 : -ENOMEM, "workers");
    for (unsigned i = 0; i < threads; i++) {
        workers[i].first = 1 + (uint64_t)i * jobs;
        workers[i].jobs = calloc(jobs, sizeof(*workers[i].jobs));
        must(workers[i].jobs != NULL ? 0 : -ENOMEM, "jobs");
        must(-pthread_create(&workers[i].thread, NULL, work, &workers[i]), "pthread_create");
    }
    for (unsigned i = 0; i < threads; i++)
        must(-pthread_join(workers[i].thread, NULL), "pthread_join");
    must(gyre_runtime_join(runtime), "join"); /* print_report stops it */
    for (unsigned i = 0; i < threads; i++) {
        gyre_loop_destroy(workers[i].loop);
        free(workers[i].jobs);
    }
    free(workers);
}

/* ---- the program ----------------------------------------------------------------------------- */

/* Runs first on each core's loop. */
static int set_up(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)arg;
    gyre_loop_set_user(loop, &cores[index]);
    return 0;
}

static bool parse_number(const char *option, const char *text, unsigned max, unsigned *ret_number)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long number = strtoul(text, NULL, 10);
    if (digits == 0 || text[digits] != '\0' || number == 0 || number > max) {
        fprintf(stderr, "workers: --%s %s: not a number from 1 to %u\n", option, text, max);
        return false;
    }
    *ret_number = (unsigned)number;
    return true;
}

static bool parse_options(int argc, char **argv, unsigned *ret_loops)
{
    static const struct option table[] = {{"loops", required_argument, NULL, 'l'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"jobs", required_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    bool good = true;
    for (int key; good && (key = getopt_long(argc, argv, "", table, NULL)) != -1;) {
        if (key == 'l')
            good = parse_number("loops", optarg, GYRE_LOOPS_MAX, ret_loops);
        else if (key == 't')
            good = parse_number("threads", optarg, THREADS_MAX, &threads);
        else
            good = key == 'j' && parse_number("jobs", optarg, JOBS_MAX, &jobs);
    }
    if (!good || optind == argc)
        return good;
    fprintf(stderr, "workers: %s: usage: workers [--loops N] [--threads N] [--jobs N]\n",
            argv[optind]);
    return false;
}

int main(int argc, char **argv)
{
    struct gyre_runtime_options options;
    gyre_runtime_options_init(&options);
    options.setup = set_up; /* loops: 0, as many as the machine gives us */
    if (!parse_options(argc, argv, &options.loops))
        return 2;
    must(gyre_runtime_create(&options, &runtime), "runtime");
    must(gyre_runtime_start(runtime), "start");
    run_workers();
    gyre_runtime_destroy(runtime);
    return sound ? EXIT_SUCCESS : EXIT_FAILURE;
}
