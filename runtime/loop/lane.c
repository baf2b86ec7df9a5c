/* SPDX-License-Identifier: MIT */
/*
 * lane - see lane.h for the states and the ordering argument.
 */
#include "loop/lane.h"

#include <gyre/error.h>

#include "contract/port.h"
#include "loop/meter.h"
#include "loop/node.h"

_Static_assert(sizeof(struct gyre__chunk) + GYRE__LANE_CHUNK_MIN * sizeof(struct gyre__message) <=
                   2040,
               "the first chunk fits malloc's block of 2 KiB");

/* ---- chunks ---------------------------------------------------------------------------------- */

static size_t bytes_of(uint32_t size)
{
    return sizeof(struct gyre__chunk) + size * sizeof(struct gyre__message);
}

/* A chunk larger than the last, so that a burst costs few calls, and an idle lane little memory. */
static struct gyre__chunk *chunk_create(struct gyre__lane *lane)
{
    uint32_t size = lane->chunk_size * GYRE__LANE_CHUNK_GROWTH;
    if (size == 0)
        size = GYRE__LANE_CHUNK_MIN;
    if (size > GYRE__LANE_CHUNK_MAX)
        size = GYRE__LANE_CHUNK_MAX;
    struct gyre__chunk *chunk = gyre__port_allocate(bytes_of(size));
    if (chunk == NULL)
        return NULL;
    lane->chunk_size = size;
    chunk->size = size;
    chunk->surplus = lane->kept + bytes_of(size) > GYRE__LANE_KEPT;
    if (!chunk->surplus)
        lane->kept += bytes_of(size);
    return chunk;
}

static struct gyre__chunk *chunk_take(struct gyre__lane *lane)
{
    struct gyre__chunk *chunk = lane->spare;
    if (chunk == NULL) {
        /* relaxed: the exchange orders; this only spares it when nothing came */
        if (atomic_load_explicit(&lane->returned, memory_order_relaxed) == NULL)
            return chunk_create(lane);
        /* acquire: pairs with the release in chunk_return; the consumer is done reading them */
        chunk = atomic_exchange_explicit(&lane->returned, NULL, memory_order_acquire);
    }
    lane->spare = chunk->next;
    return chunk;
}

static void chunk_free(struct gyre__chunk *chunk)
{
    gyre__port_release(chunk, bytes_of(chunk->size));
}

/* The consumer has taken its last message. */
static void chunk_return(struct gyre__lane *lane, struct gyre__chunk *chunk)
{
    if (chunk->surplus) {
        chunk_free(chunk);
        return;
    }
    /* relaxed: only this thread pushes, and the producer takes all, so a stale head cannot be back
     */
    struct gyre__chunk *head = atomic_load_explicit(&lane->returned, memory_order_relaxed);
    do
        chunk->next = head;
    while (!atomic_compare_exchange_weak_explicit(
        &lane->returned, &head, chunk,
        memory_order_release, /* pairs with the acquire in chunk_take */
        memory_order_relaxed));
}

static void chunks_free(struct gyre__chunk *chunk)
{
    while (chunk != NULL) {
        struct gyre__chunk *next = chunk->next;
        chunk_free(chunk);
        chunk = next;
    }
}

/* ---- the producer ---------------------------------------------------------------------------- */

static void stamp(const struct gyre__lane *lane, struct gyre__chunk *chunk)
{
    chunk->stamp_ns = lane->meter != NULL ? lane->meter->port->ticks_ns() : 0;
}

struct gyre__lane *gyre__lane_create(uint64_t loop_serial, struct gyre__meter *meter)
{
    struct gyre__lane *lane = gyre__port_allocate(sizeof(*lane));
    if (lane == NULL)
        return NULL;
    lane->tail = chunk_create(lane);
    if (lane->tail == NULL) {
        gyre__port_release(lane, sizeof(*lane));
        return NULL;
    }
    lane->head = lane->tail;
    lane->loop_serial = loop_serial;
    lane->meter = meter;
    stamp(lane, lane->tail); /* a lane is made for a message */
    gyre_task_init(&lane->node, NULL, NULL);
    gyre__task_set_kind(&lane->node, GYRE__TASK_LANE);
    gyre__task_set_kind(&lane->entry, GYRE__TASK_LANE);
    atomic_init(&lane->announced, GYRE__LANE_IDLE);
    atomic_init(&lane->returned, NULL);
    atomic_init(&lane->references, 2);
    return lane;
}

