/* SPDX-License-Identifier: MIT */
/*
 * Net without memory: each allocation fails once, then two thirds of them, and nothing is lost,
 * hangs or is touched after its end. And a bounded loop that is full, which must still be told what
 * matters.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"
#include "support.h"

static char big[4 * GYRE_STREAM_BUFFER];

struct memory {
    long blocks;
    long calls;
    long fail_at; /* that call fails; 0: none */
    long fail_of; /* of so many calls all but one fail; 0: none */
    bool failed;
};

static void *allocate(size_t bytes, void *arg)
{
    struct memory *memory = arg;
    long call = ++memory->calls;
    if (call == memory->fail_at || (memory->fail_of > 0 && call % memory->fail_of != 0)) {
        memory->failed = true;
        return NULL;
    }
    memory->blocks++;
    return calloc(1, bytes);
}

static void release(void *block, size_t bytes, void *arg)
{
    struct memory *memory = arg;
    (void)bytes;
    memory->blocks--;
    free(block);
}

static struct memory memory;

static void count_memory(void)
{
    static const struct gyre_allocator allocator = {allocate, release, &memory};
    cr_assert_eq(gyre_set_allocator(&allocator), 0);
}

static void ignore_line(enum gyre_log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

/* ---- a day of net ---------------------------------------------------------------------------- */

struct day {
    struct net net;
    struct gyre_stream *front;
    struct gyre_stream *back;
    struct gyre_relay *relay;
    unsigned relays_done;
    unsigned accepted;
};

static void on_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    struct day *day = arg;
    (void)loop;
    (void)result;
    day->relays_done++;
    day->relay = NULL;
}

static void on_front(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_used,
                     void *arg)
{
    struct day *day = arg;
    size_t taken;
    *ret_used = bytes / 2;
    (void)!gyre_stream_write(stream, data, bytes, &taken);
    if (day->back == NULL)
        return;
    if (gyre_stream_relay(stream, day->back, NULL, &day->relay, on_done, day) == 0) {
        day->front = NULL;
        day->back = NULL;
    }
}

static void on_front_ended(struct gyre_stream *stream, int status, void *arg)
{
    struct day *day = arg;
    if (status == 0)
        return;
    day->front = NULL;
    gyre_stream_close(stream);
}

static void on_back_ended(struct gyre_stream *stream, int status, void *arg)
{
    struct day *day = arg;
    (void)status;
    day->back = NULL;
    gyre_stream_close(stream);
}

static const struct gyre_stream_events front_events = {.received = on_front,
                                                       .ended = on_front_ended};
static const struct gyre_stream_events back_events = {.ended = on_back_ended};

static int on_accept(struct gyre_stream *stream, void *arg)
{
    struct day *day = arg;
    day->accepted++;
    int r = gyre_stream_set_timeouts(stream, SECOND_NS, SECOND_NS);
    if (r != 0)
        return r;
    day->front = stream;
    gyre_stream_bind(stream, &front_events, day);
    return 0;
}

/* A listener, a client that talks, a connect, a relay between the two, a reader that is slow. */
static void serve_client(struct day *day, int upstream, const char *upstream_address)
{
    struct gyre_listener *listener;
    char address[GYRE_ADDRESS_MAX];
    if (gyre_listener_open_on(&day->net.loop, 1, "127.0.0.1:0", NULL, &listener, on_accept, day) !=
        0)
        return;
    cr_assert_eq(gyre_listener_address(listener, address, sizeof(address)), 0);
    int client = raw_connect(address);
    net_settle(&day->net);
    if (gyre_stream_connect(day->net.loop, upstream_address, NULL, &day->back, &back_events, day) !=
        0)
        day->back = NULL;
    for (int i = 0; i < 5; i++)
        net_settle(&day->net);
    (void)!send(client, big, 30000, MSG_NOSIGNAL | MSG_DONTWAIT);
    for (int i = 0; i < 60; i++) {
        net_settle(&day->net);
        (void)!send(client, big, sizeof(big), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    int fd = day->relay != NULL ? accept4(upstream, NULL, NULL, SOCK_CLOEXEC) : -1;
    for (int i = 0; fd >= 0 && i < 200; i++) {
        net_settle(&day->net);
        (void)raw_receive(fd, big, sizeof(big));
    }
    close(client);
    for (int i = 0; i < 20; i++)
        net_settle(&day->net);
    if (fd >= 0)
        close(fd);
    gyre_listener_close(listener, NULL, NULL);
    net_settle(&day->net);
}

/* The result is how many relays came about. */
static unsigned live_a_day(void)
{
    struct day day = {.accepted = 0};
    char address[64];
    int upstream = raw_listen(address);
    if (net_try_open(&day.net)) {
        serve_client(&day, upstream, address);
        gyre_stream_close(day.front);
        gyre_stream_close(day.back);
        net_close(&day.net);
    }
    close(upstream);
    return day.relays_done;
}

GYRE_TEST(memory, each_allocation_may_fail)
{
    gyre_set_log(ignore_line, NULL);
    count_memory();
    cr_assert_eq(live_a_day(), 1);
    cr_assert_eq(memory.blocks, 0);
    long fail_at = 0;
    do {
        memory.calls = 0;
        memory.fail_at = ++fail_at;
        memory.failed = false;
        cr_assert_leq(live_a_day(), 1);
        cr_assert_eq(memory.blocks, 0, "allocation %ld", fail_at);
    } while (memory.failed);
    cr_assert_gt(fail_at, 10);
}

GYRE_TEST(memory, most_allocations_may_fail)
{
    gyre_set_log(ignore_line, NULL);
    count_memory();
    for (long of = 2; of < 8; of++) {
        for (long begin = 0; begin < of; begin++) {
            memory.calls = begin;
            memory.fail_of = of;
            cr_assert_leq(live_a_day(), 1);
            cr_assert_eq(memory.blocks, 0);
        }
    }
}

/* ---- a bounded loop -------------------------------------------------------------------------- */

static int do_nothing(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    ++*(unsigned *)arg;
    return 0;
}

GYRE_TEST(memory, bounded_loop_that_is_full_is_told_of_listeners)
{
    struct net net;
    struct gyre_listener *listener;
    unsigned ran = 0;
    net_open_bounded(&net, 1);
    cr_assert_eq(gyre_loop_add_callback(net.loop, do_nothing, &ran), 0);
    cr_assert_eq(gyre_loop_add_callback(net.loop, do_nothing, &ran), -EAGAIN);
    unsigned before = count_fds();
    struct day day = {.accepted = 0};
    cr_assert_eq(
        gyre_listener_open_on(&net.loop, 1, "127.0.0.1:0", NULL, &listener, on_accept, &day), 0);
    gyre_listener_close(listener, do_nothing, &ran);
    net_settle(&net);
    cr_assert_eq(ran, 2);
    cr_assert_eq(count_fds(), before);
    net_close(&net);
}
