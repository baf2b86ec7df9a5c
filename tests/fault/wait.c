/* SPDX-License-Identifier: MIT */
/*
 * wait - a kernel or a sandbox that refuses the precise wait: the loop falls back to milliseconds,
 * which is later and never earlier, and does not turn in between.
 */
#include <errno.h>

#include "sweep.h"

enum {
    DEADLINES = 6
};

struct deadline {
    struct gyre_timer timer;
    uint64_t at_ns;
    unsigned *left;
};

static int on_time(struct gyre_loop *loop, int status, void *arg)
{
    struct deadline *deadline = arg;
    HOLDS_EQ(status, 0);
    HOLDS(gyre_loop_now_ns(loop) >= deadline->at_ns);
    return --*deadline->left == 0 ? gyre_loop_stop(loop) : 0;
}

/* Timers that are no whole milliseconds apart, one after the other. */
static void wait_for_deadlines(const void *arg)
{
    static const uint64_t after_ns[DEADLINES] = {50 * 1000,   999999,      1000001,
                                                 2300 * 1000, 4100 * 1000, 7777777};
    struct gyre_loop_options options = sweep_loop_options();
    struct deadline deadlines[DEADLINES];
    struct gyre_loop_stats stats;
    struct gyre_loop *loop;
    unsigned left = DEADLINES;
    (void)arg;
    if (sweep_tell(gyre_loop_create(&options, &loop)) != 0)
        return;
    uint64_t now = gyre_loop_now_ns(loop);
    for (unsigned i = 0; i < DEADLINES; i++) {
        deadlines[i].at_ns = now + after_ns[i];
        deadlines[i].left = &left;
        gyre_timer_init(&deadlines[i].timer, loop, on_time, &deadlines[i]);
        HOLDS_EQ(gyre_timer_start(&deadlines[i].timer, deadlines[i].at_ns), 0);
    }
    HOLDS_EQ(gyre_loop_run(loop), 0);
    HOLDS_EQ(left, 0);
    gyre_loop_stats(loop, &stats);
    HOLDS(stats.sleeps <= DEADLINES); /* none ends early, so that each leads to a timer */
    gyre_loop_destroy(loop);
}

/* The n-th precise wait and all after it are refused with `error`. */
static void refuse_from(unsigned at, int error)
{
    struct injection injection = {.only = INJECT_EPOLL_PWAIT2, .at = at, .burst = 1000};
    size_t count;
    const struct fault *faults = inject_faults(INJECT_EPOLL_PWAIT2, &count);
    while (injection.choice < count && faults[injection.choice].code != error)
        injection.choice++;
    CHECK(injection.choice < count);
    CHECK_EQ(sweep_once(&injection, wait_for_deadlines, NULL), 0);
    struct inject_report report = inject_read();
    if (report.fired)
        CHECK_EQ(report.calls, at); /* not asked again */
    else if (at == 1)
        plain_skip("this backend has no such wait");
}

static void a_precise_wait_that_the_kernel_lacks_is_replaced_and_never_early(void)
{
    for (unsigned at = 1; at <= 3; at++)
        refuse_from(at, ENOSYS);
}

static void a_precise_wait_that_a_sandbox_refuses_is_replaced_and_never_early(void)
{
    for (unsigned at = 1; at <= 3; at++)
        refuse_from(at, EPERM);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_precise_wait_that_the_kernel_lacks_is_replaced_and_never_early),
    PLAIN_CASE(a_precise_wait_that_a_sandbox_refuses_is_replaced_and_never_early),
};

PLAIN_MAIN(cases)
