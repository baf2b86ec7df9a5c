/* SPDX-License-Identifier: MIT */
/*
 * periodic - rules T90 to T99.
 */
#include "support.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    CALLS_MAX = 64
};

#define PERIOD (10 * MS_NS)

/* A periodic whose calls note the time, and do what the test wants in some of them. */
struct beat {
    struct scene scene;
    struct gyre_periodic periodic;
    unsigned calls;
    unsigned cancelled;
    uint64_t at_ns[CALLS_MAX]; /* of the calls, from the start on */
    uint64_t due_ns[CALLS_MAX]; /* of the waits' ends */
    unsigned waits;
    uint64_t began_ns;
    unsigned last; /* the call that stops the periodic; 0: none */
    void (*then)(struct beat *beat); /* in each call */
    const uint64_t *late_ns; /* if not NULL: when each wait ends, from the start on */
    int result;
    struct gyre_future *future; /* the test's */
    struct gyre_context *context; /* likewise */
};

static int on_beat(struct gyre_loop *loop, int status, void *arg)
{
    struct beat *beat = arg;
    (void)loop;
    if (status != 0) {
        cr_assert_eq(status, -ECANCELED);
        beat->cancelled++;
        return 0;
    }
    cr_assert_lt(beat->calls, CALLS_MAX);
    beat->at_ns[beat->calls++] = beat->scene.now_ns - beat->began_ns;
    if (beat->then != NULL)
        beat->then(beat);
    if (beat->calls == beat->last)
        cr_assert_eq(gyre_periodic_stop(&beat->periodic), 0);
    return beat->result;
}

static void on_beat_wait(struct scene *scene)
{
    struct beat *beat = scene->data;
    if (beat->waits == CALLS_MAX)
        return;
    beat->due_ns[beat->waits] = scene->now_ns - beat->began_ns;
    if (beat->late_ns != NULL)
        scene->now_ns = beat->began_ns + beat->late_ns[beat->waits];
    beat->waits++;
}

static void open_beat(struct beat *beat, unsigned last)
{
    *beat = (struct beat){.last = last};
    scene_open(&beat->scene);
    beat->scene.data = beat;
    beat->scene.on_wait = on_beat_wait;
    beat->began_ns = beat->scene.now_ns;
    cr_assert_eq(gyre_periodic_init(&beat->periodic, beat->scene.loop, PERIOD, on_beat, beat), 0);
}

static void start_beat(struct beat *beat)
{
    cr_assert_eq(gyre_periodic_start(&beat->periodic), 0);
}

static void run_beat(struct beat *beat)
{
    start_beat(beat);
    cr_assert_eq(scene_run(&beat->scene), 0);
}

/* ---- T90, T91 -------------------------------------------------------------------------------- */

