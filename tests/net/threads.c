/* SPDX-License-Identifier: MIT */
/*
 * Net on several loops at once: listeners ended from any thread, names looked up while loops close,
 * and a proxy whose clients count every byte. A plain program, so that the thread sanitizer sees
 * it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <gyre/gyre.h>

#include "contract/backend.h"
#include "contract/port.h"
#include "harness/plain.h"

enum {
    CLIENTS = 6
};

static struct gyre_runtime *make_runtime(unsigned loops, gyre_setup_fn *setup, void *arg)
{
    struct gyre_loop_options loop;
    struct gyre_runtime_options options;
    struct gyre_runtime *runtime = NULL;
    gyre_loop_options_init(&loop);
    loop.backend = plain_backend();
    loop.waker = plain_waker();
    gyre_runtime_options_init(&options);
    options.loops = loops;
    options.loop = &loop;
    options.setup = setup;
    options.arg = arg;
    CHECK_EQ(gyre_runtime_create(&options, &runtime), 0);
    return runtime;
}

static struct sockaddr_in name_of(const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    name.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return name;
}

/* A connection, or -1. */
static int dial(const char *address)
{
    struct sockaddr_in name = name_of(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&name, sizeof(name)) == 0)
        return fd;
    close(fd);
    return -1;
}

/* A word that a loop sets and a thread waits for. */
static void set_word(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_seq_cst);
    gyre__port_native()->unpark(word);
}

static void await_word(_Atomic uint32_t *word)
{
    while (atomic_load_explicit(word, memory_order_seq_cst) == 0)
        gyre__port_native()->park(word, 0);
}

static int on_stopped(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    set_word(arg, status == 0 ? 1 : 2);
    return 0;
}

/* ---- listeners ------------------------------------------------------------------------------- */

/* Writes a byte and closes: the byte is delivered all the same. */
static int answer(struct gyre_stream *stream, void *arg)
{
    size_t taken;
    (void)arg;
    int r = gyre_stream_write(stream, "x", 1, &taken);
    gyre_stream_close(stream);
    CHECK_EQ(r, 0);
    return 0;
}

struct clients {
    char address[GYRE_ADDRESS_MAX];
    _Atomic unsigned answered, lost, refused;
};

/* Connects again and again until refused: a connection that was made must be answered. */
static void *be_client(void *arg)
{
    struct clients *clients = arg;
    for (;;) {
        char byte;
        int fd = dial(clients->address);
        if (fd < 0) {
            atomic_fetch_add_explicit(&clients->refused, 1, memory_order_seq_cst);
            return NULL;
        }
        atomic_fetch_add_explicit(recv(fd, &byte, 1, 0) == 1 ? &clients->answered : &clients->lost,
                                  1, memory_order_seq_cst);
        close(fd);
    }
}

static void stop_under_load_loses_no_connection(void)
{
    struct clients clients = {.answered = 0};
    pthread_t threads[CLIENTS];
    struct gyre_listener *listener;
    _Atomic uint32_t stopped = 0;
    struct gyre_runtime *runtime = make_runtime(2, NULL, NULL);
    if (!CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &listener, answer, NULL), 0))
        return;
    CHECK_EQ(gyre_listener_address(listener, clients.address, sizeof(clients.address)), 0);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, be_client, &clients), 0);
    while (atomic_load_explicit(&clients.answered, memory_order_seq_cst) < 500)
        sched_yield();
    gyre_listener_stop(listener, on_stopped, &stopped);
    await_word(&stopped);
    CHECK_EQ(atomic_load_explicit(&stopped, memory_order_seq_cst), 1);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    CHECK_EQ(atomic_load_explicit(&clients.lost, memory_order_seq_cst), 0);
    CHECK_EQ(atomic_load_explicit(&clients.refused, memory_order_seq_cst), CLIENTS);
    gyre_runtime_destroy(runtime);
}

struct closed {
    pthread_t closer;
    _Atomic uint32_t done; /* 1: as it is to be */
};

static int on_closed(struct gyre_loop *loop, int status, void *arg)
{
    struct closed *closed = arg;
    (void)loop;
    set_word(&closed->done, status == 0 && !pthread_equal(pthread_self(), closed->closer) ? 1 : 2);
    return 0;
}

