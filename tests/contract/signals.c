/* SPDX-License-Identifier: MIT */
/*
 * signals - rules T58, T67, T68 and T108: callbacks from signal handlers, and signals as calls.
 *
 * A plain program, since it gets signals. raise(3) delivers before it returns, so that nothing here
 * waits; under the thread sanitizer a signal is delivered at the next call that may block.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "harness/plain.h"

static struct gyre_loop *make_loop(void)
{
    struct gyre_loop *loop = NULL;
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.backend = plain_backend();
    options.waker = plain_waker();
    options.make_current = GYRE_CURRENT_NO;
    CHECK_EQ(gyre_loop_create(&options, &loop), 0);
    return loop;
}

/* Runs what is queued now, and what that adds, for so many turns. */
static void turn(struct gyre_loop *loop, int turns)
{
    while (turns-- > 0)
        CHECK_EQ(gyre_loop_run_once(loop), 0);
}

static void send(int signo)
{
    CHECK_EQ(raise(signo), 0);
    (void)poll(NULL, 0, 0); /* a call that the sanitizer delivers at */
}

static int stop(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    (void)arg;
    return gyre_loop_stop(loop);
}

/* ---- from a signal handler ------------------------------------------------------------------- */

enum {
    NODES = 64
};

static struct {
    struct gyre_loop *loop;
    unsigned adds; /* of one signal */
    int last; /* result */
    unsigned accepted;
    int errno_after;
    unsigned run;
    unsigned cancelled;
    unsigned in_context; /* calls that were in some context */
    unsigned order_errors;
} field;

static int count_run(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    field.order_errors += (uintptr_t)arg != field.run + field.cancelled;
    if (status == 0)
        field.run++;
    else
        field.cancelled++;
    field.in_context += gyre_context_current() != NULL;
    return 0;
}

static void add_from_handler(int signo)
{
    int before = errno;
    (void)signo;
    errno = 4711;
    for (unsigned i = 0; i < field.adds; i++) {
        field.last = gyre_loop_add_callback_from_signal(field.loop, count_run,
                                                        (void *)(uintptr_t)field.accepted);
        field.accepted += field.last == 0;
    }
    field.errno_after = errno;
    errno = before;
}

static void begin_field(unsigned adds)
{
    struct sigaction action = {.sa_handler = add_from_handler};
    memset(&field, 0, sizeof(field));
    field.loop = make_loop();
    field.adds = adds;
    CHECK_EQ(sigemptyset(&action.sa_mask), 0);
    CHECK_EQ(sigaction(SIGUSR1, &action, NULL), 0);
}

static void end_field(void)
{
    CHECK(signal(SIGUSR1, SIG_DFL) == add_from_handler); /* nobody has overwritten it */
    gyre_loop_destroy(field.loop);
}

static void T58_callback_of_a_signal_handler_runs_once(void)
{
    begin_field(3);
    send(SIGUSR1);
    CHECK_EQ(field.accepted, 3);
    CHECK_EQ(field.run, 0);
    CHECK_EQ(field.errno_after, 4711);
    turn(field.loop, 3);
    CHECK_EQ(field.run, 3);
    CHECK_EQ(field.order_errors, 0);
    end_field();
}

static void T58_nodes_that_are_used_up_are_eagain_and_come_back(void)
{
    begin_field(NODES + 5);
    for (int i = 0; i < 3; i++) {
        field.accepted = 0;
        field.run = 0;
        send(SIGUSR1);
        CHECK_EQ(field.accepted, NODES);
        CHECK_EQ(field.last, -EAGAIN);
        turn(field.loop, 2);
        CHECK_EQ(field.run, NODES);
        CHECK_EQ(field.order_errors, 0);
    }
    end_field();
}

