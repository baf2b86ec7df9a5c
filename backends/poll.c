/* SPDX-License-Identifier: MIT */
/*
 * poll - readiness by ppoll(2), for where there is nothing better, and as a second opinion.
 *
 * What       The set lives here, not in the kernel: an array of pollfd without gaps, one of what
 *            belongs to each, and the place of each descriptor in both.
 *
 *              places, by descriptor   [ 0 | 2 | 0 | 1 | ... ]     place + 1; 0: not watched
 *                                            |       |
 *              fds     [ fd 3 ][ fd 1 ]      +-------|--> fds[1], entries[1]
 *              entries [ ...  ][ ...  ]              +--> fds[0], entries[0]
 *
 * Cost       add, update and remove take the same time however many are watched, a system call
 *            (fstat) among it. A wait takes the kernel time for each one watched, ready or not:
 *            that is what poll is. Behind it this file looks at the array as far as the last ready
 *            one that it reports, and makes a system call for each of these.
 * Closed     The kernel watches numbers here, not files. Whatever is found to be no longer the file
 *            that was added is forgotten: a closed number (POLLNVAL) and one that stands for
 *            another file, which must not be taken for the old one. So add notes the file's device
 *            and inode, and every later use of the number compares. A file that a duplicate keeps
 *            open is not seen any more either: there are no phantoms.
 * Limits     Device and inode tell sockets and pipes apart. They do not tell two openings of one
 *            path apart, nor files of the kernel's anonymous inode (eventfd, timerfd, epoll, ...):
 *            closed without being removed, and followed by another such file under its number, one
 *            is taken for the other, and add says -EEXIST. Whether a file can be polled is told by
 *            its type: regular files, directories and block devices cannot. Device files that
 *            epoll(7) refuses (/dev/null) are taken, and always ready, as poll(2) has it; files of
 *            /proc and /sys, some of which epoll takes, are refused.
 * Order      That of the array, from where the last batch that did not hold all ended, and around.
 *            A new one is added at the end; the last one takes the place of one removed. A place
 *            never becomes later, so that each is come to after finitely many waits.
 * Memory     32 bytes a place; there are at most twice as many places as are watched while they
 *            grow, and four times as many when a crowd has left. And 4 to 8 bytes for each number
 *            up to the highest ever watched: no more than the kernel pays in its own table.
 * Threads    The owner's. add allocates, and so may remove, to give back.
 */
#include "parts.h"
#include "port_posix.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

_Static_assert((uint32_t)GYRE_READ == (uint32_t)POLLIN, "event bits are poll's");
_Static_assert((uint32_t)GYRE_WRITE == (uint32_t)POLLOUT, "event bits are poll's");
_Static_assert((uint32_t)GYRE_ERROR == (uint32_t)(POLLERR | POLLHUP), "event bits are poll's");

enum {
    CAPACITY_MIN = 16,
    PLACES_MIN = 64,
    SECOND_NS = 1000000000,
    EVENTS = GYRE_READ | GYRE_WRITE | GYRE_ERROR
};

struct entry {
    uint64_t datum;
    dev_t device; /* with inode: the file that was added */
    ino_t inode;
};

struct gyre__poller {
    struct pollfd *fds;
    struct entry *entries;
    uint32_t count;
    uint32_t capacity; /* of both */
    uint32_t next; /* where the next batch begins, if there is such a place */
    uint32_t places_count;
    uint32_t *places; /* by descriptor */
};

/* ---- memory ---------------------------------------------------------------------------------- */

static void release_array(void *array, size_t bytes)
{
    if (array != NULL)
        gyre__port_release(array, bytes);
}

/* Gives both arrays room for `capacity` entries, at least those that there are. */
static int resize(struct gyre__poller *poller, uint32_t capacity)
{
    struct pollfd *fds = gyre__port_allocate(capacity * sizeof(*fds));
    struct entry *entries = gyre__port_allocate(capacity * sizeof(*entries));
    if (fds == NULL || entries == NULL) {
        release_array(fds, capacity * sizeof(*fds));
        release_array(entries, capacity * sizeof(*entries));
        return -ENOMEM;
    }
    if (poller->count > 0) {
        memcpy(fds, poller->fds, poller->count * sizeof(*fds));
        memcpy(entries, poller->entries, poller->count * sizeof(*entries));
    }
    release_array(poller->fds, poller->capacity * sizeof(*fds));
    release_array(poller->entries, poller->capacity * sizeof(*entries));
    poller->fds = fds;
    poller->entries = entries;
    poller->capacity = capacity;
    return 0;
}

