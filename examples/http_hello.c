/* SPDX-License-Identifier: MIT */
/*
 * http_hello - an HTTP/1.1 origin that answers every request with one fixed body.
 *
 * What      An accept loop on every core; keep-alive, pipelining, HEAD, HTTP/1.0. GET, HEAD, POST
 *           and PUT of any path get the body; a request's own body (Content-Length, up to 64 KiB)
 *           is read and thrown away. What http_parse.h refuses gets its status and an end.
 * Answers   Made once and shared: a connection only keeps how far it has come. One whose answer did
 *           not fit is not read until the client has taken it: who pipelines without reading waits.
 * End       A server that closes while the client still sends destroys its own last answer by the
 *           reset that follows. So the end is: finish, throw away what comes, close when the client
 *           has ended too, after 2 s at the latest (RFC 9112, 9.6).
 * Time      30 s between requests, 10 s for a request from its first byte to its last, 30 s for a
 *           client that takes nothing of its answer.
 * Threads   A connection lives on its loop's thread. `server` is written before the first of them.
 */
#include <errno.h>
#include <getopt.h>
#include <gyre/gyre.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http_parse.h"

enum {
    BODY_MAX = 16 << 20, /* bytes; three answers of this size are kept */
    NS_PER_S = 1000000000
};

static const uint64_t idle_ns = 30ULL * NS_PER_S;
static const uint64_t request_ns = 10ULL * NS_PER_S;
static const uint64_t linger_ns = 2ULL * NS_PER_S;

struct answer {
    char *data;
    size_t head_bytes; /* what HEAD gets */
    size_t bytes;
};

static struct {
    struct answer plain; /* HTTP/1.1 that goes on */
    struct answer keep; /* HTTP/1.0 that asked to go on */
    struct answer close;
} server;

enum phase {
    PHASE_HEAD, /* a request's head comes next, or is coming */
    PHASE_BODY, /* its body is coming: `body_bytes` more */
    PHASE_LINGER, /* the last answer was given; what comes is thrown away */
    PHASE_FAILED /* close when the event's function ends */
};

struct connection {
    struct gyre_stream *stream;
    struct gyre_timer timer; /* of a request that is coming, or of the linger */
    enum phase phase;
    struct http_request request;
    size_t body_bytes;
    const char *out; /* what the stream has not taken of an answer */
    size_t out_bytes;
    bool last; /* the end follows the answer */
    bool ended; /* the client has ended: what remains is to let the answers leave */
};

static void drop(struct connection *connection)
{
    (void)gyre_timer_stop(&connection->timer);
    gyre_stream_close(connection->stream);
    free(connection);
}

static int timed_out(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    if (status == 0) /* else the loop closes, and the stream's end comes by itself */
        drop(arg);
    return 0;
}

static void start_timer(struct connection *connection, uint64_t delay_ns)
{
    uint64_t now_ns = gyre_loop_now_ns(gyre_stream_loop(connection->stream));

    if (gyre_timer_start(&connection->timer, now_ns + delay_ns) != 0)
        connection->phase = PHASE_FAILED; /* the loop is closing */
}

static void send_rest(struct connection *connection)
{
    size_t taken = 0;
    int error =
        gyre_stream_write(connection->stream, connection->out, connection->out_bytes, &taken);

    if (error != 0) {
        connection->phase = PHASE_FAILED;
        return;
    }
    connection->out += taken;
    connection->out_bytes -= taken;
    if (connection->out_bytes == 0 && connection->last) {
        connection->phase = PHASE_LINGER;
        if (gyre_stream_finish(connection->stream) == 0)
            start_timer(connection, linger_ns);
        else
            (void)gyre_timer_stop(&connection->timer); /* of the request; `drained` lingers */
    }
}

static void answer_request(struct connection *connection)
{
    const struct http_request *request = &connection->request;
    const struct answer *answer = &server.close;

    if (request->keep_alive)
        answer = request->minor == 0 ? &server.keep : &server.plain;
    connection->phase = PHASE_HEAD;
    connection->last = !request->keep_alive;
    connection->out = answer->data;
    connection->out_bytes = request->is_head ? answer->head_bytes : answer->bytes;
    send_rest(connection);
}