GYRE_TEST(periodic, T90_a_period_must_be_positive)
{
    struct beat beat;
    struct gyre_periodic other;
    open_beat(&beat, 1);
    struct gyre_loop *loop = beat.scene.loop;
    cr_assert_eq(gyre_periodic_init(&other, loop, 0, on_beat, NULL), -EINVAL);
    cr_assert_eq(gyre_periodic_init(&other, loop, GYRE_NEVER, on_beat, NULL), -EINVAL);
    cr_assert_eq(gyre_periodic_init(&other, loop, 1, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_periodic_init(&other, loop, 1, on_beat, NULL), 0);
    scene_close(&beat.scene);
}

GYRE_TEST(periodic, T91_the_first_call_comes_one_period_after_start)
{
    struct beat beat;
    open_beat(&beat, 3);
    run_beat(&beat);
    cr_assert_eq(beat.calls, 3);
    cr_assert_eq(beat.at_ns[0], PERIOD);
    cr_assert_eq(beat.at_ns[1], 2 * PERIOD);
    cr_assert_eq(beat.at_ns[2], 3 * PERIOD);
    scene_close(&beat.scene);
}

/* ---- T92 ------------------------------------------------------------------------------------- */

GYRE_TEST(periodic, T92_late_calls_do_not_drift_and_missed_periods_are_skipped)
{
    static const uint64_t late[] = {10 * MS_NS, 20500 * US_NS, 49900 * US_NS,
                                    50 * MS_NS, 60 * MS_NS,    60 * MS_NS};
    static const uint64_t due[] = {10 * MS_NS, 20 * MS_NS, 30 * MS_NS, 50 * MS_NS, 60 * MS_NS};
    struct beat beat;
    open_beat(&beat, 5);
    beat.late_ns = late;
    beat.waits = 0;
    start_beat(&beat);
    cr_assert_eq(scene_run_polls(&beat.scene, 6), 0);
    for (int i = 0; i < 5; i++) {
        cr_assert_eq(beat.at_ns[i], late[i]);
        cr_assert_eq(beat.due_ns[i], due[i]);
    }
    scene_close(&beat.scene);
}

static void take_long(struct beat *beat)
{
    beat->scene.now_ns += 2 * PERIOD + PERIOD / 2;
}

GYRE_TEST(periodic, T92_a_long_call_skips_the_periods_that_it_takes)
{
    struct beat beat;
    open_beat(&beat, 3);
    beat.then = take_long;
    run_beat(&beat);
    cr_assert_eq(beat.at_ns[0], PERIOD);
    cr_assert_eq(beat.at_ns[1], 4 * PERIOD);
    cr_assert_eq(beat.at_ns[2], 7 * PERIOD);
    scene_close(&beat.scene);
}

/* ---- T93 ------------------------------------------------------------------------------------- */

static void stop_twice(struct beat *beat)
{
    cr_assert(gyre_periodic_is_running(&beat->periodic));
    cr_assert_eq(gyre_periodic_stop(&beat->periodic), 0);
    cr_assert_not(gyre_periodic_is_running(&beat->periodic));
    cr_assert_eq(gyre_periodic_stop(&beat->periodic), 0);
}

GYRE_TEST(periodic, T93_stop_is_legal_inside_twice_and_when_not_started)
{
    struct beat beat;
    open_beat(&beat, 0);
    cr_assert_not(gyre_periodic_is_running(&beat.periodic));
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    beat.then = stop_twice;
    run_beat(&beat);
    cr_assert_eq(beat.calls, 1);
    start_beat(&beat);
    cr_assert(gyre_periodic_is_running(&beat.periodic));
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    cr_assert_eq(scene_run(&beat.scene), 0);
    cr_assert_eq(beat.calls, 1);
    scene_close(&beat.scene);
    cr_assert_eq(beat.cancelled, 0);
}

struct freed {
    struct gyre_periodic periodic;
    unsigned *calls;
};

static int free_itself(struct gyre_loop *loop, int status, void *arg)
{
    struct freed *freed = arg;
    (void)loop;
    (void)status;
    ++*freed->calls;
    cr_assert_eq(gyre_periodic_stop(&freed->periodic), 0);
    memset(freed, 0xa5, sizeof(*freed));
    free(freed);
    return -EIO;
}

static void ignore_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    struct gyre_failure *last = arg;
    (void)loop;
    *last = *failure;
}

GYRE_TEST(periodic, T93_its_own_call_may_free_it)
{
    struct scene scene;
    struct gyre_loop_options options;
    struct gyre_failure failure = {.error = 0};
    unsigned calls = 0;
    scene_options(&scene, &options);
    options.on_error = ignore_failure;
    options.on_error_arg = &failure;
    scene_open_with(&scene, &options);
    struct freed *freed = malloc(sizeof(*freed));
    cr_assert_not_null(freed);
    freed->calls = &calls;
    cr_assert_eq(gyre_periodic_init(&freed->periodic, scene.loop, PERIOD, free_itself, freed), 0);
    cr_assert_eq(gyre_periodic_start(&freed->periodic), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 1);
    cr_assert_eq(failure.error, -EIO);
    scene_close(&scene);
}

/* ---- T94 ------------------------------------------------------------------------------------- */

GYRE_TEST(periodic, T94_an_error_keeps_the_schedule)
{
    struct beat beat;
    struct gyre_loop_options options;
    struct gyre_failure failure = {.error = 0};
    beat = (struct beat){.last = 3};
    scene_options(&beat.scene, &options);
    options.on_error = ignore_failure;
    options.on_error_arg = &failure;
    scene_open_with(&beat.scene, &options);
    beat.began_ns = beat.scene.now_ns;
    beat.result = -EIO;
    cr_assert_eq(gyre_periodic_init(&beat.periodic, beat.scene.loop, PERIOD, on_beat, &beat), 0);
    run_beat(&beat);
    cr_assert_eq(beat.calls, 3);
    cr_assert_eq(beat.at_ns[2], 3 * PERIOD);
    cr_assert_eq(failure.kind, GYRE_FAILED_TIMER);
    cr_assert_eq(failure.error, -EIO);
    cr_assert_eq(failure.fn, on_beat, "the user's function is named");
    cr_assert_eq(failure.arg, &beat);
    scene_close(&beat.scene);
}

