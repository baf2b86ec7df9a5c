/* SPDX-License-Identifier: MIT */
/*
 * producers - see producers.h.
 */
#include "producers.h"

#include <pthread.h>
#include <stdalign.h>
#include <stddef.h>

#include "cpus.h"
#include "measure.h"

enum {
    PRODUCER_SHIFT = 56, /* a number is the producer above, and its count below */
    PUBLISHED = PRODUCERS_WINDOW / 2,
    CACHE_LINE = 64
};

#define COUNT_MASK ((UINT64_C(1) << PRODUCER_SHIFT) - 1)

/* Keys: [I] set once, [p] the producer's, [l] the loop's thread's, [m] under the mutex. */
struct producer {
    pthread_t thread; /* [I] */
    unsigned index; /* [I] */
    uint64_t ops; /* [I] */

    alignas(CACHE_LINE) pthread_mutex_t mutex;
    pthread_cond_t moved;
    uint64_t run; /* [m] how many have run, at least */

    alignas(CACHE_LINE) uint64_t arrived; /* [l] */
};

static struct producer producers[PRODUCERS_MAX];
static uint64_t remaining; /* [l] */
static producers_send_fn *send_one; /* [I] */
static pthread_barrier_t start;

/* Waits until another post is within the window; the number of the first that is not. */
static uint64_t wait_for_room(struct producer *producer, uint64_t count)
{
    pthread_mutex_lock(&producer->mutex);
    while (count - producer->run >= PRODUCERS_WINDOW)
        pthread_cond_wait(&producer->moved, &producer->mutex);
    uint64_t end = producer->run + PRODUCERS_WINDOW;
    pthread_mutex_unlock(&producer->mutex);
    return end;
}

static void *produce(void *arg)
{
    struct producer *producer = arg;
    uint64_t above = (uint64_t)producer->index << PRODUCER_SHIFT;
    uint64_t end = PRODUCERS_WINDOW;
    cpus_leave_first();
    pthread_barrier_wait(&start);
    for (uint64_t count = 0; count < producer->ops; count++) {
        if (count == end)
            end = wait_for_room(producer, count);
        send_one(producer->index, (unsigned)(count % PRODUCERS_WINDOW), above | count);
    }
    return NULL;
}

static void publish(struct producer *producer)
{
    pthread_mutex_lock(&producer->mutex);
    producer->run = producer->arrived;
    pthread_mutex_unlock(&producer->mutex);
    pthread_cond_signal(&producer->moved);
}

bool producers_arrived(uint64_t number)
{
    struct producer *producer = &producers[number >> PRODUCER_SHIFT];
    if (producer->arrived != (number & COUNT_MASK))
        measure_fail("producer %u: number %llu arrived when %llu was due", producer->index,
                     (unsigned long long)(number & COUNT_MASK),
                     (unsigned long long)producer->arrived);
    producer->arrived++;
    if (producer->arrived % PUBLISHED == 0)
        publish(producer);
    return --remaining == 0;
}

static void create_producers(unsigned count, uint64_t ops)
{
    for (unsigned i = 0; i < count; i++) {
        struct producer *producer = &producers[i];
        producer->index = i;
        producer->ops = ops / count + (i < ops % count);
        pthread_mutex_init(&producer->mutex, NULL);
        pthread_cond_init(&producer->moved, NULL);
        if (pthread_create(&producer->thread, NULL, produce, producer) != 0)
            measure_fail("no thread for producer %u", i);
    }
}

void producers_measure(int argc, char **argv, producers_send_fn *send, void (*run)(void))
{
    uint64_t ops = measure_argument(argc, argv, "ops", 1000000);
    uint64_t count = measure_argument(argc, argv, "producers", 1);
    struct measure measure;
    if (ops == 0 || ops > COUNT_MASK || count == 0 || count > PRODUCERS_MAX)
        measure_fail("ops or producers out of range");
    send_one = send;
    remaining = ops;
    pthread_barrier_init(&start, NULL, (unsigned)count + 1);
    create_producers((unsigned)count, ops);
    cpus_pin(0); /* only now: they have inherited what this thread might use */

    measure_begin(&measure);
    pthread_barrier_wait(&start);
    run();
    measure_end(&measure);

    if (remaining != 0)
        measure_fail("the loop ended when %llu were still to arrive",
                     (unsigned long long)remaining);
    for (unsigned i = 0; i < count; i++) {
        pthread_join(producers[i].thread, NULL);
        if (producers[i].arrived != producers[i].ops)
            measure_fail("producer %u: %llu of %llu arrived", i,
                         (unsigned long long)producers[i].arrived,
                         (unsigned long long)producers[i].ops);
    }
    measure_report(&measure, ops);
}
