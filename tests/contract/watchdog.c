/* SPDX-License-Identifier: MIT */
/*
 * watchdog - rules T70 to T74, with the time as an argument: no case sleeps.
 *
 * The thresholds are hours, so that the watchdog's thread sleeps through the case. What it would do
 * an hour later is done at once by gyre__watchdog_look, with that hour as the time, by whichever
 * thread the case says: most often the loop's own, in one of its calls.
 */
#include "support.h"

#include <errno.h>
#include <string.h>

#include "loop/loop.h"

#define HOUR_NS (3600 * SECOND_NS)

struct seen {
    struct scene scene;
    unsigned reports;
    unsigned looks;
    struct gyre_loop *loop; /* of the last report */
    uint64_t duration_ns;
    unsigned stack_count;
    unsigned dues[3]; /* what looks in the stretches of a run have found */
    uint64_t stamps[3]; /* of the stretches */
    unsigned waits_busy; /* waits in which the loop was taken for busy */
    unsigned removed; /* in a report */
};

static void note(struct gyre_loop *loop, const struct gyre_blocking *blocking, void *arg)
{
    struct seen *seen = arg;
    seen->reports++;
    seen->loop = loop;
    seen->duration_ns = blocking->duration_ns;
    seen->stack_count = blocking->stack_count;
}

static uint64_t stamp_of(const struct gyre_loop *loop)
{
    return atomic_load_explicit(&loop->watch.busy_ns, memory_order_relaxed);
}

static void look_after(struct seen *seen, uint64_t ns)
{
    seen->looks++;
    (void)gyre__watchdog_look(stamp_of(seen->scene.loop) + ns);
}

static void begin(struct seen *seen)
{
    *seen = (struct seen){.reports = 0};
    scene_open(&seen->scene);
    seen->scene.data = seen;
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen->scene.loop, HOUR_NS, note, seen), 0);
}

static void finish(struct seen *seen)
{
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen->scene.loop, 0, NULL, NULL), 0);
    scene_close(&seen->scene);
}

static void post(struct seen *seen, gyre_fn *fn)
{
    cr_assert_eq(gyre_loop_add_callback(seen->scene.loop, fn, seen), 0);
}

/* ---- T70, T71 -------------------------------------------------------------------------------- */

static int look_around_the_threshold(struct gyre_loop *loop, int status, void *arg)
{
    struct seen *seen = arg;
    (void)loop;
    (void)status;
    look_after(seen, HOUR_NS - 1);
    seen->dues[0] = seen->reports;
    look_after(seen, HOUR_NS);
    seen->dues[1] = seen->reports;
    look_after(seen, 2 * HOUR_NS);
    seen->dues[2] = seen->reports;
    return 0;
}

GYRE_TEST(watchdog, T70_a_stretch_is_reported_once_when_it_reaches_the_threshold)
{
    struct seen seen;
    begin(&seen);
    post(&seen, look_around_the_threshold);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(seen.dues[0], 0);
    cr_assert_eq(seen.dues[1], 1);
    cr_assert_eq(seen.dues[2], 1);
    cr_assert_eq(seen.loop, seen.scene.loop);
    cr_assert_eq(seen.duration_ns, HOUR_NS);
    finish(&seen);
}

static int look_late(struct gyre_loop *loop, int status, void *arg)
{
    struct seen *seen = arg;
    (void)status;
    if (seen->looks < 3)
        seen->stamps[seen->looks] = stamp_of(loop);
    look_after(seen, 2 * HOUR_NS);
    return 0;
}

static int look_late_and_again(struct gyre_loop *loop, int status, void *arg)
{
    (void)look_late(loop, status, arg);
    return gyre_loop_add_callback(loop, look_late, arg);
}

GYRE_TEST(watchdog, T70_each_poll_begins_another_stretch)
{
    struct seen seen;
    begin(&seen);
    post(&seen, look_late_and_again); /* its second look comes behind a poll that did not wait */
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(seen.looks, 2);
    cr_assert_eq(seen.reports, 2);
    cr_assert_lt(seen.stamps[0], seen.stamps[1]);
    finish(&seen);
}

static void look_while_it_waits(struct scene *scene)
{
    struct seen *seen = scene->data;
    seen->waits_busy += stamp_of(scene->loop) != 0;
    look_after(seen, GYRE_NEVER / 2);
}

GYRE_TEST(watchdog, T70_waiting_never_counts)
{
    struct seen seen;
    uint64_t handle;
    begin(&seen);
    seen.scene.on_wait = look_while_it_waits;
    cr_assert_eq(gyre_loop_call_later(seen.scene.loop, 10 * MS_NS, &handle, say_word,
                                      word_of(&seen.scene, "late")),
                 0);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_str_eq(seen.scene.text, "late");
    cr_assert_geq(seen.looks, 2);
    cr_assert_eq(seen.waits_busy, 0);
    cr_assert_eq(seen.reports, 0);
    look_after(&seen, GYRE_NEVER / 2); /* nobody is inside */
    cr_assert_eq(seen.reports, 0);
    finish(&seen);
}

GYRE_TEST(watchdog, T71_the_time_from_the_runs_begin_to_its_first_poll_counts)
{
    struct seen seen;
    begin(&seen);
    post(&seen, look_late);
    post(&seen, stop_loop); /* so that it never polls */
    cr_assert_eq(gyre_loop_run(seen.scene.loop), 0);
    struct gyre_loop_stats stats = stats_of(seen.scene.loop);
    cr_assert_eq(stats.polls, 0);
    cr_assert_eq(seen.reports, 1);
    cr_assert_eq(stamp_of(seen.scene.loop), 0);
    finish(&seen);
}

