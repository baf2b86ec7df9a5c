/* SPDX-License-Identifier: MIT */
/*
 * main - gyre-proxy as a program: options, signals and the lines of counters around proxy.c.
 *
 * Threads   The main thread has no loop. It waits in sigtimedwait for a signal or the next line of
 *           counters, and without --stats-interval it sleeps until a signal: an idle proxy makes
 *           no system call at all.
 * Signals   Blocked before the first thread is made, so that only sigtimedwait sees them. SIGUSR1
 *           is how a loop tells the main thread that the last pair has ended.
 * Output    Counters on standard output, a line a loop; everything else on standard error.
 * Exit      0: stopped by a signal, or only printed; 2: an option or address is wrong; 1: the
 *           system failed us.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "options.h"
#include "proxy.h"

enum {
    EXIT_USAGE = 2,
    NS_PER_MS = 1000000,
    NS_PER_S = 1000000000,
    DRAIN_S = 10 /* how long SIGTERM waits for pairs to end */
};

struct program {
    struct options options;
    struct gyre_runtime *runtime;
    struct proxy *proxy;
    sigset_t signals;
};

static atomic_bool drained;

static const char *text_of(int error)
{
    return gyre_error_name(error) != NULL ? gyre_error_text(error) : strerror(-error);
}

/* The list's sentences are about any function; these are about an address. */
static const char *text_of_address(int error)
{
    switch (error) {
    case -EINVAL:
        return "not an address (host:port, [ipv6]:port, unix:/path)";
    case -EADDRNOTAVAIL:
        return "not an address of this machine, or a name that does not resolve";
    case -ENOENT:
        return "no such directory";
    case -EAGAIN:
        return "the name does not resolve for now";
    default:
        return text_of(error);
    }
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void print_counters(const struct program *program)
{
    struct proxy_counters counters;

    for (unsigned i = 0; i < gyre_runtime_loops(program->runtime); i++) {
        proxy_count(program->proxy, i, &counters);
        printf("loop=%u accepted=%" PRIu64 " active=%" PRIu64 " failed_connects=%" PRIu64
               " bytes_up=%" PRIu64 " bytes_down=%" PRIu64 "\n",
               i, counters.accepted, counters.active, counters.failed_connects, counters.bytes_up,
               counters.bytes_down);
    }
    (void)fflush(stdout); /* whoever read it may be gone: no reason to stop proxying */
}

static uint64_t active_pairs(const struct program *program)
{
    struct proxy_counters counters;
    uint64_t active = 0;

    for (unsigned i = 0; i < gyre_runtime_loops(program->runtime); i++) {
        proxy_count(program->proxy, i, &counters);
        active += counters.active;
    }
    return active;
}

static int tell_drained(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    /* Release: pairs with the acquire in serve. The signal alone could be anybody's. */
    atomic_store_explicit(&drained, true, memory_order_release);
    return kill(getpid(), SIGUSR1) == 0 ? 0 : -errno;
}

/* Waits for one of our signals, until `deadline_ns` at most. 0: the time has come. */
static int wait_signal(const struct program *program, uint64_t deadline_ns)
{
    uint64_t now = now_ns();
    uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left / NS_PER_S),
                               .tv_nsec = (long)(left % NS_PER_S)};
    int got = sigtimedwait(&program->signals, NULL, deadline_ns == GYRE_NEVER ? NULL : &timeout);

    return got > 0 ? got : 0;
}

/* Returns when the proxy should end. */
static void serve(const struct program *program)
{
    uint64_t interval_ns = (uint64_t)program->options.stats_interval_s * NS_PER_S;
    uint64_t stats_ns = interval_ns != 0 ? now_ns() + interval_ns : GYRE_NEVER;
    uint64_t drain_ns = GYRE_NEVER;

    for (;;) {
        int got = wait_signal(program, stats_ns < drain_ns ? stats_ns : drain_ns);
        if (got == SIGINT)
            return;
        if (got == SIGTERM && drain_ns == GYRE_NEVER) {
            drain_ns = now_ns() + (uint64_t)DRAIN_S * NS_PER_S;
            proxy_stop(program->proxy, tell_drained, NULL);
        }
        /* Acquire: pairs with the release in tell_drained; the counters are the last ones. */
        if (atomic_load_explicit(&drained, memory_order_acquire))
            return;
        if (now_ns() >= drain_ns) {
            fprintf(stderr, "gyre-proxy: %" PRIu64 " pairs are cut off after %d s\n",
                    active_pairs(program), DRAIN_S);
            return;
        }
        if (now_ns() >= stats_ns) {
            print_counters(program);
            while (stats_ns <= now_ns())
                stats_ns += interval_ns;
        }
    }
}

static void block_signals(struct program *program)
{
    sigemptyset(&program->signals);
    sigaddset(&program->signals, SIGINT);
    sigaddset(&program->signals, SIGTERM);
    sigaddset(&program->signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &program->signals, NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* a reader of the counters may go */
}

/* A pair takes two descriptors, and the usual soft limit is for programs that use select. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* refused: fewer pairs, no harm */
    }
}

