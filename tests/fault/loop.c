/* SPDX-License-Identifier: MIT */
/*
 * loop - one loop and one thread while calls fail: made, given handlers, posted to, turned, closed.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "sweep.h"

enum {
    TRIES_MAX = SWEEP_BURST + 1, /* one of these works */
    POSTS_MAX = 32,
    CALLS = 70 /* more than one chunk of timers with handles */
};

/* Makes a loop, or tells why not. */
static struct gyre_loop *make_loop(void)
{
    struct gyre_loop_options options = sweep_loop_options();
    struct gyre_loop *loop;
    return sweep_tell(gyre_loop_create(&options, &loop)) == 0 ? loop : NULL;
}

static int stop_loop(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    return status == 0 ? gyre_loop_stop(loop) : 0;
}

/* ---- creation -------------------------------------------------------------------------------- */

static void create_and_close(const void *arg)
{
    struct gyre_loop_options options = sweep_loop_options();
    struct gyre_loop *loop;
    struct gyre_loop *other = NULL;
    (void)arg;
    options.make_current = GYRE_CURRENT_YES;
    if (sweep_tell(gyre_loop_create(&options, &loop)) != 0) {
        HOLDS(gyre_loop_current_or_null() == NULL);
        return;
    }
    HOLDS(gyre_loop_current_or_null() == loop);
    options.make_current = GYRE_CURRENT_IF_NONE;
    options.timing = GYRE_TIMING_CALLS;
    (void)sweep_tell(gyre_loop_create(&options, &other));
    HOLDS(gyre_loop_current_or_null() == loop);
    HOLDS_EQ(gyre_loop_close(loop, 0), 0);
    HOLDS(gyre_loop_current_or_null() == NULL);
    gyre_loop_release(loop);
    gyre_loop_destroy(other);
}

static void a_loop_that_cannot_be_made_leaves_nothing(void)
{
    sweep(create_and_close, NULL);
}

/* ---- configuration --------------------------------------------------------------------------- */

/* The backend is looked for, and forks are watched from then on. */
static void configure(const void *arg)
{
    struct gyre_loop_options before = sweep_loop_options();
    struct gyre_loop_options after;
    struct gyre_loop_options wanted = before;
    (void)arg;
    wanted.queue_max = before.queue_max + 1;
    int r = sweep_tell(gyre_loop_configure(&wanted));
    gyre_loop_options_init(&after);
    HOLDS_EQ(after.queue_max, r == 0 ? wanted.queue_max : before.queue_max);
    wanted.queue_max = before.queue_max;
    if (r == 0)
        (void)sweep_tell(gyre_loop_configure(&wanted));
}

static void defaults_that_cannot_be_stored_change_nothing(void)
{
    sweep(configure, NULL);
}

/* ---- a thread's cache ------------------------------------------------------------------------ */

static int end_callback(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status; /* it only counts */
    ++*(unsigned *)arg;
    return 0;
}

/* The first callback of a thread, for which it needs to be told of the thread's end. */
static void add_first_callback(const void *arg)
{
    struct gyre_loop *loop = make_loop();
    unsigned ends = 0;
    (void)arg;
    if (loop == NULL)
        return;
    int r = sweep_tell(gyre_loop_add_callback(loop, end_callback, &ends));
    gyre_loop_destroy(loop);
    HOLDS_EQ(ends, r == 0);
}

static void a_process_without_a_key_left_may_have_one_later(void)
{
    static const struct injection keys = {.only = INJECT_KEY_CREATE, .at = 1, .burst = 1};
    static const struct injection nothing = {.only = INJECT_KEY_CREATE};
    HOLDS_EQ(sweep_once(&keys, add_first_callback, NULL), -ENOMEM);
    HOLDS(inject_read().fired);
    HOLDS_EQ(sweep_once(&nothing, add_first_callback, NULL), 0);
}

/* ---- handlers -------------------------------------------------------------------------------- */

struct watch {
    int fds[2]; /* watched, and its peer */
    int high; /* a duplicate with a number beyond the first entries */
    unsigned calls;
};

