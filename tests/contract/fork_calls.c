/* SPDX-License-Identifier: MIT */
/*
 * fork_calls - rule T112 for forks inside of what a close calls, and of what streams, listeners
 * and runtimes call: the child calls, sends and accepts nothing more.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

static uint64_t handle; /* of calls that no case cancels */

/* ---- close ----------------------------------------------------------------------------------- */

static int hold(struct gyre_work *work, void *arg)
{
    *(struct gyre_work **)arg = work;
    return 0;
}

static int no_work(void *arg)
{
    (void)arg;
    return 0;
}

static void T112_child_that_was_forked_inside_a_close_calls_nobody(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_executor *executor = NULL;
    struct gyre_future *future = NULL;
    struct gyre_work *work = NULL;
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_executor_create_foreign(&executor, hold, &work), 0);
    CHECK_EQ(gyre_future_create(&future), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_fork, &parted), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_call_at(loop, 0, &handle, family_count, &parted.after), 0);
    CHECK_EQ(gyre_future_add_done(future, loop, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_run_in_executor(loop, executor, no_work, family_count, &parted.after), 0);
    CHECK_EQ(gyre_loop_close(loop, 0), 0);
    if (parted.child == 0) {
        CHECK_EQ(parted.after, 0);
        CHECK_EQ(gyre_loop_add_callback(loop, family_count, &parted.after), -ECHILD);
        gyre_work_cancel(work); /* a runner may still come */
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    CHECK_EQ(parted.after, 4);
    family_join(parted.child);
    gyre_work_cancel(work);
    gyre_future_release(future);
    gyre_executor_destroy(executor);
    gyre_loop_destroy(loop);
}

static int fork_at_first(struct gyre_loop *loop, int status, void *arg)
{
    struct parted *parted = arg;
    return parted->child == -1 ? family_fork(loop, status, arg)
                               : family_count(loop, status, &parted->after);
}

static void T112_child_that_was_forked_by_a_timer_that_closes_calls_no_other(void)
{
    struct gyre_loop *loop = family_loop();
    struct parted parted = {.child = -1};
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(gyre_loop_call_at(loop, i, &handle, fork_at_first, &parted), 0);
    gyre_loop_destroy(loop);
    CHECK_EQ(parted.after, parted.child == 0 ? 0 : 2);
    if (parted.child == 0)
        plain_exit_child();
    family_join(parted.child);
}

/* ---- listeners and streams ------------------------------------------------------------------- */

/* A Unix socket's address in a directory of its own. */
struct place {
    char directory[32];
    char path[48];
    char address[64];
};

static void make_place(struct place *place)
{
    (void)snprintf(place->directory, sizeof(place->directory), "/tmp/gyre-fork-XXXXXX");
    CHECK(mkdtemp(place->directory) != NULL);
    (void)snprintf(place->path, sizeof(place->path), "%s/socket", place->directory);
    (void)snprintf(place->address, sizeof(place->address), "unix:%s", place->path);
}

static int connect_to(const struct place *place)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", place->path);
    CHECK_EQ(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

struct served {
    struct parted parted;
    struct gyre_stream *streams[4];
    unsigned count;
    unsigned until; /* stops the loop with so many */
    const struct gyre_stream_events *events;
};

/* The child is through before the parent goes on: what it did would come first. */
static void fork_and_join(struct gyre_loop *loop, struct parted *parted)
{
    (void)family_fork(loop, 0, parted);
    if (parted->child != 0)
        family_join(parted->child);
}

static int serve(struct gyre_stream *stream, void *arg)
{
    struct served *served = arg;
    struct gyre_loop *loop = gyre_stream_loop(stream);
    served->streams[served->count++] = stream;
    if (served->events != NULL)
        gyre_stream_bind(stream, served->events, served);
    else if (served->parted.child == -1)
        fork_and_join(loop, &served->parted);
    if (served->count == served->until)
        (void)gyre_loop_stop(loop);
    return 0;
}

static int stop_at_end(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    CHECK_EQ(status, 0);
    return gyre_loop_stop(loop);
}

/* The parent ends what was served. */
static void end(struct gyre_loop *loop, struct gyre_listener *listener, struct served *served,
                const struct place *place)
{
    for (unsigned i = 0; i < served->count; i++)
        gyre_stream_close(served->streams[i]);
    gyre_listener_close(listener, stop_at_end, NULL);
    CHECK_EQ(gyre_loop_run(loop), 0);
    gyre_loop_destroy(loop);
    CHECK_EQ(rmdir(place->directory), 0);
}

static void T112_child_that_was_forked_in_an_accept_accepts_no_more(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_listener *listener = NULL;
    struct served served = {.parted.child = -1, .until = 2};
    struct place place;
    make_place(&place);
    CHECK_EQ(gyre_listener_open_on(&loop, 1, place.address, NULL, &listener, serve, &served), 0);
    int first = connect_to(&place);
    int second = connect_to(&place);
    int result = gyre_loop_run(loop);
    if (served.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(served.count, 1);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(served.count, 2);
    end(loop, listener, &served, &place);
    close(first);
    close(second);
}

static void answer_and_fork(struct gyre_stream *stream, const void *data, size_t bytes,
                            size_t *ret_used, void *arg)
{
    struct served *served = arg;
    size_t taken = 0;
    (void)ret_used;
    CHECK_EQ(gyre_stream_write(stream, data, bytes, &taken), 0); /* leaves when this returns */
    CHECK_EQ(taken, bytes);
    fork_and_join(gyre_stream_loop(stream), &served->parted);
    (void)gyre_loop_stop(gyre_stream_loop(stream));
}

static const struct gyre_stream_events answering = {.received = answer_and_fork};

static void T112_bytes_that_were_gathered_before_a_fork_leave_once(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_listener *listener = NULL;
    struct served served = {.parted.child = -1, .events = &answering};
    struct place place;
    char bytes[8];
    make_place(&place);
    CHECK_EQ(gyre_listener_open_on(&loop, 1, place.address, NULL, &listener, serve, &served), 0);
    int fd = connect_to(&place);
    CHECK_EQ(send(fd, "x", 1, 0), 1);
    int result = gyre_loop_run(loop);
    if (served.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), 1);
    CHECK_EQ(recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT), -1);
    end(loop, listener, &served, &place);
    close(fd);
}

static void fork_at_opened(struct gyre_stream *stream, void *arg)
{
    struct served *served = arg;
    served->count++;
    if (served->parted.child == -1)
        (void)family_fork(gyre_stream_loop(stream), 0, &served->parted);
    if (served->count == served->until)
        (void)gyre_loop_stop(gyre_stream_loop(stream));
}

static const struct gyre_stream_events opening = {.opened = fork_at_opened};

static void T112_child_that_was_forked_in_a_streams_event_has_no_other(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_listener *listener = NULL;
    struct gyre_stream *streams[2] = {NULL, NULL};
    struct served served = {.parted.child = -1, .until = 2};
    struct served accepted = {.parted.child = 1};
    struct place place;
    make_place(&place);
    CHECK_EQ(gyre_listener_open_on(&loop, 1, place.address, NULL, &listener, serve, &accepted), 0);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(gyre_stream_connect(loop, place.address, NULL, &streams[i], &opening, &served), 0);
    int result = gyre_loop_run(loop);
    if (served.parted.child == 0) {
        CHECK_EQ(result, -ECHILD);
        CHECK_EQ(served.count, 1);
        plain_exit_child();
    }
    CHECK_EQ(result, 0);
    CHECK_EQ(served.count, 2);
    family_join(served.parted.child);
    for (int i = 0; i < 2; i++)
        gyre_stream_close(streams[i]);
    end(loop, listener, &accepted, &place);
}

/* ---- runtimes -------------------------------------------------------------------------------- */

static struct gyre_runtime *make_runtime(gyre_setup_fn *teardown, struct parted *parted)
{
    struct gyre_runtime *runtime = NULL;
    struct gyre_loop_options loop_options;
    struct gyre_runtime_options options;
    gyre_loop_options_init(&loop_options);
    loop_options.backend = plain_backend();
    loop_options.waker = plain_waker();
    gyre_runtime_options_init(&options);
    options.loops = 1;
    options.pin = GYRE_PIN_NEVER;
    options.loop = &loop_options;
    options.teardown = teardown;
    options.arg = parted;
    CHECK_EQ(gyre_runtime_create(&options, &runtime), 0);
    return runtime;
}

static int fork_in_teardown(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)index;
    return family_fork(loop, 0, arg);
}

