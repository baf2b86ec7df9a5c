/* SPDX-License-Identifier: MIT */
/*
 * proxy_resets - connections that are reset at random, under load: what came before arrives, and
 * the reset reaches the other side as a reset, soon.
 *
 * By ss    `ss -K` destroys any socket of the machine, ours or the proxy's, as an operator or a
 *          firewall would. It needs CONFIG_INET_DIAG_DESTROY, and CAP_NET_ADMIN, which we have in a
 *          network of our own (netns.h); where the kernel refuses, those cases are skipped. The
 *          others close with SO_LINGER and 0.
 * Rounds   One connection each: both sides send, some rounds wait until the proxy has all of it,
 *          then one of the four sockets is reset. A settled round brings every byte that was sent
 *          towards a socket that lives; any other a beginning of them.
 * Load     Further connections carry streams all the while.
 * Time     Measured without load, and bounded by 100 ms plus what the machine was late meanwhile
 *          (lag.h).
 *
 * GYRE_RESETS_SEED (1) is what the rounds are drawn from.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"
#include "lag.h"
#include "netns.h"

enum {
    TIMED_ROUNDS = 100,
    LOADS = 4, /* connections with a stream each way, */
    LOAD_PART = 16384,
    LOAD_PAUSE_MS = 1, /* at most 16 MiB a second each way: the rounds need their share, too */
    SETTLED_MAX = 32768, /* fits a receive window that nobody reads */
    PART_MAX = 65536,
    PARTS_MAX = 60, /* of a round that is not settled */
    BOUND_US = 100000,
    GIVE_UP_US = 20000000,
    WAKES = 3 /* ours for the reset, the proxy's loop, ours again */
};

static const char *const no_arguments[] = {NULL};

/* Which of a pair's four sockets is reset. */
enum victim {
    VICTIM_CLIENT,
    VICTIM_ORIGIN,
    VICTIM_PEERS, /* so many are ours; the proxy's are */
    VICTIM_FRONT = VICTIM_PEERS, /* that towards the client, */
    VICTIM_BACK, /* and that towards the origin */
    VICTIM_ALL
};

struct end {
    int fd;
    uint64_t seed;
    uint64_t sent, got;
};

struct site {
    struct child proxy;
    int listener;
    char upstream[32];
    struct sockaddr_in front;
    struct end client, origin; /* of the round */
};

/* ---- resets ---------------------------------------------------------------------------------- */

static void name_of(int fd, bool peer, char text[32])
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    char host[INET_ADDRSTRLEN];

    if (peer)
        CHECK_EQ(getpeername(fd, (struct sockaddr *)&address, &bytes), 0);
    else
        CHECK_EQ(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    CHECK(inet_ntop(AF_INET, &address.sin_addr, host, sizeof(host)) != NULL);
    snprintf(text, 32, "%s:%u", host, ntohs(address.sin_port));
}

/* Starts ss, which destroys the socket `fd`, or the one at its other end. */
static FILE *start_ss(int fd, bool other_end)
{
    char names[2][32], command[160];
    FILE *ss;

    name_of(fd, other_end, names[0]);
    name_of(fd, !other_end, names[1]);
    snprintf(command, sizeof(command),
             "PATH=$PATH:/usr/sbin:/sbin; exec ss -H -K -t -n src %s dst %s 2>&1", names[0],
             names[1]);
    ss = popen(command, "re");
    CHECK(ss != NULL);
    return ss;
}

/* Waits for its end. Whether it says that it destroyed one. */
static bool end_ss(FILE *ss)
{
    char line[256];
    bool destroyed = false;

    while (fgets(line, sizeof(line), ss) != NULL)
        destroyed = destroyed || strncmp(line, "ESTAB", 5) == 0;
    (void)pclose(ss); /* it says 0 whatever it did */
    return destroyed;
}

static bool destroy(int fd, bool other_end)
{
    FILE *ss = start_ss(fd, other_end);
    return ss != NULL && end_ss(ss);
}

/* Whether the connection has failed, or does so in time. */
static bool is_reset(int fd, uint64_t microseconds)
{
    struct pollfd ready = {.fd = fd, .events = POLLIN};
    struct timespec time = {(time_t)(microseconds / 1000000),
                            (long)(microseconds % 1000000) * 1000};
    return ppoll(&ready, 1, &time, NULL) == 1 && (ready.revents & POLLERR) != 0;
}

