/* SPDX-License-Identifier: MIT */
/*
 * idle - a loop with ten thousand handlers and nothing to do makes no system call, and one event
 * costs it one: the call that it slept in.
 *
 * What       Each handler waits for an eventfd of its own. /proc says of the loop's thread how
 *            often it was switched, in which system call it sleeps, and with which limit.
 * Proof      A thread that sleeps at two looks with equal counts of switches did not run in
 *            between, and made no call. That takes time to look at, and a loop that woke less often
 *            would get away with it: so the call that it sleeps in must have no limit either. Then
 *            nothing but an event ends it, however long one looks.
 * Backends   epoll and poll hold as many as the process may open. select has descriptors below
 *            FD_SETSIZE alone, 1,024: the others are refused, and it sleeps with what it has.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    HANDLERS = 10000,
    OTHERS = 64, /* descriptors that are open besides */
    LOOK_MS = 10,
    LOOKS = 40,
    WRITES = 40,
    PROC_BYTES = 4096
};

static struct {
    struct crew_loop runner;
    _Atomic uint64_t thread; /* the system's number of the loop's thread, 0: it has not begun */
    unsigned count; /* handlers that the loop holds */
    int fds[HANDLERS];
    _Atomic unsigned calls[HANDLERS];
    _Atomic unsigned all_calls;
    struct rlimit limit_before;
} idle;

/* ---- the thread from outside ----------------------------------------------------------------- */

/* Reads a file of the loop's thread. */
static bool read_task(const char *file, char text[PROC_BYTES])
{
    char path[64];
    /* relaxed: has_begun has seen it */
    uint64_t thread = atomic_load_explicit(&idle.thread, memory_order_relaxed);
    (void)snprintf(path, sizeof(path), "/proc/self/task/%llu/%s", (unsigned long long)thread, file);
    FILE *stream = fopen(path, "r");
    if (stream == NULL)
        return false;
    size_t got = fread(text, 1, PROC_BYTES - 1, stream);
    text[got] = '\0';
    (void)fclose(stream); /* read only */
    return got > 0;
}

static uint64_t number_after(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found != NULL ? strtoull(found + strlen(name), NULL, 10) : 0;
}

/* How often the thread was switched; *ret_sleeps: whether it sleeps now. */
static uint64_t count_switches(bool *ret_sleeps)
{
    char text[PROC_BYTES];
    if (!CHECK(read_task("status", text)))
        return 0;
    *ret_sleeps = strstr(text, "State:\tS") != NULL;
    return number_after(text, "\nvoluntary_ctxt_switches:") +
           number_after(text, "\nnonvoluntary_ctxt_switches:");
}

/* The limit of the system call that the thread sleeps in, as it stands in its register. */
static bool sleeps_for_ever(void)
{
    char text[PROC_BYTES];
    unsigned long long a[4]; /* the third argument to the fifth, behind the call's number */
    long call;
    if (!CHECK(read_task("syscall", text)) ||
        !CHECK_EQ(sscanf(text, "%ld %*x %*x %llx %llx %llx", &call, &a[0], &a[1], &a[2]), 4)) {
        plain_note("syscall: %s", text);
        return false;
    }
    switch (call) {
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
#endif
    case SYS_epoll_pwait:
        return (int)a[1] == -1;
    case SYS_ppoll:
        return a[0] == 0; /* NULL */
    case SYS_pselect6:
        return a[2] == 0;
    default:
        plain_note("it sleeps in the system call %ld", call);
        return false;
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int drain(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    _Atomic unsigned *calls = arg;
    eventfd_t value;
    (void)loop;
    (void)events;
    CHECK_EQ(eventfd_read(fd, &value), 0);
    /* relaxed: counts, read when the loop sleeps again */
    atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&idle.all_calls, 1, memory_order_relaxed);
    return 0;
}

static int tell_thread(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    atomic_store_explicit(&idle.thread, (uint64_t)syscall(SYS_gettid), memory_order_relaxed);
    return 0;
}

/* Sleeping, with as many sleeps as the number at `arg`. */
static bool is_asleep(void *arg)
{
    struct gyre_loop_stats stats;
    bool sleeps = false;
    gyre_loop_stats(idle.runner.loop, &stats);
    if (atomic_load_explicit(&idle.thread, memory_order_relaxed) == 0 ||
        stats.sleeps != *(uint64_t *)arg)
        return false;
    (void)count_switches(&sleeps);
    return sleeps;
}

/* What the loop's backend is to say to a handler of that descriptor. */
static int expected(const struct gyre_loop *loop, int fd)
{
    bool is_select = strcmp(gyre_loop_backend(loop), "select") == 0;
    return is_select && fd >= FD_SETSIZE ? -EMFILE : 0;
}

static void add_handlers(struct gyre_loop *loop)
{
    idle.count = 0;
    for (unsigned i = 0; i < HANDLERS; i++) {
        idle.fds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        CHECK_GE(idle.fds[i], 0);
        atomic_store_explicit(&idle.calls[i], 0, memory_order_relaxed);
        int r = gyre_loop_add_handler(loop, idle.fds[i], GYRE_READ, drain, &idle.calls[i]);
        CHECK_EQ(r, expected(loop, idle.fds[i]));
        if (r == 0 && CHECK_EQ(idle.count, i)) /* those that it has are the first ones */
            idle.count++;
    }
}

/* Has the loop run with its handlers, until it sleeps. */
static void open_idle(void)
{
    struct gyre_loop *loop = crew_loop_make_patient();
    uint64_t sleeps = 1;
    add_handlers(loop);
    atomic_store_explicit(&idle.all_calls, 0, memory_order_relaxed);
    atomic_store_explicit(&idle.thread, 0, memory_order_relaxed);
    CHECK_EQ(gyre_loop_add_callback(loop, tell_thread, NULL), 0);
    crew_loop_run(&idle.runner, loop);
    CHECK(crew_wait(is_asleep, &sleeps));
}

static void close_idle(void)
{
    crew_loop_end(&idle.runner);
    gyre_loop_destroy(idle.runner.loop);
    for (unsigned i = 0; i < HANDLERS; i++)
        close(idle.fds[i]);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &idle.limit_before), 0);
}

