/* SPDX-License-Identifier: MIT */
/*
 * timers - rules T80 to T81e, and arming again for later.
 */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
    MANY = 1000,
    MILLION = 1000000
};

/* ---- T80 ------------------------------------------------------------------------------------- */

GYRE_TEST(timers, T80_call_at_is_absolute_and_call_later_relative)
{
    struct scene scene;
    uint64_t handles[2];
    scene_open(&scene);
    uint64_t now = scene.now_ns;
    cr_assert_eq(
        gyre_loop_call_at(scene.loop, now + 7, &handles[0], say_word, word_of(&scene, "at")), 0);
    scene.now_ns += 5;
    cr_assert_eq(
        gyre_loop_call_later(scene.loop, 7, &handles[1], say_word, word_of(&scene, "later")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "at later");
    cr_assert_eq(scene.wait_ns[0], 2);
    cr_assert_eq(scene.wait_ns[1], 5);
    scene_close(&scene);
}

GYRE_TEST(timers, T80_sums_saturate_and_never_does_not_fire)
{
    static const uint64_t delays[] = {GYRE_NEVER, GYRE_NEVER - 1, GYRE_NEVER - SECOND_NS};
    struct scene scene;
    uint64_t handles[3];
    scene_open(&scene); /* it is a second past 0 */
    for (int i = 0; i < 3; i++)
        cr_assert_eq(gyre_loop_call_later(scene.loop, delays[i], &handles[i], say_word,
                                          word_of(&scene, "fired")),
                     0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(scene.wait_ns[0], 3600 * SECOND_NS, "there is no deadline");
    scene.now_ns = GYRE_NEVER - 1;
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "");
    for (int i = 0; i < 3; i++)
        cr_assert_eq(gyre_loop_cancel_call(scene.loop, handles[i]), 0);
    scene_close(&scene);
}

GYRE_TEST(timers, T80_calls_need_a_function)
{
    struct scene scene;
    uint64_t handle = 5;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_call_later(scene.loop, 0, &handle, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_post_call_at(scene.loop, 0, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, NULL, NULL), -EINVAL);
    cr_assert_eq(gyre_loop_spawn_callback(scene.loop, NULL, NULL), -EINVAL);
    cr_assert_eq(handle, 5);
    scene_close(&scene);
}

GYRE_TEST(timers, T80_last_moment_before_never_fires)
{
    struct scene scene;
    uint64_t handle;
    scene_open(&scene);
    cr_assert_eq(
        gyre_loop_call_at(scene.loop, GYRE_NEVER - 1, &handle, say_word, word_of(&scene, "last")),
        0);
    scene.now_ns = GYRE_NEVER - 11;
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "last");
    cr_assert_eq(scene.wait_ns[0], 10);
    scene_close(&scene);
}

GYRE_TEST(timers, T80_starting_a_timer_for_never_stops_it)
{
    struct scene scene;
    struct gyre_timer timer;
    scene_open(&scene);
    gyre_timer_init(&timer, scene.loop, say_word, word_of(&scene, "fired"));
    cr_assert_eq(gyre_timer_start(&timer, GYRE_NEVER), 0);
    cr_assert_not(gyre_timer_is_armed(&timer));
    cr_assert_eq(gyre_timer_start(&timer, 5), 0);
    cr_assert(gyre_timer_is_armed(&timer));
    cr_assert_eq(gyre_timer_start(&timer, GYRE_NEVER), 0);
    cr_assert_not(gyre_timer_is_armed(&timer));
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "");
    scene_close(&scene);
}

GYRE_TEST(timers, T80_handles_are_never_zero_and_never_the_same)
{
    static uint64_t handles[MANY];
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_eq(gyre_loop_call_at(scene.loop, i, &handles[i], count_call, &calls), 0);
        cr_assert_neq(handles[i], 0);
        if (i % 2 == 0) /* its place is used again */
            cr_assert_eq(gyre_loop_cancel_call(scene.loop, handles[i]), 0);
    }
    for (unsigned i = 0; i < MANY; i++)
        for (unsigned j = 0; j < i; j++)
            cr_assert_neq(handles[i], handles[j]);
    cr_assert_eq(gyre_loop_cancel_call(scene.loop, 0), -ENOENT);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, MANY / 2);
    scene_close(&scene);
}

/* ---- T81 ------------------------------------------------------------------------------------- */

