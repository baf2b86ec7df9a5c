/* SPDX-License-Identifier: MIT */
/*
 * current - rules T8 to T14: a thread's current loop, and the process's instance.
 *
 * The instance lives until the process ends, so that the tests which make it compare descriptors by
 * themselves instead of leaving that to GYRE_TEST.
 */
#include "support.h"

#include <errno.h>

enum {
    RACERS = 8 /* threads that ask for the instance together */
};

/* ---- T8, T9 ---------------------------------------------------------------------------------- */

struct seen {
    struct gyre_loop *made; /* to be made current, if not NULL */
    struct gyre_loop *before;
    struct gyre_loop *after;
};

static void *look_elsewhere(void *arg)
{
    struct seen *seen = arg;
    seen->before = gyre_loop_current_or_null();
    gyre_loop_make_current(seen->made);
    seen->after = gyre_loop_current_or_null();
    return NULL;
}

GYRE_TEST(current, T8_current_loop_is_a_threads_own)
{
    struct gyre_loop *mine = open_loop();
    struct gyre_loop *theirs = open_loop();
    struct seen seen = {.made = theirs};
    gyre_loop_make_current(mine);
    on_thread(look_elsewhere, &seen);
    cr_assert_null(seen.before);
    cr_assert_eq(seen.after, theirs);
    cr_assert_eq(gyre_loop_current(), mine);
    gyre_loop_destroy(theirs);
    gyre_loop_destroy(mine);
}

static int note_current(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    *(struct gyre_loop **)arg = gyre_loop_current();
    return 0;
}

GYRE_TEST(current, T8_running_loop_comes_before_the_one_made_current)
{
    struct scene scene;
    scene_open(&scene);
    struct gyre_loop *other = open_loop();
    struct gyre_loop *inside = NULL;
    gyre_loop_make_current(other);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, note_current, &inside), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(inside, scene.loop);
    cr_assert_eq(gyre_loop_current(), other);
    gyre_loop_destroy(other);
    scene_close(&scene);
}

GYRE_TEST(current, T8_second_form_gives_null_where_there_is_none)
{
    unsigned before = count_descriptors();
    cr_assert_null(gyre_loop_current_or_null());
    cr_assert_eq(count_descriptors(), before, "nothing was made");
}

Test(current, T8_thread_without_a_loop_gets_the_instance)
{
    cr_assert_null(gyre_loop_current_or_null());
    struct gyre_loop *loop = gyre_loop_current();
    cr_assert_not_null(loop);
    cr_assert_eq(loop, gyre_loop_instance());
    cr_assert_null(gyre_loop_current_or_null(), "the instance is not made current");
}

GYRE_TEST(current, T9_make_and_clear_act_on_the_calling_thread_only)
{
    struct gyre_loop *loop = open_loop();
    gyre_loop_make_current(loop);
    struct seen seen = {.made = NULL};
    on_thread(look_elsewhere, &seen); /* clears its own */
    cr_assert_null(seen.after);
    cr_assert_eq(gyre_loop_current_or_null(), loop);
    gyre_loop_make_current(NULL);
    cr_assert_null(gyre_loop_current_or_null());
    gyre_loop_destroy(loop);
}

/* ---- T10 ------------------------------------------------------------------------------------- */

struct nesting {
    struct gyre_loop *inner;
    struct gyre_loop *during[3]; /* before, in and after the inner run */
};

static int run_inner(struct gyre_loop *loop, int status, void *arg)
{
    struct nesting *nesting = arg;
    (void)loop;
    (void)status;
    nesting->during[0] = gyre_loop_current_or_null();
    int r = gyre_loop_add_callback(nesting->inner, note_current, &nesting->during[1]);
    if (r == 0)
        r = gyre_loop_add_callback(nesting->inner, stop_loop, NULL);
    if (r == 0)
        r = gyre_loop_run(nesting->inner);
    nesting->during[2] = gyre_loop_current_or_null();
    return r;
}

