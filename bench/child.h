/* SPDX-License-Identifier: MIT */
/*
 * child - runs one program to its end, and never for longer than it was given.
 */
#ifndef BENCH_CHILD_H
#define BENCH_CHILD_H

#include <stdbool.h>
#include <stddef.h>

enum child_limits {
    CHILD_TEXT_MAX = 16384 /* bytes of its output that are kept; what is over is read and dropped */
};

struct child_text {
    char text[CHILD_TEXT_MAX];
    size_t bytes;
};

struct child_end {
    int status; /* of its exit; CHILD_KILLED, CHILD_LATE */
    int signal; /* that killed it, if it is CHILD_KILLED */
    struct child_text out;
    struct child_text err;
};

enum child_status {
    CHILD_NOT_RUN = 127, /* as a shell has it: there is no such program */
    CHILD_KILLED = 256,
    CHILD_LATE /* was ended because its time had passed */
};

/*
 * Runs arguments[0], which may be looked for in PATH, and waits for its end. False if the system
 * has no process or descriptor for it: then end->err says why.
 */
bool child_run(char *const arguments[], unsigned timeout_s, struct child_end *end);

#endif
