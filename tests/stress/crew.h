/* SPDX-License-Identifier: MIT */
/*
 * crew - what the stress programs share: sets of threads, a loop on a thread of its own, waiting
 * with a limit, random numbers.
 *
 * Nothing here sleeps to wait. A wait has a limit, so that a lost wake-up is a failure and not a
 * program that hangs.
 */
#ifndef GYRE_TEST_CREW_H
#define GYRE_TEST_CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <gyre/gyre.h>

enum crew_limits {
    CREW_MAX = 64, /* threads of a crew */
    CREW_PATIENCE_S = 20 /* until something counts as lost */
};

/* Threads that run one function. */
struct crew {
    struct crew_member {
        pthread_t thread;
        struct crew *crew;
        unsigned index;
    } members[CREW_MAX];
    unsigned count;
    void (*fn)(unsigned index, void *arg);
    void *arg;
};

void crew_start(struct crew *crew, unsigned count, void (*fn)(unsigned index, void *arg),
                void *arg);
void crew_join(struct crew *crew);

/* A loop, and the thread that runs it. */
struct crew_loop {
    struct gyre_loop *loop;
    pthread_t thread;
    int result; /* of the run; after crew_loop_end */
};

/* A loop that is nobody's current one, on this run's backend; `queue_max` as in the options. */
struct gyre_loop *crew_loop_make(uint32_t queue_max);

/* As crew_loop_make, without a limit to its waits. */
struct gyre_loop *crew_loop_make_patient(void);

/*
 * Sees a loop's turns from outside: `seen` is the `asked` of the moment when the last turn had
 * taken what was posted. It stands in for the loop's clock, which a turn reads then if there are
 * timers.
 */
struct crew_observer {
    _Atomic uint64_t asked;
    _Atomic uint64_t seen;
    struct gyre_timer timer; /* never due */
};

/* As crew_loop_make, with an observer, which must outlive the loop. */
struct gyre_loop *crew_loop_make_observed(struct crew_observer *observer);

/* Runs a loop on a new thread. */
void crew_loop_run(struct crew_loop *it, struct gyre_loop *loop);

/* Stops the loop behind all that is posted already, joins, and checks what always holds: the run's
 * result is 0, and no more wakes were written than there were sleeps. The loop is still to be
 * destroyed. */
void crew_loop_end(struct crew_loop *it);

/* Checks what holds of any loop that nobody uses at the moment. */
void crew_loop_check(const struct gyre_loop *loop);

/* Waits until `holds` is true; false after CREW_PATIENCE_S. */
bool crew_wait(bool (*holds)(void *arg), void *arg);

/* As crew_wait, for a word to become greater than `than`. */
bool crew_wait_above(_Atomic uint64_t *word, uint64_t than);

/* Seconds of a monotonic clock. */
double crew_now_s(void);

/* The next of a row of random numbers. */
uint64_t crew_random(uint64_t *state);

/* The seed of this run: GYRE_TEST_SEED, or of the clock; noted once a program. */
uint64_t crew_seed(void);

/* Does nothing, `count` times. */
void crew_spin(uint64_t count);

/* `full`, or `with_tsan` in a build for the thread sanitizer, divided by GYRE_STRESS_SHARE; the
 * environment variable `name` replaces all of this. */
uint64_t crew_size(const char *name, uint64_t full, uint64_t with_tsan);

#endif
