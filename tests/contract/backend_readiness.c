/* SPDX-License-Identifier: MIT */
/*
 * backend_readiness - the rules of contract/backend.h for pollers, without a loop.
 *
 * The few waits that have to last are of a few milliseconds, and are measured: that none ends early
 * is the rule.
 */
#include "contract/port.h"
#include "pollers.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

/* ---- create and destroy ---------------------------------------------------------------------- */

GYRE_TEST(backend_readiness, poller_is_close_on_exec)
{
    enum {
        NUMBERS = 256
    };
    bool open[NUMBERS];
    for (int fd = 0; fd < NUMBERS; fd++)
        open[fd] = fcntl(fd, F_GETFD) >= 0;
    struct gyre__poller *poller = make_poller();
    for (int fd = 0; fd < NUMBERS; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0 && !open[fd])
            cr_assert_eq(flags & FD_CLOEXEC, FD_CLOEXEC);
    }
    readiness()->destroy(poller);
}

GYRE_TEST(backend_readiness, destroy_takes_null_and_leaves_descriptors_open)
{
    int fds[2];
    make_pipe(fds);
    struct gyre__poller *poller = make_poller();
    add(poller, fds[0], GYRE_READ, 1);
    readiness()->destroy(poller);
    readiness()->destroy(NULL);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    close_pipe(fds);
}

/* ---- add ------------------------------------------------------------------------------------- */

GYRE_TEST(backend_readiness, events_are_level_triggered_and_bring_the_datum_back)
{
    static const uint64_t data[] = {0, 1, UINT64_MAX, UINT64_C(0x0123456789abcdef)};
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        int writer;
        int reader = make_readable(&writer);
        struct gyre__poller *poller = make_poller();
        add(poller, reader, GYRE_READ, data[i]);
        assert_only(poller, data[i], GYRE_READ);
        assert_only(poller, data[i], GYRE_READ);
        char byte;
        cr_assert_eq(read(reader, &byte, 1), 1);
        assert_quiet(poller);
        readiness()->destroy(poller);
        close_pipe((int[]){reader, writer});
    }
}

GYRE_TEST(backend_readiness, only_what_was_asked_for_is_reported_and_together)
{
    int fds[2];
    make_pair(fds);
    struct gyre__poller *poller = make_poller();
    add(poller, fds[0], GYRE_READ, 7);
    assert_quiet(poller);
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_READ | GYRE_WRITE, 7), 0);
    assert_only(poller, 7, GYRE_WRITE);
    cr_assert_eq(write(fds[1], "x", 1), 1);
    assert_only(poller, 7, GYRE_READ | GYRE_WRITE);
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_NONE, 7), 0);
    assert_quiet(poller);
    readiness()->destroy(poller);
    close_pipe(fds);
}

GYRE_TEST(backend_readiness, errors_and_hang_ups_are_reported_though_nobody_asked)
{
    int fds[2];
    struct gyre__event event;
    make_pair(fds);
    struct gyre__poller *poller = make_poller();
    add(poller, fds[0], GYRE_NONE, 7);
    assert_quiet(poller);
    close(fds[1]);
    cr_assert_eq(look(poller, &event, 1), 1);
    cr_assert_eq(event.datum, 7);
    cr_assert_neq(event.events & GYRE_ERROR, 0);
    cr_assert_eq(event.events & ~(uint32_t)GYRE_ERROR, 0);
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_ERROR, 8), 0, "and it can be asked for");
    cr_assert_eq(look(poller, &event, 1), 1);
    cr_assert_eq(event.datum, 8);
    readiness()->destroy(poller);
    close(fds[0]);
}

GYRE_TEST(backend_readiness, hang_up_of_what_nobody_reads_is_reported_alone)
{
    static const uint32_t asked[] = {GYRE_NONE, GYRE_WRITE};
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        int writer;
        int reader = make_readable(&writer);
        struct gyre__event event;
        struct gyre__poller *poller = make_poller();
        add(poller, reader, asked[i], 5);
        assert_quiet(poller);
        uint64_t start = backend()->port->now_ns();
        cr_assert_eq(readiness()->wait(poller, 1500000, &event, 1), 0, "what can be read is not");
        cr_assert_geq(backend()->port->now_ns() - start, 1500000);
        close(writer);
        assert_only(poller, 5, 0x10);
        cr_assert_eq(readiness()->wait(poller, GYRE_NEVER, &event, 1), 1);
        readiness()->destroy(poller);
        close(reader);
    }
}

