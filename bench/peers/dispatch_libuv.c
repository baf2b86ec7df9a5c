/* SPDX-License-Identifier: MIT */
/*
 * dispatch_libuv - the dispatch case on libuv: a uv_poll_t a pair.
 */
#include <stdlib.h>

#include <uv.h>

#include "dispatch.h"
#include "measure.h"

static void readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    if (status != 0)
        measure_fail("poll: %s", uv_strerror(status));
    if (dispatch_event(poll->data))
        uv_stop(poll->loop);
}

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, uv_strerror(status));
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    dispatch_create(argc, argv);
    uv_poll_t *polls = calloc(dispatch.count, sizeof(*polls));
    if (polls == NULL)
        measure_fail("no memory");
    check(uv_loop_init(&loop), "uv_loop_init");
    for (unsigned i = 0; i < dispatch.count; i++) {
        polls[i].data = &dispatch.pairs[i];
        check(uv_poll_init(&loop, &polls[i], dispatch.pairs[i].in), "uv_poll_init");
        check(uv_poll_start(&polls[i], UV_READABLE, readable), "uv_poll_start");
    }
    dispatch_begin();
    (void)uv_run(&loop, UV_RUN_DEFAULT); /* not 0: handles are still active, as they must be */
    dispatch_end();
    return 0;
}
