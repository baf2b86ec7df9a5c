/* SPDX-License-Identifier: MIT */
/*
 * signal_posix - signals for the runtime, by sigaction(2), with what was installed before behind.
 *
 * Chain    The library's handler calls the runtime's function, then what it found installed, with
 *          the same arguments. A default action is not taken, since the signal is watched now; nor
 *          is it while the handler has to stay though nobody watches: see below.
 * States   OFF --watch--> ON --unwatch--> OFF, the old disposition put back
 *                            --unwatch, somebody has installed another handler--> UNDER
 *          any, ours found installed --watch--> ON, in place
 *          ON or UNDER --watch--> ON, in place if another's handler is there, which may hand down
 *          to ours; installed anew where somebody, a child process say, put a default action back
 *          UNDER is for good otherwise: the other may call us at any time, since it has chained to
 *          us, and we go on to hand the signal down.
 * Threads  watch and unwatch are serialised by their caller. The handler runs anywhere, and may be
 *          paused there while the signal is unwatched, handled by somebody else and watched anew.
 *          So whom it hands down to is one word, which cannot be read half changed.
 */
#include "port_posix.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

_Static_assert(NSIG <= GYRE__SIGNALS, "each signal has its place");

enum state {
    OFF,
    ON,
    UNDER
};

typedef void plain_fn(int signo);
typedef void info_fn(int signo, siginfo_t *info, void *machine);

/* Tags the address of an info_fn: the highest bit, which no program's address has. */
#define TAKES_INFO ((uintptr_t)1 << 63)

static enum state states[GYRE__SIGNALS];
static struct sigaction old[GYRE__SIGNALS]; /* to be put back */
static _Atomic uintptr_t below[GYRE__SIGNALS]; /* the handler's: whom to call, and how; 0: nobody */
static gyre__signal_fn *_Atomic fns[GYRE__SIGNALS]; /* NULL: nobody watches */

/* Whether there is something to call. SIG_DFL and SIG_IGN mean the same with SA_SIGINFO. */
static bool is_function(const struct sigaction *action)
{
    return action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN;
}

static uintptr_t word_of(const struct sigaction *action)
{
    if (!is_function(action))
        return 0;
    return (action->sa_flags & SA_SIGINFO) != 0 ? (uintptr_t)action->sa_sigaction | TAKES_INFO
                                                : (uintptr_t)action->sa_handler;
}

static void hand_down(int signo, siginfo_t *info, void *machine)
{
    /* relaxed: ordered by `fns`, and if that is stale, so may this be */
    uintptr_t word = atomic_load_explicit(&below[signo], memory_order_relaxed);
    uintptr_t fn = word & ~TAKES_INFO;
    if (word != fn)
        ((info_fn *)fn)(signo, info, machine);
    else if (fn != 0)
        ((plain_fn *)fn)(signo);
}

static void handle(int signo, siginfo_t *info, void *machine)
{
    int error = errno;
    /* acquire: pairs with the release in watch; `below` is seen */
    gyre__signal_fn *fn = atomic_load_explicit(&fns[signo], memory_order_acquire);
    if (fn != NULL)
        fn(signo);
    hand_down(signo, info, machine);
    errno = error;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == handle;
}

bool gyre__port_signal_is_watchable(int signo)
{
    static const int excluded[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    for (size_t i = 0; i < sizeof(excluded) / sizeof(excluded[0]); i++) {
        if (signo == excluded[i])
            return false;
    }
    struct sigaction action;
    return signo > 0 && signo < NSIG && sigaction(signo, NULL, &action) == 0;
}

int gyre__port_signal_watch(int signo, gyre__signal_fn *fn)
{
    struct sigaction now;
    if (sigaction(signo, NULL, &now) != 0)
        return -errno;
    /* Ours is found when somebody has saved it, and put it back too late; or in a child, if another
     * thread was in here at the fork. To hand the signal down to ourselves would never end. */
    bool in_place = is_ours(&now) || (states[signo] != OFF && is_function(&now));
    if (!in_place) {
        old[signo] = now;
        atomic_store_explicit(&below[signo], word_of(&now), memory_order_relaxed); /* see fns */
    }
    atomic_store_explicit(&fns[signo], fn, memory_order_release);
    if (!in_place) {
        struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
        action.sa_sigaction = handle;
        (void)sigfillset(&action.sa_mask); /* cannot fail */
        if (sigaction(signo, &action, NULL) != 0) {
            atomic_store_explicit(&fns[signo], NULL, memory_order_relaxed);
            return -errno;
        }
    }
    states[signo] = ON;
    return 0;
}

void gyre__port_signal_unwatch(int signo)
{
    struct sigaction now;
    bool ours = sigaction(signo, NULL, &now) == 0 && is_ours(&now);
    if (ours)
        (void)sigaction(signo, &old[signo], NULL); /* it was valid when it was installed */
    states[signo] = ours ? OFF : UNDER;
    /* relaxed: a handler that still sees it finds no watcher active */
    atomic_store_explicit(&fns[signo], NULL, memory_order_relaxed);
}
