/* SPDX-License-Identifier: MIT */
/*
 * proxy_burst - very many connections at once: how the loops share them, and that none is lost.
 *
 * Counters   ListenOverflows and ListenDrops are those of a network namespace: where we may make
 *            one (netns.h), what they count is this test's.
 * Clients    Plain descriptors of this process, which does not wait for one before the next. The
 *            origin is http_hello: what is asked and answered shows that each pair is joined.
 *
 * GYRE_BURST (9000) is how many they are.
 */
#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"
#include "netns.h"

enum {
    SHARED = 1000,
    BURST = 9000,
    DESCRIPTORS = 2 * BURST + 1000, /* the proxy's: two a pair */
    ANSWER_MAX = 512
};

static const char *const no_arguments[] = {NULL};
static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";

/* ---- the network ----------------------------------------------------------------------------- */

/* The counter `name` of the section TcpExt: names on one line, numbers on the next. */
static unsigned long long tcp_counter(const char *name)
{
    static char names[16384], numbers[16384];
    FILE *file = fopen("/proc/self/net/netstat", "re");
    unsigned long long value = 0;
    char *name_rest, *number_rest;

    CHECK(file != NULL && fgets(names, sizeof(names), file) != NULL &&
          fgets(numbers, sizeof(numbers), file) != NULL);
    if (file != NULL)
        fclose(file);
    const char *one = strtok_r(names, " \n", &name_rest);
    const char *number = strtok_r(numbers, " \n", &number_rest);
    while (one != NULL && number != NULL && strcmp(one, name) != 0) {
        one = strtok_r(NULL, " \n", &name_rest);
        number = strtok_r(NULL, " \n", &number_rest);
    }
    if (CHECK(one != NULL && number != NULL))
        value = strtoull(number, NULL, 10);
    return value;
}

/* Descriptors for us, and so for the children, which raise their soft limit themselves. */
static bool raise_descriptors(void)
{
    struct rlimit limit;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_max < DESCRIPTORS)
        limit.rlim_max = DESCRIPTORS;
    limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_NOFILE, &limit) == 0;
}

/* ---- clients --------------------------------------------------------------------------------- */

static int connect_without_waiting(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (!CHECK(fd >= 0))
        return -1;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        !CHECK_EQ(errno, EINPROGRESS))
        plain_note("connect: %s", strerror(errno));
    return fd;
}

static bool ask(int fd)
{
    return flow_wait(fd, POLLOUT, 20000) && flow_put(fd, request, sizeof(request) - 1);
}

/* Waits for the whole answer. */
static bool is_answered(int fd)
{
    char answer[ANSWER_MAX + 1] = "";
    size_t got = 0;

    while (strstr(answer, "hello, world\n") == NULL && got < ANSWER_MAX) {
        ssize_t part;
        if (!flow_wait(fd, POLLIN, 20000))
            return false;
        part = recv(fd, answer + got, ANSWER_MAX - got, 0);
        if (part <= 0)
            return false;
        got += (size_t)part;
        answer[got] = '\0';
    }
    return strncmp(answer, "HTTP/1.1 200 OK\r\n", 17) == 0;
}

/* Connects all, then asks on each while all are open. How many were served. */
static unsigned serve_all(const struct child *proxy, unsigned count, uint64_t *ret_connect_ms)
{
    struct sockaddr_in address = child_address(proxy);
    int *fds = calloc(count, sizeof(*fds));
    uint64_t began = flow_now_ms();
    unsigned served = 0;

    if (!CHECK(fds != NULL))
        return 0;
    for (unsigned i = 0; i < count; i++)
        fds[i] = connect_without_waiting(&address);
    *ret_connect_ms = flow_now_ms() - began;
    /* All ask before the first answer is read: the origin's patience with who does not ask ends. */
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0 && !CHECK(ask(fds[i])))
            break;
    }
    for (unsigned i = 0; i < count; i++)
        served += fds[i] >= 0 && is_answered(fds[i]);
    for (unsigned i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    free(fds);
    return served;
}

struct pair_of_programs {
    struct child origin, proxy;
};

static bool begin(struct pair_of_programs *programs)
{
    static const char *const arguments[] = {"--listen", "127.0.0.1:0", NULL};

    if (!child_start(&programs->origin, 0, "http_hello", arguments))
        return false;
    if (child_start_proxy(&programs->proxy, 0, programs->origin.address, no_arguments))
        return true;
    child_stop(&programs->origin);
    return false;
}

static void end(struct pair_of_programs *programs, unsigned count)
{
    struct child_counters counters;

    child_stop(&programs->proxy);
    child_stop(&programs->origin);
    counters = child_counters(&programs->proxy);
    CHECK_EQ(counters.accepted, count);
    CHECK_EQ(counters.failed_connects, 0);
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* The system picks the socket by a hash of the ports: a loop's share is binomial. */
static void check_shares(const struct child *proxy, unsigned count)
{
    struct child_counters counters;
    unsigned loops = 0;
    double even, sigma;

    while (child_loop_counters(proxy, loops, &counters))
        loops++;
    if (!CHECK_GE(loops, 1))
        return;
    even = (double)count / loops;
    sigma = sqrt(even * (1 - 1.0 / loops));
    for (unsigned i = 0; i < loops; i++) {
        CHECK(child_loop_counters(proxy, i, &counters));
        plain_note("loop %u of %u accepted %llu of %u: %+.1f %% of an even share", i, loops,
                   (unsigned long long)counters.accepted, count,
                   100 * ((double)counters.accepted - even) / even);
        /* One run in a million has a share further off. */
        CHECK_LE(fabs((double)counters.accepted - even), 5 * sigma);
    }
}

static void each_loop_accepts_its_share_of_a_thousand(void)
{
    struct pair_of_programs programs;
    uint64_t connect_ms;

    if (!raise_descriptors())
        PLAIN_SKIP("no more descriptors are allowed: %s", strerror(errno));
    (void)netns_enter(); /* before the first child */
    if (!begin(&programs))
        return;
    CHECK_EQ(serve_all(&programs.proxy, SHARED, &connect_ms), SHARED);
    end(&programs, SHARED);
    check_shares(&programs.proxy, SHARED);
}

static void a_burst_of_nine_thousand_is_served_to_the_last(void)
{
    unsigned count = (unsigned)plain_number("GYRE_BURST", BURST);
    struct pair_of_programs programs;
    unsigned long long overflows, drops;
    uint64_t connect_ms, began;
    bool owned;

    if (!raise_descriptors())
        PLAIN_SKIP("%d descriptors are not allowed: %s", DESCRIPTORS, strerror(errno));
    owned = netns_enter();
    if (!begin(&programs))
        return;
    overflows = tcp_counter("ListenOverflows");
    drops = tcp_counter("ListenDrops");
    began = flow_now_ms();
    CHECK_EQ(serve_all(&programs.proxy, count, &connect_ms), count);
    overflows = tcp_counter("ListenOverflows") - overflows;
    drops = tcp_counter("ListenDrops") - drops;
    plain_note("%u connects in %llu ms, all served after %llu ms; ListenOverflows +%llu, "
               "ListenDrops +%llu%s",
               count, (unsigned long long)connect_ms, (unsigned long long)(flow_now_ms() - began),
               overflows, drops, owned ? "" : " (counted by the whole system)");
    CHECK_EQ(overflows, 0);
    CHECK_EQ(drops, 0);
    end(&programs, count);
    check_shares(&programs.proxy, count);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(each_loop_accepts_its_share_of_a_thousand),
    PLAIN_CASE(a_burst_of_nine_thousand_is_served_to_the_last),
};

PLAIN_MAIN(cases)
