/* SPDX-License-Identifier: MIT */
/*
 * handlers_libevent - handlers on libevent: an event for reading and one for writing each, as its
 * own bufferevents have them, so that a change of one leaves the other alone. The base takes no
 * locks: it has one thread. It has a changelist, with which it tells the kernel of changes at the
 * next poll, and so once of a removal of both.
 *
 * The loop is kept turning by an event that activates itself. That one would be called again before
 * any poll; but the base polls after each callback (max_callbacks), which is the cheapest here,
 * though not where many events are ready. A timer that is always due takes 430 instructions more.
 */
#include <stdlib.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "handlers.h"
#include "measure.h"

enum {
    CALLBACKS_MAX = 1 /* between two polls */
};

struct watcher {
    struct event read;
    struct event write;
};

static struct event_base *base;
static struct event *again;
static struct watcher *watchers;

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s", what);
}

static void turn(evutil_socket_t none, short events, void *arg)
{
    (void)none;
    (void)events;
    (void)arg;
    if (handlers_turn())
        event_active(again, 0, 0);
    else
        check(event_base_loopbreak(base), "event_base_loopbreak");
}

static void ready(evutil_socket_t fd, short events, void *arg)
{
    const struct watcher *watcher = arg;
    (void)fd;
    handlers_event((unsigned)(watcher - watchers), (events & EV_READ) != 0,
                   (events & EV_WRITE) != 0);
}

static struct event_base *create_base(void)
{
    struct event_config *config = event_config_new();
    if (config == NULL)
        measure_fail("event_config_new");
    check(event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK), "event_config_set_flag");
    check(event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST),
          "event_config_set_flag");
    check(event_config_set_max_dispatch_interval(config, NULL, CALLBACKS_MAX, 0),
          "event_config_set_max_dispatch_interval");
    struct event_base *ret = event_base_new_with_config(config);
    event_config_free(config);
    return ret;
}

void handlers_peer_create(const int *fds, unsigned count)
{
    base = create_base();
    again = base != NULL ? event_new(base, -1, EV_PERSIST, turn, NULL) : NULL;
    watchers = calloc(count, sizeof(*watchers));
    if (again == NULL || watchers == NULL)
        measure_fail("event_base_new");
    for (unsigned i = 0; i < count; i++) {
        struct watcher *watcher = &watchers[i];
        check(event_assign(&watcher->read, base, fds[i], EV_READ | EV_PERSIST, ready, watcher),
              "event_assign");
        check(event_assign(&watcher->write, base, fds[i], EV_WRITE | EV_PERSIST, ready, watcher),
              "event_assign");
    }
}

void handlers_peer_add(unsigned handler)
{
    check(event_add(&watchers[handler].read, NULL), "event_add");
}

void handlers_peer_update(unsigned handler)
{
    check(event_add(&watchers[handler].write, NULL), "event_add");
}

void handlers_peer_remove(unsigned handler)
{
    check(event_del(&watchers[handler].read), "event_del");
    check(event_del(&watchers[handler].write), "event_del");
}

void handlers_peer_run(void)
{
    event_active(again, 0, 0);
    check(event_base_dispatch(base), "event_base_dispatch");
}
