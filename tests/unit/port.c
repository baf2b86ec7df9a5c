/* SPDX-License-Identifier: MIT */
/*
 * port - the native port, slot by slot, and the plain functions beside it.
 *
 * A plain program: it makes threads, raises signals and forks. The case of the allocator stands
 * first, since an allocator can only be set before the first block is taken.
 */
#include "contract/port.h"
#include "contract/backend.h"
#include "harness/plain.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct gyre__port *port(void)
{
    return gyre__port_native();
}

/* ---- memory ---------------------------------------------------------------------------------- */

struct heap {
    unsigned taken;
    unsigned given;
    size_t bytes; /* of the last call */
};

static void *allocate_dirty(size_t bytes, void *arg)
{
    struct heap *heap = arg;
    void *memory = malloc(bytes);
    heap->taken++;
    heap->bytes = bytes;
    if (memory != NULL)
        memset(memory, 0xa5, bytes);
    return memory;
}

static void *allocate_nothing(size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    return NULL;
}

static void release_dirty(void *memory, size_t bytes, void *arg)
{
    struct heap *heap = arg;
    heap->given++;
    heap->bytes = bytes;
    free(memory);
}

static bool is_zero(const unsigned char *memory, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (memory[i] != 0)
            return false;
    }
    return true;
}

static void allocator_is_the_users_until_a_block_is_taken(void)
{
    static struct heap heap;
    struct gyre_allocator wanted = {allocate_nothing, NULL, NULL};
    CHECK_EQ(gyre_set_allocator(&wanted), -EINVAL);
    wanted.release = release_dirty;
    CHECK_EQ(gyre_set_allocator(&wanted), 0);
    CHECK_EQ(gyre_set_allocator(NULL), 0);
    wanted = (struct gyre_allocator){allocate_dirty, release_dirty, &heap};
    CHECK_EQ(gyre_set_allocator(&wanted), 0);
    unsigned char *block = gyre__port_allocate(1000);
    if (!CHECK(block != NULL))
        return;
    CHECK_EQ(heap.taken, 1);
    CHECK_EQ(heap.bytes, 1000);
    CHECK(is_zero(block, 1000));
    CHECK_EQ(gyre_set_allocator(&wanted), -EBUSY);
    CHECK_EQ(gyre_set_allocator(NULL), -EBUSY);
    heap.bytes = 0;
    gyre__port_release(block, 1000);
    CHECK_EQ(heap.given, 1);
    CHECK_EQ(heap.bytes, 1000);
}

static void memory_is_zeroed_each_time(void)
{
    for (size_t bytes = 1; bytes <= 65536; bytes *= 4) {
        for (int again = 0; again < 3; again++) {
            unsigned char *block = gyre__port_allocate(bytes);
            if (!CHECK(block != NULL))
                return;
            CHECK(is_zero(block, bytes));
            memset(block, 0xff, bytes);
            gyre__port_release(block, bytes);
        }
    }
}

/* ---- threads --------------------------------------------------------------------------------- */

/* What a thread has seen of itself. */
struct seen {
    char name[32];
    sigset_t blocked;
    cpu_set_t cpus;
    uint64_t number;
    _Atomic uint32_t done;
};

static void look(void *arg)
{
    struct seen *seen = arg;
    (void)pthread_getname_np(pthread_self(), seen->name, sizeof(seen->name));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &seen->blocked);
    (void)sched_getaffinity(0, sizeof(seen->cpus), &seen->cpus);
    seen->number = gyre__port_thread_number();
    /* release: what was seen, to await_done */
    atomic_store_explicit(&seen->done, 1, memory_order_release);
    port()->unpark(&seen->done);
}

static void await_done(struct seen *seen)
{
    while (atomic_load_explicit(&seen->done, memory_order_acquire) == 0) /* see look */
        port()->park(&seen->done, 0);
}

