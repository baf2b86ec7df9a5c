/* SPDX-License-Identifier: MIT */
/*
 * proxy_life - gyre-proxy when things go wrong or end: upstreams that fail, no descriptors left,
 * signals, silence.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"

enum {
    ATTEMPTS = 20,
    IDLE_PAIRS = 1000,
    FEW_DESCRIPTORS = 64,
    MANY_CLIENTS = 200,
    STUCK_CLIENTS = 16 /* more than fit a backlog of 0 */
};

static const char *const no_arguments[] = {NULL};
static const char *const one_loop[] = {"--loops", "1", NULL};

static void expect_text(int fd, const char *expected)
{
    char text[64] = "";

    CHECK(flow_get(fd, text, strlen(expected)));
    CHECK_STR(text, expected);
}

/* Whether a client of the proxy gets to the origin and back; no: it is reset, or 5 s have passed.
 * Pairs of clients that have gone may come to the origin first. */
static bool is_served(const struct sockaddr_in *proxy, int listener)
{
    struct pollfd ready[2] = {{.fd = flow_connect(proxy), .events = POLLIN},
                              {.fd = listener, .events = POLLIN}};
    int client = ready[0].fd;
    char byte = 0;
    bool served = false;

    if (client < 0)
        return false;
    (void)flow_put(client, "x", 1); /* fails when it is reset already */
    while (!served && poll(ready, 2, 5000) > 0 && ready[0].revents == 0) {
        int origin = flow_accept(listener);
        served = flow_get(origin, &byte, 1) && byte == 'x' && flow_put(origin, "y", 1) &&
                 flow_get(client, &byte, 1) && byte == 'y';
        close(origin);
    }
    close(client);
    return served;
}

/* ---- upstreams ------------------------------------------------------------------------------- */

static void upstreams_are_taken_in_turn(void)
{
    char texts[2][32], both[80];
    int listeners[2] = {flow_listen(64, texts[0]), flow_listen(64, texts[1])};
    struct sockaddr_in address;
    struct child proxy;

    snprintf(both, sizeof(both), "%s,%s", texts[0], texts[1]);
    if (child_start_proxy(&proxy, 0, both, one_loop)) {
        address = child_address(&proxy);
        for (unsigned i = 0; i < ATTEMPTS; i++)
            CHECK(is_served(&address, listeners[i % 2]));
        child_stop(&proxy);
        CHECK_EQ(child_counters(&proxy).failed_connects, 0);
    }
    close(listeners[0]);
    close(listeners[1]);
}

static void the_next_upstream_is_tried_when_one_refuses(void)
{
    char dead[2][32], live[32], all[120];
    int listener = flow_listen(64, live);
    struct child_counters counters;
    struct sockaddr_in address;
    struct child proxy;

    flow_dead_address(dead[0]);
    flow_dead_address(dead[1]);
    snprintf(all, sizeof(all), "%s,%s,%s", dead[0], dead[1], live);
    if (child_start_proxy(&proxy, 0, all, one_loop)) {
        address = child_address(&proxy);
        for (unsigned i = 0; i < 3 * ATTEMPTS; i++)
            CHECK(is_served(&address, listener));
        child_stop(&proxy);
        counters = child_counters(&proxy);
        CHECK_EQ(counters.accepted, 3 * ATTEMPTS);
        CHECK_EQ(counters.failed_connects, ATTEMPTS * (2 + 1 + 0)); /* by where the turn begins */
    }
    close(listener);
}

static void the_addresses_of_one_name_are_tried_in_turn(void)
{
    char text[32], named[40];
    int listener = flow_listen(64, text); /* at 127.0.0.1 alone; the name may say ::1 first */
    struct sockaddr_in address;
    struct child proxy;

    snprintf(named, sizeof(named), "localhost:%s", strrchr(text, ':') + 1);
    if (child_start_proxy(&proxy, 0, named, no_arguments)) {
        address = child_address(&proxy);
        for (unsigned i = 0; i < ATTEMPTS; i++)
            CHECK(is_served(&address, listener));
        child_stop(&proxy);
        CHECK_EQ(child_counters(&proxy).failed_connects, 0);
    }
    close(listener);
}