static void open_watch(struct watch *watch)
{
    inject_outside_begin();
    HOLDS_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, watch->fds), 0);
    watch->high = fcntl(watch->fds[0], F_DUPFD_CLOEXEC, 300);
    HOLDS(watch->high >= 300);
    HOLDS_EQ(write(watch->fds[1], "x", 1), 1);
    inject_outside_end();
}

static void close_watch(const struct watch *watch)
{
    inject_outside_begin();
    (void)close(watch->high);
    (void)close(watch->fds[0]);
    (void)close(watch->fds[1]);
    inject_outside_end();
}

static int on_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct watch *watch = arg;
    (void)fd;
    HOLDS_EQ(events, GYRE_READ);
    watch->calls++;
    return gyre_loop_stop(loop);
}

/* Adds a handler; each failure leaves things as they were, so that it works in the end. */
static void add(struct gyre_loop *loop, int fd, struct watch *watch)
{
    int r = -1;
    for (int tries = 0; tries < TRIES_MAX && r != 0; tries++) {
        r = sweep_tell(gyre_loop_add_handler(loop, fd, GYRE_READ, on_ready, watch));
        if (r != 0)
            HOLDS_EQ(gyre_loop_remove_handler(loop, fd), -ENOENT);
    }
    HOLDS_EQ(r, 0);
}

/* Runs until a handler was called; a run that fails can be begun again. */
static void run_until_called(struct gyre_loop *loop, struct watch *watch)
{
    unsigned before = watch->calls;
    for (int tries = 0; tries < TRIES_MAX && watch->calls == before; tries++)
        (void)sweep_tell(gyre_loop_run(loop));
    HOLDS_EQ(watch->calls, before + 1);
}

static void register_and_deliver(const void *arg)
{
    struct watch watch = {.calls = 0};
    struct gyre_loop *loop = make_loop();
    (void)arg;
    if (loop == NULL)
        return;
    open_watch(&watch);
    add(loop, watch.fds[0], &watch);
    run_until_called(loop, &watch);
    HOLDS_EQ(gyre_loop_update_handler(loop, watch.fds[0], GYRE_NONE), 0);
    add(loop, watch.high, &watch);
    run_until_called(loop, &watch);
    HOLDS_EQ(gyre_loop_remove_handler(loop, watch.high), 0);
    HOLDS_EQ(gyre_loop_update_handler(loop, watch.fds[0], GYRE_READ), 0);
    run_until_called(loop, &watch);
    HOLDS_EQ(gyre_loop_remove_handler(loop, watch.fds[0]), 0);
    add(loop, watch.fds[0], &watch);
    run_until_called(loop, &watch);
    gyre_loop_destroy(loop);
    close_watch(&watch);
}

static void a_handler_that_cannot_be_added_can_be_added_again(void)
{
    sweep(register_and_deliver, NULL);
}

/* ---- owners ---------------------------------------------------------------------------------- */

struct owner {
    int fd;
    unsigned closes;
};

static int never_ready(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)loop;
    (void)fd;
    (void)arg;
    HOLDS_EQ(events, GYRE_NONE); /* fails: nothing was asked for */
    return 0;
}

static void close_owner(struct gyre_loop *loop, int fd, void *arg)
{
    struct owner *owner = arg;
    (void)loop;
    HOLDS_EQ(fd, owner->fd);
    owner->closes++;
}

/* Two owners, whose numbers lie in different chunks. One that could not be added is not called. */
static void own_and_close(const void *arg)
{
    struct watch watch = {.calls = 0};
    struct gyre_loop *loop = make_loop();
    bool added[2];
    (void)arg;
    if (loop == NULL)
        return;
    open_watch(&watch);
    struct owner owners[2] = {{.fd = watch.fds[1]}, {.fd = watch.high}};
    for (int i = 0; i < 2; i++)
        added[i] = sweep_tell(gyre_loop_add_owned_handler(
                       loop, owners[i].fd, GYRE_NONE, never_ready, &owners[i], close_owner)) == 0;
    HOLDS_EQ(gyre_loop_close(loop, GYRE_CLOSE_ALL_FDS), 0);
    for (int i = 0; i < 2; i++)
        HOLDS_EQ(owners[i].closes, added[i]);
    gyre_loop_release(loop);
    close_watch(&watch);
}

