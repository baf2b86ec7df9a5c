/* SPDX-License-Identifier: MIT */
/*
 * epoll - readiness on Linux.
 *
 * Identity   The datum travels in epoll_event.data, untouched.
 * Time       epoll_pwait2 waits to the nanosecond, on Linux 5.11 and later. Where the kernel or a
 *            sandbox refuses it, epoll_wait takes milliseconds, rounded up so that no wait ends
 *            early; a wait of more than 24 days is cut to that, and the caller, who computes the
 *            next wait from the clock anyway, waits again. A wait of a second or more takes
 *            milliseconds, too: the kernel allows itself a thousandth of any wait, and
 *            epoll_pwait2 is 90 ns slower, also where an event is there already.
 * Fairness   The kernel rotates its list of what is ready: what did not fit into one call comes
 *            first in the next.
 * Closed     epoll drops a registration when the last duplicate of its file is closed. Until then
 *            nothing removes it if the number is closed: only reset does, by a new set. The new set
 *            takes over the old one's number, so that whoever polls the poller does not notice.
 * Threads    The owner's. Nothing allocates but create.
 */
#include "parts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

_Static_assert((uint32_t)GYRE_READ == (uint32_t)EPOLLIN, "event bits are epoll's");
_Static_assert((uint32_t)GYRE_WRITE == (uint32_t)EPOLLOUT, "event bits are epoll's");
_Static_assert((uint32_t)GYRE_ERROR == (uint32_t)(EPOLLERR | EPOLLHUP), "event bits are epoll's");
_Static_assert((uint32_t)GYRE_PRI == (uint32_t)EPOLLPRI, "event bits are epoll's");
_Static_assert((uint32_t)GYRE_RDHUP == (uint32_t)EPOLLRDHUP, "event bits are epoll's");
_Static_assert((uint32_t)GYRE_ONESHOT == (uint32_t)EPOLLONESHOT, "event bits are epoll's");
_Static_assert(GYRE_EDGE == (uint32_t)EPOLLET, "event bits are epoll's");
_Static_assert((uint32_t)GYRE__EXCLUSIVE == (uint32_t)EPOLLEXCLUSIVE, "event bits are epoll's");

enum {
    BATCH_MAX = 256, /* events of one system call; 3 KiB a poller */
    MS_NS = 1000000,
    PRECISE_MAX_NS = 1000000000, /* shorter waits are to the nanosecond */
    SECOND_NS = 1000000000
};

struct gyre__poller {
    int fd;
    int outer; /* a set with `fd` in it, for a foreign loop: it outlives a reset. -1: none yet */
    bool coarse; /* epoll_pwait2 was refused */
    struct epoll_event batch[BATCH_MAX];
};

static int probe(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return errno == ENOSYS ? -ENOTSUP : -errno;
    (void)close(fd); /* an empty set: nothing to lose */
    return 0;
}

static int create(struct gyre__poller **ret_poller)
{
    struct gyre__poller *poller = gyre__port_allocate(sizeof(*poller));
    if (poller == NULL)
        return -ENOMEM;
    poller->outer = -1;
    poller->fd = epoll_create1(EPOLL_CLOEXEC);
    if (poller->fd < 0) {
        int error = errno;
        gyre__port_release(poller, sizeof(*poller));
        return -error;
    }
    *ret_poller = poller;
    return 0;
}

static void destroy(struct gyre__poller *poller)
{
    if (poller == NULL)
        return;
    if (poller->outer >= 0)
        (void)close(poller->outer); /* as the next */
    (void)close(poller->fd); /* registrations go with the set */
    gyre__port_release(poller, sizeof(*poller));
}

static int control(const struct gyre__poller *poller, int operation, int fd, uint32_t events,
                   uint64_t datum)
{
    struct epoll_event event = {.events = events, .data.u64 = datum};
    return epoll_ctl(poller->fd, operation, fd, &event) == 0 ? 0 : -errno;
}

static int add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    return control(poller, EPOLL_CTL_ADD, fd, events, datum);
}

/* The number no longer stands for what was added: closed, or a file that cannot be polled. */
static int unknown(int status)
{
    return status == -EBADF || status == -EPERM ? -ENOENT : status;
}