/* The loops are ending: by our stop, or because one of them has failed. */
static int tell_ending(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)index;
    return tell_drained(loop, 0, arg);
}

/* What the environment says, NULL for nothing. */
static const char *variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && value[0] != '\0' ? value : NULL;
}

static bool is_known(const char *name)
{
    static const char *const backends[] = {"auto", "epoll", "poll"};
    size_t count = sizeof(backends) / sizeof(backends[0]), at = 0;

    while (at < count && strcmp(backends[at], name) != 0)
        at++;
    return at < count;
}

/* The library has no backend or no waker of a name that was given, or the system lacks it. False:
 * no name was given. */
static bool blame_name(const struct options *options, int error)
{
    const char *given = options->backend != NULL ? "--backend " : "GYRE_BACKEND=";
    const char *backend = options->backend != NULL ? options->backend : variable("GYRE_BACKEND");
    const char *waker = variable("GYRE_WAKER");

    if (backend != NULL && error == -ENOTSUP)
        fprintf(stderr, "gyre-proxy: %s%s: this system lacks the backend\n", given, backend);
    else if (backend != NULL && !is_known(backend))
        fprintf(stderr, "gyre-proxy: %s%s: no such backend: it is auto, epoll or poll\n", given,
                backend);
    else if (waker != NULL && error == -ENOENT)
        fprintf(stderr, "gyre-proxy: GYRE_WAKER=%s: no such waker: it is auto, eventfd or pipe\n",
                waker);
    else
        return false;
    return true;
}

static int make_runtime(struct program *program)
{
    const struct options *options = &program->options;
    struct gyre_runtime_options runtime_options;
    struct gyre_loop_options loop_options;
    int error;

    gyre_loop_options_init(&loop_options);
    loop_options.backend = options->backend;
    gyre_runtime_options_init(&runtime_options);
    runtime_options.loops = options->loops;
    runtime_options.loop = &loop_options;
    runtime_options.teardown = tell_ending;
    error = gyre_runtime_create(&runtime_options, &program->runtime);
    if ((error == -ENOENT || error == -ENOTSUP) && blame_name(options, error))
        return EXIT_USAGE;
    if (error != 0) {
        fprintf(stderr, "gyre-proxy: the loops cannot be made: %s\n", text_of(error));
        return EXIT_FAILURE;
    }
    return 0;
}

static int print_plan(const struct program *program)
{
    size_t bytes = gyre_runtime_plan(program->runtime, NULL, 0) + 1;
    char *text = malloc(bytes);

    if (text == NULL)
        return EXIT_FAILURE;
    (void)gyre_runtime_plan(program->runtime, text, bytes);
    fputs(text, stdout);
    free(text);
    return fflush(stdout) == 0 ? 0 : EXIT_FAILURE;
}

static int open_proxy(struct program *program)
{
    const struct options *options = &program->options;
    struct proxy_options proxy_options = {
        .listen = options->listen,
        .upstreams = options->upstreams,
        .upstreams_count = options->upstreams_count,
        .connect_timeout_ns = (uint64_t)options->connect_timeout_ms * NS_PER_MS,
        .idle_ns = (uint64_t)options->idle_timeout_ms * NS_PER_MS,
    };
    const char *culprit;
    int error = proxy_open(program->runtime, &proxy_options, &program->proxy, &culprit);

    if (error == 0)
        return 0;
    if (culprit == NULL) {
        fprintf(stderr, "gyre-proxy: %s\n", text_of(error));
        return EXIT_FAILURE;
    }
    fprintf(stderr, "gyre-proxy: --%s %s: %s\n", culprit == options->listen ? "listen" : "upstream",
            culprit, text_of_address(error));
    return EXIT_USAGE;
}

static int run(struct program *program)
{
    char address[GYRE_ADDRESS_MAX];
    int error = gyre_runtime_start(program->runtime);

    if (error == 0)
        error = proxy_address(program->proxy, address, sizeof(address));
    if (error != 0) {
        fprintf(stderr, "gyre-proxy: the loops cannot be started: %s\n", text_of(error));
        return EXIT_FAILURE;
    }
    fprintf(stderr, "gyre-proxy: listening at %s with %u loops on %s\n", address,
            gyre_runtime_loops(program->runtime),
            gyre_loop_backend(gyre_runtime_loop(program->runtime, 0)));
    serve(program);
    proxy_close(program->proxy);
    gyre_runtime_stop(program->runtime);
    error = gyre_runtime_join(program->runtime);
    print_counters(program);
    if (error != 0) {
        fprintf(stderr, "gyre-proxy: a loop failed: %s\n", text_of(error));
        return EXIT_FAILURE;
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct program program;
    int status;

    if (!options_parse(argc, argv, &program.options, &status))
        return status;
    block_signals(&program);
    raise_descriptor_limit();
    status = make_runtime(&program);
    if (status == 0 && program.options.print_plan) {
        status = print_plan(&program);
    } else if (status == 0) {
        status = open_proxy(&program);
        if (status == 0)
            status = run(&program);
    }
    gyre_runtime_destroy(program.runtime);
    proxy_destroy(program.proxy);
    return status;
}
