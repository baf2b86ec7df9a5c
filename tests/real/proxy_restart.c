/* SPDX-License-Identifier: MIT */
/*
 * proxy_restart - an upstream that is killed and started again under load: what fails is counted,
 * service comes back, and nobody sees a wrong byte.
 *
 * Clients   Threads that ask http_hello through the proxy, several times on each connection, and
 *           compare all that comes with what should. A connection that is cut must have brought the
 *           beginning of it.
 * Phases    The main thread numbers them: even ones with the upstream, odd ones without. A
 *           connection that begins and ends in one odd phase has met no upstream: that much is
 *           certain, whenever the kernel let whom run.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"

enum {
    CLIENTS = 4,
    ROUNDS = 4,
    ASKED_MAX = 3, /* on one connection */
    UP_MS = 100,
    DOWN_MS = 100,
    RESUME_MS = 2000,
    BODY = 10000000 /* more than the sockets on its way hold: a kill cuts it */
};

static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
static char expected[BODY + 200];
static size_t expected_bytes;

static atomic_uint phase;
static atomic_bool over;

struct client {
    pthread_t thread;
    struct sockaddr_in proxy;
    unsigned begun; /* the phase in which its connection was begun */
    atomic_uint served_phase; /* in which a connection was begun that brought bytes */
    uint64_t connections, answers;
    uint64_t empty; /* connections that ended without a byte */
    uint64_t cut; /* that ended within an answer */
    uint64_t certain; /* that ended without an answer, and began and ended in one odd phase */
    uint64_t wrong; /* answers with other bytes than expected */
};

static void make_expected(void)
{
    static const char body[] = "hello, world\n";
    int head = snprintf(expected, sizeof(expected),
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: "
                        "%d\r\n\r\n",
                        BODY);

    for (size_t i = 0; i < BODY; i++)
        expected[(size_t)head + i] = body[i % (sizeof(body) - 1)];
    expected_bytes = (size_t)head + BODY;
}

/* ---- clients --------------------------------------------------------------------------------- */

/* How many bytes of an answer came; each was compared. */
static size_t ask(struct client *client, int fd)
{
    static _Thread_local char bytes[32768];
    size_t got = 0;

    if (!flow_put(fd, request, sizeof(request) - 1))
        return 0;
    while (got < expected_bytes) {
        size_t left = expected_bytes - got;
        ssize_t part = recv(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);
        if (part <= 0) {
            CHECK(part == 0 || errno == ECONNRESET); /* cut; and not silent for 20 s */
            break;
        }
        if (memcmp(bytes, expected + got, (size_t)part) != 0) {
            client->wrong++;
            break;
        }
        got += (size_t)part;
        /* Release: pairs with the acquire of the main thread, which waits for it. */
        atomic_store_explicit(&client->served_phase, client->begun, memory_order_release);
    }
    return got;
}

/* One connection: up to ASKED_MAX answers. False if it ended before. */
static bool use_connection(struct client *client)
{
    /* Acquire: pairs with the releases of the phases; what was killed before has been. */
    unsigned begun = atomic_load_explicit(&phase, memory_order_acquire), asked = 0;
    int fd = flow_connect_unless_reset(&client->proxy);
    size_t got = 0;

    client->begun = begun;
    client->connections++;
    while (fd >= 0 && asked < ASKED_MAX && (got = ask(client, fd)) == expected_bytes) {
        asked++;
        client->answers++;
    }
    if (fd >= 0)
        close(fd);
    if (asked == ASKED_MAX)
        return true;
    client->empty += asked == 0 && got == 0;
    client->cut += got != 0;
    client->certain +=
        asked == 0 && begun % 2 == 1 && begun == atomic_load_explicit(&phase, memory_order_acquire);
    return false;
}

static void *be_client(void *arg)
{
    struct client *client = arg;

    /* Acquire: pairs with the release of the end. */
    while (!atomic_load_explicit(&over, memory_order_acquire)) {
        if (!use_connection(client))
            flow_sleep_ms(1); /* as a client would before it tries again */
    }
    return NULL;
}

static void start_clients(struct client *clients, const struct child *proxy)
{
    atomic_store_explicit(&phase, 0, memory_order_relaxed); /* the threads are not there yet */
    atomic_store_explicit(&over, false, memory_order_relaxed);
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.proxy = child_address(proxy), .served_phase = UINT32_MAX};
        CHECK_EQ(pthread_create(&clients[i].thread, NULL, be_client, &clients[i]), 0);
    }
}

/* Joins them, and adds them up in the first. */
static struct client stop_clients(struct client *clients)
{
    struct client sum = {0};

    atomic_store_explicit(&over, true, memory_order_release);
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK_EQ(pthread_join(clients[i].thread, NULL), 0);
        sum.connections += clients[i].connections;
        sum.answers += clients[i].answers;
        sum.empty += clients[i].empty;
        sum.cut += clients[i].cut;
        sum.certain += clients[i].certain;
        sum.wrong += clients[i].wrong;
    }
    CHECK_EQ(sum.wrong, 0);
    return sum;
}