static void T58_close_cancels_and_later_ones_are_refused(void)
{
    begin_field(2);
    send(SIGUSR1);
    CHECK_EQ(gyre_loop_close(field.loop, 0), 0);
    CHECK_EQ(field.cancelled, 2);
    CHECK_EQ(field.run, 0);
    send(SIGUSR1);
    CHECK_EQ(field.last, -ESHUTDOWN);
    CHECK_EQ(gyre_loop_add_callback_from_signal(field.loop, NULL, NULL), -EINVAL);
    end_field();
}

static int raise_inside(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    if (status == 0)
        send(SIGUSR1);
    return 0;
}

static void T67_handler_may_interrupt_the_loops_own_thread_in_a_context(void)
{
    struct gyre_context *context = NULL;
    begin_field(1);
    CHECK_EQ(gyre_context_create(NULL, NULL, &context), 0);
    (void)gyre_context_enter(context);
    CHECK_EQ(gyre_loop_add_callback(field.loop, raise_inside, NULL), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(context);
    turn(field.loop, 3);
    CHECK_EQ(field.run, 1);
    CHECK_EQ(field.in_context, 0); /* T108 */
    end_field();
}

static void *interrupt_sleeper(void *arg)
{
    struct gyre_loop_stats stats = {0};
    for (unsigned i = 0; stats.sleeps == 0 && i < 10000; i++) {
        gyre_loop_stats(field.loop, &stats);
        (void)poll(NULL, 0, 1);
    }
    (void)arg;
    add_from_handler(SIGUSR1); /* as a handler on this thread would */
    field.last = gyre_loop_add_callback_from_signal(field.loop, stop, NULL);
    return NULL;
}

static void T67_sleeping_loop_wakes(void)
{
    pthread_t thread;
    begin_field(1);
    CHECK_EQ(pthread_create(&thread, NULL, interrupt_sleeper, NULL), 0);
    CHECK_EQ(gyre_loop_run(field.loop), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(field.last, 0);
    CHECK_EQ(field.run, 1);
    end_field();
}

/* ---- watching -------------------------------------------------------------------------------- */

struct watch {
    unsigned calls;
    unsigned in_context; /* calls that were in some context */
    int signo;
    int result;
    bool removes; /* itself */
    bool leaves; /* its context */
};

static int count_signal(struct gyre_loop *loop, int signo, void *arg)
{
    struct watch *watch = arg;
    watch->calls++;
    watch->in_context += gyre_context_current() != NULL;
    watch->signo = signo;
    if (watch->removes)
        CHECK_EQ(gyre_loop_remove_signal(loop, signo), 0);
    if (watch->leaves)
        (void)gyre_context_enter(NULL);
    return watch->result;
}

static volatile sig_atomic_t chained;
static volatile sig_atomic_t chained_signo;

static void count_chained(int signo)
{
    chained++;
    chained_signo = signo;
}

static void count_chained_info(int signo, siginfo_t *info, void *machine)
{
    (void)machine;
    if (info != NULL && info->si_signo == signo)
        count_chained(signo);
}

static void T68_watched_signal_is_a_call_on_the_loop(void)
{
    struct gyre_loop *loop = make_loop();
    struct watch watch = {0};
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    send(SIGUSR2);
    CHECK_EQ(watch.calls, 0); /* not inside the handler */
    turn(loop, 1);
    CHECK_EQ(watch.calls, 1);
    CHECK_EQ(watch.signo, SIGUSR2);
    send(SIGUSR2);
    send(SIGUSR2); /* before the call for the first */
    turn(loop, 2);
    CHECK_EQ(watch.calls, 2);
    gyre_loop_destroy(loop);
}

static void T68_several_loops_may_watch_one_signal(void)
{
    struct gyre_loop *loops[3];
    struct watch watches[3] = {{0}};
    for (int i = 0; i < 3; i++) {
        loops[i] = make_loop();
        CHECK_EQ(gyre_loop_add_signal(loops[i], SIGUSR2, count_signal, &watches[i]), 0);
        CHECK_EQ(gyre_loop_add_signal(loops[i], SIGUSR2, count_signal, &watches[i]), -EEXIST);
    }
    send(SIGUSR2);
    CHECK_EQ(gyre_loop_remove_signal(loops[0], SIGUSR2), 0); /* its call was on the way */
    for (int i = 0; i < 3; i++)
        turn(loops[i], 2);
    CHECK_EQ(watches[0].calls, 0);
    CHECK_EQ(watches[1].calls, 1);
    CHECK_EQ(watches[2].calls, 1);
    gyre_loop_destroy(loops[1]); /* removes its watcher */
    send(SIGUSR2);
    turn(loops[2], 2);
    CHECK_EQ(watches[1].calls, 1);
    CHECK_EQ(watches[2].calls, 2);
    gyre_loop_destroy(loops[0]);
    gyre_loop_destroy(loops[2]);
}

static bool is_installed(int signo, void (*handler)(int))
{
    struct sigaction now;
    return sigaction(signo, NULL, &now) == 0 && now.sa_handler == handler;
}

static void T68_handler_that_was_there_is_chained_and_put_back(void)
{
    struct gyre_loop *loop = make_loop();
    struct gyre_loop *other = make_loop();
    struct watch watch = {0};
    struct sigaction action = {.sa_sigaction = count_chained_info, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigemptyset(&action.sa_mask), 0);
    chained = 0;
    CHECK(signal(SIGUSR2, count_chained) != SIG_ERR);
    CHECK_EQ(sigaction(SIGALRM, &action, NULL), 0);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGALRM, count_signal, &watch), 0);
    CHECK_EQ(gyre_loop_add_signal(other, SIGUSR2, count_signal, &watch), 0);
    send(SIGUSR2);
    CHECK_EQ(chained, 1);
    CHECK_EQ(chained_signo, SIGUSR2);
    send(SIGALRM);
    CHECK_EQ(chained, 2);
    CHECK_EQ(chained_signo, SIGALRM);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 2);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    CHECK(!is_installed(SIGUSR2, count_chained)); /* the other loop still watches */
    gyre_loop_destroy(other);
    CHECK(is_installed(SIGUSR2, count_chained));
    gyre_loop_destroy(loop);
    CHECK(is_installed(SIGALRM, (void (*)(int))(uintptr_t)count_chained_info));
    CHECK(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
    CHECK(signal(SIGALRM, SIG_DFL) != SIG_ERR);
}

