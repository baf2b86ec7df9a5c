/* SPDX-License-Identifier: MIT */
/*
 * family - see family.h.
 */
#include "family.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/plain.h"

struct gyre_loop *family_loop(void)
{
    struct gyre_loop *loop = NULL;
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.backend = plain_backend();
    options.waker = plain_waker();
    options.make_current = GYRE_CURRENT_NO;
    CHECK_EQ(gyre_loop_create(&options, &loop), 0);
    return loop;
}

int family_count(struct gyre_loop *loop, int status, void *arg)
{
    unsigned *calls = arg;
    (void)loop;
    (void)status;
    ++*calls;
    return 0;
}

int family_count_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)fd;
    (void)events;
    (void)gyre_loop_stop(loop);
    return family_count(loop, 0, arg);
}

int family_stop(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    (void)arg;
    return gyre_loop_stop(loop);
}

struct gyre_runtime *family_runtime(unsigned loops, gyre_setup_fn *teardown, void *arg)
{
    struct gyre_runtime *runtime = NULL;
    struct gyre_loop_options loop_options;
    struct gyre_runtime_options options;
    gyre_loop_options_init(&loop_options);
    loop_options.backend = plain_backend();
    loop_options.waker = plain_waker();
    gyre_runtime_options_init(&options);
    options.loops = loops;
    options.pin = GYRE_PIN_NEVER;
    options.loop = &loop_options;
    options.teardown = teardown;
    options.arg = arg;
    CHECK_EQ(gyre_runtime_create(&options, &runtime), 0);
    return runtime;
}

void family_join(pid_t child)
{
    int status = -1;
    CHECK(child > 0);
    CHECK_EQ(waitpid(child, &status, 0), child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

int family_fork(struct gyre_loop *loop, int status, void *arg)
{
    struct parted *parted = arg;
    (void)loop;
    (void)status;
    parted->child = fork();
    return 0;
}

void family_check_refusals(struct gyre_loop *loop, int fd)
{
    struct gyre_task task;
    struct gyre_timer timer;
    uint64_t wait_ns, handle;
    unsigned calls = 0;
    gyre_task_init(&task, family_count, &calls);
    gyre_timer_init(&timer, loop, family_count, &calls);
    CHECK_EQ(gyre_loop_post(loop, &task), -ECHILD);
    CHECK_EQ(gyre_loop_add_callback(loop, family_count, &calls), -ECHILD);
    CHECK_EQ(gyre_loop_spawn_callback(loop, family_count, &calls), -ECHILD);
    CHECK_EQ(gyre_loop_post_call_at(loop, 0, family_count, &calls), -ECHILD);
    CHECK_EQ(gyre_loop_call_at(loop, 0, &handle, family_count, &calls), -ECHILD);
    CHECK_EQ(gyre_timer_start(&timer, 0), -ECHILD);
    CHECK_EQ(gyre_loop_add_handler(loop, fd, GYRE_READ, family_count_ready, &calls), -ECHILD);
    CHECK_EQ(gyre_loop_update_handler(loop, fd, GYRE_WRITE), -ECHILD);
    CHECK_EQ(gyre_loop_remove_handler(loop, fd), -ECHILD);
    CHECK_EQ(gyre_loop_run(loop), -ECHILD);
    CHECK_EQ(gyre_loop_run_once(loop), -ECHILD);
    CHECK_EQ(gyre_loop_prepare(loop, &wait_ns), -ECHILD);
    CHECK_EQ(gyre_loop_stop(loop), -ECHILD);
    gyre_loop_wake(loop);
    CHECK_EQ(calls, 0);
}
