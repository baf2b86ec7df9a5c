/* SPDX-License-Identifier: MIT */
/*
 * fork_close - rule T112 for forks inside of what a loop calls in a row: while it closes, and when
 * operations complete. The rest of the row is the parent's.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

enum {
    STREAMS = 4,
    CHILD_SECONDS = 10 /* a child that waits for its parent's threads ends then */
};

#define PATIENCE_NS UINT64_C(5000000000) /* for connections that a child has taken */

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
    _Atomic bool forked;
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
    while (!atomic_load_explicit(&bench->forked, memory_order_acquire))
        (void)sched_yield();
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
    (void)fork_here(loop, status, &bench->parted);
    atomic_store_explicit(&bench->forked, true, memory_order_release);
    return 0;
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
        (void)sched_yield();
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

/* ---- when connections are served ------------------------------------------------------------- */

/* A listener, and clients that are plain descriptors. */
struct inn {
    struct gyre_loop *loop;
    struct gyre_listener *listener;
    struct gyre_stream *streams[STREAMS];
    int clients[STREAMS];
    char address[128];
    struct parted parted;
    unsigned accepted;
    unsigned received;
    size_t written;
    size_t read;
};

static int accept_and_fork(struct gyre_stream *stream, void *arg)
{
    struct inn *inn = arg;
    inn->streams[inn->accepted++] = stream;
    if (inn->accepted == 1)
        (void)fork_here(inn->loop, 0, &inn->parted);
    if (inn->accepted == 1 && inn->parted.child > 0) { /* which has the first choice of the rest */
        siginfo_t info;
        CHECK_EQ(waitid(P_PID, (id_t)inn->parted.child, &info, WEXITED | WNOWAIT), 0);
    }
    return inn->accepted == STREAMS ? gyre_loop_stop(inn->loop) : 0;
}

static int connect_to(const char *address)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", address + sizeof("unix:") - 1);
    CHECK_EQ(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    CHECK_EQ(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void open_inn(struct inn *inn, unsigned clients, gyre_accept_fn *accept)
{
    *inn = (struct inn){.loop = family_loop(), .parted = {.child = -1}};
    (void)snprintf(inn->address, sizeof(inn->address), "unix:/tmp/gyre-fork-inn-%ld",
                   (long)getpid());
    (void)unlink(inn->address + sizeof("unix:") - 1); /* of a test that was ended */
    CHECK_EQ(gyre_listener_open_on(&inn->loop, 1, inn->address, NULL, &inn->listener, accept, inn),
             0);
    for (unsigned i = 0; i < clients; i++)
        inn->clients[i] = connect_to(inn->address);
}

/* In the parent, and in a child of it. */
static void close_inn(struct inn *inn)
{
    for (unsigned i = 0; i < inn->accepted; i++)
        gyre_stream_close(inn->streams[i]);
    gyre_listener_close(inn->listener, NULL, NULL);
    gyre_loop_destroy(inn->loop);
}

static void T112_child_of_an_accept_takes_no_connection_of_its_parents(void)
{
    struct inn inn;
    open_inn(&inn, STREAMS, accept_and_fork);
    CHECK_EQ(gyre_loop_call_later(inn.loop, PATIENCE_NS, &handle, family_stop, NULL), 0);
    int result = gyre_loop_run(inn.loop);
    close_inn(&inn);
    if (inn.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(inn.accepted, 1);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(inn.accepted, STREAMS);
    family_join(inn.parted.child);
    for (unsigned i = 0; i < STREAMS; i++)
        (void)close(inn.clients[i]);
}

/* Writes until no more is taken: some of it waits in the stream then. */
static void write_much(struct gyre_stream *stream, struct inn *inn)
{
    static const char bytes[4096];
    size_t taken = sizeof(bytes);
    while (taken == sizeof(bytes) && CHECK_EQ(gyre_stream_write(stream, bytes, taken, &taken), 0))
        inn->written += taken;
}

static void read_much(struct inn *inn)
{
    static char bytes[65536];
    ssize_t got;
    while ((got = read(inn->clients[0], bytes, sizeof(bytes))) > 0)
        inn->read += (size_t)got;
}

static int read_and_ask(struct gyre_loop *loop, int status, void *arg)
{
    struct inn *inn = arg;
    CHECK(loop != NULL);
    CHECK_EQ(status, 0);
    read_much(inn);
    CHECK_EQ(write(inn->clients[0], "?", 1), 1); /* both ways are ready now, in one event */
    return 0;
}

static void answer_and_fork(struct gyre_stream *stream, const void *data, size_t bytes,
                            size_t *ret_used, void *arg)
{
    struct inn *inn = arg;
    size_t taken = 0;
    CHECK(data != NULL);
    *ret_used = bytes;
    inn->received++;
    if (inn->written == 0)
        CHECK_EQ(gyre_stream_write(stream, "!", 1, &taken), 0); /* it leaves behind the call */
    inn->written += taken;
    (void)fork_here(inn->loop, 0, &inn->parted);
    if (inn->parted.child != 0)
        CHECK_EQ(gyre_loop_add_callback(inn->loop, family_stop, NULL), 0);
}

static const struct gyre_stream_events answering = {.received = answer_and_fork};

static int accept_and_write(struct gyre_stream *stream, void *arg)
{
    struct inn *inn = arg;
    inn->streams[inn->accepted++] = stream;
    gyre_stream_bind(stream, &answering, inn);
    write_much(stream, inn);
    return gyre_loop_add_callback(inn->loop, read_and_ask, inn);
}

static int accept_and_wait(struct gyre_stream *stream, void *arg)
{
    struct inn *inn = arg;
    inn->streams[inn->accepted++] = stream;
    gyre_stream_bind(stream, &answering, inn);
    CHECK_EQ(write(inn->clients[0], "?", 1), 1);
    return 0;
}

static void serve_and_fork(gyre_accept_fn *accept)
{
    struct inn inn;
    open_inn(&inn, 1, accept);
    int result = gyre_loop_run(inn.loop);
    if (inn.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        close_inn(&inn);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    family_join(inn.parted.child);
    read_much(&inn);
    CHECK_EQ(inn.received, 1);
    CHECK_EQ(inn.read, inn.written); /* and not what the child has sent as well */
    close_inn(&inn);
    (void)close(inn.clients[0]);
}

static void T112_bytes_that_were_written_are_the_parents_to_send(void)
{
    serve_and_fork(accept_and_wait);
    serve_and_fork(accept_and_write);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T112_close_that_was_forked_inside_calls_nobody_in_the_child),
    PLAIN_CASE(T112_close_that_was_forked_inside_waits_for_no_work_in_the_child),
    PLAIN_CASE(T112_operations_that_have_completed_are_the_parents),
    PLAIN_CASE(T112_child_of_an_accept_takes_no_connection_of_its_parents),
    PLAIN_CASE(T112_bytes_that_were_written_are_the_parents_to_send),
};

PLAIN_MAIN(cases)
