/* SPDX-License-Identifier: MIT */
/*
 * transcript - a whole conversation over one connection, drawn from a seed. See transcript.h.
 */
#include "transcript.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "flow.h"
#include "harness/plain.h"

enum {
    THREADS = 8,
    FAILURES_MAX = 5,
    LONG_BYTES = 300 * 1024,
    SHORT_BYTES = 8 * 1024,
    PART_MAX = 64 * 1024,
    PARTS_MAX = 128, /* a long stream is not sent byte by byte */
    GIVE_UP_MS = 30000 /* without an event */
};

struct side {
    int fd;
    uint64_t seed; /* of what it sends */
    size_t to_send, sent;
    size_t part; /* sent at once, at most */
    size_t before_end; /* sent before the other's end has come, at most */
    bool ends_last; /* only after the other's end */
    bool reads_late; /* only once it has ended */
    bool has_ended, has_seen_end;
    size_t got;
};

struct transcript {
    uint64_t seed;
    enum transcript_order order;
    struct side client, origin;
    char wrong[160]; /* empty: nothing so far */
};

struct run {
    const struct transcript_way *way;
    pthread_mutex_t pairing; /* held from a connect to its accept: the two belong together */
    atomic_uint_fast64_t next; /* seed */
    uint64_t end;
    atomic_uint failures;
    pthread_mutex_t sum;
    struct transcript_totals totals; /* under sum */
};

/* ---- drawing --------------------------------------------------------------------------------- */

static size_t draw_bytes(uint64_t *state)
{
    switch (flow_draw(state, 8)) {
    case 0:
        return 0;
    case 1:
    case 2:
        return 1 + flow_draw(state, 64);
    case 3:
    case 4:
        return 1 + flow_draw(state, SHORT_BYTES);
    default:
        return 1 + flow_draw(state, LONG_BYTES);
    }
}

static void draw_side(struct side *side, uint64_t *state)
{
    side->seed = ((uint64_t)flow_draw(state, UINT32_MAX) << 32) | flow_draw(state, UINT32_MAX);
    side->to_send = draw_bytes(state);
    side->part = 1 + flow_draw(state, 1U << flow_draw(state, 17));
    if (side->part < side->to_send / PARTS_MAX)
        side->part = side->to_send / PARTS_MAX;
    if (side->part > PART_MAX)
        side->part = PART_MAX;
    side->before_end = side->to_send;
}

static void draw(struct transcript *transcript, uint64_t seed)
{
    uint64_t state = seed * 1000003; /* the sequences of two seeds do not meet */
    struct side *last;

    memset(transcript, 0, sizeof(*transcript));
    transcript->seed = seed;
    draw_side(&transcript->client, &state);
    draw_side(&transcript->origin, &state);
    transcript->order = (enum transcript_order)flow_draw(&state, TRANSCRIPT_ORDERS);
    if (transcript->order != TRANSCRIPT_TOGETHER) {
        last = transcript->order == TRANSCRIPT_CLIENT_FIRST ? &transcript->origin
                                                            : &transcript->client;
        last->ends_last = true;
        last->before_end = flow_draw(&state, (unsigned)last->to_send + 1);
    }
    /* Who waits for the other's end has to read. */
    switch (flow_draw(&state, 8)) {
    case 0:
        transcript->client.reads_late = !transcript->client.ends_last;
        break;
    case 1:
        transcript->origin.reads_late = !transcript->origin.ends_last;
        break;
    default:
        break;
    }
}

/* ---- playing --------------------------------------------------------------------------------- */

static bool is_done(const struct side *side)
{
    return side->has_ended && side->has_seen_end;
}

static size_t may_send(const struct side *side)
{
    size_t until = side->has_seen_end ? side->to_send : side->before_end;
    size_t left = until - side->sent;
    return left < side->part ? left : side->part;
}

static bool may_end(const struct side *side)
{
    return !side->has_ended && side->sent == side->to_send &&
           (!side->ends_last || side->has_seen_end);
}

static bool may_read(const struct side *side)
{
    return !side->has_seen_end && (!side->reads_late || side->has_ended);
}

static void say(struct transcript *transcript, const struct side *side, const char *what, int error)
{
    if (transcript->wrong[0] != '\0')
        return;
    snprintf(transcript->wrong, sizeof(transcript->wrong), "%s: %s%s%s after %zu sent, %zu got",
             side == &transcript->client ? "client" : "origin", what, error != 0 ? ": " : "",
             error != 0 ? strerror(error) : "", side->sent, side->got);
}

