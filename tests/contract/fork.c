/* SPDX-License-Identifier: MIT */
/*
 * fork - rules T111 and T112: what a child process may do with its parent's loops.
 *
 * A plain program, since Criterion takes a fork for its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "family.h"
#include "harness/plain.h"

static uint64_t handle; /* of calls that no case cancels */

/* ---- T112 ------------------------------------------------------------------------------------ */

static void T112_calls_and_posts_in_a_child_are_refused(void)
{
    struct gyre_loop *loop = family_loop();
    unsigned calls = 0;
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_EQ(gyre_loop_add_handler(loop, fds[0], GYRE_READ, family_count_ready, &calls), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_count, &calls), 0);
    pid_t child = fork();
    if (child == 0) {
        family_check_refusals(loop, fds[0]);
        plain_exit_child();
    }
    family_join(child);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(gyre_loop_run(loop), 0); /* the parent's is as it was */
    CHECK_EQ(calls, 2);
    gyre_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
}

static void T112_post_to_a_full_loop_is_refused_as_a_parents(void)
{
    struct gyre_loop *loop = NULL;
    struct gyre_loop_options options;
    struct gyre_task task;
    struct gyre_task *tasks[] = {&task};
    unsigned calls = 0;
    gyre_loop_options_init(&options);
    options.backend = plain_backend();
    options.waker = plain_waker();
    options.make_current = GYRE_CURRENT_NO;
    options.queue_max = 1;
    CHECK_EQ(gyre_loop_create(&options, &loop), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_count, &calls), 0);
    gyre_task_init(&task, family_count, &calls);
    CHECK_EQ(gyre_loop_post(loop, &task), -EAGAIN);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(gyre_loop_post(loop, &task), -ECHILD); /* to try again would be in vain */
        CHECK_EQ(gyre_loop_post_batch(loop, tasks, 1), -ECHILD);
        plain_exit_child();
    }
    family_join(child);
    gyre_loop_destroy(loop);
    CHECK_EQ(calls, 1);
}

static void T112_close_in_a_child_leaves_the_parents_loop_alone(void)
{
    struct gyre_loop *loop = family_loop();
    unsigned calls = 0;
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_EQ(gyre_loop_add_handler(loop, fds[0], GYRE_READ, family_count_ready, &calls), 0);
    CHECK_EQ(gyre_loop_add_callback(loop, family_count, &calls), 0);
    CHECK_EQ(gyre_loop_call_at(loop, 0, &handle, family_count, &calls), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0);
        CHECK_EQ(calls, 0); /* they are the parent's to run */
        CHECK(fcntl(fds[0], F_GETFD) < 0 && errno == EBADF); /* its copy was closed */
        CHECK_EQ(gyre_loop_close(loop, 0), 0);
        gyre_loop_release(loop);
        plain_exit_child();
    }
    family_join(child);
    CHECK_EQ(write(fds[1], "x", 1), 1);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(calls, 3);
    gyre_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
}

/* Under the address sanitizer: the loop is not looked at. */
static void T112_timers_may_be_stopped_when_a_parents_loop_is_gone(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_timer timer;
    struct gyre_periodic periodic;
    unsigned calls = 0;
    gyre_timer_init(&timer, loop, family_count, &calls);
    CHECK_EQ(gyre_periodic_init(&periodic, loop, 1, family_count, &calls), 0);
    CHECK_EQ(gyre_timer_start(&timer, 1), 0);
    CHECK_EQ(gyre_periodic_start(&periodic), 0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(gyre_timer_stop(&timer), -ECHILD);
        CHECK_EQ(gyre_periodic_stop(&periodic), -ECHILD);
        gyre_loop_destroy(loop);
        CHECK_EQ(gyre_timer_stop(&timer), -ECHILD);
        CHECK_EQ(gyre_periodic_stop(&periodic), -ECHILD);
        plain_exit_child();
    }
    family_join(child);
    CHECK_EQ(gyre_timer_stop(&timer), 0);
    CHECK_EQ(gyre_periodic_stop(&periodic), 0);
    CHECK_EQ(calls, 0);
    gyre_loop_destroy(loop);
}

static int count_signal(struct gyre_loop *loop, int signo, void *arg)
{
    (void)signo;
    return family_count(loop, 0, arg);
}

