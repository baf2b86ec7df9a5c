/* SPDX-License-Identifier: MIT */
/*
 * contexts - rules T106 to T110, and T57's and T108's null context.
 */
#include "support.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char name_key; /* its address is the key of a context's name */
static uint64_t handle; /* of calls that no test cancels */

/* A scene that says in which context each function runs. */
struct told {
    struct scene scene;
    unsigned released; /* contexts that are gone */
    unsigned handles; /* the hook with this name handles; 0: none does */
    unsigned hooks; /* called */
    int last_error;
    enum gyre_failure_kind last_kind;
    int result; /* of the functions that tell */
};

static void count_release(void *value, void *arg)
{
    struct told *told = arg;
    (void)value;
    told->released++;
}

/* The name of the thread's context: "null" without one. */
static const char *context_name(void)
{
    void *name;
    return gyre_context_find(gyre_context_current(), &name_key, &name) == 0 ? name : "null";
}

static bool tell_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    struct told *told = arg;
    (void)loop;
    say(&told->scene, "hook-in");
    say(&told->scene, context_name());
    told->last_error = failure->error;
    told->last_kind = failure->kind;
    return ++told->hooks == told->handles;
}

static struct gyre_context *make(struct told *told, struct gyre_context *parent, const char *name)
{
    struct gyre_context *context = NULL;
    struct gyre_context_options options;
    gyre_context_options_init(&options);
    options.key = &name_key;
    options.value = (void *)(uintptr_t)name;
    options.on_error = tell_failure;
    options.release = count_release;
    options.arg = told;
    cr_assert_eq(gyre_context_create(parent, &options, &context), 0);
    return context;
}

static void count_loop_failure(struct gyre_loop *loop, const struct gyre_failure *failure,
                               void *arg)
{
    struct told *told = arg;
    (void)loop;
    (void)failure;
    say(&told->scene, "loop-in");
    say(&told->scene, context_name());
}

static void open_told(struct told *told)
{
    struct gyre_loop_options options;
    *told = (struct told){.released = 0};
    scene_options(&told->scene, &options);
    options.on_error = count_loop_failure;
    options.on_error_arg = told;
    scene_open_with(&told->scene, &options);
}

/* Says the context that it runs in, with a "!" if it was cancelled. */
static int tell(struct gyre_loop *loop, int status, void *arg)
{
    struct told *told = arg;
    (void)loop;
    say(&told->scene, context_name());
    if (status != 0)
        say(&told->scene, "!");
    return told->result;
}

static int tell_handler(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct told *told = arg;
    (void)events;
    say(&told->scene, context_name());
    (void)gyre_loop_remove_handler(loop, fd);
    (void)gyre_context_enter(NULL); /* whatever it enters, its own hears of its failure */
    return told->result;
}

/* ---- T106 ------------------------------------------------------------------------------------ */

GYRE_TEST(contexts, T106_callbacks_tasks_and_timers_run_in_the_context_of_registration)
{
    struct told told;
    struct gyre_task task;
    struct gyre_timer timer;
    open_told(&told);
    struct gyre_loop *loop = told.scene.loop;
    struct gyre_context *a = make(&told, NULL, "a");
    struct gyre_context *b = make(&told, NULL, "b");
    gyre_task_init(&task, tell, &told);
    gyre_timer_init(&timer, loop, tell, &told);

    cr_assert_null(gyre_context_enter(a));
    cr_assert_eq(gyre_loop_add_callback(loop, tell, &told), 0);
    cr_assert_eq(gyre_loop_call_later(loop, 10, &handle, tell, &told), 0);
    cr_assert_eq(gyre_context_enter(b), a);
    cr_assert_eq(gyre_loop_post(loop, &task), 0);
    cr_assert_eq(gyre_timer_start(&timer, told.scene.now_ns + 20), 0);
    cr_assert_eq(gyre_loop_post_call_at(loop, told.scene.now_ns + 30, tell, &told), 0);
    cr_assert_eq(gyre_context_enter(NULL), b);
    cr_assert_eq(gyre_loop_add_callback(loop, tell, &told), 0);
    gyre_context_release(a);
    gyre_context_release(b);
    cr_assert_eq(told.released, 0, "what is registered holds them");

    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "a b null a b b");
    cr_assert_eq(told.released, 2);
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T106_what_a_function_registers_inherits)
{
    struct told told;
    open_told(&told);
    struct gyre_context *a = make(&told, NULL, "a");
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_loop_post_call_at(told.scene.loop, told.scene.now_ns + 5, tell, &told), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(a);
    cr_assert_eq(scene_run(&told.scene), 0); /* a task, which makes a timer in its context */
    cr_assert_str_eq(told.scene.text, "a");
    cr_assert_eq(told.released, 1);
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T106_posts_of_another_thread_bring_its_context)
{
    struct told told;
    open_told(&told);
    struct gyre_context *a = make(&told, NULL, "a");
    (void)gyre_context_enter(a);
    for (int i = 0; i < 3; i++) /* nobody is inside: they take the lane */
        cr_assert_eq(gyre_loop_add_callback(told.scene.loop, tell, &told), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(a);
    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "a a a");
    cr_assert_eq(told.released, 1);
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T106_handler_runs_in_its_context_and_may_remove_itself)
{
    struct told told;
    int writer;
    int fd = make_readable(&writer);
    open_told(&told);
    struct gyre_context *a = make(&told, NULL, "a");
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_loop_add_handler(told.scene.loop, fd, GYRE_READ, tell_handler, &told), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(a);
    told.result = -EIO; /* the failure still finds the context, whose registration is gone */
    told.handles = 1;
    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "a hook-in null");
    cr_assert_eq(told.last_kind, GYRE_FAILED_HANDLER);
    cr_assert_eq(told.released, 1);
    scene_close(&told.scene);
    close(fd);
    close(writer);
}

