/* SPDX-License-Identifier: MIT */
/*
 * backend_waker - the rules of contract/backend.h for wakers, without a loop.
 */
#include "pollers.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static void make_waker(struct gyre__waker *waker)
{
    cr_assert_eq(waker_kind()->create(waker), 0);
}

GYRE_TEST(backend_waker, is_non_blocking_and_close_on_exec)
{
    struct gyre__waker waker;
    make_waker(&waker);
    cr_assert_eq(fcntl(waker.read_fd, F_GETFD), FD_CLOEXEC);
    cr_assert_eq(fcntl(waker.write_fd, F_GETFD), FD_CLOEXEC);
    cr_assert_neq(fcntl(waker.read_fd, F_GETFL) & O_NONBLOCK, 0);
    cr_assert_neq(fcntl(waker.write_fd, F_GETFL) & O_NONBLOCK, 0);
    waker_kind()->destroy(&waker);
}

GYRE_TEST(backend_waker, rings_until_drained)
{
    struct gyre__waker waker;
    make_waker(&waker);
    struct gyre__poller *poller = make_poller();
    add(poller, waker.read_fd, GYRE_READ, 11);
    assert_quiet(poller);
    waker_kind()->signal(&waker);
    waker_kind()->signal(&waker);
    assert_only(poller, 11, GYRE_READ);
    assert_only(poller, 11, GYRE_READ);
    waker_kind()->drain(&waker);
    assert_quiet(poller);
    waker_kind()->drain(&waker);
    waker_kind()->signal(&waker);
    assert_only(poller, 11, GYRE_READ);
    readiness()->destroy(poller);
    waker_kind()->destroy(&waker);
}

GYRE_TEST(backend_waker, undrained_one_makes_an_edge_each_time)
{
    if ((backend()->events & GYRE_EDGE) == 0)
        cr_skip_test("this backend has no edges");
    if (!waker_kind()->edge_each)
        cr_skip_test("this waker is to be drained");
    struct gyre__waker waker;
    make_waker(&waker);
    struct gyre__poller *poller = make_poller();
    add(poller, waker.read_fd, GYRE_READ | GYRE_EDGE, 12);
    for (int i = 0; i < 5; i++) {
        waker_kind()->signal(&waker);
        assert_only(poller, 12, GYRE_READ);
        assert_quiet(poller);
    }
    readiness()->destroy(poller);
    waker_kind()->destroy(&waker);
}

GYRE_TEST(backend_waker, signal_keeps_errno_whatever_happens)
{
    struct gyre__waker waker;
    make_waker(&waker);
    errno = 4711;
    waker_kind()->signal(&waker);
    cr_assert_eq(errno, 4711);
    waker_kind()->destroy(&waker);
    waker_kind()->signal(&waker); /* its write fails, since the number is closed */
    cr_assert_eq(errno, 4711);
}

static void *ring(void *arg)
{
    waker_kind()->signal(arg);
    return NULL;
}

GYRE_TEST(backend_waker, signal_of_another_thread_ends_a_wait)
{
    struct gyre__waker waker;
    struct gyre__event event;
    make_waker(&waker);
    struct gyre__poller *poller = make_poller();
    add(poller, waker.read_fd, GYRE_READ, 13);
    pthread_t thread = start_thread(ring, &waker);
    cr_assert_eq(readiness()->wait(poller, GYRE_NEVER, &event, 1), 1);
    cr_assert_eq(event.datum, 13);
    cr_assert_eq(pthread_join(thread, NULL), 0);
    readiness()->destroy(poller);
    waker_kind()->destroy(&waker);
}

/* Rings until the system takes no more, or as often as a test has time for. */
GYRE_TEST(backend_waker, drain_silences_any_number_of_rings)
{
    enum {
        RINGS = 100000 /* more bytes than a pipe holds by default */
    };
    struct gyre__waker waker;
    make_waker(&waker);
    struct gyre__poller *poller = make_poller();
    add(poller, waker.read_fd, GYRE_READ, 14);
    for (int i = 0; i < RINGS; i++)
        waker_kind()->signal(&waker); /* would block here if a full one did */
    assert_only(poller, 14, GYRE_READ);
    waker_kind()->drain(&waker);
    assert_quiet(poller);
    waker_kind()->signal(&waker);
    assert_only(poller, 14, GYRE_READ);
    readiness()->destroy(poller);
    waker_kind()->destroy(&waker);
}
