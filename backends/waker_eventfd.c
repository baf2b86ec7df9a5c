/* SPDX-License-Identifier: MIT */
/*
 * waker_eventfd - a bell that is one eventfd, both ends in one.
 *
 * Why      One descriptor instead of a pipe's two. Each write makes an edge even if nobody has read
 *          since the last (eventfd(2), epoll(7)), so that a poller which watches it edge-triggered
 *          need not read it at all. Others drain it.
 * Limits   The counter is full after 2^64 - 2 rings without a drain. That ring is dropped, and
 *          rings: a full counter is readable.
 */
#include "parts.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

static int create(struct gyre__waker *ret_waker)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fd < 0)
        return -errno;
    ret_waker->read_fd = fd;
    ret_waker->write_fd = fd;
    return 0;
}

static void destroy(struct gyre__waker *waker)
{
    (void)close(waker->read_fd); /* nothing is buffered: nothing to lose */
}

static void ring(const struct gyre__waker *waker)
{
    int saved = errno;
    uint64_t one = 1;
    ssize_t written;
    do
        written = write(waker->write_fd, &one, sizeof(one));
    while (written < 0 && errno == EINTR);
    errno = saved;
}

static void drain(const struct gyre__waker *waker)
{
    uint64_t rings;
    ssize_t got;
    do
        got = read(waker->read_fd, &rings, sizeof(rings)); /* one read empties the counter */
    while (got < 0 && errno == EINTR);
}

const struct gyre__waker_kind gyre__waker_eventfd = {
    .name = "eventfd",
    .edge_each = true,
    .create = create,
    .destroy = destroy,
    .signal = ring,
    .drain = drain,
};
