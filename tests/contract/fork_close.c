/* SPDX-License-Identifier: MIT */
/*
 * fork_close - rule T112 for forks inside of what a loop calls in a row: while it closes, and when
 * operations complete. The rest of the row is the parent's.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

enum {
    STREAMS = 4,
    CHILD_SECONDS = 10 /* a child that waits for its parent's threads ends then */
};

static uint64_t handle; /* of calls that no case cancels */

static int fork_here(struct gyre_loop *loop, int status, void *arg)
{
    struct parted *parted = arg;
    (void)family_fork(loop, status, parted);
    if (parted->child == 0)
        (void)alarm(CHILD_SECONDS);
    return 0;
}

/* ---- while a loop closes --------------------------------------------------------------------- */

static void add_callback(struct gyre_loop *loop, struct gyre_future *future, gyre_fn *fn, void *arg)
{
    CHECK(future != NULL);
    CHECK_EQ(gyre_loop_add_callback(loop, fn, arg), 0);
}

static void add_timer(struct gyre_loop *loop, struct gyre_future *future, gyre_fn *fn, void *arg)
{
    CHECK(future != NULL);
    CHECK_EQ(gyre_loop_call_at(loop, 0, &handle, fn, arg), 0);
}

static void add_waiter(struct gyre_loop *loop, struct gyre_future *future, gyre_fn *fn, void *arg)
{
    CHECK_EQ(gyre_future_add_done(future, loop, fn, arg), 0);
}

typedef void add_fn(struct gyre_loop *loop, struct gyre_future *future, gyre_fn *fn, void *arg);

/* Closes a loop with two of each kind, the first of which, of the kind that `add` adds, forks. */
static void close_and_fork(add_fn *add)
{
    add_fn *const all[] = {add_callback, add_timer, add_waiter};
    struct gyre_loop *loop = family_loop();
    struct gyre_future *future = NULL;
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_future_create(&future), 0);
    add(loop, future, fork_here, &parted);
    for (unsigned i = 0; i < 6; i++) /* those of a kind before count in both processes */
        all[i / 2](loop, future, family_count, &parted.after);
    gyre_loop_destroy(loop);
    gyre_future_release(future);
    if (parted.child == 0) {
        unsigned before = add == add_callback ? 0 : add == add_timer ? 2 : 4;
        CHECK_EQ(parted.after, before);
        plain_exit_child();
    }
    CHECK_EQ(parted.after, 6);
    family_join(parted.child);
}

static void T112_close_that_was_forked_inside_calls_nobody_in_the_child(void)
{
    close_and_fork(add_callback);
    close_and_fork(add_timer);
    close_and_fork(add_waiter);
}

struct bench {
    struct gyre_work *work[2];
    unsigned count;
    _Atomic bool began;
    struct parted parted;
};

static int take_work(struct gyre_work *work, void *arg)
{
    struct bench *bench = arg;
    bench->work[bench->count++] = work;
    return 0;
}

static int work_until_the_fork(void *arg)
{
    struct bench *bench = arg;
    atomic_store_explicit(&bench->began, true, memory_order_release);
    (void)usleep(100 * 1000); /* so that the close finds it running, or else shows less */
    return 0;
}

static int count_done(struct gyre_loop *loop, int status, void *arg)
{
    struct bench *bench = arg;
    return family_count(loop, status, &bench->parted.after);
}

static int fork_when_done(struct gyre_loop *loop, int status, void *arg)
{
    struct bench *bench = arg;
    return fork_here(loop, status, &bench->parted);
}

static void *run_work(void *arg)
{
    gyre_work_run(arg);
    return NULL;
}

/* The thread that runs the second does not exist in the child. */
static void T112_close_that_was_forked_inside_waits_for_no_work_in_the_child(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_executor *executor = NULL;
    struct bench bench = {.parted = {.child = -1}};
    pthread_t thread;
    CHECK_EQ(gyre_executor_create_foreign(&executor, take_work, &bench), 0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, executor, work_until_the_fork, fork_when_done, &bench),
             0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, executor, work_until_the_fork, count_done, &bench), 0);
    CHECK_EQ(pthread_create(&thread, NULL, run_work, bench.work[1]), 0);
    while (!atomic_load_explicit(&bench.began, memory_order_acquire))
        ;
    gyre_loop_destroy(loop);
    gyre_work_cancel(bench.work[0]); /* withdrawn: it frees it, in both */
    gyre_executor_destroy(executor);
    if (bench.parted.child == 0) {
        CHECK_EQ(bench.parted.after, 0);
        plain_exit_child();
    }
    CHECK_EQ(bench.parted.after, 1);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    family_join(bench.parted.child);
}

/* ---- when operations complete ---------------------------------------------------------------- */

struct crowd {
    struct gyre_loop *loop;
    struct parted parted;
    unsigned opened;
};

static void on_opened(struct gyre_stream *stream, void *arg)
{
    struct crowd *crowd = arg;
    if (crowd->opened++ == 0)
        (void)fork_here(gyre_stream_loop(stream), 0, &crowd->parted);
    if (crowd->opened == STREAMS)
        (void)gyre_loop_stop(crowd->loop);
}

static void on_ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)arg;
    CHECK(stream != NULL);
    CHECK_EQ(status, 0);
}

/* A listening socket of a name that goes with it. */
static int listen_unnamed(char *address, size_t bytes)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/gyre-fork-close-%ld",
                   (long)getpid());
    (void)unlink(name.sun_path); /* of a test that was ended */
    CHECK_EQ(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    CHECK_EQ(listen(fd, STREAMS), 0);
    (void)snprintf(address, bytes, "unix:%s", name.sun_path);
    return fd;
}

static void T112_operations_that_have_completed_are_the_parents(void)
{
    static const struct gyre_stream_events events = {.opened = on_opened, .ended = on_ended};
    struct crowd crowd = {.loop = family_loop(), .parted = {.child = -1}};
    struct gyre_stream *streams[STREAMS] = {NULL};
    char address[128];
    int fd = listen_unnamed(address, sizeof(address));
    for (unsigned i = 0; i < STREAMS; i++)
        CHECK_EQ(gyre_stream_connect(crowd.loop, address, NULL, &streams[i], &events, &crowd), 0);
    int result = gyre_loop_run(crowd.loop);
    for (unsigned i = 0; i < STREAMS; i++)
        gyre_stream_close(streams[i]);
    gyre_loop_destroy(crowd.loop);
    if (crowd.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(crowd.opened, 1);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(crowd.opened, STREAMS);
    family_join(crowd.parted.child);
    (void)close(fd);
    CHECK_EQ(unlink(address + sizeof("unix:") - 1), 0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T112_close_that_was_forked_inside_calls_nobody_in_the_child),
    PLAIN_CASE(T112_close_that_was_forked_inside_waits_for_no_work_in_the_child),
    PLAIN_CASE(T112_operations_that_have_completed_are_the_parents),
};

PLAIN_MAIN(cases)