static int start_looking(const char *name, int cpu, struct seen *seen)
{
    uint64_t thread;
    memset(seen, 0, sizeof(*seen));
    int status =
        port()->thread_create(&(struct gyre__thread_options){name, cpu}, &thread, look, seen);
    if (status == 0)
        port()->thread_join(thread);
    return status;
}

static void threads_block_all_signals_and_bear_their_name(void)
{
    struct seen seen;
    sigset_t before;
    sigset_t after;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &before);
    CHECK_EQ(start_looking("gyre/test", -1, &seen), 0);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &after);
    CHECK_STR(seen.name, "gyre/test");
    for (int signal = 1; signal < 32; signal++) {
        if (signal != SIGKILL && signal != SIGSTOP)
            CHECK_EQ(sigismember(&seen.blocked, signal), 1);
        CHECK_EQ(sigismember(&after, signal), sigismember(&before, signal));
    }
    CHECK_NE(seen.number, gyre__port_thread_number());
    CHECK_EQ(gyre__port_thread_number(), getpid());
}

static void long_names_are_cut(void)
{
    struct seen seen;
    CHECK_EQ(start_looking("sixteen-letters-", -1, &seen), 0);
    CHECK_STR(seen.name, "sixteen-letters");
}

static int first_cpu(const cpu_set_t *cpus)
{
    int cpu = 0;
    while (!CPU_ISSET((unsigned)cpu, cpus))
        cpu++;
    return cpu;
}

static int last_cpu(const cpu_set_t *cpus)
{
    int cpu = CPU_SETSIZE - 1;
    while (!CPU_ISSET((unsigned)cpu, cpus))
        cpu--;
    return cpu;
}

static void threads_of_a_pinned_thread_are_not_pinned(void)
{
    cpu_set_t original;
    cpu_set_t one;
    struct seen seen;
    if (!CHECK_EQ(sched_getaffinity(0, sizeof(original), &original), 0))
        return;
    CPU_ZERO(&one);
    CPU_SET((unsigned)last_cpu(&original), &one);
    CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    CHECK_EQ(start_looking("free", -1, &seen), 0);
    CHECK(CPU_EQUAL(&seen.cpus, &original));
    CHECK_EQ(start_looking("pinned", first_cpu(&original), &seen), 0);
    CHECK_EQ(CPU_COUNT(&seen.cpus), 1);
    CHECK_EQ(first_cpu(&seen.cpus), first_cpu(&original));
    CHECK_EQ(sched_setaffinity(0, sizeof(original), &original), 0);
}

static void pinning_to_a_cpu_that_is_not_there_is_refused(void)
{
    struct seen seen;
    struct gyre__cpus allowed;
    if (!CHECK_EQ(port()->cpus_allowed(&allowed), 0))
        return;
    CHECK_EQ(start_looking("none", GYRE__CPUS_MAX, &seen), -EINVAL);
    CHECK_EQ(start_looking("none", INT32_MAX, &seen), -EINVAL);
    if (allowed.bits[GYRE__CPUS_MAX / 64 - 1] >> 63 == 0)
        CHECK_EQ(start_looking("none", GYRE__CPUS_MAX - 1, &seen), -EINVAL);
    CHECK_EQ(atomic_load_explicit(&seen.done, memory_order_relaxed), 0); /* nothing has run */
}

static void threads_can_be_left_alone(void)
{
    struct seen seen = {.name = ""};
    struct gyre__thread_options options = {"alone", -1};
    CHECK_EQ(port()->thread_create(&options, NULL, look, &seen), 0);
    await_done(&seen);
    CHECK_STR(seen.name, "alone");
}

static void park_returns_when_the_word_is_another(void)
{
    _Atomic uint32_t word = 7;
    port()->park(&word, 8);
    port()->unpark(&word);
    CHECK_EQ(atomic_load_explicit(&word, memory_order_relaxed), 7); /* nobody else has it */
}