GYRE_TEST(timers, T81_past_deadline_is_legal_and_runs_next_turn)
{
    static const uint64_t deadlines[] = {0, 1, SECOND_NS - 1, SECOND_NS};
    for (size_t i = 0; i < sizeof(deadlines) / sizeof(deadlines[0]); i++) {
        struct scene scene;
        uint64_t handle;
        scene_open(&scene);
        cr_assert_eq(
            gyre_loop_call_at(scene.loop, deadlines[i], &handle, say_word, word_of(&scene, "x")),
            0);
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_str_eq(scene.text, "x");
        cr_assert_eq(scene.waits, 1, "it was not waited for");
        scene_close(&scene);
    }
}

GYRE_TEST(timers, T81_order_is_deadline_then_arming)
{
    static const struct {
        uint64_t deadline_ns;
        const char *name;
    } armed[] = {{30, "f"}, {10, "a"}, {20, "c"}, {10, "b"}, {30, "g"}, {20, "d"}, {20, "e"}};
    for (int late = 0; late < 2; late++) {
        struct scene scene;
        struct word words[7];
        uint64_t handle;
        scene_open(&scene);
        for (int i = 0; i < 7; i++) {
            words[i] = (struct word){&scene, armed[i].name, 0};
            cr_assert_eq(gyre_loop_call_later(scene.loop, armed[i].deadline_ns, &handle, say_word,
                                              &words[i]),
                         0);
        }
        if (late != 0)
            scene.now_ns += SECOND_NS; /* then all are due in one turn */
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_str_eq(scene.text, "a b c d e f g");
        cr_assert_eq(scene.waits, late != 0 ? 1 : 4);
        scene_close(&scene);
    }
}

GYRE_TEST(timers, T81_both_forms_share_one_order)
{
    struct scene scene;
    struct gyre_timer timers[2];
    uint64_t handle;
    scene_open(&scene);
    gyre_timer_init(&timers[0], scene.loop, say_word, word_of(&scene, "1"));
    gyre_timer_init(&timers[1], scene.loop, say_word, word_of(&scene, "3"));
    cr_assert_eq(gyre_timer_start(&timers[0], 5), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 5, &handle, say_word, word_of(&scene, "2")), 0);
    cr_assert_eq(gyre_timer_start(&timers[1], 5), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 5, &handle, say_word, word_of(&scene, "4")), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "1 2 3 4");
    scene_close(&scene);
}

/* ---- T81a, T81b ------------------------------------------------------------------------------ */

struct cancelling {
    struct scene *scene;
    uint64_t handle; /* to be cancelled */
    struct gyre_timer *timer; /* to be stopped */
    int results[4];
};

static int cancel_twice(struct gyre_loop *loop, int status, void *arg)
{
    struct cancelling *cancelling = arg;
    (void)status;
    say(cancelling->scene, "cancel");
    cancelling->results[0] = gyre_loop_cancel_call(loop, cancelling->handle);
    cancelling->results[1] = gyre_loop_cancel_call(loop, cancelling->handle);
    cancelling->results[2] = gyre_timer_stop(cancelling->timer);
    cancelling->results[3] = gyre_timer_stop(cancelling->timer);
    return 0;
}

/* Arms the targets, and something that cancels them: a callback or a timer, before or after. */
static void play_cancel(struct cancelling *cancelling, struct scene *scene, bool by_timer,
                        bool before)
{
    static struct gyre_timer timer;
    uint64_t handle;
    *cancelling = (struct cancelling){.scene = scene, .timer = &timer};
    gyre_timer_init(&timer, scene->loop, say_word, word_of(scene, "timer"));
    if (by_timer && before)
        cr_assert_eq(gyre_loop_call_at(scene->loop, 4, &handle, cancel_twice, cancelling), 0);
    struct word *word = word_of(scene, "call");
    struct gyre_loop *loop = scene->loop;
    cr_assert_eq(gyre_loop_call_at(loop, 5, &cancelling->handle, say_word, word), 0);
    cr_assert_eq(gyre_timer_start(&timer, 5), 0);
    if (by_timer && !before)
        cr_assert_eq(gyre_loop_call_at(loop, 5, &handle, cancel_twice, cancelling), 0);
    if (!by_timer)
        cr_assert_eq(gyre_loop_add_callback(loop, cancel_twice, cancelling), 0);
    cr_assert_eq(scene_run(scene), 0);
    cr_assert_not(gyre_timer_is_armed(&timer));
}

