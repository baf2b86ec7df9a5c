/* SPDX-License-Identifier: MIT */
/*
 * embed_libuv - a loop inside libuv's: a prepare handle asks how long, a timer wakes at the
 * deadline, a check handle makes the turn.
 */
#include <uv.h>

#include "embedded.h"
#include "harness/plain.h"

struct inside {
    struct embedded work;
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_check_t check;
    uv_poll_t poll;
    uv_timer_t deadline;
    uv_timer_t other; /* libuv's own work */
    unsigned ticks;
};

static void do_nothing_timer(uv_timer_t *timer)
{
    (void)timer;
}

static void do_nothing_poll(uv_poll_t *poll, int status, int events)
{
    (void)poll;
    (void)status;
    (void)events;
}

static void count(uv_timer_t *timer)
{
    ((struct inside *)timer->data)->ticks++;
}

/* libuv computes its wait after this. Its clock stands since the turn began, hence the update. */
static void on_prepare(uv_prepare_t *prepare)
{
    struct inside *it = prepare->data;
    int wait_ms = embedded_prepare(&it->work);
    uv_update_time(&it->loop);
    CHECK_EQ(uv_timer_start(&it->deadline, do_nothing_timer, (uint64_t)wait_ms, 0), 0);
}

static void on_check(uv_check_t *check)
{
    struct inside *it = check->data;
    if (embedded_turn(&it->work))
        uv_stop(&it->loop);
}

static void close_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_close(handle, NULL);
}

static void init(struct inside *it)
{
    CHECK_EQ(uv_loop_init(&it->loop), 0);
    CHECK_EQ(uv_prepare_init(&it->loop, &it->prepare), 0);
    CHECK_EQ(uv_check_init(&it->loop, &it->check), 0);
    CHECK_EQ(uv_timer_init(&it->loop, &it->deadline), 0);
    CHECK_EQ(uv_timer_init(&it->loop, &it->other), 0);
    CHECK_EQ(uv_poll_init(&it->loop, &it->poll, it->work.fd), 0);
    it->prepare.data = it;
    it->check.data = it;
    it->other.data = it;
    CHECK_EQ(uv_prepare_start(&it->prepare, on_prepare), 0);
    CHECK_EQ(uv_check_start(&it->check, on_check), 0);
    CHECK_EQ(uv_poll_start(&it->poll, UV_READABLE, do_nothing_poll), 0);
    CHECK_EQ(uv_timer_start(&it->other, count, 2, 2), 0);
}

static void loop_inside_libuvs_does_all_its_work(void)
{
    static struct inside it;
    if (!embedded_open(&it.work))
        PLAIN_SKIP("this backend has no descriptor of its own");
    init(&it);
    (void)uv_run(&it.loop, UV_RUN_DEFAULT); /* handles are left */
    CHECK_GE(it.ticks, 1); /* libuv's own came to its turn */
    uv_walk(&it.loop, close_handle, NULL);
    CHECK_EQ(uv_run(&it.loop, UV_RUN_DEFAULT), 0);
    CHECK_EQ(uv_loop_close(&it.loop), 0);
    uv_library_shutdown(); /* its signal pipe, which it would keep */
    embedded_close(&it.work);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(loop_inside_libuvs_does_all_its_work),
};

PLAIN_MAIN(cases)
