/* SPDX-License-Identifier: MIT */
/*
 * peer_raw - no library: the least that can have another thread call a function, as a floor.
 *
 * Queue    A stack in one word. A post links its node with a compare-and-swap; the loop takes all
 *          with one exchange, turns them round and calls. The word also says that the loop sleeps
 *          (ARMED): the post that replaces the mark, and no other, writes the eventfd.
 * Spin     Before it sleeps the loop looks for about a microsecond, a fraction of what being woken
 *          costs: else the faster it is, the more often it would have to be woken.
 * Eventfd  Edge-triggered and never read: each write is an edge.
 * Nodes    Of the size of gyre's tasks, from a cache of the posting thread. The loop gathers those
 *          that it has called by their cache, and gives a cache its own back 32 at a time and
 *          before it sleeps.
 * Missing  What makes a loop of it: timers, other descriptors, errors, a way to close, any number
 *          of threads.
 */
#include <errno.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "measure.h"
#include "peer.h"

enum {
    CACHES_MAX = 128, /* threads that may call peer_call */
    HOMEWARD_BATCH = 32,
    SPINS = 50, /* of some 10 to 40 ns each */
    CACHE_LINE = 64
};

struct peer_message {
    struct peer_message *next;
    peer_fn *fn;
    void *arg;
    uint32_t cache; /* its number and 1; 0: the memory is the caller's */
    char as_large_as_a_task_of_gyre[20];
};

_Static_assert(sizeof(struct peer_message) == 48, "the size of gyre's task");
const size_t peer_message_bytes = sizeof(struct peer_message);

struct cache {
    alignas(CACHE_LINE) struct peer_message *free; /* its thread's */
    alignas(CACHE_LINE) struct peer_message *_Atomic returned;
};

struct chain {
    struct peer_message *first, *last;
    unsigned count;
};

struct peer_loop {
    alignas(CACHE_LINE) struct peer_message *_Atomic head;
    alignas(CACHE_LINE) int epoll; /* the rest is the loop's */
    int waker;
    bool stopped;
    void (*work)(void); /* of a loop that is kept awake, or NULL */
    struct chain homeward[CACHES_MAX];
};

#define ARMED ((struct peer_message *)1)

static struct cache caches[CACHES_MAX];
static _Atomic uint32_t caches_taken;
static _Thread_local uint32_t own_cache; /* its number and 1 */

struct peer_loop *peer_loop_create(void)
{
    struct peer_loop *loop = aligned_alloc(CACHE_LINE, sizeof(*loop));
    if (loop == NULL)
        measure_fail("no memory");
    memset(loop, 0, sizeof(*loop));
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->waker = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    if (loop->epoll < 0 || loop->waker < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->waker, &event) != 0)
        measure_fail("epoll: %s", strerror(errno));
    return loop;
}

static void give_back(struct chain *chain, struct cache *cache)
{
    /* relaxed: nothing is read through it */
    struct peer_message *head = atomic_load_explicit(&cache->returned, memory_order_relaxed);
    do {
        chain->last->next = head;
        /* release: pairs with the acquire of take_node; we are done reading the nodes */
    } while (!atomic_compare_exchange_weak_explicit(&cache->returned, &head, chain->first,
                                                    memory_order_release, memory_order_relaxed));
    *chain = (struct chain){.first = NULL};
}

static void give_all_back(struct peer_loop *loop)
{
    /* relaxed: of a cache that is new since there is no node here */
    uint32_t count = atomic_load_explicit(&caches_taken, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++) {
        if (loop->homeward[i].first != NULL)
            give_back(&loop->homeward[i], &caches[i]);
    }
}

static void gather(struct peer_loop *loop, struct peer_message *node)
{
    uint32_t index = node->cache - 1;
    struct chain *chain = &loop->homeward[index];
    if (chain->first == NULL)
        chain->last = node;
    node->next = chain->first;
    chain->first = node;
    if (++chain->count == HOMEWARD_BATCH)
        give_back(chain, &caches[index]);
}

