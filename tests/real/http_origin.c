/* SPDX-License-Identifier: MIT */
/*
 * http_origin - http_hello under clients that no HTTP library would be: pipelining without reading,
 * ends at odd places, refusals in the middle of a body, too many connections.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"

enum {
    FEW_DESCRIPTORS = 64,
    MANY_CLIENTS = 200
};

static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
static const char answer[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n"
    "hello, world\n";

static bool start(struct child *origin, unsigned descriptors, const char *body_bytes)
{
    const char *const arguments[] = {"--listen", "127.0.0.1:0", "--body-bytes", body_bytes, NULL};
    return child_start(origin, descriptors, "http_hello", arguments);
}

static int connect_to(const struct child *origin)
{
    struct sockaddr_in address = child_address(origin);
    return flow_connect(&address);
}

static void expect_answers(int fd, unsigned count)
{
    char got[sizeof(answer)];

    for (unsigned i = 0; i < count; i++) {
        memset(got, 0, sizeof(got));
        if (!CHECK(flow_get(fd, got, sizeof(answer) - 1)) || !CHECK_STR(got, answer))
            return;
    }
}

/* What comes until the peer ends; -1 for a reset. So slowly that the origin is always ahead. */
static long drain_slowly(int fd)
{
    static char chunk[32768];
    long sum = 0;
    ssize_t got;

    while ((got = recv(fd, chunk, sizeof(chunk), 0)) > 0) {
        sum += got;
        usleep(100);
    }
    return got == 0 ? sum : -1;
}

static void requests_sent_together_are_answered_in_order(void)
{
    enum {
        COUNT = 500
    };
    static char many[COUNT * sizeof(request)];
    struct child origin;
    size_t bytes = 0;
    int fd;

    if (!start(&origin, 0, "13"))
        return;
    fd = connect_to(&origin);
    for (unsigned i = 0; i < COUNT; i++)
        bytes += (size_t)sprintf(many + bytes, "%s", request);
    CHECK(flow_put(fd, many, bytes));
    expect_answers(fd, COUNT);
    close(fd);
    child_stop(&origin);
}

static void a_request_may_come_byte_by_byte(void)
{
    static const char post[] = "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345";
    struct child origin;
    int fd;

    if (!start(&origin, 0, "13"))
        return;
    fd = connect_to(&origin);
    for (unsigned round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof(post) - 1; i++) {
            CHECK(flow_put(fd, post + i, 1));
            flow_sleep_ms(1);
        }
        expect_answers(fd, 1);
    }
    CHECK(flow_put(fd, post, sizeof(post) - 1)); /* the body's end is the next request's start */
    CHECK(flow_put(fd, request, sizeof(request) - 1));
    expect_answers(fd, 2);
    close(fd);
    child_stop(&origin);
}

/* Sends requests until the origin takes no more. How many went out whole. */
static unsigned flood(int fd, unsigned max)
{
    unsigned count = 0;

    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    while (count < max && flow_wait(fd, POLLOUT, 1000)) {
        size_t sent = 0;
        while (sent < sizeof(request) - 1) {
            ssize_t part = send(fd, request + sent, sizeof(request) - 1 - sent, MSG_NOSIGNAL);
            if (part > 0)
                sent += (size_t)part;
            else if (errno != EAGAIN || !flow_wait(fd, POLLOUT, 1000))
                break;
        }
        if (sent < sizeof(request) - 1)
            break;
        count++;
    }
    CHECK_EQ(fcntl(fd, F_SETFL, 0), 0);
    return count;
}

static void who_pipelines_without_reading_waits(void)
{
    uint64_t more_max = plain_tsan() ? 8192 : 1024; /* KiB; there each byte has several of shadow */
    uint64_t before;
    struct child origin;
    int fd;

    if (!start(&origin, 0, "65536"))
        return;
    fd = connect_to(&origin);
    before = child_resident_kib(&origin);
    CHECK_LE(flood(fd, 2000000), 1999999);
    plain_note("%llu KiB more under a flood of requests",
               (unsigned long long)(child_resident_peak_kib(&origin) - before));
    CHECK_LE(child_resident_peak_kib(&origin), before + more_max);
    close(fd);
    fd = connect_to(&origin);
    CHECK(flow_put(fd, request, sizeof(request) - 1));
    CHECK(flow_wait(fd, POLLIN, 5000)); /* and the others are served */
    close(fd);
    child_stop(&origin);
}

