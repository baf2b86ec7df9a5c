/* SPDX-License-Identifier: MIT */
/*
 * port_posix - memory, logs, signals, files and time, by POSIX alone.
 *
 * Memory    The allocator may be set until the first block is taken: a block must go back where it
 *           came from. The order between threads is the caller's, who sets it before the first use.
 * SIGPIPE   A token is a set of bits: whether the thread had the signal blocked, and whether one
 *           was pending, before sigpipe_block. What became pending since is ours, and is consumed
 *           before the mask is restored, since unblocking would deliver it.
 */
#include "port_posix.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* ---- memory ---------------------------------------------------------------------------------- */

static void *allocate_libc(size_t bytes, void *arg)
{
    (void)arg;
    return calloc(1, bytes);
}

static void release_libc(void *memory, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    free(memory);
}

static struct gyre_allocator allocator = {.allocate = allocate_libc, .release = release_libc};
static _Atomic bool memory_taken;

int gyre_set_allocator(const struct gyre_allocator *wanted)
{
    /* relaxed: a check of the caller's order, not a part of it */
    if (atomic_load_explicit(&memory_taken, memory_order_relaxed))
        return -EBUSY;
    if (wanted == NULL)
        allocator = (struct gyre_allocator){.allocate = allocate_libc, .release = release_libc};
    else if (wanted->allocate == NULL || wanted->release == NULL)
        return -EINVAL;
    else
        allocator = *wanted;
    return 0;
}

void *gyre__port_allocate(size_t bytes)
{
    /* relaxed: see gyre_set_allocator; read first, so that threads share the line */
    if (!atomic_load_explicit(&memory_taken, memory_order_relaxed))
        atomic_store_explicit(&memory_taken, true, memory_order_relaxed);
    void *memory = allocator.allocate(bytes, allocator.arg);
    if (memory != NULL && allocator.allocate != allocate_libc)
        memset(memory, 0, bytes);
    return memory;
}

void gyre__port_release(void *memory, size_t bytes)
{
    allocator.release(memory, bytes, allocator.arg);
}

/* ---- the process ----------------------------------------------------------------------------- */

const char *gyre__port_symbol(const void *address, char *text, size_t bytes)
{
    Dl_info info;
    if (dladdr(address, &info) != 0 && info.dli_sname != NULL)
        return info.dli_sname;
    if (dladdr(address, &info) != 0 && info.dli_fname != NULL)
        (void)snprintf(text, bytes, "%s+%#tx", info.dli_fname,
                       (const char *)address - (const char *)info.dli_fbase);
    else
        (void)snprintf(text, bytes, "%p", address); /* cut: as long as the caller has room for */
    return text;
}

void gyre__port_write_log(const char *line)
{
    struct iovec parts[] = {
        {.iov_base = "gyre: ", .iov_len = 6},
        {.iov_base = (void *)(uintptr_t)line, .iov_len = strlen(line)},
        {.iov_base = "\n", .iov_len = 1},
    };
    /* One call, so that lines of several threads stay whole; nobody is left to tell if it fails. */
    ssize_t written = writev(STDERR_FILENO, parts, 3);
    (void)written;
}

_Noreturn void gyre__port_abort(const char *why)
{
    gyre__port_write_log(why);
    abort();
}

/* ---- a thread's end -------------------------------------------------------------------------- */

struct thread_end {
    gyre__thread_fn *fn;
    void *arg;
};

/* 0: not made yet, else the key + 1. */
static _Atomic uint64_t end_key;
static _Thread_local struct thread_end thread_end;

static void call_end(void *arg)
{
    struct thread_end *end = arg;
    end->fn(end->arg);
}

/* Makes the key if need be. Not by pthread_once: a process that has no key left may have one later.
 */
static int find_key(pthread_key_t *ret_key)
{
    pthread_key_t made;
    /* relaxed: a key is a number, and nothing is read through it */
    uint64_t key = atomic_load_explicit(&end_key, memory_order_relaxed);
    if (key == 0) {
        int r = -pthread_key_create(&made, call_end);
        if (r != 0)
            return r;
        if (atomic_compare_exchange_strong_explicit(&end_key, &key, (uint64_t)made + 1,
                                                    memory_order_relaxed, memory_order_relaxed))
            key = (uint64_t)made + 1;
        else
            (void)pthread_key_delete(made); /* another thread's is there: this one is not used */
    }
    *ret_key = (pthread_key_t)(key - 1);
    return 0;
}

int gyre__port_at_thread_exit(gyre__thread_fn *fn, void *arg)
{
    pthread_key_t key;
    int r = find_key(&key);
    if (r != 0)
        return r;
    thread_end = (struct thread_end){fn, arg};
    return -pthread_setspecific(key, &thread_end);
}

int gyre__port_at_fork(void (*fn)(void))
{
    return -pthread_atfork(NULL, NULL, fn);
}

void gyre__posix_thread_join(uint64_t thread)
{
    /* Either fails for a caller's mistake only. */
    if (pthread_equal((pthread_t)thread, pthread_self()))
        (void)pthread_detach((pthread_t)thread);
    else
        (void)pthread_join((pthread_t)thread, NULL);
}

/* ---- SIGPIPE --------------------------------------------------------------------------------- */

enum sigpipe_token {
    WAS_BLOCKED = 1,
    WAS_PENDING = 2
};

static void sigpipe_set(sigset_t *set)
{
    (void)sigemptyset(set); /* neither fails for a signal that exists */
    (void)sigaddset(set, SIGPIPE);
}

static bool is_pending(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, SIGPIPE) == 1;
}

void gyre__posix_sigpipe_block(uint32_t *ret_token)
{
    sigset_t set;
    sigset_t before;
    sigpipe_set(&set);
    uint32_t token = 0;
    if (pthread_sigmask(SIG_BLOCK, &set, &before) == 0 && sigismember(&before, SIGPIPE) == 1)
        token = WAS_BLOCKED | (is_pending() ? WAS_PENDING : 0u);
    *ret_token = token;
}

void gyre__posix_sigpipe_restore(uint32_t token)
{
    sigset_t set;
    sigpipe_set(&set);
    if ((token & WAS_PENDING) == 0 && is_pending()) {
        const struct timespec none = {0};
        while (sigtimedwait(&set, NULL, &none) < 0 && errno == EINTR)
            ;
    }
    if ((token & WAS_BLOCKED) == 0)
        (void)pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* fails for a bad argument only */
}

/* ---- time, CPUs, files ----------------------------------------------------------------------- */

uint64_t gyre__posix_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* fails where there is no such clock */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

unsigned gyre__posix_cpus_online(void)
{
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (unsigned)online : 1;
}

int64_t gyre__posix_read_file(const char *path, char *text, size_t bytes)
{
    size_t used = 0;
    ssize_t got;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    do {
        got = read(fd, text + used, bytes - used);
        if (got > 0)
            used += (size_t)got;
    } while ((got > 0 && used < bytes) || (got < 0 && errno == EINTR));
    int error = errno;
    (void)close(fd); /* read only: nothing to lose */
    if (got < 0)
        return -error;
    if (used == bytes)
        return -E2BIG;
    text[used] = '\0';
    return (int64_t)used;
}
