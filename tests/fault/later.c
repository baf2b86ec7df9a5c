/* SPDX-License-Identifier: MIT */
/*
 * later - what comes home to a loop later, while calls fail: futures, run_sync, periodics, and work
 * of executors.
 */
#include <errno.h>

#include "sweep.h"

enum {
    FUTURES = 3,
    WORKS = 4,
    PERIOD_NS = 100 * 1000
};

static struct gyre_loop *make_loop(void)
{
    struct gyre_loop_options options = sweep_loop_options();
    struct gyre_loop *loop;
    return sweep_tell(gyre_loop_create(&options, &loop)) == 0 ? loop : NULL;
}

/* ---- futures --------------------------------------------------------------------------------- */

static int count_end(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    ++*(unsigned *)arg;
    return 0;
}

static int resolve_now(struct gyre_loop *loop, struct gyre_future *future, void *arg)
{
    (void)loop;
    return gyre_future_resolve(future, 0, arg);
}

static int never(struct gyre_loop *loop, struct gyre_future *future, void *arg)
{
    (void)loop;
    (void)future;
    (void)arg;
    return 0;
}

static void wait_for_futures(struct gyre_loop *loop)
{
    unsigned added = 0;
    unsigned ends = 0;
    void *value = NULL;
    for (unsigned i = 0; i < FUTURES; i++) {
        struct gyre_future *future;
        if (sweep_tell(gyre_future_create(&future)) != 0)
            continue;
        added += sweep_tell(gyre_future_add_done(future, loop, count_end, &ends)) == 0;
        (void)sweep_tell(gyre_loop_watch_future(loop, future));
        if (i > 0)
            HOLDS_EQ(gyre_future_resolve(future, 0, NULL), 0);
        gyre_future_release(future);
    }
    if (sweep_tell(gyre_loop_run_sync(loop, GYRE_NEVER, resolve_now, &ends, &value)) == 0)
        HOLDS(value == &ends);
    int r = gyre_loop_run_sync(loop, 0, never, NULL, NULL);
    if (r != -ETIMEDOUT)
        HOLDS(sweep_tell(r) != 0);
    gyre_loop_destroy(loop);
    HOLDS_EQ(ends, added);
}

static void use_futures(const void *arg)
{
    struct gyre_loop *loop = make_loop();
    (void)arg;
    if (loop != NULL)
        wait_for_futures(loop);
}

static void what_waits_for_futures_ends_once(void)
{
    sweep(use_futures, NULL);
}

/* ---- periodics ------------------------------------------------------------------------------- */

struct beat {
    struct gyre_periodic periodic;
    unsigned calls;
};

static int on_beat(struct gyre_loop *loop, int status, void *arg)
{
    struct beat *beat = arg;
    if (status != 0)
        return 0;
    if (++beat->calls < 3)
        return 0;
    HOLDS_EQ(gyre_periodic_stop(&beat->periodic), 0);
    return gyre_loop_stop(loop);
}

static void use_periodic(const void *arg)
{
    struct gyre_loop *loop = make_loop();
    struct beat beat = {.calls = 0};
    (void)arg;
    if (loop == NULL)
        return;
    HOLDS_EQ(gyre_periodic_init(&beat.periodic, loop, PERIOD_NS, on_beat, &beat), 0);
    HOLDS_EQ(gyre_periodic_set_jitter(&beat.periodic, 0.5), 0);
    HOLDS_EQ(gyre_periodic_start(&beat.periodic), 0);
    if (sweep_tell(gyre_loop_run(loop)) == 0)
        HOLDS_EQ(beat.calls, 3);
    gyre_loop_destroy(loop);
}

static void a_periodic_keeps_its_calls(void)
{
    sweep(use_periodic, NULL);
}

/* ---- executors ------------------------------------------------------------------------------- */

struct errands {
    struct gyre_executor *executor; /* NULL: the loop's own */
    unsigned accepted;
    unsigned ends;
};

static int work(void *arg)
{
    (void)arg;
    return 0;
}

static int come_home(struct gyre_loop *loop, int status, void *arg)
{
    struct errands *errands = arg;
    HOLDS(status == 0 || status == -ECANCELED);
    errands->ends++;
    return errands->ends == errands->accepted ? gyre_loop_stop(loop) : 0;
}

static void send_errands(struct gyre_loop *loop, struct errands *errands)
{
    for (unsigned i = 0; i < WORKS; i++)
        errands->accepted += sweep_tell(gyre_loop_run_in_executor(loop, errands->executor, work,
                                                                  come_home, errands)) == 0;
    if (errands->accepted > 0 && sweep_tell(gyre_loop_run(loop)) == 0)
        HOLDS_EQ(errands->ends, errands->accepted);
    /* Again, and closed at once. */
    errands->accepted += sweep_tell(gyre_loop_run_in_executor(loop, errands->executor, work,
                                                              come_home, errands)) == 0;
    gyre_loop_destroy(loop);
    HOLDS_EQ(errands->ends, errands->accepted);
    HOLDS(errands->accepted == WORKS + 1 || sweep_told() != 0);
}

static void use_own_executor(const void *arg)
{
    struct gyre_loop *loop = make_loop();
    struct errands errands = {.executor = NULL};
    (void)arg;
    if (loop != NULL)
        send_errands(loop, &errands);
}

static void use_executor(const void *arg)
{
    struct gyre_executor_options options;
    struct errands errands = {.executor = NULL};
    (void)arg;
    gyre_executor_options_init(&options);
    options.threads = 2;
    if (sweep_tell(gyre_executor_create(&options, &errands.executor)) != 0)
        return;
    struct gyre_loop *loop = make_loop();
    if (loop != NULL)
        send_errands(loop, &errands);
    gyre_executor_destroy(errands.executor);
}

static void work_of_the_loops_own_executor_ends_once(void)
{
    sweep(use_own_executor, NULL);
}

static void an_executor_starts_whole_or_leaves_nothing(void)
{
    sweep(use_executor, NULL);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(what_waits_for_futures_ends_once),
    PLAIN_CASE(a_periodic_keeps_its_calls),
    PLAIN_CASE(work_of_the_loops_own_executor_ends_once),
    PLAIN_CASE(an_executor_starts_whole_or_leaves_nothing),
};

PLAIN_MAIN(cases)
