/* SPDX-License-Identifier: MIT */
/*
 * proxy_rude - peers that make no way for others, all at once: slow readers, silent ones, and those
 * that send without end and never read. The proxy's memory stays in bounds, the silent ones go when
 * the idle timeout says so, and everybody else is served meanwhile.
 *
 * Threads   Each kind has one that plays all its peers, on both sides, without ever waiting for one
 *           of them. The main thread is the polite client, and its origin. It goes on until those
 *           have gone that have to.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"
#include "lag.h"

enum {
    EACH = 16, /* pairs of each kind */
    IDLE_MS = 1000,
    GIVE_UP_MS = 40000, /* on their ends */
    SLOW_WINDOW = 32768, /* a slow reader's receive buffer: its reads show soon on the other side */
    SLOW_BYTES_MS = 1024, /* a slow reader's: 1 MiB a second, whenever the thread gets to run */
    PART = 65536,
    TURN_MS = 4,
    SERVE_US = 1000000, /* a polite client's time at most, */
    WAKES = 12 /* and so often it waits for a CPU: to connect, accept, ask and answer */
};

enum kind {
    KIND_SLOW, /* the origin sends at full speed, the client reads 1 MiB a second */
    KIND_SILENT, /* nobody says anything */
    KIND_FLOOD, /* the client sends and never reads; the origin sends it all back */
    KIND_DEAF, /* the client sends; the origin never reads */
    KINDS
};

static const char *const kind_names[KINDS] = {"slow", "silent", "flooding", "deaf"};

struct rude {
    enum kind kind;
    int client, origin;
    uint64_t seed, sent, got; /* of a slow one */
    char *echo; /* of a flooding one's origin, not sent yet */
    size_t echo_bytes, echo_at;
    uint64_t ended_ms; /* when either side saw an end or a reset; 0: not yet */
};

/* All of one kind. */
struct crowd {
    pthread_t thread;
    struct rude peers[EACH];
    uint64_t began_ms;
    uint64_t pause_ms; /* the longest that its thread made between two turns */
};

static atomic_bool over;
static atomic_uint ended; /* pairs that have to end */

/* Sends or receives what goes at once. 0: nothing does; -1: the connection has ended. */
static ssize_t outcome(ssize_t moved, struct rude *rude)
{
    if (moved > 0)
        return moved;
    if (moved < 0 && errno == EAGAIN)
        return 0;
    /* Relaxed: a count, which the join publishes in the end. */
    if (rude->ended_ms == 0 && rude->kind != KIND_SLOW)
        atomic_fetch_add_explicit(&ended, 1, memory_order_relaxed);
    rude->ended_ms = flow_now_ms();
    return -1;
}

static void be_slow(struct rude *rude, uint64_t since_ms)
{
    uint64_t due = (flow_now_ms() - since_ms) * SLOW_BYTES_MS - rude->got;
    char part[PART];
    ssize_t moved;

    do {
        flow_fill(rude->seed, rude->sent, part, sizeof(part));
        moved = outcome(send(rude->origin, part, sizeof(part), MSG_DONTWAIT | MSG_NOSIGNAL), rude);
        rude->sent += moved > 0 ? (uint64_t)moved : 0;
    } while (moved > 0);
    if (due > sizeof(part))
        due = sizeof(part);
    moved = due > 0 ? outcome(recv(rude->client, part, due, MSG_DONTWAIT), rude) : 0;
    if (moved > 0) {
        CHECK(flow_matches(rude->seed, rude->got, part, (size_t)moved));
        rude->got += (uint64_t)moved;
    }
}

static void be_silent(struct rude *rude)
{
    char byte;
    (void)outcome(recv(rude->client, &byte, 1, MSG_DONTWAIT), rude); /* it only listens */
}

static void flood_from(struct rude *rude)
{
    static char part[PART];
    while (outcome(send(rude->client, part, sizeof(part), MSG_DONTWAIT | MSG_NOSIGNAL), rude) > 0)
        continue;
}

