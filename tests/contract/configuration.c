/* SPDX-License-Identifier: MIT */
/*
 * configuration - rules T1 to T4: what a loop gets that does not ask, and who says so.
 *
 * What "auto" is, is looked for once in a process. Each test is a process of its own, and sets the
 * environment before its first loop.
 */
#include "support.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAKERS = 8 /* threads that make their first loops together */
};

/* A backend that this run is not named after. */
static const char *other_backend(void)
{
    return strcmp(gyre_test_backend(), "poll") == 0 ? "select" : "poll";
}

static struct gyre_loop_options configured(void)
{
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    return options;
}

/* Configures this run's backend and waker, and options that no loop has else. */
static void configure_this_run(void)
{
    struct gyre_loop_options defaults = configured();
    defaults.backend = gyre_test_backend();
    defaults.waker = gyre_test_waker();
    defaults.make_current = GYRE_CURRENT_NO;
    defaults.queue_max = 3;
    cr_assert_eq(gyre_loop_configure(&defaults), 0);
}

static bool is_this_runs(const struct gyre_loop *loop)
{
    return strcmp(gyre_loop_backend(loop), gyre_test_backend()) == 0 &&
           strcmp(gyre_loop_waker(loop), gyre_test_waker()) == 0;
}

/* Makes a loop by these options, and says whether it has this run's backend and waker. */
static bool has_this_runs_pair(const struct gyre_loop_options *options)
{
    struct gyre_loop *loop;
    cr_assert_eq(gyre_loop_create(options, &loop), 0);
    bool has = is_this_runs(loop);
    gyre_loop_destroy(loop);
    return has;
}

/* The backend of a loop made by these options. */
static const char *backend_by(const struct gyre_loop_options *options)
{
    struct gyre_loop *loop;
    cr_assert_eq(gyre_loop_create(options, &loop), 0);
    const char *name = gyre_loop_backend(loop); /* static */
    gyre_loop_destroy(loop);
    return name;
}

/* ---- T1 -------------------------------------------------------------------------------------- */

GYRE_TEST(configuration, T1_loop_that_names_no_backend_gets_the_configured_one)
{
    struct gyre_loop_options options = configured();
    options.backend = options.waker = NULL;
    options.make_current = GYRE_CURRENT_NO;
    configure_this_run();
    cr_assert(has_this_runs_pair(NULL));
    cr_assert(has_this_runs_pair(&options), "NULL in options made before");
    options = configured();
    cr_assert(has_this_runs_pair(&options));
}

GYRE_TEST(configuration, T1_name_in_the_options_overrides)
{
    configure_this_run();
    struct gyre_loop_options options = configured();
    options.backend = other_backend();
    cr_assert_str_eq(backend_by(&options), other_backend());
    cr_assert(has_this_runs_pair(NULL), "nothing else has changed");
}

GYRE_TEST(configuration, T1_auto_in_the_options_is_the_best_whatever_is_configured)
{
    cr_assert_eq(unsetenv("GYRE_BACKEND"), 0);
    struct gyre_loop_options options = configured();
    options.make_current = GYRE_CURRENT_NO;
    const char *best = backend_by(&options);
    options.backend = strcmp(best, "poll") == 0 ? "select" : "poll";
    cr_assert_eq(gyre_loop_configure(&options), 0);
    cr_assert_str_neq(backend_by(NULL), best);
    options.backend = "auto";
    cr_assert_str_eq(backend_by(&options), best);
}

GYRE_TEST(configuration, T1_environment_says_what_auto_is)
{
    struct gyre_loop_options options = configured();
    options.make_current = GYRE_CURRENT_NO;
    cr_assert_str_eq(options.backend, "auto");
    cr_assert_str_eq(options.waker, "auto");
    cr_assert_eq(setenv("GYRE_BACKEND", gyre_test_backend(), 1), 0);
    cr_assert_eq(setenv("GYRE_WAKER", gyre_test_waker(), 1), 0);
    cr_assert(has_this_runs_pair(NULL));
    cr_assert(has_this_runs_pair(&options));
    options.backend = options.waker = NULL;
    cr_assert(has_this_runs_pair(&options));
}

GYRE_TEST(configuration, T1_name_is_not_the_environments_business)
{
    cr_assert_eq(setenv("GYRE_BACKEND", "abacus", 1), 0);
    cr_assert_eq(setenv("GYRE_WAKER", "rooster", 1), 0);
    struct gyre_loop_options options = configured();
    options.make_current = GYRE_CURRENT_NO;
    options.backend = gyre_test_backend();
    options.waker = gyre_test_waker();
    cr_assert(has_this_runs_pair(&options));
    configure_this_run();
    cr_assert(has_this_runs_pair(NULL));
}

