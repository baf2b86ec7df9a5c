/* SPDX-License-Identifier: MIT */
/*
 * idle_memory - what a connection pair that does nothing costs a proxy, in bytes of its own memory.
 *
 * What     This program is all clients and the origin. It opens `pairs` connections through the
 *          proxy, one after the other, passes a few bytes each way, and lets them idle. The figure
 *          is the proxy's private memory then, less its base, a pair.
 * Base     Another instance, with room for few connections, after one pair has come and gone: what
 *          a proxy makes at its start for the connections that it expects counts as theirs.
 * Not      The kernel's memory for the sockets, which is the same for all.
 * Args     pairs.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "descriptors.h"
#include "measure.h"
#include "proxy_process.h"

enum {
    BASE_PAIRS = 16, /* room of the instance that shows the base */
    SPARE_DESCRIPTORS = 256, /* of the proxy, which inherits the limit */
    BYTES = 5,
    TIMEOUT_S = 10, /* for any one step of a pair */
    STEP_MS = 20,
    STEPS = 500
};

/* The two ends of a connection through the proxy, both ours. */
struct pair {
    int client;
    int origin;
};

static struct proxy_process proxy;

static void pause_step(void)
{
    const struct timespec step = {.tv_nsec = STEP_MS * 1000000L};
    (void)nanosleep(&step, NULL); /* cut short: looks sooner */
}

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static void limit_waits(int fd)
{
    const struct timeval timeout = {.tv_sec = TIMEOUT_S};
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) != 0)
        measure_fail("SO_RCVTIMEO: %s", strerror(errno));
}

static int listen_as_origin(uint16_t *ret_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 || listen(fd, 128) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        measure_fail("the origin's listener: %s", strerror(errno));
    limit_waits(fd);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* A connection to the proxy, -1 if it does not listen. */
static int connect_client(void)
{
    struct sockaddr_in address = loopback(proxy.port);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        proxy_process_fail(&proxy, "socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (errno != ECONNREFUSED)
        proxy_process_fail(&proxy, "connect");
    (void)close(fd); /* it never carried anything */
    return -1;
}

static void pass(int from, int to, const char *text)
{
    char got[BYTES];
    if (send(from, text, BYTES, MSG_NOSIGNAL) != BYTES)
        proxy_process_fail(&proxy, "send");
    if (recv(to, got, BYTES, MSG_WAITALL) != BYTES)
        proxy_process_fail(&proxy, "recv");
    if (memcmp(got, text, BYTES) != 0)
        measure_fail("other bytes arrive than were sent");
}

static void pass_both_ways(const struct pair *pair)
{
    pass(pair->client, pair->origin, "hello");
    pass(pair->origin, pair->client, "world");
}

static void open_pair(struct pair *pair, int client, int listener)
{
    pair->client = client;
    pair->origin = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0 || pair->origin < 0)
        proxy_process_fail(&proxy, "a connection through the proxy");
    limit_waits(pair->client);
    limit_waits(pair->origin);
    pass_both_ways(pair);
}

/* With a reset, so that no port stays taken for a minute. */
static void close_pair(const struct pair *pair)
{
    const struct linger reset = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(pair->client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)); /* see above */
    (void)setsockopt(pair->origin, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    (void)close(pair->client); /* all has been read */
    (void)close(pair->origin);
}

/* Starts a proxy and sees one pair through it. */
static void start(int listener, uint16_t origin_port, unsigned room)
{
    struct pair pair;
    int client;
    proxy_process_start(&proxy, origin_port, room);
    for (unsigned i = 0; (client = connect_client()) < 0; i++) {
        if (i == STEPS)
            proxy_process_fail(&proxy, "does not listen");
        pause_step();
    }
    open_pair(&pair, client, listener);
    close_pair(&pair);
}

/* The private memory once it has stayed the same for some steps: a proxy may give back late. */
static uint64_t settled_bytes(void)
{
    uint64_t bytes = proxy_process_private_bytes(&proxy);
    unsigned same = 0;
    for (unsigned i = 0; i < STEPS && same < 10; i++) {
        pause_step();
        uint64_t now = proxy_process_private_bytes(&proxy);
        same = now == bytes ? same + 1 : 0;
        bytes = now;
    }
    return bytes;
}

int main(int argc, char **argv)
{
    uint16_t origin_port;
    unsigned count = (unsigned)measure_argument(argc, argv, "pairs", 5000);
    descriptors_need(2ul * count + SPARE_DESCRIPTORS);
    int listener = listen_as_origin(&origin_port);
    struct pair *pairs = calloc(count, sizeof(*pairs));
    if (pairs == NULL || count == 0)
        measure_fail("%u pairs: no memory, or no work", count);

    start(listener, origin_port, BASE_PAIRS);
    uint64_t base = settled_bytes();
    proxy_process_stop(&proxy);

    start(listener, origin_port, count + BASE_PAIRS);
    for (unsigned i = 0; i < count; i++)
        open_pair(&pairs[i], connect_client(), listener);
    uint64_t full = settled_bytes();
    for (unsigned i = 0; i < count; i++)
        pass_both_ways(&pairs[i]);
    for (unsigned i = 0; i < count; i++)
        close_pair(&pairs[i]);
    proxy_process_stop(&proxy);
    if (full <= base)
        measure_fail("%u pairs cost no memory", count);
    measure_figure("bytes", (double)(full - base) / count);
    return 0;
}