static void close_of_a_live_listener_is_done_on_a_loop(void)
{
    struct gyre_listener *listener;
    struct gyre_runtime *runtime = make_runtime(1, NULL, NULL);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    for (int i = 0; i < 500; i++) {
        struct closed closed = {.closer = pthread_self(), .done = 0};
        if (!CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &listener, answer, NULL), 0))
            break;
        gyre_listener_close(listener, on_closed, &closed);
        await_word(&closed.done);
        if (!CHECK_EQ(atomic_load_explicit(&closed.done, memory_order_seq_cst), 1))
            break;
    }
    gyre_runtime_destroy(runtime);
}

static void runtime_that_stops_takes_its_listeners_down(void)
{
    struct gyre_listener *open;
    struct gyre_listener *told;
    struct gyre_listener *none = NULL;
    _Atomic uint32_t stopped = 0;
    _Atomic uint32_t closed = 0;
    struct gyre_runtime *runtime = make_runtime(3, NULL, NULL);
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &open, answer, NULL), 0);
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &told, answer, NULL), 0);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    gyre_listener_stop(told, on_stopped, &stopped);
    gyre_runtime_stop(runtime);
    CHECK_EQ(gyre_runtime_join(runtime), 0);
    CHECK_NE(atomic_load_explicit(&stopped, memory_order_seq_cst), 0);
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &none, answer, NULL), -ESHUTDOWN);
    CHECK(none == NULL);
    gyre_runtime_destroy(runtime);
    CHECK_EQ(atomic_load_explicit(&closed, memory_order_seq_cst), 0);
    gyre_listener_close(open, on_stopped, &closed); /* the loops are gone, it is still ours */
    CHECK_NE(atomic_load_explicit(&closed, memory_order_seq_cst), 0);

    runtime = make_runtime(2, NULL, NULL); /* and one that never began */
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &open, answer, NULL), 0);
    gyre_runtime_destroy(runtime);
    gyre_listener_close(open, NULL, NULL);
}

static void *open_and_end(void *arg)
{
    struct gyre_runtime *runtime = arg;
    for (int i = 0; i < 60; i++) {
        struct gyre_listener *listener;
        char address[GYRE_ADDRESS_MAX];
        char byte;
        _Atomic uint32_t ended = 0;
        if (!CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &listener, answer, NULL), 0))
            return NULL;
        CHECK_EQ(gyre_listener_address(listener, address, sizeof(address)), 0);
        int fd = dial(address);
        CHECK_EQ(recv(fd, &byte, 1, 0), 1);
        close(fd);
        gyre_listener_close(listener, on_stopped, &ended);
        await_word(&ended);
        CHECK_EQ(atomic_load_explicit(&ended, memory_order_seq_cst), 1);
    }
    return NULL;
}

static void listeners_come_and_go_on_many_threads(void)
{
    pthread_t threads[3];
    struct gyre_runtime *runtime = make_runtime(3, NULL, NULL);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, open_and_end, runtime), 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    gyre_runtime_destroy(runtime);
}

/* ---- names ----------------------------------------------------------------------------------- */

static _Atomic unsigned begun, over;

static void count_and_close(struct gyre_stream *stream)
{
    atomic_fetch_add_explicit(&over, 1, memory_order_seq_cst);
    gyre_stream_close(stream);
}

static void on_opened(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    count_and_close(stream);
}

static void on_ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)arg;
    CHECK(status < 0);
    count_and_close(stream);
}

static const struct gyre_stream_events count_events = {.opened = on_opened, .ended = on_ended};

static int connect_by_name(struct gyre_loop *loop, unsigned index, void *arg)
{
    struct gyre_stream *stream;
    (void)index;
    for (int i = 0; i < 3; i++) {
        int r = gyre_stream_connect(loop, arg, NULL, &stream, &count_events, NULL);
        CHECK(r == 0 || r == -EAGAIN);
        if (r == 0)
            atomic_fetch_add_explicit(&begun, 1, memory_order_seq_cst);
    }
    return 0;
}