static int update(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    return unknown(control(poller, EPOLL_CTL_MOD, fd, events, datum));
}

static int remove_fd(struct gyre__poller *poller, int fd)
{
    return unknown(control(poller, EPOLL_CTL_DEL, fd, 0, 0));
}

static int watch_set(int outer, int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    return epoll_ctl(outer, EPOLL_CTL_ADD, fd, &event) != 0 ? -errno : 0;
}

static int reset(struct gyre__poller *poller)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* First, so that all stays as it was if it fails. The outer set keeps the new one, whose number
     * does not matter, and forgets the old one. */
    int status = poller->outer >= 0 ? watch_set(poller->outer, fd) : 0;
    if (status == 0 && dup3(fd, poller->fd, O_CLOEXEC) < 0)
        status = -errno;
    (void)close(fd); /* a second number of the same set, or all there is of it */
    return status;
}

static int descriptor(struct gyre__poller *poller, int *ret_fd)
{
    if (poller->outer < 0) {
        int fd = epoll_create1(EPOLL_CLOEXEC);
        int r = fd < 0 ? -errno : watch_set(fd, poller->fd);
        if (r != 0) {
            if (fd >= 0)
                (void)close(fd); /* an empty set: nothing to lose */
            return r;
        }
        poller->outer = fd;
    }
    *ret_fd = poller->outer;
    return 0;
}

/* ---- wait ------------------------------------------------------------------------------------ */

static int wait_coarse(struct gyre__poller *poller, uint64_t timeout_ns, int events_max)
{
    uint64_t ms = timeout_ns / MS_NS + (timeout_ns % MS_NS != 0);
    return epoll_wait(poller->fd, poller->batch, events_max, ms > INT_MAX ? INT_MAX : (int)ms);
}

static int wait_timed(struct gyre__poller *poller, uint64_t timeout_ns, int events_max)
{
    if (poller->coarse || timeout_ns >= PRECISE_MAX_NS)
        return wait_coarse(poller, timeout_ns, events_max);
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / SECOND_NS),
                               .tv_nsec = (long)(timeout_ns % SECOND_NS)};
    /* By number: the C library's wrapper is younger than the kernels that have the call. */
    int count =
        (int)syscall(SYS_epoll_pwait2, poller->fd, poller->batch, events_max, &timeout, NULL, 0);
    if (count < 0 && (errno == ENOSYS || errno == EPERM)) { /* EPERM: what old sandboxes answer */
        poller->coarse = true;
        return wait_coarse(poller, timeout_ns, events_max);
    }
    return count;
}

static int wait(struct gyre__poller *poller, uint64_t timeout_ns, struct gyre__event *events,
                unsigned events_max)
{
    int max = events_max < BATCH_MAX ? (int)events_max : BATCH_MAX;
    int count;
    if (timeout_ns == 0)
        count = epoll_wait(poller->fd, poller->batch, max, 0);
    else if (timeout_ns == GYRE_NEVER)
        count = epoll_wait(poller->fd, poller->batch, max, -1);
    else
        count = wait_timed(poller, timeout_ns, max);
    if (count < 0)
        return -errno;
    /* No bit was asked for that the users do not have, so that there is nothing to mask. */
    for (int i = 0; i < count; i++) {
        events[i].datum = poller->batch[i].data.u64;
        events[i].events = poller->batch[i].events;
    }
    return count;
}

static const struct gyre__readiness readiness = {
    .create = create,
    .destroy = destroy,
    .descriptor = descriptor,
    .add = add,
    .update = update,
    .remove = remove_fd,
    .reset = reset,
    .wait = wait,
};

const struct gyre__backend gyre__backend_epoll = {
    .name = "epoll",
    .capabilities = GYRE__CAP_EXCLUSIVE | GYRE__CAP_FORGETS,
    .events = GYRE_PRI | GYRE_RDHUP | GYRE_ONESHOT | GYRE_EDGE,
    .probe = probe,
    .readiness = &readiness,
    .operations = &gyre__operations_ready,
    .waker = &gyre__waker_eventfd,
    .descriptors = &gyre__descriptors_posix,
    .port = &gyre__port_linux,
};