#define REFUSAL(status) "HTTP/1.1 " status "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

static const char *refusal_text(int status)
{
    switch (status) {
    case 411:
        return REFUSAL("411 Length Required");
    case 413:
        return REFUSAL("413 Content Too Large");
    case 414:
        return REFUSAL("414 URI Too Long");
    case 431:
        return REFUSAL("431 Request Header Fields Too Large");
    case 501:
        return REFUSAL("501 Not Implemented");
    case 505:
        return REFUSAL("505 HTTP Version Not Supported");
    default:
        return REFUSAL("400 Bad Request");
    }
}

static void refuse(struct connection *connection, int status)
{
    connection->last = true;
    connection->out = refusal_text(status);
    connection->out_bytes = strlen(connection->out);
    send_rest(connection);
}

/* A head, if there is a whole one. Returns how many bytes it had. */
static size_t take_head(struct connection *connection, const char *data, size_t bytes)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct http_request *request = &connection->request;
    int result = http_parse(data, bytes, request);

    if (result == HTTP_MORE)
        return 0;
    if (result != HTTP_COMPLETE) {
        refuse(connection, result);
        return 0;
    }
    connection->phase = PHASE_BODY;
    connection->body_bytes = request->body_bytes;
    if (request->expects_continue && bytes == request->head_bytes) {
        connection->out = go_on;
        connection->out_bytes = sizeof(go_on) - 1;
        send_rest(connection);
    }
    return request->head_bytes;
}

static void received(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_used,
                     void *arg)
{
    struct connection *connection = arg;
    size_t used = 0;
    bool stuck = false;

    while (!stuck && connection->phase != PHASE_FAILED && connection->out_bytes == 0) {
        if (connection->phase == PHASE_LINGER) {
            used = bytes;
            stuck = true;
        } else if (connection->phase == PHASE_HEAD) {
            size_t head_bytes = take_head(connection, (const char *)data + used, bytes - used);
            used += head_bytes;
            stuck = head_bytes == 0 && connection->phase == PHASE_HEAD;
        } else if (connection->body_bytes > bytes - used) {
            connection->body_bytes -= bytes - used;
            used = bytes;
            stuck = true;
        } else {
            used += connection->body_bytes;
            answer_request(connection);
        }
    }
    *ret_used = used;

    if (connection->out_bytes != 0)
        gyre_stream_pause(stream); /* `drained` goes on */
    if (connection->out_bytes != 0 || (connection->phase == PHASE_HEAD && used == bytes))
        (void)gyre_timer_stop(&connection->timer);
    else if (connection->phase < PHASE_LINGER && !gyre_timer_is_armed(&connection->timer))
        start_timer(connection, request_ns);
    if (connection->phase == PHASE_FAILED)
        drop(connection);
}

static void drained(struct gyre_stream *stream, void *arg)
{
    struct connection *connection = arg;

    if (connection->out_bytes != 0)
        send_rest(connection);
    else if (connection->phase == PHASE_LINGER)
        start_timer(connection, linger_ns); /* not before: the client may be slow to take it all */
    if (connection->phase == PHASE_FAILED || connection->ended)
        drop(connection);
    else if (connection->out_bytes == 0)
        gyre_stream_resume(stream);
}

static void ended(struct gyre_stream *stream, int status, void *arg)
{
    struct connection *connection = arg;

    connection->ended = true;
    if (status != 0 || gyre_stream_finish(stream) == 0)
        drop(connection);
    else
        (void)gyre_timer_stop(&connection->timer); /* a client that takes nothing: idle_ns */
}

static const struct gyre_stream_events events = {
    .received = received,
    .ended = ended,
    .drained = drained,
};

static int accept_client(struct gyre_stream *stream, void *arg)
{
    struct connection *connection;
    int error = gyre_stream_set_timeouts(stream, idle_ns, idle_ns);

    (void)arg;
    if (error != 0)
        return error;
    connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        return -ENOMEM;
    connection->stream = stream;
    gyre_timer_init(&connection->timer, gyre_stream_loop(stream), timed_out, connection);
    gyre_stream_bind(stream, &events, connection);
    return 0;
}

