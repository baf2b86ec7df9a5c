/* SPDX-License-Identifier: MIT */
/*
 * transcript - a whole conversation over one connection, drawn from a seed: how much each side
 * sends, in which parts, who ends first, who waits for whose end, who reads late.
 *
 * What     Both sides of a connection are played by one thread, so that it knows what must hold at
 *          each moment: bytes come as they were sent and in place, an end comes after exactly the
 *          bytes sent, and never before its sender has ended; what remains to be sent against it is
 *          sent after it.
 * Orders   Whatever two programs may do without waiting for each other for ever: of the two, one
 *          at most waits for the other's end, and one at most reads late.
 * Threads  transcripts_run plays many at once, on threads of its own.
 */
#ifndef TRANSCRIPT_H
#define TRANSCRIPT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

enum transcript_order {
    TRANSCRIPT_TOGETHER, /* each side ends when it has sent all */
    TRANSCRIPT_CLIENT_FIRST, /* the origin ends, and sends some of its bytes, after the client */
    TRANSCRIPT_ORIGIN_FIRST, /* the other way round */
    TRANSCRIPT_ORDERS
};

/* Where a client connects to, and where that connection comes out. */
struct transcript_way {
    struct sockaddr_in front;
    int listener;
    bool greets; /* a byte goes each way first, which is not counted */
};

struct transcript_totals {
    uint64_t count;
    uint64_t orders[TRANSCRIPT_ORDERS];
    uint64_t late; /* of them with a side that reads late */
    uint64_t empty; /* directions without a byte */
    uint64_t bytes_up, bytes_down;
};

/*
 * Plays those with the seeds from `seed` to `seed` + `count` - 1. What goes wrong fails the case,
 * with the seed and what was seen; after a few failures no more are begun.
 */
struct transcript_totals transcripts_run(const struct transcript_way *way, uint64_t seed,
                                         uint64_t count);

/* Prints what was played. */
void transcripts_note(const struct transcript_totals *totals, uint64_t took_ms);

#endif
