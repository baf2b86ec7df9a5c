/* SPDX-License-Identifier: MIT */
/*
 * watchdog - rules T72 to T74 and T112 in real time: loops that block until somebody has noticed,
 * at most ten seconds.
 *
 * The thread sanitizer has a signal wait until the thread makes a call that it knows: an atomic one
 * is among them, so that a function that spins on an atomic is interrupted under it as well.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    THRESHOLD_NS = 2 * 1000 * 1000,
    PATIENCE_S = 10,
    CALLS = 600, /* that block a little, while thresholds change */
    FUNCTION_BYTES = 4096 /* at most, of the one that spins */
};

static struct {
    _Atomic unsigned reports;
    _Atomic unsigned inside; /* reports under way */
    _Atomic unsigned stray; /* reports that came when there was to be none */
    _Atomic unsigned found; /* of them, how often the stack held the spinning function */
    _Atomic bool wanted; /* reports may come */
    _Atomic bool go_on; /* what spins may end */
    _Atomic uint64_t duration_ns; /* of the last */
    _Atomic unsigned lines; /* of the log */
    _Atomic unsigned named; /* of them, with an address or a name */
    struct gyre_loop *_Atomic loop; /* of the last report */
} seen;

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void reset(void)
{
    atomic_store_explicit(&seen.reports, 0, memory_order_seq_cst);
    atomic_store_explicit(&seen.stray, 0, memory_order_seq_cst);
    atomic_store_explicit(&seen.found, 0, memory_order_seq_cst);
    atomic_store_explicit(&seen.wanted, true, memory_order_seq_cst);
    atomic_store_explicit(&seen.go_on, false, memory_order_seq_cst);
    atomic_store_explicit(&seen.lines, 0, memory_order_seq_cst);
    atomic_store_explicit(&seen.named, 0, memory_order_seq_cst);
}

/* Blocks the loop. Never inlined: its address is looked for. */
__attribute__((noinline)) static int spin(struct gyre_loop *loop, int status, void *arg)
{
    uint64_t end_ns = now_ns() + PATIENCE_S * UINT64_C(1000000000);
    (void)status;
    (void)arg;
    while (!atomic_load_explicit(&seen.go_on, memory_order_seq_cst) && now_ns() < end_ns)
        ;
    return gyre_loop_stop(loop);
}

static bool holds_spin(const struct gyre_blocking *blocking)
{
    uintptr_t begin = (uintptr_t)spin;
    for (unsigned at = 0; at < blocking->stack_count; at++) {
        uintptr_t address = (uintptr_t)blocking->stack[at];
        if (address >= begin && address < begin + FUNCTION_BYTES)
            return true;
    }
    return false;
}

static void report(struct gyre_loop *loop, const struct gyre_blocking *blocking, void *arg)
{
    (void)arg;
    atomic_fetch_add_explicit(&seen.inside, 1, memory_order_seq_cst);
    if (!atomic_load_explicit(&seen.wanted, memory_order_seq_cst))
        atomic_fetch_add_explicit(&seen.stray, 1, memory_order_seq_cst);
    atomic_store_explicit(&seen.loop, loop, memory_order_seq_cst);
    atomic_store_explicit(&seen.duration_ns, blocking->duration_ns, memory_order_seq_cst);
    atomic_fetch_add_explicit(&seen.found, holds_spin(blocking), memory_order_seq_cst);
    atomic_fetch_add_explicit(&seen.reports, 1, memory_order_seq_cst);
    atomic_store_explicit(&seen.go_on, true, memory_order_seq_cst);
    atomic_fetch_sub_explicit(&seen.inside, 1, memory_order_seq_cst);
}

static void T72_a_report_has_the_stack_of_the_function_that_blocks(void)
{
    struct gyre_loop *loop = crew_loop_make(0);
    reset();
    CHECK_EQ(gyre_loop_set_blocking_threshold(loop, THRESHOLD_NS, report, NULL), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, spin, NULL), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    gyre_loop_destroy(loop); /* ends the watchdog, too: the case compares threads */
    CHECK_EQ(atomic_load_explicit(&seen.reports, memory_order_seq_cst), 1);
    CHECK_EQ(atomic_load_explicit(&seen.found, memory_order_seq_cst), 1);
    CHECK(atomic_load_explicit(&seen.loop, memory_order_seq_cst) == loop);
    CHECK_GE(atomic_load_explicit(&seen.duration_ns, memory_order_seq_cst), THRESHOLD_NS);
}

