/* SPDX-License-Identifier: MIT */
/*
 * select - the backend of that name, where it is its own doing and not the contract's: the limit of
 * its sets, what nobody reads, and more ready than one second look holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <unistd.h>

#include "contract/backend.h"
#include "contract/port.h"
#include "harness/gyre_test.h"
#include "memory.h"

enum {
    PIPES_MAX = 150, /* more than two second looks hold */
    HANG_UP = 0x10
};

static const struct gyre__backend *backend(void)
{
    const struct gyre__backend *found;
    cr_assert_eq(gyre__backend_find("select", &found), 0);
    return found;
}

static struct gyre__poller *make_poller(void)
{
    struct gyre__poller *poller;
    cr_assert_eq(backend()->readiness->create(&poller), 0);
    return poller;
}

static void make_pipe(int fds[2], bool readable)
{
    cr_assert_eq(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
    if (readable)
        cr_assert_eq(write(fds[1], "x", 1), 1);
}

static void close_pipe(const int fds[2])
{
    (void)close(fds[0]); /* what was in it is of no use any more */
    (void)close(fds[1]);
}

/* ---- the limit of the sets ------------------------------------------------------------------- */

GYRE_TEST(select, T114_descriptor_past_the_sets_is_emfile_and_costs_nothing)
{
    struct rlimit limit;
    struct memory memory;
    int fds[2];
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = FD_SETSIZE + 1;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        cr_skip_test("the system allows fewer than %d descriptors", FD_SETSIZE + 1);
    memory_count(&memory);
    const struct gyre__readiness *readiness = backend()->readiness;
    struct gyre__poller *poller = make_poller();
    long empty = memory.bytes;
    struct gyre__event event;
    make_pipe(fds, true);
    cr_assert_eq(readiness->add(poller, FD_SETSIZE, GYRE_READ, 1), -EBADF, "it is not open");
    cr_assert_eq(dup2(fds[0], FD_SETSIZE), FD_SETSIZE);
    cr_assert_eq(readiness->add(poller, FD_SETSIZE, GYRE_READ, 1), -EMFILE);
    cr_assert_eq(readiness->update(poller, FD_SETSIZE, GYRE_READ, 1), -ENOENT);
    cr_assert_eq(readiness->remove(poller, FD_SETSIZE), -ENOENT);
    cr_assert_eq(memory.bytes, empty);
    cr_assert_eq(readiness->wait(poller, 0, &event, 1), 0);
    cr_assert_eq(dup2(fds[0], FD_SETSIZE - 1), FD_SETSIZE - 1);
    cr_assert_eq(readiness->add(poller, FD_SETSIZE - 1, GYRE_READ, 2), 0, "the last that is in");
    cr_assert_eq(readiness->wait(poller, GYRE_NEVER, &event, 1), 1);
    cr_assert_eq(event.datum, 2);
    readiness->destroy(poller);
    (void)close(FD_SETSIZE); /* duplicates */
    (void)close(FD_SETSIZE - 1);
    close_pipe(fds);
    cr_assert_eq(memory.blocks, 0);
    limit.rlim_cur = before;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* ---- what nobody reads ----------------------------------------------------------------------- */

static void *close_it(void *arg)
{
    (void)close(*(int *)arg); /* what was in it is of no use any more */
    return NULL;
}

/* The close may come before the wait or in its midst: in twenty rounds it does both. */
GYRE_TEST(select, hang_up_of_what_nobody_reads_ends_a_wait_that_has_begun)
{
    for (unsigned round = 0; round < 20; round++) {
        struct gyre__poller *poller = make_poller();
        struct gyre__event event;
        pthread_t closer;
        int fds[2];
        make_pipe(fds, true);
        cr_assert_eq(backend()->readiness->add(poller, fds[0], GYRE_NONE, 3), 0);
        cr_assert_eq(pthread_create(&closer, NULL, close_it, &fds[1]), 0);
        cr_assert_eq(backend()->readiness->wait(poller, GYRE_NEVER, &event, 1), 1);
        cr_assert_eq(event.datum, 3);
        cr_assert_eq(event.events, HANG_UP);
        cr_assert_eq(pthread_join(closer, NULL), 0);
        backend()->readiness->destroy(poller);
        (void)close(fds[0]); /* as the other end */
    }
}

GYRE_TEST(select, what_nobody_reads_does_not_hide_what_is_asked_for)
{
    struct gyre__poller *poller = make_poller();
    struct gyre__event events[2];
    int unread[2];
    int fds[2];
    make_pipe(unread, true);
    make_pipe(fds, true);
    cr_assert_eq(backend()->readiness->add(poller, unread[0], GYRE_NONE, 1), 0);
    cr_assert_eq(backend()->readiness->add(poller, fds[0], GYRE_READ, 2), 0);
    cr_assert_eq(backend()->readiness->wait(poller, GYRE_NEVER, events, 2), 1);
    cr_assert_eq(events[0].datum, 2);
    cr_assert_eq(events[0].events, GYRE_READ);
    backend()->readiness->destroy(poller);
    close_pipe(unread);
    close_pipe(fds);
}

/* ---- second looks ---------------------------------------------------------------------------- */

GYRE_TEST(select, more_are_ready_than_one_second_look_holds)
{
    static int fds[PIPES_MAX][2];
    static struct gyre__event events[PIPES_MAX];
    struct gyre__poller *poller = make_poller();
    for (unsigned i = 0; i < PIPES_MAX; i++) {
        make_pipe(fds[i], i % 3 != 1);
        cr_assert_eq(backend()->readiness->add(poller, fds[i][0], GYRE_READ, i), 0);
    }
    (void)close(fds[0][0]); /* without removal: poll(2) looks at all */
    int count = backend()->readiness->wait(poller, 0, events, PIPES_MAX);
    cr_assert_eq(count, PIPES_MAX / 3 * 2 - 1);
    for (int i = 0; i < count; i++)
        cr_assert_neq(events[i].datum % 3, 1);
    cr_assert_eq(backend()->readiness->wait(poller, 0, events, PIPES_MAX), count);
    backend()->readiness->destroy(poller);
    (void)close(fds[0][1]);
    for (unsigned i = 1; i < PIPES_MAX; i++)
        close_pipe(fds[i]);
}
