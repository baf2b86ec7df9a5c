/* SPDX-License-Identifier: MIT */
/*
 * events - rules T26 to T33: what handlers may do inside a batch.
 *
 * Backends report a batch in orders of their own, so that most of these tests have two descriptors
 * that do the same: whichever is called first acts on the other.
 */
#include "support.h"

#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    MANY = 900 /* descriptors ready at once: more than any batch holds, and few enough for all */
};

/* Two pipes with a byte each, watched for reading; each watch knows the other. */
struct two {
    struct scene scene;
    struct watch watches[2];
    int writers[2];
};

static void two_open(struct two *two, void (*then)(struct watch *watch))
{
    scene_open(&two->scene);
    for (int i = 0; i < 2; i++) {
        two->watches[i] = (struct watch){
            .scene = &two->scene,
            .name = i == 0 ? "a" : "b",
            .fd = make_readable(&two->writers[i]),
            .then = then,
            .other = &two->watches[1 - i],
        };
        watch_fd(&two->watches[i], GYRE_READ);
    }
}

static void two_close(struct two *two)
{
    scene_close(&two->scene);
    for (int i = 0; i < 2; i++)
        close_pipe((int[]){two->watches[i].fd, two->writers[i]});
}

static unsigned calls_of(const struct two *two)
{
    return two->watches[0].calls + two->watches[1].calls;
}

/* ---- T26 to T28 ------------------------------------------------------------------------------ */

static void remove_other(struct watch *watch)
{
    if (gyre_loop_remove_handler(watch->scene->loop, watch->other->fd) != 0)
        say(watch->scene, "not removed");
    watch->then = NULL;
}

GYRE_TEST(events, T26_removal_purges_the_pending_event_of_the_batch)
{
    struct two two;
    two_open(&two, remove_other);
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert_eq(calls_of(&two), 1, "%s", two.scene.text);
    cr_assert_eq(stats_of(two.scene.loop).events_stale, 1);
    cr_assert_eq(stats_of(two.scene.loop).rebuilds, 0, "the system has forgotten it");
    cr_assert_eq(scene_run_polls(&two.scene, 2), 0);
    cr_assert_eq(calls_of(&two), 3);
    cr_assert_eq(stats_of(two.scene.loop).events_stale, 1);
    two_close(&two);
}

static void replace_other(struct watch *watch)
{
    static struct watch replacement;
    replacement = *watch->other;
    replacement.name = "new";
    replacement.then = NULL;
    watch->then = NULL;
    struct gyre_loop *loop = watch->scene->loop;
    if (gyre_loop_remove_handler(loop, replacement.fd) != 0 ||
        gyre_loop_add_handler(loop, replacement.fd, GYRE_READ, watch_handler, &replacement) != 0)
        say(watch->scene, "not replaced");
}

GYRE_TEST(events, T27_handler_registered_anew_does_not_see_the_old_event)
{
    struct two two;
    two_open(&two, replace_other);
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert_eq(calls_of(&two), 1, "%s", two.scene.text);
    cr_assert_null(strstr(two.scene.text, "new"));
    cr_assert_eq(stats_of(two.scene.loop).events_stale, 1);
    hush(&two.scene);
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert_eq(calls_of(&two), 2);
    cr_assert_not_null(strstr(two.scene.text, "new:r"), "it is ready in the next poll");
    two_close(&two);
}

static void mute_other(struct watch *watch)
{
    if (gyre_loop_update_handler(watch->scene->loop, watch->other->fd, GYRE_NONE) != 0)
        say(watch->scene, "not muted");
    watch->then = watch->other->then = NULL;
}

GYRE_TEST(events, T28_update_does_not_purge_what_was_fetched)
{
    struct two two;
    two_open(&two, mute_other);
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert_eq(calls_of(&two), 2, "the muted one is still told: %s", two.scene.text);
    cr_assert_eq(two.watches[0].events, GYRE_READ, "with its old bits");
    cr_assert_eq(two.watches[1].events, GYRE_READ, "with its old bits");
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert_eq(calls_of(&two), 3, "and only that once");
    cr_assert_eq(stats_of(two.scene.loop).events_stale, 0);
    two_close(&two);
}

/* ---- T29 ------------------------------------------------------------------------------------- */

static void remove_self(struct watch *watch)
{
    if (gyre_loop_remove_handler(watch->scene->loop, watch->fd) != 0)
        say(watch->scene, "not removed");
}

GYRE_TEST(events, T29_handler_may_remove_itself)
{
    struct two two;
    two_open(&two, remove_self);
    cr_assert_eq(scene_run_polls(&two.scene, 2), 0);
    cr_assert_eq(calls_of(&two), 2);
    cr_assert_eq(stats_of(two.scene.loop).events_stale, 0);
    cr_assert_eq(gyre_loop_remove_handler(two.scene.loop, two.watches[0].fd), -ENOENT);
    two_close(&two);
}

static void close_self(struct watch *watch)
{
    (void)close(watch->fd); /* the test looks at what comes of it */
}