static void check_not_called_down(struct gyre_loop *loop, void (*action_of_old)(int))
{
    struct watch watch = {0};
    struct sigaction action = {.sa_handler = action_of_old, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigemptyset(&action.sa_mask), 0);
    CHECK_EQ(sigaction(SIGUSR2, &action, NULL), 0);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 1);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    CHECK(is_installed(SIGUSR2, action_of_old));
}

/* The system takes it for what it is, whatever the flag says. */
static void T68_default_and_ignored_are_no_functions_with_siginfo_either(void)
{
    struct gyre_loop *loop = make_loop();
    check_not_called_down(loop, SIG_DFL);
    check_not_called_down(loop, SIG_IGN);
    CHECK(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
    gyre_loop_destroy(loop);
}

static struct sigaction below; /* what `over` has found installed */

static void over(int signo, siginfo_t *info, void *machine)
{
    below.sa_sigaction(signo, info, machine);
}

static void T68_handler_that_was_installed_over_it_stays(void)
{
    struct gyre_loop *loop = make_loop();
    struct watch watch = {0};
    struct sigaction action = {.sa_sigaction = over, .sa_flags = SA_SIGINFO};
    CHECK_EQ(sigemptyset(&action.sa_mask), 0);
    chained = 0;
    CHECK(signal(SIGUSR2, count_chained) != SIG_ERR);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    CHECK_EQ(sigaction(SIGUSR2, &action, &below), 0);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 1);
    CHECK_EQ(chained, 1);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 1);
    CHECK_EQ(chained, 2); /* it is still handed down */
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 2);
    CHECK_EQ(chained, 3); /* once: not in a circle */
    CHECK_EQ(sigaction(SIGUSR2, &below, NULL), 0); /* who came over it leaves */
    gyre_loop_destroy(loop);
    CHECK(is_installed(SIGUSR2, count_chained));
    CHECK(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
}

