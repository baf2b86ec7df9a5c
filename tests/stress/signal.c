/* SPDX-License-Identifier: MIT */
/*
 * signal - stop and wake called by signal handlers, in storms: errno is kept, nothing locks up,
 * and a signal that lands just before the poll still wakes the loop (T68).
 *
 * Under the thread sanitizer a handler runs when its thread next enters a function that the
 * sanitizer knows, and a poll that a signal has interrupted may come too early for that. There, and
 * only there, a timer has the loop turn every millisecond; that no wake-up is lost is shown by the
 * other builds.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <time.h>
#include <ucontext.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    SENTINEL = 12345, /* no errno of the system's */
    POSTERS = 3
};

static struct {
    struct gyre_loop *loop;
    _Atomic uint64_t handled;
    _Atomic uint64_t spoiled; /* handlers that found errno changed */
    _Atomic uint64_t runs;
    _Atomic bool begun; /* the runner */
    _Atomic bool over;
    uint64_t rounds;
    bool stops;
    bool wakes;
} field;

static struct crew_observer observer;
static struct gyre_timer pulse; /* under the thread sanitizer only */

static void on_signal(int number)
{
    int saved = errno;
    (void)number;
    errno = SENTINEL;
    if (field.wakes)
        gyre_loop_wake(field.loop);
    if (field.stops)
        gyre_loop_stop(field.loop);
    if (errno != SENTINEL)
        atomic_fetch_add_explicit(&field.spoiled, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&field.handled, 1, memory_order_relaxed);
    errno = saved;
}

static int beat(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    return status == 0 ? gyre_timer_start(&pulse, gyre_loop_now_ns(loop) + 1000000) : 0;
}

static void begin(bool stops, bool wakes)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigemptyset(&action.sa_mask);
    field.loop = crew_loop_make_observed(&observer);
    field.stops = stops;
    field.wakes = wakes;
    atomic_store_explicit(&field.handled, 0, memory_order_relaxed);
    atomic_store_explicit(&field.spoiled, 0, memory_order_relaxed);
    atomic_store_explicit(&field.runs, 0, memory_order_relaxed);
    atomic_store_explicit(&field.over, false, memory_order_relaxed);
    atomic_store_explicit(&field.begun, false, memory_order_relaxed);
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
    gyre_timer_init(&pulse, field.loop, beat, NULL);
    if (plain_tsan())
        CHECK_EQ(gyre_timer_start(&pulse, 0), 0);
}

static void finish(void)
{
    signal(SIGALRM, SIG_IGN);
    signal(SIGUSR1, SIG_IGN);
    field.stops = false; /* should the sanitizer still hold a signal back */
    field.wakes = false;
    CHECK_EQ(atomic_load_explicit(&field.spoiled, memory_order_relaxed), 0);
    CHECK_NE(atomic_load_explicit(&field.handled, memory_order_relaxed), 0);
    crew_loop_check(field.loop);
    gyre_loop_destroy(field.loop);
}

static void alarm_every(long us)
{
    struct itimerval interval = {.it_interval.tv_usec = us, .it_value.tv_usec = us};
    CHECK_EQ(setitimer(ITIMER_REAL, &interval, NULL), 0);
}

/* ---- the only thread ------------------------------------------------------------------------- */

static void stops_by_a_timer_signal_end_each_run(void)
{
    uint64_t rounds = crew_size("GYRE_STRESS_ALARMS", 10000, 1000);
    double began = crew_now_s();
    begin(true, false);
    alarm_every(100);
    for (uint64_t i = 0; i < rounds; i++) {
        errno = SENTINEL + 1;
        CHECK_EQ(gyre_loop_run(field.loop), 0);
    }
    alarm_every(0);
    CHECK_GE(atomic_load_explicit(&field.handled, memory_order_relaxed), rounds);
    plain_note("%llu runs, each ended by a signal, in %.2f s", (unsigned long long)rounds,
               crew_now_s() - began);
    finish();
}

/* ---- aimed at the runner --------------------------------------------------------------------- */

static void run_again_and_again(unsigned me, void *arg)
{
    (void)me;
    (void)arg;
    atomic_store_explicit(&field.begun, true, memory_order_release);
    while (!atomic_load_explicit(&field.over, memory_order_acquire)) {
        if (gyre_loop_run(field.loop) != 0)
            CHECK(!"a run failed");
        atomic_fetch_add_explicit(&field.runs, 1, memory_order_release);
    }
}

static bool has_begun(void *arg)
{
    (void)arg;
    return atomic_load_explicit(&field.begun, memory_order_acquire);
}