GYRE_TEST(contexts, T106_cancelled_functions_run_in_their_contexts_too)
{
    struct told told;
    struct gyre_timer timer;
    open_told(&told);
    struct gyre_context *a = make(&told, NULL, "a");
    gyre_timer_init(&timer, told.scene.loop, tell, &told);
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_loop_add_callback(told.scene.loop, tell, &told), 0);
    cr_assert_eq(gyre_timer_start(&timer, 5), 0);
    cr_assert_eq(gyre_loop_close(told.scene.loop, 0), 0);
    cr_assert_str_eq(told.scene.text, "a ! a !");
    cr_assert_eq(gyre_context_current(), a, "close restores the caller's");
    (void)gyre_context_enter(NULL);
    cr_assert_eq(told.released, 0);
    gyre_context_release(a);
    cr_assert_eq(told.released, 1);
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T106_refused_posts_and_stopped_timers_let_go)
{
    struct told told;
    struct gyre_task task;
    struct gyre_timer timer;
    open_told(&told);
    struct gyre_loop *loop = told.scene.loop;
    struct gyre_context *a = make(&told, NULL, "a");
    struct gyre_context *b = make(&told, NULL, "b");
    gyre_timer_init(&timer, loop, tell, &told);
    gyre_task_init(&task, tell, &told);
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_timer_start(&timer, told.scene.now_ns + 5), 0);
    (void)gyre_context_enter(b);
    cr_assert_eq(gyre_timer_start(&timer, told.scene.now_ns + 9), 0); /* armed again: in b */
    gyre_context_release(a);
    cr_assert_eq(told.released, 1);
    cr_assert_eq(gyre_timer_stop(&timer), 0);
    cr_assert_eq(gyre_loop_call_later(loop, 5, &handle, tell, &told), 0);
    cr_assert_eq(gyre_loop_cancel_call(loop, handle), 0);
    cr_assert_eq(gyre_loop_close(loop, 0), 0);
    cr_assert_eq(gyre_loop_post(loop, &task), -ESHUTDOWN);
    cr_assert_eq(gyre_loop_add_callback(loop, tell, &told), -ESHUTDOWN);
    (void)gyre_context_enter(NULL);
    gyre_context_release(b);
    cr_assert_eq(told.released, 2);
    cr_assert_str_eq(told.scene.text, "");
    scene_close(&told.scene);
}

/* A context whose release calls the loop, by which a timer or call is let go of. */
struct last_word {
    struct gyre_loop *loop;
    struct gyre_timer timer;
    unsigned released;
    int result; /* of what the release called */
};

static void cancel_again(void *value, void *arg)
{
    struct last_word *last = arg;
    (void)value;
    last->released++;
    last->result = gyre_loop_cancel_call(last->loop, handle);
}

static void start_again(void *value, void *arg)
{
    struct last_word *last = arg;
    (void)value;
    last->released++;
    last->result = gyre_timer_start(&last->timer, 7);
}