static void T68_watcher_may_remove_itself_and_be_added_again(void)
{
    struct gyre_loop *loop = make_loop();
    struct watch watch = {.removes = true};
    for (unsigned i = 1; i <= 3; i++) {
        CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
        send(SIGUSR2);
        turn(loop, 2);
        CHECK_EQ(watch.calls, i);
        CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), -ENOENT);
    }
    watch.removes = false;
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    send(SIGUSR2); /* on the way when it is removed, and again when it is added */
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 3);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 4);
    gyre_loop_destroy(loop);
}

static long blocks; /* of the library's that are in use */
static bool signals_on_release; /* the next release of memory has SIGUSR2 come */

static void *allocate(size_t bytes, void *arg)
{
    (void)arg;
    blocks++;
    return malloc(bytes);
}

static void release(void *memory, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    blocks--;
    free(memory);
    if (signals_on_release)
        send(SIGUSR2);
    signals_on_release = false;
}

/* The loop's door has closed. */
static int signal_then_remove(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    CHECK_EQ(status, -ECANCELED);
    send(SIGUSR2);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    return 0;
}

/* The first case, since it sets the allocator. */
static void T68_watcher_removed_in_a_close_is_used_again(void)
{
    struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    struct watch watch = {0};
    long kept = 0;
    uint64_t handle;
    CHECK_EQ(gyre_set_allocator(&allocator), 0);
    for (int i = 0; i < 3; i++) {
        struct gyre_loop *loop = make_loop();
        CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
        /* No callback: a thread keeps its lane for a while. */
        CHECK_EQ(gyre_loop_call_at(loop, UINT64_MAX, &handle, signal_then_remove, NULL), 0);
        gyre_loop_destroy(loop);
        if (i == 0)
            kept = blocks; /* the watcher, for good */
    }
    CHECK_EQ(blocks, kept);
    CHECK_EQ(watch.calls, 0);
}

/* The library's handler is there, so that nobody else can get the signal. The second case, since it
 * sets the allocator, should the first not have. */
static void T68_signal_that_comes_while_it_is_added_is_a_call(void)
{
    struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    struct watch watch = {0};
    (void)gyre_set_allocator(&allocator); /* refused if it is set already */
    struct gyre_loop *loop = make_loop();
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    signals_on_release = true; /* the next add has a watcher to use again, and frees its own */
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    CHECK(!signals_on_release);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 1);
    gyre_loop_destroy(loop);
}

static void T68_add_installs_the_handler_again_where_it_was_reset(void)
{
    struct gyre_loop *first = make_loop();
    struct gyre_loop *second = make_loop();
    struct watch watches[2] = {{0}};
    CHECK_EQ(gyre_loop_add_signal(first, SIGUSR2, count_signal, &watches[0]), 0);
    CHECK(signal(SIGUSR2, SIG_IGN) != SIG_ERR);
    CHECK_EQ(gyre_loop_add_signal(second, SIGUSR2, count_signal, &watches[1]), 0);
    send(SIGUSR2);
    turn(first, 2);
    turn(second, 2);
    CHECK_EQ(watches[0].calls, 1);
    CHECK_EQ(watches[1].calls, 1);
    gyre_loop_destroy(first);
    gyre_loop_destroy(second);
    CHECK(is_installed(SIGUSR2, SIG_IGN)); /* as the second had found it */
    CHECK(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
}

static void T68_what_cannot_be_watched_is_refused(void)
{
    static const int bad[] = {0,       -1,      128,    100000, SIGKILL,
                              SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    struct gyre_loop *loop = make_loop();
    struct watch watch = {0};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        CHECK_EQ(gyre_loop_add_signal(loop, bad[i], count_signal, &watch), -EINVAL);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, NULL, &watch), -EINVAL);
    CHECK_EQ(gyre_loop_remove_signal(loop, 12345), -ENOENT);
    CHECK_EQ(gyre_loop_close(loop, 0), 0);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), -ESHUTDOWN);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), -ENOENT);
    gyre_loop_destroy(loop);
}