static void send_part(struct transcript *transcript, struct side *side)
{
    char bytes[PART_MAX];
    size_t part = may_send(side);
    ssize_t sent;

    if (part != 0) {
        flow_fill(side->seed, side->sent, bytes, part);
        sent = send(side->fd, bytes, part, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            say(transcript, side, "cannot send", errno);
        else if (sent > 0)
            side->sent += (size_t)sent;
    }
    if (may_end(side)) {
        if (shutdown(side->fd, SHUT_WR) != 0)
            say(transcript, side, "cannot end", errno);
        side->has_ended = true;
    }
}

static void receive_part(struct transcript *transcript, struct side *side, const struct side *peer)
{
    char bytes[PART_MAX];
    ssize_t got = recv(side->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

    if (got > 0) {
        if (side->got + (size_t)got > peer->sent)
            say(transcript, side, "more came than was sent", 0);
        else if (!flow_matches(peer->seed, side->got, bytes, (size_t)got))
            say(transcript, side, "other bytes came than were sent", 0);
        side->got += (size_t)got;
    } else if (got == 0) {
        side->has_seen_end = true;
        if (!peer->has_ended)
            say(transcript, side, "an end came before its sender had ended", 0);
        else if (side->got != peer->to_send)
            say(transcript, side, "an end came before the last byte", 0);
    } else if (errno != EAGAIN) {
        say(transcript, side, "cannot receive", errno);
    }
}

static short interest(const struct side *side)
{
    short events = 0;
    if (may_send(side) != 0 || may_end(side))
        events |= POLLOUT;
    if (may_read(side))
        events |= POLLIN;
    return events;
}

static void play(struct transcript *transcript)
{
    struct side *sides[2] = {&transcript->client, &transcript->origin};

    while (transcript->wrong[0] == '\0' && !(is_done(sides[0]) && is_done(sides[1]))) {
        struct pollfd ready[2];
        for (unsigned i = 0; i < 2; i++)
            ready[i] = (struct pollfd){
                .fd = is_done(sides[i]) ? -1 : sides[i]->fd,
                .events = interest(sides[i]),
            };
        if (poll(ready, 2, GIVE_UP_MS) <= 0) {
            say(transcript, sides[0], "nothing happens any more", 0);
            return;
        }
        for (unsigned i = 0; i < 2; i++) {
            if ((ready[i].revents & POLLERR) != 0)
                say(transcript, sides[i], "the connection failed", 0);
            if ((ready[i].revents & POLLOUT) != 0)
                send_part(transcript, sides[i]);
            if ((ready[i].revents & POLLIN) != 0 && may_read(sides[i]))
                receive_part(transcript, sides[i], sides[1 - i]);
        }
    }
}

/* ---- many ------------------------------------------------------------------------------------ */

static bool greet(const struct transcript *transcript)
{
    char byte = 'g';
    return flow_put(transcript->client.fd, &byte, 1) && flow_get(transcript->origin.fd, &byte, 1) &&
           flow_put(transcript->origin.fd, &byte, 1) && flow_get(transcript->client.fd, &byte, 1);
}

static bool connect_both(struct run *run, struct transcript *transcript)
{
    transcript->client.fd = transcript->origin.fd = -1;
    pthread_mutex_lock(&run->pairing);
    transcript->client.fd = flow_connect(&run->way->front);
    if (transcript->client.fd >= 0)
        transcript->origin.fd = flow_accept(run->way->listener);
    pthread_mutex_unlock(&run->pairing);
    return transcript->origin.fd >= 0 && (!run->way->greets || greet(transcript));
}

static void add(struct run *run, const struct transcript *transcript)
{
    struct transcript_totals *totals = &run->totals;

    pthread_mutex_lock(&run->sum);
    totals->count++;
    totals->orders[transcript->order]++;
    totals->late += transcript->client.reads_late || transcript->origin.reads_late;
    totals->empty += transcript->client.to_send == 0;
    totals->empty += transcript->origin.to_send == 0;
    totals->bytes_up += transcript->client.to_send;
    totals->bytes_down += transcript->origin.to_send;
    pthread_mutex_unlock(&run->sum);
}

static void report(struct run *run, const struct transcript *transcript)
{
    /* Relaxed: a count that publishes nothing else. */
    atomic_fetch_add_explicit(&run->failures, 1, memory_order_relaxed);
    plain_note("seed %llu (GYRE_TRANSCRIPT_SEED=%llu GYRE_TRANSCRIPTS=1 plays it again): %s",
               (unsigned long long)transcript->seed, (unsigned long long)transcript->seed,
               transcript->wrong);
}

static void *play_many(void *arg)
{
    struct run *run = arg;
    struct transcript transcript;
    uint64_t seed;

    /* Relaxed: counts that publish nothing else. */
    while (atomic_load_explicit(&run->failures, memory_order_relaxed) < FAILURES_MAX &&
           (seed = atomic_fetch_add_explicit(&run->next, 1, memory_order_relaxed)) < run->end) {
        draw(&transcript, seed);
        if (connect_both(run, &transcript))
            play(&transcript);
        else
            say(&transcript, &transcript.client, "no connection", 0);
        if (transcript.wrong[0] != '\0')
            report(run, &transcript);
        add(run, &transcript);
        if (transcript.client.fd >= 0)
            close(transcript.client.fd);
        if (transcript.origin.fd >= 0)
            close(transcript.origin.fd);
    }
    return NULL;
}

struct transcript_totals transcripts_run(const struct transcript_way *way, uint64_t seed,
                                         uint64_t count)
{
    struct run run = {.way = way, .next = seed, .end = seed + count};
    pthread_t threads[THREADS];

    pthread_mutex_init(&run.pairing, NULL);
    pthread_mutex_init(&run.sum, NULL);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, play_many, &run), 0);
    for (unsigned i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    pthread_mutex_destroy(&run.pairing);
    pthread_mutex_destroy(&run.sum);
    /* Relaxed: the joins have shown it. */
    CHECK_EQ(atomic_load_explicit(&run.failures, memory_order_relaxed), 0);
    CHECK_EQ(run.totals.count, count);
    return run.totals;
}

void transcripts_note(const struct transcript_totals *totals, uint64_t took_ms)
{
    plain_note("%llu in %llu ms: %llu ended together, %llu by the client first, %llu by the "
               "origin first; %llu with a late reader; %llu directions empty; %llu MiB up, %llu "
               "MiB down",
               (unsigned long long)totals->count, (unsigned long long)took_ms,
               (unsigned long long)totals->orders[TRANSCRIPT_TOGETHER],
               (unsigned long long)totals->orders[TRANSCRIPT_CLIENT_FIRST],
               (unsigned long long)totals->orders[TRANSCRIPT_ORIGIN_FIRST],
               (unsigned long long)totals->late, (unsigned long long)totals->empty,
               (unsigned long long)(totals->bytes_up >> 20),
               (unsigned long long)(totals->bytes_down >> 20));
}