static void cpus_are_those_of_the_process(void)
{
    cpu_set_t cpus;
    struct gyre__cpus allowed;
    if (!CHECK_EQ(port()->cpus_allowed(&allowed), 0))
        return;
    CHECK_EQ(sched_getaffinity(0, sizeof(cpus), &cpus), 0);
    for (unsigned cpu = 0; cpu < GYRE__CPUS_MAX; cpu++)
        CHECK_EQ(allowed.bits[cpu / 64] >> cpu % 64 & 1, CPU_ISSET(cpu, &cpus) != 0);
    CHECK_GE(port()->cpus_online(), CPU_COUNT(&cpus));
}

/* ---- a thread's end -------------------------------------------------------------------------- */

static void count_up(void *arg)
{
    ++*(unsigned *)arg;
}

static void *hook_twice(void *arg)
{
    unsigned *counts = arg;
    CHECK_EQ(gyre__port_at_thread_exit(count_up, &counts[0]), 0);
    CHECK_EQ(gyre__port_at_thread_exit(count_up, &counts[1]), 0);
    CHECK_EQ(counts[0] + counts[1], 0);
    return NULL;
}

static void end_of_a_thread_calls_the_last_hook_once(void)
{
    unsigned counts[2] = {0, 0};
    pthread_t thread;
    CHECK_EQ(pthread_create(&thread, NULL, hook_twice, counts), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    CHECK_EQ(counts[0], 0);
    CHECK_EQ(counts[1], 1);
}

/* ---- SIGPIPE --------------------------------------------------------------------------------- */

static volatile sig_atomic_t pipes;

static void count_pipe(int signal)
{
    (void)signal;
    pipes++;
}

static bool is_blocked(void)
{
    sigset_t blocked;
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return sigismember(&blocked, SIGPIPE) == 1;
}

static bool is_pending(void)
{
    sigset_t pending;
    (void)sigpending(&pending);
    return sigismember(&pending, SIGPIPE) == 1;
}

static void block(int how)
{
    sigset_t set;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGPIPE);
    (void)pthread_sigmask(how, &set, NULL);
}

/* Makes the signal as a write to a pipe without a reader does. */
static void write_to_nobody(void)
{
    int fds[2];
    if (!CHECK_EQ(pipe2(fds, O_CLOEXEC), 0))
        return;
    close(fds[0]);
    CHECK_EQ(write(fds[1], "x", 1), -1);
    close(fds[1]);
}

static void sigpipe_that_came_in_between_is_consumed(void)
{
    uint32_t token;
    pipes = 0;
    void (*before)(int) = signal(SIGPIPE, count_pipe);
    port()->sigpipe_block(&token);
    CHECK(is_blocked());
    write_to_nobody();
    CHECK(is_pending());
    port()->sigpipe_restore(token);
    CHECK(!is_blocked());
    CHECK(!is_pending());
    CHECK_EQ(pipes, 0);
    write_to_nobody();
    CHECK_EQ(pipes, 1);
    (void)signal(SIGPIPE, before);
}

static void sigpipe_that_the_caller_blocks_stays_blocked(void)
{
    uint32_t token;
    pipes = 0;
    void (*before)(int) = signal(SIGPIPE, count_pipe);
    block(SIG_BLOCK);
    port()->sigpipe_block(&token);
    write_to_nobody();
    port()->sigpipe_restore(token);
    CHECK(is_blocked());
    CHECK(!is_pending());
    block(SIG_UNBLOCK);
    CHECK_EQ(pipes, 0);
    (void)signal(SIGPIPE, before);
}

static void sigpipe_that_was_pending_stays_pending(void)
{
    uint32_t token;
    pipes = 0;
    void (*before)(int) = signal(SIGPIPE, count_pipe);
    block(SIG_BLOCK);
    write_to_nobody();
    port()->sigpipe_block(&token);
    write_to_nobody();
    port()->sigpipe_restore(token);
    CHECK(is_pending());
    CHECK_EQ(pipes, 0);
    block(SIG_UNBLOCK);
    CHECK_EQ(pipes, 1);
    (void)signal(SIGPIPE, before);
}