GYRE_TEST(backend_readiness, second_add_is_refused_and_changes_nothing)
{
    int writer;
    int reader = make_readable(&writer);
    struct gyre__poller *poller = make_poller();
    add(poller, reader, GYRE_READ, 1);
    cr_assert_eq(readiness()->add(poller, reader, GYRE_NONE, 2), -EEXIST);
    assert_only(poller, 1, GYRE_READ);
    readiness()->destroy(poller);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(backend_readiness, what_cannot_be_watched_is_refused)
{
    struct gyre__poller *poller = make_poller();
    int file = make_file();
    cr_assert_eq(readiness()->add(poller, closed_number(), GYRE_READ, 1), -EBADF);
    cr_assert_eq(readiness()->add(poller, -1, GYRE_READ, 1), -EBADF);
    cr_assert_eq(readiness()->add(poller, file, GYRE_READ, 1), -EPERM);
    assert_quiet(poller);
    readiness()->destroy(poller);
    close(file);
}

/* ---- update, remove, reset ------------------------------------------------------------------- */

GYRE_TEST(backend_readiness, update_replaces_events_and_datum)
{
    int writer;
    int reader = make_readable(&writer);
    struct gyre__poller *poller = make_poller();
    add(poller, reader, GYRE_NONE, 1);
    assert_quiet(poller);
    cr_assert_eq(readiness()->update(poller, reader, GYRE_READ, 2), 0);
    assert_only(poller, 2, GYRE_READ);
    readiness()->destroy(poller);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(backend_readiness, unknown_and_closed_descriptors_are_not_there)
{
    int fds[2];
    make_pipe(fds);
    struct gyre__poller *poller = make_poller();
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_READ, 1), -ENOENT);
    cr_assert_eq(readiness()->remove(poller, fds[0]), -ENOENT);
    cr_assert_eq(readiness()->remove(poller, closed_number()), -ENOENT);
    add(poller, fds[0], GYRE_READ, 1);
    close(fds[0]);
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_READ, 1), -ENOENT);
    cr_assert_eq(readiness()->remove(poller, fds[0]), -ENOENT);
    readiness()->destroy(poller);
    close(fds[1]);
}

GYRE_TEST(backend_readiness, number_that_became_a_file_is_not_there)
{
    int fds[2];
    make_pipe(fds);
    struct gyre__poller *poller = make_poller();
    add(poller, fds[0], GYRE_READ, 1);
    int file = make_file();
    cr_assert_eq(dup2(file, fds[0]), fds[0]);
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_READ, 1), -ENOENT);
    cr_assert_eq(readiness()->remove(poller, fds[0]), -ENOENT);
    readiness()->destroy(poller);
    close_pipe(fds);
    close(file);
}

GYRE_TEST(backend_readiness, removed_descriptor_is_forgotten)
{
    int writer;
    int reader = make_readable(&writer);
    struct gyre__poller *poller = make_poller();
    add(poller, reader, GYRE_READ, 1);
    cr_assert_eq(readiness()->remove(poller, reader), 0);
    assert_quiet(poller);
    cr_assert_eq(readiness()->remove(poller, reader), -ENOENT);
    add(poller, reader, GYRE_READ, 2);
    assert_only(poller, 2, GYRE_READ);
    readiness()->destroy(poller);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(backend_readiness, reset_forgets_also_what_remove_could_not)
{
    int writer;
    int reader = make_readable(&writer);
    struct gyre__poller *poller = make_poller();
    add(poller, reader, GYRE_READ, 1);
    int kept = dup(reader);
    close(reader);
    cr_assert_eq(readiness()->remove(poller, reader), -ENOENT);
    cr_assert_eq(readiness()->reset(poller), 0);
    assert_quiet(poller);
    add(poller, kept, GYRE_READ, 2);
    assert_only(poller, 2, GYRE_READ);
    cr_assert_eq(readiness()->reset(poller), 0);
    assert_quiet(poller);
    readiness()->destroy(poller);
    close_pipe((int[]){kept, writer});
}

/* ---- wait ------------------------------------------------------------------------------------ */

GYRE_TEST(backend_readiness, wait_ends_no_sooner_than_asked)
{
    static const uint64_t timeouts[] = {1, 999, 300000, 1000001, 2500000};
    struct gyre__poller *poller = make_poller();
    struct gyre__event event;
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        uint64_t start = backend()->port->now_ns();
        cr_assert_eq(readiness()->wait(poller, timeouts[i], &event, 1), 0);
        cr_assert_geq(backend()->port->now_ns() - start, timeouts[i]);
    }
    readiness()->destroy(poller);
}

GYRE_TEST(backend_readiness, what_is_ready_ends_every_wait)
{
    static const uint64_t timeouts[] = {0, 1, 3600 * SECOND_NS, GYRE_NEVER - 1, GYRE_NEVER};
    int writer;
    int reader = make_readable(&writer);
    struct gyre__poller *poller = make_poller();
    struct gyre__event event;
    add(poller, reader, GYRE_READ, 9);
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        event.datum = 0;
        cr_assert_eq(readiness()->wait(poller, timeouts[i], &event, 1), 1);
        cr_assert_eq(event.datum, 9);
    }
    readiness()->destroy(poller);
    close_pipe((int[]){reader, writer});
}