GYRE_TEST(events, T29_handler_may_close_its_descriptor)
{
    struct scene scene;
    scene_open(&scene);
    int writer;
    int reader = make_readable(&writer);
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = reader, .then = close_self};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 2), 0);
    cr_assert_eq(watch.calls, 1);
    cr_assert_eq(gyre_loop_remove_handler(scene.loop, reader), -ENOENT);
    cr_assert_eq(stats_of(scene.loop).rebuilds, 0);
    scene_close(&scene);
    (void)close(writer); /* nobody reads it */
}

static void add_other(struct watch *watch)
{
    watch_fd(watch->other, GYRE_READ);
    watch->then = NULL;
}

GYRE_TEST(events, T29_handler_added_in_a_batch_is_first_called_after_the_next_poll)
{
    struct scene scene;
    scene_open(&scene);
    int writers[2];
    struct watch late = {.scene = &scene, .name = "late", .fd = make_readable(&writers[1])};
    struct watch first = {
        .scene = &scene,
        .name = "first",
        .fd = make_readable(&writers[0]),
        .then = add_other,
        .other = &late,
    };
    watch_fd(&first, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "first:r");
    cr_assert_eq(late.calls, 0);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_eq(late.calls, 1);
    scene_close(&scene);
    close_pipe((int[]){first.fd, writers[0]});
    close_pipe((int[]){late.fd, writers[1]});
}

/* ---- T30 ------------------------------------------------------------------------------------- */

/* Registers eight pipes, makes them ready in another order, and notes the order of the calls. */
static void play(struct scene *scene)
{
    static const int order[] = {3, 0, 7, 5, 1, 6, 2, 4};
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    struct watch watches[8];
    int fds[8][2];
    scene_open(scene);
    for (int i = 0; i < 8; i++) {
        make_pipe(fds[i]);
        watches[i] = (struct watch){.scene = scene, .name = names[i], .fd = fds[i][0]};
        watch_fd(&watches[i], GYRE_READ);
    }
    for (int i = 0; i < 8; i++)
        cr_assert_eq(write(fds[order[i]][1], "x", 1), 1);
    cr_assert_eq(scene_run_polls(scene, 2), 0);
    scene_close(scene);
    for (int i = 0; i < 8; i++)
        close_pipe(fds[i]);
}

GYRE_TEST(events, T30_order_inside_a_batch_is_deterministic)
{
    struct scene first;
    play(&first);
    cr_assert_eq(strlen(first.text), 16 * strlen("0:r ") - 1, "each once a poll: %s", first.text);
    for (int i = 0; i < 5; i++) {
        struct scene again;
        play(&again);
        cr_assert_str_eq(again.text, first.text);
    }
}

/* ---- T31 ------------------------------------------------------------------------------------- */

/* Once: ends the run and begins another inside it. */
static void nest(struct watch *watch)
{
    struct scene *scene = watch->scene;
    watch->then = watch->other->then = NULL;
    say(scene, "[");
    (void)gyre_loop_stop(scene->loop);
    if (gyre_loop_run(scene->loop) != 0 || gyre_loop_run(scene->loop) != 0)
        say(scene, "no run");
    say(scene, "]");
}

/* As nest, and the inner run is ended by a callback, before it comes to the batch. */
static void nest_and_leave(struct watch *watch)
{
    if (gyre_loop_add_callback(watch->scene->loop, stop_loop, NULL) != 0)
        say(watch->scene, "no callback");
    nest(watch);
}

GYRE_TEST(events, T31_events_left_by_a_run_that_ended_are_served_later)
{
    struct two two;
    two_open(&two, nest_and_leave);
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert(strcmp(two.scene.text, "a:r [ ] b:r") == 0 ||
                  strcmp(two.scene.text, "b:r [ ] a:r") == 0,
              "%s", two.scene.text);
    cr_assert_eq(stats_of(two.scene.loop).polls, 1);
    two_close(&two);
}

GYRE_TEST(events, T31_nested_run_serves_the_rest_of_the_batch_before_it_polls)
{
    struct two two;
    two_open(&two, nest);
    two.scene.waits_max = 2; /* the nested run's one wait is the scene's second */
    cr_assert_eq(gyre_loop_run(two.scene.loop), 0);
    /* The event that was left, then both again from the new poll, and none of them twice. */
    cr_assert_eq(calls_of(&two), 4, "%s", two.scene.text);
    cr_assert(strncmp(two.scene.text, "a:r [ b:r ", 10) == 0 ||
                  strncmp(two.scene.text, "b:r [ a:r ", 10) == 0,
              "%s", two.scene.text);
    cr_assert_str_eq(two.scene.text + two.scene.used - 1, "]", "nothing is left for the outer run");
    cr_assert_eq(stats_of(two.scene.loop).polls, 2);
    two_close(&two);
}

/* ---- T32, T33 -------------------------------------------------------------------------------- */

struct crowd {
    struct scene scene;
    struct watch watches[4];
    int writers[4];
};