/* ---- the program around it */

static bool make_answer(struct answer *answer, const char *fields, size_t body_bytes)
{
    static const char body[] = "hello, world\n";
    size_t room = 256 + body_bytes;

    answer->data = malloc(room);
    if (answer->data == NULL)
        return false;
    answer->head_bytes = (size_t)snprintf(
        answer->data, room,
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n%s\r\n", body_bytes,
        fields);
    answer->bytes = answer->head_bytes + body_bytes;
    for (size_t i = 0; i < body_bytes; i++)
        answer->data[answer->head_bytes + i] = body[i % (sizeof(body) - 1)];
    return true;
}

static const char *text_of(int error)
{
    return gyre_error_name(error) != NULL ? gyre_error_text(error) : strerror(-error);
}

/* The loops are ending: if one of them has failed, main does not know yet. */
static int tell_main(struct gyre_loop *loop, unsigned index, void *arg)
{
    (void)loop;
    (void)index;
    (void)arg;
    return kill(getpid(), SIGTERM) == 0 ? 0 : -errno;
}

static int serve(const char *address, unsigned loops, const sigset_t *signals)
{
    struct gyre_runtime_options options;
    struct gyre_runtime *runtime = NULL;
    struct gyre_listener *listener = NULL;
    char bound[GYRE_ADDRESS_MAX] = "";
    int got, error, ended = 0;

    gyre_runtime_options_init(&options);
    options.loops = loops;
    options.teardown = tell_main;
    error = gyre_runtime_create(&options, &runtime);
    if (error == 0)
        error = gyre_listener_open(runtime, address, NULL, &listener, accept_client, NULL);
    if (error == 0)
        error = gyre_listener_address(listener, bound, sizeof(bound));
    if (error == 0)
        error = gyre_runtime_start(runtime);
    if (error == 0) {
        printf("http_hello: listening at %s with %u loops\n", bound, gyre_runtime_loops(runtime));
        (void)fflush(stdout); /* nobody may be reading */
        (void)sigwait(signals, &got); /* fails for an invalid set only */
        gyre_runtime_stop(runtime); /* the loops' end is the streams' */
        ended = gyre_runtime_join(runtime);
    } else {
        fprintf(stderr, "http_hello: %s: %s\n", address, text_of(error));
    }
    if (listener != NULL)
        gyre_listener_close(listener, NULL, NULL);
    gyre_runtime_destroy(runtime);
    if (error != 0)
        return 2;
    return ended == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static bool parse_number(const char *text, unsigned max, unsigned *ret_number)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long number = strtoul(text, NULL, 10);

    if (digits == 0 || text[digits] != '\0' || number > max) {
        fprintf(stderr, "http_hello: %s: not a number from 0 to %u\n", text, max);
        return false;
    }
    *ret_number = (unsigned)number;
    return true;
}

int main(int argc, char **argv)
{
    static const struct option table[] = {{"listen", required_argument, NULL, 'a'},
                                          {"loops", required_argument, NULL, 'l'},
                                          {"body-bytes", required_argument, NULL, 'b'},
                                          {NULL, 0, NULL, 0}};
    const char *address = "127.0.0.1:8080";
    unsigned loops = 0, body_bytes = 13;
    sigset_t signals;
    int key, status = EXIT_FAILURE;

    while ((key = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (key == 'a')
            address = optarg;
        else if ((key != 'l' || !parse_number(optarg, GYRE_LOOPS_MAX, &loops)) &&
                 (key != 'b' || !parse_number(optarg, BODY_MAX, &body_bytes)))
            return 2;
    }
    if (optind != argc) {
        fprintf(stderr, "usage: http_hello [--listen ADDR] [--loops N] [--body-bytes N]\n");
        return 2;
    }

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL); /* before any thread, so that sigwait gets them */
    if (make_answer(&server.plain, "", body_bytes) &&
        make_answer(&server.keep, "Connection: keep-alive\r\n", body_bytes) &&
        make_answer(&server.close, "Connection: close\r\n", body_bytes))
        status = serve(address, loops, &signals);
    free(server.plain.data);
    free(server.keep.data);
    free(server.close.data);
    return status;
}