/* Whether the process may have that many descriptors, from now on. */
static bool allow_descriptors(void)
{
    struct rlimit limit;
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &idle.limit_before), 0);
    limit = idle.limit_before;
    if (limit.rlim_cur < HANDLERS + OTHERS)
        limit.rlim_cur = HANDLERS + OTHERS;
    return limit.rlim_cur <= limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void ten_thousand_idle_handlers_cost_no_system_call(void)
{
    const struct timespec between = {.tv_nsec = LOOK_MS * 1000000L};
    struct gyre_loop_stats before;
    struct gyre_loop_stats after;
    bool slept = false;
    if (!allow_descriptors())
        PLAIN_SKIP("this process may not have %d descriptors open", HANDLERS + OTHERS);
    open_idle();
    CHECK(sleeps_for_ever());
    gyre_loop_stats(idle.runner.loop, &before);
    uint64_t switches = count_switches(&slept);
    CHECK(slept);
    for (unsigned look = 0; look < LOOKS; look++) {
        (void)nanosleep(&between, NULL); /* that nothing happens takes its time to see */
        if (!CHECK_EQ(count_switches(&slept), switches) || !CHECK(slept))
            break;
    }
    gyre_loop_stats(idle.runner.loop, &after);
    CHECK_EQ(after.polls, before.polls);
    CHECK_EQ(after.sleeps, 1);
    CHECK_EQ(after.events, 0);
    CHECK_EQ(after.wakes_written, 0);
    plain_note("%u handlers, switched %llu times until it slept", idle.count,
               (unsigned long long)switches);
    close_idle();
}

/* One write; the loop sleeps again, and has called that handler alone. */
static void write_one(unsigned at, uint64_t *sleeps)
{
    struct gyre_loop_stats before;
    struct gyre_loop_stats after;
    unsigned calls = atomic_load_explicit(&idle.calls[at], memory_order_relaxed);
    unsigned all = atomic_load_explicit(&idle.all_calls, memory_order_relaxed);
    gyre_loop_stats(idle.runner.loop, &before);
    ++*sleeps;
    CHECK_EQ(eventfd_write(idle.fds[at], 1), 0);
    CHECK(crew_wait(is_asleep, sleeps));
    gyre_loop_stats(idle.runner.loop, &after);
    CHECK_EQ(after.polls, before.polls + 1); /* that it sleeps in again */
    CHECK_EQ(after.events, before.events + 1);
    CHECK_EQ(atomic_load_explicit(&idle.calls[at], memory_order_relaxed), calls + 1);
    CHECK_EQ(atomic_load_explicit(&idle.all_calls, memory_order_relaxed), all + 1);
}

static void one_write_among_ten_thousand_calls_one_handler(void)
{
    uint64_t sleeps = 1;
    uint64_t chance = crew_seed();
    if (!allow_descriptors())
        PLAIN_SKIP("this process may not have %d descriptors open", HANDLERS + OTHERS);
    open_idle();
    write_one(0, &sleeps);
    write_one(idle.count - 1, &sleeps);
    for (unsigned i = 0; i < WRITES; i++)
        write_one((unsigned)(crew_random(&chance) % idle.count), &sleeps);
    CHECK(sleeps_for_ever());
    close_idle();
}

static const struct plain_case cases[] = {
    PLAIN_CASE(ten_thousand_idle_handlers_cost_no_system_call),
    PLAIN_CASE(one_write_among_ten_thousand_calls_one_handler),
};
PLAIN_MAIN(cases)