GYRE_TEST(timers, T81a_removal_after_firing_and_twice_is_harmless)
{
    struct scene scene;
    struct cancelling cancelling;
    scene_open(&scene);
    play_cancel(&cancelling, &scene, true, false);
    cr_assert_str_eq(scene.text, "call timer cancel");
    cr_assert_eq(cancelling.results[0], -ENOENT);
    cr_assert_eq(cancelling.results[1], -ENOENT);
    cr_assert_eq(cancelling.results[2], 0);
    cr_assert_eq(cancelling.results[3], 0);
    cr_assert_eq(gyre_loop_cancel_call(scene.loop, cancelling.handle), -ENOENT);
    scene_close(&scene);
}

struct own {
    struct scene *scene;
    struct gyre_timer timer;
    uint64_t handle;
    int result;
};

static int cancel_own(struct gyre_loop *loop, int status, void *arg)
{
    struct own *own = arg;
    (void)status;
    say(own->scene, gyre_timer_is_armed(&own->timer) ? "armed" : "idle");
    own->result = gyre_loop_cancel_call(loop, own->handle);
    return gyre_timer_stop(&own->timer);
}

GYRE_TEST(timers, T81a_timer_is_idle_inside_its_own_function)
{
    struct scene scene;
    struct own own = {.scene = &scene, .result = 0};
    scene_open(&scene);
    gyre_timer_init(&own.timer, scene.loop, cancel_own, &own);
    cr_assert_eq(gyre_timer_start(&own.timer, 0), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &own.handle, cancel_own, &own), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "idle", "the first cancels the second");
    cr_assert_eq(own.result, 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &own.handle, cancel_own, &own), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(own.result, -ENOENT, "its own handle is void");
    scene_close(&scene);
}

GYRE_TEST(timers, T81a_old_handle_does_not_cancel_the_next_call_in_its_place)
{
    struct scene scene;
    uint64_t old;
    uint64_t handle;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &old, say_word, word_of(&scene, "old")), 0);
    cr_assert_eq(gyre_loop_cancel_call(scene.loop, old), 0);
    cr_assert_eq(gyre_loop_call_at(scene.loop, 0, &handle, say_word, word_of(&scene, "new")), 0);
    cr_assert_eq(gyre_loop_cancel_call(scene.loop, old), -ENOENT);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "new");
    scene_close(&scene);
}

GYRE_TEST(timers, T81b_due_timer_can_still_be_cancelled_within_its_turn)
{
    for (int by_timer = 0; by_timer < 2; by_timer++) {
        struct scene scene;
        struct cancelling cancelling;
        scene_open(&scene);
        play_cancel(&cancelling, &scene, by_timer != 0, true);
        cr_assert_str_eq(scene.text, "cancel", "by timer: %d", by_timer);
        cr_assert_eq(cancelling.results[0], 0);
        cr_assert_eq(cancelling.results[1], -ENOENT);
        cr_assert_eq(cancelling.results[2], 0);
        cr_assert_eq(cancelling.results[3], 0);
        scene_close(&scene);
    }
}

/* ---- T81c to T81e ---------------------------------------------------------------------------- */

GYRE_TEST(timers, T81c_a_million_cancelled_calls_leave_nothing)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    struct scene scene;
    unsigned calls = 0;
    uint64_t handle;
    uint64_t kept;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_call_later(scene.loop, SECOND_NS, &kept, count_call, &calls), 0);
    long before = memory.bytes;
    for (unsigned i = 0; i < MILLION; i++) {
        cr_assert(gyre_loop_call_later(scene.loop, i, &handle, count_call, &calls) == 0 &&
                  gyre_loop_cancel_call(scene.loop, handle) == 0);
    }
    cr_assert_eq(memory.bytes, before);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 1);
    cr_assert_eq(scene.wait_ns[0], SECOND_NS, "none of them is waited for");
    scene_close(&scene);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(timers, T81c_memory_follows_the_live_calls)
{
    static uint64_t handles[100 * MANY];
    struct memory_count memory = {0};
    count_memory(&memory);
    struct scene scene;
    unsigned calls = 0;
    scene_open(&scene);
    long before = memory.bytes;
    for (unsigned i = 0; i < 100 * MANY; i++)
        cr_assert_eq(gyre_loop_call_later(scene.loop, i, &handles[i], count_call, &calls), 0);
    long full = memory.bytes - before;
    for (unsigned i = 0; i < 100 * MANY; i++) {
        if (i % 2 == 0)
            cr_assert_eq(gyre_loop_cancel_call(scene.loop, handles[i]), 0);
    }
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(calls, 50 * MANY);
    /* What stays is an index of 8 bytes to 64 calls, twice too large at most, and a reserve. */
    cr_assert_lt(memory.bytes - before, full / 50, "%ld of %ld", memory.bytes - before, full);
    scene_close(&scene);
    cr_assert_eq(memory.blocks, 0);
}

