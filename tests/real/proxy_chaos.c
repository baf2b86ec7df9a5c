/* SPDX-License-Identifier: MIT */
/*
 * proxy_chaos - clients and origins that do anything at any time: send, read, wait, end a
 * direction, close with bytes unread, reset. Whatever they do, every pair ends, no descriptor
 * stays, and the proxy goes on.
 *
 * Actions are drawn from a seed (GYRE_CHAOS_SEED, 1), the times between them are the system's.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"

enum {
    CLIENT_THREADS = 4,
    CLIENTS = 300, /* of each thread */
    ORIGIN_THREADS = 4,
    ACTIONS_MAX = 8,
    BYTES_MAX = 200000,
    PATIENCE_MS = 30000 /* for the last pairs: a machine may be loaded, and a sanitizer is slow */
};

struct actor {
    pthread_t thread;
    uint64_t state; /* of its random numbers */
    struct sockaddr_in proxy; /* of a client */
    int listener; /* of an origin */
};

static atomic_bool over;
static char bytes[BYTES_MAX];

static unsigned draw(struct actor *actor, unsigned below)
{
    actor->state = actor->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(actor->state >> 33) % below;
}

/* Does up to ACTIONS_MAX things to a connection, and ends it. Errors are the other side's doing. */
static void act(struct actor *actor, int fd)
{
    unsigned actions = draw(actor, ACTIONS_MAX);
    char chunk[4096];

    for (unsigned i = 0; i < actions; i++) {
        switch (draw(actor, 5)) {
        case 0:
            (void)send(fd, bytes, draw(actor, BYTES_MAX), MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case 1:
            (void)send(fd, bytes, 1 + draw(actor, 100), MSG_DONTWAIT | MSG_NOSIGNAL);
            break;
        case 2:
            if (flow_wait(fd, POLLIN, 2))
                (void)recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT);
            break;
        case 3:
            while (flow_wait(fd, POLLIN, 2) && recv(fd, chunk, sizeof(chunk), MSG_DONTWAIT) > 0)
                continue;
            break;
        default:
            (void)shutdown(fd, SHUT_WR);
            break;
        }
    }
    if (draw(actor, 3) == 0)
        flow_reset(fd);
    else
        close(fd);
}

static void *be_clients(void *arg)
{
    struct actor *actor = arg;

    for (unsigned i = 0; i < CLIENTS; i++) {
        int fd = flow_connect_unless_reset(&actor->proxy); /* the origin may be that quick */
        if (fd >= 0)
            act(actor, fd);
    }
    return NULL;
}

static void *be_origins(void *arg)
{
    struct actor *actor = arg;

    /* Acquire: pairs with the store that follows the last client. */
    while (!atomic_load_explicit(&over, memory_order_acquire)) {
        int fd = flow_wait(actor->listener, POLLIN, 20)
                     ? accept4(actor->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
                     : -1;
        if (fd >= 0)
            act(actor, fd);
    }
    return NULL;
}

static void run_actors(const struct child *proxy, const int listeners[2])
{
    struct actor clients[CLIENT_THREADS], origins[ORIGIN_THREADS];
    uint64_t seed = (uint64_t)plain_number("GYRE_CHAOS_SEED", 1);

    atomic_store_explicit(&over, false, memory_order_relaxed);
    for (unsigned i = 0; i < ORIGIN_THREADS; i++) {
        CHECK_EQ(fcntl(listeners[i % 2], F_SETFL, O_NONBLOCK), 0); /* two threads share it */
        origins[i] = (struct actor){.state = seed * 1000 + i, .listener = listeners[i % 2]};
        CHECK_EQ(pthread_create(&origins[i].thread, NULL, be_origins, &origins[i]), 0);
    }
    for (unsigned i = 0; i < CLIENT_THREADS; i++) {
        clients[i] = (struct actor){.state = seed * 2000 + i, .proxy = child_address(proxy)};
        CHECK_EQ(pthread_create(&clients[i].thread, NULL, be_clients, &clients[i]), 0);
    }
    for (unsigned i = 0; i < CLIENT_THREADS; i++)
        CHECK_EQ(pthread_join(clients[i].thread, NULL), 0);
    atomic_store_explicit(&over, true, memory_order_release);
    for (unsigned i = 0; i < ORIGIN_THREADS; i++)
        CHECK_EQ(pthread_join(origins[i].thread, NULL), 0);
}

static void whatever_peers_do_every_pair_ends(void)
{
    char texts[3][32], all[120];
    int listeners[2] = {flow_listen(512, texts[0]), flow_listen(512, texts[1])};
    struct child_counters counters;
    struct child proxy;
    unsigned descriptors;
    uint64_t began;

    flow_dead_address(texts[2]);
    snprintf(all, sizeof(all), "%s,%s,%s", texts[0], texts[2], texts[1]);
    static const char *const no_arguments[] = {NULL};
    if (!child_start_proxy(&proxy, 0, all, no_arguments)) {
        close(listeners[0]);
        close(listeners[1]);
        return;
    }
    descriptors = child_descriptors(&proxy);
    began = flow_now_ms();
    run_actors(&proxy, listeners);
    close(listeners[0]); /* resets what nobody accepted */
    close(listeners[1]);
    plain_note("%d clients in %llu ms", CLIENT_THREADS * CLIENTS,
               (unsigned long long)(flow_now_ms() - began));

    for (began = flow_now_ms();
         child_descriptors(&proxy) != descriptors && flow_now_ms() - began < PATIENCE_MS;)
        flow_sleep_ms(10);
    CHECK_EQ(child_descriptors(&proxy), descriptors);
    began = flow_now_ms();
    kill(proxy.pid, SIGTERM);
    CHECK_EQ(child_wait(&proxy, 20000), 0);
    CHECK_LE(flow_now_ms() - began, 5000); /* nothing was left to wait for */
    counters = child_counters(&proxy);
    CHECK_EQ(counters.accepted, CLIENT_THREADS * CLIENTS);
    CHECK_EQ(counters.active, 0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(whatever_peers_do_every_pair_ends),
};

PLAIN_MAIN(cases)
