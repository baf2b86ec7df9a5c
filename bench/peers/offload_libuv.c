/* SPDX-License-Identifier: MIT */
/*
 * offload_libuv - the executor case on libuv: uv_queue_work, with a request a piece.
 */
#include <stdlib.h>

#include <uv.h>

#include "measure.h"
#include "offload.h"

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, uv_strerror(status));
}

static void work(uv_work_t *request)
{
    offload_work(request->data);
}

static void come_home(uv_work_t *request, int status)
{
    check(status, "work");
    if (offload_home(request->data) == OFFLOAD_AGAIN)
        check(uv_queue_work(request->loop, request, work, come_home), "uv_queue_work");
}

int main(int argc, char **argv)
{
    uv_loop_t loop;
    offload_create(argc, argv);
    uv_work_t *requests = calloc(offload.flight, sizeof(*requests));
    if (requests == NULL)
        measure_fail("no memory");
    check(uv_loop_init(&loop), "uv_loop_init");
    offload_begin();
    for (unsigned i = 0; i < offload.flight; i++) {
        requests[i].data = &offload.pieces[i];
        check(uv_queue_work(&loop, &requests[i], work, come_home), "uv_queue_work");
    }
    check(uv_run(&loop, UV_RUN_DEFAULT), "uv_run"); /* ends when no work is left */
    offload_end();
    check(uv_loop_close(&loop), "uv_loop_close");
    free(requests);
    return 0;
}
