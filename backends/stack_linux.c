/* SPDX-License-Identifier: MIT */
/*
 * stack_linux - the stack of another thread, by a signal to it alone (tgkill(2)).
 *
 * Signal    The highest real-time signal that has its default action when the first sample is
 *           prepared. The handler stays installed: a signal that comes late, to a thread that had
 *           it blocked, would end the process otherwise.
 * Handler   It copies addresses and wakes who waits, and errno is as before. By backtrace(3), which
 *           reads the tables that compilers write for every function. Walking frame pointers was
 *           rejected: code as distributions build it has none on x86-64, so that the walk would end
 *           at the first frame, and has to guess what memory can be read. backtrace allocates when
 *           it loads its unwinder, which prepare has it do.
 * States    One sample for the process, one word: the number of the request, and
 *
 *             FREE --ask--> ASKED --handler--> TAKEN --handler--> DONE       ask: DONE -> ASKED
 *             ASKED --give up--> FREE
 *             TAKEN, not done in time: it stays, and the next ask is -EBUSY until it is DONE
 *
 * Ordering  The asker may write the sample in FREE and DONE, the handler in TAKEN, nobody else. The
 *           ask is a release, which the handler's load acquires: it sees whom the request is for. A
 *           handler that comes late finds FREE, another's thread or its own: in the last case its
 *           answer is to the later request, and as good. Between its load and its CAS the request
 *           may be given up and another made: the number in the word has the CAS fail then. DONE is
 *           a release that the asker acquires: it sees the addresses. tests/model/watchdog.pml
 *           searches this.
 * Limits    2^30 requests until a number comes back: a handler may not be held up for so long
 *           between two instructions.
 */
#include "parts.h"
#include "port_posix.h"

#include <errno.h>
#include <execinfo.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum phase {
    FREE, /* nobody is asked */
    ASKED, /* a thread is to answer */
    TAKEN, /* its handler writes */
    DONE, /* the answer is there */
    PHASES
};

enum {
    FRAMES_MAX = 64,
    FRAMES_OURS = 8 /* the handler's, and a sanitizer's around it */
};

static struct {
    _Atomic uint32_t state; /* [a] number * PHASES + phase */
    _Atomic uint64_t thread; /* [a] that is asked */
    int count; /* whose it is says the phase, here and below */
    void *pc; /* where the thread was interrupted; NULL: the machine is not known */
    void *frames[FRAMES_MAX];
} sample;

static _Atomic int chosen; /* the signal; 0: none yet */

static uint32_t state_of(uint32_t number, enum phase phase)
{
    return number * PHASES + (uint32_t)phase;
}

static enum phase phase_of(uint32_t state)
{
    return (enum phase)(state % PHASES);
}

/* ---- inside the signal handler --------------------------------------------------------------- */

static void *interrupted_at(const ucontext_t *machine)
{
#if defined(__x86_64__)
    return (void *)(uintptr_t)machine->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
    return (void *)(uintptr_t)machine->uc_mcontext.pc;
#else
    (void)machine;
    return NULL; /* the handler's own frames come first, then */
#endif
}