/* Waits until each client was served in this phase; how long that took. */
static uint64_t wait_until_all_are_served(const struct client *clients, unsigned now)
{
    uint64_t began = flow_now_ms();
    unsigned served = 0;

    while (served < CLIENTS && flow_now_ms() - began < 10 * RESUME_MS) {
        if (atomic_load_explicit(&clients[served].served_phase, memory_order_acquire) == now)
            served++;
        else
            flow_sleep_ms(1);
    }
    CHECK_EQ(served, CLIENTS);
    return flow_now_ms() - began;
}

/* ---- upstreams ------------------------------------------------------------------------------- */

static bool start_origin(struct child *origin, const char *address)
{
    char bytes[16];
    const char *const arguments[] = {"--listen", address, "--body-bytes", bytes, NULL};

    snprintf(bytes, sizeof(bytes), "%d", BODY);
    return child_start(origin, 0, "http_hello", arguments);
}

/* Kills and restarts `origin` again and again; the longest time to serve again. `always`: the
 * clients are served meanwhile, too. */
static uint64_t kill_and_restart(struct child *origin, const char *address,
                                 const struct client *clients, bool always)
{
    uint64_t longest = 0, took;

    for (unsigned now = 0; now < 2 * ROUNDS;) {
        flow_sleep_ms(UP_MS); /* of load */
        child_kill(origin);
        atomic_store_explicit(&phase, ++now, memory_order_release);
        flow_sleep_ms(DOWN_MS);
        if (always)
            (void)wait_until_all_are_served(clients, now); /* checked there */
        /* In the next phase the upstream may be there; the time runs from when it listens. */
        atomic_store_explicit(&phase, ++now, memory_order_release);
        if (!start_origin(origin, address))
            break;
        took = wait_until_all_are_served(clients, now);
        longest = took > longest ? took : longest;
    }
    return longest;
}

static void note(const struct client *sum, const struct child_counters *counters, uint64_t longest)
{
    plain_note("%d kills: %llu answers on %llu connections, of which %llu were cut and %llu had no "
               "byte; %llu failed connects; served again after %llu ms at most",
               ROUNDS, (unsigned long long)sum->answers, (unsigned long long)sum->connections,
               (unsigned long long)sum->cut, (unsigned long long)sum->empty,
               (unsigned long long)counters->failed_connects, (unsigned long long)longest);
}

/* ---- cases ----------------------------------------------------------------------------------- */

static const char *const no_arguments[] = {NULL};

static void a_killed_upstream_is_used_again_once_it_is_back(void)
{
    struct client clients[CLIENTS], sum;
    struct child_counters counters;
    struct child origin, proxy;
    char address[32];
    uint64_t longest;

    make_expected();
    flow_dead_address(address);
    if (!start_origin(&origin, address))
        return;
    if (child_start_proxy(&proxy, 0, address, no_arguments)) {
        start_clients(clients, &proxy);
        longest = kill_and_restart(&origin, address, clients, false);
        sum = stop_clients(clients);
        child_stop(&proxy);
        counters = child_counters(&proxy);
        note(&sum, &counters, longest);
        CHECK_LE(longest, RESUME_MS);
        CHECK_EQ(counters.accepted, sum.connections);
        CHECK_GE(sum.certain, 1); /* or there was no load */
        CHECK_GE(sum.cut, 1);
        CHECK_GE(counters.failed_connects, sum.certain);
        CHECK_LE(counters.failed_connects, sum.empty);
    }
    if (origin.pid != 0)
        child_stop(&origin);
}

static void while_one_upstream_is_down_the_other_serves_all(void)
{
    struct client clients[CLIENTS], sum;
    struct child_counters counters;
    struct child origins[2], proxy;
    char addresses[2][32], both[80];
    uint64_t longest;

    make_expected();
    flow_dead_address(addresses[0]);
    flow_dead_address(addresses[1]);
    snprintf(both, sizeof(both), "%s,%s", addresses[0], addresses[1]);
    if (!start_origin(&origins[0], addresses[0]))
        return;
    if (start_origin(&origins[1], addresses[1])) {
        if (child_start_proxy(&proxy, 0, both, no_arguments)) {
            start_clients(clients, &proxy);
            longest = kill_and_restart(&origins[0], addresses[0], clients, true);
            sum = stop_clients(clients);
            child_stop(&proxy);
            counters = child_counters(&proxy);
            note(&sum, &counters, longest);
            CHECK_LE(longest, RESUME_MS);
            CHECK_EQ(counters.accepted, sum.connections);
            CHECK_EQ(sum.certain, 0);
            CHECK_GE(counters.failed_connects, 1);
        }
        child_stop(&origins[1]);
    }
    if (origins[0].pid != 0)
        child_stop(&origins[0]);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_killed_upstream_is_used_again_once_it_is_back),
    PLAIN_CASE(while_one_upstream_is_down_the_other_serves_all),
};

PLAIN_MAIN(cases)