static void sigpipe_blocks_nest(void)
{
    uint32_t outer;
    uint32_t inner;
    port()->sigpipe_block(&outer);
    port()->sigpipe_block(&inner);
    port()->sigpipe_restore(inner);
    CHECK(is_blocked());
    port()->sigpipe_restore(outer);
    CHECK(!is_blocked());
}

/* ---- clocks, files, names -------------------------------------------------------------------- */

static void clocks_do_not_step_back(void)
{
    uint64_t now = port()->now_ns();
    uint64_t ticks = port()->ticks_ns();
    CHECK(now > 0 && now != GYRE_NEVER);
    for (int i = 0; i < 1000; i++) {
        uint64_t next = port()->now_ns();
        CHECK_GE(next, now);
        now = next;
        next = port()->ticks_ns();
        CHECK_GE(next, ticks);
        ticks = next;
    }
}

static void files_are_read_whole_or_not_at_all(void)
{
    char path[] = "/tmp/gyre-test-XXXXXX";
    char text[8];
    int fd = mkostemp(path, O_CLOEXEC);
    if (!CHECK(fd >= 0))
        return;
    CHECK_EQ(port()->read_file(path, text, sizeof(text)), 0);
    CHECK_STR(text, "");
    CHECK_EQ(write(fd, "1234567", 7), 7);
    CHECK_EQ(port()->read_file(path, text, sizeof(text)), 7);
    CHECK_STR(text, "1234567");
    CHECK_EQ(port()->read_file(path, text, 7), -E2BIG);
    CHECK_EQ(port()->read_file("/tmp", text, sizeof(text)), -EISDIR);
    close(fd);
    unlink(path);
    CHECK_EQ(port()->read_file(path, text, sizeof(text)), -ENOENT);
}

static void files_without_a_size_are_read(void)
{
    char text[4096];
    int64_t length = port()->read_file("/proc/self/status", text, sizeof(text));
    CHECK_GE(length, 100);
    CHECK(strstr(text, "Pid:") != NULL);
    CHECK_EQ(strlen(text), length);
}

static void localhost_resolves_without_a_network(void)
{
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
    unsigned count = 0;
    bool ipv4 = false;
    if (!CHECK_EQ(port()->resolve("localhost", "80", texts, &count), 0))
        return;
    CHECK(count >= 1 && count <= GYRE_ADDRESSES_MAX);
    for (unsigned i = 0; i < count; i++) {
        ipv4 = ipv4 || strcmp(texts[i], "127.0.0.1:80") == 0;
        CHECK(strcmp(texts[i], "127.0.0.1:80") == 0 || strcmp(texts[i], "[::1]:80") == 0);
        for (unsigned j = 0; j < i; j++)
            CHECK(strcmp(texts[i], texts[j]) != 0);
    }
    CHECK(ipv4);
}

static void numeric_hosts_resolve_to_themselves(void)
{
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
    unsigned count = 0;
    CHECK_EQ(port()->resolve("192.0.2.7", "443", texts, &count), 0);
    CHECK_EQ(count, 1);
    CHECK_STR(texts[0], "192.0.2.7:443");
}

static void names_that_nobody_has_do_not_resolve(void)
{
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
    unsigned count = 99;
    int status = port()->resolve("name.invalid", "80", texts, &count);
    CHECK(status == -EADDRNOTAVAIL || status == -EAGAIN);
    CHECK_EQ(count, 99);
}

static void random_numbers_differ(void)
{
    uint64_t first = port()->random();
    uint64_t second = port()->random();
    CHECK_NE(first, second);
    CHECK((first | second) > UINT32_MAX);
}

static void environment_tells_what_is_set(void)
{
    CHECK_EQ(setenv("GYRE_TEST_VARIABLE", "value", 1), 0);
    CHECK_STR(gyre__port_environment("GYRE_TEST_VARIABLE"), "value");
    CHECK_EQ(unsetenv("GYRE_TEST_VARIABLE"), 0);
    CHECK(gyre__port_environment("GYRE_TEST_VARIABLE") == NULL);
}

