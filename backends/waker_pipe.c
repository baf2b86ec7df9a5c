/* SPDX-License-Identifier: MIT */
/*
 * waker_pipe - a bell that is a pipe: what POSIX has where there is no eventfd.
 *
 * Drained    Always. A pipe that nobody reads fills up, and a write into a full one makes no edge;
 *            whether one into a pipe that is not empty does has changed between kernels (pipe(7)
 *            promises it to nobody).
 * Full       A ring that finds no room is dropped, and rings: a full pipe is readable.
 * Cost       Two descriptors, and a page of the kernel's once it has rung.
 */
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int create(struct gyre__waker *ret_waker)
{
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0)
        return -errno;
    ret_waker->read_fd = fds[0];
    ret_waker->write_fd = fds[1];
    return 0;
}

static void destroy(struct gyre__waker *waker)
{
    (void)close(waker->write_fd); /* rings that nobody heard are of no use any more */
    (void)close(waker->read_fd);
}

static void ring(const struct gyre__waker *waker)
{
    int saved = errno;
    ssize_t written;
    do
        written = write(waker->write_fd, "", 1);
    while (written < 0 && errno == EINTR);
    errno = saved;
}

static void drain(const struct gyre__waker *waker)
{
    char rings[512];
    ssize_t got;
    /* A short read has emptied it: what was rung since is heard by the next wait. */
    do
        got = read(waker->read_fd, rings, sizeof(rings));
    while (got == (ssize_t)sizeof(rings) || (got < 0 && errno == EINTR));
}

const struct gyre__waker_kind gyre__waker_pipe = {
    .name = "pipe",
    .create = create,
    .destroy = destroy,
    .signal = ring,
    .drain = drain,
};