/* A runtime's threads block all signals; the mask must be as before behind the run. */
static void *run_blocked(void *arg)
{
    sigset_t all;
    sigset_t after;
    unsigned open = 0;
    (void)sigfillset(&all);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, &all, NULL), 0);
    CHECK_EQ(gyre_loop_run(arg), 0);
    CHECK_EQ(pthread_sigmask(SIG_SETMASK, NULL, &after), 0);
    for (int signo = SIGRTMIN; signo <= SIGRTMAX; signo++)
        open += sigismember(&after, signo) == 0;
    CHECK_EQ(open, 0);
    return NULL;
}

static void T72_a_thread_that_blocks_all_signals_has_a_stack_as_well(void)
{
    struct gyre_loop *loop = crew_loop_make(0);
    pthread_t runner;
    reset();
    CHECK_EQ(gyre_loop_set_blocking_threshold(loop, THRESHOLD_NS, report, NULL), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, spin, NULL), 0);
    CHECK_EQ(pthread_create(&runner, NULL, run_blocked, loop), 0);
    CHECK_EQ(pthread_join(runner, NULL), 0);
    CHECK_EQ(atomic_load_explicit(&seen.found, memory_order_seq_cst), 1);
    CHECK_EQ(gyre_loop_set_blocking_threshold(loop, 0, NULL, NULL), 0);
    gyre_loop_destroy(loop);
}

/* ---- T74 ------------------------------------------------------------------------------------- */

static void count_line(enum gyre_log_level level, const char *line, void *arg)
{
    (void)arg;
    if (level != GYRE_LOG_WARNING)
        return;
    atomic_fetch_add_explicit(&seen.lines, 1, memory_order_seq_cst);
    atomic_fetch_add_explicit(&seen.named, strncmp(line, "  #", 3) == 0 && strlen(line) > 6,
                              memory_order_seq_cst);
    atomic_store_explicit(&seen.go_on, true, memory_order_seq_cst);
}

static void T74_the_log_names_what_blocks(void)
{
    struct gyre_loop *loop = crew_loop_make(0);
    reset();
    gyre_set_log(count_line, NULL);
    CHECK_EQ(gyre_loop_set_blocking_log_threshold(loop, THRESHOLD_NS), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, spin, NULL), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(gyre_loop_set_blocking_log_threshold(loop, 0), 0);
    gyre_set_log(NULL, NULL);
    CHECK_GE(atomic_load_explicit(&seen.lines, memory_order_seq_cst), 2);
    CHECK_EQ(atomic_load_explicit(&seen.named, memory_order_seq_cst),
             atomic_load_explicit(&seen.lines, memory_order_seq_cst) - 1);
    gyre_loop_destroy(loop);
}

/* ---- T73 ------------------------------------------------------------------------------------- */

/* Blocks for about as long as the threshold, which comes and goes meanwhile. */
static int block_a_little(struct gyre_loop *loop, int status, void *arg)
{
    unsigned *left = arg;
    uint64_t end_ns = now_ns() + 300 * 1000;
    (void)status;
    while (now_ns() < end_ns)
        ;
    return --*left == 0 ? gyre_loop_stop(loop) : gyre_loop_add_callback(loop, block_a_little, arg);
}

static void *run_for_a_while(void *arg)
{
    unsigned left = plain_tsan() ? CALLS / 4 : CALLS;
    CHECK_EQ(gyre_loop_add_callback(arg, block_a_little, &left), 0);
    CHECK_EQ(gyre_loop_run(arg), 0);
    CHECK_EQ(left, 0);
    CHECK_EQ(gyre_loop_close(arg, 0), 0);
    return NULL;
}

