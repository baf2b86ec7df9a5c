/* SPDX-License-Identifier: MIT */
/*
 * offload_raw - the executor case by hand: a list under a mutex with a condition, which is
 * signalled if a worker waits; finished pieces on a second list under a mutex of its own, and an
 * eventfd, written by the worker that finds it empty.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "measure.h"
#include "offload.h"

struct list {
    struct offload_piece *first;
    struct offload_piece *last;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    struct list list;
    unsigned waiting;
    int closed;
} out = {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static struct {
    pthread_mutex_t mutex;
    struct list list;
    int bell;
} back = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void append(struct list *list, struct offload_piece *piece)
{
    piece->handle = NULL; /* the next one */
    if (list->first == NULL)
        list->first = piece;
    else
        list->last->handle = piece;
    list->last = piece;
}

static struct offload_piece *take_out(void)
{
    pthread_mutex_lock(&out.mutex);
    while (out.list.first == NULL && !out.closed) {
        out.waiting++;
        pthread_cond_wait(&out.filled, &out.mutex);
        out.waiting--;
    }
    struct offload_piece *piece = out.list.first;
    if (piece != NULL)
        out.list.first = piece->handle;
    pthread_mutex_unlock(&out.mutex);
    return piece;
}

static void send_back(struct offload_piece *piece)
{
    const uint64_t one = 1;
    pthread_mutex_lock(&back.mutex);
    int empty = back.list.first == NULL;
    append(&back.list, piece);
    pthread_mutex_unlock(&back.mutex);
    if (empty && write(back.bell, &one, sizeof(one)) != sizeof(one))
        measure_fail("write: %s", strerror(errno));
}

static void *run_worker(void *arg)
{
    struct offload_piece *piece;
    (void)arg;
    while ((piece = take_out()) != NULL) {
        offload_work(piece);
        send_back(piece);
    }
    return NULL;
}

static void submit(struct offload_piece *piece)
{
    pthread_mutex_lock(&out.mutex);
    append(&out.list, piece);
    int waiting = out.waiting > 0;
    pthread_mutex_unlock(&out.mutex);
    if (waiting)
        pthread_cond_signal(&out.filled);
}

/* Takes what came back. True: it was the last. */
static int receive(void)
{
    uint64_t count;
    if (read(back.bell, &count, sizeof(count)) != sizeof(count))
        measure_fail("read: %s", strerror(errno));
    pthread_mutex_lock(&back.mutex);
    struct offload_piece *piece = back.list.first;
    back.list.first = NULL;
    pthread_mutex_unlock(&back.mutex);
    while (piece != NULL) {
        struct offload_piece *next = piece->handle;
        enum offload_next what = offload_home(piece);
        if (what == OFFLOAD_END)
            return 1;
        if (what == OFFLOAD_AGAIN)
            submit(piece);
        piece = next;
    }
    return 0;
}

int main(int argc, char **argv)
{
    pthread_t threads[OFFLOAD_THREADS];
    offload_create(argc, argv);
    back.bell = eventfd(0, EFD_CLOEXEC);
    if (back.bell < 0)
        measure_fail("eventfd: %s", strerror(errno));
    for (int i = 0; i < OFFLOAD_THREADS; i++) {
        if (pthread_create(&threads[i], NULL, run_worker, NULL) != 0)
            measure_fail("no thread");
    }
    offload_begin();
    for (unsigned i = 0; i < offload.flight; i++)
        submit(&offload.pieces[i]);
    while (!receive())
        ;
    offload_end();
    pthread_mutex_lock(&out.mutex);
    out.closed = 1;
    pthread_mutex_unlock(&out.mutex);
    pthread_cond_broadcast(&out.filled);
    for (int i = 0; i < OFFLOAD_THREADS; i++)
        pthread_join(threads[i], NULL);
    return 0;
}