GYRE_TEST(current, T10_nested_runs_restore_in_order)
{
    struct scene scene;
    scene_open(&scene);
    struct gyre_loop *first = open_loop();
    struct nesting nesting = {.inner = open_loop()};
    gyre_loop_make_current(first);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, run_inner, &nesting), 0);
    cr_assert_eq(scene_run(&scene), 0);
    cr_assert_eq(nesting.during[0], scene.loop);
    cr_assert_eq(nesting.during[1], nesting.inner);
    cr_assert_eq(nesting.during[2], scene.loop);
    cr_assert_eq(gyre_loop_current_or_null(), first);
    gyre_loop_destroy(nesting.inner);
    gyre_loop_destroy(first);
    scene_close(&scene);
}

static int fail_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    (void)loop;
    (void)timeout_ns;
    return *(int *)arg;
}

GYRE_TEST(current, T10_run_restores_after_a_failure_too)
{
    struct gyre_loop_options options;
    struct scene scene;
    int error = -EIO;
    scene_options(&scene, &options);
    options.wait = fail_wait;
    options.wait_arg = &error;
    scene_open_with(&scene, &options);
    struct gyre_loop *first = open_loop();
    gyre_loop_make_current(first);
    cr_assert_eq(gyre_loop_run(scene.loop), -EIO);
    cr_assert_eq(gyre_loop_current_or_null(), first);
    gyre_loop_make_current(NULL);
    cr_assert_eq(gyre_loop_run(scene.loop), -EIO);
    cr_assert_null(gyre_loop_current_or_null());
    gyre_loop_destroy(first);
    scene_close(&scene);
}

GYRE_TEST(current, T10_run_that_a_stop_awaited_restores_too)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_stop(scene.loop), 0);
    cr_assert_eq(gyre_loop_run(scene.loop), 0);
    cr_assert_null(gyre_loop_current_or_null());
    scene_close(&scene);
}

/* ---- T11 ------------------------------------------------------------------------------------- */

