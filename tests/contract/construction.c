/* SPDX-License-Identifier: MIT */
/*
 * construction - rules T5 to T7 and T111: hooks, what a fresh loop has, what a failed one leaves.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    FILLERS_MAX = 256 /* descriptors that use up the process's limit */
};

/* ---- T5: hooks ------------------------------------------------------------------------------- */

GYRE_TEST(construction, T5_clock_hook_is_the_loops_time)
{
    struct scene scene;
    scene_open(&scene);
    scene.now_ns = 123456789;
    cr_assert_eq(gyre_loop_now_ns(scene.loop), 123456789);

    uint64_t handle;
    cr_assert_eq(gyre_loop_call_later(scene.loop, 11, &handle, say_word, word_of(&scene, "timer")),
                 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "timer");
    cr_assert_eq(scene.now_ns, 123456800);
    scene_close(&scene);
}

GYRE_TEST(construction, T5_wait_hook_steps_the_clock_instead_of_sleeping)
{
    struct scene scene;
    scene_open(&scene);
    uint64_t handle;
    uint64_t year_ns = 365 * 24 * UINT64_C(3600) * SECOND_NS;
    cr_assert_eq(gyre_loop_call_later(scene.loop, 10, &handle, say_word, word_of(&scene, "soon")),
                 0);
    cr_assert_eq(gyre_loop_call_later(scene.loop, year_ns, &handle, stop_loop, NULL), 0);
    /* A year in steps of the longest wait: each is the hook's, none is the backend's. */
    scene.waits_max = SCENE_WAITS_MAX;
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_str_eq(scene.text, "soon");
    cr_assert_eq(scene.wait_ns[0], 10);
    cr_assert_eq(scene.now_ns, SECOND_NS + year_ns);
    cr_assert_eq(stats_of(scene.loop).sleeps, scene.waits);
    scene_close(&scene);
}

static void write_into_pipe(struct scene *scene)
{
    int writer = *(int *)scene->data;
    if (scene->waits == 1 && write(writer, "x", 1) != 1)
        say(scene, "the pipe refused the byte");
}

GYRE_TEST(construction, T5_descriptors_are_polled_after_the_wait_hook)
{
    struct scene scene;
    scene_open(&scene);
    int fds[2];
    make_pipe(fds);
    scene.data = &fds[1];
    scene.on_wait = write_into_pipe;
    struct watch watch = {.scene = &scene, .name = "pipe", .fd = fds[0]};
    watch_fd(&watch, GYRE_READ);
    cr_assert_eq(scene_run_polls(&scene, 1), 0);
    cr_assert_str_eq(scene.text, "pipe:r");
    cr_assert_eq(stats_of(scene.loop).polls, 1);
    scene_close(&scene);
    close_pipe(fds);
}

static int positive_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    unsigned *calls = arg;
    (void)timeout_ns;
    return ++*calls < 5 ? 4711 : gyre_loop_stop(loop);
}

GYRE_TEST(construction, T5_positive_results_of_the_wait_hook_mean_nothing)
{
    struct gyre_loop_options options;
    struct scene scene;
    unsigned calls = 0;
    scene_options(&scene, &options);
    options.wait = positive_wait;
    options.wait_arg = &calls;
    scene_open_with(&scene, &options);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_eq(calls, 5);
    cr_assert_eq(stats_of(scene.loop).events + stats_of(scene.loop).events_stale, 0);
    scene_close(&scene);
}

/* ---- T6: a fresh loop ------------------------------------------------------------------------ */

GYRE_TEST(construction, T6_fresh_loop_has_no_handlers_callbacks_or_timers)
{
    struct scene scene;
    scene_open(&scene);
    struct gyre_loop_stats stats = stats_of(scene.loop);
    cr_assert_eq(stats.turns + stats.polls + stats.posts + stats.queue_max, 0);
    cr_assert_null(gyre_loop_user(scene.loop));

    cr_assert_eq(scene_run(&scene), 0);
    stats = stats_of(scene.loop);
    cr_assert_eq(stats.callbacks, 0);
    cr_assert_eq(stats.timers, 0);
    cr_assert_eq(stats.events, 0);
    /* It waits at once, and for as long as it may: nothing is pending. */
    cr_assert_eq(scene.waits, 1);
    cr_assert_eq(scene.wait_ns[0], 3600 * SECOND_NS);
    scene_close(&scene);
}

static void *stop_a_sleeper(void *arg)
{
    struct gyre_loop *loop = arg;
    if (!await_sleep(loop, 0))
        return NULL; /* then the test hangs, and its time limit tells */
    (void)gyre_loop_stop(loop);
    return NULL;
}

GYRE_TEST(construction, T6_fresh_loop_has_its_waker_registered)
{
    struct gyre_loop *loop = open_loop();
    pthread_t thread = start_thread(stop_a_sleeper, loop);
    run_to_stop(loop);
    pthread_join(thread, NULL);
    cr_assert_eq(stats_of(loop).wakes_written, 1);
    cr_assert_eq(stats_of(loop).sleeps, 1);
    cr_assert_eq(stats_of(loop).events, 0, "the waker is nobody's handler");
    gyre_loop_destroy(loop);
}

/* ---- T7: failed construction ----------------------------------------------------------------- */

struct fillers {
    int fds[FILLERS_MAX];
    unsigned count;
    struct rlimit limit; /* as it was */
};

