/* SPDX-License-Identifier: MIT */
/*
 * dispatch_libev - the dispatch case on libev: an ev_io a pair.
 */
#include <stdlib.h>

#include <ev.h>

#include "dispatch.h"
#include "measure.h"

static void readable(struct ev_loop *loop, ev_io *io, int events)
{
    (void)events;
    if (dispatch_event(io->data))
        ev_break(loop, EVBREAK_ALL);
}

int main(int argc, char **argv)
{
    dispatch_create(argc, argv);
    ev_io *ios = calloc(dispatch.count, sizeof(*ios));
    struct ev_loop *loop = ev_loop_new(EVBACKEND_EPOLL);
    if (ios == NULL || loop == NULL)
        measure_fail("ev_loop_new");
    for (unsigned i = 0; i < dispatch.count; i++) {
        ev_io_init(&ios[i], readable, dispatch.pairs[i].in, EV_READ);
        ios[i].data = &dispatch.pairs[i];
        ev_io_start(loop, &ios[i]);
    }
    dispatch_begin();
    (void)ev_run(loop, 0); /* whether watchers are left: they are */
    dispatch_end();
    return 0;
}
