/* SPDX-License-Identifier: MIT */
/*
 * sweep - see sweep.h.
 */
#include "sweep.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/balance.h"

static struct injection running; /* the injection of this run */
static _Atomic int told;
static _Atomic unsigned broken; /* facts of this case that did not hold */

/* ---- what is told ---------------------------------------------------------------------------- */

int sweep_tell(int error)
{
    int none = 0;
    /* relaxed: a scenario's threads are joined before it is judged */
    if (error != 0)
        (void)atomic_compare_exchange_strong_explicit(&told, &none, error, memory_order_relaxed,
                                                      memory_order_relaxed);
    return error;
}

int sweep_told(void)
{
    return atomic_load_explicit(&told, memory_order_relaxed);
}

static void describe(char *text, size_t bytes)
{
    struct inject_report report = inject_read();
    if (!report.reached)
        (void)snprintf(text, bytes, "call %u was not reached", running.at);
    else
        (void)snprintf(text, bytes, "call %u, %s, failed with %s%s; told %d", running.at,
                       inject_call_name(report.call),
                       report.fired ? inject_code_name(report.fault.code) : "nothing",
                       running.burst > 1 ? ", in a burst" : "", sweep_told());
}

static void note_fault(const char *what)
{
    char text[256];
    atomic_fetch_add_explicit(&broken, 1, memory_order_relaxed);
    describe(text, sizeof(text));
    plain_note("%s (%s). Again: GYRE_FAULT=\"%u %u %u\"", what, text, running.at, running.choice,
               running.burst);
}

bool sweep_holds(bool holds, const char *text, const char *file, int line)
{
    inject_outside_begin();
    if (!holds)
        note_fault("a fact does not hold");
    (void)plain_check(holds, text, file, line); /* prints what the result says */
    inject_outside_end();
    return holds;
}

bool sweep_holds_equal(long long a, long long b, const char *text_a, const char *text_b,
                       const char *file, int line)
{
    inject_outside_begin();
    if (a != b)
        note_fault("a fact does not hold");
    (void)plain_check_number(a, b, PLAIN_EQ, text_a, text_b, file, line); /* likewise */
    inject_outside_end();
    return a == b;
}

/* ---- hangs ----------------------------------------------------------------------------------- */

static void say(const char *text)
{
    ssize_t written = write(STDERR_FILENO, text, strlen(text));
    (void)written; /* nobody is left to tell */
}

static void say_number(unsigned number)
{
    char digits[12];
    char *at = &digits[sizeof(digits) - 1];
    *at = '\0';
    do
        *--at = (char)('0' + number % 10);
    while ((number /= 10) != 0);
    say(at);
}

static void give_up(int signal)
{
    (void)signal;
    inject_outside_begin();
    struct inject_report report = inject_read();
    say("\n# a run hangs: ");
    say(report.reached ? inject_call_name(report.call) : "no call was reached");
    if (report.fired) {
        say(", code ");
        say_number((unsigned)abs(report.fault.code));
    }
    say(". Again: GYRE_FAULT=\"");
    say_number(running.at);
    say(" ");
    say_number(running.choice);
    say(" ");
    say_number(running.burst);
    say("\"\n");
    abort();
}

static unsigned patience_s(void)
{
#ifdef __SANITIZE_ADDRESS__
    return SWEEP_PATIENCE_S * 4;
#else
    return plain_tsan() ? SWEEP_PATIENCE_S * 4 : SWEEP_PATIENCE_S;
#endif
}

/* ---- one run --------------------------------------------------------------------------------- */

