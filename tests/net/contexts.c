/* SPDX-License-Identifier: MIT */
/*
 * contexts - rules T106 to T109 for listeners and streams: accept runs in the context of the
 * listener's open, a stream's events in that of its last bind, or of its connect. And T75 and T77,
 * of what a listener calls last.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support.h"

static const char name_key; /* its address is the key of a context's name */

struct seen {
    unsigned released; /* contexts that are gone */
    char text[256]; /* names of the contexts that events ran in */
    struct gyre_context *next; /* that the stream is bound in */
};

static struct seen seen;

static void count_release(void *value, void *arg)
{
    (void)value;
    (void)arg;
    seen.released++;
}

static struct gyre_context *make(struct gyre_context *parent, const char *name)
{
    struct gyre_context *context = NULL;
    struct gyre_context_options options;
    gyre_context_options_init(&options);
    options.key = &name_key;
    options.value = (void *)(uintptr_t)name;
    options.release = count_release;
    cr_assert_eq(gyre_context_create(parent, &options, &context), 0);
    return context;
}

static void note(const char *event)
{
    void *name;
    bool found = gyre_context_find(gyre_context_current(), &name_key, &name) == 0;
    strcat(seen.text, event);
    strcat(seen.text, found ? name : "null");
    strcat(seen.text, " ");
}

static void on_received(struct gyre_stream *stream, const void *data, size_t bytes,
                        size_t *ret_used, void *arg)
{
    (void)stream;
    (void)data;
    (void)arg;
    note("r:");
    *ret_used = bytes;
}

static void on_ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)status;
    (void)arg;
    note("e:");
    gyre_stream_close(stream);
}

static void on_opened(struct gyre_stream *stream, void *arg)
{
    (void)stream;
    (void)arg;
    note("o:");
}

static const struct gyre_stream_events events = {
    .opened = on_opened, .received = on_received, .ended = on_ended};

/* Binds in a context of its own, as a server does for each connection. */
static int accept_in_context(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    note("a:");
    struct gyre_context *connection = make(gyre_context_current(), "connection");
    struct gyre_context *before = gyre_context_enter(connection);
    gyre_stream_bind(stream, &events, NULL);
    (void)gyre_context_enter(before);
    gyre_context_release(connection);
    return 0;
}

