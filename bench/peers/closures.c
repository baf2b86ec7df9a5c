/* SPDX-License-Identifier: MIT */
/*
 * closures - see closures.h.
 */
#include "closures.h"

#include <stdlib.h>

#include "measure.h"

const size_t peer_message_bytes = sizeof(struct peer_message);

void closures_init(struct closures *closures)
{
    pthread_mutex_init(&closures->mutex, NULL);
    closures->first = NULL;
    closures->last = &closures->first;
}

bool closures_post(struct closures *closures, struct peer_message *message)
{
    message->next = NULL;
    pthread_mutex_lock(&closures->mutex);
    bool ring = closures->first == NULL;
    *closures->last = message;
    closures->last = &message->next;
    pthread_mutex_unlock(&closures->mutex);
    return ring;
}

bool closures_add(struct closures *closures, peer_fn *fn, void *arg)
{
    struct peer_message *message = malloc(sizeof(*message));
    if (message == NULL)
        measure_fail("no memory");
    *message = (struct peer_message){.fn = fn, .arg = arg, .allocated = true};
    return closures_post(closures, message);
}

void closures_run(struct closures *closures, struct peer_loop *loop)
{
    pthread_mutex_lock(&closures->mutex);
    struct peer_message *message = closures->first;
    closures->first = NULL;
    closures->last = &closures->first;
    pthread_mutex_unlock(&closures->mutex);
    while (message != NULL) {
        struct peer_message *next = message->next;
        peer_fn *fn = message->fn;
        void *arg = message->arg;
        if (message->allocated)
            free(message);
        (void)fn(loop, 0, arg); /* nobody here handles errors */
        message = next;
    }
}

void peer_message_init(struct peer_message *message, peer_fn *fn, void *arg)
{
    *message = (struct peer_message){.fn = fn, .arg = arg};
}