/* Whether this kernel and our rights allow it, tried on a connection without the proxy. */
static bool can_destroy(void)
{
    char text[32];
    int listener, client, origin;
    struct sockaddr_in address;
    socklen_t bytes = sizeof(address);
    bool can;

    (void)netns_enter();
    listener = flow_listen(1, text);
    CHECK_EQ(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    client = flow_connect(&address);
    origin = flow_accept(listener);
    can = destroy(client, false) && is_reset(origin, GIVE_UP_US);
    close(client);
    close(origin);
    close(listener);
    return can;
}

/* Resets the victim, whose own end is -1 afterwards. */
static void reset_by_closing(struct site *site, enum victim victim)
{
    struct end *end = victim == VICTIM_CLIENT ? &site->client : &site->origin;
    flow_reset(end->fd);
    end->fd = -1;
}

static void reset_by_ss(struct site *site, enum victim victim)
{
    struct end *end =
        victim == VICTIM_CLIENT || victim == VICTIM_FRONT ? &site->client : &site->origin;

    CHECK(destroy(end->fd, victim >= VICTIM_PEERS));
    if (victim >= VICTIM_PEERS)
        return;
    close(end->fd);
    end->fd = -1;
}

typedef void reset_fn(struct site *site, enum victim victim);

/* ---- rounds ---------------------------------------------------------------------------------- */

static void send_part(struct end *end, size_t bytes)
{
    char part[PART_MAX];
    ssize_t sent;

    flow_fill(end->seed, end->sent, part, bytes);
    sent = send(end->fd, part, bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent > 0)
        end->sent += (uint64_t)sent;
    else
        CHECK(sent == 0 || errno == EAGAIN);
}

/* False at an end or an error, by errno. */
static bool receive_part(struct end *end, uint64_t seed, int flags)
{
    char part[PART_MAX];
    ssize_t got = recv(end->fd, part, sizeof(part), flags);

    if (got <= 0) {
        errno = got == 0 ? 0 : errno;
        return got < 0 && errno == EAGAIN && (flags & MSG_DONTWAIT) != 0;
    }
    CHECK(flow_matches(seed, end->got, part, (size_t)got));
    end->got += (uint64_t)got;
    return true;
}

/* Waits until the proxy's system has all that was sent. */
static void settle(const struct end *end)
{
    int unsent = 1;

    for (uint64_t began = flow_now_ms(); unsent != 0 && flow_now_ms() - began < 20000;) {
        CHECK_EQ(ioctl(end->fd, SIOCOUTQ, &unsent), 0);
        if (unsent != 0)
            flow_sleep_ms(1);
    }
    CHECK_EQ(unsent, 0);
}

static void open_pair(struct site *site, uint64_t seed)
{
    site->client = (struct end){.fd = flow_connect(&site->front), .seed = 2 * seed};
    site->origin = (struct end){.fd = flow_accept(site->listener), .seed = 2 * seed + 1};
    /* Joined: before, there is no socket towards the origin that a reset could meet. */
    send_part(&site->client, 1);
    CHECK(receive_part(&site->origin, site->client.seed, 0));
    send_part(&site->origin, 1);
    CHECK(receive_part(&site->client, site->origin.seed, 0));
}

/* Sends both ways: what fits and stays unread, or as much as goes, read now and then. */
static void talk(struct site *site, uint64_t *state, bool settled)
{
    struct end *ends[2] = {&site->client, &site->origin};
    unsigned parts = settled ? 2 : flow_draw(state, PARTS_MAX);

    for (unsigned i = 0; i < parts; i++) {
        struct end *from = ends[i % 2], *to = ends[1 - i % 2];
        send_part(from, flow_draw(state, settled ? SETTLED_MAX : PART_MAX) + 1);
        if (!settled && flow_draw(state, 2) == 0)
            CHECK(receive_part(to, from->seed, MSG_DONTWAIT));
    }
    if (settled) {
        settle(ends[0]);
        settle(ends[1]);
    }
}

/* All that comes, up to the reset. */
static void expect_reset(struct end *end, uint64_t seed)
{
    while (receive_part(end, seed, 0))
        continue;
    CHECK_EQ(errno, ECONNRESET);
    close(end->fd);
}

/* Whether what `from` sent had to arrive: its way did not lead through a socket that was reset
 * before the proxy had read from it. */
static bool must_arrive(bool from_client, enum victim victim)
{
    if (from_client)
        return victim == VICTIM_CLIENT || victim == VICTIM_FRONT;
    return victim == VICTIM_ORIGIN || victim == VICTIM_BACK;
}

static bool play_round(struct site *site, uint64_t *state, unsigned victims, reset_fn *reset)
{
    enum victim victim = (enum victim)flow_draw(state, victims);
    bool settled = flow_draw(state, 2) == 0;

    open_pair(site, flow_draw(state, UINT32_MAX));
    talk(site, state, settled);
    reset(site, victim);
    if (site->client.fd >= 0)
        expect_reset(&site->client, site->origin.seed);
    if (site->origin.fd >= 0)
        expect_reset(&site->origin, site->client.seed);
    if (settled && must_arrive(true, victim))
        CHECK_EQ(site->origin.got, site->client.sent);
    if (settled && must_arrive(false, victim))
        CHECK_EQ(site->client.got, site->origin.sent);
    return settled;
}

/* ---- load ------------------------------------------------------------------------------------ */

struct load {
    pthread_t thread;
    int fds[2]; /* client and origin */
    uint64_t bytes;
};

static atomic_bool over;

/* One thread, both ways: sends what goes, reads what has come, and compares it. */
static void *be_load(void *arg)
{
    struct load *load = arg;
    struct end ends[2] = {{.fd = load->fds[0], .seed = 1}, {.fd = load->fds[1], .seed = 2}};

    /* Relaxed: nothing else is published. */
    while (!atomic_load_explicit(&over, memory_order_relaxed)) {
        struct pollfd ready[2] = {{.fd = ends[0].fd, .events = POLLIN},
                                  {.fd = ends[1].fd, .events = POLLIN}};
        send_part(&ends[0], LOAD_PART);
        send_part(&ends[1], LOAD_PART);
        if (!CHECK_GE(poll(ready, 2, 20000), 1))
            break;
        CHECK(receive_part(&ends[0], ends[1].seed, MSG_DONTWAIT));
        CHECK(receive_part(&ends[1], ends[0].seed, MSG_DONTWAIT));
        flow_sleep_ms(LOAD_PAUSE_MS);
    }
    load->bytes = ends[0].got + ends[1].got;
    return NULL;
}

static void start_load(struct site *site, struct load *loads)
{
    atomic_store_explicit(&over, false, memory_order_relaxed); /* the threads are not there yet */
    for (unsigned i = 0; i < LOADS; i++) {
        loads[i].fds[0] = flow_connect(&site->front);
        loads[i].fds[1] = flow_accept(site->listener);
        CHECK_EQ(pthread_create(&loads[i].thread, NULL, be_load, &loads[i]), 0);
    }
}

static uint64_t stop_load(struct load *loads)
{
    uint64_t bytes = 0;

    atomic_store_explicit(&over, true, memory_order_relaxed); /* the joins wait for it */
    for (unsigned i = 0; i < LOADS; i++) {
        CHECK_EQ(pthread_join(loads[i].thread, NULL), 0);
        close(loads[i].fds[0]);
        close(loads[i].fds[1]);
        bytes += loads[i].bytes;
    }
    return bytes;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static bool begin(struct site *site)
{
    (void)netns_enter(); /* or the system's: then ss looks through the connections of all */
    site->listener = flow_listen(128, site->upstream);
    if (child_start_proxy(&site->proxy, 0, site->upstream, no_arguments)) {
        site->front = child_address(&site->proxy);
        return true;
    }
    close(site->listener);
    return false;
}

static void end(struct site *site, unsigned pairs)
{
    struct child_counters counters;

    close(site->listener);
    child_stop(&site->proxy);
    counters = child_counters(&site->proxy);
    CHECK_EQ(counters.accepted, pairs);
    CHECK_EQ(counters.failed_connects, 0);
}

static void run_rounds(unsigned rounds, unsigned victims, reset_fn *reset)
{
    uint64_t state = (uint64_t)plain_number("GYRE_RESETS_SEED", 1), began, bytes;
    struct load loads[LOADS];
    unsigned settled = 0;
    struct site site;

    if (!begin(&site))
        return;
    start_load(&site, loads);
    began = flow_now_ms();
    for (unsigned i = 0; i < rounds; i++)
        settled += play_round(&site, &state, victims, reset);
    began = flow_now_ms() - began;
    bytes = stop_load(loads);
    plain_note("%u resets in %llu ms, %u of them with all bytes due; the others moved %llu MiB",
               rounds, (unsigned long long)began, settled, (unsigned long long)(bytes >> 20));
    end(&site, rounds + LOADS);
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

/* Resets `victim`; when it was last seen to live, in microseconds. */
static uint64_t time_closing(const struct end *victim, FILE **ret_ss)
{
    uint64_t now = flow_now_us();
    flow_reset(victim->fd);
    *ret_ss = NULL;
    return now;
}

/* The same; the program, which must not delay us, is still to be waited for. */
static uint64_t time_ss(const struct end *victim, FILE **ret_ss)
{
    uint64_t alive, began = flow_now_us();

    *ret_ss = start_ss(victim->fd, false);
    do
        alive = flow_now_us();
    while (!is_reset(victim->fd, 100) && alive - began < GIVE_UP_US);
    return alive;
}

/* How long from the reset until the other side knows, on an otherwise silent proxy. */
static void time_rounds(uint64_t (*reset)(const struct end *victim, FILE **ret_ss))
{
    uint64_t times[TIMED_ROUNDS], late_max = 0, state = 1;
    unsigned beyond = 0;
    struct site site;

    if (!begin(&site))
        return;
    if (!CHECK(lag_start()))
        return;
    for (unsigned i = 0; i < TIMED_ROUNDS; i++) {
        struct end *ends[2] = {&site.client, &site.origin}, *other = ends[1 - i % 2];
        uint64_t began, late;
        FILE *ss;
        open_pair(&site, flow_draw(&state, UINT32_MAX));
        lag_begin();
        began = reset(ends[i % 2], &ss);
        CHECK(is_reset(other->fd, GIVE_UP_US));
        times[i] = flow_now_us() - began;
        late = lag_worst_us();
        late_max = late > late_max ? late : late_max;
        beyond += times[i] > BOUND_US;
        CHECK_LE(times[i], BOUND_US + WAKES * late);
        CHECK_EQ(flow_end(other->fd), ECONNRESET);
        close(other->fd);
        if (ss != NULL) {
            CHECK(end_ss(ss));
            close(ends[i % 2]->fd);
        }
    }
    lag_stop();
    qsort(times, TIMED_ROUNDS, sizeof(times[0]), compare);
    plain_note("until the other side knows: median %llu us, 95th percentile %llu us, longest %llu "
               "us of %d; %u took more than 100 ms; the machine ran late by up to %llu us",
               (unsigned long long)times[TIMED_ROUNDS / 2],
               (unsigned long long)times[TIMED_ROUNDS * 95 / 100],
               (unsigned long long)times[TIMED_ROUNDS - 1], TIMED_ROUNDS, beyond,
               (unsigned long long)late_max);
    end(&site, TIMED_ROUNDS);
}

static void resets_of_peers_under_load_overtake_no_byte(void)
{
    run_rounds(child_sanitized() ? 100 : 300, VICTIM_PEERS, reset_by_closing);
}

static void resets_by_ss_under_load_overtake_no_byte(void)
{
    if (!can_destroy())
        PLAIN_SKIP("ss -K destroys nothing here (CONFIG_INET_DIAG_DESTROY, CAP_NET_ADMIN)");
    run_rounds(child_sanitized() ? 50 : 150, VICTIM_ALL, reset_by_ss);
}

static void a_reset_of_a_peer_crosses_within_100_ms(void)
{
    time_rounds(time_closing);
}

static void a_reset_by_ss_crosses_within_100_ms(void)
{
    if (!can_destroy())
        PLAIN_SKIP("ss -K destroys nothing here (CONFIG_INET_DIAG_DESTROY, CAP_NET_ADMIN)");
    time_rounds(time_ss);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(resets_of_peers_under_load_overtake_no_byte),
    PLAIN_CASE(resets_by_ss_under_load_overtake_no_byte),
    PLAIN_CASE(a_reset_of_a_peer_crosses_within_100_ms),
    PLAIN_CASE(a_reset_by_ss_crosses_within_100_ms),
};

PLAIN_MAIN(cases)
