/* SPDX-License-Identifier: MIT */
/*
 * sizes_libuv - the sizes case on libuv. A task is a uv_async_t.
 */
#include <stdlib.h>

#include <uv.h>

#include "measure.h"
#include "sizes.h"

static uv_loop_t loops[2];

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, uv_strerror(status));
}

static void make_loop(uv_loop_t *loop)
{
    check(uv_loop_init(loop), "uv_loop_init");
    check(uv_run(loop, UV_RUN_NOWAIT), "uv_run");
}

static void called(uv_async_t *async)
{
    (void)async;
}

static void fired(uv_timer_t *timer)
{
    (void)timer;
}

static void allocate(uv_handle_t *handle, size_t bytes, uv_buf_t *buffer)
{
    (void)handle;
    *buffer = uv_buf_init(malloc(bytes), (unsigned)bytes);
}

static void received(uv_stream_t *stream, ssize_t bytes, const uv_buf_t *buffer)
{
    (void)stream;
    (void)bytes;
    free(buffer->base);
}

static void count_tasks(uv_loop_t *loop)
{
    static uv_async_t asyncs[SIZES_OBJECTS];
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++)
        check(uv_async_init(loop, &asyncs[i], called), "uv_async_init");
    sizes_end(sizeof(asyncs[0]), SIZES_OBJECTS);
}

static void count_timers(uv_loop_t *loop)
{
    static uv_timer_t timers[SIZES_OBJECTS];
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        check(uv_timer_init(loop, &timers[i]), "uv_timer_init");
        check(uv_timer_start(&timers[i], fired, SIZES_HOUR_S * 1000u + i, 0), "uv_timer_start");
    }
    sizes_end(sizeof(timers[0]), SIZES_OBJECTS);
}

static void count_streams(uv_loop_t *loop)
{
    static uv_tcp_t tcps[SIZES_OBJECTS];
    (void)sizes_listen(); /* sizes_connect knows the address */
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        check(uv_tcp_init(loop, &tcps[i]), "uv_tcp_init");
        check(uv_tcp_open(&tcps[i], sizes_connect()), "uv_tcp_open");
        check(uv_read_start((uv_stream_t *)&tcps[i], allocate, received), "uv_read_start");
    }
    (void)uv_run(loop, UV_RUN_NOWAIT); /* not 0: the streams are active */
    sizes_end(sizeof(tcps[0]), SIZES_OBJECTS);
}

int main(int argc, char **argv)
{
    make_loop(&loops[0]);
    if (sizes_asked(argc, argv, "loop")) {
        sizes_begin();
        make_loop(&loops[1]);
        sizes_end(sizeof(loops[1]), 1);
    } else if (sizes_asked(argc, argv, "task")) {
        count_tasks(&loops[0]);
    } else if (sizes_asked(argc, argv, "timer")) {
        count_timers(&loops[0]);
    } else if (sizes_asked(argc, argv, "stream")) {
        count_streams(&loops[0]);
    } else if (sizes_asked(argc, argv, "library")) {
        sizes_library((const void *)(uintptr_t)uv_run);
    } else {
        measure_fail("which thing?");
    }
    return 0;
}
