/* SPDX-License-Identifier: MIT */
/*
 * port_linux - the native port of Linux: threads with affinity, futexes, random numbers.
 *
 * CPUs      The process's original mask is the main thread's when the library is loaded, before
 *           anybody pins a thread: threads made by a pinned thread inherit its one CPU. When none
 *           of those CPUs is left, since the process was moved to others, they inherit after all.
 * Parking   A private futex on the word: the kernel compares and sleeps in one step, so that a
 *           change and an unpark in between are not missed.
 */
#include "parts.h"
#include "port_posix.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert(GYRE__CPUS_MAX == CPU_SETSIZE, "a mask of the system's fits");
_Static_assert(sizeof(pthread_t) == sizeof(uint64_t), "a thread's name fits");

static cpu_set_t original_cpus;
static int original_error;

__attribute__((constructor)) static void note_original_cpus(void)
{
    if (sched_getaffinity(getpid(), sizeof(original_cpus), &original_cpus) != 0)
        original_error = -errno;
}

/* ---- threads --------------------------------------------------------------------------------- */

struct start {
    gyre__thread_fn *fn;
    void *arg;
    char name[GYRE__THREAD_NAME_MAX];
};

static void *begin(void *arg)
{
    struct start start = *(struct start *)arg;
    gyre__port_release(arg, sizeof(start));
    (void)pthread_setname_np(pthread_self(), start.name); /* a name is for people to read */
    start.fn(start.arg);
    return NULL;
}

static int set_attributes(pthread_attr_t *attributes, int cpu, bool detached)
{
    cpu_set_t cpus = original_cpus;
    if (cpu >= CPU_SETSIZE)
        return -EINVAL;
    if (cpu >= 0) {
        CPU_ZERO(&cpus);
        CPU_SET((unsigned)cpu, &cpus);
    }
    int error = 0;
    if (cpu >= 0 || original_error == 0)
        error = pthread_attr_setaffinity_np(attributes, sizeof(cpus), &cpus);
    if (error == 0 && detached)
        error = pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
    return -error;
}

static int forget_cpus(pthread_attr_t *attributes)
{
    return -pthread_attr_setaffinity_np(attributes, 0, &original_cpus);
}

static int create_blocked(pthread_t *thread, const pthread_attr_t *attributes, struct start *start)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all); /* cannot fail */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* these two fail for bad arguments only */
    int error = pthread_create(thread, attributes, begin, start);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -error;
}

static int thread_create(const struct gyre__thread_options *options, uint64_t *ret_thread,
                         gyre__thread_fn *fn, void *arg)
{
    pthread_attr_t attributes;
    pthread_t thread;
    struct start *start = gyre__port_allocate(sizeof(*start));
    if (start == NULL)
        return -ENOMEM;
    start->fn = fn;
    start->arg = arg;
    (void)strncpy(start->name, options->name, sizeof(start->name) - 1); /* zeroed: it ends */
    int r = -pthread_attr_init(&attributes);
    if (r == 0) {
        r = set_attributes(&attributes, options->cpu, ret_thread == NULL);
        if (r == 0)
            r = create_blocked(&thread, &attributes, start);
        if (r == -EINVAL && options->cpu < 0 && forget_cpus(&attributes) == 0)
            r = create_blocked(&thread, &attributes, start);
        (void)pthread_attr_destroy(&attributes); /* cannot fail */
    }
    if (r != 0) {
        gyre__port_release(start, sizeof(*start));
        return r;
    }
    if (ret_thread != NULL)
        *ret_thread = (uint64_t)thread;
    return 0;
}

uint64_t gyre__port_thread_number(void)
{
    return (uint64_t)syscall(SYS_gettid);
}

/* ---- parking --------------------------------------------------------------------------------- */

static void park(_Atomic uint32_t *word, uint32_t expected)
{
    /* A word that has changed, a signal, a stray wake: all return, and the caller looks again. */
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, NULL, NULL, 0);
}

static void unpark(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT32_MAX, NULL, NULL, 0);
}

static void unpark_one(_Atomic uint32_t *word)
{
    (void)syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void park_for(_Atomic uint32_t *word, uint32_t expected, uint64_t timeout_ns)
{
    const struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / 1000000000u),
        .tv_nsec = (long)(timeout_ns % 1000000000u),
    };
    (void)syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, &timeout, NULL, 0);
}

/* ---- the system ------------------------------------------------------------------------------ */

static int cpus_allowed(struct gyre__cpus *ret_cpus)
{
    if (original_error != 0)
        return -ENOTSUP;
    *ret_cpus = (struct gyre__cpus){0};
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &original_cpus))
            ret_cpus->bits[cpu / 64] |= UINT64_C(1) << cpu % 64;
    }
    return 0;
}

static uint64_t random_number(void)
{
    uint64_t number;
    /* Eight bytes come whole; before the pool is ready, at boot, the clock has to do. */
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number))
        number = gyre__posix_now_ns();
    return number;
}

const char *gyre__port_environment(const char *name)
{
    return secure_getenv(name);
}

const struct gyre__port gyre__port_linux = {
    .now_ns = gyre__posix_now_ns,
    .ticks_ns = gyre__posix_now_ns, /* the vDSO's clock: 25 ns, without a system call */
    .thread_create = thread_create,
    .thread_join = gyre__posix_thread_join,
    .park = park,
    .unpark = unpark,
    .unpark_one = unpark_one,
    .park_for = park_for,
    .sigpipe_block = gyre__posix_sigpipe_block,
    .sigpipe_restore = gyre__posix_sigpipe_restore,
    .cpus_allowed = cpus_allowed,
    .cpus_online = gyre__posix_cpus_online,
    .read_file = gyre__posix_read_file,
    .resolve = gyre__posix_resolve,
    .random = random_number,
};

const struct gyre__port *gyre__port_native(void)
{
    return &gyre__port_linux;
}