static void close_loop(void *value, void *arg)
{
    struct last_word *last = arg;
    (void)value;
    last->released++;
    last->result = gyre_loop_close(last->loop, 0);
}

/* Enters a context with that release, of which the caller keeps no other reference. */
static struct gyre_context *enter_last(struct last_word *last, gyre_context_release_fn *release)
{
    struct gyre_context *context = NULL;
    struct gyre_context_options options;
    gyre_context_options_init(&options);
    options.release = release;
    options.arg = last;
    cr_assert_eq(gyre_context_create(NULL, &options, &context), 0);
    (void)gyre_context_enter(context);
    return context;
}

static void leave_last(struct gyre_context *context)
{
    (void)gyre_context_enter(NULL);
    gyre_context_release(context);
}

GYRE_TEST(contexts, T106_release_of_a_calls_context_may_cancel_the_call_again)
{
    struct told told;
    open_told(&told);
    struct last_word last = {.loop = told.scene.loop};
    struct gyre_context *context = enter_last(&last, cancel_again);
    cr_assert_eq(gyre_loop_call_later(last.loop, 5, &handle, tell, &told), 0);
    leave_last(context);
    cr_assert_eq(gyre_loop_cancel_call(last.loop, handle), 0);
    cr_assert_eq(last.released, 1);
    cr_assert_eq(last.result, -ENOENT, "it is cancelled already");
    cr_assert_eq(gyre_loop_call_later(last.loop, 5, &handle, tell, &told), 0);
    cr_assert_eq(gyre_loop_call_later(last.loop, 5, &handle, tell, &told), 0, "a slot of its own");
    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "null null");
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T106_release_of_a_timers_context_may_start_the_timer_again)
{
    struct told told;
    open_told(&told);
    struct last_word last = {.loop = told.scene.loop};
    gyre_timer_init(&last.timer, last.loop, tell, &told);
    struct gyre_context *context = enter_last(&last, start_again);
    cr_assert_eq(gyre_timer_start(&last.timer, 5), 0);
    leave_last(context);
    struct gyre_context *b = make(&told, NULL, "b");
    (void)gyre_context_enter(b);
    cr_assert_eq(gyre_timer_start(&last.timer, 5), 0);
    leave_last(b);
    cr_assert_eq(last.released, 1);
    cr_assert_eq(last.result, 0);
    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "b");
    cr_assert_eq(told.released, 1, "no reference to b is left");
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T106_release_of_a_timers_context_may_close_the_loop)
{
    struct told told;
    open_told(&told);
    struct last_word last = {.loop = told.scene.loop};
    gyre_timer_init(&last.timer, last.loop, tell, &told);
    struct gyre_context *context = enter_last(&last, close_loop);
    cr_assert_eq(gyre_timer_start(&last.timer, 5), 0);
    leave_last(context);
    cr_assert_eq(gyre_timer_start(&last.timer, 9), 0);
    cr_assert_eq(last.released, 1);
    cr_assert_eq(last.result, 0);
    cr_assert_str_eq(told.scene.text, "null !", "the close has cancelled it");
    cr_assert(!gyre_timer_is_armed(&last.timer));
    scene_close(&told.scene);
}

/* ---- T107 ------------------------------------------------------------------------------------ */

/* Has a callback fail inside "outer" > "inner"; the hook number `handles` handles it. */
static void fail_inside(struct told *told, unsigned handles)
{
    open_told(told);
    struct gyre_context *outer = make(told, NULL, "outer");
    struct gyre_context *inner = make(told, outer, "inner");
    (void)gyre_context_enter(inner);
    cr_assert_eq(gyre_loop_add_callback(told->scene.loop, tell, told), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(outer);
    gyre_context_release(inner);
    told->result = -EIO;
    told->handles = handles;
    cr_assert_eq(scene_run(&told->scene), 0);
    cr_assert_eq(told->last_error, -EIO);
    cr_assert_eq(told->last_kind, GYRE_FAILED_CALLBACK);
    cr_assert_eq(told->released, 2);
    scene_close(&told->scene);
}

GYRE_TEST(contexts, T107_error_goes_from_the_innermost_outwards)
{
    struct told told;
    fail_inside(&told, 0);
    /* each hook runs in its context's parent, and the loop's in the failed function's */
    cr_assert_str_eq(told.scene.text, "inner hook-in outer hook-in null loop-in inner");
    cr_assert_eq(told.hooks, 2);
}

GYRE_TEST(contexts, T107_handled_error_goes_no_further)
{
    struct told told;
    fail_inside(&told, 1);
    cr_assert_str_eq(told.scene.text, "inner hook-in outer");
    fail_inside(&told, 2);
    cr_assert_str_eq(told.scene.text, "inner hook-in outer hook-in null");
}

/* ---- T108 ------------------------------------------------------------------------------------ */

GYRE_TEST(contexts, T57_T108_spawned_callback_runs_in_the_null_context)
{
    struct told told;
    open_told(&told);
    struct gyre_context *a = make(&told, NULL, "a");
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_loop_spawn_callback(told.scene.loop, tell, &told), 0);
    cr_assert_eq(gyre_loop_add_callback(told.scene.loop, tell, &told), 0);
    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "null a");
    cr_assert_eq(gyre_context_enter(NULL), a, "run restores the caller's");
    gyre_context_release(a);
    scene_close(&told.scene);
}

