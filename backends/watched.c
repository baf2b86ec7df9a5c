/* SPDX-License-Identifier: MIT */
/*
 * watched - see watched.h.
 *
 * Order    That of the array, from where the last batch that did not hold all ended, and around.
 *          A new one is added at the end; the last one takes the place of one removed. A place
 *          never becomes later, so that each is come to after finitely many waits.
 */
#include "watched.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "port_posix.h"

_Static_assert((uint32_t)GYRE_READ == (uint32_t)POLLIN, "event bits are poll's");
_Static_assert((uint32_t)GYRE_WRITE == (uint32_t)POLLOUT, "event bits are poll's");
_Static_assert((uint32_t)GYRE_PRI == (uint32_t)POLLPRI, "event bits are poll's");
_Static_assert((uint32_t)GYRE_RDHUP == (uint32_t)POLLRDHUP, "event bits are poll's");
_Static_assert((uint32_t)GYRE_ERROR == (uint32_t)(POLLERR | POLLHUP), "event bits are poll's");

enum {
    CAPACITY_MIN = 16,
    PLACES_MIN = 64
};

struct gyre__watched {
    uint64_t datum;
    dev_t device; /* with inode: the file that was added */
    ino_t inode;
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
    struct gyre__watched *entries = gyre__port_allocate(capacity * sizeof(*entries));
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

int gyre__watched_create(struct gyre__poller **ret_poller)
{
    struct gyre__poller *poller = gyre__port_allocate(sizeof(*poller));
    if (poller == NULL)
        return -ENOMEM;
    *ret_poller = poller;
    return 0;
}

void gyre__watched_destroy(struct gyre__poller *poller)
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
    const struct gyre__watched *entry = &poller->entries[place];
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

static struct pollfd asked_for(int fd, uint32_t events)
{
    return (struct pollfd){.fd = fd, .events = (short)(events & GYRE__WATCHED_EVENTS)};
}

int gyre__watched_check(int fd, struct stat *ret_file)
{
    if (fd < 0 || fstat(fd, ret_file) < 0)
        return -EBADF;
    return S_ISREG(ret_file->st_mode) || S_ISDIR(ret_file->st_mode) || S_ISBLK(ret_file->st_mode)
               ? -EPERM
               : 0;
}

int gyre__watched_add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    struct stat file;
    uint32_t place;
    GYRE__ASSERT((events & ~(uint32_t)GYRE__WATCHED_EVENTS) == 0);
    int r = gyre__watched_check(fd, &file);
    if (r == 0 && find(poller, fd, &place)) {
        const struct gyre__watched *entry = &poller->entries[place];
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
    poller->fds[place] = asked_for(fd, events);
    poller->entries[place] =
        (struct gyre__watched){.datum = datum, .device = file.st_dev, .inode = file.st_ino};
    poller->places[fd] = place + 1;
    return 0;
}

int gyre__watched_update(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    uint32_t place;
    if (!find(poller, fd, &place))
        return -ENOENT;
    if (!is_same(poller, place)) {
        forget(poller, place);
        return -ENOENT;
    }
    poller->fds[place] = asked_for(fd, events);
    poller->entries[place].datum = datum;
    return 0;
}

int gyre__watched_remove(struct gyre__poller *poller, int fd)
{
    uint32_t place;
    if (!find(poller, fd, &place))
        return -ENOENT;
    bool same = is_same(poller, place);
    forget(poller, place);
    give_back(poller);
    return same ? 0 : -ENOENT;
}

int gyre__watched_reset(struct gyre__poller *poller)
{
    while (poller->count > 0)
        forget(poller, poller->count - 1);
    poller->next = 0;
    return 0;
}

/* ---- wait ------------------------------------------------------------------------------------ */

/* Reports the one at `place`, or forgets it if its number stands for something else. */
static bool report(struct gyre__poller *poller, uint32_t place, struct gyre__event *event)
{
    struct pollfd *asked = &poller->fds[place];
    if ((asked->revents & POLLNVAL) != 0 || !is_same(poller, place)) {
        forget(poller, place);
        return false;
    }
    event->datum = poller->entries[place].datum;
    event->events = (uint32_t)asked->revents & GYRE__WATCHED_EVENTS;
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

uint64_t gyre__watched_left_ns(uint64_t timeout_ns, uint64_t began_ns)
{
    if (timeout_ns == 0 || timeout_ns == GYRE_NEVER)
        return timeout_ns;
    uint64_t gone_ns = gyre__posix_now_ns() - began_ns;
    return timeout_ns > gone_ns ? timeout_ns - gone_ns : 0;
}

int gyre__watched_wait(struct gyre__poller *poller, gyre__watched_ask_fn *ask, uint64_t timeout_ns,
                       struct gyre__event *events, unsigned events_max)
{
    bool timed = timeout_ns != 0 && timeout_ns != GYRE_NEVER;
    uint64_t began_ns = timed ? gyre__posix_now_ns() : 0;
    uint64_t left_ns = timeout_ns;
    for (;;) {
        int ready = ask(poller, left_ns);
        if (ready <= 0)
            return ready;
        unsigned count = collect(poller, (unsigned)ready, events, events_max);
        if (count > 0)
            return (int)count;
        /* All of them were closed, and are forgotten: the wait goes on. */
        left_ns = gyre__watched_left_ns(timeout_ns, began_ns);
    }
}
