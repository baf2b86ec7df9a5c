/* SPDX-License-Identifier: MIT */
/*
 * family - what the programs about fork share: loops, callbacks, and parents that wait for a child.
 */
#ifndef GYRE_TEST_CONTRACT_FAMILY_H
#define GYRE_TEST_CONTRACT_FAMILY_H

#include <sys/types.h>

#include <gyre/gyre.h>

/* A loop of this run's backend that is nobody's current one. */
struct gyre_loop *family_loop(void);

/* A runtime of this run's backend, whose teardown gets `arg`; it may be NULL. */
struct gyre_runtime *family_runtime(unsigned loops, gyre_setup_fn *teardown, void *arg);

/* Waits for a child, which must have passed its own checks. */
void family_join(pid_t child);

/* Everything that may be asked of a parent's loop is refused. */
void family_check_refusals(struct gyre_loop *loop, int fd);

/* Counts in an unsigned; as a handler, stops the loop as well. */
int family_count(struct gyre_loop *loop, int status, void *arg);
int family_count_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg);

/* Stops the loop. */
int family_stop(struct gyre_loop *loop, int status, void *arg);

struct parted {
    pid_t child;
    unsigned after; /* calls behind the fork */
};

/* Forks, in whichever loop it is called. */
int family_fork(struct gyre_loop *loop, int status, void *arg);

#endif