GYRE_TEST(periodic, T94_an_unwinding_keeps_it_too)
{
    struct beat beat;
    open_beat(&beat, 3);
    beat.result = GYRE_UNWIND;
    start_beat(&beat);
    for (unsigned i = 1; i <= 3; i++) {
        cr_assert_eq(scene_run(&beat.scene), GYRE_UNWIND);
        cr_assert_eq(beat.calls, i);
        cr_assert_eq(beat.at_ns[i - 1], i * PERIOD);
    }
    scene_close(&beat.scene);
}

/* ---- T95 ------------------------------------------------------------------------------------- */

/* Begins work in the first call; it ends in the fifth period. */
static void pend_first(struct beat *beat)
{
    if (beat->calls == 1)
        gyre_periodic_pend(&beat->periodic, beat->future);
}

static int end_work(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    cr_assert_eq(gyre_future_resolve(arg, -EIO, NULL), 0);
    return 0;
}

static void run_overlap(struct beat *beat, enum gyre_overlap overlap)
{
    uint64_t handle;
    open_beat(beat, 4);
    cr_assert_eq(gyre_future_create(&beat->future), 0);
    beat->then = pend_first;
    gyre_periodic_set_overlap(&beat->periodic, overlap);
    cr_assert_eq(gyre_loop_call_later(beat->scene.loop, 4 * PERIOD + PERIOD / 2, &handle, end_work,
                                      beat->future),
                 0);
    run_beat(beat);
    gyre_future_release(beat->future);
    scene_close(&beat->scene);
}

GYRE_TEST(periodic, T95_calls_that_overlap_with_pending_work_are_skipped)
{
    struct beat beat;
    run_overlap(&beat, GYRE_OVERLAP_SKIP);
    cr_assert_eq(beat.calls, 4);
    cr_assert_eq(beat.at_ns[0], PERIOD);
    cr_assert_eq(beat.at_ns[1], 5 * PERIOD, "the schedule went on");
    cr_assert_eq(beat.at_ns[2], 6 * PERIOD);
}

GYRE_TEST(periodic, T95_or_made_if_overlap_is_allowed)
{
    struct beat beat;
    run_overlap(&beat, GYRE_OVERLAP_ALLOW);
    cr_assert_eq(beat.calls, 4);
    cr_assert_eq(beat.at_ns[1], 2 * PERIOD);
    cr_assert_eq(beat.at_ns[3], 4 * PERIOD);
}

GYRE_TEST(periodic, T95_pending_work_is_let_go_by_stop_and_close)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct beat beat;
    open_beat(&beat, 0);
    for (int i = 0; i < 2; i++) {
        cr_assert_eq(gyre_future_create(&beat.future), 0);
        start_beat(&beat);
        gyre_periodic_pend(&beat.periodic, beat.future);
        gyre_periodic_pend(&beat.periodic, beat.future); /* the same again */
        gyre_future_release(beat.future);
        if (i == 0)
            cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    }
    scene_close(&beat.scene);
    cr_assert_eq(beat.cancelled, 1);
    cr_assert_eq(memory.blocks, 0);
}

static void stop_and_pend(struct beat *beat)
{
    cr_assert_eq(gyre_periodic_stop(&beat->periodic), 0);
    gyre_periodic_pend(&beat->periodic, beat->future);
}

GYRE_TEST(periodic, T95_one_that_is_stopped_keeps_no_pending_work)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct beat beat;
    open_beat(&beat, 0);
    cr_assert_eq(gyre_future_create(&beat.future), 0);
    gyre_periodic_pend(&beat.periodic, beat.future);
    beat.then = stop_and_pend;
    run_beat(&beat);
    cr_assert_eq(beat.calls, 1);
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    gyre_future_release(beat.future);
    scene_close(&beat.scene);
    cr_assert_eq(memory.blocks, 0);
}

static void pend_other(void *value)
{
    struct beat *beat = value;
    gyre_periodic_pend(&beat->periodic, beat->future);
}

static void start_once_more(void *value)
{
    struct beat *beat = value;
    cr_assert_eq(gyre_periodic_start(&beat->periodic), 0);
}

static void stop_at_once(void *value)
{
    struct beat *beat = value;
    cr_assert_eq(gyre_periodic_stop(&beat->periodic), 0);
}

