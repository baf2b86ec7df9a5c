/* SPDX-License-Identifier: MIT */
/*
 * haproxy - gyre-proxy behind HAProxy, and before it: what goes through both comes out as it was
 * sent.
 *
 * HAProxy takes its configuration from memory, and a listening socket that it inherits: it needs no
 * directory and no port of its own choice, and what connects before it serves waits in the backlog.
 */
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"
#include "transcript.h"

enum {
    BACKLOG = 512,
    KEPT_MESSAGES = 2000, /* on one connection */
    MESSAGE_MAX = 5000
};

static const char *const no_arguments[] = {NULL};

/* A chain of two proxies, and what a transcript needs of it. */
struct chain {
    struct child gyre, haproxy;
    int haproxy_fd; /* the configuration's, and the other that it inherits */
    int haproxy_listener;
    struct transcript_way way;
};

static bool is_installed(void)
{
    return access("/usr/sbin/haproxy", X_OK) == 0;
}

/* HAProxy on the socket `listener`, before `upstream`. */
static bool start_haproxy(struct chain *chain, int listener, const char *upstream)
{
    char path[64];
    const char *const arguments[] = {"/usr/sbin/haproxy", "-q", "-db", "-f", path, NULL};
    int fd = memfd_create("haproxy.cfg", 0); /* inherited, as the listener is */

    if (!CHECK(fd >= 0))
        return false;
    dprintf(fd,
            "global\n"
            "    maxconn 2000\n"
            "defaults\n"
            "    mode tcp\n"
            "    timeout connect 20s\n"
            "    timeout client 60s\n"
            "    timeout server 60s\n"
            "listen chain\n"
            "    bind fd@%d\n"
            "    server next %s\n",
            listener, upstream);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    chain->haproxy_fd = fd;
    return child_start_other(&chain->haproxy, listener, arguments);
}

static struct sockaddr_in address_of(int listener)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof(address);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    return address;
}

/* Client, HAProxy, gyre-proxy, origin; or client, gyre-proxy, HAProxy, origin. */
static bool begin(struct chain *chain, bool haproxy_first)
{
    char origin_text[32], haproxy_text[32];

    memset(chain, 0, sizeof(*chain));
    /* A client that ends without a byte while HAProxy is still connecting has left, to HAProxy
     * (2.6, also without us), and the connection is closed. */
    chain->way.greets = true;
    chain->way.listener = flow_listen(BACKLOG, origin_text);
    chain->haproxy_listener = flow_listen(BACKLOG, haproxy_text);
    if (!child_start_proxy(&chain->gyre, 0, haproxy_first ? origin_text : haproxy_text,
                           no_arguments))
        return false;
    chain->way.front =
        haproxy_first ? address_of(chain->haproxy_listener) : child_address(&chain->gyre);
    return start_haproxy(chain, chain->haproxy_listener,
                         haproxy_first ? chain->gyre.address : origin_text);
}

static void end(struct chain *chain)
{
    if (chain->haproxy.pid != 0) {
        child_kill(&chain->haproxy);
        if (chain->haproxy.bytes != 0)
            plain_note("HAProxy said: %s", chain->haproxy.text);
    }
    if (chain->gyre.pid != 0) {
        child_stop(&chain->gyre);
        CHECK_EQ(child_counters(&chain->gyre).failed_connects, 0);
    }
    if (chain->haproxy_fd > 0)
        close(chain->haproxy_fd);
    close(chain->haproxy_listener);
    close(chain->way.listener);
}

/* ---- what goes through ----------------------------------------------------------------------- */

static void expect_stream(int fd, uint64_t seed, size_t bytes)
{
    static char got[MESSAGE_MAX];
    CHECK(flow_get(fd, got, bytes));
    CHECK(flow_matches(seed, 0, got, bytes));
}

/* Questions and answers of drawn lengths, one at a time, on one connection. */
static void keep_one_connection(const struct chain *chain)
{
    static char bytes[MESSAGE_MAX];
    int client = flow_connect(&chain->way.front), origin = flow_accept(chain->way.listener);
    uint64_t state = 1, began = flow_now_ms();

    for (unsigned i = 0; i < KEPT_MESSAGES; i++) {
        size_t length = 1 + flow_draw(&state, MESSAGE_MAX);
        int from = i % 2 == 0 ? client : origin, to = i % 2 == 0 ? origin : client;
        flow_fill(i, 0, bytes, length);
        if (!CHECK(flow_put(from, bytes, length)))
            break;
        expect_stream(to, i, length);
    }
    CHECK_EQ(shutdown(client, SHUT_WR), 0);
    CHECK_EQ(flow_end(origin), 0);
    close(origin);
    CHECK_EQ(flow_end(client), 0);
    close(client);
    plain_note("%d messages in turn on one connection in %llu ms", KEPT_MESSAGES,
               (unsigned long long)(flow_now_ms() - began));
}

static void send_large_bodies(const struct chain *chain)
{
    int client = flow_connect(&chain->way.front), origin = flow_accept(chain->way.listener);
    uint64_t bytes = (child_sanitized() ? 16U : 128U) << 20, began = flow_now_ms();
    struct flow sent[2] = {{.fd = client, .seed = 1, .bytes = bytes},
                           {.fd = origin, .seed = 2, .bytes = bytes}};
    struct flow got[2] = {{.fd = origin, .bytes = bytes + 8}, {.fd = client, .bytes = bytes + 8}};

    for (unsigned i = 0; i < 2; i++) {
        flow_start_send(&sent[i]);
        flow_start_receive(&got[i]);
    }
    for (unsigned i = 0; i < 2; i++) {
        flow_join(&sent[i]);
        flow_join(&got[i]);
        CHECK_EQ(sent[i].error, 0);
        CHECK_EQ(got[i].error, 0);
        CHECK_EQ(got[i].bytes, bytes);
        CHECK_EQ(got[i].sum, sent[i].sum);
    }
    close(client);
    close(origin);
    plain_note("%llu MiB each way at once in %llu ms", (unsigned long long)(bytes >> 20),
               (unsigned long long)(flow_now_ms() - began));
}

static void run_through(struct chain *chain)
{
    uint64_t seed = (uint64_t)plain_number("GYRE_TRANSCRIPT_SEED", 100001);
    uint64_t count = (uint64_t)plain_number("GYRE_TRANSCRIPTS", child_sanitized() ? 100 : 500),
             began;
    struct transcript_totals totals;

    keep_one_connection(chain);
    send_large_bodies(chain);
    began = flow_now_ms();
    totals = transcripts_run(&chain->way, seed, count);
    transcripts_note(&totals, flow_now_ms() - began);
}

static void behind_haproxy_all_comes_as_it_was_sent(void)
{
    struct chain chain;

    if (!is_installed())
        PLAIN_SKIP("haproxy is not installed");
    if (begin(&chain, true))
        run_through(&chain);
    end(&chain);
}

static void before_haproxy_all_comes_as_it_was_sent(void)
{
    struct chain chain;

    if (!is_installed())
        PLAIN_SKIP("haproxy is not installed");
    if (begin(&chain, false))
        run_through(&chain);
    end(&chain);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(behind_haproxy_all_comes_as_it_was_sent),
    PLAIN_CASE(before_haproxy_all_comes_as_it_was_sent),
};

PLAIN_MAIN(cases)
