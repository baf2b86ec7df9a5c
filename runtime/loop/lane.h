/* SPDX-License-Identifier: MIT */
/*
 * lane - what one thread posts to one loop: by value, in its order.
 *
 * What      An unbounded queue of one producer and one consumer: chunks of messages, linked. The
 *           lane's node goes through the door for the first message, and wakes the loop. From then
 *           on the loop looks at the lane itself, turn by turn, until it wants to sleep.
 * Why       A message is written once and read once, beside its neighbours; no node travels between
 *           two caches, posters do not contend for the door's head, and a burst costs the memory of
 *           its messages. A list of nodes was rejected: 64 bytes and two misses a message, and
 *           the head's line moves at every post (docs/decisions/0005-lanes.md has the figures).
 *
 *             thread's table --> lane <-- loop's list
 *                        head -> chunk -> chunk -> chunk <- tail       returned -> chunk -> chunk
 *                        the consumer's            the producer's      used up, for the producer
 *
 * Word      `announced` says how far the lane is filled, and whose the node is.
 *             from    to       by
 *             IDLE    count    producer: posted; it pushes the node into the door
 *             count   count'   producer: posted more; the loop will look
 *             count   IDLE     consumer: all is taken, it looks no more; the node is the producer's
 *             IDLE,   CLOSED   consumer: the loop closes, and cancels what was announced
 *             count
 *             count   CLOSED   producer: the door, closed, refused the node
 *           Counts are of all messages ever, so that none comes back. Nothing leaves CLOSED but the
 *           count of a producer that meets it: it is refused, and has no more to do with the lane.
 * Order     The producer's exchange releases the messages, and acquires the node. The consumer's
 *           looks acquire; its change to IDLE releases the node, whose link it has read. Counts are
 *           written by one thread, so a count shows all messages up to it.
 * Turn      The consumer looks when a turn begins, and runs no further: what comes later is for a
 *           later turn, behind what others have posted.
 * Lost?     Not to IDLE: that is a CAS from the count that was taken, and a message posted
 *           meanwhile fails it; the loop sleeps only when all lanes are IDLE. Not to CLOSED: the
 *           door closes first, then the lanes. A producer whose node is refused changes its count
 *           to CLOSED: if it can, the loop has not seen the message and never will, and the post is
 *           refused; if not, the loop has just cancelled it, and it was accepted.
 * Memory    No chunk: a callback is -ENOMEM. A task must not fail, and takes the detour: it goes
 *           through the door itself, marked: the loop, meeting it, first queues what lanes have
 *           announced, all of them, since the task has no room to say which is its own. Until the
 *           lane is IDLE again the producer's callbacks are -ENOMEM, and its tasks take the detour
 *           too.
 * Stamp     If the loop has a meter, the first message of each chunk is stamped with the time when
 *           it is put, and its lag noted when it is taken. The stamp is the chunk's, and so travels
 *           with its messages. Both happen where a chunk is changed, off the usual path.
 * Lines     The consumer writes to what it has read. A line that it only read stays with the
 *           producer as well, shared: neither prefetcher nor prefetch instruction asks for that
 *           again, and the store that uses it anew waits until the other copy is gone, which took
 *           240 ns for each line between far cores.
 * Lifetime  Two references. The thread's lasts until it ends, is refused, or leaves a run of the
 *           loop while the lane is queued before others; the loop's until it closes, or finds that
 *           the thread's has gone and nothing is left.
 * Threads   put, announce, detour, forsake: the producer; look, take, settle, close: the consumer.
 *           Each side is safe with the other, and serial in itself.
 * Limits    A lane keeps GYRE__LANE_KEPT bytes of chunks; those of a larger burst are freed.
 */
#ifndef GYRE_LOOP_LANE_H
#define GYRE_LOOP_LANE_H

#include <stdatomic.h>

#include "loop/door.h"
#include "loop/message.h"
#include "loop/task.h"

enum gyre__lane_limits {
    GYRE__LANE_CHUNK_MIN = 84, /* messages of the first chunk: 2 KiB, what an idle lane costs */
    GYRE__LANE_CHUNK_GROWTH = 4, /* each is so many times the last one made */
    GYRE__LANE_CHUNK_MAX = 84 * 16, /* 32 KiB: a call of malloc is then nothing beside its use */
    GYRE__LANE_KEPT = 1 << 20, /* bytes a lane: 40,000 callbacks under way */
    GYRE__LANE_AHEAD = 12, /* messages, 4 to 5 lines: what a line takes from core to core */
    GYRE__LANE_PAD = 64 /* between lines that different threads write */
};

struct gyre__meter;

struct gyre__chunk {
    struct gyre__chunk *next; /* towards the tail; once used up, in `returned` or `spare` */
    uint32_t size; /* [I] of messages */
    bool surplus; /* [I] beyond what the lane keeps: freed when used up */
    uint64_t stamp_ns; /* when its first message was put, 0: not timed */
    struct gyre__message messages[];
};