/* The signal comes at any instruction of the turn; one of them is the last before the poll. */
static void signal_and_see(pthread_t runner)
{
    _Atomic uint64_t *progress = field.stops ? &field.runs : &observer.seen;
    uint64_t chance = crew_seed();
    for (uint64_t i = 0; i < field.rounds; i++) {
        uint64_t dice = crew_random(&chance);
        if (dice % 4 == 0)
            gyre_loop_wake(field.loop); /* so that it is under way */
        crew_spin((dice >> 8) % (UINT64_C(1) << (dice >> 40) % 13));
        uint64_t before = atomic_load_explicit(&field.runs, memory_order_acquire);
        if (!field.stops)
            before = atomic_fetch_add_explicit(&observer.asked, 1, memory_order_relaxed);
        CHECK_EQ(pthread_kill(runner, SIGUSR1), 0);
        if (!crew_wait_above(progress, before)) {
            CHECK(!"a signal did not wake the loop");
            return;
        }
    }
}

static void aim_at_runner(bool stops, bool wakes)
{
    struct crew runner;
    double began = crew_now_s();
    begin(stops, wakes);
    field.rounds = crew_size("GYRE_STRESS_SIGNALS", 50000, 5000);
    crew_start(&runner, 1, run_again_and_again, NULL);
    /* The thread sanitizer drops a signal to a thread that it has not yet seen begin. */
    if (CHECK(crew_wait(has_begun, NULL)))
        signal_and_see(runner.members[0].thread);
    atomic_store_explicit(&field.over, true, memory_order_release);
    gyre_loop_stop(field.loop);
    crew_join(&runner);
    plain_note("%llu signals in %.2f s", (unsigned long long)field.rounds, crew_now_s() - began);
    finish();
}

static void T68_a_stop_just_before_the_poll_ends_the_run(void)
{
    aim_at_runner(true, false);
}

static void T68_a_wake_just_before_the_poll_has_the_loop_turn(void)
{
    aim_at_runner(false, true);
}

/* ---- at every instruction -------------------------------------------------------------------- */

/*
 * The processor's trap flag has the thread take SIGTRAP after each instruction. A round acts at the
 * n-th one after its begin, so that stop, or wake, is called between two given instructions from
 * before run to the poll of its second turn, inside the C library too. The first round counts; the
 * others are spread over all instructions by chance, as many as GYRE_STRESS_TRAPS allows. A
 * watcher, on a thread of its own, says what has become of a round: a signal to the runner would
 * itself interrupt the poll, and hide what was lost.
 */
#if defined(__x86_64__) && defined(__linux__)
#define CAN_STEP true
#else
#define CAN_STEP false
#define REG_EFL 0
#endif

enum {
    TRAP_FLAG = 0x100,
    LOST_S = 10
};

static struct {
    struct gyre_task hop; /* so that the first turn does not sleep */
    bool hops;
    bool settled;
    _Atomic uint64_t target; /* the step to act at, 0: none */
    uint64_t last; /* steps of the last round */
    _Atomic uint64_t steps;
    _Atomic uint64_t round; /* that the runner is in */
    _Atomic bool stepping;
    _Atomic bool acted;
    _Atomic bool lost;
} sweep;

static int hop(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    bool again = status == 0 && sweep.hops;
    sweep.hops = false;
    return again ? gyre_loop_post(loop, &sweep.hop) : 0;
}

static void act(void)
{
    int saved = errno;
    errno = SENTINEL;
    if (field.wakes) {
        atomic_fetch_add_explicit(&observer.asked, 1, memory_order_relaxed);
        gyre_loop_wake(field.loop);
    } else {
        gyre_loop_stop(field.loop);
    }
    if (errno != SENTINEL)
        atomic_fetch_add_explicit(&field.spoiled, 1, memory_order_relaxed);
    errno = saved;
    atomic_fetch_add_explicit(&field.handled, 1, memory_order_relaxed);
    atomic_store_explicit(&sweep.acted, true, memory_order_release);
}

static void on_step(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)info;
    if (atomic_load_explicit(&sweep.stepping, memory_order_relaxed)) {
        uint64_t steps = atomic_fetch_add_explicit(&sweep.steps, 1, memory_order_relaxed) + 1;
        if (steps == atomic_load_explicit(&sweep.target, memory_order_relaxed)) {
            act();
            atomic_store_explicit(&sweep.stepping, false, memory_order_relaxed);
        }
    }
#if CAN_STEP
    greg_t *flags = &((ucontext_t *)context)->uc_mcontext.gregs[REG_EFL];
    if (atomic_load_explicit(&sweep.stepping, memory_order_relaxed))
        *flags |= TRAP_FLAG;
    else
        *flags &= ~(greg_t)TRAP_FLAG;
#else
    (void)context;
#endif
}

