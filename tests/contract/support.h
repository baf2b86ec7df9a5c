/* SPDX-License-Identifier: MIT */
/*
 * support - what the contract's tests share: a loop in virtual time, a record of what was called in
 * which order, handlers that write into it, and threads that are joined.
 *
 * Scene    A loop whose clock stands still but for its waits: each wait steps it to the deadline
 *          that the loop asked for, and no real time passes. A wait without a deadline would be for
 *          ever, so it ends the run: a scene runs until nothing is left to do.
 * Record   Words in the order in which they were said, with a space between: "a b c". A callback or
 *          timer that was cancelled says its word with a "!" behind it.
 * Threads  A scene is its loop's. Helper threads say nothing and assert nothing.
 */
#ifndef GYRE_TEST_CONTRACT_SUPPORT_H
#define GYRE_TEST_CONTRACT_SUPPORT_H

#include <pthread.h>
#include <stdatomic.h>

#include <gyre/gyre.h>

#include "harness/gyre_test.h"

enum support_limits {
    SCENE_TEXT_BYTES = 2048,
    SCENE_WAITS_KEPT = 64, /* waits whose length is remembered */
    SCENE_WAITS_MAX = 100000, /* a run with more has lost its way, and fails with -EOVERFLOW */
    SCENE_WORDS_MAX = 32
};

#define US_NS UINT64_C(1000)
#define MS_NS UINT64_C(1000000)
#define SECOND_NS UINT64_C(1000000000)

/* Callbacks and timers that say a word and return a result. */
struct word {
    struct scene *scene;
    const char *text;
    int result;
};

struct scene {
    struct gyre_loop *loop;
    uint64_t now_ns;
    unsigned clock_reads;
    unsigned waits;
    unsigned waits_max; /* the wait that ends the run; 0: the first one without a deadline */
    uint64_t wait_ns[SCENE_WAITS_KEPT]; /* as asked for */
    void (*on_wait)(struct scene *scene); /* if not NULL, called in each wait */
    void *data; /* the test's */
    struct word words[SCENE_WORDS_MAX];
    unsigned words_used;
    size_t used;
    char text[SCENE_TEXT_BYTES];
};

/* Options of a scene: this run's backend, the scene's clock and wait, and never current. */
void scene_options(struct scene *scene, struct gyre_loop_options *options);

/* Makes the scene's loop, by scene_options or by the caller's change of them. */
void scene_open(struct scene *scene);
void scene_open_with(struct scene *scene, const struct gyre_loop_options *options);
void scene_close(struct scene *scene);

/* Runs until nothing is left to do; the result is the run's. */
int scene_run(struct scene *scene);

/* Runs until the loop has polled so many times after a wait. */
int scene_run_polls(struct scene *scene, unsigned polls);

/* Adds a word to the record. */
void say(struct scene *scene, const char *word);

/* Empties the record. */
void hush(struct scene *scene);

/* Says the word at arg and returns its result; "word!" if it was cancelled. */
int say_word(struct gyre_loop *loop, int status, void *arg);

/* A word of the scene's own, which lives as long as the scene. */
struct word *word_of(struct scene *scene, const char *text);

/* Counts its calls in the unsigned at arg. */
int count_call(struct gyre_loop *loop, int status, void *arg);

/* Stops the loop; arg is not used. */
int stop_loop(struct gyre_loop *loop, int status, void *arg);

struct gyre_loop_stats stats_of(const struct gyre_loop *loop);

/* ---- handlers -------------------------------------------------------------------------------- */

/* A registration that says its name and what is ready: "a:r", "a:w", "a:rwe" ("e": an error). */
struct watch {
    struct scene *scene;
    const char *name;
    int fd;
    unsigned calls;
    uint32_t events; /* of the last call */
    void (*then)(struct watch *watch); /* if not NULL, called at the end of each call */
    struct watch *other; /* for `then` */
    int result;
};

int watch_handler(struct gyre_loop *loop, int fd, uint32_t events, void *arg);

/* Registers a watch with its scene's loop; must succeed. */
void watch_fd(struct watch *watch, uint32_t events);

/* Makes a pipe, non-blocking and close-on-exec: fds[0] reads. */
void make_pipe(int fds[2]);

/* Makes a pair of connected sockets, non-blocking and close-on-exec. */
void make_pair(int fds[2]);

/* A pipe whose reading end, the result, has a byte in it. */
int make_readable(int *ret_writer);

void close_pipe(const int fds[2]);

/* A descriptor that no loop can poll: a file in memory. */
int make_file(void);

/* A number that no descriptor has. */
int closed_number(void);

/* ---- real time and other threads ------------------------------------------------------------- */

/* A loop of this run's backend on the system's clock, never current. */
struct gyre_loop *open_loop(void);

/* Runs fn on another thread, and waits for its end. */
void on_thread(void *(*fn)(void *), void *arg);

/* Starts a thread; pthread_join ends it. */
pthread_t start_thread(void *(*fn)(void *), void *arg);

/* Waits until the loop, which another thread runs, has gone to sleep more than `sleeps` times; at
 * most ten seconds. */
bool await_sleep(const struct gyre_loop *loop, uint64_t sleeps);

/* Runs `loop`, which other threads keep busy; must return 0. */
void run_to_stop(struct gyre_loop *loop);

/* ---- log and memory -------------------------------------------------------------------------- */

struct log_record {
    unsigned lines;
    enum gyre_log_level level; /* of the last line */
    char line[512];
};

/* Has the library log into `record`, until the process of this test ends. */
void record_log(struct log_record *record);

/* Counts the library's blocks, from the start of a test on: nothing may have been allocated. */
struct memory_count {
    _Atomic long blocks;
    _Atomic long bytes;
    _Atomic long calls; /* of allocate */
    _Atomic long fail_at; /* that call of allocate fails, and all after it; 0: none */
    void (*on_allocate)(void); /* if not NULL, called in each call of allocate */
};

void count_memory(struct memory_count *count);

/* The number of descriptors open. */
unsigned count_descriptors(void);

#endif
