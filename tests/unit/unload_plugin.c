/* SPDX-License-Identifier: MIT */
/*
 * unload_plugin - a plugin with the static library inside: runs a loop on the calling thread.
 */
#include <gyre/gyre.h>

int plugin_run(void);

static int stop(struct gyre_loop *loop, int status, void *arg)
{
    (void)status;
    ++*(int *)arg;
    return gyre_loop_stop(loop);
}

int plugin_run(void)
{
    struct gyre_loop *loop;
    int calls = 0;
    if (gyre_loop_create(NULL, &loop) != 0)
        return -1;
    if (gyre_loop_add_callback(loop, stop, &calls) != 0 || gyre_loop_run(loop) != 0)
        calls = -1;
    gyre_loop_destroy(loop);
    return calls;
}
