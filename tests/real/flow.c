/* SPDX-License-Identifier: MIT */
/*
 * flow - seeded streams of bytes and the sockets at both ends. See flow.h.
 */
#include "flow.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "harness/plain.h"

enum {
    CHUNK_WORDS = 32768,
    SLOW_PART = 16384, /* bytes taken at once by a slow reader, */
    SLOW_PAUSE_US = 15625, /* and so often: 1 MiB a second */
    GIVE_UP_S = 20
};

uint64_t flow_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t flow_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void flow_sleep_ms(unsigned milliseconds)
{
    struct timespec time = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    while (nanosleep(&time, &time) != 0 && errno == EINTR)
        continue;
}

/* Word number `index` of a stream: splitmix64, which needs no state but the index. */
static uint64_t word_of(uint64_t seed, uint64_t index)
{
    uint64_t word = seed + (index + 1) * 0x9e3779b97f4a7c15u;
    word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9u;
    word = (word ^ (word >> 27)) * 0x94d049bb133111ebu;
    return word ^ (word >> 31);
}

void flow_fill(uint64_t seed, uint64_t offset, void *data, size_t bytes)
{
    unsigned char *to = data;

    for (size_t done = 0; done < bytes;) {
        uint64_t word = word_of(seed, (offset + done) / 8);
        size_t skip = (size_t)((offset + done) % 8);
        size_t part = bytes - done < 8 - skip ? bytes - done : 8 - skip;
        memcpy(to + done, (const char *)&word + skip, part);
        done += part;
    }
}

bool flow_matches(uint64_t seed, uint64_t offset, const void *data, size_t bytes)
{
    unsigned char expected[4096];

    for (size_t done = 0; done < bytes;) {
        size_t part = bytes - done < sizeof(expected) ? bytes - done : sizeof(expected);
        flow_fill(seed, offset + done, expected, part);
        if (memcmp(expected, (const char *)data + done, part) != 0)
            return false;
        done += part;
    }
    return true;
}

unsigned flow_draw(uint64_t *state, unsigned below)
{
    (*state)++;
    return (unsigned)(word_of(*state, 0) >> 32) % below;
}

/* The order of the words counts: what is moved changes the sum. */
static uint64_t add_to_sum(uint64_t sum, uint64_t word)
{
    return (sum ^ word) * 0x100000001b3u + 1;
}

static void *send_flow(void *arg)
{
    static _Thread_local uint64_t words[CHUNK_WORDS];
    struct flow *flow = arg;
    uint64_t sent = 0;

    while (sent < flow->bytes && flow->error == 0) {
        uint64_t left = flow->bytes - sent;
        size_t bytes = left < sizeof(words) ? (size_t)left : sizeof(words);
        for (size_t i = 0; i < bytes / 8; i++) {
            words[i] = word_of(flow->seed, sent / 8 + i);
            flow->sum = add_to_sum(flow->sum, words[i]);
        }
        if (!flow_put(flow->fd, words, bytes))
            flow->error = errno;
        sent += bytes;
    }
    if (flow->error == 0 && shutdown(flow->fd, SHUT_WR) != 0)
        flow->error = errno;
    return NULL;
}

static void *receive_flow(void *arg)
{
    static _Thread_local uint64_t words[CHUNK_WORDS];
    struct flow *flow = arg;
    uint64_t got = 0;

    while (got < flow->bytes) {
        size_t bytes = sizeof(words);
        ssize_t part;
        if (got < flow->slow_bytes) {
            usleep(SLOW_PAUSE_US);
            bytes = SLOW_PART;
        }
        if (flow->bytes - got < bytes)
            bytes = (size_t)(flow->bytes - got);
        part = recv(flow->fd, words, bytes, MSG_WAITALL);
        if (part <= 0) {
            flow->error = part < 0 ? errno : 0;
            break;
        }
        for (size_t i = 0; i < (size_t)part / 8; i++)
            flow->sum = add_to_sum(flow->sum, words[i]);
        got += (uint64_t)part;
    }
    flow->bytes = got;
    if (flow->error == 0)
        flow->error = flow_end(flow->fd);
    return NULL;
}

bool flow_start_send(struct flow *flow)
{
    CHECK_EQ(flow->bytes % 8, 0);
    flow->sum = 0;
    flow->error = 0;
    return CHECK_EQ(pthread_create(&flow->thread, NULL, send_flow, flow), 0);
}

bool flow_start_receive(struct flow *flow)
{
    flow->sum = 0;
    flow->error = 0;
    return CHECK_EQ(pthread_create(&flow->thread, NULL, receive_flow, flow), 0);
}

void flow_join(struct flow *flow)
{
    CHECK_EQ(pthread_join(flow->thread, NULL), 0);
}

static int bind_somewhere(uint32_t host, char *ret_text)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(host)}};
    socklen_t bytes = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char name[INET_ADDRSTRLEN];

    CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    CHECK(inet_ntop(AF_INET, &address.sin_addr, name, sizeof(name)) != NULL);
    snprintf(ret_text, 32, "%s:%u", name, ntohs(address.sin_port));
    return fd;
}

int flow_listen(int backlog, char *ret_text)
{
    int fd = bind_somewhere(INADDR_LOOPBACK, ret_text);
    CHECK_EQ(listen(fd, backlog), 0);
    return fd;
}

void flow_dead_address(char *ret_text)
{
    uint32_t host = (127U << 24) | (64U << 16) | ((uint32_t)getpid() & 0x3fffff);
    close(bind_somewhere(host, ret_text));
}

static void set_timeouts(int fd)
{
    struct timeval time = {.tv_sec = GIVE_UP_S};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)), 0);
}

/* A connected socket, or -1 with errno. */
static int try_connect(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!CHECK(fd >= 0))
        return -1;
    set_timeouts(fd);
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

int flow_connect(const struct sockaddr_in *address)
{
    int fd = try_connect(address);
    if (!CHECK(fd >= 0))
        plain_note("connect: %s", strerror(errno));
    return fd;
}

int flow_connect_unless_reset(const struct sockaddr_in *address)
{
    int fd = try_connect(address);
    if (fd < 0)
        CHECK_EQ(errno, ECONNRESET);
    return fd;
}

int flow_accept(int listener)
{
    int fd = -1;

    if (CHECK(flow_wait(listener, POLLIN, GIVE_UP_S * 1000)))
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (CHECK(fd >= 0))
        set_timeouts(fd);
    return fd;
}

void flow_reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
    close(fd);
}

bool flow_put(int fd, const void *data, size_t bytes)
{
    size_t sent = 0;

    while (sent < bytes) {
        ssize_t part = send(fd, (const char *)data + sent, bytes - sent, MSG_NOSIGNAL);
        if (part < 0)
            return false;
        sent += (size_t)part;
    }
    return true;
}

bool flow_get(int fd, void *data, size_t bytes)
{
    ssize_t got;

    errno = 0;
    got = recv(fd, data, bytes, MSG_WAITALL);
    return got == (ssize_t)bytes;
}

int flow_end(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);

    if (got == 0)
        return 0;
    return got > 0 ? EBADMSG : errno;
}

bool flow_wait(int fd, short events, unsigned milliseconds)
{
    struct pollfd ready = {.fd = fd, .events = events};
    return poll(&ready, 1, (int)milliseconds) == 1;
}