static void answer(uint32_t state, const ucontext_t *machine)
{
    /* relaxed: the caller's load has acquired, and by its number this is the same request */
    if (!atomic_compare_exchange_strong_explicit(&sample.state, &state, state + TAKEN - ASKED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    state += TAKEN - ASKED;
    sample.pc = interrupted_at(machine);
    sample.count = backtrace(sample.frames, FRAMES_MAX);
    /* release: pairs with the acquire in await; the addresses are seen */
    atomic_store_explicit(&sample.state, state + DONE - TAKEN, memory_order_release);
    (void)syscall(SYS_futex, &sample.state, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void on_signal(int signo, siginfo_t *info, void *machine)
{
    int error = errno;
    (void)signo;
    (void)info;
    /* acquire: pairs with the release of ask; whom it is for is seen */
    uint32_t state = atomic_load_explicit(&sample.state, memory_order_acquire);
    uint64_t asked = atomic_load_explicit(&sample.thread, memory_order_relaxed);
    if (phase_of(state) == ASKED && asked == gyre__port_thread_number())
        answer(state, machine);
    errno = error;
}

/* ---- prepare --------------------------------------------------------------------------------- */

static bool is_unused(int signo)
{
    struct sigaction action;
    return sigaction(signo, NULL, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
           action.sa_handler == SIG_DFL;
}

int gyre__port_stack_prepare(void)
{
    void *frames[1];
    /* relaxed: prepare is serialised, and a number alone is read elsewhere */
    if (atomic_load_explicit(&chosen, memory_order_relaxed) != 0)
        return 0;
    int signo = SIGRTMAX;
    while (signo >= SIGRTMIN && !is_unused(signo))
        signo--;
    if (signo < SIGRTMIN)
        return -ENOTSUP;
    (void)backtrace(frames, 1); /* has it load the unwinder */
    struct sigaction action = {.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    action.sa_sigaction = on_signal;
    (void)sigfillset(&action.sa_mask); /* cannot fail */
    if (sigaction(signo, &action, NULL) != 0)
        return -errno;
    atomic_store_explicit(&chosen, signo, memory_order_relaxed);
    return 0;
}

static bool chosen_set(sigset_t *set)
{
    int signo = atomic_load_explicit(&chosen, memory_order_relaxed); /* as in prepare */
    (void)sigemptyset(set); /* neither fails for a signal that exists */
    return signo != 0 && sigaddset(set, signo) == 0;
}

bool gyre__port_stack_allow(void)
{
    sigset_t set;
    sigset_t before;
    return chosen_set(&set) && pthread_sigmask(SIG_UNBLOCK, &set, &before) == 0 &&
           sigismember(&before, atomic_load_explicit(&chosen, memory_order_relaxed)) == 1;
}

void gyre__port_stack_disallow(void)
{
    sigset_t set;
    if (chosen_set(&set))
        (void)pthread_sigmask(SIG_BLOCK, &set, NULL); /* fails for a bad argument only */
}

/* ---- take ------------------------------------------------------------------------------------ */

/* Waits for DONE; false: it did not come in time. */
static bool await(uint32_t number, uint64_t timeout_ns)
{
    uint64_t began = gyre__posix_now_ns();
    do {
        /* acquire: pairs with the release in answer */
        uint32_t state = atomic_load_explicit(&sample.state, memory_order_acquire);
        uint64_t passed = gyre__posix_now_ns() - began;
        if (state == state_of(number, DONE))
            return true;
        if (passed >= timeout_ns)
            return false;
        gyre__port_linux.park_for(&sample.state, state, timeout_ns - passed);
    } while (true);
}

/* Has a handler that comes late find nobody who asks. False: one is writing, or has written. */
static bool give_up(uint32_t number)
{
    uint32_t state = state_of(number, ASKED);
    /* relaxed: it hands nothing over */
    return atomic_compare_exchange_strong_explicit(&sample.state, &state, state_of(number, FREE),
                                                   memory_order_relaxed, memory_order_relaxed);
}

/* The frames from the interrupted one on, behind the handler's. */
static unsigned copy(const void **addresses, unsigned max)
{
    unsigned count = 0;
    int first = 0;
    while (first < sample.count && first < FRAMES_OURS && sample.frames[first] != sample.pc)
        first++;
    if (first == sample.count || first == FRAMES_OURS) {
        first = 0; /* all of them, then, behind the one address that is certain */
        if (sample.pc != NULL && max > 0)
            addresses[count++] = sample.pc;
    }
    for (int at = first; at < sample.count && count < max; at++)
        addresses[count++] = sample.frames[at];
    return count;
}

static int send_signal(uint64_t thread_number)
{
    int signo = atomic_load_explicit(&chosen, memory_order_relaxed); /* as in prepare */
    long r = syscall(SYS_tgkill, (long)getpid(), (long)thread_number, (long)signo);
    return r == 0 ? 0 : -errno;
}

int gyre__port_stack_take(uint64_t thread_number, uint64_t timeout_ns, const void **addresses,
                          unsigned max)
{
    /* acquire: pairs with the release in answer, should a late one be DONE now */
    uint32_t state = atomic_load_explicit(&sample.state, memory_order_acquire);
    uint32_t number = state / PHASES + 1;
    if (phase_of(state) == TAKEN)
        return -EBUSY;
    if (atomic_load_explicit(&chosen, memory_order_relaxed) == 0)
        return -ENOTSUP;
    atomic_store_explicit(&sample.thread, thread_number, memory_order_relaxed); /* with the next */
    /* release: pairs with the acquire in on_signal */
    atomic_store_explicit(&sample.state, state_of(number, ASKED), memory_order_release);
    int r = send_signal(thread_number);
    if (r == 0 && await(number, timeout_ns))
        return (int)copy(addresses, max);
    if (give_up(number) || !await(number, r == 0 ? timeout_ns : 0))
        return r != 0 ? r : -ETIMEDOUT;
    return (int)copy(addresses, max);
}

void gyre__port_stack_after_fork(void)
{
    /* relaxed: there is one thread. The number goes on: it may be inside the handler. */
    uint32_t number = atomic_load_explicit(&sample.state, memory_order_relaxed) / PHASES;
    atomic_store_explicit(&sample.state, state_of(number, FREE), memory_order_relaxed);
}