GYRE_TEST(contexts, T106_accept_runs_in_the_listeners_and_events_in_the_binders)
{
    struct net net;
    char address[GYRE_ADDRESS_MAX];
    struct gyre_listener *listener;
    seen = (struct seen){.released = 0};
    net_open(&net);
    struct gyre_context *server = make(NULL, "server");
    (void)gyre_context_enter(server);
    cr_assert_eq(gyre_listener_open_on(&net.loop, 1, "127.0.0.1:0", NULL, &listener,
                                       accept_in_context, NULL),
                 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(server);
    cr_assert_eq(gyre_listener_address(listener, address, sizeof(address)), 0);
    int fd = raw_connect(address);
    net_settle(&net);
    raw_send_text(fd, "x");
    net_settle(&net);
    close(fd);
    net_settle(&net);
    cr_assert_str_eq(seen.text, "a:server r:connection e:connection ");
    cr_assert_eq(seen.released, 1, "the connection's goes with its stream");
    gyre_listener_close(listener, NULL, NULL);
    net_settle(&net);
    cr_assert_eq(seen.released, 2, "the server's with its listener");
    net_close(&net);
}

/* Connects in the context, which it takes over. */
static struct gyre_stream *connect_in(struct gyre_context *context, struct net *net,
                                      const char *address)
{
    struct gyre_stream *stream = NULL;
    (void)gyre_context_enter(context);
    cr_assert_eq(gyre_stream_connect(net->loop, address, NULL, &stream, &events, NULL), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(context);
    return stream;
}

GYRE_TEST(contexts, T106_connects_events_run_in_its_context)
{
    struct net net;
    char address[64];
    seen = (struct seen){.released = 0};
    net_open(&net);
    int listening = raw_listen(address);
    (void)connect_in(make(NULL, "request"), &net, address);
    net_settle(&net);
    int fd = accept(listening, NULL, NULL);
    raw_reset(fd);
    net_settle(&net);
    cr_assert_str_eq(seen.text, "o:request e:request ");
    cr_assert_eq(seen.released, 1);
    close(listening);
    net_close(&net);
}

static void bind_again(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_used,
                       void *arg)
{
    on_received(stream, data, bytes, ret_used, arg);
    struct gyre_context *before = gyre_context_enter(seen.next);
    gyre_stream_bind(stream, &events, NULL);
    (void)gyre_context_enter(before);
    note("still:"); /* the first one lives on until this call is over */
}

static const struct gyre_stream_events first_events = {.received = bind_again, .ended = on_ended};

GYRE_TEST(contexts, T106_bind_inside_an_event_changes_the_context_of_the_next)
{
    struct net net;
    int fds[2];
    seen = (struct seen){.released = 0};
    net_open(&net);
    pair_unix(fds);
    struct gyre_stream *stream = stream_on(&net, fds[0]);
    struct gyre_context *first = make(NULL, "first");
    seen.next = make(NULL, "second");
    (void)gyre_context_enter(first);
    gyre_stream_bind(stream, &first_events, NULL);
    (void)gyre_context_enter(NULL);
    gyre_context_release(first);
    raw_send_text(fds[1], "x");
    net_settle(&net);
    cr_assert_eq(seen.released, 1);
    raw_send_text(fds[1], "y");
    net_settle(&net);
    close(fds[1]);
    net_settle(&net);
    cr_assert_str_eq(seen.text, "r:first still:first r:second e:second ");
    gyre_context_release(seen.next);
    cr_assert_eq(seen.released, 2);
    net_close(&net);
}

static void close_loop(void *value, void *arg)
{
    (void)value;
    seen.released++;
    cr_assert_eq(gyre_loop_close(arg, 0), 0);
}

GYRE_TEST(contexts, T106_release_of_a_streams_context_may_close_the_loop)
{
    struct net net;
    int fds[2];
    seen = (struct seen){.released = 0};
    net_open(&net);
    pair_unix(fds);
    struct gyre_stream *stream = stream_on(&net, fds[0]);
    struct gyre_context *first = NULL;
    struct gyre_context_options options;
    gyre_context_options_init(&options);
    options.release = close_loop;
    options.arg = net.loop;
    cr_assert_eq(gyre_context_create(NULL, &options, &first), 0);
    (void)gyre_context_enter(first);
    gyre_stream_bind(stream, &events, NULL);
    (void)gyre_context_enter(NULL);
    gyre_context_release(first);
    gyre_stream_bind(stream, &events, NULL); /* the close ends the stream, and frees it */
    cr_assert_eq(seen.released, 1);
    cr_assert_str_eq(seen.text, "e:null ");
    close(fds[1]);
    net_close(&net);
}

/* The events of a stream keep a context, and nothing else of it does: what was released in the
 * midst of a stream's own work could close the stream. */
GYRE_TEST(contexts, T106_timeouts_of_a_stream_keep_no_context)
{
    struct net net;
    int fds[2];
    seen = (struct seen){.released = 0};
    net_open(&net);
    pair_unix(fds);
    struct gyre_stream *stream = stream_on(&net, fds[0]);
    gyre_stream_bind(stream, &events, NULL);
    struct gyre_context *first = make(NULL, "first");
    (void)gyre_context_enter(first);
    cr_assert_eq(gyre_stream_set_timeouts(stream, SECOND_NS, SECOND_NS), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(first);
    cr_assert_eq(seen.released, 1);
    net_pass(&net, 2 * SECOND_NS);
    cr_assert_str_eq(seen.text, "e:null ");
    close(fds[1]);
    net_close(&net);
}

GYRE_TEST(contexts, T106_connect_that_is_bound_anew_leaves_its_context)
{
    struct net net;
    char address[64];
    seen = (struct seen){.released = 0};
    net_open(&net);
    int listening = raw_listen(address);
    struct gyre_stream *stream = connect_in(make(NULL, "first"), &net, address);
    cr_assert_eq(seen.released, 0);
    gyre_stream_bind(stream, &events, NULL);
    cr_assert_eq(seen.released, 1);
    net_settle(&net);
    cr_assert_str_eq(seen.text, "o:null ");
    gyre_stream_close(stream);
    close(listening);
    net_close(&net);
}

static void note_progress(void *arg, int direction, size_t bytes)
{
    (void)arg;
    (void)direction;
    (void)bytes;
    note("p:");
}

static void note_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    (void)loop;
    (void)arg;
    note(result->status == 0 ? "done:" : "failed:");
}

/* Relays two streams in a context, sends a byte, and has `end` end it. */
static void relay_in_context(struct net *net, void (*end)(struct gyre_relay *relay, int fds[2]))
{
    int fds[2][2];
    struct gyre_stream *streams[2];
    struct gyre_relay *relay;
    struct gyre_relay_options options;
    gyre_relay_options_init(&options);
    options.progress = note_progress;
    options.idle_ns = SECOND_NS;
    for (int i = 0; i < 2; i++) {
        pair_unix(fds[i]);
        streams[i] = stream_on(net, fds[i][0]);
    }
    struct gyre_context *pair = make(NULL, "pair");
    (void)gyre_context_enter(pair);
    cr_assert_eq(gyre_stream_relay(streams[0], streams[1], &options, &relay, note_done, NULL), 0);
    (void)gyre_context_enter(NULL);
    gyre_context_release(pair);
    raw_send_text(fds[0][1], "x");
    net_settle(net);
    end(relay, (int[]){fds[0][1], fds[1][1]});
    net_pass(net, 3 * SECOND_NS);
    for (int i = 0; i < 2; i++)
        close(fds[i][1]);
}

static void end_by_peers(struct gyre_relay *relay, int fds[2])
{
    (void)relay;
    for (int i = 0; i < 2; i++)
        cr_assert_eq(shutdown(fds[i], SHUT_WR), 0);
}

static void end_by_time(struct gyre_relay *relay, int fds[2])
{
    (void)relay;
    (void)fds;
}

static void end_by_cancel(struct gyre_relay *relay, int fds[2])
{
    (void)fds;
    gyre_relay_cancel(relay);
}

GYRE_TEST(contexts, T106_relays_functions_run_in_its_context)
{
    struct net net;
    seen = (struct seen){.released = 0};
    net_open(&net);
    relay_in_context(&net, end_by_peers);
    cr_assert_str_eq(seen.text, "p:pair done:pair ");
    cr_assert_eq(seen.released, 1);
    relay_in_context(&net, end_by_time);
    relay_in_context(&net, end_by_cancel);
    cr_assert_str_eq(seen.text, "p:pair done:pair p:pair failed:pair p:pair failed:pair ");
    cr_assert_eq(seen.released, 3);
    net_close(&net);
}

/* ---- T107 ------------------------------------------------------------------------------------ */

static bool note_failure(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg)
{
    (void)loop;
    (void)arg;
    note(failure->kind == GYRE_FAILED_ACCEPT ? "accept:" : "done:");
    return true;
}

static int leave_and_refuse(struct gyre_stream *stream, void *arg)
{
    (void)stream;
    (void)arg;
    (void)gyre_context_enter(NULL);
    return -EIO;
}

static int leave_and_fail(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    (void)gyre_context_enter(NULL);
    return -EIO;
}

GYRE_TEST(contexts, T107_listeners_context_hears_of_it_whatever_was_entered)
{
    struct net net;
    char address[GYRE_ADDRESS_MAX];
    struct gyre_listener *listener;
    struct gyre_context *hooked = NULL;
    struct gyre_context_options options;
    seen = (struct seen){.released = 0};
    net_open(&net);
    struct gyre_context *server = make(NULL, "server");
    gyre_context_options_init(&options);
    options.on_error = note_failure;
    cr_assert_eq(gyre_context_create(server, &options, &hooked), 0);
    (void)gyre_context_enter(hooked);
    cr_assert_eq(
        gyre_listener_open_on(&net.loop, 1, "127.0.0.1:0", NULL, &listener, leave_and_refuse, NULL),
        0);
    cr_assert_eq(gyre_listener_address(listener, address, sizeof(address)), 0);
    int fd = raw_connect(address);
    (void)gyre_context_enter(NULL);
    net_settle(&net);
    cr_assert_str_eq(seen.text, "accept:server ");
    (void)gyre_context_enter(hooked);
    gyre_listener_close(listener, leave_and_fail, NULL);
    (void)gyre_context_enter(NULL);
    net_settle(&net);
    cr_assert_str_eq(seen.text, "accept:server done:server ");
    gyre_context_release(hooked);
    gyre_context_release(server);
    cr_assert_eq(seen.released, 1);
    close(fd);
    net_close(&net);
}

static int enter_other(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    note(status == -ECANCELED ? "cancelled:" : "done:");
    (void)gyre_context_enter(arg);
    return 0;
}

GYRE_TEST(contexts, T109_close_of_a_listener_leaves_the_callers_context)
{
    struct net net;
    struct gyre_listener *listener;
    seen = (struct seen){.released = 0};
    net_open(&net);
    struct gyre_context *caller = make(NULL, "caller");
    struct gyre_context *other = make(NULL, "other");
    cr_assert_eq(
        gyre_listener_open_on(&net.loop, 1, "127.0.0.1:0", NULL, &listener, leave_and_refuse, NULL),
        0);
    net_close(&net); /* so done is called inside */
    (void)gyre_context_enter(caller);
    gyre_listener_close(listener, enter_other, other);
    cr_assert_str_eq(seen.text, "cancelled:caller ");
    cr_assert_eq(gyre_context_enter(NULL), caller);
    gyre_context_release(caller);
    gyre_context_release(other);
    cr_assert_eq(seen.released, 2);
}

static int unwind(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    note(status == -ECANCELED ? "cancelled:" : "done:");
    return GYRE_UNWIND;
}

GYRE_TEST(contexts, T77_listeners_done_ends_the_run)
{
    struct net net;
    struct gyre_listener *listener;
    seen = (struct seen){.released = 0};
    net_open(&net);
    cr_assert_eq(
        gyre_listener_open_on(&net.loop, 1, "127.0.0.1:0", NULL, &listener, leave_and_refuse, NULL),
        0);
    gyre_listener_close(listener, unwind, NULL);
    cr_assert_eq(gyre_loop_run(net.loop), GYRE_UNWIND);
    cr_assert_str_eq(seen.text, "done:null ");
    net_close(&net);
}

static int fail(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)arg;
    note(status == -ECANCELED ? "cancelled:" : "done:");
    return -EIO;
}

GYRE_TEST(contexts, T75_result_of_a_listeners_cancelled_done_goes_nowhere)
{
    struct net net;
    struct gyre_listener *listener;
    struct gyre_context_options options;
    struct gyre_context *hooked;
    seen = (struct seen){.released = 0};
    net_open(&net);
    gyre_context_options_init(&options);
    options.on_error = note_failure;
    cr_assert_eq(gyre_context_create(NULL, &options, &hooked), 0);
    cr_assert_eq(
        gyre_listener_open_on(&net.loop, 1, "127.0.0.1:0", NULL, &listener, leave_and_refuse, NULL),
        0);
    net_settle(&net);
    (void)gyre_context_enter(hooked);
    gyre_listener_stop(listener, fail, NULL);
    (void)gyre_context_enter(NULL);
    net_close(&net);
    cr_assert_str_eq(seen.text, "cancelled:null ");
    cr_assert_eq(gyre_context_current(), NULL);
    gyre_context_release(hooked);
}
