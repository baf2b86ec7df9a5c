/* SPDX-License-Identifier: MIT */
/*
 * poll - the backend of that name, where it is its own doing and not the contract's: the order and
 * the rotation of batches, what became of closed numbers, memory, and the limits that its file
 * names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "contract/backend.h"
#include "contract/port.h"
#include "harness/gyre_test.h"
#include "loop/loop.h"
#include "memory.h"

enum {
    PIPES_MAX = 400,
    HIGH = 5000 /* a number far beyond those in use */
};

/* A poller that watches readable pipes, the datum of each being its index. */
struct set {
    const struct gyre__readiness *readiness;
    struct gyre__poller *poller;
    int fds[PIPES_MAX][2];
    unsigned count;
};

static const struct gyre__backend *backend(void)
{
    const struct gyre__backend *found;
    cr_assert_eq(gyre__backend_find("poll", &found), 0);
    return found;
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

static void set_open(struct set *set, unsigned count)
{
    set->readiness = backend()->readiness;
    set->count = count;
    cr_assert_eq(set->readiness->create(&set->poller), 0);
    for (unsigned i = 0; i < count; i++) {
        make_pipe(set->fds[i], true);
        cr_assert_eq(set->readiness->add(set->poller, set->fds[i][0], GYRE_READ, i), 0);
    }
}

static void set_close(struct set *set)
{
    set->readiness->destroy(set->poller);
    for (unsigned i = 0; i < set->count; i++)
        close_pipe(set->fds[i]);
}

/* Polls for at most `max` events, which must be of the data `wanted`, ended by -1. */
static void assert_batch(struct set *set, unsigned max, const int *wanted)
{
    struct gyre__event events[16];
    int count = set->readiness->wait(set->poller, 0, events, max);
    int i = 0;
    for (; wanted[i] >= 0; i++) {
        cr_assert_lt(i, count, "%d is missing", wanted[i]);
        cr_assert_eq((int)events[i].datum, wanted[i], "%d instead of %d", (int)events[i].datum,
                     wanted[i]);
        cr_assert_eq(events[i].events, GYRE_READ);
    }
    cr_assert_eq(count, i);
}

#define BATCH(...) ((const int[]){__VA_ARGS__, -1})
#define NOTHING ((const int[]){-1})

/* ---- batches --------------------------------------------------------------------------------- */

GYRE_TEST(poll, batch_that_is_full_is_followed_by_what_did_not_fit)
{
    struct set set;
    set_open(&set, 6);
    assert_batch(&set, 4, BATCH(0, 1, 2, 3));
    assert_batch(&set, 4, BATCH(4, 5, 0, 1));
    assert_batch(&set, 4, BATCH(2, 3, 4, 5));
    assert_batch(&set, 1, BATCH(0));
    assert_batch(&set, 1, BATCH(1));
    assert_batch(&set, 16, BATCH(2, 3, 4, 5, 0, 1));
    assert_batch(&set, 16, BATCH(2, 3, 4, 5, 0, 1));
    set_close(&set);
}

GYRE_TEST(poll, last_one_takes_the_place_of_one_removed)
{
    struct set set;
    set_open(&set, 6);
    cr_assert_eq(set.readiness->remove(set.poller, set.fds[1][0]), 0);
    assert_batch(&set, 16, BATCH(0, 5, 2, 3, 4));
    cr_assert_eq(set.readiness->remove(set.poller, set.fds[4][0]), 0);
    assert_batch(&set, 16, BATCH(0, 5, 2, 3));
    cr_assert_eq(set.readiness->add(set.poller, set.fds[4][0], GYRE_READ, 4), 0);
    assert_batch(&set, 16, BATCH(0, 5, 2, 3, 4));
    set_close(&set);
}

GYRE_TEST(poll, removals_in_front_of_the_rotation_starve_nobody)
{
    struct set set;
    set_open(&set, 8);
    assert_batch(&set, 3, BATCH(0, 1, 2));
    cr_assert_eq(set.readiness->remove(set.poller, set.fds[0][0]), 0); /* 7 moves behind us */
    assert_batch(&set, 3, BATCH(3, 4, 5));
    assert_batch(&set, 3, BATCH(6, 7, 1));
    for (unsigned i = 1; i < 6; i++) /* the rotation stands beyond the end now */
        cr_assert_eq(set.readiness->remove(set.poller, set.fds[i][0]), 0);
    assert_batch(&set, 1, BATCH(7));
    assert_batch(&set, 1, BATCH(6));
    set_close(&set);
}

GYRE_TEST(poll, none_of_hundreds_starves_while_others_come_and_go)
{
    static struct set set;
    static unsigned seen[PIPES_MAX];
    struct gyre__event events[7];
    set_open(&set, PIPES_MAX);
    for (unsigned round = 0; round < 2 * PIPES_MAX / 7; round++) {
        unsigned coming = round * 31 % PIPES_MAX / 2 * 2; /* the even ones come and go */
        int count = set.readiness->wait(set.poller, 0, events, 7);
        cr_assert_eq(count, 7);
        for (int i = 0; i < count; i++)
            seen[events[i].datum]++;
        cr_assert_eq(set.readiness->remove(set.poller, set.fds[coming][0]), 0);
        cr_assert_eq(set.readiness->add(set.poller, set.fds[coming][0], GYRE_READ, coming), 0);
    }
    for (unsigned i = 1; i < PIPES_MAX; i += 2)
        cr_assert_geq(seen[i], 1, "%u starves", i);
    set_close(&set);
}

GYRE_TEST(poll, changes_between_wait_and_wait_need_no_care)
{
    struct set set;
    set_open(&set, 3);
    assert_batch(&set, 2, BATCH(0, 1));
    cr_assert_eq(set.readiness->update(set.poller, set.fds[2][0], GYRE_NONE, 2), 0);
    assert_batch(&set, 2, BATCH(0, 1));
    cr_assert_eq(set.readiness->reset(set.poller), 0);
    assert_batch(&set, 2, NOTHING);
    cr_assert_eq(set.readiness->update(set.poller, set.fds[0][0], GYRE_READ, 0), -ENOENT);
    cr_assert_eq(set.readiness->add(set.poller, set.fds[2][0], GYRE_READ, 9), 0);
    assert_batch(&set, 2, BATCH(9));
    set_close(&set);
}

/* ---- closed numbers -------------------------------------------------------------------------- */

GYRE_TEST(poll, closed_ones_are_forgotten_in_the_midst_of_a_batch)
{
    struct set set;
    set_open(&set, 6);
    for (unsigned i = 1; i < 6; i += 3)
        (void)close(set.fds[i][0]); /* without removal */
    assert_batch(&set, 16, BATCH(0, 5, 2, 3));
    assert_batch(&set, 3, BATCH(0, 5, 2));
    cr_assert_eq(set.readiness->remove(set.poller, set.fds[1][0]), -ENOENT);
    (void)close(set.fds[0][0]); /* one that the rotation has passed */
    assert_batch(&set, 16, BATCH(3, 5, 2));
    set_close(&set);
}

GYRE_TEST(poll, wait_for_nothing_but_closed_ones_lasts)
{
    static const uint64_t timeouts[] = {1, 300000, 2500000};
    struct set set;
    struct gyre__event event;
    set_open(&set, 3);
    for (unsigned i = 0; i < 3; i++) {
        (void)close(set.fds[i][0]); /* without removal */
        if (i == 0)
            (void)close(set.fds[2][0]); /* two at once */
        uint64_t start = backend()->port->now_ns();
        cr_assert_eq(set.readiness->wait(set.poller, timeouts[i], &event, 1), i == 0 ? 1 : 0,
                     "what is ready ends it all the same");
        if (i > 0)
            cr_assert_geq(backend()->port->now_ns() - start, timeouts[i]);
        cr_assert_eq(set.readiness->update(set.poller, set.fds[i][0], GYRE_READ, 1), -ENOENT);
    }
    set_close(&set);
}

GYRE_TEST(poll, another_file_under_the_number_is_not_taken_for_the_old_one)
{
    struct set set;
    int other[2];
    set_open(&set, 2);
    make_pipe(other, true);
    cr_assert_eq(dup2(other[0], set.fds[0][0]), set.fds[0][0]);
    assert_batch(&set, 16, BATCH(1));
    cr_assert_eq(set.readiness->remove(set.poller, set.fds[0][0]), -ENOENT);
    cr_assert_eq(set.readiness->add(set.poller, set.fds[0][0], GYRE_READ, 7), 0);
    assert_batch(&set, 16, BATCH(1, 7));
    cr_assert_eq(set.readiness->add(set.poller, set.fds[0][0], GYRE_READ, 8), -EEXIST);
    set_close(&set);
    close_pipe(other);
}

GYRE_TEST(poll, same_file_under_the_number_again_is_watched_still)
{
    struct set set;
    set_open(&set, 1);
    int copy = dup(set.fds[0][0]);
    (void)close(set.fds[0][0]);
    cr_assert_eq(dup2(copy, set.fds[0][0]), set.fds[0][0]);
    cr_assert_eq(set.readiness->add(set.poller, set.fds[0][0], GYRE_READ, 8), -EEXIST);
    assert_batch(&set, 16, BATCH(0));
    set_close(&set);
    (void)close(copy); /* a duplicate */
}

/* The limit that poll.c names: should a system ever tell them apart, so much the better. */
GYRE_TEST(poll, files_of_the_anonymous_inode_are_taken_for_each_other)
{
    struct set set;
    struct stat files[2];
    set_open(&set, 0);
    int fd = eventfd(1, EFD_CLOEXEC);
    int other = eventfd(1, EFD_CLOEXEC);
    cr_assert_eq(set.readiness->add(set.poller, fd, GYRE_READ, 1), 0);
    cr_assert_eq(fstat(fd, &files[0]) | fstat(other, &files[1]), 0);
    cr_assert_eq(dup2(other, fd), fd); /* without removal */
    bool alike = files[0].st_ino == files[1].st_ino && files[0].st_dev == files[1].st_dev;
    cr_assert_eq(set.readiness->add(set.poller, fd, GYRE_READ, 2), alike ? -EEXIST : 0);
    assert_batch(&set, 16, alike ? BATCH(1) : BATCH(2));
    cr_assert_eq(set.readiness->remove(set.poller, fd), 0, "removed in time, all is well");
    cr_assert_eq(set.readiness->add(set.poller, fd, GYRE_READ, 3), 0);
    set_close(&set);
    (void)close(fd); /* nothing to lose */
    (void)close(other);
}

GYRE_TEST(poll, what_has_no_readiness_is_told_by_its_type)
{
    struct set set;
    set_open(&set, 0);
    int directory = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int device = open("/dev/null", O_RDONLY | O_CLOEXEC);
    cr_assert_eq(set.readiness->add(set.poller, directory, GYRE_READ, 1), -EPERM);
    cr_assert_eq(set.readiness->add(set.poller, device, GYRE_READ, 2), 0);
    assert_batch(&set, 16, BATCH(2));
    set_close(&set);
    (void)close(directory); /* read only: nothing to lose */
    (void)close(device);
}

static void ignore_completion(struct gyre__channel *channel, struct gyre__operation *operation,
                              int64_t result, void *data)
{
    (void)channel;
    (void)operation;
    (void)result;
    (void)data;
}

static int stop_in_wait(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    (void)timeout_ns;
    (void)arg;
    return gyre_loop_stop(loop);
}

GYRE_TEST(poll, closed_channel_is_forgotten_before_its_number_is_free)
{
    struct gyre_loop_options options;
    struct gyre_loop *loop;
    struct gyre__channel channel = {.backend = backend()};
    int fds[2];
    gyre_loop_options_init(&options);
    options.backend = "poll";
    options.make_current = GYRE_CURRENT_NO;
    options.wait = stop_in_wait;
    cr_assert_eq(gyre_loop_create(&options, &loop), 0);
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    int fd = dup(fds[0]);
    cr_assert_eq(channel.backend->operations->attach(&channel, loop, fd), 0);
    channel.backend->operations->receive(&channel, ignore_completion);
    cr_assert_eq(backend()->readiness->add(loop->poller, fd, GYRE_READ, 1), -EEXIST);
    channel.backend->operations->close(&channel, ignore_completion);
    cr_assert_eq(dup2(fds[0], fd), fd); /* the same file: what was left would be taken for it */
    cr_assert_eq(backend()->readiness->add(loop->poller, fd, GYRE_READ, 1), 0);
    cr_assert_eq(gyre_loop_run(loop), 0);
    gyre_loop_destroy(loop);
    close_pipe(fds);
    (void)close(fd); /* a duplicate */
}

/* ---- memory and limits ----------------------------------------------------------------------- */

GYRE_TEST(poll, memory_follows_those_that_are_watched)
{
    static struct set set;
    struct memory memory;
    memory_count(&memory);
    set_open(&set, PIPES_MAX);
    long crowd = memory.bytes;
    for (unsigned i = 1; i < PIPES_MAX; i++)
        cr_assert_eq(set.readiness->remove(set.poller, set.fds[i][0]), 0);
    cr_assert_lt(memory.bytes, crowd / 3, "%ld of %ld bytes are kept", memory.bytes, crowd);
    assert_batch(&set, 16, BATCH(0));
    set_close(&set);
    cr_assert_eq(memory.blocks, 0);
}

static rlim_t set_limit(rlim_t descriptors)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    rlim_t before = limit.rlim_cur;
    limit.rlim_cur = descriptors;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        cr_skip_test("the system allows fewer than %d descriptors", (int)descriptors);
    return before;
}

