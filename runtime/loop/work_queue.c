/* SPDX-License-Identifier: MIT */
/*
 * work_queue - see work_queue.h for the word and the argument.
 */
#include "loop/work_queue.h"

#include <gyre/error.h>

#define ITEM UINT64_C(1)
#define SLEEPER (UINT64_C(1) << 32)
#define WAKING (UINT64_C(1) << 48)
#define CLOSED (UINT64_C(1) << 63)

static uint32_t items_of(uint64_t word)
{
    return (uint32_t)word;
}

static uint32_t sleepers_of(uint64_t word)
{
    return (uint32_t)(word >> 32) & 0xffff;
}

int gyre__work_queue_init(struct gyre__work_queue *queue, const struct gyre__port *port,
                          uint32_t max)
{
    uint64_t size = 2; /* of one, a filled cell would look like the next round's free one */
    while (size < max)
        size *= 2;
    *queue = (struct gyre__work_queue){.port = port, .mask = size - 1};
    queue->cells = gyre__port_allocate(size * sizeof(*queue->cells));
    if (queue->cells == NULL)
        return -ENOMEM;
    for (uint64_t place = 0; place < size; place++)
        atomic_init(&queue->cells[place].sequence, place);
    return 0;
}

void gyre__work_queue_deinit(struct gyre__work_queue *queue)
{
    if (queue->cells != NULL)
        gyre__port_release(queue->cells, (queue->mask + 1) * sizeof(*queue->cells));
    queue->cells = NULL;
}

/* ---- ring ------------------------------------------------------------------------------------ */

static bool push(struct gyre__work_queue *queue, struct gyre_work *work)
{
    /* relaxed: a stale place only costs the exchange another try */
    uint64_t place = atomic_load_explicit(&queue->tail, memory_order_relaxed);
    for (;;) {
        struct gyre__work_cell *cell = &queue->cells[place & queue->mask];
        /* acquire: pairs with the release of pop; its read of the cell is over */
        uint64_t sequence = atomic_load_explicit(&cell->sequence, memory_order_acquire);
        if (sequence == place) {
            /* relaxed: the place is all that is taken; the cell orders its content */
            if (atomic_compare_exchange_weak_explicit(&queue->tail, &place, place + 1,
                                                      memory_order_relaxed, memory_order_relaxed)) {
                cell->work = work;
                /* release: pairs with the acquire of pop, and shows the work */
                atomic_store_explicit(&cell->sequence, place + 1, memory_order_release);
                return true;
            }
        } else if (sequence < place) {
            return false; /* of one round before: full */
        } else {
            place = atomic_load_explicit(&queue->tail, memory_order_relaxed);
        }
    }
}

struct gyre_work *gyre__work_queue_pop(struct gyre__work_queue *queue)
{
    /* relaxed: each that is counted has a place of its own, which this takes */
    uint64_t place = atomic_fetch_add_explicit(&queue->head, 1, memory_order_relaxed);
    struct gyre__work_cell *cell = &queue->cells[place & queue->mask];
    /* acquire: pairs with the release of push */
    while (atomic_load_explicit(&cell->sequence, memory_order_acquire) != place + 1)
        gyre__port_relax();
    struct gyre_work *work = cell->work;
    /* release: pairs with the acquire of push, a round later */
    atomic_store_explicit(&cell->sequence, place + queue->mask + 1, memory_order_release);
    return work;
}

/* ---- word ------------------------------------------------------------------------------------ */

/* Takes a sleeper off, to be woken, if there is work for it and nobody is on the way. */
static uint64_t call_sleeper(uint64_t word)
{
    bool needed = items_of(word) > 0 && sleepers_of(word) > 0 && (word & WAKING) == 0;
    return needed ? (word - SLEEPER) | WAKING : word;
}

static void give_wakes(struct gyre__work_queue *queue, uint32_t count)
{
    /* release: pairs with the acquire of await_wake, which is to see the word of before */
    atomic_fetch_add_explicit(&queue->wakes, count, memory_order_release);
    if (count == 1)
        queue->port->unpark_one(&queue->wakes);
    else
        queue->port->unpark(&queue->wakes);
}

static void await_wake(struct gyre__work_queue *queue)
{
    /* relaxed: the exchange is what takes; it acquires, see give_wakes */
    uint32_t given = atomic_load_explicit(&queue->wakes, memory_order_relaxed);
    for (;;) {
        if (given == 0) {
            queue->port->park(&queue->wakes, 0);
            given = atomic_load_explicit(&queue->wakes, memory_order_relaxed);
        } else if (atomic_compare_exchange_weak_explicit(&queue->wakes, &given, given - 1,
                                                         memory_order_acquire,
                                                         memory_order_relaxed)) {
            return;
        }
    }
}

int gyre__work_queue_put(struct gyre__work_queue *queue, struct gyre_work *work)
{
    /* relaxed: closed for good; who misses it finds it below */
    uint64_t word = atomic_load_explicit(&queue->word, memory_order_relaxed);
    if ((word & CLOSED) != 0)
        return -ESHUTDOWN;
    if (!push(queue, work))
        return -EAGAIN;
    uint64_t next;
    do {
        if ((word & CLOSED) != 0)
            return 1;
        next = call_sleeper(word + ITEM);
        /* release: pairs with the acquire of take; so the places taken in pop are filled, or being
         * so. Failure: relaxed, it is tried again. */
    } while (!atomic_compare_exchange_weak_explicit(&queue->word, &word, next, memory_order_release,
                                                    memory_order_relaxed));
    if ((next & WAKING) != (word & WAKING))
        give_wakes(queue, 1);
    return 0;
}

/* Takes one off the count. False: there was none, and the caller was counted as a sleeper. */
static bool take_item(struct gyre__work_queue *queue, uint64_t *word, bool woken)
{
    uint64_t next;
    bool taken;
    do {
        if ((*word & CLOSED) != 0)
            return false;
        taken = items_of(*word) > 0;
        next = woken ? *word & ~WAKING : *word;
        next = taken ? call_sleeper(next - ITEM) : next + SLEEPER;
        /* acquire: pairs with the release of put. Failure: relaxed, it is tried again. */
    } while (!atomic_compare_exchange_weak_explicit(&queue->word, word, next, memory_order_acquire,
                                                    memory_order_relaxed));
    uint64_t kept = woken ? *word & ~WAKING : *word;
    if ((next & WAKING) != (kept & WAKING))
        give_wakes(queue, 1);
    return taken;
}

struct gyre_work *gyre__work_queue_take(struct gyre__work_queue *queue)
{
    bool woken = false;
    /* relaxed: a stale word only costs the exchange another try */
    uint64_t word = atomic_load_explicit(&queue->word, memory_order_relaxed);
    while (!take_item(queue, &word, woken)) {
        if ((word & CLOSED) != 0)
            return NULL;
        await_wake(queue);
        woken = true;
        word = atomic_load_explicit(&queue->word, memory_order_relaxed);
    }
    return gyre__work_queue_pop(queue);
}

uint32_t gyre__work_queue_close(struct gyre__work_queue *queue)
{
    /* acquire: as in take */
    uint64_t word = atomic_exchange_explicit(&queue->word, CLOSED, memory_order_acquire);
    if (sleepers_of(word) > 0)
        give_wakes(queue, sleepers_of(word));
    return items_of(word);
}