static int reserve(struct gyre__poller *poller)
{
    if (poller->count < poller->capacity)
        return 0;
    return resize(poller, poller->capacity == 0 ? CAPACITY_MIN : poller->capacity * 2);
}

/* Gives back what a crowd that has left had needed. */
static void give_back(struct gyre__poller *poller)
{
    if (poller->capacity > CAPACITY_MIN && poller->count <= poller->capacity / 4)
        (void)resize(poller, poller->capacity / 2); /* no memory: it stays as it is */
}

static int reserve_place(struct gyre__poller *poller, int fd)
{
    if ((uint32_t)fd < poller->places_count)
        return 0;
    uint32_t count = PLACES_MIN;
    while (count <= (uint32_t)fd)
        count *= 2;
    uint32_t *places = gyre__port_allocate(count * sizeof(*places));
    if (places == NULL)
        return -ENOMEM;
    if (poller->places != NULL) {
        memcpy(places, poller->places, poller->places_count * sizeof(*places));
        gyre__port_release(poller->places, poller->places_count * sizeof(*places));
    }
    poller->places = places;
    poller->places_count = count;
    return 0;
}

static int create(struct gyre__poller **ret_poller)
{
    struct gyre__poller *poller = gyre__port_allocate(sizeof(*poller));
    if (poller == NULL)
        return -ENOMEM;
    *ret_poller = poller;
    return 0;
}

static void destroy(struct gyre__poller *poller)
{
    if (poller == NULL)
        return;
    release_array(poller->fds, poller->capacity * sizeof(*poller->fds));
    release_array(poller->entries, poller->capacity * sizeof(*poller->entries));
    release_array(poller->places, poller->places_count * sizeof(*poller->places));
    gyre__port_release(poller, sizeof(*poller));
}

/* ---- the set --------------------------------------------------------------------------------- */

/* Whether fd is in the set; then *ret_place is where. */
static bool find(const struct gyre__poller *poller, int fd, uint32_t *ret_place)
{
    if (fd < 0 || (uint32_t)fd >= poller->places_count || poller->places[fd] == 0)
        return false;
    *ret_place = poller->places[fd] - 1;
    return true;
}

/* Whether the number still stands for the file that was added. */
static bool is_same(const struct gyre__poller *poller, uint32_t place)
{
    const struct entry *entry = &poller->entries[place];
    struct stat file;
    return fstat(poller->fds[place].fd, &file) == 0 && file.st_dev == entry->device &&
           file.st_ino == entry->inode;
}

/* Closes the gap with the last one. */
static void forget(struct gyre__poller *poller, uint32_t place)
{
    uint32_t last = --poller->count;
    poller->places[poller->fds[place].fd] = 0;
    if (place == last)
        return;
    poller->fds[place] = poller->fds[last];
    poller->entries[place] = poller->entries[last];
    poller->places[poller->fds[place].fd] = place + 1;
}

static struct pollfd ask(int fd, uint32_t events)
{
    return (struct pollfd){.fd = fd, .events = (short)(events & EVENTS)};
}

/* As epoll says of a closed number, and of a file that has no readiness. */
static int check(int fd, struct stat *ret_file)
{
    if (fd < 0 || fstat(fd, ret_file) < 0)
        return -EBADF;
    return S_ISREG(ret_file->st_mode) || S_ISDIR(ret_file->st_mode) || S_ISBLK(ret_file->st_mode)
               ? -EPERM
               : 0;
}