/* Removes one of the others, mutes another, and adds a third. */
static void change_all(struct watch *watch)
{
    struct gyre_loop *loop = watch->scene->loop;
    struct crowd *crowd = watch->scene->data;
    struct watch *others[2];
    unsigned count = 0;
    for (int i = 0; i < 3; i++) {
        crowd->watches[i].then = NULL;
        if (&crowd->watches[i] != watch)
            others[count++] = &crowd->watches[i];
    }
    if (gyre_loop_remove_handler(loop, others[0]->fd) != 0 ||
        gyre_loop_update_handler(loop, others[1]->fd, GYRE_NONE) != 0)
        say(watch->scene, "refused");
    watch_fd(&crowd->watches[3], GYRE_READ);
}

GYRE_TEST(events, T32_any_handler_may_change_any_registration)
{
    static const char *const names[] = {"a", "b", "c", "added"};
    struct crowd crowd;
    scene_open(&crowd.scene);
    crowd.scene.data = &crowd;
    for (int i = 0; i < 4; i++) {
        crowd.watches[i] = (struct watch){
            .scene = &crowd.scene,
            .name = names[i],
            .fd = make_readable(&crowd.writers[i]),
            .then = i < 3 ? change_all : NULL,
        };
        if (i < 3)
            watch_fd(&crowd.watches[i], GYRE_READ);
    }
    cr_assert_eq(scene_run_polls(&crowd.scene, 1), 0);
    cr_assert_eq(stats_of(crowd.scene.loop).events, 2, "%s", crowd.scene.text);
    cr_assert_eq(stats_of(crowd.scene.loop).events_stale, 1);
    hush(&crowd.scene);
    cr_assert_eq(scene_run_polls(&crowd.scene, 1), 0);
    cr_assert_eq(crowd.watches[3].calls, 1, "%s", crowd.scene.text);
    cr_assert_eq(stats_of(crowd.scene.loop).events, 4, "the first and the added one");
    scene_close(&crowd.scene);
    for (int i = 0; i < 4; i++)
        close_pipe((int[]){crowd.watches[i].fd, crowd.writers[i]});
}

static void raise_limit(rlim_t descriptors)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur >= descriptors)
        return;
    limit.rlim_cur = descriptors;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        cr_skip_test("the system allows fewer than %d descriptors", (int)descriptors);
}

static int count_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    unsigned char *calls = arg;
    (void)loop;
    if (events == GYRE_READ)
        calls[fd]++;
    return 0;
}

GYRE_TEST(events, T33_batch_is_bounded_and_no_descriptor_is_lost)
{
    static unsigned char calls[2 * MANY];
    static int fds[MANY];
    raise_limit(2 * MANY);
    struct scene scene;
    scene_open(&scene);
    int writer;
    int reader = make_readable(&writer);
    for (int i = 0; i < MANY; i++) {
        fds[i] = dup(reader);
        cr_assert(fds[i] >= 0 && fds[i] < 2 * MANY);
        cr_assert_eq(gyre_loop_add_handler(scene.loop, fds[i], GYRE_READ, count_ready, calls), 0);
    }
    /* Some polls serve all of them once before any is served again, as far as polls are whole. */
    unsigned polls = 0;
    for (unsigned served = 0; served < MANY; polls++) {
        cr_assert_leq(polls, MANY);
        cr_assert_eq(scene_run_polls(&scene, 1), 0);
        served = 0;
        for (int i = 0; i < MANY; i++)
            served += calls[fds[i]] != 0;
    }
    cr_assert_gt(polls, 1, "one batch does not hold them all");
    for (int i = 0; i < MANY; i++)
        cr_assert_leq(calls[fds[i]], 2, "descriptor %d starves the others", fds[i]);
    scene_close(&scene);
    for (int i = 0; i < MANY; i++)
        (void)close(fds[i]); /* a duplicate */
    close_pipe((int[]){reader, writer});
}

/* ---- T35: see also stray.c ------------------------------------------------------------------- */

/* Closes the other's descriptor and registers a new file under its number. */
static void swap_other(struct watch *watch)
{
    static struct watch replacement;
    int *fds = watch->scene->data;
    watch->then = watch->other->then = NULL;
    replacement = (struct watch){.scene = watch->scene, .name = "new", .fd = watch->other->fd};
    if (dup2(fds[0], watch->other->fd) != watch->other->fd)
        say(watch->scene, "not swapped");
    watch_fd(&replacement, GYRE_READ);
}

GYRE_TEST(events, T35_new_file_does_not_get_a_pending_event_of_the_batch)
{
    struct two two;
    int fds[2];
    make_pipe(fds);
    two_open(&two, swap_other);
    two.scene.data = fds;
    cr_assert_eq(scene_run_polls(&two.scene, 1), 0);
    cr_assert_eq(calls_of(&two), 1, "%s", two.scene.text);
    cr_assert_null(strstr(two.scene.text, "new"));
    cr_assert_eq(stats_of(two.scene.loop).events_stale, 1);
    two_close(&two);
    close_pipe(fds);
}