/* ---- reports --------------------------------------------------------------------------------- */

static void symbols_of_libraries_have_names_and_others_a_place(void)
{
    char text[64] = "";
    int local = 0;
    union {
        pid_t (*function)(void);
        const void *address;
    } known = {.function = getpid};
    CHECK(strstr(gyre__port_symbol(known.address, text, sizeof(text)), "getpid") != NULL);
    const char *name = gyre__port_symbol(&local, text, sizeof(text));
    CHECK(name[0] != '\0' && strlen(name) < sizeof(text));
    CHECK(strlen(gyre__port_symbol(&local, text, 4)) < 4);
}

/* What `fn` writes to standard error in a process of its own, and how that ends. */
static int in_child(void (*fn)(void), char *text, size_t bytes)
{
    int fds[2];
    int status = -1;
    if (!CHECK_EQ(pipe2(fds, O_CLOEXEC), 0))
        return -1;
    pid_t child = fork();
    if (child == 0) {
        (void)dup2(fds[1], STDERR_FILENO);
        fn();
        _exit(0);
    }
    close(fds[1]);
    size_t used = 0;
    ssize_t got;
    while ((got = read(fds[0], text + used, bytes - 1 - used)) > 0)
        used += (size_t)got;
    text[used] = '\0';
    close(fds[0]);
    CHECK_EQ(waitpid(child, &status, 0), child);
    return status;
}

static void log_two_lines(void)
{
    gyre__port_write_log("first");
    gyre__port_write_log("");
}

static void give_up(void)
{
    (void)signal(SIGABRT, SIG_DFL);
    gyre__port_abort("a reason");
}

static void log_lines_go_to_standard_error(void)
{
    char text[256];
    CHECK_EQ(in_child(log_two_lines, text, sizeof(text)), 0);
    CHECK_STR(text, "gyre: first\ngyre: \n");
}

static void abort_says_why(void)
{
    char text[256];
    int status = in_child(give_up, text, sizeof(text));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    CHECK(strstr(text, "a reason\n") != NULL);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(allocator_is_the_users_until_a_block_is_taken),
    PLAIN_CASE(memory_is_zeroed_each_time),
    PLAIN_CASE(threads_block_all_signals_and_bear_their_name),
    PLAIN_CASE(long_names_are_cut),
    PLAIN_CASE(threads_of_a_pinned_thread_are_not_pinned),
    PLAIN_CASE(pinning_to_a_cpu_that_is_not_there_is_refused),
    PLAIN_CASE(threads_can_be_left_alone),
    PLAIN_CASE(park_returns_when_the_word_is_another),
    PLAIN_CASE(cpus_are_those_of_the_process),
    PLAIN_CASE(end_of_a_thread_calls_the_last_hook_once),
    PLAIN_CASE(sigpipe_that_came_in_between_is_consumed),
    PLAIN_CASE(sigpipe_that_the_caller_blocks_stays_blocked),
    PLAIN_CASE(sigpipe_that_was_pending_stays_pending),
    PLAIN_CASE(sigpipe_blocks_nest),
    PLAIN_CASE(clocks_do_not_step_back),
    PLAIN_CASE(files_are_read_whole_or_not_at_all),
    PLAIN_CASE(files_without_a_size_are_read),
    PLAIN_CASE(localhost_resolves_without_a_network),
    PLAIN_CASE(numeric_hosts_resolve_to_themselves),
    PLAIN_CASE(names_that_nobody_has_do_not_resolve),
    PLAIN_CASE(random_numbers_differ),
    PLAIN_CASE(environment_tells_what_is_set),
    PLAIN_CASE(symbols_of_libraries_have_names_and_others_a_place),
    PLAIN_CASE(log_lines_go_to_standard_error),
    PLAIN_CASE(abort_says_why),
};

PLAIN_MAIN(cases)