static int add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    struct stat file;
    uint32_t place;
    GYRE__ASSERT((events & ~(uint32_t)EVENTS) == 0);
    int r = check(fd, &file);
    if (r == 0 && find(poller, fd, &place)) {
        const struct entry *entry = &poller->entries[place];
        if (file.st_dev == entry->device && file.st_ino == entry->inode)
            return -EEXIST;
        forget(poller, place); /* its file was closed */
    }
    if (r == 0)
        r = reserve(poller);
    if (r == 0)
        r = reserve_place(poller, fd);
    if (r != 0)
        return r;
    place = poller->count++;
    poller->fds[place] = ask(fd, events);
    poller->entries[place] =
        (struct entry){.datum = datum, .device = file.st_dev, .inode = file.st_ino};
    poller->places[fd] = place + 1;
    return 0;
}

static int update(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    uint32_t place;
    if (!find(poller, fd, &place))
        return -ENOENT;
    if (!is_same(poller, place)) {
        forget(poller, place);
        return -ENOENT;
    }
    poller->fds[place] = ask(fd, events);
    poller->entries[place].datum = datum;
    return 0;
}

static int remove_fd(struct gyre__poller *poller, int fd)
{
    uint32_t place;
    if (!find(poller, fd, &place))
        return -ENOENT;
    bool same = is_same(poller, place);
    forget(poller, place);
    give_back(poller);
    return same ? 0 : -ENOENT;
}

static int reset(struct gyre__poller *poller)
{
    while (poller->count > 0)
        forget(poller, poller->count - 1);
    poller->next = 0;
    return 0;
}

/* ---- wait ------------------------------------------------------------------------------------ */

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

/* Reports the one at `place`, or forgets it if its number stands for something else. */
static bool report(struct gyre__poller *poller, uint32_t place, struct gyre__event *event)
{
    struct pollfd *asked = &poller->fds[place];
    if ((asked->revents & POLLNVAL) != 0 || !is_same(poller, place)) {
        forget(poller, place);
        return false;
    }
    event->datum = poller->entries[place].datum;
    event->events = (uint32_t)asked->revents & EVENTS;
    asked->revents = 0; /* should one be forgotten, and this one be moved ahead, it is done */
    return true;
}

/* Fills `events` from the `ready` ones, and returns how many it reports. */
static unsigned collect(struct gyre__poller *poller, unsigned ready, struct gyre__event *events,
                        unsigned events_max)
{
    uint32_t place = poller->next;
    unsigned count = 0;
    for (; ready > 0 && count < events_max && poller->count > 0; ready--) {
        if (place >= poller->count)
            place = 0;
        while (poller->fds[place].revents == 0)
            place = place + 1 < poller->count ? place + 1 : 0;
        if (report(poller, place, &events[count])) { /* else another stands here now */
            count++;
            place++;
        }
    }
    if (ready > 0)
        poller->next = place;
    give_back(poller);
    return count;
}

static int wait(struct gyre__poller *poller, uint64_t timeout_ns, struct gyre__event *events,
                unsigned events_max)
{
    bool timed = timeout_ns != 0 && timeout_ns != GYRE_NEVER;
    uint64_t began_ns = timed ? gyre__posix_now_ns() : 0;
    uint64_t left_ns = timeout_ns;
    for (;;) {
        int ready = ask_kernel(poller, left_ns);
        if (ready <= 0)
            return ready;
        unsigned count = collect(poller, (unsigned)ready, events, events_max);
        if (count > 0)
            return (int)count;
        /* All of them were closed, and are forgotten: the wait goes on. */
        uint64_t gone_ns = timed ? gyre__posix_now_ns() - began_ns : 0;
        left_ns = timeout_ns > gone_ns ? timeout_ns - gone_ns : 0;
        if (timeout_ns == GYRE_NEVER)
            left_ns = GYRE_NEVER;
    }
}

/* ---- the backend ----------------------------------------------------------------------------- */

static int probe(void)
{
    return 0; /* every POSIX system has it */
}

static const struct gyre__readiness readiness = {
    .create = create,
    .destroy = destroy,
    .add = add,
    .update = update,
    .remove = remove_fd,
    .reset = reset,
    .wait = wait,
};

const struct gyre__backend gyre__backend_poll = {
    .name = "poll",
    .capabilities = 0,
    .probe = probe,
    .readiness = &readiness,
    .operations = &gyre__operations_ready,
    .waker = &gyre__waker_eventfd,
    .descriptors = &gyre__descriptors_posix,
    .port = &gyre__port_linux,
};
