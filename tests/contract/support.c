/* SPDX-License-Identifier: MIT */
/*
 * support - see support.h.
 */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* ---- scene ----------------------------------------------------------------------------------- */

static uint64_t scene_clock(void *arg)
{
    struct scene *scene = arg;
    scene->clock_reads++;
    return scene->now_ns;
}

/* Without a deadline the loop asks for its longest wait, which no test's deadline comes near. */
static bool is_last(const struct scene *scene, uint64_t timeout_ns)
{
    return scene->waits_max != 0 ? scene->waits >= scene->waits_max
                                 : timeout_ns >= 3600 * SECOND_NS;
}

static int scene_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    struct scene *scene = arg;
    if (scene->waits < SCENE_WAITS_KEPT)
        scene->wait_ns[scene->waits] = timeout_ns;
    if (++scene->waits > SCENE_WAITS_MAX)
        return -EOVERFLOW;
    if (is_last(scene, timeout_ns))
        (void)gyre_loop_stop(loop); /* a scene's loop is no runtime's */
    else
        scene->now_ns += timeout_ns;
    if (scene->on_wait != NULL)
        scene->on_wait(scene);
    return 0;
}

void scene_options(struct scene *scene, struct gyre_loop_options *options)
{
    *scene = (struct scene){.now_ns = SECOND_NS};
    gyre_loop_options_init(options);
    options->backend = gyre_test_backend();
    options->waker = gyre_test_waker();
    options->make_current = GYRE_CURRENT_NO;
    options->clock = scene_clock;
    options->clock_arg = scene;
    options->wait = scene_wait;
    options->wait_arg = scene;
}

void scene_open_with(struct scene *scene, const struct gyre_loop_options *options)
{
    cr_assert_eq(gyre_loop_create(options, &scene->loop), 0);
}

void scene_open(struct scene *scene)
{
    struct gyre_loop_options options;
    scene_options(scene, &options);
    scene_open_with(scene, &options);
}

void scene_close(struct scene *scene)
{
    gyre_loop_destroy(scene->loop);
    scene->loop = NULL;
}

int scene_run(struct scene *scene)
{
    scene->waits = 0;
    scene->waits_max = 0;
    return gyre_loop_run(scene->loop);
}

int scene_run_polls(struct scene *scene, unsigned polls)
{
    scene->waits = 0;
    scene->waits_max = polls;
    return gyre_loop_run(scene->loop);
}

void say(struct scene *scene, const char *word)
{
    size_t length = strlen(word);
    if (scene->used + length + 2 > sizeof(scene->text))
        abort(); /* a test that says so much is broken */
    if (scene->used != 0)
        scene->text[scene->used++] = ' ';
    memcpy(scene->text + scene->used, word, length + 1);
    scene->used += length;
}

void hush(struct scene *scene)
{
    scene->used = 0;
    scene->text[0] = '\0';
}

struct word *word_of(struct scene *scene, const char *text)
{
    if (scene->words_used == SCENE_WORDS_MAX)
        abort(); /* a test that needs so many is broken */
    struct word *word = &scene->words[scene->words_used++];
    *word = (struct word){.scene = scene, .text = text};
    return word;
}

int say_word(struct gyre_loop *loop, int status, void *arg)
{
    const struct word *word = arg;
    char text[64];
    (void)loop;
    (void)snprintf(text, sizeof(text), "%s%s", word->text, status == -ECANCELED ? "!" : "");
    say(word->scene, text);
    return word->result;
}

int count_call(struct gyre_loop *loop, int status, void *arg)
{
    unsigned *calls = arg;
    (void)loop;
    (void)status;
    ++*calls;
    return 0;
}

int stop_loop(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    (void)arg;
    return gyre_loop_stop(loop);
}

struct gyre_loop_stats stats_of(const struct gyre_loop *loop)
{
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    return stats;
}

/* ---- handlers -------------------------------------------------------------------------------- */