/* Makes an empty chunk the tail. noinline: else its registers are saved for each message. */
__attribute__((noinline)) static bool next_chunk(struct gyre__lane *lane)
{
    struct gyre__chunk *chunk = chunk_take(lane);
    if (chunk == NULL)
        return false;
    chunk->next = NULL;
    stamp(lane, chunk);
    lane->tail->next = chunk; /* followed only to a message that was announced */
    lane->tail = chunk;
    lane->tail_used = 0;
    return true;
}

static inline struct gyre__message *next_slot(struct gyre__lane *lane)
{
    if (lane->tail_used == lane->tail->size && !next_chunk(lane))
        return NULL;
    struct gyre__message *slot = &lane->tail->messages[lane->tail_used++];
    /* The consumer has read the lines ahead, when they were last used. The exchange in announce
     * waits for a line that is not ours yet, so each is asked for in time: that halves the cost of
     * a post (gyre-bench, case post). */
    __builtin_prefetch(slot + GYRE__LANE_AHEAD, 1);
    return slot;
}

bool gyre__lane_put(struct gyre__lane *lane, const struct gyre__message *message)
{
    struct gyre__message *slot = next_slot(lane);
    if (slot == NULL)
        return false;
    *slot = *message;
    lane->count++;
    return true;
}

/* Makes `tail` the tail again, of which `used` messages stay. */
static void retract(struct gyre__lane *lane, struct gyre__chunk *tail, uint32_t used)
{
    if (tail != lane->tail) {
        lane->tail->next = lane->spare;
        lane->spare = tail->next;
        tail->next = NULL;
        lane->tail = tail;
    }
    lane->tail_used = used;
}

bool gyre__lane_put_tasks(struct gyre__lane *lane, struct gyre_task *const tasks[], size_t count)
{
    struct gyre__chunk *tail = lane->tail;
    uint32_t used = lane->tail_used;
    for (size_t i = 0; i < count; i++) {
        struct gyre__message *slot = next_slot(lane);
        if (slot == NULL) {
            retract(lane, tail, used);
            return false;
        }
        *slot = (struct gyre__message){.arg = tasks[i]};
    }
    lane->count += count;
    return true;
}

/* Pushes the node, which announced messages wait for. */
static int push(struct gyre__lane *lane, struct gyre__door *door)
{
    int r = gyre__door_post(door, &lane->node, &lane->node);
    if (r >= 0) {
        lane->pushed = true;
        return r;
    }
    uint64_t count = lane->count;
    /* relaxed: nothing travels with CLOSED; whoever comes first, the other one learns of it */
    if (atomic_compare_exchange_strong_explicit(&lane->announced, &count, GYRE__LANE_CLOSED,
                                                memory_order_relaxed, memory_order_relaxed))
        return r;
    return GYRE__DOOR_POSTED; /* accepted, and cancelled by the close */
}

int gyre__lane_announce(struct gyre__lane *lane, struct gyre__door *door)
{
    /* Release: pairs with the acquires of look, settle and close, and shows the messages. Acquire:
     * pairs with the release of settle; the consumer is done with the node. */
    uint64_t before = atomic_exchange_explicit(&lane->announced, lane->count, memory_order_acq_rel);
    if (before == GYRE__LANE_IDLE)
        return push(lane, door);
    return before == GYRE__LANE_CLOSED ? -ESHUTDOWN : GYRE__DOOR_POSTED;
}

