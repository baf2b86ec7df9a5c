/* SPDX-License-Identifier: MIT */
/*
 * sizes_gyre - the sizes case on gyre. BENCH_GYRE_LIBRARY is the path of its shared library, which
 * this program is not linked to.
 */
#include <dlfcn.h>

#include <gyre/error.h>
#include <gyre/gyre.h>

#include "measure.h"
#include "sizes.h"

static struct gyre_loop *loop;

static void check(int status, const char *what)
{
    if (status != 0)
        measure_fail("%s: %s", what, gyre_error_text(status));
}

static int stop(struct gyre_loop *running, int status, void *arg)
{
    (void)status;
    (void)arg;
    return gyre_loop_stop(running);
}

static int nothing(struct gyre_loop *running, int status, void *arg)
{
    (void)running;
    (void)status;
    (void)arg;
    return 0;
}

/* Makes the loop, and has it turn. */
static void make_loop(void)
{
    struct gyre_task task;
    check(gyre_loop_create(NULL, &loop), "gyre_loop_create");
    gyre_task_init(&task, stop, NULL);
    check(gyre_loop_post(loop, &task), "gyre_loop_post");
    check(gyre_loop_run(loop), "gyre_loop_run");
}

static void count_tasks(void)
{
    static struct gyre_task tasks[SIZES_OBJECTS];
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        gyre_task_init(&tasks[i], nothing, NULL);
        check(gyre_loop_post(loop, &tasks[i]), "gyre_loop_post");
    }
    sizes_end(sizeof(tasks[0]), SIZES_OBJECTS);
}

static void count_timers(void)
{
    static struct gyre_timer timers[SIZES_OBJECTS];
    uint64_t deadline_ns = gyre_loop_now_ns(loop) + SIZES_HOUR_S * UINT64_C(1000000000);
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++) {
        gyre_timer_init(&timers[i], loop, nothing, NULL);
        check(gyre_timer_start(&timers[i], deadline_ns + i), "gyre_timer_start");
    }
    sizes_end(sizeof(timers[0]), SIZES_OBJECTS);
}

static void opened(struct gyre_stream *stream, void *arg)
{
    unsigned *left = arg;
    if (--*left == 0)
        (void)gyre_loop_stop(gyre_stream_loop(stream)); /* not a runtime's: cannot fail */
}

static void ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)stream;
    (void)arg;
    measure_fail("a stream: %s", gyre_error_text(status));
}

static void received(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_used,
                     void *arg)
{
    (void)stream;
    (void)data;
    (void)bytes;
    (void)ret_used;
    (void)arg;
}

static void count_streams(void)
{
    static const struct gyre_stream_events events = {
        .opened = opened, .received = received, .ended = ended};
    static struct gyre_stream *streams[SIZES_OBJECTS];
    unsigned left = SIZES_OBJECTS;
    const char *address = sizes_listen();
    sizes_begin();
    for (unsigned i = 0; i < SIZES_OBJECTS; i++)
        check(gyre_stream_connect(loop, address, NULL, &streams[i], &events, &left),
              "gyre_stream_connect");
    check(gyre_loop_run(loop), "gyre_loop_run");
    sizes_end(0, SIZES_OBJECTS);
}

static void count_library(void)
{
    void *library = dlopen(BENCH_GYRE_LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL)
        measure_fail("%s", dlerror());
    sizes_library(dlsym(library, "gyre_loop_run"));
}

int main(int argc, char **argv)
{
    make_loop();
    if (sizes_asked(argc, argv, "loop")) {
        sizes_begin();
        make_loop();
        sizes_end(0, 1);
    } else if (sizes_asked(argc, argv, "task")) {
        count_tasks();
    } else if (sizes_asked(argc, argv, "timer")) {
        count_timers();
    } else if (sizes_asked(argc, argv, "stream")) {
        count_streams();
    } else if (sizes_asked(argc, argv, "library")) {
        count_library();
    } else {
        measure_fail("which thing?");
    }
    return 0;
}