static void loops_may_close_while_names_are_looked_up(void)
{
    static char address[] = "localhost:1";
    for (int i = 0; i < 20; i++) {
        struct gyre_runtime *runtime = make_runtime(3, connect_by_name, address);
        CHECK_EQ(gyre_runtime_start(runtime), 0);
        if (i % 2 == 0)
            sched_yield();
        gyre_runtime_destroy(runtime);
    }
    CHECK_EQ(atomic_load_explicit(&over, memory_order_seq_cst),
             atomic_load_explicit(&begun, memory_order_seq_cst));
}

/* ---- a proxy --------------------------------------------------------------------------------- */

/* The one program: echoes at one address, and relays from another to it, on all loops. */
struct proxy {
    char echo[GYRE_ADDRESS_MAX];
    char front[GYRE_ADDRESS_MAX];
    _Atomic unsigned done, failed;
    _Atomic uint64_t relayed;
    _Atomic unsigned matched, resets;
};

static void echo_received(struct gyre_stream *stream, const void *data, size_t bytes,
                          size_t *ret_used, void *arg)
{
    (void)arg;
    *ret_used = 0;
    int r = gyre_stream_write(stream, data, bytes, ret_used);
    if (r == 0 && *ret_used < bytes)
        gyre_stream_pause(stream);
}

static void closing_ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)status;
    (void)arg;
    gyre_stream_close(stream);
}

static void closing_drained(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    gyre_stream_close(stream);
}

static const struct gyre_stream_events closing_events = {.ended = closing_ended,
                                                         .drained = closing_drained};

static void echo_ended(struct gyre_stream *stream, int status, void *arg)
{
    (void)arg;
    if (status != 0 || gyre_stream_finish(stream) == 0)
        gyre_stream_close(stream);
    else
        gyre_stream_bind(stream, &closing_events, NULL);
}

static void echo_drained(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    gyre_stream_resume(stream);
}

static const struct gyre_stream_events echo_events = {NULL, echo_received, echo_ended,
                                                      echo_drained};

static int accept_echo(struct gyre_stream *stream, void *arg)
{
    (void)arg;
    gyre_stream_bind(stream, &echo_events, NULL);
    return 0;
}

struct session {
    struct proxy *proxy;
    struct gyre_stream *front;
    struct gyre_stream *back;
    struct gyre_relay *relay;
};

static void session_done(struct gyre_loop *loop, const struct gyre_relay_result *result, void *arg)
{
    struct session *session = arg;
    (void)loop;
    atomic_fetch_add_explicit(result->status == 0 ? &session->proxy->done : &session->proxy->failed,
                              1, memory_order_seq_cst);
    free(session);
}

static void session_progress(void *arg, int direction, size_t bytes)
{
    struct session *session = arg;
    (void)direction;
    atomic_fetch_add_explicit(&session->proxy->relayed, bytes, memory_order_seq_cst);
}

static void back_opened(struct gyre_stream *stream, void *arg)
{
    struct session *session = arg;
    struct gyre_relay_options options;
    gyre_relay_options_init(&options);
    options.idle_ns = UINT64_C(30) * 1000 * 1000 * 1000;
    options.progress = session_progress;
    CHECK_EQ(
        gyre_stream_relay(session->front, stream, &options, &session->relay, session_done, session),
        0);
}

static void back_ended(struct gyre_stream *stream, int status, void *arg)
{
    struct session *session = arg;
    CHECK(status < 0);
    atomic_fetch_add_explicit(&session->proxy->failed, 1, memory_order_seq_cst);
    gyre_stream_close(stream);
    gyre_stream_reset(session->front);
    free(session);
}

static const struct gyre_stream_events back_events = {.opened = back_opened, .ended = back_ended};

static int accept_front(struct gyre_stream *stream, void *arg)
{
    struct session *session = calloc(1, sizeof(*session));
    session->proxy = arg;
    session->front = stream;
    int r = gyre_stream_connect(gyre_stream_loop(stream), session->proxy->echo, NULL,
                                &session->back, &back_events, session);
    if (r != 0)
        free(session);
    return r;
}

static unsigned char pattern(size_t at)
{
    return (unsigned char)(at % 251 ^ at / 251);
}