static void an_owner_that_cannot_be_added_is_not_called(void)
{
    sweep(own_and_close, NULL);
}

/* ---- a poll set that is rebuilt -------------------------------------------------------------- */

struct sleeper {
    struct gyre_loop *loop;
    uint64_t sleeps; /* before the run */
    struct gyre_task task;
};

/* Has the loop stopped from another thread, once it sleeps: by a post, which outlives a run that
 * fails. The alarm is the limit. */
static void stop_sleeper(void *arg)
{
    struct sleeper *sleeper = arg;
    const struct timespec pause = {0, 20 * 1000};
    struct gyre_loop_stats stats;
    gyre_loop_stats(sleeper->loop, &stats);
    for (; stats.sleeps == sleeper->sleeps; gyre_loop_stats(sleeper->loop, &stats))
        (void)nanosleep(&pause, NULL); /* the loop may need the CPU; no signal comes here */
    HOLDS_EQ(gyre_loop_post(sleeper->loop, &sleeper->task), 0);
}

static void run_until_woken(struct gyre_loop *loop)
{
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    struct sleeper sleeper = {.loop = loop, .sleeps = stats.sleeps};
    gyre_task_init(&sleeper.task, stop_loop, NULL);
    struct sweep_thread *thread = sweep_thread_start(stop_sleeper, &sleeper);
    int r = -1;
    for (int tries = 0; tries < TRIES_MAX && r != 0; tries++)
        r = sweep_tell(gyre_loop_run(loop));
    HOLDS_EQ(r, 0);
    sweep_thread_join(thread);
}

/* A duplicate keeps a closed descriptor's file, so that the poll set has to be made anew: it has to
 * have everything again, the waker too. With an argument, for a foreign loop to see. */
static void lose_and_rebuild(const void *arg)
{
    struct watch gone = {.calls = 0};
    struct watch stays = {.calls = 0};
    struct gyre_loop *loop = make_loop();
    struct pollfd foreign = {.fd = -1, .events = POLLIN};
    char byte;
    if (loop == NULL)
        return;
    if (arg != NULL && gyre_loop_fd(loop, &foreign.fd) != 0)
        foreign.fd = -1; /* not every backend has one */
    open_watch(&gone);
    open_watch(&stays);
    add(loop, gone.fds[0], &gone);
    add(loop, stays.fds[0], &stays);
    inject_outside_begin();
    HOLDS_EQ(read(stays.fds[0], &byte, 1), 1);
    (void)close(gone.fds[0]); /* gone.high keeps the file */
    inject_outside_end();
    HOLDS_EQ(gyre_loop_remove_handler(loop, gone.fds[0]), -ENOENT);

    run_until_woken(loop); /* meets the stray event, and rebuilds */
    inject_outside_begin();
    HOLDS_EQ(write(stays.fds[1], "x", 1), 1);
    inject_outside_end();
    run_until_called(loop, &stays);
    HOLDS_EQ(gone.calls, 0);
    inject_outside_begin();
    HOLDS_EQ(write(stays.fds[1], "x", 1), 1);
    HOLDS_EQ(poll(&foreign, 1, 0), foreign.fd >= 0);
    inject_outside_end();
    gyre_loop_destroy(loop);
    inject_outside_begin();
    gone.fds[0] = dup(gone.high); /* for close_watch */
    inject_outside_end();
    close_watch(&gone);
    close_watch(&stays);
}

static void a_loop_whose_poll_set_cannot_be_rebuilt_goes_on(void)
{
    sweep(lose_and_rebuild, NULL);
}

static void nor_does_a_foreign_loop_lose_it(void)
{
    sweep(lose_and_rebuild, "embedded");
}

/* ---- posts ----------------------------------------------------------------------------------- */

/* What was posted, and what became of it. */
struct posts {
    struct gyre_task tasks[4];
    unsigned accepted;
    unsigned ends[POSTS_MAX]; /* calls of each */
    struct post {
        struct posts *posts;
        unsigned index;
    } posted[POSTS_MAX];
};