/* Has a done future be pending, whose last reference that is. */
static void pend_done(struct beat *beat, gyre_release_fn *release)
{
    struct gyre_future *future;
    cr_assert_eq(gyre_future_create(&future), 0);
    gyre_future_set_release(future, release);
    cr_assert_eq(gyre_future_resolve(future, 0, beat), 0);
    gyre_periodic_pend(&beat->periodic, future);
    gyre_future_release(future);
}

GYRE_TEST(periodic, T95_release_of_pending_work_may_pend_start_and_stop)
{
    struct memory_count memory;
    memset(&memory, 0, sizeof(memory));
    count_memory(&memory);
    struct beat beat;
    open_beat(&beat, 0);
    start_beat(&beat);
    cr_assert_eq(gyre_future_create(&beat.future), 0);
    pend_done(&beat, pend_other);
    cr_assert_eq(gyre_periodic_start(&beat.periodic), 0);
    gyre_future_release(beat.future); /* what was pended has another */
    pend_done(&beat, start_once_more);
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    cr_assert(gyre_periodic_is_running(&beat.periodic));
    pend_done(&beat, stop_at_once);
    cr_assert_eq(scene_run(&beat.scene), 0);
    cr_assert_eq(beat.calls, 1);
    cr_assert(!gyre_periodic_is_running(&beat.periodic));
    scene_close(&beat.scene);
    cr_assert_eq(memory.blocks, 0);
}

/* ---- T96, T97 -------------------------------------------------------------------------------- */

static void step_back(struct beat *beat)
{
    if (beat->calls == 1)
        beat->scene.now_ns -= 5 * MS_NS;
}

GYRE_TEST(periodic, T96_a_clock_that_steps_back_fires_once)
{
    struct beat beat;
    open_beat(&beat, 3);
    beat.then = step_back;
    run_beat(&beat);
    cr_assert_eq(beat.calls, 3);
    cr_assert_eq(beat.at_ns[0], PERIOD);
    cr_assert_eq(beat.at_ns[1], 2 * PERIOD, "not at the same schedule again");
    cr_assert_eq(beat.at_ns[2], 3 * PERIOD);
    scene_close(&beat.scene);
}

static void start_again(struct beat *beat)
{
    if (beat->calls != 2)
        return;
    beat->scene.now_ns += MS_NS;
    start_beat(beat);
}

GYRE_TEST(periodic, T97_start_twice_restarts)
{
    struct beat beat;
    open_beat(&beat, 4);
    beat.then = start_again;
    start_beat(&beat);
    beat.scene.now_ns += PERIOD / 2;
    run_beat(&beat);
    cr_assert_eq(beat.at_ns[0], PERIOD / 2 + PERIOD);
    cr_assert_eq(beat.at_ns[1], PERIOD / 2 + 2 * PERIOD);
    cr_assert_eq(beat.at_ns[2], PERIOD / 2 + 3 * PERIOD + MS_NS, "inside its call as well");
    cr_assert_eq(beat.calls, 4);
    scene_close(&beat.scene);
}

/* ---- T99 ------------------------------------------------------------------------------------- */

GYRE_TEST(periodic, T99_jitter_varies_each_step_around_the_period)
{
    struct beat beat;
    unsigned different = 0;
    uint64_t before = 0;
    open_beat(&beat, CALLS_MAX);
    cr_assert_eq(gyre_periodic_set_jitter(&beat.periodic, -0.1), -EINVAL);
    cr_assert_eq(gyre_periodic_set_jitter(&beat.periodic, 1.1), -EINVAL);
    cr_assert_eq(gyre_periodic_set_jitter(&beat.periodic, NAN), -EINVAL);
    cr_assert_eq(gyre_periodic_set_jitter(&beat.periodic, 0.5), 0);
    run_beat(&beat);
    cr_assert_eq(beat.calls, CALLS_MAX);
    for (int i = 0; i < CALLS_MAX; i++) {
        uint64_t step = beat.at_ns[i] - before;
        before = beat.at_ns[i];
        cr_assert_geq(step, PERIOD * 3 / 4);
        cr_assert_leq(step, PERIOD * 5 / 4);
        different += step != PERIOD;
    }
    cr_assert_gt(different, CALLS_MAX / 2);
    scene_close(&beat.scene);
}

/* ---- contexts and close ---------------------------------------------------------------------- */

static void enter_none(struct beat *beat)
{
    cr_assert_eq(gyre_context_current(), beat->context);
    (void)gyre_context_enter(NULL);
}