/* ---- T109 ------------------------------------------------------------------------------------ */

struct stray {
    struct told told;
    struct gyre_context *other;
};

static int enter_and_stay(struct gyre_loop *loop, int status, void *arg)
{
    struct stray *stray = arg;
    (void)loop;
    (void)status;
    (void)gyre_context_enter(stray->other);
    return stray->told.result;
}

static int enter_and_stay_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)events;
    (void)gyre_loop_remove_handler(loop, fd);
    return enter_and_stay(loop, 0, arg);
}

GYRE_TEST(contexts, T109_thread_is_back_in_the_null_context_after_each_call)
{
    struct stray stray;
    struct told *told = &stray.told;
    int writers[2];
    int fds[2] = {make_readable(&writers[0]), make_readable(&writers[1])};
    open_told(told);
    struct gyre_loop *loop = told->scene.loop;
    stray.other = make(told, NULL, "other");
    cr_assert_eq(gyre_loop_add_callback(loop, enter_and_stay, &stray), 0);
    cr_assert_eq(gyre_loop_add_callback(loop, tell, told), 0);
    cr_assert_eq(gyre_loop_call_at(loop, 0, &handle, enter_and_stay, &stray), 0);
    cr_assert_eq(gyre_loop_call_at(loop, 0, &handle, tell, told), 0);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, enter_and_stay_ready, &stray), 0);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[1], GYRE_READ, tell_handler, told), 0);
    cr_assert_eq(scene_run(&told->scene), 0);
    cr_assert_str_eq(told->scene.text, "null null null");
    cr_assert_null(gyre_context_current());
    gyre_context_release(stray.other);
    cr_assert_eq(told->released, 1, "nothing else has kept it");
    scene_close(&told->scene);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(writers[i]);
    }
}

GYRE_TEST(contexts, T107_context_of_registration_hears_of_it_whatever_was_entered)
{
    struct stray stray;
    struct told *told = &stray.told;
    open_told(told);
    stray.other = make(told, NULL, "other");
    struct gyre_context *own = make(told, stray.other, "own");
    told->result = -EIO;
    told->handles = 1;
    (void)gyre_context_enter(own);
    cr_assert_eq(gyre_loop_add_callback(told->scene.loop, enter_and_stay, &stray), 0);
    cr_assert_eq(gyre_loop_call_at(told->scene.loop, 0, &handle, enter_and_stay, &stray), 0);
    (void)gyre_context_enter(NULL);
    cr_assert_eq(gyre_loop_add_callback(told->scene.loop, enter_and_stay, &stray), 0);
    gyre_context_release(own);
    cr_assert_eq(scene_run(&told->scene), 0);
    cr_assert_str_eq(told->scene.text, "hook-in other loop-in null "
                                       "hook-in other hook-in null loop-in own");
    gyre_context_release(stray.other);
    scene_close(&told->scene);
}

static int run_inner(struct gyre_loop *loop, int status, void *arg)
{
    struct stray *stray = arg;
    struct told *told = &stray->told;
    (void)status;
    say(&told->scene, context_name());
    (void)gyre_loop_add_callback(loop, stop_loop, NULL); /* it is in this context, too */
    (void)gyre_loop_spawn_callback(loop, tell, told);
    (void)gyre_loop_stop(loop);
    if (gyre_loop_run(loop) != 0 || gyre_loop_run(loop) != 0)
        say(&told->scene, "failed");
    say(&told->scene, context_name());
    return 0;
}

