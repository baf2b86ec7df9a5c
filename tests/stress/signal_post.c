/* SPDX-License-Identifier: MIT */
/*
 * signal_post - what signal handlers bring to a loop, under a storm of signals: callbacks
 * (gyre_loop_add_callback_from_signal) and watched signals, while posting, running, adding and
 * removing watchers, and closing go on. Rules T58, T67, T68.
 *
 * The storm is a timer of the process's (timer_create) every 50 us, for all threads that do not
 * block it, so that it interrupts the posters in the middle of a post and the runner in the middle
 * of a turn. The thread sanitizer holds signals back until a thread is about to block, and so sees
 * the handlers' accesses, but few of the moments; the other builds have these.
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <time.h>

#include <gyre/gyre.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    SENTINEL = 4711,
    STORM_US = 50,
    POSTERS = 2
};

static struct {
    struct gyre_loop *_Atomic loop;
    _Atomic uint64_t handled; /* signals */
    _Atomic uint64_t accepted;
    _Atomic uint64_t again; /* -EAGAIN */
    _Atomic uint64_t refused; /* -ESHUTDOWN */
    _Atomic uint64_t other; /* results that should not be */
    _Atomic uint64_t spoiled; /* errno was changed */
    _Atomic uint64_t run; /* callbacks of handlers */
    _Atomic uint64_t cancelled;
    _Atomic uint64_t posted; /* by the posters */
    _Atomic uint64_t ran; /* callbacks of posters */
    _Atomic bool over;
} field;

static void add(_Atomic uint64_t *word)
{
    atomic_fetch_add_explicit(word, 1, memory_order_relaxed);
}

static uint64_t read_word(_Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static int count_signal_call(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    add(status == 0 ? &field.run : &field.cancelled);
    return 0;
}

static void on_storm(int signo)
{
    int before = errno;
    (void)signo;
    errno = SENTINEL;
    struct gyre_loop *loop = atomic_load_explicit(&field.loop, memory_order_acquire);
    int r = gyre_loop_add_callback_from_signal(loop, count_signal_call, NULL);
    if (errno != SENTINEL)
        add(&field.spoiled);
    if (r == 0)
        add(&field.accepted);
    else
        add(r == -EAGAIN ? &field.again : r == -ESHUTDOWN ? &field.refused : &field.other);
    add(&field.handled);
    errno = before;
}

static timer_t storm;

static void begin_storm(int signo)
{
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = signo};
    struct itimerspec interval = {.it_interval.tv_nsec = STORM_US * 1000,
                                  .it_value.tv_nsec = STORM_US * 1000};
    CHECK_EQ(timer_create(CLOCK_MONOTONIC, &event, &storm), 0);
    CHECK_EQ(timer_settime(storm, 0, &interval, NULL), 0);
}

static void end_storm(void)
{
    CHECK_EQ(timer_delete(storm), 0);
}

static void begin_field(void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    CHECK_EQ(sigemptyset(&action.sa_mask), 0);
    _Atomic uint64_t *words[] = {&field.handled, &field.accepted, &field.again, &field.refused,
                                 &field.other,   &field.spoiled,  &field.run,   &field.cancelled,
                                 &field.posted,  &field.ran};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        atomic_store_explicit(words[i], 0, memory_order_relaxed);
    atomic_store_explicit(&field.over, false, memory_order_relaxed);
    atomic_store_explicit(&field.loop, crew_loop_make(0), memory_order_release);
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
}

/* The loop is still there: the sanitizer may hold a signal back until now. */
static void end_field(struct gyre_loop *loop)
{
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    CHECK_EQ(read_word(&field.spoiled), 0);
    CHECK_EQ(read_word(&field.other), 0);
    CHECK_NE(read_word(&field.handled), 0);
    gyre_loop_destroy(loop);
}

/* ---- callbacks of handlers ------------------------------------------------------------------- */

static int count_post(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    add(&field.ran);
    return 0;
}

static void post_on(unsigned me, void *arg)
{
    uint64_t count = *(const uint64_t *)arg;
    struct gyre_loop *loop = atomic_load_explicit(&field.loop, memory_order_acquire);
    (void)me;
    for (uint64_t i = 0; i < count; i++) {
        errno = SENTINEL;
        if (gyre_loop_add_callback(loop, count_post, NULL) == 0)
            add(&field.posted);
        if (errno != SENTINEL)
            add(&field.spoiled);
    }
}

static void storm_loses_nothing_while_threads_post(void)
{
    uint64_t count = crew_size("GYRE_STRESS_SIGNAL_POSTS", 1000000, 100000);
    struct crew posters;
    struct crew_loop runner;
    begin_field(on_storm);
    struct gyre_loop *loop = atomic_load_explicit(&field.loop, memory_order_acquire);
    crew_loop_run(&runner, loop);
    begin_storm(SIGALRM);
    crew_start(&posters, POSTERS, post_on, &count);
    crew_join(&posters);
    CHECK(crew_wait_above(&field.handled, 100));
    end_storm();
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR); /* what comes late is no callback */
    crew_loop_end(&runner); /* behind all that was added */
    CHECK_EQ(read_word(&field.ran), POSTERS * count);
    CHECK_EQ(read_word(&field.posted), POSTERS * count);
    CHECK_EQ(read_word(&field.run), read_word(&field.accepted));
    CHECK_EQ(read_word(&field.cancelled), 0);
    plain_note("%llu signals, %llu callbacks of theirs, %llu times no node",
               (unsigned long long)read_word(&field.handled),
               (unsigned long long)read_word(&field.run),
               (unsigned long long)read_word(&field.again));
    end_field(loop);
}

static int spin_a_while(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    if (status == 0)
        crew_spin(20000); /* longer than the storm's pause, so that nodes run short */
    return 0;
}

