/* SPDX-License-Identifier: MIT */
/*
 * dispatch_raw - the floor of the dispatch case: epoll_wait, and a call through a pointer for each
 * event. No registry, no generations, no turn.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "dispatch.h"
#include "measure.h"

enum {
    BATCH_MAX = 1024
};

struct watcher {
    bool (*fn)(const struct dispatch_pair *pair);
    const struct dispatch_pair *pair;
};

static void run(int fd)
{
    static struct epoll_event batch[BATCH_MAX];
    bool last = false;
    while (!last) {
        int count = epoll_wait(fd, batch, BATCH_MAX, -1);
        if (count < 0)
            measure_fail("epoll_wait: %s", strerror(errno));
        for (int i = 0; i < count; i++) {
            const struct watcher *watcher = batch[i].data.ptr;
            last = watcher->fn(watcher->pair);
        }
    }
}

int main(int argc, char **argv)
{
    dispatch_create(argc, argv);
    struct watcher *watchers = calloc(dispatch.count, sizeof(*watchers));
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (watchers == NULL || fd < 0)
        measure_fail("epoll_create1: %s", strerror(errno));
    for (unsigned i = 0; i < dispatch.count; i++) {
        watchers[i] = (struct watcher){.fn = dispatch_event, .pair = &dispatch.pairs[i]};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &watchers[i]};
        if (epoll_ctl(fd, EPOLL_CTL_ADD, dispatch.pairs[i].in, &event) != 0)
            measure_fail("epoll_ctl: %s", strerror(errno));
    }
    dispatch_begin();
    run(fd);
    dispatch_end();
    return 0;
}