static void T68_library_that_puts_our_handler_back_makes_no_ring(void)
{
    struct gyre_loop *loop = make_loop();
    struct watch watch = {0};
    struct sigaction found;
    chained = 0;
    CHECK(signal(SIGUSR2, count_chained) != SIG_ERR);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    CHECK_EQ(sigaction(SIGUSR2, NULL, &found), 0);
    CHECK_EQ(gyre_loop_remove_signal(loop, SIGUSR2), 0);
    CHECK_EQ(sigaction(SIGUSR2, &found, NULL), 0); /* whoever saved it restores it too late */
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.calls, 1);
    CHECK_EQ(chained, 1);
    gyre_loop_destroy(loop);
    CHECK(is_installed(SIGUSR2, count_chained));
    CHECK(signal(SIGUSR2, SIG_DFL) != SIG_ERR);
}

/* ---- failures and contexts ------------------------------------------------------------------- */

static struct gyre_failure last_failure;

static bool note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    ++*(unsigned *)arg;
    last_failure = *failure;
    return true;
}

static void T106_watcher_runs_in_its_context_and_fails_in_it(void)
{
    struct gyre_loop *loop = make_loop();
    struct watch watch = {.result = -EIO, .leaves = true};
    struct gyre_context *context = NULL;
    struct gyre_context_options options;
    unsigned failures = 0;
    gyre_context_options_init(&options);
    options.on_error = note_failure;
    options.arg = &failures;
    CHECK_EQ(gyre_context_create(NULL, &options, &context), 0);
    (void)gyre_context_enter(context);
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR2, count_signal, &watch), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(context);
    send(SIGUSR2);
    turn(loop, 2);
    CHECK_EQ(watch.in_context, 1);
    CHECK_EQ(failures, 1);
    CHECK_EQ(last_failure.kind, GYRE_FAILED_SIGNAL);
    CHECK_EQ(last_failure.error, -EIO);
    CHECK(last_failure.signal == count_signal && last_failure.arg == &watch);
    watch.result = GYRE_UNWIND;
    send(SIGUSR2);
    CHECK_EQ(gyre_loop_run(loop), GYRE_UNWIND);
    gyre_loop_destroy(loop);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T68_watcher_removed_in_a_close_is_used_again), /* sets the allocator */
    PLAIN_CASE(T68_signal_that_comes_while_it_is_added_is_a_call),
    PLAIN_CASE(T58_callback_of_a_signal_handler_runs_once),
    PLAIN_CASE(T58_nodes_that_are_used_up_are_eagain_and_come_back),
    PLAIN_CASE(T58_close_cancels_and_later_ones_are_refused),
    PLAIN_CASE(T67_handler_may_interrupt_the_loops_own_thread_in_a_context),
    PLAIN_CASE(T67_sleeping_loop_wakes),
    PLAIN_CASE(T68_watched_signal_is_a_call_on_the_loop),
    PLAIN_CASE(T68_several_loops_may_watch_one_signal),
    PLAIN_CASE(T68_handler_that_was_there_is_chained_and_put_back),
    PLAIN_CASE(T68_default_and_ignored_are_no_functions_with_siginfo_either),
    PLAIN_CASE(T68_handler_that_was_installed_over_it_stays),
    PLAIN_CASE(T68_library_that_puts_our_handler_back_makes_no_ring),
    PLAIN_CASE(T68_watcher_may_remove_itself_and_be_added_again),
    PLAIN_CASE(T68_add_installs_the_handler_again_where_it_was_reset),
    PLAIN_CASE(T68_what_cannot_be_watched_is_refused),
    PLAIN_CASE(T106_watcher_runs_in_its_context_and_fails_in_it),
};

PLAIN_MAIN(cases)