GYRE_TEST(periodic, T106_every_call_runs_in_the_context_of_the_start)
{
    struct beat beat;
    struct gyre_context_options options;
    struct gyre_context *context;
    open_beat(&beat, 3);
    gyre_context_options_init(&options);
    cr_assert_eq(gyre_context_create(NULL, &options, &context), 0);
    beat.context = context;
    beat.then = enter_none;
    struct gyre_context *before = gyre_context_enter(context);
    start_beat(&beat);
    (void)gyre_context_enter(before);
    gyre_context_release(context);
    cr_assert_eq(scene_run(&beat.scene), 0);
    cr_assert_eq(beat.calls, 3);
    scene_close(&beat.scene);
}

/* Starts the periodic in a context that nobody else holds, and whose release is `release`. */
static void start_in_last(struct beat *beat, gyre_context_release_fn *release)
{
    struct gyre_context *context = NULL;
    struct gyre_context_options options;
    gyre_context_options_init(&options);
    options.release = release;
    options.arg = beat;
    cr_assert_eq(gyre_context_create(NULL, &options, &context), 0);
    (void)gyre_context_enter(context);
    start_beat(beat);
    (void)gyre_context_enter(NULL);
    gyre_context_release(context);
}

static void stop_in_release(void *value, void *arg)
{
    struct beat *beat = arg;
    (void)value;
    cr_assert_eq(gyre_periodic_stop(&beat->periodic), 0);
}

static void start_in_release(void *value, void *arg)
{
    (void)value;
    start_beat(arg);
}

GYRE_TEST(periodic, T106_release_of_its_context_may_stop_and_start_it)
{
    struct beat beat;
    open_beat(&beat, 1);
    start_in_last(&beat, stop_in_release);
    start_beat(&beat); /* in no context */
    cr_assert_not(gyre_periodic_is_running(&beat.periodic));
    cr_assert_eq(scene_run(&beat.scene), 0);
    cr_assert_eq(beat.calls, 0);
    start_in_last(&beat, start_in_release);
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    cr_assert(gyre_periodic_is_running(&beat.periodic));
    cr_assert_eq(scene_run(&beat.scene), 0);
    cr_assert_eq(beat.calls, 1);
    cr_assert_not(gyre_periodic_is_running(&beat.periodic));
    scene_close(&beat.scene);
}

static void wipe_in_release(void *value, void *arg)
{
    struct beat *beat = arg;
    (void)value;
    cr_assert_not(gyre_periodic_is_running(&beat->periodic));
    memset(&beat->periodic, 0, sizeof(beat->periodic)); /* its memory is another's now */
    beat->cancelled++;
}

GYRE_TEST(periodic, T106_release_of_its_context_may_free_it)
{
    static const struct gyre_periodic wiped;
    struct beat beat;
    open_beat(&beat, 1);
    start_in_last(&beat, wipe_in_release);
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0);
    cr_assert_eq(beat.cancelled, 1);
    cr_assert_eq(memcmp(&beat.periodic, &wiped, sizeof(wiped)), 0);
    scene_close(&beat.scene);
}

GYRE_TEST(periodic, T66a_a_closing_loop_cancels_one_that_is_never_due)
{
    struct beat beat;
    open_beat(&beat, 0);
    struct gyre_loop *loop = beat.scene.loop;
    cr_assert_eq(gyre_periodic_init(&beat.periodic, loop, GYRE_NEVER - 1, on_beat, &beat), 0);
    start_beat(&beat);
    cr_assert_eq(scene_run_polls(&beat.scene, 3), 0);
    cr_assert_eq(gyre_loop_close(loop, 0), 0);
    cr_assert_eq(beat.calls, 0);
    cr_assert_eq(beat.cancelled, 1);
    cr_assert_not(gyre_periodic_is_running(&beat.periodic));
    scene_close(&beat.scene);
}

GYRE_TEST(periodic, T66a_a_closing_loop_cancels_it_once)
{
    struct beat beat;
    open_beat(&beat, 0);
    start_beat(&beat);
    cr_assert_eq(gyre_loop_close(beat.scene.loop, 0), 0);
    cr_assert_eq(beat.cancelled, 1);
    cr_assert_not(gyre_periodic_is_running(&beat.periodic));
    cr_assert_eq(gyre_periodic_start(&beat.periodic), -ESHUTDOWN);
    cr_assert_not(gyre_periodic_is_running(&beat.periodic));
    scene_close(&beat.scene);
    cr_assert_eq(gyre_periodic_stop(&beat.periodic), 0, "the loop may be gone");
}