GYRE_TEST(contexts, T109_nested_run_restores_the_callers_context)
{
    struct stray stray;
    struct told *told = &stray.told;
    open_told(told);
    stray.other = make(told, NULL, "a");
    (void)gyre_context_enter(stray.other);
    cr_assert_eq(gyre_loop_add_callback(told->scene.loop, run_inner, &stray), 0);
    (void)gyre_context_enter(NULL);
    cr_assert_eq(scene_run(&told->scene), 0);
    cr_assert_str_eq(told->scene.text, "a null a");
    gyre_context_release(stray.other);
    cr_assert_eq(told->released, 1);
    scene_close(&told->scene);
}

static const char other_key;

GYRE_TEST(contexts, T109_values_are_found_innermost_first_and_never_change)
{
    struct told told;
    struct gyre_context *without;
    void *value = NULL;
    open_told(&told);
    struct gyre_context *outer = make(&told, NULL, "outer");
    struct gyre_context *inner = make(&told, outer, "inner");
    cr_assert_eq(gyre_context_create(outer, NULL, &without), 0);
    gyre_context_release(outer);
    cr_assert_eq(gyre_context_find(inner, &name_key, &value), 0);
    cr_assert_str_eq(value, "inner");
    cr_assert_eq(gyre_context_find(without, &name_key, &value), 0);
    cr_assert_str_eq(value, "outer");
    cr_assert_eq(gyre_context_find(inner, &other_key, &value), -ENOENT);
    cr_assert_eq(gyre_context_find(inner, NULL, &value), -ENOENT);
    cr_assert_eq(gyre_context_find(NULL, &name_key, &value), -ENOENT);
    cr_assert_str_eq(value, "outer", "a failure leaves it");
    gyre_context_release(inner);
    cr_assert_eq(told.released, 1);
    gyre_context_release(without);
    cr_assert_eq(told.released, 2);
    gyre_context_release(NULL);
    cr_assert_null(gyre_context_acquire(NULL));
    scene_close(&told.scene);
}

GYRE_TEST(contexts, T109_bad_options_make_none)
{
    struct gyre_context *context = NULL;
    struct gyre_context_options options;
    gyre_context_options_init(&options);
    options.value = &options; /* without a key */
    cr_assert_eq(gyre_context_create(NULL, &options, &context), -EINVAL);
    gyre_context_options_init(&options);
    options.size--;
    cr_assert_eq(gyre_context_create(NULL, &options, &context), -EINVAL);
    cr_assert_null(context);
}

/* ---- T110 ------------------------------------------------------------------------------------ */

GYRE_TEST(contexts, T110_update_keeps_the_context_of_add)
{
    struct told told;
    int writer;
    int fd = make_readable(&writer);
    open_told(&told);
    struct gyre_context *a = make(&told, NULL, "a");
    struct gyre_context *b = make(&told, NULL, "b");
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_loop_add_handler(told.scene.loop, fd, GYRE_NONE, tell_handler, &told), 0);
    (void)gyre_context_enter(b);
    cr_assert_eq(gyre_loop_update_handler(told.scene.loop, fd, GYRE_READ), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(a);
    gyre_context_release(b);
    cr_assert_eq(told.released, 1, "nothing has captured b");
    cr_assert_eq(scene_run(&told.scene), 0);
    cr_assert_str_eq(told.scene.text, "a");
    cr_assert_eq(told.released, 2);
    scene_close(&told.scene);
    close(fd);
    close(writer);
}

GYRE_TEST(contexts, T110_close_and_a_second_add_let_go_of_a_handlers_context)
{
    struct told told;
    int fds[2];
    open_told(&told);
    make_pipe(fds);
    struct gyre_loop *loop = told.scene.loop;
    struct gyre_context *a = make(&told, NULL, "a");
    (void)gyre_context_enter(a);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, tell_handler, &told), 0);
    (void)gyre_context_enter(NULL);
    close_pipe(fds);
    make_pipe(fds); /* the same numbers: a new file (T35) */
    cr_assert_eq(gyre_loop_add_handler(loop, fds[0], GYRE_READ, tell_handler, &told), 0);
    gyre_context_release(a);
    cr_assert_eq(told.released, 1);
    struct gyre_context *b = make(&told, NULL, "b");
    (void)gyre_context_enter(b);
    cr_assert_eq(gyre_loop_add_handler(loop, fds[1], GYRE_NONE, tell_handler, &told), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(b);
    cr_assert_eq(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0);
    cr_assert_eq(told.released, 2);
    scene_close(&told.scene);
}
