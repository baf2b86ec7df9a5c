/* SPDX-License-Identifier: MIT */
/*
 * netns - a network namespace for a test's process and its children.
 *
 * Why      What the kernel counts and lists of TCP it counts and lists by namespace: in one of its
 *          own a test sees no other's connections, and has the rights of an administrator there,
 *          also as a common user.
 */
#ifndef NETNS_H
#define NETNS_H

#include <stdbool.h>

/* Moves the process, which must have one thread, to a network of its own with loopback alone; once,
 * further calls change nothing. False: it is not allowed, and the system's network is used. */
bool netns_enter(void);

#endif
