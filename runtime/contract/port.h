/* SPDX-License-Identifier: MIT */
/*
 * port - what the runtime demands of the system besides I/O: clock, threads, memory, topology,
 * names.
 *
 * What      A table of functions, one set for each kind of world: the native one, and a simulated
 *           one. A loop gets its port from its backend, so that a simulated backend brings its own
 *           time. What cannot differ within a process (memory, the thread's end, fault reports) is
 *           plain functions.
 * Why       runtime/ makes no call of the system's own; a test compares its imports with a list.
 * Errors    Negative errno. Functions that return void cannot fail.
 * Threads   Any, unless said otherwise.
 */
#ifndef GYRE_CONTRACT_PORT_H
#define GYRE_CONTRACT_PORT_H

#include <stdatomic.h>

#include <gyre/address.h>
#include <gyre/base.h>

enum gyre__port_limits {
    GYRE__CPUS_MAX = 1024, /* as GYRE_LOOPS_MAX: glibc's cpu_set_t */
    GYRE__THREAD_NAME_MAX = 16 /* Linux's limit, with the terminating zero */
};

typedef void gyre__thread_fn(void *arg);

struct gyre__thread_options {
    const char *name; /* cut to GYRE__THREAD_NAME_MAX - 1 bytes */
    int cpu; /* the one to be pinned to, -1: the process's original CPUs */
};

/* A set of CPUs, as bits. */
struct gyre__cpus {
    uint64_t bits[GYRE__CPUS_MAX / 64];
};

struct gyre__port {
    /* Nanoseconds of a monotonic clock. */
    uint64_t (*now_ns)(void);

    /* Nanoseconds of the cheapest monotonic clock there is, for budgets; only differences count. */
    uint64_t (*ticks_ns)(void);

    /*
     * Makes a thread with all signals blocked and the process's original CPUs, or pinned to one.
     * *ret_thread is to be joined; a NULL ret_thread detaches it. -EINVAL: no such CPU; -EAGAIN;
     * -EPERM. A thread that joins itself goes on, detached.
     */
    int (*thread_create)(const struct gyre__thread_options *options, uint64_t *ret_thread,
                         gyre__thread_fn *fn, void *arg);
    void (*thread_join)(uint64_t thread);

    /* Sleeps while *word is `expected`; may return early. Pairs with unpark, which wakes all
     * sleepers. */
    void (*park)(_Atomic uint32_t *word, uint32_t expected);
    void (*unpark)(_Atomic uint32_t *word);

    /* The same, of one sleeper. */
    void (*unpark_one)(_Atomic uint32_t *word);

    /* As park, and returns after `timeout_ns` at the latest. */
    void (*park_for)(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns);

    /*
     * Blocks SIGPIPE for the calling thread. *ret_token is for sigpipe_restore, which consumes one
     * that became pending in between and puts the mask back.
     */
    void (*sigpipe_block)(uint32_t *ret_token);
    void (*sigpipe_restore)(uint32_t token);

    /* The CPUs that the process may run on. -ENOTSUP: the system does not tell. */
    int (*cpus_allowed)(struct gyre__cpus *ret_cpus);

    /* The number of CPUs online, at least 1. */
    unsigned (*cpus_online)(void);

    /* Reads a whole small file as text: its length without the zero that is added, or an error.
     * -E2BIG: it does not fit. */
    int64_t (*read_file)(const char *path, char *text, size_t bytes);

    /* Resolves a host name and a port, blocking; see gyre_address_resolve for the errors. */
    int (*resolve)(const char *host, const char *port, char ret_texts[][GYRE_ADDRESS_MAX],
                   unsigned *ret_count);

    /* An unpredictable number. */
    uint64_t (*random)(void);
};

/* Between two looks at what another core is to change: lets that, and a thread that shares ours, go
 * on. 10 to 40 ns. */
static inline void gyre__port_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" ::: "memory");
#endif
}

/* Memory, by the allocator of gyre_set_allocator. allocate returns zeroed memory or NULL. */
void *gyre__port_allocate(size_t bytes);
void gyre__port_release(void *memory, size_t bytes);

/* A variable of the environment, NULL where it is unset or the process is privileged. */
const char *gyre__port_environment(const char *name);

/* Has `fn` called with `arg` when the calling thread ends. Once a thread; the later call wins. */
int gyre__port_at_thread_exit(gyre__thread_fn *fn, void *arg);

/* Has `fn` called in every child that fork makes from now on, on its one thread, before fork
 * returns there. -ENOMEM. */
int gyre__port_at_fork(void (*fn)(void));

/*
 * Signals, which are the process's. watch has `fn` called with each `signo` that comes, on
 * whichever thread, inside a signal handler; what was installed before is called after it. unwatch
 * puts that back, or leaves the handler to hand down if another was installed over it. Each watch
 * sees to it that the handler is there. The caller serialises.
 */
enum {
    GYRE__SIGNALS = 128 /* more than any system's numbers */
};
typedef void gyre__signal_fn(int signo);
bool gyre__port_signal_is_watchable(int signo);
int gyre__port_signal_watch(int signo, gyre__signal_fn *fn);
void gyre__port_signal_unwatch(int signo);

/*
 * The stack of another thread of the process, taken by a signal: see backends/stack_linux.c.
 *
 * prepare takes a signal that nobody uses, for good: -ENOTSUP, there is none. A thread that is to
 * be sampled allows it for a while: allow is true if it was blocked, and is then undone by
 * disallow. take gives the number of addresses, innermost first: -EBUSY, an earlier one is still
 * under way; -ETIMEDOUT, the thread has not answered within `timeout_ns`; else why the signal could
 * not be sent. The caller serialises prepare and take.
 */
int gyre__port_stack_prepare(void);
bool gyre__port_stack_allow(void);
void gyre__port_stack_disallow(void);
int gyre__port_stack_take(uint64_t thread_number, uint64_t timeout_ns, const void **addresses,
                          unsigned max);

/* In a child process: the thread that was answering is not here. */
void gyre__port_stack_after_fork(void);

/* The world that calls without a loop live in. */
const struct gyre__port *gyre__port_native(void);

/* The system's number of the calling thread, for log lines. */
uint64_t gyre__port_thread_number(void);

/* The name of the symbol at `address`, or "?". Static or copied into `text`. */
const char *gyre__port_symbol(const void *address, char *text, size_t bytes);

/* Writes one line to standard error, whole. */
void gyre__port_write_log(const char *line);

/* Ends the process, after a line that says why: for broken invariants. */
_Noreturn void gyre__port_abort(const char *why);

/* A fact that the caller is responsible for; looked at where NDEBUG is not defined. */
#ifdef NDEBUG
#define GYRE__ASSERT(fact) ((void)sizeof(fact))
#else
#define GYRE__ASSERT(fact) ((fact) ? (void)0 : gyre__port_abort("broken: " #fact))
#endif

#endif