/* Uses up all descriptors but `room`. */
static void fill_up(struct fillers *fillers, unsigned room)
{
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &fillers->limit), 0);
    struct rlimit low = fillers->limit;
    low.rlim_cur = FILLERS_MAX;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &low), 0);
    fillers->count = 0;
    int fd;
    while (fillers->count < FILLERS_MAX && (fd = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
        fillers->fds[fillers->count++] = fd;
    cr_assert_geq(fillers->count, room);
    while (room-- > 0)
        (void)close(fillers->fds[--fillers->count]); /* makes the room that was asked for */
}

static void unfill(struct fillers *fillers)
{
    while (fillers->count > 0)
        (void)close(fillers->fds[--fillers->count]); /* opened by fill_up for nothing else */
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &fillers->limit), 0);
}

GYRE_TEST(construction, T7_creation_without_descriptors_leaves_nothing_behind)
{
    struct scene current;
    scene_open(&current);
    gyre_loop_make_current(current.loop);
    unsigned before = count_descriptors();

    struct gyre_loop_options options;
    struct scene scene;
    scene_options(&scene, &options);
    int r = -EMFILE;
    unsigned room = 0;
    for (; r == -EMFILE && room < 16; room++) {
        struct fillers fillers;
        struct gyre_loop *loop = current.loop;
        fill_up(&fillers, room);
        r = gyre_loop_create(&options, &loop);
        unfill(&fillers);
        if (r == 0) {
            cr_assert_leq(count_descriptors(), before + room);
            gyre_loop_destroy(loop);
        } else {
            cr_assert_eq(loop, current.loop, "the result is untouched by a failure");
        }
        cr_assert_eq(count_descriptors(), before, "with room for %u", room);
        cr_assert_eq(gyre_loop_current_or_null(), current.loop);
    }
    cr_assert_eq(r, 0);
    cr_assert_geq(room, 2, "a loop has at least one descriptor");
    scene_close(&current);
}

GYRE_TEST(construction, T7_creation_without_memory_leaves_nothing_behind)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    unsigned before = count_descriptors();
    struct gyre_loop_options options;
    struct scene scene;
    scene_options(&scene, &options);
    options.make_current = GYRE_CURRENT_IF_NONE;

    int r = -ENOMEM;
    long failed = 0;
    for (long nth = 1; r == -ENOMEM && nth < 64; nth++) {
        memory.calls = 0;
        memory.fail_at = nth;
        r = gyre_loop_create(&options, &scene.loop);
        if (r == 0)
            break;
        failed++;
        cr_assert_eq(memory.blocks, 0, "after the failure of allocation %ld", nth);
        cr_assert_eq(count_descriptors(), before);
        cr_assert_null(gyre_loop_current_or_null());
    }
    cr_assert_eq(r, 0);
    cr_assert_geq(failed, 2);
    memory.fail_at = 0;
    scene_close(&scene);
    cr_assert_eq(memory.blocks, 0);
}

/* The instance stays, so this test looks after its descriptors by itself. */
Test(construction, T12_instance_that_cannot_be_made_is_null_and_can_be_made_later)
{
    struct fillers fillers;
    fill_up(&fillers, 0);
    struct gyre_loop *current = gyre_loop_current();
    struct gyre_loop *instance = gyre_loop_instance();
    unfill(&fillers);
    cr_assert_null(current);
    cr_assert_null(instance);
    cr_assert_not_null(gyre_loop_current());
    cr_assert_eq(gyre_loop_current(), gyre_loop_instance());
}

static void wrong_size(struct gyre_loop_options *options)
{
    options->size = sizeof(*options) - 1;
}

static void no_wait(struct gyre_loop_options *options)
{
    options->wait_max_ns = 0;
}

static void no_such_choice(struct gyre_loop_options *options)
{
    options->make_current = (enum gyre_make_current)3;
}

static void no_such_backend(struct gyre_loop_options *options)
{
    options->backend = "abacus";
}

static void no_such_waker(struct gyre_loop_options *options)
{
    options->waker = "rooster";
}

GYRE_TEST(construction, T7_refused_options_leave_nothing_behind)
{
    static const struct {
        void (*change)(struct gyre_loop_options *options);
        int expected;
    } table[] = {
        {wrong_size, -EINVAL},      {no_wait, -EINVAL},       {no_such_choice, -EINVAL},
        {no_such_backend, -ENOENT}, {no_such_waker, -ENOENT},
    };
    unsigned before = count_descriptors();
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct gyre_loop_options options;
        struct scene scene;
        scene_options(&scene, &options);
        options.make_current = GYRE_CURRENT_YES;
        table[i].change(&options);
        cr_assert_eq(gyre_loop_create(&options, &scene.loop), table[i].expected, "row %zu", i);
        cr_assert_null(scene.loop);
        cr_assert_eq(count_descriptors(), before);
        cr_assert_null(gyre_loop_current_or_null());
    }
}

/* ---- T111: close-on-exec --------------------------------------------------------------------- */

GYRE_TEST(construction, T111_every_descriptor_of_a_loop_is_close_on_exec)
{
    bool ours[FILLERS_MAX];
    unsigned found = 0;
    for (int fd = 0; fd < FILLERS_MAX; fd++)
        ours[fd] = fcntl(fd, F_GETFD) >= 0;
    struct gyre_loop *loop = open_loop();
    for (int fd = 0; fd < FILLERS_MAX; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags < 0 || ours[fd])
            continue;
        found++;
        cr_assert_eq(flags & FD_CLOEXEC, FD_CLOEXEC, "descriptor %d", fd);
    }
    cr_assert_geq(found, 1);
    gyre_loop_destroy(loop);
}