GYRE_TEST(current, T11_option_make_current)
{
    static const struct {
        enum gyre_make_current option;
        bool has_one;
        int expected;
        bool becomes_current;
    } table[] = {
        {GYRE_CURRENT_IF_NONE, false, 0, true}, {GYRE_CURRENT_IF_NONE, true, 0, false},
        {GYRE_CURRENT_YES, false, 0, true},     {GYRE_CURRENT_YES, true, -EBUSY, false},
        {GYRE_CURRENT_NO, false, 0, false},     {GYRE_CURRENT_NO, true, 0, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct gyre_loop *first = table[i].has_one ? open_loop() : NULL;
        gyre_loop_make_current(first);
        struct gyre_loop_options options;
        struct scene scene;
        scene_options(&scene, &options);
        options.make_current = table[i].option;
        cr_assert_eq(gyre_loop_create(&options, &scene.loop), table[i].expected, "row %zu", i);
        cr_assert_eq(gyre_loop_current_or_null(), table[i].becomes_current ? scene.loop : first,
                     "row %zu", i);
        gyre_loop_destroy(scene.loop);
        gyre_loop_destroy(first);
        cr_assert_null(gyre_loop_current_or_null(), "row %zu", i);
    }
}

GYRE_TEST(current, T11_unset_means_if_there_is_none)
{
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    cr_assert_eq(options.make_current, GYRE_CURRENT_IF_NONE);
    struct gyre_loop *loop;
    cr_assert_eq(gyre_loop_create(NULL, &loop), 0);
    cr_assert_eq(gyre_loop_current_or_null(), loop);
    gyre_loop_destroy(loop);
}

/* ---- T12, T13 -------------------------------------------------------------------------------- */

static pthread_barrier_t race_start;

/* Makes all racers wait for each other inside their first allocation, when each has found that
 * there is no instance yet. */
static void meet_once(void)
{
    static _Thread_local bool met;
    if (!met)
        pthread_barrier_wait(&race_start);
    met = true;
}

static void *race(void *arg)
{
    *(struct gyre_loop **)arg = gyre_loop_instance();
    return NULL;
}

Test(current, T12_racing_threads_get_the_same_instance)
{
    struct memory_count memory = {0};
    struct gyre_loop *got[RACERS];
    pthread_t threads[RACERS];
    count_memory(&memory);
    unsigned before = count_descriptors();
    gyre_loop_destroy(open_loop()); /* whatever the first loop of a process leaves, it has left */
    cr_assert_eq(count_descriptors(), before);

    memory.on_allocate = meet_once;
    cr_assert_eq(pthread_barrier_init(&race_start, NULL, RACERS), 0);
    for (int i = 0; i < RACERS; i++)
        threads[i] = start_thread(race, &got[i]);
    for (int i = 0; i < RACERS; i++)
        pthread_join(threads[i], NULL);
    memory.on_allocate = NULL;

    cr_assert_not_null(got[0]);
    for (int i = 1; i < RACERS; i++)
        cr_assert_eq(got[i], got[0]);
    cr_assert_eq(gyre_loop_instance(), got[0]);
    long blocks = memory.blocks;
    unsigned descriptors = count_descriptors() - before;
    gyre_loop_destroy(open_loop());
    struct gyre_loop *one = open_loop();
    cr_assert_eq(memory.blocks, 2 * blocks, "one loop's: the losers' are gone");
    cr_assert_eq(count_descriptors() - before, 2 * descriptors);
    gyre_loop_destroy(one);
}

GYRE_TEST(current, T12_instance_can_be_asked_for_without_making_it)
{
    unsigned before = count_descriptors();
    cr_assert_not(gyre_loop_instance_exists());
    cr_assert_eq(count_descriptors(), before, "nothing was made");
    struct gyre_loop *loop = gyre_loop_instance();
    cr_assert_not_null(loop);
    cr_assert(gyre_loop_instance_exists());
    gyre_loop_clear_instance();
    cr_assert_not(gyre_loop_instance_exists());
    gyre_loop_clear_instance(); /* harmless */
}

GYRE_TEST(current, T12_loop_can_be_installed_where_there_is_none)
{
    struct gyre_loop *loop = open_loop();
    struct gyre_loop *other = open_loop();
    cr_assert_eq(gyre_loop_install_instance(NULL), -EINVAL);
    cr_assert_eq(gyre_loop_install_instance(loop), 0);
    cr_assert_eq(gyre_loop_install_instance(other), -EBUSY);
    cr_assert_eq(gyre_loop_install_instance(loop), -EBUSY);
    cr_assert_eq(gyre_loop_instance(), loop);
    cr_assert_eq(gyre_loop_current(), loop);
    cr_assert_null(gyre_loop_current_or_null());

    gyre_loop_clear_instance();
    cr_assert_eq(gyre_loop_install_instance(other), 0);
    cr_assert_eq(gyre_loop_instance(), other);
    gyre_loop_clear_instance();
    gyre_loop_destroy(other);
    gyre_loop_destroy(loop);
}

GYRE_TEST(current, T12_library_holds_a_reference_to_what_is_installed)
{
    struct scene scene;
    scene_open(&scene);
    cr_assert_eq(gyre_loop_install_instance(scene.loop), 0);
    cr_assert_eq(gyre_loop_add_callback(scene.loop, say_word, word_of(&scene, "a")), 0);
    gyre_loop_release(scene.loop); /* the maker's */
    cr_assert_eq(gyre_loop_instance(), scene.loop);
    cr_assert_str_eq(scene.text, "");
    gyre_loop_clear_instance(); /* the last one closes */
    cr_assert_str_eq(scene.text, "a!");
}

static void *install(void *arg)
{
    struct gyre_loop *loop = open_loop();
    *(int *)arg = gyre_loop_install_instance(loop);
    gyre_loop_release(loop);
    return NULL;
}

GYRE_TEST(current, T12_of_racing_installers_one_wins)
{
    pthread_t threads[RACERS];
    int results[RACERS];
    int won = 0;
    for (int i = 0; i < RACERS; i++)
        threads[i] = start_thread(install, &results[i]);
    for (int i = 0; i < RACERS; i++) {
        pthread_join(threads[i], NULL);
        won += results[i] == 0;
        cr_assert(results[i] == 0 || results[i] == -EBUSY);
    }
    cr_assert_eq(won, 1);
    gyre_loop_clear_instance();
}

static void *post_to_current(void *arg)
{
    struct gyre_loop *loop = gyre_loop_current();
    if (gyre_loop_add_callback(loop, count_call, arg) != 0 ||
        gyre_loop_add_callback(loop, stop_loop, NULL) != 0)
        *(unsigned *)arg = 1000;
    return NULL;
}

Test(current, T13_thread_without_a_loop_can_post_to_the_instance)
{
    unsigned calls = 0;
    struct gyre_loop *instance = gyre_loop_instance();
    on_thread(post_to_current, &calls);
    cr_assert_eq(calls, 0, "a post does not run what it posts");
    run_to_stop(instance);
    cr_assert_eq(calls, 1);
    cr_assert_eq(stats_of(instance).posts, 2);
}

/* ---- T14 ------------------------------------------------------------------------------------- */

GYRE_TEST(current, T14_close_clears_the_calling_threads_current)
{
    struct gyre_loop *loop = open_loop();
    gyre_loop_make_current(loop);
    cr_assert_eq(gyre_loop_close(loop, 0), 0);
    cr_assert_null(gyre_loop_current_or_null());
    gyre_loop_release(loop);
}

GYRE_TEST(current, T14_close_leaves_another_current_alone)
{
    struct gyre_loop *loop = open_loop();
    struct gyre_loop *other = open_loop();
    gyre_loop_make_current(other);
    gyre_loop_destroy(loop);
    cr_assert_eq(gyre_loop_current_or_null(), other);
    gyre_loop_destroy(other);
    cr_assert_null(gyre_loop_current_or_null());
}

static void *close_elsewhere(void *arg)
{
    gyre_loop_destroy(arg);
    return NULL;
}

GYRE_TEST(current, T14_current_loop_that_another_thread_closed_does_not_dangle)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    struct gyre_loop *loop = open_loop();
    unsigned calls = 0;
    gyre_loop_make_current(loop);
    on_thread(close_elsewhere, loop); /* the creator's reference is gone, the thread's is not */
    cr_assert_eq(gyre_loop_current_or_null(), loop);
    cr_assert_eq(gyre_loop_add_callback(gyre_loop_current(), count_call, &calls), -ESHUTDOWN);
    gyre_loop_make_current(NULL);
    cr_assert_eq(calls, 0);
    cr_assert_leq(memory.blocks, 2, "the loop is freed; this thread's cache of a node may stay");
}