static void hear_log(enum gyre_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

/* Once a program, before the library's first use. */
static void set_up(void)
{
    static bool done;
    struct sigaction action = {.sa_handler = give_up};
    if (done)
        return;
    done = true;
    inject_allocator();
    gyre_set_log(hear_log, NULL);
    (void)sigaction(SIGALRM, &action, NULL); /* fails for a signal that does not exist */
}

struct sweep_thread {
    pthread_t thread;
    void (*fn)(void *arg);
    void *arg;
};

static void *run_thread(void *arg)
{
    struct sweep_thread *thread = arg;
    thread->fn(thread->arg);
    return NULL;
}

struct sweep_thread *sweep_thread_start(void (*fn)(void *arg), void *arg)
{
    inject_outside_begin();
    struct sweep_thread *thread = malloc(sizeof(*thread));
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* the main thread has the watch */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    if (thread != NULL)
        *thread = (struct sweep_thread){.fn = fn, .arg = arg};
    if (thread == NULL || pthread_create(&thread->thread, NULL, run_thread, thread) != 0) {
        say("sweep: no thread can be made\n");
        abort();
    }
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    inject_outside_end();
    return thread;
}

void sweep_thread_join(struct sweep_thread *thread)
{
    inject_outside_begin();
    (void)pthread_join(thread->thread, NULL); /* it is ours, and joinable */
    free(thread);
    inject_outside_end();
}

struct run {
    scenario_fn *scenario;
    const void *arg;
};

static void run_scenario(void *arg)
{
    struct run *run = arg;
    run->scenario(run->arg);
}

int sweep_once(const struct injection *injection, scenario_fn *scenario, const void *arg)
{
    static struct gyre_balance before;
    static char left_behind[GYRE_BALANCE_REPORT_BYTES];
    struct run run = {scenario, arg};
    set_up();
    running = *injection;
    atomic_store_explicit(&told, 0, memory_order_relaxed);
    gyre_balance_take(&before);
    alarm(patience_s());
    inject_arm(injection);
    sweep_thread_join(sweep_thread_start(run_scenario, &run));
    inject_disarm();
    bool balanced = gyre_balance_check(&before, left_behind);
    alarm(0);
    if (!balanced) {
        note_fault("a run left something behind");
        CHECK_STR(left_behind, "");
    }
    return sweep_told();
}

/* ---- the sweep ------------------------------------------------------------------------------- */

/* Whether what was told fits the fault that fired. */
static void judge(const struct inject_report *report, int heard)
{
    int expected = 0;
    bool itself = report->fault.told == INJECT_ITSELF ||
                  (report->fault.told == INJECT_IN_BURST && running.burst > 1);
    if (report->fired && itself)
        expected = -report->fault.code;
    else if (report->fired && report->fault.told < 0)
        expected = report->fault.told;
    if (heard == 0 || heard == expected)
        return;
    note_fault("what was told is not what failed");
    CHECK_EQ(heard, expected);
}

/* Runs all choices of one call; false: there is no such call. */
static bool sweep_call(unsigned at, unsigned burst, scenario_fn *scenario, const void *arg)
{
    struct injection injection = {.at = at, .burst = burst};
    struct inject_report report;
    do {
        int heard = sweep_once(&injection, scenario, arg);
        report = inject_read();
        judge(&report, heard);
        injection.choice++;
    } while (report.fired);
    return report.reached;
}

static void sweep_all(unsigned burst, scenario_fn *scenario, const void *arg)
{
    unsigned at = 1;
    while (sweep_call(at, burst, scenario, arg)) {
        if (++at > SWEEP_CALLS_MAX) {
            CHECK(!"the scenario comes to an end");
            return;
        }
        /* relaxed: the scenario's threads have been joined */
        if (atomic_load_explicit(&broken, memory_order_relaxed) >= SWEEP_FAILURES_MAX) {
            plain_note("given up after %d failures", SWEEP_FAILURES_MAX);
            return;
        }
    }
    plain_note("%u calls, bursts of %u", at - 1, burst);
}

void sweep(scenario_fn *scenario, const void *arg)
{
    const char *again = getenv("GYRE_FAULT");
    struct injection injection = {.burst = 1};
    atomic_store_explicit(&broken, 0, memory_order_relaxed);
    if (again != NULL && again[0] != '\0') {
        if (sscanf(again, "%u %u %u", &injection.at, &injection.choice, &injection.burst) != 3) {
            fprintf(stderr, "sweep: GYRE_FAULT is three numbers: call, choice, burst\n");
            exit(2);
        }
        int heard = sweep_once(&injection, scenario, arg);
        struct inject_report report = inject_read();
        judge(&report, heard);
        return;
    }
    sweep_all(1, scenario, arg);
    if (!plain_tsan()) /* bursts take other ways through the same threads */
        sweep_all(SWEEP_BURST, scenario, arg);
}

/* ---- loops ----------------------------------------------------------------------------------- */

static void hear_error(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    (void)arg;
    (void)sweep_tell(failure->error);
}

struct gyre_loop_options sweep_loop_options(void)
{
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.backend = plain_backend();
    options.make_current = GYRE_CURRENT_NO;
    options.on_error = hear_error;
    return options;
}
