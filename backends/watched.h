/* SPDX-License-Identifier: MIT */
/*
 * watched - the set of descriptors of a system that keeps none itself: poll's and select's.
 *
 * What       The set lives here, not in the kernel: an array of pollfd without gaps, one of what
 *            belongs to each, and the place of each descriptor in both. A backend fills in revents
 *            (gyre__watched_ask_fn); everything else is the same for all of them, and is here.
 *
 *              places, by descriptor   [ 0 | 2 | 0 | 1 | ... ]     place + 1; 0: not watched
 *                                            |       |
 *              fds     [ fd 3 ][ fd 1 ]      +-------|--> fds[1], entries[1]
 *              entries [ ...  ][ ...  ]              +--> fds[0], entries[0]
 *
 * Cost       add, update and remove take the same time however many are watched, a system call
 *            (fstat) among it. After a wait this looks at the array as far as the last ready one
 *            that it reports, and makes a system call for each of these.
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
 * Memory     32 bytes a place; there are at most twice as many places as are watched while they
 *            grow, and four times as many when a crowd has left. And 4 to 8 bytes for each number
 *            up to the highest ever watched: no more than the kernel pays in its own table.
 * Threads    The owner's. add allocates, and so may remove, to give back.
 */
#ifndef GYRE_BACKENDS_WATCHED_H
#define GYRE_BACKENDS_WATCHED_H

#include <poll.h>

#include "parts.h"

enum {
    GYRE__WATCHED_EVENTS = GYRE_READ | GYRE_WRITE | GYRE_ERROR | GYRE_PRI | GYRE_RDHUP
};

struct gyre__watched;
struct stat;

struct gyre__poller {
    struct pollfd *fds;
    struct gyre__watched *entries;
    uint32_t count;
    uint32_t capacity; /* of both */
    uint32_t next; /* where the next batch begins, if there is such a place */
    uint32_t places_count;
    uint32_t *places; /* by descriptor */
};

/* Waits until some are ready, or for `timeout_ns`; fills in every one's revents, with POLLNVAL for
 * a closed number, and returns for how many they are not 0. May be asked again with less time. */
typedef int gyre__watched_ask_fn(struct gyre__poller *poller, uint64_t timeout_ns);

/* 0 if fd can be watched; else as epoll says of a closed number (-EBADF), and of a file that has no
 * readiness (-EPERM). */
int gyre__watched_check(int fd, struct stat *ret_file);

/* The slots of struct gyre__readiness. */
int gyre__watched_create(struct gyre__poller **ret_poller);
void gyre__watched_destroy(struct gyre__poller *poller);
int gyre__watched_add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum);
int gyre__watched_update(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum);
int gyre__watched_remove(struct gyre__poller *poller, int fd);
int gyre__watched_reset(struct gyre__poller *poller);

/* The last slot, but for how the kernel is asked. */
int gyre__watched_wait(struct gyre__poller *poller, gyre__watched_ask_fn *ask, uint64_t timeout_ns,
                       struct gyre__event *events, unsigned events_max);

/* What is left of a timeout that began at `began_ns`. */
uint64_t gyre__watched_left_ns(uint64_t timeout_ns, uint64_t began_ns);

#endif
