/* SPDX-License-Identifier: MIT */
/*
 * dispatch_gyre - the dispatch case on gyre: a handler a pair.
 */
#include <gyre/error.h>
#include <gyre/loop.h>

#include "dispatch.h"
#include "measure.h"

static int readable(struct gyre_loop *loop, int fd, uint32_t events, void *arg)
{
    (void)fd;
    (void)events;
    return dispatch_event(arg) ? gyre_loop_stop(loop) : 0;
}

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, gyre_error_text(status));
}

int main(int argc, char **argv)
{
    struct gyre_loop *loop;
    dispatch_create(argc, argv);
    check(gyre_loop_create(NULL, &loop), "gyre_loop_create");
    for (unsigned i = 0; i < dispatch.count; i++) {
        struct dispatch_pair *pair = &dispatch.pairs[i];
        check(gyre_loop_add_handler(loop, pair->in, GYRE_READ, readable, pair), "add_handler");
    }
    dispatch_begin();
    check(gyre_loop_run(loop), "gyre_loop_run");
    dispatch_end();
    gyre_loop_destroy(loop);
    return 0;
}