static int end_post(struct gyre_loop *loop, int status, void *arg)
{
    struct post *post = arg;
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    post->posts->ends[post->index]++;
    return 0;
}

/* The next post's argument. */
static struct post *next_post(struct posts *posts)
{
    struct post *post = &posts->posted[posts->accepted];
    *post = (struct post){posts, posts->accepted};
    return post;
}

static void count_post(struct posts *posts, int result)
{
    if (result == 0)
        posts->accepted++;
    else
        (void)sweep_tell(result);
}

static void post_all(struct gyre_loop *loop, struct posts *posts)
{
    for (unsigned i = 0; i < 2; i++) {
        gyre_task_init(&posts->tasks[i], end_post, next_post(posts));
        count_post(posts, gyre_loop_post(loop, &posts->tasks[i]));
    }
    unsigned first = posts->accepted;
    for (unsigned i = 2; i < 4; i++) {
        gyre_task_init(&posts->tasks[i], end_post, next_post(posts));
        posts->accepted++;
    }
    struct gyre_task *const batch[] = {&posts->tasks[2], &posts->tasks[3]};
    if (sweep_tell(gyre_loop_post_batch(loop, batch, 2)) != 0)
        posts->accepted = first;
    for (unsigned i = 0; i < 4; i++) {
        count_post(posts, gyre_loop_add_callback(loop, end_post, next_post(posts)));
        count_post(posts, gyre_loop_spawn_callback(loop, end_post, next_post(posts)));
    }
    count_post(posts, gyre_loop_post_call_at(loop, 0, end_post, next_post(posts)));
}

static void check_posts(const struct posts *posts)
{
    for (unsigned i = 0; i < POSTS_MAX; i++)
        HOLDS_EQ(posts->ends[i], i < posts->accepted);
}

struct way {
    uint32_t queue_max;
    enum gyre_timing timing;
};

static void post_and_run(const void *arg)
{
    const struct way *way = arg;
    struct gyre_loop_options options = sweep_loop_options();
    struct posts posts = {.accepted = 0};
    struct gyre_timer last;
    struct gyre_loop *loop;
    options.queue_max = way->queue_max;
    options.timing = way->timing;
    if (sweep_tell(gyre_loop_create(&options, &loop)) != 0)
        return;
    post_all(loop, &posts);
    gyre_timer_init(&last, loop, stop_loop, NULL);
    HOLDS_EQ(gyre_timer_start(&last, gyre_loop_now_ns(loop) + 1000 * 1000), 0);
    (void)sweep_tell(gyre_loop_run(loop));
    if (sweep_told() == 0)
        HOLDS_EQ(posts.accepted, 13);
    post_all(loop, &posts); /* these are cancelled, and perhaps a timer that was just posted */
    gyre_loop_destroy(loop);
    check_posts(&posts);
}

static void accepted_posts_end_once_each(void)
{
    static const struct way unbounded = {.queue_max = 0};
    sweep(post_and_run, &unbounded);
}

static void accepted_posts_of_a_timed_loop_end_once_each(void)
{
    static const struct way timed = {.timing = GYRE_TIMING_TURNS};
    sweep(post_and_run, &timed);
}

static void accepted_posts_of_a_bounded_loop_end_once_each(void)
{
    static const struct way bounded = {.queue_max = 13};
    sweep(post_and_run, &bounded);
}

/* ---- timers ---------------------------------------------------------------------------------- */

struct timers {
    unsigned ends[CALLS];
    unsigned accepted[CALLS];
    uint64_t handles[CALLS];
};

static int end_timer(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    HOLDS(status == 0 || status == -ECANCELED);
    ++*(unsigned *)arg;
    return 0;
}