/* The runner is the only thread there is: the storm can interrupt nothing else. */
static void storm_loses_nothing_while_its_thread_runs_the_loop(void)
{
    uint64_t rounds = crew_size("GYRE_STRESS_SIGNAL_ROUNDS", 20000, 2000);
    begin_field(on_storm);
    struct gyre_loop *loop = atomic_load_explicit(&field.loop, memory_order_acquire);
    begin_storm(SIGALRM);
    for (uint64_t i = 0; i < rounds; i++) {
        if (i % 16 == 0)
            CHECK_EQ(gyre_loop_add_callback(loop, spin_a_while, NULL), 0);
        CHECK_EQ(gyre_loop_run_once(loop), 0);
    }
    end_storm();
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_EQ(read_word(&field.run), read_word(&field.accepted));
    plain_note("%llu signals, %llu callbacks of theirs",
               (unsigned long long)read_word(&field.handled),
               (unsigned long long)read_word(&field.run));
    end_field(loop);
}

/* Loops close while handlers add to them: each callback is run, cancelled or refused. */
static void storm_across_closes_loses_nothing(void)
{
    uint64_t rounds = crew_size("GYRE_STRESS_SIGNAL_CLOSES", 3000, 300);
    begin_field(on_storm);
    struct gyre_loop *loop = atomic_load_explicit(&field.loop, memory_order_acquire);
    begin_storm(SIGALRM);
    for (uint64_t i = 0; i < rounds; i++) {
        crew_spin(2000);
        CHECK_EQ(gyre_loop_run_once(loop), 0);
        CHECK_EQ(gyre_loop_close(loop, 0), 0);
        crew_spin(2000);
        struct gyre_loop *next = crew_loop_make(0);
        /* No handler can be in the middle of using the old one: this thread is the only one. */
        atomic_store_explicit(&field.loop, next, memory_order_release);
        gyre_loop_destroy(loop);
        loop = next;
    }
    end_storm();
    CHECK(signal(SIGALRM, SIG_IGN) != SIG_ERR);
    CHECK_EQ(gyre_loop_close(loop, 0), 0);
    CHECK_EQ(read_word(&field.run) + read_word(&field.cancelled), read_word(&field.accepted));
    end_field(loop);
}

/* ---- watchers -------------------------------------------------------------------------------- */

struct watching {
    struct crew_loop runner;
    uint64_t calls;
    uint64_t adds;
    struct gyre_timer timer;
    bool on;
};

static int count_watch(struct gyre_loop *loop, int signo, void *arg)
{
    struct watching *watching = arg;
    (void)loop;
    (void)signo;
    watching->calls++;
    return 0;
}

/* Adds or removes the watcher, again and again, with a turn or a little time in between. */
static int toggle(struct gyre_loop *loop, int status, void *arg)
{
    struct watching *watching = arg;
    if (status != 0)
        return 0;
    watching->on = !watching->on;
    int r = watching->on ? gyre_loop_add_signal(loop, SIGALRM, count_watch, watching)
                         : gyre_loop_remove_signal(loop, SIGALRM);
    CHECK_EQ(r, 0);
    watching->adds += watching->on;
    uint64_t pause_ns = watching->adds % 8 == 0 ? 100000 : 0;
    return gyre_timer_start(&watching->timer, gyre_loop_now_ns(loop) + pause_ns);
}

static void count_handled(int signo)
{
    (void)signo;
    add(&field.handled);
}

static void watchers_come_and_go_in_a_storm(void)
{
    uint64_t signals = crew_size("GYRE_STRESS_SIGNAL_WATCHED", 20000, 2000);
    static struct watching watchings[2];
    begin_field(count_handled); /* is chained to, all the time */
    struct gyre_loop *loop = atomic_load_explicit(&field.loop, memory_order_acquire);
    struct watching steady = {.on = true};
    CHECK_EQ(gyre_loop_add_signal(loop, SIGALRM, count_watch, &steady), 0);
    for (int i = 0; i < 2; i++) {
        struct gyre_loop *its = crew_loop_make(0);
        watchings[i] = (struct watching){.on = false};
        gyre_timer_init(&watchings[i].timer, its, toggle, &watchings[i]);
        CHECK_EQ(gyre_timer_start(&watchings[i].timer, 0), 0);
        crew_loop_run(&watchings[i].runner, its);
    }
    begin_storm(SIGALRM);
    CHECK(crew_wait_above(&field.handled, signals));
    end_storm();
    for (int i = 0; i < 2; i++) {
        crew_loop_end(&watchings[i].runner);
        CHECK_NE(watchings[i].adds, 0);
        gyre_loop_destroy(watchings[i].runner.loop);
    }
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_GE(steady.calls, 1);
    CHECK_EQ(raise(SIGALRM), 0);
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_GE(steady.calls, 2); /* it has not got stuck */
    plain_note("%llu signals, %llu and %llu adds, %llu and %llu calls",
               (unsigned long long)read_word(&field.handled), (unsigned long long)watchings[0].adds,
               (unsigned long long)watchings[1].adds, (unsigned long long)watchings[0].calls,
               (unsigned long long)watchings[1].calls);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGALRM), 0);
    struct sigaction now;
    CHECK_EQ(sigaction(SIGALRM, NULL, &now), 0);
    CHECK(now.sa_handler == count_handled); /* put back */
    end_field(loop);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(storm_loses_nothing_while_threads_post),
    PLAIN_CASE(storm_loses_nothing_while_its_thread_runs_the_loop),
    PLAIN_CASE(storm_across_closes_loses_nothing),
    PLAIN_CASE(watchers_come_and_go_in_a_storm),
};

PLAIN_MAIN(cases)