static void *leave_to_the_end(void *arg)
{
    struct word *words = arg;
    struct gyre_loop *loop = open_loop();
    gyre_loop_make_current(loop);
    words[0].result = gyre_loop_add_callback(loop, say_word, &words[0]);
    words[1].result = gyre_loop_post_call_at(loop, 0, say_word, &words[1]);
    gyre_loop_release(loop); /* the thread's own reference is the last now */
    return NULL;
}

GYRE_TEST(current, T14_last_reference_may_be_that_of_a_thread_that_ends)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    struct scene scene = {.used = 0};
    struct word words[] = {{&scene, "callback", -1}, {&scene, "call", -1}};
    on_thread(leave_to_the_end, words);
    cr_assert_eq(words[0].result, 0);
    cr_assert_eq(words[1].result, 0);
    cr_assert_str_eq(scene.text, "callback! call!");
    cr_assert_eq(memory.blocks, 0);
}

static void *make_current_and_end(void *arg)
{
    gyre_loop_make_current(arg);
    return NULL;
}

GYRE_TEST(current, T14_end_of_a_thread_gives_its_reference_back)
{
    struct memory_count memory = {0};
    count_memory(&memory);
    struct gyre_loop *loop = open_loop();
    on_thread(make_current_and_end, loop);
    cr_assert_gt(memory.blocks, 0);
    gyre_loop_destroy(loop);
    cr_assert_eq(memory.blocks, 0);
}
