/* SPDX-License-Identifier: MIT */
/*
 * turn - an empty turn: what a loop costs that is kept turning (handlers.h), with N handlers whose
 * descriptors are not ready.
 *
 * Warm-up  The first turns are not measured: some libraries tell the kernel of the N then.
 * Checks   No handler is called while turns are measured. Then one more descriptor is watched, and
 *          made ready once in each of a few turns, as are the first and the last of the N: each
 *          turn must have polled, since there is one event for each.
 * Args     idle (N), ops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "descriptors.h"
#include "handlers.h"
#include "measure.h"

enum {
    SPARE_DESCRIPTORS = 64, /* standard streams, and what a library opens */
    WARM_TURNS = 16,
    CHECKED_TURNS = 16,
    LATE_TURNS = 2 /* by so many an event may come after its turn */
};

static int *fds; /* the last is the one more */
static unsigned idle;
static uint64_t ops;
static bool warm;
static uint64_t turns_left; /* until measuring begins, or ends */
static unsigned checked; /* turns */
static unsigned probed; /* events of the one more */
static unsigned woken; /* events of the others */
static struct measure measure;

static void signal_fd(unsigned handler)
{
    const uint64_t one = 1;
    if (write(fds[handler], &one, sizeof(one)) != (ssize_t)sizeof(one))
        measure_fail("eventfd: %s", strerror(errno));
}

/* A turn after those that are measured. */
static bool check(void)
{
    if (checked == 0) {
        measure_end(&measure);
        if (woken != 0)
            measure_fail("%u handlers were called, of descriptors that were not ready", woken);
        handlers_peer_add(idle);
        if (idle != 0)
            signal_fd(0);
        if (idle > 1)
            signal_fd(idle - 1);
    }
    if (checked < CHECKED_TURNS)
        signal_fd(idle);
    return ++checked <= CHECKED_TURNS + LATE_TURNS;
}

/* noinline: else its registers are saved in every turn */
__attribute__((noinline)) static bool end_stretch(void)
{
    if (warm)
        return check();
    warm = true;
    turns_left = ops - 1; /* and the one that ends it */
    measure_begin(&measure);
    return true;
}

bool handlers_turn(void)
{
    if (turns_left == 0)
        return end_stretch();
    turns_left--;
    return true;
}

void handlers_event(unsigned handler, bool readable, bool writable)
{
    uint64_t signals;
    (void)writable;
    if (!readable || read(fds[handler], &signals, sizeof(signals)) != (ssize_t)sizeof(signals))
        measure_fail("handler %u was called, though there was nothing to read", handler);
    if (handler == idle)
        probed++;
    else
        woken++;
}

int main(int argc, char **argv)
{
    uint64_t handlers = measure_argument(argc, argv, "idle", 0);
    ops = measure_argument(argc, argv, "ops", 1000000);
    if (handlers > 1000000 || ops == 0)
        measure_fail("needs idle <= 1000000 and ops > 0");
    idle = (unsigned)handlers;
    descriptors_need(idle + SPARE_DESCRIPTORS);
    fds = calloc(idle + 1, sizeof(*fds));
    if (fds == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i <= idle; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC | EFD_SEMAPHORE);
        if (fds[i] < 0)
            measure_fail("eventfd: %s", strerror(errno));
    }
    handlers_peer_create(fds, idle + 1);
    for (unsigned i = 0; i < idle; i++)
        handlers_peer_add(i);
    turns_left = WARM_TURNS;
    handlers_peer_run();
    if (probed != CHECKED_TURNS || woken != (idle < 2 ? idle : 2))
        measure_fail("%u of %d turns have polled, and %u idle handlers were called", probed,
                     CHECKED_TURNS, woken);
    measure_report(&measure, ops);
    return 0;
}