GYRE_TEST(backend_readiness, closed_descriptor_neither_ends_a_wait_nor_is_reported)
{
    int writer;
    int reader = make_readable(&writer);
    struct gyre__event event;
    struct gyre__poller *poller = make_poller();
    add(poller, reader, GYRE_READ, 1);
    close(reader); /* without removal */
    uint64_t start = backend()->port->now_ns();
    cr_assert_eq(readiness()->wait(poller, 1500000, &event, 1), 0);
    cr_assert_geq(backend()->port->now_ns() - start, 1500000);
    readiness()->destroy(poller);
    close(writer);
}

GYRE_TEST(backend_readiness, file_that_got_a_closed_number_is_not_reported)
{
    int fds[2];
    int writer;
    int reader = make_readable(&writer);
    make_pair(fds);
    struct gyre__poller *poller = make_poller();
    add(poller, fds[0], GYRE_READ, 1);
    cr_assert_eq(dup2(reader, fds[0]), fds[0]); /* closes it, without removal */
    assert_quiet(poller);
    cr_assert_eq(readiness()->update(poller, fds[0], GYRE_READ, 1), -ENOENT);
    add(poller, fds[0], GYRE_READ, 2);
    assert_only(poller, 2, GYRE_READ);
    readiness()->destroy(poller);
    close_pipe(fds);
    close_pipe((int[]){reader, writer});
}

static void ignore_alarm(int signal)
{
    (void)signal;
}

GYRE_TEST(backend_readiness, signal_ends_a_wait_with_eintr)
{
    static const uint64_t timeouts[] = {3600 * SECOND_NS, GYRE_NEVER};
    struct sigaction action = {.sa_handler = ignore_alarm, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 1000}, {0, 1000}}; /* the first may come before the wait */
    struct itimerval never = {{0, 0}, {0, 0}};
    struct gyre__poller *poller = make_poller();
    struct gyre__event event;
    cr_assert_eq(sigaction(SIGALRM, &action, NULL), 0);
    for (size_t i = 0; i < sizeof(timeouts) / sizeof(timeouts[0]); i++) {
        cr_assert_eq(setitimer(ITIMER_REAL, &often, NULL), 0);
        cr_assert_eq(readiness()->wait(poller, timeouts[i], &event, 1), -EINTR);
        cr_assert_eq(setitimer(ITIMER_REAL, &never, NULL), 0);
    }
    readiness()->destroy(poller);
}

enum {
    MANY = 300, /* more than one call of any system reports at once */
    FEW = 7
};

/* Makes `count` readable pipes, of data 0, 1, ... */
static void add_many(struct gyre__poller *poller, int fds[][2], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        fds[i][0] = make_readable(&fds[i][1]);
        add(poller, fds[i][0], GYRE_READ, i);
    }
}

GYRE_TEST(backend_readiness, what_did_not_fit_comes_with_the_next_waits)
{
    static int fds[MANY][2];
    static unsigned seen[MANY];
    struct gyre__event events[FEW];
    struct gyre__poller *poller = make_poller();
    add_many(poller, fds, MANY);
    for (unsigned round = 0; round < 3 * MANY / FEW + 3; round++) {
        int count = look(poller, events, FEW);
        cr_assert(count > 0 && count <= FEW);
        for (int i = 0; i < count; i++)
            seen[events[i].datum]++;
    }
    for (unsigned i = 0; i < MANY; i++) {
        cr_assert_geq(seen[i], 1, "descriptor %u starves", i);
        close_pipe(fds[i]);
    }
    readiness()->destroy(poller);
}

GYRE_TEST(backend_readiness, large_batches_lose_and_repeat_nothing)
{
    static int fds[MANY][2];
    static unsigned seen[MANY];
    static struct gyre__event events[2 * MANY];
    struct gyre__poller *poller = make_poller();
    add_many(poller, fds, MANY);
    unsigned total = 0;
    for (int count; (count = look(poller, events, 2 * MANY)) > 0; total += (unsigned)count) {
        for (int i = 0; i < count; i++) {
            char byte;
            uint64_t at = events[i].datum;
            cr_assert_lt(at, MANY);
            cr_assert_eq(++seen[at], 1);
            cr_assert_eq(read(fds[at][0], &byte, 1), 1);
        }
    }
    cr_assert_eq(total, MANY);
    readiness()->destroy(poller);
    for (unsigned i = 0; i < MANY; i++)
        close_pipe(fds[i]);
}

/* ---- closed peers ---------------------------------------------------------------------------- */

enum {
    ERROR = 0x8, /* the two bits of GYRE_ERROR */
    HANG_UP = 0x10
};

