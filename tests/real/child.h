/* SPDX-License-Identifier: MIT */
/*
 * child - one of our programs as a process of its own: started, watched from outside, stopped.
 *
 * The programs say "listening at ADDRESS" once they serve; child_start waits for that line. What a
 * test looks at is what an operator would: /proc, signals, the exit status and the output.
 * A child that is left when the test's process ends, however it ends, is killed by the kernel.
 */
#ifndef CHILD_H
#define CHILD_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum child_limits {
    CHILD_ARGUMENTS_MAX = 16
};

struct child {
    pid_t pid; /* 0: not running */
    int out; /* its standard output and error, one pipe, since both are lines */
    char text[16384]; /* what was read of it */
    size_t bytes;
    char address[128]; /* as it was printed */
};

/* Of one loop, or summed over all. */
struct child_counters {
    uint64_t accepted, active, failed_connects, bytes_up, bytes_down;
};

/*
 * Starts `program` of the build's examples with the arguments up to NULL, and waits until it
 * listens. `descriptors` limits them if not 0. Without success the case has failed.
 */
bool child_start(struct child *child, unsigned descriptors, const char *program,
                 const char *const arguments[]);

/* gyre-proxy on a free port in front of `upstreams`, with further arguments up to NULL. */
bool child_start_proxy(struct child *child, unsigned descriptors, const char *upstreams,
                       const char *const arguments[]);

/*
 * Starts another's program, found by PATH, with the arguments up to NULL; it inherits `fd`, if not
 * -1, by that number. It is not waited for.
 */
bool child_start_other(struct child *child, int fd, const char *const arguments[]);

/* Its address, which must be IPv4, for connect. */
struct sockaddr_in child_address(const struct child *child);

/* Waits for its end; the exit status, or -1 if it did not end in time and was killed. */
int child_wait(struct child *child, unsigned timeout_ms);

/* Sends SIGINT and expects 0 within a second. */
void child_stop(struct child *child);

/* Kills it outright. */
void child_kill(struct child *child);

/* The counters that the proxy printed at its end; those of one loop, false if it had no such. */
struct child_counters child_counters(const struct child *child);
bool child_loop_counters(const struct child *child, unsigned loop, struct child_counters *ret);

/* Whether this build has a sanitizer: it is slow, and its memory is not the program's. */
bool child_sanitized(void);

/* Its memory at the peak, against what was resident before `pairs` pairs of a proxy: within the
 * proxy's bound. */
void child_check_growth(const struct child *child, uint64_t before_kib, unsigned pairs);

uint64_t child_resident_kib(const struct child *child);
uint64_t child_resident_peak_kib(const struct child *child);
uint64_t child_cpu_ms(const struct child *child);
unsigned child_descriptors(const struct child *child);

/*
 * Context switches of all its threads, and whether each sleeps. A thread that sleeps at two
 * readings with equal counts did not run in between, and so made no system call.
 */
uint64_t child_switches(const struct child *child, bool *ret_all_sleep);

#endif
