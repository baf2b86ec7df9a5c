/* SPDX-License-Identifier: MIT */
/*
 * handlers_raw - the floor of handlers: epoll_ctl for each change, epoll_wait with a timeout of 0
 * for each turn, and a call through a pointer for each event.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "handlers.h"
#include "measure.h"

enum {
    BATCH_MAX = 256
};

struct watcher {
    void (*fn)(unsigned handler, bool readable, bool writable);
    int fd;
};

static int set;
static struct watcher *watchers;

void handlers_peer_create(const int *fds, unsigned count)
{
    set = epoll_create1(EPOLL_CLOEXEC);
    watchers = calloc(count, sizeof(*watchers));
    if (set < 0 || watchers == NULL)
        measure_fail("epoll_create1: %s", strerror(errno));
    for (unsigned i = 0; i < count; i++)
        watchers[i] = (struct watcher){.fn = handlers_event, .fd = fds[i]};
}

static void control(int operation, unsigned handler, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = &watchers[handler]};
    if (epoll_ctl(set, operation, watchers[handler].fd, &event) != 0)
        measure_fail("epoll_ctl: %s", strerror(errno));
}

void handlers_peer_add(unsigned handler)
{
    control(EPOLL_CTL_ADD, handler, EPOLLIN);
}

void handlers_peer_update(unsigned handler)
{
    control(EPOLL_CTL_MOD, handler, EPOLLIN | EPOLLOUT);
}

void handlers_peer_remove(unsigned handler)
{
    control(EPOLL_CTL_DEL, handler, 0);
}

void handlers_peer_run(void)
{
    static struct epoll_event batch[BATCH_MAX];
    while (handlers_turn()) {
        int count = epoll_wait(set, batch, BATCH_MAX, 0);
        if (count < 0)
            measure_fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            const struct watcher *watcher = batch[i].data.ptr;
            watcher->fn((unsigned)(watcher - watchers), (batch[i].events & EPOLLIN) != 0,
                        (batch[i].events & EPOLLOUT) != 0);
        }
    }
}
