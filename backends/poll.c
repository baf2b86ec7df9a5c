/* SPDX-License-Identifier: MIT */
/*
 * poll - readiness by ppoll(2), for where there is nothing better, and as a second opinion.
 *
 * What       One call over the set of watched.h, which is laid out as poll(2) wants it; closed
 *            numbers, order, memory and most limits are told there.
 * Cost       A wait takes the kernel time for each one watched, ready or not: that is what poll is.
 * Threads    The owner's.
 */
#include "watched.h"

#include <errno.h>
#include <time.h>

enum {
    SECOND_NS = 1000000000
};

static int ask_kernel(struct gyre__poller *poller, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / SECOND_NS),
                               .tv_nsec = (long)(timeout_ns % SECOND_NS)};
    int ready = ppoll(poller->fds, poller->count, timeout_ns == GYRE_NEVER ? NULL : &timeout, NULL);
    if (ready >= 0)
        return ready;
    /* The limit on descriptors was lowered below what is watched: the one cause of EINVAL here. */
    return errno == EINVAL ? -ENOSPC : -errno;
}

static int wait(struct gyre__poller *poller, uint64_t timeout_ns, struct gyre__event *events,
                unsigned events_max)
{
    return gyre__watched_wait(poller, ask_kernel, timeout_ns, events, events_max);
}

static int probe(void)
{
    return 0; /* every POSIX system has it */
}

static const struct gyre__readiness readiness = {
    .create = gyre__watched_create,
    .destroy = gyre__watched_destroy,
    .add = gyre__watched_add,
    .update = gyre__watched_update,
    .remove = gyre__watched_remove,
    .reset = gyre__watched_reset,
    .wait = wait,
};

const struct gyre__backend gyre__backend_poll = {
    .name = "poll",
    .capabilities = 0,
    .events = GYRE_PRI | GYRE_RDHUP,
    .probe = probe,
    .readiness = &readiness,
    .operations = &gyre__operations_ready,
    .waker = &gyre__waker_eventfd,
    .descriptors = &gyre__descriptors_posix,
    .port = &gyre__port_linux,
};
