/* SPDX-License-Identifier: MIT */
/*
 * embedded - see embedded.h.
 */
#include "embedded.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/plain.h"

#define MS_NS UINT64_C(1000000)

/* ---- on the loop ----------------------------------------------------------------------------- */

static int echo(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    struct embedded *work = arg;
    char byte;
    (void)loop;
    (void)events;
    while (read(fd, &byte, 1) == 1) {
        CHECK_EQ(write(fd, &byte, 1), 1);
        work->echoed++;
    }
    return 0;
}

static int count_post(struct gyre_loop *loop, int status, void *arg)
{
    struct embedded *work = arg;
    (void)loop;
    work->posts += status == 0;
    return 0;
}

static void arm_next(struct embedded *work)
{
    work->deadline_ns = gyre_loop_now_ns(work->loop) + MS_NS;
    CHECK_EQ(gyre_timer_start(&work->timer, work->deadline_ns), 0);
}

static int tick(struct gyre_loop *loop, int status, void *arg)
{
    struct embedded *work = arg;
    if (status != 0)
        return 0;
    work->early += gyre_loop_now_ns(loop) < work->deadline_ns;
    if (++work->timers < EMBEDDED_TIMERS)
        arm_next(work);
    return 0;
}

/* ---- on other threads ------------------------------------------------------------------------ */

static void *post_many(void *arg)
{
    struct embedded *work = arg;
    for (int i = 0; i < EMBEDDED_POSTS; i++)
        CHECK_EQ(gyre_loop_add_callback(work->loop, count_post, work), 0);
    return NULL;
}

static void *talk(void *arg)
{
    const struct embedded *work = arg;
    for (int i = 0; i < EMBEDDED_MESSAGES; i++) {
        char sent = (char)i;
        char got = 0;
        if (!CHECK_EQ(write(work->pair[1], &sent, 1), 1) ||
            !CHECK_EQ(read(work->pair[1], &got, 1), 1) || !CHECK_EQ(got, sent))
            break;
    }
    return NULL;
}

/* ---- the work -------------------------------------------------------------------------------- */

bool embedded_open(struct embedded *work)
{
    struct gyre_loop_options options;
    const struct timeval patience = {.tv_sec = EMBEDDED_PATIENCE_S};
    gyre_loop_options_init(&options);
    options.backend = plain_backend();
    options.waker = plain_waker();
    options.make_current = GYRE_CURRENT_NO;
    *work = (struct embedded){.fd = -1};
    if (!CHECK_EQ(gyre_loop_create(&options, &work->loop), 0))
        return false;
    int r = gyre_loop_fd(work->loop, &work->fd);
    if (r != 0) {
        CHECK_EQ(r, -ENOTSUP);
        gyre_loop_destroy(work->loop);
        return false;
    }
    work->began_ns = gyre_loop_now_ns(work->loop);
    CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, work->pair), 0);
    CHECK_EQ(fcntl(work->pair[0], F_SETFL, O_NONBLOCK), 0);
    CHECK_EQ(setsockopt(work->pair[1], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    CHECK_EQ(gyre_loop_add_handler(work->loop, work->pair[0], GYRE_READ, echo, work), 0);
    gyre_timer_init(&work->timer, work->loop, tick, work);
    arm_next(work);
    CHECK_EQ(pthread_create(&work->threads[0], NULL, post_many, work), 0);
    CHECK_EQ(pthread_create(&work->threads[1], NULL, post_many, work), 0);
    CHECK_EQ(pthread_create(&work->threads[2], NULL, talk, work), 0);
    return true;
}

int embedded_prepare(struct embedded *work)
{
    uint64_t wait_ns = 0;
    CHECK_EQ(gyre_loop_prepare(work->loop, &wait_ns), 0);
    uint64_t max_ns = EMBEDDED_PATIENCE_S * 1000 * MS_NS; /* should a wake-up be lost */
    return (int)(((wait_ns < max_ns ? wait_ns : max_ns) + MS_NS - 1) / MS_NS);
}

static bool is_done(const struct embedded *work)
{
    return work->echoed == EMBEDDED_MESSAGES && work->posts == 2 * EMBEDDED_POSTS &&
           work->timers == EMBEDDED_TIMERS;
}

bool embedded_turn(struct embedded *work)
{
    if (!CHECK_EQ(gyre_loop_run_once(work->loop), 0))
        return true;
    uint64_t took_ns = gyre_loop_now_ns(work->loop) - work->began_ns;
    return is_done(work) || took_ns > EMBEDDED_PATIENCE_S * 1000 * MS_NS;
}

void embedded_close(struct embedded *work)
{
    CHECK_EQ(work->echoed, EMBEDDED_MESSAGES);
    CHECK_EQ(work->posts, 2 * EMBEDDED_POSTS);
    CHECK_EQ(work->timers, EMBEDDED_TIMERS);
    CHECK_EQ(work->early, 0);
    CHECK_EQ(shutdown(work->pair[0], SHUT_RDWR), 0); /* lets `talk` go, whatever went wrong */
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(work->threads[i], NULL), 0);
    struct gyre_loop_stats stats;
    gyre_loop_stats(work->loop, &stats);
    plain_note("%llu turns, %llu wakes written", (unsigned long long)stats.turns,
               (unsigned long long)stats.wakes_written);
    gyre_loop_destroy(work->loop);
    close(work->pair[0]);
    close(work->pair[1]);
}