static void a_client_is_reset_when_every_upstream_refuses(void)
{
    char dead[2][32], both[80];
    struct child_counters counters;
    struct sockaddr_in address;
    struct child proxy;

    flow_dead_address(dead[0]);
    flow_dead_address(dead[1]);
    snprintf(both, sizeof(both), "%s,%s", dead[0], dead[1]);
    if (!child_start_proxy(&proxy, 0, both, no_arguments))
        return;
    address = child_address(&proxy);
    for (unsigned i = 0; i < ATTEMPTS; i++) {
        int client = flow_connect_unless_reset(&address);
        if (client < 0)
            continue;
        CHECK_EQ(flow_end(client), ECONNRESET);
        close(client);
    }
    child_stop(&proxy);
    counters = child_counters(&proxy);
    CHECK_EQ(counters.accepted, ATTEMPTS);
    CHECK_EQ(counters.active, 0);
    CHECK_EQ(counters.failed_connects, 2 * ATTEMPTS);
}

static void an_upstream_that_does_not_answer_is_given_up_in_time(void)
{
    static const char *const arguments[] = {"--connect-timeout", "300", NULL};
    char text[32];
    int stuck[STUCK_CLIENTS];
    int listener = flow_listen(0, text); /* nobody accepts: once it is full, it does not answer */
    struct child proxy = {0};
    struct sockaddr_in address;
    uint64_t began;

    snprintf(proxy.address, sizeof(proxy.address), "%s", text);
    address = child_address(&proxy);
    for (unsigned i = 0; i < STUCK_CLIENTS; i++) {
        stuck[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (connect(stuck[i], (struct sockaddr *)&address, sizeof(address)) != 0)
            CHECK_EQ(errno, EINPROGRESS);
    }
    if (child_start_proxy(&proxy, 0, text, arguments)) {
        address = child_address(&proxy);
        began = flow_now_ms();
        int client = flow_connect(&address);
        CHECK(flow_put(client, "unread", 6));
        CHECK_EQ(flow_end(client), ECONNRESET);
        CHECK_GE(flow_now_ms() - began, 290);
        CHECK_LE(flow_now_ms() - began, 5000);
        close(client);
        child_stop(&proxy);
        CHECK_EQ(child_counters(&proxy).failed_connects, 1);
    }
    for (unsigned i = 0; i < STUCK_CLIENTS; i++)
        close(stuck[i]);
    close(listener);
}

static void a_silent_pair_is_closed_after_the_idle_timeout(void)
{
    static const char *const arguments[] = {"--idle-timeout", "400", NULL};
    char text[32];
    int listener = flow_listen(16, text);
    struct sockaddr_in address;
    struct child proxy;

    if (child_start_proxy(&proxy, 0, text, arguments)) {
        address = child_address(&proxy);
        int client = flow_connect(&address), origin = flow_accept(listener);
        uint64_t began = flow_now_ms(), spoke = began;
        while (flow_now_ms() - began < 1000) { /* not silent: longer than the timeout */
            CHECK(flow_put(client, "x", 1));
            expect_text(origin, "x");
            spoke = flow_now_ms();
            flow_sleep_ms(50);
        }
        CHECK_NE(flow_end(client), EBADMSG);
        CHECK_NE(flow_end(origin), EAGAIN);
        CHECK_GE(flow_now_ms() - spoke, 350);
        CHECK_LE(flow_now_ms() - spoke, 5000);
        close(client);
        close(origin);
        child_stop(&proxy);
        CHECK_EQ(child_counters(&proxy).active, 0);
    }
    close(listener);
}

/* ---- descriptors ----------------------------------------------------------------------------- */

static void without_descriptors_it_idles_and_then_serves_again(void)
{
    char text[32];
    int clients[MANY_CLIENTS], origins[MANY_CLIENTS], origins_count = 0;
    int listener = flow_listen(512, text);
    struct sockaddr_in address;
    struct child proxy;
    uint64_t cpu, began;

    if (!child_start_proxy(&proxy, FEW_DESCRIPTORS, text, no_arguments)) {
        close(listener);
        return;
    }
    address = child_address(&proxy);
    for (unsigned i = 0; i < MANY_CLIENTS; i++)
        clients[i] = flow_connect(&address);
    while (origins_count < MANY_CLIENTS && flow_wait(listener, POLLIN, 500))
        origins[origins_count++] = flow_accept(listener);
    CHECK_GE(origins_count, 10); /* two descriptors a pair, and its own */
    CHECK_LE(origins_count, FEW_DESCRIPTORS / 2);

    cpu = child_cpu_ms(&proxy);
    flow_sleep_ms(1500);
    cpu = child_cpu_ms(&proxy) - cpu;
    plain_note("%d pairs; %llu ms of CPU time in 1500 ms without descriptors", origins_count,
               (unsigned long long)cpu);
    CHECK_LE(cpu, 100);

    for (unsigned i = 0; i < MANY_CLIENTS; i++)
        close(clients[i]);
    for (int i = 0; i < origins_count; i++)
        close(origins[i]);
    began = flow_now_ms();
    /* A client that comes before the proxy has seen the ends may still be reset. */
    while (!is_served(&address, listener) && flow_now_ms() - began < 2000)
        continue;
    CHECK_LE(flow_now_ms() - began, 1000);
    child_stop(&proxy);
    CHECK_EQ(child_counters(&proxy).active, 0);
    close(listener);
}

/* ---- silence --------------------------------------------------------------------------------- */

static void a_thousand_silent_pairs_cost_no_system_call(void)
{
    static int clients[IDLE_PAIRS], origins[IDLE_PAIRS];
    char text[32];
    int listener = flow_listen(128, text);
    bool slept_before, slept_after;
    uint64_t before, after, resident;
    struct sockaddr_in address;
    struct child proxy;

    if (plain_tsan()) {
        close(listener);
        PLAIN_SKIP("the thread sanitizer has a thread of its own, which does not sleep");
    }
    if (!child_start_proxy(&proxy, 0, text, no_arguments)) {
        close(listener);
        return;
    }
    resident = child_resident_kib(&proxy);
    address = child_address(&proxy);
    for (unsigned i = 0; i < IDLE_PAIRS; i++) {
        clients[i] = flow_connect(&address);
        origins[i] = flow_accept(listener);
        CHECK(flow_put(clients[i], "ping", 4)); /* it is joined, and has had buffers */
        expect_text(origins[i], "ping");
        CHECK(flow_put(origins[i], "pong", 4));
        expect_text(clients[i], "pong");
    }
    flow_sleep_ms(200); /* for what the last byte left to do */
    before = child_switches(&proxy, &slept_before);
    flow_sleep_ms(1200);
    after = child_switches(&proxy, &slept_after);
    CHECK(slept_before && slept_after);
    CHECK_EQ(after, before);
    plain_note("%d silent pairs: %llu KiB more than none", IDLE_PAIRS,
               (unsigned long long)(child_resident_kib(&proxy) - resident));
    for (unsigned i = 0; i < IDLE_PAIRS; i++) {
        close(clients[i]);
        close(origins[i]);
    }
    close(listener);
    child_stop(&proxy);
    CHECK_EQ(child_counters(&proxy).accepted, IDLE_PAIRS);
}

/* ---- signals --------------------------------------------------------------------------------- */

static bool is_refused(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool refused = connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
                   errno == ECONNREFUSED;

    close(fd);
    return refused;
}

static void sigterm_lets_pairs_finish_and_then_ends(void)
{
    char text[32];
    int listener = flow_listen(16, text), client, origin;
    struct sockaddr_in address;
    struct child proxy;
    uint64_t began;

    if (!child_start_proxy(&proxy, 0, text, no_arguments)) {
        close(listener);
        return;
    }
    address = child_address(&proxy);
    client = flow_connect(&address);
    origin = flow_accept(listener);
    kill(proxy.pid, SIGTERM);
    for (began = flow_now_ms(); !is_refused(&address) && flow_now_ms() - began < 3000;)
        flow_sleep_ms(10);
    CHECK(is_refused(&address));
    close(listener); /* ends the pairs of those of our own attempts that still got through */
    CHECK(flow_put(client, "still here", 10)); /* the pair has not noticed */
    expect_text(origin, "still here");
    close(client);
    CHECK_EQ(flow_end(origin), 0);
    close(origin);
    began = flow_now_ms();
    CHECK_EQ(child_wait(&proxy, 20000), 0);
    CHECK_LE(flow_now_ms() - began, 5000); /* and not the 10 s of the limit */
    CHECK_EQ(child_counters(&proxy).active, 0);
}

static void sigterm_without_pairs_ends_soon(void)
{
    char text[32];
    int listener = flow_listen(16, text);
    struct child proxy;
    uint64_t began;

    if (child_start_proxy(&proxy, 0, text, no_arguments)) {
        began = flow_now_ms();
        kill(proxy.pid, SIGTERM);
        CHECK_EQ(child_wait(&proxy, 20000), 0);
        CHECK_LE(flow_now_ms() - began, 5000);
    }
    close(listener);
}

static void sigterm_waits_ten_seconds_and_cuts_what_is_left(void)
{
    char text[32];
    int listener = flow_listen(16, text), client, origin;
    struct sockaddr_in address;
    struct child proxy;
    uint64_t began;

    if (child_start_proxy(&proxy, 0, text, no_arguments)) {
        address = child_address(&proxy);
        client = flow_connect(&address);
        origin = flow_accept(listener);
        began = flow_now_ms();
        kill(proxy.pid, SIGTERM);
        CHECK_EQ(child_wait(&proxy, 20000), 0);
        CHECK_GE(flow_now_ms() - began, 9900);
        CHECK_LE(flow_now_ms() - began, 15000);
        CHECK_EQ(flow_end(client), ECONNRESET);
        CHECK_EQ(flow_end(origin), ECONNRESET);
        close(client);
        close(origin);
    }
    close(listener);
}

static void sigint_ends_at_once_also_while_it_drains(void)
{
    char text[32];
    int listener = flow_listen(16, text);

    for (int drain = 0; drain < 2; drain++) {
        struct child proxy;
        if (!child_start_proxy(&proxy, 0, text, no_arguments))
            break;
        struct sockaddr_in address = child_address(&proxy);
        int client = flow_connect(&address), origin = flow_accept(listener);
        uint64_t began = flow_now_ms();
        if (drain != 0) {
            kill(proxy.pid, SIGTERM);
            flow_sleep_ms(300);
        }
        kill(proxy.pid, SIGINT);
        CHECK_EQ(child_wait(&proxy, 20000), 0);
        CHECK_LE(flow_now_ms() - began, 5000);
        CHECK_EQ(flow_end(client), ECONNRESET); /* cut, and not ended */
        CHECK_EQ(flow_end(origin), ECONNRESET);
        close(client);
        close(origin);
    }
    close(listener);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(upstreams_are_taken_in_turn),
    PLAIN_CASE(the_next_upstream_is_tried_when_one_refuses),
    PLAIN_CASE(the_addresses_of_one_name_are_tried_in_turn),
    PLAIN_CASE(a_client_is_reset_when_every_upstream_refuses),
    PLAIN_CASE(an_upstream_that_does_not_answer_is_given_up_in_time),
    PLAIN_CASE(a_silent_pair_is_closed_after_the_idle_timeout),
    PLAIN_CASE(without_descriptors_it_idles_and_then_serves_again),
    PLAIN_CASE(a_thousand_silent_pairs_cost_no_system_call),
    PLAIN_CASE(sigterm_lets_pairs_finish_and_then_ends),
    PLAIN_CASE(sigterm_without_pairs_ends_soon),
    PLAIN_CASE(sigterm_waits_ten_seconds_and_cuts_what_is_left),
    PLAIN_CASE(sigint_ends_at_once_also_while_it_drains),
};

PLAIN_MAIN(cases)