static bool wake_is_seen(void)
{
    return field.wakes && atomic_load_explicit(&observer.seen, memory_order_relaxed) ==
                              atomic_load_explicit(&observer.asked, memory_order_relaxed);
}

/* Watches one round. Ends it if it does not end by itself. */
static void watch_round(uint64_t round)
{
    bool counts = atomic_load_explicit(&sweep.target, memory_order_relaxed) == 0;
    double patience = counts ? 0.5 : 0.1;
    uint64_t steps = 0;
    double since = crew_now_s();
    while (atomic_load_explicit(&sweep.round, memory_order_acquire) == round) {
        uint64_t now = atomic_load_explicit(&sweep.steps, memory_order_relaxed);
        bool acted = atomic_load_explicit(&sweep.acted, memory_order_acquire);
        double waited = crew_now_s() - since;
        if (now != steps) {
            steps = now;
            since = crew_now_s();
        } else if (acted && wake_is_seen()) {
            gyre_loop_stop(field.loop);
        } else if (acted && waited > LOST_S) {
            atomic_store_explicit(&sweep.lost, true, memory_order_relaxed);
            gyre_loop_stop(field.loop);
        } else if (!acted && waited > patience) {
            /* It sleeps; or the machine is busy, and a round is in vain. */
            atomic_store_explicit(&sweep.stepping, false, memory_order_relaxed);
            gyre_loop_stop(field.loop);
        }
        sched_yield();
    }
}

static void watch(unsigned me, void *arg)
{
    (void)me;
    (void)arg;
    while (!atomic_load_explicit(&field.over, memory_order_relaxed)) {
        uint64_t round = atomic_load_explicit(&sweep.round, memory_order_acquire);
        if (round % 2 != 0)
            watch_round(round);
        sched_yield();
    }
}

static int settle(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    CHECK_EQ(status, 0);
    sweep.settled = true;
    return gyre_loop_stop(loop);
}

/* One round, inside which `round` is odd. All begin in one state, so that one number of steps is
 * one instruction: the last round, and its watcher's late stop, may have left something. */
static void step_round(void)
{
    struct gyre_task end;
    gyre_task_init(&end, settle, NULL);
    sweep.hops = false;
    sweep.settled = false;
    CHECK_EQ(gyre_loop_post(field.loop, &end), 0);
    while (!sweep.settled)
        CHECK_EQ(gyre_loop_run(field.loop), 0);

    atomic_store_explicit(&sweep.steps, 0, memory_order_relaxed);
    atomic_store_explicit(&sweep.acted, false, memory_order_relaxed);
    sweep.hops = true;
    CHECK_EQ(gyre_loop_post(field.loop, &sweep.hop), 0);
    atomic_fetch_add_explicit(&sweep.round, 1, memory_order_release);
    atomic_store_explicit(&sweep.stepping, true, memory_order_relaxed);
    raise(SIGTRAP);
    int r = gyre_loop_run(field.loop);
    atomic_store_explicit(&sweep.stepping, false, memory_order_relaxed);
    atomic_fetch_add_explicit(&sweep.round, 1, memory_order_release);
    sweep.last = atomic_load_explicit(&sweep.steps, memory_order_relaxed);
    CHECK_EQ(r, 0);
}

static uint64_t step_all_rounds(void)
{
    uint64_t traps = crew_size("GYRE_STRESS_TRAPS", 200000, 0);
    uint64_t chance = crew_seed();
    uint64_t all = 0;
    /* Never: these count until the loop sleeps. The linker's lazy work is in the first. */
    atomic_store_explicit(&sweep.target, 0, memory_order_relaxed);
    step_round();
    for (unsigned i = 0; i < 2; i++) {
        step_round();
        all = sweep.last > all ? sweep.last : all;
    }
    CHECK_GE(all, 300); /* a run has that many, or it was not stepped */
    uint64_t rounds = all == 0 ? 0 : traps * 2 / all;
    rounds = rounds < all ? rounds : all;
    plain_note("%llu instructions", (unsigned long long)all);
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t from = all * i / rounds;
        uint64_t span = all * (i + 1) / rounds - from;
        uint64_t target = from + 1 + crew_random(&chance) % span;
        atomic_store_explicit(&sweep.target, target, memory_order_relaxed);
        step_round();
        if (!CHECK(!atomic_load_explicit(&sweep.lost, memory_order_relaxed))) {
            plain_note("lost at instruction %llu", (unsigned long long)target);
            return i;
        }
    }
    return rounds;
}