static void pause_a_little(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool spin(struct peer_loop *loop)
{
    for (int i = 0; i < SPINS; i++) {
        /* relaxed: the exchange that takes acquires */
        if (atomic_load_explicit(&loop->head, memory_order_relaxed) != NULL)
            return true;
        pause_a_little();
    }
    return false;
}

/* Sleeps until something is posted; returns at once if it is. */
static void wait(struct peer_loop *loop)
{
    struct peer_message *expected = NULL;
    if (spin(loop))
        return;
    give_all_back(loop);
    /* relaxed: the exchange that takes acquires */
    if (!atomic_compare_exchange_strong_explicit(&loop->head, &expected, ARMED,
                                                 memory_order_relaxed, memory_order_relaxed))
        return;
    struct epoll_event event;
    /* relaxed: as above. An edge of a post that was taken before its write came late: wait again */
    while (atomic_load_explicit(&loop->head, memory_order_relaxed) == ARMED) {
        if (epoll_wait(loop->epoll, &event, 1, -1) < 0 && errno != EINTR)
            measure_fail("epoll_wait: %s", strerror(errno));
    }
}

/* What a loop that has something to call does for its descriptors. */
static void work_and_poll(struct peer_loop *loop)
{
    struct epoll_event event;
    loop->work();
    if (epoll_wait(loop->epoll, &event, 1, 0) < 0 && errno != EINTR)
        measure_fail("epoll_wait: %s", strerror(errno));
}

/* All that is posted, the oldest first. */
static struct peer_message *take_all(struct peer_loop *loop)
{
    /* acquire: pairs with the release of each post */
    struct peer_message *newest = atomic_exchange_explicit(&loop->head, NULL, memory_order_acquire);
    struct peer_message *oldest = NULL;
    while (newest != NULL) {
        struct peer_message *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

void peer_loop_run(struct peer_loop *loop)
{
    loop->stopped = false;
    while (!loop->stopped) {
        if (loop->work == NULL)
            wait(loop);
        else
            work_and_poll(loop);
        struct peer_message *node = take_all(loop);
        while (node != NULL) {
            struct peer_message *next = node->next;
            peer_fn *fn = node->fn;
            void *arg = node->arg;
            if (node->cache != 0)
                gather(loop, node);
            (void)fn(loop, 0, arg); /* nobody here handles errors */
            node = next;
        }
    }
}

void peer_loop_keep_awake(struct peer_loop *loop, void (*work)(void))
{
    loop->work = work;
}

void peer_loop_stop(struct peer_loop *loop)
{
    loop->stopped = true;
}

void peer_post(struct peer_loop *loop, struct peer_message *message)
{
    /* relaxed: a wrong guess only costs another try */
    struct peer_message *head = atomic_load_explicit(&loop->head, memory_order_relaxed);
    do {
        message->next = head == ARMED ? NULL : head;
        /* release: pairs with the acquire of take_all, and shows it the message */
    } while (!atomic_compare_exchange_weak_explicit(&loop->head, &head, message,
                                                    memory_order_release, memory_order_relaxed));
    if (head != ARMED)
        return;
    const uint64_t one = 1;
    if (write(loop->waker, &one, sizeof(one)) != (ssize_t)sizeof(one))
        measure_fail("eventfd: %s", strerror(errno));
}

void peer_message_init(struct peer_message *message, peer_fn *fn, void *arg)
{
    *message = (struct peer_message){.fn = fn, .arg = arg};
}

static struct cache *take_cache(void)
{
    if (own_cache == 0) {
        /* relaxed: only the number matters */
        own_cache = atomic_fetch_add_explicit(&caches_taken, 1, memory_order_relaxed) + 1;
        if (own_cache > CACHES_MAX)
            measure_fail("more than %d threads", CACHES_MAX);
    }
    return &caches[own_cache - 1];
}

static struct peer_message *take_node(void)
{
    struct cache *cache = take_cache();
    struct peer_message *node = cache->free;
    /* relaxed: spares the exchange while there is nothing */
    if (node == NULL && atomic_load_explicit(&cache->returned, memory_order_relaxed) != NULL) {
        /* acquire: pairs with the release of give_back */
        node = atomic_exchange_explicit(&cache->returned, NULL, memory_order_acquire);
    }
    if (node == NULL) {
        node = malloc(sizeof(*node));
        if (node == NULL)
            measure_fail("no memory");
        node->cache = own_cache;
        return node;
    }
    cache->free = node->next;
    return node;
}

void peer_call(struct peer_loop *loop, peer_fn *fn, void *arg)
{
    struct peer_message *node = take_node();
    node->fn = fn;
    node->arg = arg;
    peer_post(loop, node);
}
