/* SPDX-License-Identifier: MIT */
/*
 * proxy_traffic - what goes through gyre-proxy comes out: every byte, every end, every reset.
 *
 * Client and origin are this process, with plain blocking sockets; the proxy is a process of its
 * own.
 * GYRE_TRAFFIC_MIB (1024; less with a sanitizer) is what the large case sends each way.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"

enum {
    MIB = 1 << 20,
    SLOW_PAIRS = 32,
    SLOW_S = 4
};

static const char *const no_arguments[] = {NULL};

/* A proxy, an origin behind it, and a connection through both. */
struct way {
    struct child proxy;
    int listener;
    int client, origin;
};

static bool begin(struct way *way, const char *const arguments[])
{
    char text[32];
    struct sockaddr_in address;

    way->listener = flow_listen(128, text);
    if (!child_start_proxy(&way->proxy, 0, text, arguments)) {
        close(way->listener);
        return false;
    }
    address = child_address(&way->proxy);
    way->client = flow_connect(&address);
    way->origin = flow_accept(way->listener);
    return true;
}

static void end(struct way *way)
{
    close(way->listener);
    child_stop(&way->proxy);
}

static void check_equal(const struct flow *sent, const struct flow *got)
{
    CHECK_EQ(sent->error, 0);
    CHECK_EQ(got->error, 0);
    CHECK_EQ(got->bytes, sent->bytes);
    CHECK_EQ(got->sum, sent->sum);
}

/* Both directions of `count` pairs at once; the receivers take `slow_bytes` slowly. */
static void run_both_ways(const int clients[], const int origins[], unsigned count, uint64_t bytes,
                          uint64_t slow_bytes)
{
    struct flow sent[2 * SLOW_PAIRS], got[2 * SLOW_PAIRS];

    for (unsigned i = 0; i < 2 * count; i++) {
        int from = i % 2 == 0 ? clients[i / 2] : origins[i / 2];
        int to = i % 2 == 0 ? origins[i / 2] : clients[i / 2];
        sent[i] = (struct flow){.fd = from, .seed = 1000 + i, .bytes = bytes};
        got[i] = (struct flow){.fd = to, .bytes = bytes + 8, .slow_bytes = slow_bytes};
        flow_start_send(&sent[i]);
        flow_start_receive(&got[i]);
    }
    for (unsigned i = 0; i < 2 * count; i++) {
        flow_join(&sent[i]);
        flow_join(&got[i]);
        check_equal(&sent[i], &got[i]);
    }
}

static void a_gibibyte_each_way_at_once_arrives_as_it_was_sent(void)
{
    long mib = plain_number("GYRE_TRAFFIC_MIB", child_sanitized() ? 64 : 1024);
    struct child_counters counters;
    uint64_t before, began;
    struct way way;

    if (!begin(&way, no_arguments))
        return;
    before = child_resident_kib(&way.proxy);
    began = flow_now_ms();
    run_both_ways(&way.client, &way.origin, 1, (uint64_t)mib * MIB, 0);
    plain_note("%ld MiB each way in %llu ms", mib, (unsigned long long)(flow_now_ms() - began));
    child_check_growth(&way.proxy, before, 1);
    close(way.client);
    close(way.origin);
    end(&way);
    counters = child_counters(&way.proxy);
    CHECK_EQ(counters.accepted, 1);
    CHECK_EQ(counters.active, 0);
    CHECK_EQ(counters.bytes_up, mib * MIB);
    CHECK_EQ(counters.bytes_down, mib * MIB);
}

