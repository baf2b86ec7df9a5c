/* SPDX-License-Identifier: MIT */
/*
 * handlers - a library as the cases about turns and about changes of handlers see it: a loop on
 * this thread that turns without waiting, and handlers of descriptors. A program of such a case is
 * the case's source, which knows no library, and one of handlers_*.c, which knows no case.
 *
 * Turn     The loop is kept turning by what the library has for it and costs least: it polls once a
 *          turn, whether or not anything is ready, and calls handlers_turn once. Whether what a
 *          poll brings is handled before or after that call is the library's affair.
 * Handler  Is persistent and told of what is, not of what changes. What a library wants to know of
 *          a descriptor before it is watched is done at the start, and not measured.
 * Errors   Functions end the program if the library fails: there is nothing to compare then.
 */
#ifndef BENCH_HANDLERS_H
#define BENCH_HANDLERS_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A loop, and a handler for each descriptor, none of them added; `fds` stays. */
void handlers_peer_create(const int *fds, unsigned count);

/* Adds a handler, for reading; has it told of writing as well; removes it. */
void handlers_peer_add(unsigned handler);
void handlers_peer_update(unsigned handler);
void handlers_peer_remove(unsigned handler);

/* Turns the loop until handlers_turn returns false. */
void handlers_peer_run(void);

/* The case's part of a turn. */
bool handlers_turn(void);

/* The descriptor of an added handler can be read, or written; told again while it can. */
void handlers_event(unsigned handler, bool readable, bool writable);

#ifdef __cplusplus
}
#endif

#endif