static void T73_none_comes_when_the_call_that_ends_it_has_returned(void)
{
    struct gyre_loop *loop = crew_loop_make(0);
    pthread_t runner;
    unsigned rounds = 0;
    int r = 0;
    reset();
    CHECK_EQ(pthread_create(&runner, NULL, run_for_a_while, loop), 0);
    while (r == 0) {
        atomic_store_explicit(&seen.wanted, true, memory_order_seq_cst);
        r = gyre_loop_set_blocking_threshold(loop, 100 * 1000, report, NULL);
        unsigned before = atomic_load_explicit(&seen.reports, memory_order_seq_cst);
        uint64_t end_ns = now_ns() + 1000 * 1000; /* one more may be under way when it ends */
        while (r == 0 && atomic_load_explicit(&seen.reports, memory_order_seq_cst) == before &&
               now_ns() < end_ns)
            ;
        r = gyre_loop_set_blocking_threshold(loop, 0, NULL, NULL);
        atomic_store_explicit(&seen.wanted, false, memory_order_seq_cst);
        if (r == 0)
            CHECK_EQ(atomic_load_explicit(&seen.inside, memory_order_seq_cst), 0);
        rounds++;
    }
    CHECK_EQ(r, -ESHUTDOWN);
    CHECK_EQ(pthread_join(runner, NULL), 0);
    CHECK_EQ(atomic_load_explicit(&seen.stray, memory_order_seq_cst), 0);
    plain_note("%u rounds, %u reports", rounds,
               atomic_load_explicit(&seen.reports, memory_order_seq_cst));
    gyre_loop_destroy(loop);
}

/* ---- dump ------------------------------------------------------------------------------------ */

static void note_line(const char *line, void *arg)
{
    bool *busy = arg;
    *busy |= strstr(line, "busy for") != NULL;
}

static void a_dump_from_another_thread_tells_of_the_stretch(void)
{
    struct gyre_loop *loop = crew_loop_make(0);
    pthread_t runner;
    bool busy = false;
    uint64_t end_ns = now_ns() + PATIENCE_S * UINT64_C(1000000000);
    reset();
    CHECK_EQ(gyre_loop_set_blocking_threshold(loop, GYRE_NEVER, report, NULL), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, spin, NULL), 0);
    CHECK_EQ(pthread_create(&runner, NULL, run_blocked, loop), 0);
    while (!busy && now_ns() < end_ns)
        CHECK_EQ(gyre_loop_dump(loop, note_line, &busy), 0);
    CHECK(busy);
    atomic_store_explicit(&seen.go_on, true, memory_order_seq_cst);
    CHECK_EQ(pthread_join(runner, NULL), 0);
    CHECK_EQ(atomic_load_explicit(&seen.reports, memory_order_seq_cst), 0);
    gyre_loop_destroy(loop);
}

/* ---- T112 ------------------------------------------------------------------------------------ */

static void T112_a_child_watches_its_own_loops(void)
{
    int status = -1;
    if (plain_tsan())
        PLAIN_SKIP("the thread sanitizer has no threads made in a child of several");
    struct gyre_loop *loop = crew_loop_make(0);
    reset();
    CHECK_EQ(gyre_loop_set_blocking_threshold(loop, GYRE_NEVER, report, NULL), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(gyre_loop_set_blocking_threshold(loop, 1, report, NULL), -ECHILD);
        struct gyre_loop *own = crew_loop_make(0);
        CHECK_EQ(gyre_loop_set_blocking_threshold(own, THRESHOLD_NS, report, NULL), 0);
        CHECK_EQ(gyre_loop_add_callback(own, spin, NULL), 0);
        CHECK_EQ(gyre_loop_run(own), 0);
        CHECK_EQ(atomic_load_explicit(&seen.found, memory_order_seq_cst), 1);
        gyre_loop_destroy(own);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK_EQ(status, 0);
    CHECK_EQ(gyre_loop_set_blocking_threshold(loop, 0, NULL, NULL), 0); /* the parent's still is */
    CHECK_EQ(atomic_load_explicit(&seen.reports, memory_order_seq_cst), 0);
    gyre_loop_destroy(loop);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T72_a_report_has_the_stack_of_the_function_that_blocks),
    PLAIN_CASE(T72_a_thread_that_blocks_all_signals_has_a_stack_as_well),
    PLAIN_CASE(T74_the_log_names_what_blocks),
    PLAIN_CASE(T73_none_comes_when_the_call_that_ends_it_has_returned),
    PLAIN_CASE(a_dump_from_another_thread_tells_of_the_stretch),
    PLAIN_CASE(T112_a_child_watches_its_own_loops),
};

PLAIN_MAIN(cases)
