/* SPDX-License-Identifier: MIT */
/*
 * select - readiness by pselect(2), for where not even poll can be had, and as a third opinion.
 *
 * What       Bit sets made for each call from the set of watched.h, which tells of closed numbers,
 *            order, memory and most limits.
 * Bits       select(2) has no errors: an error makes a descriptor readable and writable, a hang-up
 *            makes it readable. So every descriptor is in the set of readers, whether reading was
 *            asked for or not, and poll(2) looks once more, without waiting, at those that select
 *            says are ready: it has the bits, and they are epoll's.
 * Unasked    A descriptor that has something to read which nobody asked for would end every call at
 *            once. If such ones are all there is, the next call leaves them out, and takes no
 *            longer than a slice, since nothing but that set tells of their hang-up. So such a
 *            hang-up may be told a slice late, by a wait that has begun; nothing else is.
 * Closed     One closed number fails the whole call (EBADF): poll(2) says then which one.
 * Cost       A wait takes time for each one watched, as poll's does, and one more system call when
 *            something is ready.
 * Limits     Descriptors below FD_SETSIZE, 1024 on Linux, whatever the process may open: -EMFILE.
 * Threads    The owner's. The sets are on its stack, 384 bytes.
 */
#include "watched.h"

#include <errno.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <time.h>

#include "port_posix.h"

enum {
    LOOK_MAX = 64, /* descriptors of one second look; half a KiB of stack */
    SECOND_NS = 1000000000,
    SLICE_NS = 10 * 1000 * 1000
};

struct sets {
    fd_set readers;
    fd_set writers;
    fd_set urgent;
    int count; /* the highest descriptor, and one */
};

static int add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    struct stat file;
    if (fd < FD_SETSIZE)
        return gyre__watched_add(poller, fd, events, datum);
    int r = gyre__watched_check(fd, &file);
    return r != 0 ? r : -EMFILE;
}

/* ---- asking ---------------------------------------------------------------------------------- */

/* `all`: also as readers those that nobody reads. */
static void make_sets(const struct gyre__poller *poller, bool all, struct sets *ret_sets)
{
    FD_ZERO(&ret_sets->readers);
    FD_ZERO(&ret_sets->writers);
    FD_ZERO(&ret_sets->urgent);
    ret_sets->count = 0;
    for (uint32_t i = 0; i < poller->count; i++) {
        const struct pollfd *asked = &poller->fds[i];
        if (all || (asked->events & POLLIN) != 0)
            FD_SET(asked->fd, &ret_sets->readers);
        if ((asked->events & POLLOUT) != 0)
            FD_SET(asked->fd, &ret_sets->writers);
        if ((asked->events & POLLPRI) != 0)
            FD_SET(asked->fd, &ret_sets->urgent);
        if (asked->fd >= ret_sets->count)
            ret_sets->count = asked->fd + 1;
    }
}

static int call(struct sets *sets, uint64_t timeout_ns)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / SECOND_NS),
                               .tv_nsec = (long)(timeout_ns % SECOND_NS)};
    int ready = pselect(sets->count, &sets->readers, &sets->writers, &sets->urgent,
                        timeout_ns == GYRE_NEVER ? NULL : &timeout, NULL);
    return ready >= 0 ? ready : -errno;
}

/* Looks at `count` descriptors by their places, and returns how many have something to tell. */
static int look_at(struct gyre__poller *poller, const uint32_t *places, unsigned count)
{
    struct pollfd looked[LOOK_MAX];
    for (unsigned i = 0; i < count; i++)
        looked[i] = poller->fds[places[i]];
    int told = poll(looked, count, 0);
    if (told < 0) /* the limit on descriptors was lowered below what is looked at: EINVAL */
        return errno == EINVAL ? -ENOSPC : -errno;
    for (unsigned i = 0; i < count; i++)
        poller->fds[places[i]].revents = looked[i].revents;
    return told;
}

/* Fills in the bits: of those in `sets`, or of all if it is NULL. */
static int look(struct gyre__poller *poller, const struct sets *sets)
{
    uint32_t places[LOOK_MAX];
    unsigned count = 0;
    int total = 0;
    for (uint32_t i = 0; i < poller->count; i++) {
        struct pollfd *asked = &poller->fds[i];
        asked->revents = 0;
        if (sets == NULL || FD_ISSET(asked->fd, &sets->readers) ||
            FD_ISSET(asked->fd, &sets->writers) || FD_ISSET(asked->fd, &sets->urgent))
            places[count++] = i;
        if (count < LOOK_MAX && i + 1 < poller->count)
            continue;
        int told = count > 0 ? look_at(poller, places, count) : 0;
        if (told < 0)
            return told;
        total += told;
        count = 0;
    }
    return total;
}

static int ask_kernel(struct gyre__poller *poller, uint64_t timeout_ns)
{
    bool timed = timeout_ns != 0 && timeout_ns != GYRE_NEVER;
    uint64_t began_ns = timed ? gyre__posix_now_ns() : 0;
    uint64_t left_ns = timeout_ns;
    for (;;) {
        struct sets sets;
        make_sets(poller, true, &sets);
        int ready = call(&sets, left_ns);
        if (ready == 0 || (ready < 0 && ready != -EBADF))
            return ready;
        int told = look(poller, ready > 0 ? &sets : NULL);
        left_ns = gyre__watched_left_ns(timeout_ns, began_ns);
        if (told != 0 || left_ns == 0)
            return told;
        make_sets(poller, false, &sets);
        ready = call(&sets, left_ns < SLICE_NS ? left_ns : SLICE_NS);
        if (ready < 0 && ready != -EBADF) /* that one the next round meets as well */
            return ready;
        left_ns = gyre__watched_left_ns(timeout_ns, began_ns);
    }
}

static int wait(struct gyre__poller *poller, uint64_t timeout_ns, struct gyre__event *events,
                unsigned events_max)
{
    return gyre__watched_wait(poller, ask_kernel, timeout_ns, events, events_max);
}

/* ---- the backend ----------------------------------------------------------------------------- */

static int probe(void)
{
    return 0; /* every POSIX system has it */
}

static const struct gyre__readiness readiness = {
    .create = gyre__watched_create,
    .destroy = gyre__watched_destroy,
    .add = add,
    .update = gyre__watched_update,
    .remove = gyre__watched_remove,
    .reset = gyre__watched_reset,
    .wait = wait,
};

const struct gyre__backend gyre__backend_select = {
    .name = "select",
    .capabilities = 0,
    .events = GYRE_PRI,
    .probe = probe,
    .readiness = &readiness,
    .operations = &gyre__operations_ready,
    .waker = &gyre__waker_eventfd,
    .descriptors = &gyre__descriptors_posix,
    .port = &gyre__port_linux,
};