GYRE_TEST(poll, high_number_costs_4_to_8_bytes_for_each_below)
{
    struct set set;
    struct memory memory;
    rlim_t before = set_limit(HIGH + 1);
    memory_count(&memory);
    set_open(&set, 1);
    long low = memory.bytes;
    cr_assert_eq(dup2(set.fds[0][0], HIGH), HIGH);
    cr_assert_eq(set.readiness->add(set.poller, HIGH - 1, GYRE_READ, 1), -EBADF);
    cr_assert_eq(memory.bytes, low, "a number that is not open costs nothing");
    cr_assert_eq(set.readiness->add(set.poller, HIGH, GYRE_READ, 1), 0);
    cr_assert_leq(memory.bytes - low, 8 * HIGH);
    assert_batch(&set, 16, BATCH(0, 1));
    cr_assert_eq(set.readiness->remove(set.poller, HIGH), 0);
    assert_batch(&set, 16, BATCH(0));
    set_close(&set);
    (void)close(HIGH); /* a duplicate */
    cr_assert_eq(memory.blocks, 0);
    (void)set_limit(before);
}

GYRE_TEST(poll, no_memory_leaves_the_set_as_it_was)
{
    struct set set;
    struct memory memory;
    int more[2];
    memory_count(&memory);
    set_open(&set, 16); /* as many as the arrays begin with */
    make_pipe(more, true);
    atomic_store_explicit(&memory.fails, true, memory_order_relaxed);
    cr_assert_eq(set.readiness->add(set.poller, more[0], GYRE_READ, 16), -ENOMEM);
    atomic_store_explicit(&memory.fails, false, memory_order_relaxed);
    assert_batch(&set, 16, BATCH(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
    cr_assert_eq(set.readiness->remove(set.poller, more[0]), -ENOENT);
    cr_assert_eq(set.readiness->add(set.poller, more[0], GYRE_READ, 16), 0);
    set_close(&set);
    close_pipe(more);
    cr_assert_eq(memory.blocks, 0);
}

GYRE_TEST(poll, limit_that_was_lowered_below_what_is_watched_is_an_error_that_passes)
{
    struct set set;
    set_open(&set, 8);
    rlim_t before = set_limit(7);
    struct gyre__event event;
    cr_assert_eq(set.readiness->wait(set.poller, 0, &event, 1), -ENOSPC);
    cr_assert_eq(set.readiness->wait(set.poller, GYRE_NEVER, &event, 1), -ENOSPC);
    cr_assert_eq(set.readiness->remove(set.poller, set.fds[0][0]), 0);
    cr_assert_eq(set.readiness->wait(set.poller, 0, &event, 1), 1, "seven may be polled");
    (void)set_limit(before);
    assert_batch(&set, 16, BATCH(1, 2, 3, 4, 5, 6, 7));
    set_close(&set);
}
