/* SPDX-License-Identifier: MIT */
/*
 * pollers - see pollers.h.
 */
#include "pollers.h"

#include <string.h>

const struct gyre__backend *backend(void)
{
    const struct gyre__backend *found;
    cr_assert_eq(gyre__backend_find(gyre_test_backend(), &found), 0);
    return found;
}

const struct gyre__readiness *readiness(void)
{
    return backend()->readiness;
}

const struct gyre__waker_kind *waker_kind(void)
{
    const struct gyre__waker_kind *found;
    cr_assert_eq(gyre__waker_find(gyre_test_waker(), backend(), &found), 0);
    return found;
}

struct gyre__poller *make_poller(void)
{
    struct gyre__poller *poller = NULL;
    cr_assert_eq(readiness()->create(&poller), 0);
    cr_assert_not_null(poller);
    return poller;
}

void add(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum)
{
    cr_assert_eq(readiness()->add(poller, fd, events, datum), 0);
}

int look(struct gyre__poller *poller, struct gyre__event *events, unsigned events_max)
{
    memset(events, 0x5a, events_max * sizeof(*events));
    return readiness()->wait(poller, 0, events, events_max);
}

void assert_quiet(struct gyre__poller *poller)
{
    struct gyre__event event;
    cr_assert_eq(look(poller, &event, 1), 0);
}

void assert_only(struct gyre__poller *poller, uint64_t datum, uint32_t wanted)
{
    struct gyre__event events[4];
    cr_assert_eq(look(poller, events, 4), 1);
    cr_assert_eq(events[0].datum, datum);
    cr_assert_eq(events[0].events, wanted);
}