static void start_timers(struct gyre_loop *loop, struct timers *timers)
{
    for (unsigned i = 0; i < CALLS; i++) {
        if (sweep_tell(gyre_loop_call_later(loop, i % 3 * 100, &timers->handles[i], end_timer,
                                            &timers->ends[i])) == 0)
            timers->accepted[i] = 1;
    }
    for (unsigned i = 0; i < CALLS; i += 7) {
        if (timers->accepted[i] == 1)
            HOLDS_EQ(gyre_loop_cancel_call(loop, timers->handles[i]), 0);
        timers->accepted[i] = 0;
    }
}

static void time_and_run(const void *arg)
{
    struct timers timers = {.ends = {0}};
    struct gyre_timer timer;
    struct gyre_timer stops;
    unsigned fired = 0;
    struct gyre_loop *loop = make_loop();
    (void)arg;
    if (loop == NULL)
        return;
    start_timers(loop, &timers);
    gyre_timer_init(&timer, loop, end_timer, &fired);
    gyre_timer_init(&stops, loop, stop_loop, NULL);
    uint64_t now = gyre_loop_now_ns(loop);
    HOLDS_EQ(gyre_timer_start(&timer, now + 100 * 1000), 0);
    HOLDS_EQ(gyre_timer_start(&stops, now + 300 * 1000), 0);
    (void)sweep_tell(gyre_loop_run(loop));
    gyre_loop_destroy(loop);
    HOLDS_EQ(fired, 1);
    for (unsigned i = 0; i < CALLS; i++)
        HOLDS_EQ(timers.ends[i], timers.accepted[i]);
}

static void accepted_timers_end_once_each(void)
{
    sweep(time_and_run, NULL);
}

/* ---- turns ----------------------------------------------------------------------------------- */

static int run_nested(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    if (status != 0)
        return 0;
    HOLDS_EQ(gyre_loop_stop(loop), 0);
    (void)sweep_tell(gyre_loop_run(loop)); /* returns at once */
    struct gyre_timer inner;
    gyre_timer_init(&inner, loop, stop_loop, NULL);
    HOLDS_EQ(gyre_timer_start(&inner, gyre_loop_now_ns(loop) + 100 * 1000), 0);
    (void)sweep_tell(gyre_loop_run(loop)); /* runs, and the outer one ends after it */
    return gyre_timer_stop(&inner);
}

static void turn(const void *arg)
{
    struct gyre_task nested;
    struct gyre_timer stops;
    struct gyre_loop *loop = make_loop();
    (void)arg;
    if (loop == NULL)
        return;
    HOLDS_EQ(gyre_loop_stop(loop), 0);
    HOLDS_EQ(gyre_loop_run(loop), 0); /* returns at once */
    gyre_loop_wake(loop);
    gyre_timer_init(&stops, loop, stop_loop, NULL);
    HOLDS_EQ(gyre_timer_start(&stops, gyre_loop_now_ns(loop) + 200 * 1000), 0);
    (void)sweep_tell(gyre_loop_run(loop));
    gyre_task_init(&nested, run_nested, NULL);
    HOLDS_EQ(gyre_loop_post(loop, &nested), 0);
    (void)sweep_tell(gyre_loop_run(loop));
    gyre_loop_destroy(loop);
}

static void a_run_that_fails_can_be_begun_again(void)
{
    sweep(turn, NULL);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(a_process_without_a_key_left_may_have_one_later), /* first: the key stays */
    PLAIN_CASE(defaults_that_cannot_be_stored_change_nothing),
    PLAIN_CASE(a_loop_that_cannot_be_made_leaves_nothing),
    PLAIN_CASE(a_handler_that_cannot_be_added_can_be_added_again),
    PLAIN_CASE(an_owner_that_cannot_be_added_is_not_called),
    PLAIN_CASE(a_loop_whose_poll_set_cannot_be_rebuilt_goes_on),
    PLAIN_CASE(nor_does_a_foreign_loop_lose_it),
    PLAIN_CASE(accepted_posts_end_once_each),
    PLAIN_CASE(accepted_posts_of_a_timed_loop_end_once_each),
    PLAIN_CASE(accepted_posts_of_a_bounded_loop_end_once_each),
    PLAIN_CASE(accepted_timers_end_once_each),
    PLAIN_CASE(a_run_that_fails_can_be_begun_again),
};

PLAIN_MAIN(cases)