bool gyre__lane_stays_detoured(struct gyre__lane *lane)
{
    /* relaxed: the tasks are in the door already, before whatever this thread pushes next */
    lane->detoured =
        atomic_load_explicit(&lane->announced, memory_order_relaxed) != GYRE__LANE_IDLE;
    return lane->detoured;
}

int gyre__lane_detour(struct gyre__lane *lane, struct gyre__door *door, struct gyre_task *newest,
                      struct gyre_task *oldest)
{
    /* One without messages has none to come behind, and is dropped before. */
    GYRE__ASSERT(lane == NULL || lane->pushed);
    gyre__task_set_detoured(oldest, true); /* the others come behind it */
    int r = gyre__door_post(door, newest, oldest);
    if (r < 0)
        gyre__task_set_detoured(oldest, false);
    else if (lane != NULL)
        lane->detoured = true;
    return r;
}

void gyre__lane_forsake(struct gyre__lane *lane)
{
    if (!lane->pushed)
        gyre__lane_release(lane);
    gyre__lane_release(lane);
}

bool gyre__lane_is_closed(const struct gyre__lane *lane)
{
    /* relaxed: nothing leaves CLOSED, and nothing is read by it */
    return atomic_load_explicit(&lane->announced, memory_order_relaxed) == GYRE__LANE_CLOSED;
}

/* ---- the consumer ---------------------------------------------------------------------------- */

static uint64_t see(struct gyre__lane *lane, uint64_t announced)
{
    uint64_t count = announced - lane->limit;
    lane->limit = announced;
    return count;
}

uint64_t gyre__lane_look(struct gyre__lane *lane)
{
    /* acquire: pairs with the release of announce; the messages are seen */
    return see(lane, atomic_load_explicit(&lane->announced, memory_order_acquire));
}

void gyre__lane_step(struct gyre__lane *lane)
{
    struct gyre__chunk *used_up = lane->head;
    if (lane->head_used != 0) {
        lane->head = used_up->next;
        lane->head_used = 0;
        chunk_return(lane, used_up);
    }
    lane->head_stop = lane->head->size;
    if (lane->head->stamp_ns != 0)
        gyre__meter_note_post(lane->meter, lane->head->stamp_ns);
}

uint64_t gyre__lane_settle(struct gyre__lane *lane)
{
    uint64_t announced = lane->limit;
    /* Release: pairs with the acquire of announce; the node's link has been read. Acquire: if more
     * came, as in look. */
    if (atomic_compare_exchange_strong_explicit(&lane->announced, &announced, GYRE__LANE_IDLE,
                                                memory_order_acq_rel, memory_order_acquire))
        return 0;
    return see(lane, announced);
}

uint64_t gyre__lane_close(struct gyre__lane *lane)
{
    /* acquire: as in look */
    uint64_t announced =
        atomic_exchange_explicit(&lane->announced, GYRE__LANE_CLOSED, memory_order_acquire);
    /* IDLE: nothing is left. CLOSED: its producer was refused, and took back what it announced. */
    if (announced == GYRE__LANE_IDLE || announced == GYRE__LANE_CLOSED)
        return 0;
    return see(lane, announced);
}

bool gyre__lane_is_abandoned(const struct gyre__lane *lane)
{
    /* acquire: pairs with the release of the thread's gyre__lane_release, after which it posts
     * nothing: its last count is seen. Relaxed then: nobody else is left to change it. */
    return atomic_load_explicit(&lane->references, memory_order_acquire) == 1 &&
           atomic_load_explicit(&lane->announced, memory_order_relaxed) == GYRE__LANE_IDLE;
}

void gyre__lane_release(struct gyre__lane *lane)
{
    /* acq_rel: the last one frees what the other has done with */
    if (atomic_fetch_sub_explicit(&lane->references, 1, memory_order_acq_rel) != 1)
        return;
    chunks_free(lane->head); /* the tail is its last */
    chunks_free(lane->spare);
    /* relaxed: ordered by the reference */
    chunks_free(atomic_load_explicit(&lane->returned, memory_order_relaxed));
    gyre__port_release(lane, sizeof(*lane));
}
