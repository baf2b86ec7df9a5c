/* SPDX-License-Identifier: MIT */
/*
 * sizes_libevent - the sizes case on libevent. A task is an event that event_active activates, a
 * stream a socket bufferevent.
 */
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/thread.h>
#include <sys/time.h>

#include "measure.h"
#include "sizes.h"

static struct event_base *base;

static void make_base(void)
{
    base = event_base_new();
    if (base == NULL || event_base_loop(base, EVLOOP_NONBLOCK) < 0)
        measure_fail("event_base_new");
}

static void called(evutil_socket_t fd, short events, void *arg)
{
    (void)fd;
    (void)events;
    (void)arg;
}

static void received(struct bufferevent *stream, void *arg)
{
    (void)stream;
    (void)arg;
}

static void count_tasks(void)
{
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        struct event *event = event_new(base, -1, EV_PERSIST, called, NULL);
        if (event == NULL)
            measure_fail("event_new");
        event_active(event, 0, 0);
    }
    sizes_end(0, SIZES_OBJECTS);
}

static void count_timers(void)
{
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        const struct timeval delay = {.tv_sec = SIZES_HOUR_S, .tv_usec = (suseconds_t)i};
        struct event *event = evtimer_new(base, called, NULL);
        if (event == NULL || event_add(event, &delay) != 0)
            measure_fail("evtimer_new");
    }
    sizes_end(0, SIZES_OBJECTS);
}

static void count_streams(void)
{
    (void)sizes_listen(); /* sizes_connect knows the address */
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        int fd = sizes_connect();
        struct bufferevent *stream = NULL;
        if (evutil_make_socket_nonblocking(fd) == 0)
            stream = bufferevent_socket_new(base, fd, BEV_OPT_CLOSE_ON_FREE);
        if (stream == NULL)
            measure_fail("bufferevent_socket_new");
        bufferevent_setcb(stream, received, NULL, NULL, NULL);
        if (bufferevent_enable(stream, EV_READ) != 0)
            measure_fail("bufferevent_enable");
    }
    if (event_base_loop(base, EVLOOP_NONBLOCK) < 0)
        measure_fail("event_base_loop");
    sizes_end(0, SIZES_OBJECTS);
}

int main(int argc, char **argv)
{
    if (evthread_use_pthreads() != 0) /* tasks come from other threads */
        measure_fail("evthread_use_pthreads");
    make_base();
    if (sizes_asked(argc, argv, "loop")) {
        sizes_begin();
        make_base();
        sizes_end(0, 1);
    } else if (sizes_asked(argc, argv, "task")) {
        count_tasks();
    } else if (sizes_asked(argc, argv, "timer")) {
        count_timers();
    } else if (sizes_asked(argc, argv, "stream")) {
        count_streams();
    } else if (sizes_asked(argc, argv, "library")) {
        sizes_library((const void *)(uintptr_t)event_base_loop);
    } else {
        measure_fail("which thing?");
    }
    return 0;
}