GYRE_TEST(configuration, T1_loops_of_a_runtime_get_it_too)
{
    struct gyre_runtime_options options;
    struct gyre_runtime *runtime;
    configure_this_run();
    gyre_runtime_options_init(&options);
    options.loops = 2;
    cr_assert_eq(gyre_runtime_create(&options, &runtime), 0);
    cr_assert(is_this_runs(gyre_runtime_loop(runtime, 0)));
    cr_assert(is_this_runs(gyre_runtime_loop(runtime, 1)));
    gyre_runtime_destroy(runtime);
}

Test(configuration, T1_instance_gets_it_too)
{
    configure_this_run();
    cr_assert_not_null(gyre_loop_instance());
    cr_assert(is_this_runs(gyre_loop_instance()));
}

/* ---- T2 -------------------------------------------------------------------------------------- */

struct maker {
    pthread_barrier_t *start;
    struct gyre_loop *loop;
};

static void *make_first(void *arg)
{
    struct maker *maker = arg;
    struct gyre_loop_options options = configured();
    options.make_current = GYRE_CURRENT_NO;
    pthread_barrier_wait(maker->start);
    if (gyre_loop_create(&options, &maker->loop) != 0)
        maker->loop = NULL;
    return NULL;
}

GYRE_TEST(configuration, T2_threads_that_make_their_first_loops_together_get_the_same)
{
    pthread_barrier_t start;
    pthread_t threads[MAKERS];
    struct maker makers[MAKERS];
    cr_assert_eq(unsetenv("GYRE_BACKEND"), 0); /* what is best here */
    cr_assert_eq(unsetenv("GYRE_WAKER"), 0);
    cr_assert_eq(pthread_barrier_init(&start, NULL, MAKERS), 0);
    for (int i = 0; i < MAKERS; i++) {
        makers[i].start = &start;
        threads[i] = start_thread(make_first, &makers[i]);
    }
    for (int i = 0; i < MAKERS; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < MAKERS; i++) {
        cr_assert_not_null(makers[i].loop);
        cr_assert_str_eq(gyre_loop_backend(makers[i].loop), gyre_loop_backend(makers[0].loop));
        cr_assert_str_eq(gyre_loop_waker(makers[i].loop), gyre_loop_waker(makers[0].loop));
    }
    for (int i = 0; i < MAKERS; i++)
        gyre_loop_destroy(makers[i].loop);
    pthread_barrier_destroy(&start);
}

GYRE_TEST(configuration, T2_auto_is_chosen_when_it_is_needed_and_stays)
{
    const char *name = NULL;
    struct gyre_loop_options options = configured();
    options.make_current = GYRE_CURRENT_NO;
    cr_assert_eq(gyre_loop_configure(&options), 0); /* chooses nothing yet */
    cr_assert_eq(setenv("GYRE_BACKEND", gyre_test_backend(), 1), 0);
    cr_assert_eq(gyre_loop_default_backend(&name), 0);
    cr_assert_str_eq(name, gyre_test_backend());
    cr_assert_eq(setenv("GYRE_BACKEND", other_backend(), 1), 0);
    cr_assert_str_eq(backend_by(&options), gyre_test_backend());
    cr_assert_eq(gyre_loop_configure(NULL), 0);
    cr_assert_eq(gyre_loop_default_backend(&name), 0);
    cr_assert_str_eq(name, gyre_test_backend());
}

GYRE_TEST(configuration, T2_choice_that_failed_is_made_again)
{
    const char *name = "";
    struct gyre_loop *loop;
    cr_assert_eq(setenv("GYRE_BACKEND", "abacus", 1), 0);
    cr_assert_eq(gyre_loop_create(NULL, &loop), -ENOENT);
    cr_assert_eq(gyre_loop_default_backend(&name), -ENOENT);
    cr_assert_str_eq(name, "");
    cr_assert_eq(setenv("GYRE_BACKEND", gyre_test_backend(), 1), 0);
    cr_assert_eq(gyre_loop_default_backend(&name), 0);
    cr_assert_str_eq(name, gyre_test_backend());
}

/* ---- T3 -------------------------------------------------------------------------------------- */

static void assert_same(const struct gyre_loop_options *one, const struct gyre_loop_options *other)
{
    cr_assert_str_eq(one->backend, other->backend);
    cr_assert_str_eq(one->waker, other->waker);
    cr_assert_eq(one->make_current, other->make_current);
    cr_assert_eq(one->queue_max, other->queue_max);
    cr_assert_eq(one->callback_budget_ns, other->callback_budget_ns);
    cr_assert_eq(one->timer_budget_ns, other->timer_budget_ns);
    cr_assert_eq(one->wait_max_ns, other->wait_max_ns);
    cr_assert_eq(one->clock, other->clock);
    cr_assert_eq(one->on_error_arg, other->on_error_arg);
}

