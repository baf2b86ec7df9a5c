/* SPDX-License-Identifier: MIT */
/*
 * waker - rule T69: non-blocking, close-on-exec, and alive as long as somebody may write to it.
 */
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

enum {
    NUMBERS = 256, /* descriptors of a test are below */
    ROUNDS = 10
};

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* Marks the descriptors that are open. */
static void mark_open(bool marks[NUMBERS])
{
    for (int fd = 0; fd < NUMBERS; fd++)
        marks[fd] = is_open(fd);
}

/* Of the descriptors opened since, writes into those that take bytes, until they are full. */
static unsigned fill_new(const bool before[NUMBERS])
{
    const uint64_t most = UINT64_MAX - 1; /* the largest count of a counter, and eight bytes else */
    unsigned filled = 0;
    for (int fd = 0; fd < NUMBERS; fd++) {
        int flags = fcntl(fd, F_GETFL);
        if (before[fd] || flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
            continue;
        if (write(fd, &most, sizeof(most)) < 0 && errno == EINVAL)
            continue; /* a poller's own, which takes no bytes */
        cr_assert_neq(flags & O_NONBLOCK, 0, "descriptor %d would block", fd);
        while (write(fd, &most, sizeof(most)) > 0)
            ;
        cr_assert_eq(errno, EAGAIN);
        filled++;
    }
    return filled;
}

/* Of the descriptors opened since, how many have something to read. */
static unsigned count_readable(const bool before[NUMBERS])
{
    unsigned readable = 0;
    for (int fd = 0; fd < NUMBERS; fd++) {
        struct pollfd asked = {.fd = fd, .events = POLLIN};
        if (!before[fd] && is_open(fd) && poll(&asked, 1, 0) == 1)
            readable++;
    }
    return readable;
}

static void *wake_often(void *arg)
{
    for (int i = 0; i < 100; i++)
        gyre_loop_wake(arg);
    return NULL;
}

static void be_woken(struct scene *scene)
{
    if (scene->waits > 3)
        return;
    const bool *before = scene->data;
    if (fill_new(before) == 0)
        say(scene, "nothing was filled");
    on_thread(wake_often, scene->loop); /* would hang if a full waker blocked */
}

GYRE_TEST(waker, T69_waker_does_not_block_and_a_full_one_still_wakes)
{
    bool before[NUMBERS];
    struct scene scene;
    mark_open(before);
    scene_open(&scene);
    scene.data = before;
    scene.on_wait = be_woken;
    cr_assert_eq(scene_run_polls(&scene, 5), 0);
    cr_assert_str_eq(scene.text, "");
    cr_assert_eq(scene.waits, 5);
    cr_assert_geq(stats_of(scene.loop).wakes_written, 3);
    cr_assert_eq(stats_of(scene.loop).events, 0);
    cr_assert_eq(count_readable(before), 0, "the loop silences it by itself");
    scene_close(&scene);
}

GYRE_TEST(waker, T69_waker_is_close_on_exec)
{
    bool before[NUMBERS];
    mark_open(before);
    struct gyre_loop *loop = open_loop();
    cr_assert_eq(gyre_loop_acquire(loop), loop);
    gyre_loop_destroy(loop); /* what is left of it is the waker */
    unsigned wakers = 0;
    for (int fd = 0; fd < NUMBERS; fd++) {
        if (before[fd] || !is_open(fd))
            continue;
        wakers++;
        cr_assert_neq(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
    }
    cr_assert_geq(wakers, 1);
    gyre_loop_release(loop);
}

/* A thread that wakes and stops a loop, also when it has closed. */
struct writer {
    struct gyre_loop *loop;
    _Atomic unsigned wakes; /* also shows that it has begun */
    _Atomic bool told;
};

static void *wake_until_told(void *arg)
{
    struct writer *writer = arg;
    /* relaxed: the order of the end does not matter */
    while (!atomic_load_explicit(&writer->told, memory_order_relaxed)) {
        gyre_loop_wake(writer->loop);
        (void)gyre_loop_stop(writer->loop); /* harmless once it has closed */
        atomic_fetch_add_explicit(&writer->wakes, 1, memory_order_relaxed); /* a count */
    }
    gyre_loop_release(writer->loop);
    return NULL;
}

GYRE_TEST(waker, T69_closing_does_not_race_with_a_writer_into_a_recycled_number)
{
    for (int round = 0; round < ROUNDS; round++) {
        struct writer writer = {.loop = open_loop()};
        struct gyre_loop *loop = gyre_loop_acquire(writer.loop);
        pthread_t thread = start_thread(wake_until_told, &writer);
        while (atomic_load_explicit(&writer.wakes, memory_order_relaxed) == 0) /* as above */
            run_to_stop(loop);
        gyre_loop_destroy(loop);
        /* Whatever number is free now, the writer must not have it. */
        int fds[4][2];
        for (int i = 0; i < 4; i++)
            make_pipe(fds[i]);
        unsigned seen = atomic_load_explicit(&writer.wakes, memory_order_relaxed); /* as above */
        while (atomic_load_explicit(&writer.wakes, memory_order_relaxed) < seen + 100)
            ; /* the writer is at it */
        atomic_store_explicit(&writer.told, true, memory_order_relaxed); /* as above */
        pthread_join(thread, NULL);
        for (int i = 0; i < 4; i++) {
            char byte;
            cr_assert_eq(read(fds[i][0], &byte, 1), -1);
            cr_assert_eq(errno, EAGAIN);
            close_pipe(fds[i]);
        }
    }
}