/* Sends so many bytes and reads them back at once; then half-closes, or resets in the middle. */
static bool exchange(int fd, size_t length, size_t reset_at)
{
    static _Thread_local unsigned char out[65536], in[65536];
    size_t sent = 0;
    size_t seen = 0;
    while (seen < length) {
        size_t bytes = length - sent < sizeof(out) ? length - sent : sizeof(out);
        for (size_t i = 0; i < bytes; i++)
            out[i] = pattern(sent + i);
        ssize_t n = bytes > 0 ? send(fd, out, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) : 0;
        sent += n > 0 ? (size_t)n : 0;
        if (sent >= reset_at)
            return true;
        ssize_t got = recv(fd, in, sizeof(in), sent == length ? 0 : MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        for (ssize_t i = 0; i < got; i++) {
            if (in[i] != pattern(seen + (size_t)i))
                return false;
        }
        seen += got > 0 ? (size_t)got : 0;
    }
    shutdown(fd, SHUT_WR);
    return recv(fd, in, 1, 0) == 0;
}

static void *use_proxy(void *arg)
{
    static _Atomic unsigned numbers;
    struct proxy *proxy = arg;
    unsigned seed = atomic_fetch_add_explicit(&numbers, 1, memory_order_seq_cst) * 7919 + 1;
    for (int i = 0; i < (plain_tsan() ? 15 : 60); i++) {
        seed = seed * 1103515245 + 12345;
        size_t length = (seed >> 8) % 600000;
        bool reset = i % 3 == 2;
        struct linger linger = {.l_onoff = reset};
        int fd = dial(proxy->front);
        if (!CHECK_GE(fd, 0))
            return NULL;
        if (CHECK(exchange(fd, length + 1, reset ? length / 2 : SIZE_MAX)))
            atomic_fetch_add_explicit(reset ? &proxy->resets : &proxy->matched, 1,
                                      memory_order_seq_cst);
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
        close(fd);
    }
    return NULL;
}

static void proxy_on_three_loops_keeps_bytes_whole(void)
{
    static struct proxy proxy;
    struct gyre_listener *echo, *front;
    _Atomic uint32_t stopped = 0;
    pthread_t threads[CLIENTS];
    struct gyre_runtime *runtime = make_runtime(3, NULL, NULL);
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &echo, accept_echo, &proxy), 0);
    CHECK_EQ(gyre_listener_open(runtime, "127.0.0.1:0", NULL, &front, accept_front, &proxy), 0);
    CHECK_EQ(gyre_listener_address(echo, proxy.echo, sizeof(proxy.echo)), 0);
    CHECK_EQ(gyre_listener_address(front, proxy.front, sizeof(proxy.front)), 0);
    CHECK_EQ(gyre_runtime_start(runtime), 0);
    for (int i = 0; i < CLIENTS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, use_proxy, &proxy), 0);
    for (int i = 0; i < CLIENTS; i++)
        pthread_join(threads[i], NULL);
    gyre_listener_stop(front, on_stopped, &stopped);
    await_word(&stopped);
    gyre_listener_close(echo, NULL, NULL);
    while (atomic_load_explicit(&proxy.done, memory_order_seq_cst) +
               atomic_load_explicit(&proxy.failed, memory_order_seq_cst) <
           atomic_load_explicit(&proxy.matched, memory_order_seq_cst) +
               atomic_load_explicit(&proxy.resets, memory_order_seq_cst))
        sched_yield();
    CHECK_EQ(atomic_load_explicit(&proxy.done, memory_order_seq_cst),
             atomic_load_explicit(&proxy.matched, memory_order_seq_cst));
    CHECK_EQ(atomic_load_explicit(&proxy.failed, memory_order_seq_cst),
             atomic_load_explicit(&proxy.resets, memory_order_seq_cst));
    plain_note("%llu bytes relayed",
               (unsigned long long)atomic_load_explicit(&proxy.relayed, memory_order_seq_cst));
    gyre_runtime_destroy(runtime);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(stop_under_load_loses_no_connection),
    PLAIN_CASE(close_of_a_live_listener_is_done_on_a_loop),
    PLAIN_CASE(runtime_that_stops_takes_its_listeners_down),
    PLAIN_CASE(listeners_come_and_go_on_many_threads),
    PLAIN_CASE(loops_may_close_while_names_are_looked_up),
    PLAIN_CASE(proxy_on_three_loops_keeps_bytes_whole),
};
PLAIN_MAIN(cases)