static void slow_readers_cost_the_proxy_no_more_than_its_bound(void)
{
    int clients[SLOW_PAIRS], origins[SLOW_PAIRS];
    struct sockaddr_in address;
    uint64_t before;
    struct way way;

    if (!begin(&way, no_arguments))
        return;
    before = child_resident_kib(&way.proxy);
    address = child_address(&way.proxy);
    clients[0] = way.client;
    origins[0] = way.origin;
    for (unsigned i = 1; i < SLOW_PAIRS; i++) {
        clients[i] = flow_connect(&address);
        origins[i] = flow_accept(way.listener); /* one at a time: they belong together */
    }
    run_both_ways(clients, origins, SLOW_PAIRS, (child_sanitized() ? SLOW_S + 1 : 16) * MIB,
                  SLOW_S * MIB);
    child_check_growth(&way.proxy, before, SLOW_PAIRS);
    for (unsigned i = 0; i < SLOW_PAIRS; i++) {
        close(clients[i]);
        close(origins[i]);
    }
    end(&way);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void check_text(int fd, const char *expected)
{
    char text[64] = "";

    CHECK(flow_get(fd, text, strlen(expected)));
    CHECK_STR(text, expected);
}

/* One side ends its direction; the other still sends, and a lot. */
static void check_half_close(int first, int second)
{
    struct flow sent = {.fd = second, .seed = 7, .bytes = 4 * MIB};
    struct flow got = {.fd = first, .bytes = 8 * MIB};

    CHECK(flow_put(first, "that is all", 11));
    CHECK_EQ(shutdown(first, SHUT_WR), 0);
    check_text(second, "that is all");
    CHECK_EQ(flow_end(second), 0);
    CHECK(!flow_wait(first, POLLIN, 50)); /* its own direction goes on */
    flow_start_send(&sent);
    flow_start_receive(&got);
    flow_join(&sent);
    flow_join(&got);
    check_equal(&sent, &got);
    close(first);
    close(second);
}

static void the_end_of_one_direction_leaves_the_other_open(void)
{
    struct child_counters counters;
    struct sockaddr_in address;
    struct way way;

    if (!begin(&way, no_arguments))
        return;
    check_half_close(way.client, way.origin);
    address = child_address(&way.proxy);
    way.client = flow_connect(&address);
    way.origin = flow_accept(way.listener);
    check_half_close(way.origin, way.client);
    end(&way);
    counters = child_counters(&way.proxy);
    CHECK_EQ(counters.accepted, 2);
    CHECK_EQ(counters.active, 0);
    CHECK_EQ(counters.bytes_up, 4 * MIB + 11);
    CHECK_EQ(counters.bytes_down, 4 * MIB + 11);
}

static void a_reset_of_either_side_reaches_the_other_as_a_reset(void)
{
    struct sockaddr_in address;
    struct way way;

    if (!begin(&way, no_arguments))
        return;
    CHECK(flow_put(way.client, "hello", 5));
    check_text(way.origin, "hello");
    flow_reset(way.client);
    CHECK_EQ(flow_end(way.origin), ECONNRESET);
    close(way.origin);

    address = child_address(&way.proxy);
    way.client = flow_connect(&address);
    way.origin = flow_accept(way.listener);
    CHECK(flow_put(way.origin, "hello", 5));
    check_text(way.client, "hello");
    flow_reset(way.origin);
    CHECK_EQ(flow_end(way.client), ECONNRESET);
    close(way.client);
    end(&way);
    CHECK_EQ(child_counters(&way.proxy).active, 0);
}

static void a_reset_after_one_direction_has_ended_is_still_a_reset(void)
{
    struct way way;

    if (!begin(&way, no_arguments))
        return;
    CHECK_EQ(shutdown(way.client, SHUT_WR), 0);
    CHECK_EQ(flow_end(way.origin), 0);
    flow_reset(way.origin);
    CHECK_EQ(flow_end(way.client), ECONNRESET);
    close(way.client);
    end(&way);
}

static void whoever_speaks_first_is_heard(void)
{
    struct way way;

    if (!begin(&way, no_arguments))
        return;
    CHECK(flow_put(way.origin, "220 ready", 9)); /* the client has said nothing */
    check_text(way.client, "220 ready");
    CHECK(flow_put(way.client, "QUIT", 4));
    check_text(way.origin, "QUIT");
    close(way.origin);
    CHECK_EQ(flow_end(way.client), 0);
    close(way.client);
    end(&way);
}

static void bytes_sent_before_the_upstream_is_connected_are_not_lost(void)
{
    char text[32];
    struct sockaddr_in address;
    struct child proxy;
    int listener = flow_listen(128, text);
    struct flow sent = {.seed = 3, .bytes = 8 * MIB}, got = {.bytes = 16 * MIB};

    if (child_start_proxy(&proxy, 0, text, no_arguments)) {
        address = child_address(&proxy);
        sent.fd = flow_connect(&address);
        flow_start_send(&sent); /* at once: the pair does not exist yet */
        got.fd = flow_accept(listener);
        flow_start_receive(&got);
        flow_join(&sent);
        flow_join(&got);
        check_equal(&sent, &got);
        close(sent.fd);
        close(got.fd);
        child_stop(&proxy);
    }
    close(listener);
}

/* ---- Unix sockets ---------------------------------------------------------------------------- */

static int unix_socket(struct sockaddr_un *address, const char *directory, const char *name)
{
    memset(address, 0, sizeof(*address));
    address->sun_family = AF_UNIX;
    snprintf(address->sun_path, sizeof(address->sun_path), "%.60s/%s", directory, name);
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

static void it_leads_from_one_unix_socket_to_another(void)
{
    char directory[] = "/tmp/gyre-test.XXXXXX", listen_text[128], upstream_text[128];
    struct sockaddr_un front, back;
    struct child proxy;
    int client, origin, listener;

    if (!CHECK(mkdtemp(directory) != NULL))
        return;
    client = unix_socket(&front, directory, "front");
    listener = unix_socket(&back, directory, "back");
    CHECK_EQ(bind(listener, (struct sockaddr *)&back, sizeof(back)), 0);
    CHECK_EQ(listen(listener, 16), 0);
    snprintf(listen_text, sizeof(listen_text), "unix:%s", front.sun_path);
    snprintf(upstream_text, sizeof(upstream_text), "unix:%s", back.sun_path);
    const char *const arguments[] = {"--listen", listen_text, "--upstream", upstream_text, NULL};
    if (child_start(&proxy, 0, "gyre-proxy", arguments)) {
        CHECK_STR(proxy.address, listen_text);
        CHECK_EQ(connect(client, (struct sockaddr *)&front, sizeof(front)), 0);
        origin = flow_accept(listener);
        check_half_close(client, origin);
        child_stop(&proxy);
        CHECK_NE(access(front.sun_path, F_OK), 0); /* it takes its path away */
    } else {
        close(client);
    }
    close(listener);
    unlink(back.sun_path);
    unlink(front.sun_path);
    CHECK_EQ(rmdir(directory), 0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_gibibyte_each_way_at_once_arrives_as_it_was_sent),
    PLAIN_CASE(slow_readers_cost_the_proxy_no_more_than_its_bound),
    PLAIN_CASE(the_end_of_one_direction_leaves_the_other_open),
    PLAIN_CASE(a_reset_of_either_side_reaches_the_other_as_a_reset),
    PLAIN_CASE(a_reset_after_one_direction_has_ended_is_still_a_reset),
    PLAIN_CASE(whoever_speaks_first_is_heard),
    PLAIN_CASE(bytes_sent_before_the_upstream_is_connected_are_not_lost),
    PLAIN_CASE(it_leads_from_one_unix_socket_to_another),
};

PLAIN_MAIN(cases)
