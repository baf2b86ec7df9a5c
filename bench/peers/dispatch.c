/* SPDX-License-Identifier: MIT */
/*
 * dispatch - see dispatch.h.
 */
#include "dispatch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "descriptors.h"
#include "measure.h"

enum {
    SPARE_DESCRIPTORS = 64 /* standard streams, and what a library opens */
};

struct dispatch dispatch;

static unsigned active;
static uint64_t ops;
static uint64_t written; /* bytes */
static uint64_t events;
static struct measure measure;

static void write_token(int fd)
{
    if (write(fd, "", 1) != 1) /* a pair holds far more than there are tokens */
        measure_fail("write: %s", strerror(errno));
    written++;
}

void dispatch_create(int argc, char **argv)
{
    uint64_t pairs = measure_argument(argc, argv, "pairs", 100);
    active = (unsigned)measure_argument(argc, argv, "active", 1);
    ops = measure_argument(argc, argv, "ops", 1000000);
    if (pairs == 0 || pairs > 1000000 || active == 0 || active > pairs || ops < active)
        measure_fail("needs 1 <= active <= pairs <= 1000000 and active <= ops");
    descriptors_need(2 * pairs + SPARE_DESCRIPTORS);

    dispatch.count = (unsigned)pairs;
    dispatch.pairs = calloc(pairs, sizeof(*dispatch.pairs));
    if (dispatch.pairs == NULL)
        measure_fail("no memory");
    for (unsigned i = 0; i < dispatch.count; i++) {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
            measure_fail("socketpair: %s", strerror(errno));
        dispatch.pairs[i].in = ends[0];
        dispatch.pairs[i == 0 ? dispatch.count - 1 : i - 1].out = ends[1];
    }
}

void dispatch_begin(void)
{
    unsigned apart = dispatch.count / active;
    for (unsigned i = 0; i < active; i++)
        write_token(dispatch.pairs[i * apart].out);
    measure_begin(&measure);
}

bool dispatch_pass(const struct dispatch_pair *pair)
{
    if (written < ops)
        write_token(pair->out);
    return ++events == ops;
}

bool dispatch_event(const struct dispatch_pair *pair)
{
    char byte;
    ssize_t bytes = read(pair->in, &byte, 1);
    if (bytes != 1)
        measure_fail("an event without a byte: %s", bytes == 0 ? "end" : strerror(errno));
    return dispatch_pass(pair);
}

void dispatch_end(void)
{
    measure_end(&measure);
    if (events != ops || written != ops)
        measure_fail("%llu events and %llu bytes instead of %llu", (unsigned long long)events,
                     (unsigned long long)written, (unsigned long long)ops);
    for (unsigned i = 0; i < dispatch.count; i++) {
        char byte;
        if (read(dispatch.pairs[i].in, &byte, 1) != -1 || errno != EAGAIN)
            measure_fail("pair %u is not empty", i);
    }
    measure_report(&measure, ops);
}
