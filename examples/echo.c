/* SPDX-License-Identifier: MIT */
/*
 * echo - a TCP server that sends back what it receives: an accept loop on every core.
 *
 *     echo [ADDRESS]            127.0.0.1:7007 unless told otherwise; ^C ends it
 *
 * Shows     listener and stream. A connection lives on the loop that accepted it: its functions run
 *           on that loop's thread only, so that they need no lock, and here not even memory.
 * Pressure  A client that sends and does not read fills the stream's 64 KiB. write then takes less
 *           than it is given; the rest stays with the stream, which is paused until the client has
 *           read. A slow client costs a buffer, never more.
 * End       The client's end is answered with ours, once the last byte has left. On a signal the
 *           listener stops without losing a connection that is on its way, and the program ends
 *           with the last client, after 5 s at the latest.
 */
#include <errno.h>
#include <gyre/gyre.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t drain_ns = UINT64_C(5) * 1000 * 1000 * 1000;

static struct gyre_runtime *runtime;
static struct gyre_listener *listener;

/* Connections, and one for the listener: who takes the last one away stops the runtime. */
static _Atomic unsigned open_things = 1;

static void one_less(void)
{
    /* relaxed: only the number counts, nothing is read on its account */
    if (atomic_fetch_sub_explicit(&open_things, 1, memory_order_relaxed) == 1)
        gyre_runtime_stop(runtime);
}

/* ---- a connection ---------------------------------------------------------------------------- */

static void drop(struct gyre_stream *stream)
{
    gyre_stream_close(stream); /* no function is called for it from here on */
    one_less();
}

static void received(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_used,
                     void *arg)
{
    size_t taken = 0;
    (void)arg;
    if (gyre_stream_write(stream, data, bytes, &taken) != 0) {
        drop(stream);
        return;
    }
    *ret_used = taken;
    if (taken < bytes)
        gyre_stream_pause(stream); /* what was not taken is offered again after the resume */
}

static void drained(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    gyre_stream_resume(stream);
}

/* After the client's end: the last bytes have left, or it has gone without them. */
static void left(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    drop(stream);
}

static void failed(struct gyre_stream *stream, int status, void *arg)
{
    (void)status;
    (void)arg;
    drop(stream);
}

static void ended(struct gyre_stream *stream, int status, void *arg)
{
    static const struct gyre_stream_events leaving = {.drained = left, .ended = failed};
    (void)arg;
    if (status != 0 || gyre_stream_finish(stream) == 0)
        drop(stream); /* it failed, or nothing is left to send */
    else
        gyre_stream_bind(stream, &leaving, NULL);
}

static int accept_client(struct gyre_stream *stream, void *arg)
{
    static const struct gyre_stream_events echoing = {
        .received = received, .drained = drained, .ended = ended};
    (void)arg;
    atomic_fetch_add_explicit(&open_things, 1, memory_order_relaxed); /* as in one_less */
    gyre_stream_bind(stream, &echoing, NULL);
    return 0;
}

/* ---- the program ----------------------------------------------------------------------------- */

static int give_up(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    if (status == 0) /* else the runtime has ended in time, and takes the timer with it */
        gyre_runtime_stop(runtime);
    return 0;
}

/* Nobody is accepted any more: the clients that are there get 5 s. */
static int listener_stopped(struct gyre_loop *loop, int status, void *arg)
{
    uint64_t handle;
    (void)arg;
    one_less();
    return status == 0 ? gyre_loop_call_later(loop, drain_ns, &handle, give_up, NULL) : 0;
}

static int fail(const char *what, int error)
{
    const char *name = gyre_error_name(error);
    fprintf(stderr, "echo: %s: %s\n", what,
            name != NULL ? gyre_error_text(error) : strerror(-error));
    if (listener != NULL)
        gyre_listener_close(listener, NULL, NULL);
    gyre_runtime_destroy(runtime);
    return 2;
}

/* The loops are ending: if one of them has failed, main does not know yet. */
static int tell_main(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)loop;
    (void)index;
    (void)arg;
    return kill(getpid(), SIGTERM) == 0 ? 0 : -errno;
}

int main(int argc, char **argv)
{
    const char *address = argc > 1 ? argv[1] : "127.0.0.1:7007";
    struct gyre_runtime_options options;
    char bound[GYRE_ADDRESS_MAX];
    sigset_t signals;
    int got;

    if (argc > 2 || address[0] == '-') {
        fprintf(stderr, "usage: echo [ADDRESS]\n");
        return 2;
    }
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before there are threads: sigwait gets them */

    gyre_runtime_options_init(&options); /* a loop for each CPU that we may use */
    options.teardown = tell_main;
    int error = gyre_runtime_create(&options, &runtime);
    if (error != 0)
        return fail("runtime", error);
    error = gyre_listener_open(runtime, address, NULL, &listener, accept_client, NULL);
    if (error == 0)
        error = gyre_listener_address(listener, bound, sizeof(bound));
    if (error != 0)
        return fail(address, error);
    error = gyre_runtime_start(runtime);
    if (error != 0)
        return fail("runtime", error);

    printf("echo: listening at %s with %u loops\n", bound, gyre_runtime_loops(runtime));
    (void)fflush(stdout); /* nobody may be reading */
    (void)sigwait(&signals, &got); /* fails for an invalid set only */
    gyre_listener_stop(listener, listener_stopped, NULL);
    error = gyre_runtime_join(runtime);
    gyre_runtime_destroy(runtime);
    return error == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