static void act_at_every_instruction(bool wakes)
{
    struct sigaction action = {.sa_sigaction = on_step, .sa_flags = SA_SIGINFO};
    struct crew watcher;
    double began = crew_now_s();
    sigemptyset(&action.sa_mask);
    begin(!wakes, wakes);
    gyre_task_init(&sweep.hop, hop, NULL);
    atomic_store_explicit(&sweep.round, 0, memory_order_relaxed);
    atomic_store_explicit(&sweep.lost, false, memory_order_relaxed);
    CHECK_EQ(sigaction(SIGTRAP, &action, NULL), 0);
    crew_start(&watcher, 1, watch, NULL);
    uint64_t rounds = step_all_rounds();
    atomic_store_explicit(&field.over, true, memory_order_relaxed);
    crew_join(&watcher);
    plain_note("in %llu rounds, %.2f s", (unsigned long long)rounds, crew_now_s() - began);
    finish();
    signal(SIGTRAP, SIG_DFL);
}

static void T68_a_stop_at_any_instruction_ends_the_run(void)
{
    if (!CAN_STEP || plain_tsan())
        PLAIN_SKIP("needs the trap flag of x86-64, and code that no sanitizer of threads spreads");
    act_at_every_instruction(false);
}

static void T68_a_wake_at_any_instruction_has_the_loop_turn(void)
{
    if (!CAN_STEP || plain_tsan())
        PLAIN_SKIP("needs the trap flag of x86-64, and code that no sanitizer of threads spreads");
    act_at_every_instruction(true);
}

/* ---- at anybody ------------------------------------------------------------------------------ */

static struct {
    _Atomic uint64_t posted;
    uint64_t next[POSTERS]; /* the loop's */
    _Atomic uint64_t run;
} row;

static int arrive(struct gyre_loop *loop, int status, void *arg)
{
    uint64_t word = (uintptr_t)arg;
    (void)loop;
    if (status != 0 || row.next[word >> 48] != (word & 0xffffffffffff))
        CHECK(!"cancelled, lost or out of order");
    row.next[word >> 48]++;
    atomic_fetch_add_explicit(&row.run, 1, memory_order_relaxed);
    return 0;
}

static void post_all(unsigned me, void *arg)
{
    (void)arg;
    for (uint64_t i = 0; i < field.rounds; i++) {
        void *word = (void *)(uintptr_t)((uint64_t)me << 48 | i);
        while (atomic_load_explicit(&row.posted, memory_order_relaxed) -
                   atomic_load_explicit(&row.run, memory_order_relaxed) >
               10000)
            sched_yield();
        if (gyre_loop_add_callback(field.loop, arrive, word) != 0)
            CHECK(!"a post was refused");
        atomic_fetch_add_explicit(&row.posted, 1, memory_order_relaxed);
    }
}

/* Handlers stop and wake in the middle of posts, and of the loop, on whatever thread. */
static void signals_amid_posts_lock_and_lose_nothing(void)
{
    struct crew runner;
    struct crew posters;
    begin(true, true);
    field.rounds = crew_size("GYRE_STRESS_AMID", 500000, 50000);
    atomic_store_explicit(&row.posted, 0, memory_order_relaxed);
    atomic_store_explicit(&row.run, 0, memory_order_relaxed);
    for (unsigned i = 0; i < POSTERS; i++)
        row.next[i] = 0;
    crew_start(&runner, 1, run_again_and_again, NULL);
    alarm_every(50);
    crew_start(&posters, POSTERS, post_all, NULL);
    crew_join(&posters);
    alarm_every(0);
    CHECK(crew_wait_above(&row.run, POSTERS * field.rounds - 1));
    atomic_store_explicit(&field.over, true, memory_order_release);
    gyre_loop_stop(field.loop);
    crew_join(&runner);
    CHECK_EQ(atomic_load_explicit(&row.run, memory_order_relaxed), POSTERS * field.rounds);
    plain_note("%llu posts amid %llu signals, %llu runs",
               (unsigned long long)atomic_load_explicit(&row.run, memory_order_relaxed),
               (unsigned long long)atomic_load_explicit(&field.handled, memory_order_relaxed),
               (unsigned long long)atomic_load_explicit(&field.runs, memory_order_relaxed));
    finish();
}

static const struct plain_case cases[] = {
    PLAIN_CASE(stops_by_a_timer_signal_end_each_run),
    PLAIN_CASE(T68_a_stop_just_before_the_poll_ends_the_run),
    PLAIN_CASE(T68_a_wake_just_before_the_poll_has_the_loop_turn),
    PLAIN_CASE(T68_a_stop_at_any_instruction_ends_the_run),
    PLAIN_CASE(T68_a_wake_at_any_instruction_has_the_loop_turn),
    PLAIN_CASE(signals_amid_posts_lock_and_lose_nothing),
};
PLAIN_MAIN(cases)
