/* SPDX-License-Identifier: MIT */
/*
 * node - see node.h for the states and the ordering argument.
 *
 * `owed` counts the nodes that the cache has made, and one for its thread. While the thread lives
 * only it adds; once the cache is closed, who frees nodes subtracts them, and who reaches zero
 * frees the cache.
 */
#include "loop/node.h"

#include "contract/port.h"
#include "loop/thread.h"

#define CLOSED ((struct gyre_task *)1)

struct gyre__nodes {
    struct gyre_task *free; /* [o] the thread's */
    struct gyre_task *_Atomic returned; /* [a] */
    _Atomic uint32_t owed; /* [a] */
};

_Static_assert(sizeof(struct gyre__node) <= 56, "a node fits malloc's block of 64 bytes");

static struct gyre__node *node_of(struct gyre_task *task)
{
    return (struct gyre__node *)(void *)task;
}

/* Frees a list, and returns how many there were. */
static uint32_t free_list(struct gyre_task *task)
{
    uint32_t count = 0;
    while (task != NULL) {
        struct gyre_task *next = task->next;
        gyre__port_release(node_of(task), sizeof(struct gyre__node));
        task = next;
        count++;
    }
    return count;
}

static struct gyre__nodes *nodes_create(void)
{
    struct gyre__nodes *nodes = gyre__port_allocate(sizeof(*nodes));
    if (nodes == NULL)
        return NULL;
    atomic_init(&nodes->owed, 1);
    gyre__thread.nodes = nodes;
    if (gyre__thread_notice_end() != 0) {
        gyre__thread.nodes = NULL;
        gyre__port_release(nodes, sizeof(*nodes));
        return NULL;
    }
    return nodes;
}

/* A new node; past the limit it has no home, and is freed when it has run. */
static struct gyre_task *node_create(struct gyre__nodes *nodes)
{
    struct gyre__node *node = gyre__port_allocate(sizeof(*node));
    if (node == NULL)
        return NULL;
    node->task.kind = GYRE__TASK_NODE;
    /* relaxed: only this thread changes it before the cache closes */
    uint32_t owed = atomic_load_explicit(&nodes->owed, memory_order_relaxed);
    if (owed <= GYRE__NODES_MAX) {
        atomic_store_explicit(&nodes->owed, owed + 1, memory_order_relaxed);
        node->home = nodes;
    }
    return &node->task;
}

struct gyre_task *gyre__node_take(void)
{
    struct gyre__nodes *nodes = gyre__thread.nodes;
    if (nodes == NULL && (nodes = nodes_create()) == NULL)
        return NULL;
    struct gyre_task *task = nodes->free;
    if (task == NULL) {
        /* relaxed: the exchange orders; this only spares it when nothing came */
        if (atomic_load_explicit(&nodes->returned, memory_order_relaxed) == NULL)
            return node_create(nodes);
        /* acquire: pairs with the release in send_home; the loop is done reading these nodes */
        task = atomic_exchange_explicit(&nodes->returned, NULL, memory_order_acquire);
    }
    nodes->free = task->next;
    return task;
}

void gyre__node_give(struct gyre_task *task)
{
    struct gyre__nodes *home = node_of(task)->home;
    if (home == NULL) {
        gyre__port_release(node_of(task), sizeof(struct gyre__node));
        return;
    }
    task->next = home->free;
    home->free = task;
}

/* Subtracts from what a closed cache is owed, and frees it after the last. */
static void forget(struct gyre__nodes *nodes, uint32_t count)
{
    /* acq_rel: whoever frees the cache does so after everybody else's last look at it */
    if (atomic_fetch_sub_explicit(&nodes->owed, count, memory_order_acq_rel) == count)
        gyre__port_release(nodes, sizeof(*nodes));
}

static void send_home(struct gyre__homeward_batch *batch)
{
    struct gyre__nodes *home = batch->home;
    batch->home = NULL;
    /* acquire: pairs with the release in gyre__nodes_close. If this is CLOSED, the thread's last
     * count of what is owed is there to subtract from. */
    struct gyre_task *head = atomic_load_explicit(&home->returned, memory_order_acquire);
    do {
        if (head == CLOSED) {
            batch->last->next = NULL;
            forget(home, free_list(batch->first));
            return;
        }
        batch->last->next = head;
        /* release: pairs with the acquire in gyre__node_take and gyre__nodes_close */
    } while (!atomic_compare_exchange_weak_explicit(&home->returned, &head, batch->first,
                                                    memory_order_release, memory_order_acquire));
}

void gyre__homeward_add(struct gyre__homeward *homeward, struct gyre_task *task)
{
    struct gyre__nodes *home = node_of(task)->home;
    if (home == NULL || home == gyre__thread.nodes) {
        gyre__node_give(task);
        return;
    }
    /* Caches are apart by more than a line: the bits above tell them apart. */
    unsigned way = (unsigned)((uintptr_t)home >> 6) % GYRE__HOMEWARD_WAYS;
    struct gyre__homeward_batch *batch = &homeward->ways[way];
    if (batch->home != home) {
        if (batch->home != NULL)
            send_home(batch);
        *batch = (struct gyre__homeward_batch){.home = home, .last = task};
        homeward->any = true;
    }
    task->next = batch->first;
    batch->first = task;
    if (++batch->count == GYRE__HOMEWARD_BATCH)
        send_home(batch);
}

void gyre__homeward_flush(struct gyre__homeward *homeward)
{
    if (!homeward->any)
        return;
    homeward->any = false;
    for (unsigned way = 0; way < GYRE__HOMEWARD_WAYS; way++) {
        if (homeward->ways[way].home != NULL)
            send_home(&homeward->ways[way]);
    }
}

void gyre__nodes_close(struct gyre__nodes *nodes)
{
    uint32_t freed = free_list(nodes->free);
    /* acquire: as in take. Release: from here on others free what comes home, and count in `owed`,
     * which this thread has written relaxed. */
    freed += free_list(atomic_exchange_explicit(&nodes->returned, CLOSED, memory_order_acq_rel));
    forget(nodes, freed + 1);
}
