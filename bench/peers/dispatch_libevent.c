/* SPDX-License-Identifier: MIT */
/*
 * dispatch_libevent - the dispatch case on libevent: a persistent read event a pair.
 */
#include <string.h>

#include <event2/event.h>

#include "dispatch.h"
#include "measure.h"

static struct event_base *base;

static void readable(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    if (dispatch_event(arg) && event_base_loopbreak(base) != 0)
        measure_fail("event_base_loopbreak");
}

int main(int argc, char **argv)
{
    dispatch_create(argc, argv);
    base = event_base_new();
    if (base == NULL || strcmp(event_base_get_method(base), "epoll") != 0)
        measure_fail("event_base_new: no base that uses epoll");
    for (unsigned i = 0; i < dispatch.count; i++) {
        struct dispatch_pair *pair = &dispatch.pairs[i];
        struct event *event = event_new(base, pair->in, EV_READ | EV_PERSIST, readable, pair);
        if (event == NULL || event_add(event, NULL) != 0)
            measure_fail("event_add");
    }
    dispatch_begin();
    if (event_base_dispatch(base) != 0)
        measure_fail("event_base_dispatch");
    dispatch_end();
    return 0;
}