/* What is reported of fd, if READ and WRITE are asked for. */
static uint32_t bits_of(int fd)
{
    struct gyre__event event = {.events = 0};
    struct gyre__poller *poller = make_poller();
    add(poller, fd, GYRE_READ | GYRE_WRITE, 1);
    if (look(poller, &event, 1) == 0)
        event.events = 0;
    readiness()->destroy(poller);
    return event.events;
}

GYRE_TEST(backend_readiness, T115_closed_peer_of_a_pipe_gives_the_same_bits_everywhere)
{
    int fds[2];
    make_pipe(fds);
    close(fds[1]);
    cr_assert_eq(bits_of(fds[0]), HANG_UP, "nobody writes, and nothing is left");
    close(fds[0]);
    fds[0] = make_readable(&fds[1]);
    close(fds[1]);
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | HANG_UP, "nobody writes, and something is left");
    close(fds[0]);
    make_pipe(fds);
    close(fds[0]);
    cr_assert_eq(bits_of(fds[1]), GYRE_WRITE | ERROR, "nobody reads");
    close(fds[1]);
}

GYRE_TEST(backend_readiness, T115_closed_peer_of_a_unix_socket_gives_the_same_bits_everywhere)
{
    int fds[2];
    make_pair(fds);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | GYRE_WRITE, "the peer sends no more");
    cr_assert_eq(shutdown(fds[0], SHUT_WR), 0);
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | GYRE_WRITE | HANG_UP, "nor do we");
    close_pipe(fds);
    make_pair(fds);
    cr_assert_eq(write(fds[0], "x", 1), 1); /* which the peer does not read: a reset */
    close(fds[1]);
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | GYRE_WRITE | ERROR | HANG_UP);
    close(fds[0]);
}

/* A TCP connection over loopback: fds[0] is the client's. */
static void make_tcp(int fds[2])
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(name);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    cr_assert_eq(getsockname(listener, (struct sockaddr *)&name, &bytes), 0);
    fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bits_of(fds[0]), GYRE_WRITE | HANG_UP, "it was never connected");
    cr_assert_eq(connect(fds[0], (struct sockaddr *)&name, sizeof(name)), 0);
    fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    cr_assert_geq(fds[1], 0);
    close(listener);
}

GYRE_TEST(backend_readiness, T115_closed_peer_of_a_tcp_socket_gives_the_same_bits_everywhere)
{
    const struct linger reset = {.l_onoff = 1};
    int fds[2];
    make_tcp(fds);
    cr_assert_eq(bits_of(fds[0]), GYRE_WRITE);
    cr_assert_eq(shutdown(fds[1], SHUT_WR), 0);
    (void)poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, -1); /* until it is here */
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | GYRE_WRITE, "the peer sends no more");
    cr_assert_eq(shutdown(fds[0], SHUT_WR), 0);
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | GYRE_WRITE | HANG_UP, "nor do we");
    close_pipe(fds);
    make_tcp(fds);
    cr_assert_eq(setsockopt(fds[1], SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)), 0);
    close(fds[1]);
    (void)poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, -1); /* until it is here */
    cr_assert_eq(bits_of(fds[0]), GYRE_READ | GYRE_WRITE | ERROR | HANG_UP, "a reset");
    close(fds[0]);
}

/* ---- capabilities ---------------------------------------------------------------------------- */

GYRE_TEST(backend_readiness, edge_is_reported_once_each)
{
    if ((backend()->events & GYRE_EDGE) == 0)
        cr_skip_test("this backend has no edges");
    int fds[2];
    make_pair(fds);
    struct gyre__poller *poller = make_poller();
    add(poller, fds[0], GYRE_READ | GYRE_EDGE, 3);
    assert_quiet(poller);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(write(fds[1], "x", 1), 1);
        assert_only(poller, 3, GYRE_READ);
        assert_quiet(poller);
    }
    readiness()->destroy(poller);
    close_pipe(fds);
}

GYRE_TEST(backend_readiness, exclusive_registration_reports_and_cannot_be_updated)
{
    if ((backend()->capabilities & GYRE__CAP_EXCLUSIVE) == 0)
        cr_skip_test("this backend cannot watch exclusively");
    int writer;
    int reader = make_readable(&writer);
    struct gyre__poller *poller = make_poller();
    add(poller, reader, GYRE_READ | GYRE_ERROR | GYRE__EXCLUSIVE, 4);
    assert_only(poller, 4, GYRE_READ);
    cr_assert_eq(readiness()->update(poller, reader, GYRE_READ | GYRE__EXCLUSIVE, 5), -EINVAL);
    assert_only(poller, 4, GYRE_READ);
    cr_assert_eq(readiness()->remove(poller, reader), 0);
    assert_quiet(poller);
    readiness()->destroy(poller);
    close_pipe((int[]){reader, writer});
}