int watch_handler(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct watch *watch = arg;
    char text[64];
    (void)loop;
    (void)snprintf(text, sizeof(text), "%s:%s%s%s%s", watch->name,
                   (events & GYRE_READ) != 0 ? "r" : "", (events & GYRE_WRITE) != 0 ? "w" : "",
                   (events & GYRE_ERROR) != 0 ? "e" : "", fd == watch->fd ? "" : " wrong fd");
    say(watch->scene, text);
    watch->calls++;
    watch->events = events;
    if (watch->then != NULL)
        watch->then(watch);
    return watch->result;
}

void watch_fd(struct watch *watch, uint32_t events)
{
    cr_assert_eq(gyre_loop_add_handler(watch->scene->loop, watch->fd, events, watch_handler, watch),
                 0);
}

void make_pipe(int fds[2])
{
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

void make_pair(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
}

int make_readable(int *ret_writer)
{
    int fds[2];
    make_pipe(fds);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    *ret_writer = fds[1];
    return fds[0];
}

void close_pipe(const int fds[2])
{
    (void)close(fds[0]); /* what was in it is of no use any more */
    (void)close(fds[1]);
}

int make_file(void)
{
    int fd = memfd_create("gyre-test", MFD_CLOEXEC);
    cr_assert_geq(fd, 0);
    return fd;
}

int closed_number(void)
{
    int fd = make_file();
    (void)close(fd); /* its number is what is asked for */
    return fd;
}

/* ---- real time and other threads ------------------------------------------------------------- */

struct gyre_loop *open_loop(void)
{
    struct gyre_loop_options options;
    struct gyre_loop *loop;
    gyre_loop_options_init(&options);
    options.backend = gyre_test_backend();
    options.waker = gyre_test_waker();
    options.make_current = GYRE_CURRENT_NO;
    cr_assert_eq(gyre_loop_create(&options, &loop), 0);
    return loop;
}

pthread_t start_thread(void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    cr_assert_eq(pthread_create(&thread, NULL, fn, arg), 0);
    return thread;
}

void on_thread(void *(*fn)(void *), void *arg)
{
    cr_assert_eq(pthread_join(start_thread(fn, arg), NULL), 0);
}

static uint64_t real_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

bool await_sleep(const struct gyre_loop *loop, uint64_t sleeps)
{
    uint64_t until_ns = real_ns() + 10 * SECOND_NS;
    while (stats_of(loop).sleeps <= sleeps) {
        if (real_ns() > until_ns)
            return false;
        sched_yield();
    }
    return true;
}

void run_to_stop(struct gyre_loop *loop)
{
    cr_assert_eq(gyre_loop_run(loop), 0);
}

/* ---- log and memory -------------------------------------------------------------------------- */

static void log_line(enum gyre_log_level level, const char *line, void *arg)
{
    struct log_record *record = arg;
    record->lines++;
    record->level = level;
    (void)snprintf(record->line, sizeof(record->line), "%s", line);
}

void record_log(struct log_record *record)
{
    *record = (struct log_record){0};
    gyre_set_log(log_line, record);
}

static void *allocate(size_t bytes, void *arg)
{
    struct memory_count *count = arg;
    long call = atomic_fetch_add_explicit(&count->calls, 1, memory_order_relaxed) + 1;
    if (count->on_allocate != NULL)
        count->on_allocate();
    long fail_at = atomic_load_explicit(&count->fail_at, memory_order_relaxed);
    if (fail_at != 0 && call >= fail_at)
        return NULL;
    void *memory = malloc(bytes);
    if (memory != NULL) {
        /* relaxed, here and below: counts, which the test reads after a join */
        atomic_fetch_add_explicit(&count->blocks, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&count->bytes, (long)bytes, memory_order_relaxed);
    }
    return memory;
}

static void release(void *memory, size_t bytes, void *arg)
{
    struct memory_count *count = arg;
    atomic_fetch_sub_explicit(&count->blocks, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&count->bytes, (long)bytes, memory_order_relaxed);
    free(memory);
}

void count_memory(struct memory_count *count)
{
    struct gyre_allocator allocator = {.allocate = allocate, .release = release, .arg = count};
    cr_assert_eq(gyre_set_allocator(&allocator), 0);
}

unsigned count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    unsigned count = 0;
    cr_assert_not_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count - 1; /* without the directory's own */
}
