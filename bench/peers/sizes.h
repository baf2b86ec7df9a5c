/* SPDX-License-Identifier: MIT */
/*
 * sizes - what the sizes programs share. They count the bytes of what a user of a library keeps.
 *
 * What     One thing a run, chosen by an argument: task=1 something by which another thread has a
 *          function called, timer=1 an armed timer, stream=1 a connected and idle TCP stream that
 *          waits for bytes, loop=1 an event loop that has turned, library=1 the shared library.
 * Counted  The object itself and what the library allocates for it, on the mean of SIZES_OBJECTS of
 *          them; of a loop the second one, since the first may pay for the process. Of a library
 *          what is mapped when it is loaded, code and data.
 * Not      The kernel's memory.
 */
#ifndef BENCH_SIZES_H
#define BENCH_SIZES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    SIZES_OBJECTS = 1000,
    SIZES_HOUR_S = 3600 /* for timers that are not to fire */
};

/* Whether `thing` is what this run is to count. */
bool sizes_asked(int argc, char **argv, const char *thing);

/* Begins to count what is allocated. */
void sizes_begin(void);

/* Reports `own` bytes and what was allocated since sizes_begin, divided by `objects`. */
void sizes_end(size_t own, unsigned objects);

/* Reports the size of the shared library that has `symbol`. */
void sizes_library(const void *symbol);

/* Where SIZES_OBJECTS connections can be made: host:port. */
const char *sizes_listen(void);

/* A socket that is connected to there. */
int sizes_connect(void);

/* The library has no such thing: ends the program as one that cannot run. */
__attribute__((noreturn)) void sizes_lacks(const char *what);

#ifdef __cplusplus
}
#endif

#endif