static void T112_signal_in_a_child_does_not_wake_the_parents_loop(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_loop_stats stats;
    unsigned calls = 0;
    uint64_t wait_ns = 0;
    int fd = -1;
    CHECK_EQ(gyre_loop_add_signal(loop, SIGUSR1, count_signal, &calls), 0);
    CHECK_EQ(gyre_loop_prepare(loop, &wait_ns), 0);
    CHECK(wait_ns > 0); /* so that whatever is posted rings */
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(raise(SIGUSR1), 0);
        gyre_loop_stats(loop, &stats);
        CHECK_EQ(stats.wakes_written, 0);
        plain_exit_child();
    }
    family_join(child);
    if (gyre_loop_fd(loop, &fd) == 0) /* not every backend has one */
        CHECK_EQ(poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 0), 0);
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_EQ(calls, 0);
    CHECK_EQ(gyre_loop_prepare(loop, &wait_ns), 0);
    CHECK_EQ(raise(SIGUSR1), 0); /* the parent's own is as it was */
    CHECK_EQ(gyre_loop_run_once(loop), 0);
    CHECK_EQ(calls, 1);
    gyre_loop_stats(loop, &stats);
    CHECK_EQ(stats.wakes_written, 1);
    gyre_loop_destroy(loop);
}

static void count_close(struct gyre_loop *loop, int fd, void *arg)
{
    (void)fd;
    (void)family_count(loop, 0, arg);
}

static void T112_owners_of_descriptors_are_not_called_in_a_child(void)
{
    struct gyre_loop *loop = family_loop();
    unsigned closes = 0;
    int fds[2];
    CHECK_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    CHECK_EQ(gyre_loop_add_owned_handler(loop, fds[0], GYRE_READ, family_count_ready, &closes,
                                         count_close),
             0);
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0);
        CHECK_EQ(closes, 0);
        CHECK(fcntl(fds[0], F_GETFD) >= 0); /* it is the owner's to close */
        gyre_loop_release(loop);
        plain_exit_child();
    }
    family_join(child);
    CHECK_EQ(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0);
    CHECK_EQ(closes, 1);
    gyre_loop_destroy(loop);
    close(fds[0]);
    close(fds[1]);
}

static void T112_child_may_make_and_run_loops_of_its_own(void)
{
    struct gyre_loop *loop = family_loop();
    gyre_loop_make_current(loop);
    pid_t child = fork();
    if (child == 0) {
        unsigned calls = 0;
        struct gyre_loop *own;
        CHECK_EQ(gyre_loop_create(NULL, &own), 0);
        CHECK(gyre_loop_current_or_null() == own); /* the parent's counts as none */
        CHECK_EQ(gyre_loop_add_callback(own, family_count, &calls), 0);
        CHECK_EQ(gyre_loop_add_callback(own, family_stop, NULL), 0);
        CHECK_EQ(gyre_loop_run(own), 0);
        CHECK_EQ(calls, 1);
        gyre_loop_destroy(own);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    family_join(child);
    gyre_loop_make_current(NULL);
    gyre_loop_destroy(loop);
}

static void *run_loop(void *arg)
{
    CHECK_EQ(gyre_loop_run(arg), 0);
    return NULL;
}

static void T112_loop_that_another_thread_runs_can_be_closed_in_the_child(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_loop_stats stats = {0};
    pthread_t runner;
    CHECK_EQ(pthread_create(&runner, NULL, run_loop, loop), 0);
    for (unsigned i = 0; stats.sleeps == 0 && i < 10000; i++) {
        gyre_loop_stats(loop, &stats);
        (void)poll(NULL, 0, 1);
    }
    pid_t child = fork();
    if (child == 0) {
        CHECK_EQ(gyre_loop_add_callback(loop, family_stop, NULL), -ECHILD);
        CHECK_EQ(gyre_loop_close(loop, 0), 0);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    family_join(child);
    gyre_loop_stats(loop, &stats);
    CHECK_EQ(stats.wakes_written, 0); /* the child has not rung the bell */
    CHECK_EQ(gyre_loop_stop(loop), 0);
    CHECK_EQ(pthread_join(runner, NULL), 0);
    gyre_loop_destroy(loop);
}

/* ---- T112: runtimes, listeners and streams -------------------------------------------------- */

static void check_runtime_in_child(struct gyre_runtime *runtime)
{
    struct gyre_listener *listener = NULL;
    unsigned calls = 0;
    CHECK_EQ(gyre_runtime_start(runtime), -ECHILD);
    CHECK_EQ(gyre_runtime_join(runtime), -ECHILD);
    CHECK_EQ(gyre_runtime_broadcast(runtime, family_count, &calls, family_count, &calls), -ECHILD);
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &listener, NULL, NULL), -EINVAL);
    gyre_runtime_stop(runtime);
    gyre_runtime_destroy(runtime);
    CHECK_EQ(calls, 0);
}

static void T112_runtime_in_a_child_is_refused_and_can_be_destroyed(void)
{
    struct gyre_runtime *runtime = family_runtime(2, NULL, NULL);
    unsigned calls = 0;
    for (int started = 0; started < 2; started++) {
        if (started)
            CHECK_EQ(gyre_runtime_start(runtime), 0);
        pid_t child = fork();
        if (child == 0) {
            check_runtime_in_child(runtime);
            plain_exit_child();
        }
        family_join(child);
    }
    /* The parent's is as it was. */
    CHECK_EQ(gyre_loop_add_callback(gyre_runtime_loop(runtime, 1), family_count, &calls), 0);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    CHECK_EQ(calls, 1);
    gyre_runtime_destroy(runtime);
}

