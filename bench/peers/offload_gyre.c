/* SPDX-License-Identifier: MIT */
/*
 * offload_gyre - the executor case on gyre: the loop's own executor.
 */
#include <gyre/error.h>
#include <gyre/executor.h>
#include <gyre/loop.h>

#include "measure.h"
#include "offload.h"

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, gyre_error_text(status));
}

static int work(void *arg)
{
    offload_work(arg);
    return 0;
}

static int come_home(struct gyre_loop *loop, int status, void *arg)
{
    if (status != 0)
        return 0;
    switch (offload_home(arg)) {
    case OFFLOAD_AGAIN:
        check(gyre_loop_run_in_executor(loop, NULL, work, come_home, arg), "run_in_executor");
        break;
    case OFFLOAD_REST:
        break;
    case OFFLOAD_END:
        return gyre_loop_stop(loop);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct gyre_loop *loop;
    offload_create(argc, argv);
    check(gyre_loop_create(NULL, &loop), "gyre_loop_create");
    offload_begin();
    for (unsigned i = 0; i < offload.flight; i++)
        check(gyre_loop_run_in_executor(loop, NULL, work, come_home, &offload.pieces[i]),
              "run_in_executor");
    check(gyre_loop_run(loop), "gyre_loop_run");
    offload_end();
    gyre_loop_destroy(loop);
    return 0;
}
