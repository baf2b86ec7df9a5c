/* SPDX-License-Identifier: MIT */
/*
 * post_embedded - the case: as post, with the memory for the post in the caller's object.
 *
 * Each producer has as many objects as its window, and posts them in turn: an object is free again
 * when it comes round.
 */
#include <stddef.h>
#include <stdlib.h>

#include "measure.h"
#include "peer.h"
#include "producers.h"

/* The caller's object; the library's message follows it, aligned. */
struct object {
    _Alignas(max_align_t) uint64_t number;
};

static struct peer_loop *loop;
static char *objects[PRODUCERS_MAX];
static size_t stride;

static int arrive(struct peer_loop *on, int status, void *arg)
{
    const struct object *object = arg;
    (void)status;
    if (producers_arrived(object->number))
        peer_loop_stop(on);
    return 0;
}

static struct peer_message *message_of(struct object *object)
{
    return (struct peer_message *)(void *)(object + 1);
}

static void send(unsigned producer, unsigned slot, uint64_t number)
{
    struct object *object = (struct object *)(void *)(objects[producer] + slot * stride);
    object->number = number;
    peer_post(loop, message_of(object));
}

static void run(void)
{
    peer_loop_run(loop);
}

static char *create_objects(void)
{
    char *memory = malloc(stride * PRODUCERS_WINDOW);
    if (memory == NULL)
        measure_fail("no memory");
    for (size_t slot = 0; slot < PRODUCERS_WINDOW; slot++) {
        struct object *object = (struct object *)(void *)(memory + slot * stride);
        peer_message_init(message_of(object), arrive, object);
    }
    return memory;
}

int main(int argc, char **argv)
{
    uint64_t producers = measure_argument(argc, argv, "producers", 1);
    size_t unit = sizeof(struct object);
    loop = peer_loop_create();
    stride = unit + (peer_message_bytes + unit - 1) / unit * unit;
    for (unsigned i = 0; i < producers && i < PRODUCERS_MAX; i++)
        objects[i] = create_objects();
    producers_measure(argc, argv, send, run);
    for (unsigned i = 0; i < PRODUCERS_MAX; i++)
        free(objects[i]);
    return 0;
}