static void flood(struct rude *rude)
{
    ssize_t moved = 1;

    flood_from(rude);
    while (moved > 0 && rude->ended_ms == 0) {
        if (rude->echo_at == rude->echo_bytes) {
            moved = outcome(recv(rude->origin, rude->echo, PART, MSG_DONTWAIT), rude);
            rude->echo_bytes = moved > 0 ? (size_t)moved : 0;
            rude->echo_at = 0;
        }
        if (rude->echo_at < rude->echo_bytes) {
            moved = outcome(send(rude->origin, rude->echo + rude->echo_at,
                                 rude->echo_bytes - rude->echo_at, MSG_DONTWAIT | MSG_NOSIGNAL),
                            rude);
            rude->echo_at += moved > 0 ? (size_t)moved : 0;
        }
    }
}

static void act(struct rude *rude, uint64_t since_ms)
{
    switch (rude->kind) {
    case KIND_SLOW:
        be_slow(rude, since_ms);
        break;
    case KIND_SILENT:
        be_silent(rude);
        break;
    case KIND_FLOOD:
        flood(rude);
        break;
    case KIND_DEAF:
        flood_from(rude);
        break;
    case KINDS:
        break;
    }
}

static void *be_rude(void *arg)
{
    struct crowd *crowd = arg;
    uint64_t turned = flow_now_ms(), now;

    /* Relaxed: the join publishes what the peers have seen. */
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        for (unsigned i = 0; i < EACH; i++) {
            if (crowd->peers[i].ended_ms == 0)
                act(&crowd->peers[i], crowd->began_ms);
        }
        flow_sleep_ms(TURN_MS);
        now = flow_now_ms();
        if (now - turned > crowd->pause_ms)
            crowd->pause_ms = now - turned;
        turned = now;
    }
    return NULL;
}

static void start_crowds(struct crowd *crowds, const struct sockaddr_in *proxy, int listener)
{
    int window = SLOW_WINDOW;

    atomic_store_explicit(&over, false, memory_order_relaxed); /* no thread is there yet */
    atomic_store_explicit(&ended, 0, memory_order_relaxed);
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct crowd *crowd = &crowds[kind];
        crowd->began_ms = flow_now_ms();
        crowd->pause_ms = 0;
        for (unsigned i = 0; i < EACH; i++) {
            struct rude *rude = &crowd->peers[i];
            *rude = (struct rude){.kind = (enum kind)kind, .seed = i};
            rude->client = flow_connect(proxy);
            rude->origin = flow_accept(listener);
            rude->echo = malloc(PART);
            CHECK(rude->echo != NULL);
            if (rude->kind == KIND_SLOW)
                CHECK_EQ(setsockopt(rude->client, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window)),
                         0);
        }
        CHECK_EQ(pthread_create(&crowd->thread, NULL, be_rude, crowd), 0);
    }
}

static void stop_crowds(struct crowd *crowds)
{
    atomic_store_explicit(&over, true, memory_order_relaxed); /* the joins wait for it */
    for (unsigned kind = 0; kind < KINDS; kind++) {
        CHECK_EQ(pthread_join(crowds[kind].thread, NULL), 0);
        for (unsigned i = 0; i < EACH; i++) {
            close(crowds[kind].peers[i].client);
            close(crowds[kind].peers[i].origin);
            free(crowds[kind].peers[i].echo);
        }
    }
}