/* Keys: [I] set once, [p] the producer's, [a] atomic, [o] the consumer's: the loop's owner. */
struct gyre__lane {
    uint64_t loop_serial; /* [I] */
    struct gyre__meter *meter; /* [I] the loop's, which lives while it is posted to; or NULL */
    struct gyre__lane *next_of_thread; /* [p] in the thread's table */
    struct gyre__chunk *tail; /* [p] */
    struct gyre__chunk *spare; /* [p] to be used next */
    uint32_t tail_used; /* [p] messages of the tail */
    uint32_t chunk_size; /* [p] of the last one made */
    size_t kept; /* [p] bytes of the chunks that are not surplus */
    uint64_t count; /* [p] messages ever posted */
    bool pushed; /* [p] the door took the node once: the loop has its reference */
    bool detoured; /* [p] tasks may still be on it */
    unsigned char pad_a[GYRE__LANE_PAD];

    struct gyre_task node; /* for the door; whose it is says `announced` */
    struct gyre__chunk *_Atomic returned; /* [a] pushed by the consumer, taken whole */
    _Atomic uint32_t references; /* [a] */
    unsigned char pad_b[GYRE__LANE_PAD];

    _Atomic uint64_t announced; /* [a] */
    unsigned char pad_c[GYRE__LANE_PAD];

    struct gyre_task entry; /* [o] for the loop's queue */
    struct gyre__chunk *head; /* [o] */
    uint32_t head_used; /* [o] messages taken of the head */
    uint32_t head_stop; /* [o] with so many taken, the next is the first of a chunk */
    bool known_by_loop; /* [o] stands in its list */
    bool awaited; /* [o] a task took the detour, and may be its producer's, who waits for IDLE */
    uint8_t place; /* [o] enum gyre__lane_place, see inbox.h */
    uint32_t looks; /* [o] in vain, since it was attached */
    uint64_t taken; /* [o] messages ever taken */
    uint64_t limit; /* [o] messages that the loop has seen announced */
    struct gyre__lane *next_of_loop; /* [o] */
    struct gyre__lane *next_attached; /* [o] */
};

#define GYRE__LANE_IDLE UINT64_C(0)
#define GYRE__LANE_CLOSED UINT64_MAX

/* ---- the producer ---------------------------------------------------------------------------- */

/* A lane to the loop of that serial, with both references; `meter` is the loop's, or NULL. NULL: no
 * memory. */
struct gyre__lane *gyre__lane_create(uint64_t loop_serial, struct gyre__meter *meter);

/* Adds a message, which counts as posted once it is announced; false: no memory. */
bool gyre__lane_put(struct gyre__lane *lane, const struct gyre__message *message);

/* Adds `count` tasks; false: no memory, and none was added. */
bool gyre__lane_put_tasks(struct gyre__lane *lane, struct gyre_task *const tasks[], size_t count);

/* Announces what was added: enum gyre__door_posted, or -ESHUTDOWN, after which the producer may
 * only forsake the lane. */
int gyre__lane_announce(struct gyre__lane *lane, struct gyre__door *door);

/* Whether tasks may be on a detour that the next message must not overtake; `stays`: of one with
 * such tasks. */
bool gyre__lane_stays_detoured(struct gyre__lane *lane);
static inline bool gyre__lane_is_detoured(struct gyre__lane *lane)
{
    return lane->detoured && gyre__lane_stays_detoured(lane);
}

/* Sends tasks, chained from `newest` over `next`, by the detour: as gyre__door_post. NULL: behind
 * lanes that the thread has no longer, see lanes.h. */
int gyre__lane_detour(struct gyre__lane *lane, struct gyre__door *door, struct gyre_task *newest,
                      struct gyre_task *oldest);

/* The producer drops its reference, and the loop's if the loop never knew the lane. */
void gyre__lane_forsake(struct gyre__lane *lane);

/* Whether a producer's post to it can only be refused. */
bool gyre__lane_is_closed(const struct gyre__lane *lane);

/* ---- the consumer ---------------------------------------------------------------------------- */

static inline struct gyre__lane *gyre__lane_of_node(struct gyre_task *node)
{
    return (struct gyre__lane *)(void *)((char *)node - offsetof(struct gyre__lane, node));
}

static inline struct gyre__lane *gyre__lane_of_entry(struct gyre_task *entry)
{
    return (struct gyre__lane *)(void *)((char *)entry - offsetof(struct gyre__lane, entry));
}

/* Looks how far the lane is filled: the number of messages not seen before. Not at an IDLE one. */
uint64_t gyre__lane_look(struct gyre__lane *lane);

/* Goes on to the next chunk: the next message is the first of it, or of the very first. */
void gyre__lane_step(struct gyre__lane *lane);

/* The next of the messages that were seen. */
static inline struct gyre__message gyre__lane_take(struct gyre__lane *lane)
{
    if (lane->head_used == lane->head_stop)
        gyre__lane_step(lane);
    lane->taken++;
    struct gyre__message *slot = &lane->head->messages[lane->head_used++];
    struct gyre__message message = *slot;
    slot->fn = NULL; /* see "Lines" */
    return message;
}

static inline bool gyre__lane_is_spent(const struct gyre__lane *lane)
{
    return lane->taken == lane->limit;
}

/* Lets go of a spent lane: 0, and the node is the producer's; or, if more came, as look. */
uint64_t gyre__lane_settle(struct gyre__lane *lane);

/* Closes: the number of messages not seen before, which are the consumer's to cancel. */
uint64_t gyre__lane_close(struct gyre__lane *lane);

/* Whether the thread has gone and left nothing: the consumer may drop its reference. */
bool gyre__lane_is_abandoned(const struct gyre__lane *lane);

/* Drops a reference; the last one frees the lane and its chunks. */
void gyre__lane_release(struct gyre__lane *lane);

#endif