static int stop_in_word(struct gyre_loop *loop, int status, void *arg)
{
    (void)say_word(loop, status, arg);
    return gyre_loop_stop(loop);
}

GYRE_TEST(timers, T81d_stop_and_run_neither_lose_nor_repeat_a_timer)
{
    static const char *const names[] = {"0", "1", "2", "3", "4", "5", "6", "7"};
    struct scene scene;
    struct word words[8];
    uint64_t handle;
    scene_open(&scene);
    for (uint64_t i = 0; i < 8; i++) {
        words[i] = (struct word){&scene, names[i], 0};
        cr_assert_eq(gyre_loop_call_later(scene.loop, i / 2, &handle,
                                          i % 2 != 0 ? say_word : stop_in_word, &words[i]),
                     0);
    }
    for (size_t runs = 1; runs <= 4; runs++) {
        cr_assert_eq(scene_run(&scene), 0);
        cr_assert_eq(scene.used, runs * strlen("0 1 ") - 1, "two a run: %s", scene.text);
    }
    cr_assert_str_eq(scene.text, "0 1 2 3 4 5 6 7");
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "0 1 2 3 4 5 6 7");
    scene_close(&scene);
}

struct numbered {
    unsigned number;
    unsigned *next; /* the number whose turn it is */
};

static int run_numbered(struct gyre_loop *loop, int status, void *arg)
{
    const struct numbered *numbered = arg;
    (void)loop;
    (void)status;
    if (*numbered->next == numbered->number)
        ++*numbered->next;
    return 0;
}

GYRE_TEST(timers, T81d_budget_cuts_keep_the_order_and_lose_none)
{
    static struct numbered all[MANY];
    struct gyre_loop_options options;
    struct scene scene;
    unsigned next = 0;
    uint64_t handle;
    scene_options(&scene, &options);
    options.timer_budget_ns = 1; /* sixteen calls take longer than that */
    scene_open_with(&scene, &options);
    for (unsigned i = 0; i < MANY; i++) {
        all[i] = (struct numbered){i, &next};
        cr_assert_eq(gyre_loop_call_at(scene.loop, i, &handle, run_numbered, &all[i]), 0);
    }
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(next, MANY, "all have run, in order");
    cr_assert_eq(stats_of(scene.loop).timers, MANY);
    cr_assert_gt(stats_of(scene.loop).turns, 2);
    cr_assert_eq(scene.waits, 1, "what was cut off forbids waiting");
    scene_close(&scene);
}

GYRE_TEST(timers, T81e_posted_call_that_cannot_be_armed_is_cancelled)
{
    struct memory_count memory = {0};
    struct log_record log;
    count_memory(&memory);
    record_log(&log);
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_post_call_at(scene.loop, 0, say_word, word_of(&scene, "call")), 0);
    memory.fail_at = 1;
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "call!", "it was accepted, so it is called once");
    cr_assert_not_null(strstr(log.line, "ENOMEM"), "%s", log.line);
    cr_assert_eq(gyre_loop_post_call_at(scene.loop, 0, say_word, word_of(&scene, "call")), -ENOMEM);
    scene_close(&scene);
    cr_assert_str_eq(scene.text, "call!");
    cr_assert_eq(memory.blocks, 0);
}

static void *post_call(void *arg)
{
    struct word *word = arg;
    word->result =
        gyre_loop_post_call_at(word->scene->loop, word->scene->now_ns + 100, say_word, word);
    return NULL;
}

GYRE_TEST(timers, T81e_posting_form_arms_a_call_from_any_thread)
{
    struct scene scene;
    scene_open(&scene);
    struct word words[] = {{&scene, "other", -1}, {&scene, "own", -1}};
    uint64_t handle;
    cr_assert_eq(gyre_loop_call_later(scene.loop, 99, &handle, say_word, word_of(&scene, "before")),
                 0);
    on_thread(post_call, &words[0]);
    (void)post_call(&words[1]);
    cr_assert_eq(words[0].result, 0);
    cr_assert_eq(words[1].result, 0);
    words[0].result = words[1].result = 0;
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_str_eq(scene.text, "before other own");
    cr_assert_eq(scene.wait_ns[1], 1);
    scene_close(&scene);
}
