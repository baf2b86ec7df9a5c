/* SPDX-License-Identifier: MIT */
/*
 * churn - handlers that come and go: added for reading, updated to reading and writing, removed.
 * The three together, of one descriptor, are an operation.
 *
 * What     N descriptors, of which none can be read or written. In one turn the handlers of all are
 *          added, in the next they are updated, in the next removed; and again.
 * Honest   Some libraries tell the kernel of a change at once, others at the next poll, and then
 *          once of what happened in between: of a handler added and removed again, never. So each
 *          step has a turn of its own, after which the kernel knows what it will ever be told. The
 *          turns, three for N operations, are in the figures. The first N operations are not: they
 *          make room.
 * Checks   No handler is called meanwhile. Then the three steps are done once more, with a few
 *          descriptors ready: after each, those handlers must be called, and only those, that are
 *          added for what their descriptor is ready for.
 * Args     descriptors (N), ops: rounded up to a multiple of N.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptors.h"
#include "handlers.h"
#include "measure.h"

enum step {
    ADD,
    UPDATE,
    REMOVE,
    STEPS
};

/* The descriptors that are ready in the end. */
enum witness {
    READABLE, /* before they are added */
    READABLE_LATER, /* before they are updated */
    READABLE_LAST, /* before they are removed */
    WRITABLE, /* before they are added */
    WITNESSES
};

enum {
    SPARE_DESCRIPTORS = 64, /* standard streams, and what a library opens */
    SEND_BUFFER_BYTES = 1, /* the kernel makes that its least: little is to be filled */
    SETTLE_TURNS = 2 /* after a checked step: an event may come a turn late */
};

struct seen {
    bool readable;
    bool writable;
};

static int *fds;
static unsigned count;
static int witness_ends[WITNESSES]; /* the other ends of the first */
static struct seen *seen; /* by each handler, since the last step */
static uint64_t calls;
static uint64_t rounds; /* that are left, of N operations each */
static uint64_t measured; /* rounds */
static unsigned step; /* the next */
static unsigned turns_left; /* until a checked step has settled */
static struct measure measure;

static void do_step(unsigned which)
{
    for (unsigned i = 0; i < count; i++) {
        if (which == ADD)
            handlers_peer_add(i);
        else if (which == UPDATE)
            handlers_peer_update(i);
        else
            handlers_peer_remove(i);
    }
}

/* ---- after the work: checks ------------------------------------------------------------------ */

static void make_readable(enum witness witness)
{
    if (write(witness_ends[witness], "", 1) != 1)
        measure_fail("write: %s", strerror(errno));
}

static void make_writable(enum witness witness)
{
    char bytes[4096];
    while (read(witness_ends[witness], bytes, sizeof(bytes)) > 0)
        ;
    if (errno != EAGAIN)
        measure_fail("read: %s", strerror(errno));
}

static void make_ready(unsigned which)
{
    if (which == ADD) {
        make_readable(READABLE);
        make_writable(WRITABLE);
    } else {
        make_readable(which == UPDATE ? READABLE_LATER : READABLE_LAST);
    }
}

/* What `which` has led to must be what it should. */
static void check_step(unsigned which)
{
    static const char *const names[STEPS] = {"added", "updated", "removed"};
    for (unsigned i = 0; i < count; i++) {
        bool readable =
            which != REMOVE && (i == READABLE || (which == UPDATE && i == READABLE_LATER));
        bool writable = which == UPDATE && i == WRITABLE;
        if (seen[i].readable != readable || seen[i].writable != writable)
            measure_fail("handler %u, %s, was told%s%s, and should be%s%s", i, names[which],
                         seen[i].readable ? " of reading" : "",
                         seen[i].writable ? " of writing" : "", readable ? " of reading" : "",
                         writable ? " of writing" : "");
    }
    memset(seen, 0, count * sizeof(*seen));
}

static bool check(void)
{
    if (turns_left-- > 0)
        return true;
    if (step == 0) {
        measure_end(&measure);
        if (calls != 0)
            measure_fail("%llu calls for descriptors that were not ready",
                         (unsigned long long)calls);
    } else {
        check_step(step - 1);
    }
    if (step == STEPS)
        return false;
    make_ready(step);
    do_step(step++);
    turns_left = SETTLE_TURNS;
    return true;
}

/* ---- turns and events ------------------------------------------------------------------------ */

bool handlers_turn(void)
{
    if (rounds == 0)
        return check();
    if (rounds == measured && step == 0)
        measure_begin(&measure);
    do_step(step++);
    if (step == STEPS) {
        step = 0;
        rounds--;
    }
    return true;
}

void handlers_event(unsigned handler, bool readable, bool writable)
{
    calls++;
    seen[handler].readable |= readable;
    seen[handler].writable |= writable;
}

/* ---- descriptors ----------------------------------------------------------------------------- */

/* Makes it so that `fd` cannot be written. */
static void fill(int fd)
{
    const char bytes[4096] = {0};
    const int size = SEND_BUFFER_BYTES;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) != 0)
        measure_fail("SO_SNDBUF: %s", strerror(errno));
    while (write(fd, bytes, sizeof(bytes)) > 0)
        ;
    if (errno != EAGAIN)
        measure_fail("write: %s", strerror(errno));
}

static void create_descriptors(void)
{
    fds = calloc(count, sizeof(*fds));
    seen = calloc(count, sizeof(*seen));
    if (fds == NULL || seen == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i < count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
            measure_fail("socketpair: %s", strerror(errno));
        fds[i] = ends[0];
        fill(fds[i]);
        if (i < WITNESSES)
            witness_ends[i] = ends[1];
    }
}

int main(int argc, char **argv)
{
    uint64_t descriptors = measure_argument(argc, argv, "descriptors", 1000);
    uint64_t ops = measure_argument(argc, argv, "ops", 100000);
    if (descriptors < WITNESSES || descriptors > 1000000 || ops == 0)
        measure_fail("needs %d <= descriptors <= 1000000 and ops > 0", WITNESSES);
    descriptors_need(2 * descriptors + SPARE_DESCRIPTORS);
    count = (unsigned)descriptors;
    measured = (ops + count - 1) / count;
    rounds = measured + 1;
    create_descriptors();
    handlers_peer_create(fds, count);
    handlers_peer_run();
    if (step != STEPS)
        measure_fail("the loop has ended before its work");
    measure_report(&measure, measured * count);
    return 0;
}