/* Who moves no byte goes after the idle timeout, and nobody else. */
static void check_ends(const struct crowd *crowd, unsigned expected)
{
    const char *name = kind_names[crowd->peers[0].kind];
    uint64_t soonest = UINT64_MAX, got = 0;
    unsigned count = 0;

    for (unsigned i = 0; i < EACH; i++) {
        const struct rude *rude = &crowd->peers[i];
        got += rude->got;
        if (rude->ended_ms == 0)
            continue;
        count++;
        if (rude->ended_ms - crowd->began_ms < soonest)
            soonest = rude->ended_ms - crowd->began_ms;
    }
    if (count != 0)
        plain_note("%u of %d %s pairs were closed, the first %llu ms after it came", count, EACH,
                   name, (unsigned long long)soonest);
    else
        plain_note("no %s pair was closed; they got %llu KiB", name,
                   (unsigned long long)(got >> 10));
    plain_note("its peers paused for %llu ms at most", (unsigned long long)crowd->pause_ms);
    /* A slow reader that did not get to run for so long may have been silent, to the proxy. */
    if (expected != 0 || crowd->pause_ms < IDLE_MS / 4)
        CHECK_EQ(count, expected);
    if (count != 0)
        CHECK_GE(soonest, IDLE_MS - 50); /* the proxy's clock may have begun a little before ours */
}

/* One polite client: it comes, asks, is answered, goes. How long that took. */
static uint64_t serve_one(const struct sockaddr_in *proxy, int listener)
{
    uint64_t took = flow_now_us();
    int client = flow_connect(proxy), origin = flow_accept(listener);
    char question[4] = "ask", answer[4] = "yes";
    bool served = flow_put(client, question, sizeof(question)) &&
                  flow_get(origin, question, sizeof(question)) &&
                  flow_put(origin, answer, sizeof(answer)) &&
                  flow_get(client, answer, sizeof(answer)) && shutdown(client, SHUT_WR) == 0 &&
                  flow_end(origin) == 0;

    took = flow_now_us() - took;
    CHECK_STR(question, "ask");
    CHECK_STR(answer, "yes");
    /* If we did not get to run for that long it was idle, to the proxy. */
    if (took < (uint64_t)IDLE_MS * 1000)
        CHECK(served);
    close(client);
    close(origin);
    return took;
}

/* Until all have ended that have to. */
static void serve_politely(const struct sockaddr_in *proxy, int listener)
{
    uint64_t began = flow_now_ms(), longest = 0, sum = 0, late_max = 0;
    unsigned served = 0;

    if (!CHECK(lag_start()))
        return;
    while (atomic_load_explicit(&ended, memory_order_relaxed) < EACH * (KINDS - 1) &&
           flow_now_ms() - began < GIVE_UP_MS) {
        uint64_t took, late;
        lag_begin();
        took = serve_one(proxy, listener);
        late = lag_worst_us();
        CHECK_LE(took, SERVE_US + WAKES * late);
        late_max = late > late_max ? late : late_max;
        longest = took > longest ? took : longest;
        sum += took;
        served++;
    }
    lag_stop();
    plain_note("%u polite clients served meanwhile, in %llu us on average, %llu us at most; the "
               "machine ran late by up to %llu us",
               served, (unsigned long long)(sum / served), (unsigned long long)longest,
               (unsigned long long)late_max);
}

static void rude_peers_cost_neither_memory_nor_service(void)
{
    static const char *const arguments[] = {"--idle-timeout", "1000", NULL};
    static struct crowd crowds[KINDS];
    char text[32];
    int listener = flow_listen(128, text);
    struct sockaddr_in address;
    struct child proxy;
    uint64_t before;

    if (!child_start_proxy(&proxy, 0, text, arguments)) {
        close(listener);
        return;
    }
    address = child_address(&proxy);
    (void)serve_one(&address, listener); /* what the first pair needs is there */
    before = child_resident_kib(&proxy);
    start_crowds(crowds, &address, listener);
    serve_politely(&address, listener);
    child_check_growth(&proxy, before, EACH * KINDS);
    stop_crowds(crowds);
    for (unsigned kind = 0; kind < KINDS; kind++)
        check_ends(&crowds[kind], kind == KIND_SLOW ? 0 : EACH);
    close(listener);
    child_stop(&proxy);
    CHECK_EQ(child_counters(&proxy).failed_connects, 0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(rude_peers_cost_neither_memory_nor_service),
};

PLAIN_MAIN(cases)