/* Tries to configure something whose other options are new. */
static int try_configure(struct gyre_loop_options defaults)
{
    defaults.queue_max += 10;
    defaults.on_error_arg = &defaults;
    return gyre_loop_configure(&defaults);
}

GYRE_TEST(configuration, T3_wrong_defaults_are_refused_and_change_nothing)
{
    configure_this_run();
    struct gyre_loop_options before = configured();
    struct gyre_loop_options wrong = before;
    wrong.backend = "abacus";
    cr_assert_eq(try_configure(wrong), -ENOENT);
    wrong.backend = "";
    cr_assert_eq(try_configure(wrong), -ENOENT);
    wrong = before;
    wrong.waker = "rooster";
    cr_assert_eq(try_configure(wrong), -ENOENT);
    wrong = before;
    wrong.size--;
    cr_assert_eq(try_configure(wrong), -EINVAL);
    wrong = before;
    wrong.wait_max_ns = 0;
    cr_assert_eq(try_configure(wrong), -EINVAL);
    wrong = before;
    wrong.make_current = (enum gyre_make_current)7;
    cr_assert_eq(try_configure(wrong), -EINVAL);

    struct gyre_loop_options after = configured();
    assert_same(&before, &after);
    cr_assert(has_this_runs_pair(NULL));
}

GYRE_TEST(configuration, T3_stored_defaults_apply_under_explicit_options)
{
    struct gyre_loop *loop;
    unsigned calls = 0;
    configure_this_run(); /* a queue of three */
    cr_assert_eq(gyre_loop_create(NULL, &loop), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(gyre_loop_add_callback(loop, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(loop, count_call, &calls), -EAGAIN);
    gyre_loop_destroy(loop);

    struct gyre_loop_options options = configured();
    cr_assert_eq(options.queue_max, 3);
    options.queue_max = 4;
    cr_assert_eq(gyre_loop_create(&options, &loop), 0);
    for (int i = 0; i < 4; i++)
        cr_assert_eq(gyre_loop_add_callback(loop, count_call, &calls), 0);
    cr_assert_eq(gyre_loop_add_callback(loop, count_call, &calls), -EAGAIN);
    gyre_loop_destroy(loop);
    cr_assert_eq(configured().queue_max, 3);
}

/* ---- T4 -------------------------------------------------------------------------------------- */

GYRE_TEST(configuration, T4_choice_can_be_asked_saved_and_restored)
{
    const char *name;
    struct gyre_loop_options saved = configured();
    configure_this_run();
    cr_assert_str_eq(configured().backend, gyre_test_backend());
    cr_assert_str_eq(configured().waker, gyre_test_waker());
    cr_assert_eq(gyre_loop_default_backend(&name), 0);
    cr_assert_str_eq(name, gyre_test_backend());

    cr_assert_eq(gyre_loop_configure(&saved), 0);
    struct gyre_loop_options restored = configured();
    assert_same(&saved, &restored);
    configure_this_run();
    cr_assert_eq(gyre_loop_configure(NULL), 0); /* the library's own */
    restored = configured();
    assert_same(&saved, &restored);
}

GYRE_TEST(configuration, T4_names_need_not_live)
{
    char backend[32];
    char waker[32];
    struct gyre_loop_options defaults = configured();
    defaults.backend = strcpy(backend, gyre_test_backend());
    defaults.waker = strcpy(waker, gyre_test_waker());
    defaults.make_current = GYRE_CURRENT_NO;
    cr_assert_eq(gyre_loop_configure(&defaults), 0);
    backend[0] = waker[0] = '?';
    cr_assert_str_eq(configured().backend, gyre_test_backend());
    cr_assert_str_eq(configured().waker, gyre_test_waker());
    cr_assert(has_this_runs_pair(NULL));
}

GYRE_TEST(configuration, T4_loop_tells_its_backend_and_its_waker)
{
    struct gyre_loop_options options = configured();
    struct gyre_loop *loop;
    char backend[32];
    char waker[32];
    options.make_current = GYRE_CURRENT_NO;
    options.backend = strcpy(backend, gyre_test_backend());
    options.waker = strcpy(waker, gyre_test_waker());
    cr_assert_eq(gyre_loop_create(&options, &loop), 0);
    backend[0] = waker[0] = '?'; /* the caller's texts need not live */
    for (int closed = 0; closed < 2; closed++) { /* a closed one tells as well */
        cr_assert_str_eq(gyre_loop_backend(loop), gyre_test_backend());
        cr_assert_str_eq(gyre_loop_waker(loop), gyre_test_waker());
        cr_assert_eq(gyre_loop_close(loop, 0), 0);
    }
    gyre_loop_release(loop);
}