/* The most that the system lets a socket have unsent. */
static unsigned long send_buffer_max(void)
{
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_wmem", "re");
    unsigned long max = 0;

    CHECK(file != NULL && fscanf(file, "%*u %*u %lu", &max) == 1);
    if (file != NULL)
        fclose(file);
    return max;
}

/* Sends `count` requests and the end at once, reads late and slowly: the bytes of the answers. */
static long ask_and_end(const struct child *origin, unsigned count)
{
    struct sockaddr_in address = child_address(origin);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 32768;
    long got;

    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)), 0);
    CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_EQ(flood(fd, count), count);
    CHECK_EQ(shutdown(fd, SHUT_WR), 0);
    flow_sleep_ms(20); /* the buffers are full, and the end has arrived */
    got = drain_slowly(fd);
    close(fd);
    return got;
}

/* The hard counts are those whose last answers fit the stream's buffer when the system's is full:
 * then the origin has nothing left to write when it sees the client's end, and must not close
 * yet. */
static void a_client_that_ends_early_still_gets_every_answer(void)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
                               "Content-Length: 20000\r\n\r\n";
    long answer_bytes = (long)(sizeof(head) - 1) + 20000;
    struct child origin;
    unsigned full;

    if (!start(&origin, 0, "20000"))
        return;
    full = (unsigned)(send_buffer_max() / (unsigned long)answer_bytes);
    for (unsigned count = full > 15 ? full - 15 : 1; count < full + 5; count++)
        CHECK_EQ(ask_and_end(&origin, count), count * answer_bytes);
    CHECK_EQ(ask_and_end(&origin, 2 * full), 2 * full * answer_bytes);
    child_stop(&origin);
}

static void a_refusal_reaches_a_client_that_is_still_sending(void)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n";
    static char body[1000000];
    char status[13] = "";
    struct child origin;
    int fd;

    if (!start(&origin, 0, "13"))
        return;
    fd = connect_to(&origin);
    CHECK(flow_put(fd, head, sizeof(head) - 1));
    flow_sleep_ms(100); /* the refusal is there before the body */
    CHECK(flow_put(fd, body, sizeof(body)));
    CHECK(flow_get(fd, status, 12));
    CHECK_STR(status, "HTTP/1.1 413");
    CHECK_GE(drain_slowly(fd), 0); /* an end, and no reset */
    close(fd);
    child_stop(&origin);
}

static void without_descriptors_it_idles_and_then_serves_again(void)
{
    int fds[MANY_CLIENTS];
    struct child origin;
    unsigned served = 0, more = 0;
    uint64_t cpu, freed;

    if (!start(&origin, FEW_DESCRIPTORS, "13"))
        return;
    for (unsigned i = 0; i < MANY_CLIENTS; i++) {
        fds[i] = connect_to(&origin);
        CHECK(flow_put(fds[i], request, sizeof(request) - 1));
    }
    flow_sleep_ms(300);
    cpu = child_cpu_ms(&origin);
    flow_sleep_ms(1500);
    cpu = child_cpu_ms(&origin) - cpu;
    for (unsigned i = 0; i < MANY_CLIENTS; i++) {
        char byte;
        if (recv(fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1)
            continue;
        served++;
        close(fds[i]);
        fds[i] = -1;
    }
    freed = flow_now_ms();
    plain_note("%u clients served; %llu ms of CPU time in 1500 ms without descriptors", served,
               (unsigned long long)cpu);
    CHECK_GE(served, 20);
    CHECK_LE(served, FEW_DESCRIPTORS);
    CHECK_LE(cpu, 100);

    /* Those that waited in the backlog are served within a second of descriptors coming free. */
    while (more < 10 && flow_now_ms() - freed < 1000) {
        more = 0;
        flow_sleep_ms(10);
        for (unsigned i = 0; i < MANY_CLIENTS; i++) {
            char byte;
            more += fds[i] >= 0 && recv(fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1;
        }
    }
    CHECK_GE(more, 10);
    plain_note("%u more served %llu ms later", more, (unsigned long long)(flow_now_ms() - freed));
    for (unsigned i = 0; i < MANY_CLIENTS; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
    child_stop(&origin);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(requests_sent_together_are_answered_in_order),
    PLAIN_CASE(a_request_may_come_byte_by_byte),
    PLAIN_CASE(who_pipelines_without_reading_waits),
    PLAIN_CASE(a_client_that_ends_early_still_gets_every_answer),
    PLAIN_CASE(a_refusal_reaches_a_client_that_is_still_sending),
    PLAIN_CASE(without_descriptors_it_idles_and_then_serves_again),
};

PLAIN_MAIN(cases)