/* The child's one thread ends when its run has returned, and the process with it. */
static void T112_child_that_was_forked_in_a_teardown_ends(void)
{
    struct parted parted = {.child = -1};
    struct gyre_runtime *runtime = make_runtime(fork_in_teardown, &parted);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    family_join(parted.child);
    gyre_runtime_destroy(runtime);
}

static int count_in_parent(struct gyre_loop *loop, int status, void *arg)
{
    struct parted *parted = arg;
    if (parted->child == 0)
        _exit(EXIT_FAILURE);
    return family_count(loop, status, &parted->after);
}

static void T112_child_that_was_forked_in_a_broadcast_does_not_finish_it(void)
{
    struct parted parted = {.child = -1};
    struct gyre_runtime *runtime = make_runtime(NULL, NULL);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    CHECK_EQ(gyre_runtime_broadcast(runtime, family_fork, &parted, count_in_parent, &parted), 0);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    family_join(parted.child);
    CHECK_EQ(parted.after, 1);
    gyre_runtime_destroy(runtime);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T112_child_that_was_forked_inside_a_close_calls_nobody),
    PLAIN_CASE(T112_child_that_was_forked_by_a_timer_that_closes_calls_no_other),
    PLAIN_CASE(T112_child_that_was_forked_in_an_accept_accepts_no_more),
    PLAIN_CASE(T112_bytes_that_were_gathered_before_a_fork_leave_once),
    PLAIN_CASE(T112_child_that_was_forked_in_a_streams_event_has_no_other),
    PLAIN_CASE(T112_child_that_was_forked_in_a_teardown_ends),
    PLAIN_CASE(T112_child_that_was_forked_in_a_broadcast_does_not_finish_it),
};

PLAIN_MAIN(cases)
