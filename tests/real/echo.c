/* SPDX-License-Identifier: MIT */
/*
 * echo - the example of that name with real clients: every byte back, half-close, and its end.
 */
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"

enum {
    CLIENTS = 8,
    FLOW_BYTES = 16 << 20, /* far more than a stream and the sockets hold */
    SLOW = 1 << 19 /* bytes that are read at 1 MiB/s */
};

static const char *const arguments[] = {"127.0.0.1:0", NULL};

static void returns_every_byte_and_the_end(void)
{
    struct child server;
    struct flow there[CLIENTS], back[CLIENTS];
    if (!child_start(&server, 0, "echo", arguments))
        return;
    struct sockaddr_in address = child_address(&server);
    for (unsigned i = 0; i < CLIENTS; i++) {
        int fd = flow_connect(&address);
        there[i] = (struct flow){.fd = fd, .seed = i + 1, .bytes = FLOW_BYTES >> i};
        /* The first does not read for a while, so that its sender has to wait. */
        back[i] = (struct flow){.fd = fd, .bytes = FLOW_BYTES, .slow_bytes = i == 0 ? SLOW : 0};
        CHECK(flow_start_send(&there[i]));
        CHECK(flow_start_receive(&back[i]));
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        flow_join(&there[i]); /* which has finished: its last bytes are still on their way */
        flow_join(&back[i]);
        CHECK_EQ(back[i].error, 0);
        CHECK_EQ(back[i].bytes, there[i].bytes);
        CHECK_EQ(back[i].sum, there[i].sum);
        CHECK_EQ(flow_end(back[i].fd), 0);
        close(there[i].fd);
    }
    CHECK_EQ(kill(server.pid, SIGTERM), 0);
    CHECK_EQ(child_wait(&server, 10000), 0);
}

/* Whether somebody listens at the address. */
static bool is_open(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int r = connect(fd, (const struct sockaddr *)address, sizeof(*address));
    close(fd);
    return r == 0;
}

static void signal_lets_its_clients_come_to_their_end(void)
{
    struct child server;
    char bytes[8];
    if (!child_start(&server, 0, "echo", arguments))
        return;
    struct sockaddr_in address = child_address(&server);
    int fd = flow_connect(&address);
    CHECK(flow_put(fd, "before", 6) && flow_get(fd, bytes, 6));
    CHECK_EQ(kill(server.pid, SIGTERM), 0);
    while (is_open(&address))
        sched_yield();
    CHECK(flow_put(fd, "after", 5) && flow_get(fd, bytes, 5));
    CHECK_EQ(memcmp(bytes, "after", 5), 0);
    close(fd);
    CHECK_EQ(child_wait(&server, 4000), 0); /* sooner than its patience ends */
}

static const struct plain_case cases[] = {
    PLAIN_CASE(returns_every_byte_and_the_end),
    PLAIN_CASE(signal_lets_its_clients_come_to_their_end),
};
PLAIN_MAIN(cases)