static void T112_runtimes_thread_that_has_forked_ends_in_the_child(void)
{
    struct gyre_runtime *runtime = family_runtime(2, NULL, NULL);
    struct parted parted = {.child = -1};
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    CHECK_EQ(gyre_loop_add_callback(gyre_runtime_loop(runtime, 0), family_fork, &parted), 0);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    family_join(parted.child);
    gyre_runtime_destroy(runtime);
}

struct served {
    struct gyre_stream *stream;
    bool done;
};

static int take_stream(struct gyre_stream *stream, void *arg)
{
    struct served *served = arg;
    served->stream = stream;
    return gyre_loop_stop(gyre_stream_loop(stream));
}

static int finish(struct gyre_loop *loop, int status, void *arg)
{
    struct served *served = arg;
    (void)loop;
    served->done = status == 0;
    return gyre_loop_stop(loop);
}

static int connect_to(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    (void)snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    CHECK_EQ(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static void T112_close_of_a_listener_and_a_stream_in_a_child_leaves_the_parents(void)
{
    struct gyre_loop *loop = family_loop();
    struct gyre_listener *listener = NULL;
    struct served served = {0};
    char directory[] = "/tmp/gyre-fork-XXXXXX";
    char path[48], address[64], byte;
    CHECK(mkdtemp(directory) != NULL);
    (void)snprintf(path, sizeof(path), "%s/socket", directory);
    (void)snprintf(address, sizeof(address), "unix:%s", path);
    CHECK_EQ(gyre_listener_open_on(&loop, 1, address, NULL, &listener, take_stream, &served), 0);
    int first = connect_to(path);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK(served.stream != NULL);
    pid_t child = fork();
    if (child == 0) {
        struct gyre_listener *other = NULL;
        CHECK_EQ(gyre_listener_open_on(&loop, 1, "127.0.0.1:0", NULL, &other, take_stream, NULL),
                 -ECHILD);
        gyre_listener_close(listener, finish, &served);
        gyre_stream_reset(served.stream);
        CHECK(!served.done);
        gyre_loop_destroy(loop);
        plain_exit_child();
    }
    family_join(child);
    CHECK_EQ(access(path, F_OK), 0);
    CHECK_EQ(recv(first, &byte, 1, MSG_DONTWAIT), -1); /* neither an end nor a reset */
    CHECK_EQ(errno, EAGAIN);
    gyre_stream_close(served.stream);
    int second = connect_to(path); /* the registration is still there */
    CHECK_EQ(gyre_loop_run(loop), 0);
    gyre_stream_close(served.stream);
    gyre_listener_close(listener, finish, &served);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK(served.done);
    CHECK_EQ(access(path, F_OK), -1);
    CHECK_EQ(rmdir(directory), 0);
    gyre_loop_destroy(loop);
    close(first);
    close(second);
}

/* ---- T111 ------------------------------------------------------------------------------------ */

static void T111_descriptors_of_a_loop_are_close_on_exec(void)
{
    bool before[256];
    for (int fd = 0; fd < 256; fd++)
        before[fd] = fcntl(fd, F_GETFD) >= 0;
    struct gyre_loop *loop = family_loop();
    unsigned made = 0;
    for (int fd = 0; fd < 256; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (before[fd] || flags < 0)
            continue;
        made++;
        CHECK((flags & FD_CLOEXEC) != 0);
    }
    CHECK_GE(made, 1);
    gyre_loop_destroy(loop);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T111_descriptors_of_a_loop_are_close_on_exec),
    PLAIN_CASE(T112_calls_and_posts_in_a_child_are_refused),
    PLAIN_CASE(T112_post_to_a_full_loop_is_refused_as_a_parents),
    PLAIN_CASE(T112_close_in_a_child_leaves_the_parents_loop_alone),
    PLAIN_CASE(T112_signal_in_a_child_does_not_wake_the_parents_loop),
    PLAIN_CASE(T112_owners_of_descriptors_are_not_called_in_a_child),
    PLAIN_CASE(T112_timers_may_be_stopped_when_a_parents_loop_is_gone),
    PLAIN_CASE(T112_child_may_make_and_run_loops_of_its_own),
    PLAIN_CASE(T112_loop_that_another_thread_runs_can_be_closed_in_the_child),
    PLAIN_CASE(T112_runtime_in_a_child_is_refused_and_can_be_destroyed),
    PLAIN_CASE(T112_runtimes_thread_that_has_forked_ends_in_the_child),
    PLAIN_CASE(T112_close_of_a_listener_and_a_stream_in_a_child_leaves_the_parents),
};

PLAIN_MAIN(cases)