/* As a signal has it: the wait fails with -EINTR, and what comes then is looked at. */
static int wait_interrupted(struct gyre_loop *loop, uint64_t wait_ns, void *arg)
{
    struct seen *seen = arg;
    (void)wait_ns;
    if (seen->removed++ > 0)
        return gyre_loop_stop(loop);
    return gyre_loop_add_callback(loop, look_late, arg) == 0 ? -EINTR : -EIO;
}

GYRE_TEST(watchdog, T71_the_time_after_an_interrupted_wait_counts)
{
    struct seen seen = {.reports = 0};
    struct gyre_loop_options options;
    scene_options(&seen.scene, &options);
    options.wait = wait_interrupted;
    options.wait_arg = &seen;
    scene_open_with(&seen.scene, &options);
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen.scene.loop, HOUR_NS, note, &seen), 0);
    cr_assert_eq(gyre_loop_run(seen.scene.loop), 0);
    cr_assert_eq(seen.looks, 1);
    cr_assert_eq(seen.reports, 1);
    finish(&seen);
}

static int run_nested_and_look(struct gyre_loop *loop, int status, void *arg)
{
    struct seen *seen = arg;
    (void)status;
    cr_assert_eq(gyre_loop_stop(loop), 0);
    cr_assert_eq(gyre_loop_run(loop), 0); /* at once: the stop was for it */
    post(seen, look_late);
    post(seen, stop_loop);
    cr_assert_eq(gyre_loop_run(loop), 0);
    seen->stamps[1] = stamp_of(loop);
    (void)look_late(loop, 0, arg);
    return 0;
}

GYRE_TEST(watchdog, T71_a_nested_run_that_does_not_poll_is_a_part_of_the_stretch)
{
    struct seen seen;
    begin(&seen);
    post(&seen, run_nested_and_look);
    cr_assert_eq(gyre_loop_run(seen.scene.loop), 0);
    cr_assert_eq(seen.looks, 2);
    cr_assert_eq(seen.stamps[0], seen.stamps[1]);
    cr_assert_eq(seen.reports, 1);
    finish(&seen);
}

/* ---- T72, T74 -------------------------------------------------------------------------------- */

static void never_reported(struct gyre_loop *loop, const struct gyre_blocking *blocking, void *arg)
{
    (void)loop;
    (void)blocking;
    ++*(unsigned *)arg;
}

GYRE_TEST(watchdog, T72_no_function_is_off)
{
    struct seen seen;
    begin(&seen);
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen.scene.loop, HOUR_NS, NULL, &seen), 0);
    post(&seen, look_late);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(seen.looks, 1);
    cr_assert_eq(seen.reports, 0);
    unsigned calls = 0;
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen.scene.loop, 0, never_reported, &calls), 0);
    post(&seen, look_late);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(calls, 0);
    finish(&seen);
}

GYRE_TEST(watchdog, T74_a_second_threshold_warns_with_the_stack)
{
    struct seen seen;
    struct log_record record = {.lines = 0};
    begin(&seen);
    record_log(&record);
    cr_assert_eq(gyre_loop_set_blocking_log_threshold(seen.scene.loop, HOUR_NS + 1), 0);
    post(&seen, look_around_the_threshold);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(seen.reports, 1);
    cr_assert_gt(seen.stack_count, 0); /* of its own thread, which answers within the call */
    cr_assert_eq(record.level, GYRE_LOG_WARNING);
    cr_assert_gt(record.lines, 1);
    cr_assert_eq(strncmp(record.line, "  #", 3), 0);
    cr_assert_eq(gyre_loop_set_blocking_log_threshold(seen.scene.loop, 0), 0);
    finish(&seen);
}

/* ---- T73 ------------------------------------------------------------------------------------- */

static int switch_off_and_look(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    cr_assert_eq(gyre_loop_set_blocking_threshold(loop, 0, NULL, NULL), 0);
    return look_late(loop, 0, arg);
}

GYRE_TEST(watchdog, T73_switching_it_off_in_a_stretch_ends_it_for_that_stretch)
{
    struct seen seen;
    begin(&seen);
    post(&seen, switch_off_and_look);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(seen.looks, 1);
    cr_assert_gt(seen.stamps[0], 0); /* it was a stretch */
    cr_assert_eq(seen.reports, 0);
    finish(&seen);
}

static void switch_off(struct gyre_loop *loop, const struct gyre_blocking *blocking, void *arg)
{
    struct seen *seen = arg;
    note(loop, blocking, arg);
    seen->removed += gyre_loop_set_blocking_threshold(loop, 0, NULL, NULL) == 0;
}

GYRE_TEST(watchdog, T73_a_report_may_switch_itself_off)
{
    struct seen seen;
    begin(&seen);
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen.scene.loop, HOUR_NS, switch_off, &seen), 0);
    post(&seen, look_late_and_again);
    cr_assert_eq(scene_run(&seen.scene), 0);
    cr_assert_eq(seen.looks, 2);
    cr_assert_eq(seen.reports, 1);
    cr_assert_eq(seen.removed, 1);
    finish(&seen);
}

GYRE_TEST(watchdog, T73_a_closed_loop_is_not_watched)
{
    struct seen seen;
    begin(&seen);
    cr_assert_eq(gyre_loop_close(seen.scene.loop, 0), 0);
    cr_assert_eq(gyre__watchdog_look(GYRE_NEVER / 2), GYRE_NEVER);
    cr_assert_eq(gyre_loop_set_blocking_threshold(seen.scene.loop, HOUR_NS, note, &seen),
                 -ESHUTDOWN);
    cr_assert_eq(gyre_loop_set_blocking_log_threshold(seen.scene.loop, 0), -ESHUTDOWN);
    cr_assert_eq(seen.reports, 0);
    scene_close(&seen.scene);
}
