/* SPDX-License-Identifier: MIT */
/*
 * The sentences of gyre/stream.h about connects, and gyre/address.h.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "loop/loop.h"
#include "net/resolve.h"
#include "support.h"

static char data[1000];

/* Begins to connect; the result is the call's. */
static int begin(struct user *user, const char *address, uint64_t timeout_ns)
{
    struct gyre_connect_options options;
    gyre_connect_options_init(&options);
    cr_assert_eq(options.timeout_ns, 10 * SECOND_NS);
    options.timeout_ns = timeout_ns;
    int r =
        gyre_stream_connect(user->net->loop, address, &options, &user->stream, &user_events, user);
    cr_assert_str_eq(user->text, "", "never inside the call");
    return r;
}

/* A port of this machine at which nobody listens. */
static void closed_address(char address[64])
{
    close(raw_listen(address));
}

/* ---- numeric --------------------------------------------------------------------------------- */

GYRE_TEST(connect, opens_and_then_reads_and_writes)
{
    struct net net;
    char address[64];
    net_open(&net);
    int listener = raw_listen(address);
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, address, SECOND_NS), 0);
    size_t taken;
    char text[GYRE_ADDRESS_MAX];
    cr_assert_eq(gyre_stream_write(user->stream, "x", 1, &taken), -ENOTCONN);
    cr_assert_eq(gyre_stream_peer(user->stream, text, sizeof(text)), -ENOTCONN);
    net_until(&net, &user->opened);
    cr_assert_eq(gyre_stream_peer(user->stream, text, sizeof(text)), 0);
    cr_assert_str_eq(text, address);
    int fd = accept(listener, NULL, NULL);
    raw_send_text(fd, "hello");
    net_until(&net, &user->received);
    cr_assert_str_eq(user->text, "o r5");
    cr_assert_eq(user_write(user, "reply", 5), 5);
    cr_assert_eq(recv(fd, data, sizeof(data), 0), 5);
    net_pass(&net, 100 * SECOND_NS);
    cr_assert_str_eq(user->text, "o r5", "its time limit ended when it opened");
    user_free(user);
    close(fd);
    close(listener);
    net_close(&net);
}

GYRE_TEST(connect, tells_that_nobody_listens)
{
    struct net net;
    char address[64];
    net_open(&net);
    closed_address(address);
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, address, SECOND_NS), 0);
    net_until(&net, &user->ended);
    cr_assert_str_eq(user->text, "e-111");
    user_free(user);

    user = user_new(&net);
    user->on_ended = ACT_CLOSE;
    cr_assert_eq(begin(user, "unix:/nonexistent/socket", SECOND_NS), 0);
    net_until(&net, &user->ended);
    cr_assert_eq(user->status, -ENOENT);
    user_free(user);
    net_close(&net);
}

GYRE_TEST(connect, reaches_unix_sockets)
{
    struct net net;
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    char address[GYRE_ADDRESS_MAX];
    net_open(&net);
    snprintf(name.sun_path, sizeof(name.sun_path), "/tmp/gyre-connect-%d", (int)getpid());
    snprintf(address, sizeof(address), "unix:%s", name.sun_path);
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_eq(bind(listener, (struct sockaddr *)&name, sizeof(name)), 0);
    cr_assert_eq(listen(listener, 1), 0);
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, address, 0), 0);
    gyre_stream_finish(user->stream);
    net_until(&net, &user->opened);
    int fd = accept(listener, NULL, NULL);
    cr_assert_eq(recv(fd, data, 1, 0), 0, "finished before it was open");
    user_free(user);
    close(fd);
    close(listener);
    unlink(name.sun_path);
    net_close(&net);
}

GYRE_TEST(connect, refuses_what_is_no_address)
{
    static const char *const wrong[] = {
        "",           "80",           ":80",           "localhost",
        "localhost:", "127.0.0.1",    "1.2.3.4:99999", "1.2.3:80",
        "[::1]",      "[::1:80",      "[zz]:80",       "unix:",
        "a b:80",     "host:80:",     "host:-1",       "host:65536",
        "*",          "1.2.3.4.5:80",
    };
    struct net net;
    struct user user = {.net = &net};
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
    char longer[GYRE_ADDRESS_MAX + 10];
    unsigned count = 77;
    net_open(&net);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        cr_assert_eq(begin(&user, wrong[i], 0), -EINVAL, "%s", wrong[i]);
        cr_assert_eq(gyre_address_resolve(wrong[i], texts, &count), -EINVAL, "%s", wrong[i]);
    }
    memset(longer, 'a', sizeof(longer));
    memcpy(longer + sizeof(longer) - 4, ":80", 4);
    cr_assert_eq(begin(&user, longer, 0), -ENAMETOOLONG);
    cr_assert_eq(gyre_address_resolve(longer, texts, &count), -ENAMETOOLONG);
    cr_assert_eq(count, 77);
    struct gyre_connect_options options = {.size = 3};
    cr_assert_eq(gyre_stream_connect(net.loop, "127.0.0.1:1", &options, &user.stream, NULL, NULL),
                 -EINVAL);
    cr_assert_null(user.stream);
    net_close(&net);
}

GYRE_TEST(connect, says_that_descriptors_are_short)
{
    struct net net;
    struct rlimit before, none;
    net_open(&net);
    struct user *user = user_new(&net);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &none), 0);
    int r = begin(user, "127.0.0.1:1", 0);
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &before), 0);
    cr_assert_eq(r, -EMFILE);
    user_free(user);
    net_close(&net);
}

/* ---- time, close, the loop's end ------------------------------------------------------------- */

/* An address whose connects hang: a backlog that is full, so that the kernel answers nothing. */
struct silence {
    char address[64];
    int listener;
    int fds[8];
};

static void make_silence(struct silence *silence)
{
    silence->listener = raw_listen(silence->address);
    cr_assert_eq(listen(silence->listener, 0), 0);
    struct gyre__address address;
    const struct gyre__backend *backend;
    cr_assert_eq(gyre__backend_find(gyre_test_backend(), &backend), 0);
    cr_assert_eq(backend->descriptors->parse(silence->address, &address), 0);
    for (int i = 0; i < 8; i++) {
        cr_assert_eq(backend->descriptors->socket(&address, &silence->fds[i]), 0);
        (void)backend->descriptors->connect(silence->fds[i], &address);
    }
}

static void end_silence(struct silence *silence)
{
    close(silence->listener);
    for (int i = 0; i < 8; i++)
        close(silence->fds[i]);
}

GYRE_TEST(connect, ends_when_its_time_is_over)
{
    struct net net;
    struct silence silence;
    net_open(&net);
    make_silence(&silence);
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, silence.address, 5 * SECOND_NS), 0);
    struct user *patient = user_new(&net);
    cr_assert_eq(begin(patient, silence.address, 0), 0);
    net_pass(&net, 5 * SECOND_NS - 1);
    cr_assert_str_eq(user->text, "");
    net_pass(&net, 1);
    cr_assert_str_eq(user->text, "e-110");
    net_pass(&net, 100 * SECOND_NS);
    cr_assert_str_eq(user->text, "e-110");
    cr_assert_str_eq(patient->text, "");
    user_free(user);
    user_free(patient);
    end_silence(&silence);
    net_close(&net);
}

GYRE_TEST(connect, is_no_write_that_times_out)
{
    struct net net;
    struct silence silence;
    net_open(&net);
    make_silence(&silence);
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, silence.address, 5 * SECOND_NS), 0);
    cr_assert_eq(gyre_stream_set_timeouts(user->stream, SECOND_NS, SECOND_NS), 0);
    net_pass(&net, 5 * SECOND_NS - 1);
    cr_assert_str_eq(user->text, "", "nothing is read, and no byte waits to be sent");
    net_pass(&net, 1);
    cr_assert_str_eq(user->text, "e-110");
    user_free(user);
    end_silence(&silence);
    net_close(&net);
}

GYRE_TEST(connect, time_begins_with_the_call_also_between_runs)
{
    struct net net;
    struct silence silence;
    net_open(&net);
    make_silence(&silence);
    struct user *before = user_new(&net);
    struct user *user = user_new(&net);
    net_settle(&net);
    cr_assert_eq(begin(before, silence.address, 0), 0);
    net.now_ns += 20 * SECOND_NS; /* no run has seen that yet */
    cr_assert_eq(begin(user, silence.address, 5 * SECOND_NS), 0);
    net_pass(&net, 5 * SECOND_NS - 1);
    cr_assert_str_eq(user->text, "");
    net_pass(&net, 1);
    cr_assert_str_eq(user->text, "e-110");
    user_free(before);
    user_free(user);
    end_silence(&silence);
    net_close(&net);
}

GYRE_TEST(connect, can_be_closed_at_any_time)
{
    struct net net;
    struct silence silence;
    char address[64];
    net_open(&net);
    make_silence(&silence);
    closed_address(address);
    struct user *users[3];
    for (int i = 0; i < 3; i++)
        users[i] = user_new(&net);
    cr_assert_eq(begin(users[0], silence.address, SECOND_NS), 0);
    cr_assert_eq(begin(users[1], silence.address, SECOND_NS), 0);
    cr_assert_eq(begin(users[2], address, SECOND_NS), 0);
    gyre_stream_close(users[0]->stream);
    users[0]->stream = NULL;
    net_settle(&net);
    gyre_stream_reset(users[1]->stream);
    users[1]->stream = NULL;
    users[2]->on_ended = ACT_CLOSE;
    net_pass(&net, 100 * SECOND_NS);
    cr_assert_str_eq(users[0]->text, "");
    cr_assert_str_eq(users[1]->text, "");
    cr_assert_str_eq(users[2]->text, "e-111");
    for (int i = 0; i < 3; i++)
        user_free(users[i]);
    int listener = raw_listen(address);
    struct user *user = user_new(&net);
    user->on_opened = ACT_CLOSE;
    cr_assert_eq(begin(user, address, SECOND_NS), 0);
    net_until(&net, &user->opened);
    net_settle(&net);
    cr_assert_str_eq(user->text, "o");
    user_free(user);
    close(listener);
    end_silence(&silence);
    net_close(&net);
}

GYRE_TEST(connect, ends_with_its_loop)
{
    struct net net;
    struct silence silence;
    char address[64];
    net_open(&net);
    make_silence(&silence);
    closed_address(address);
    struct user *users[3];
    for (int i = 0; i < 3; i++)
        users[i] = user_new(&net);
    cr_assert_eq(begin(users[0], silence.address, SECOND_NS), 0);
    cr_assert_eq(begin(users[1], silence.address, 0), 0);
    users[1]->on_ended = ACT_CLOSE;
    net_settle(&net);
    cr_assert_eq(begin(users[2], address, 0), 0); /* its refusal may wait to be told */
    cr_assert_eq(gyre_loop_close(net.loop, 0), 0);
    for (int i = 0; i < 3; i++)
        cr_assert_str_eq(users[i]->text, "e-125");
    struct user *late = user_new(&net);
    cr_assert_eq(begin(late, address, 0), -ESHUTDOWN);
    net_close(&net);
    for (int i = 0; i < 3; i++)
        user_free(users[i]);
    user_free(late);
    end_silence(&silence);
}

/* ---- names ----------------------------------------------------------------------------------- */

/* A resolver of the test's: what it answers, and a gate that holds its threads back. */
static char answers[4][64];
static unsigned answers_count;
static int answers_status;
static _Atomic uint32_t gate_closed;
static _Atomic unsigned lookups;

static int fake_resolve(const char *host, const char *port, char ret_texts[][GYRE_ADDRESS_MAX],
                        unsigned *ret_count)
{
    const struct gyre__port *native = gyre__port_native();
    atomic_fetch_add_explicit(&lookups, 1, memory_order_seq_cst);
    while (atomic_load_explicit(&gate_closed, memory_order_seq_cst) != 0)
        native->park(&gate_closed, 1);
    cr_assert(strcmp(host, "some-host") == 0 && strcmp(port, "http") == 0);
    for (unsigned i = 0; i < answers_count; i++)
        strcpy(ret_texts[i], answers[i]);
    *ret_count = answers_count;
    return answers_status;
}

static void set_gate(bool closed)
{
    atomic_store_explicit(&gate_closed, closed, memory_order_seq_cst);
    if (!closed)
        gyre__port_native()->unpark(&gate_closed);
}

/* Has the scene's loop ask the test's resolver. */
static void use_fake(struct net *net)
{
    static struct gyre__port fake; /* threads may use it when the test is over */
    fake = *net->loop->port;
    fake.resolve = fake_resolve;
    net->loop->port = &fake;
    answers_count = 0;
    answers_status = 0;
    atomic_store_explicit(&gate_closed, 0, memory_order_seq_cst);
}

GYRE_TEST(connect, tries_addresses_in_turn)
{
    struct net net;
    net_open(&net);
    use_fake(&net);
    closed_address(answers[0]);
    strcpy(answers[1], "nonsense");
    int listener = raw_listen(answers[2]);
    answers_count = 3;
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, "some-host:http", 100 * SECOND_NS), 0);
    net_until(&net, &user->opened);
    cr_assert_str_eq(user->text, "o");
    int fd = accept(listener, NULL, NULL);
    cr_assert_geq(fd, 0);
    user_free(user);
    close(fd);
    close(listener);

    user = user_new(&net); /* now nobody listens there either */
    cr_assert_eq(begin(user, "some-host:http", 100 * SECOND_NS), 0);
    net_until(&net, &user->ended);
    cr_assert_str_eq(user->text, "e-111");
    user_free(user);
    net_close(&net);
}

GYRE_TEST(connect, tells_what_the_resolver_said)
{
    struct net net;
    net_open(&net);
    use_fake(&net);
    answers_status = -EAGAIN;
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, "some-host:http", 100 * SECOND_NS), 0);
    net_until(&net, &user->ended);
    cr_assert_eq(user->status, -EAGAIN);
    user_free(user);

    answers_status = 0; /* and no address */
    user = user_new(&net);
    user->on_ended = ACT_CLOSE;
    cr_assert_eq(begin(user, "some-host:http", 100 * SECOND_NS), 0);
    net_until(&net, &user->ended);
    cr_assert_eq(user->status, -EADDRNOTAVAIL);
    user_free(user);
    net_close(&net);
}

GYRE_TEST(connect, time_limit_holds_for_the_name_as_well)
{
    struct net net;
    net_open(&net);
    use_fake(&net);
    set_gate(true);
    struct user *user = user_new(&net);
    struct user *closed = user_new(&net);
    cr_assert_eq(begin(user, "some-host:http", SECOND_NS), 0);
    cr_assert_eq(begin(closed, "some-host:http", SECOND_NS), 0);
    gyre_stream_close(closed->stream);
    closed->stream = NULL;
    net_pass(&net, SECOND_NS);
    cr_assert_str_eq(user->text, "e-110");
    set_gate(false);
    net_settle(&net);
    cr_assert_str_eq(user->text, "e-110", "the late answer is nobody's");
    cr_assert_str_eq(closed->text, "");
    user_free(user);
    user_free(closed);
    net_close(&net);
}

GYRE_TEST(connect, loop_may_close_during_a_lookup)
{
    struct net net;
    net_open(&net);
    use_fake(&net);
    set_gate(true);
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, "some-host:http", 0), 0);
    net_settle(&net);
    while (atomic_load_explicit(&lookups, memory_order_seq_cst) == 0)
        ;
    net_close(&net);
    cr_assert_str_eq(user->text, "e-125");
    set_gate(false); /* the thread ends, and with it the loop's last reference */
    user_free(user);
}

GYRE_TEST(connect, only_so_many_names_are_looked_up_at_once)
{
    struct net net;
    net_open(&net);
    use_fake(&net);
    set_gate(true);
    struct user *users[GYRE__LOOKUPS_MAX + 1];
    int failures = 0;
    for (int i = 0; i <= GYRE__LOOKUPS_MAX; i++) {
        users[i] = user_new(&net);
        int r = begin(users[i], "some-host:http", 0);
        failures += r != 0;
        cr_assert_eq(r, i < GYRE__LOOKUPS_MAX ? 0 : -EAGAIN);
    }
    cr_assert_eq(failures, 1);
    closed_address(answers[0]);
    answers_count = 1;
    set_gate(false);
    for (int i = 0; i < GYRE__LOOKUPS_MAX; i++) {
        net_until(&net, &users[i]->ended);
        cr_assert_eq(users[i]->status, -ECONNREFUSED);
    }
    for (int i = 0; i <= GYRE__LOOKUPS_MAX; i++)
        user_free(users[i]);
    struct user *again = user_new(&net);
    cr_assert_eq(begin(again, "some-host:http", 0), 0);
    net_until(&net, &again->ended);
    user_free(again);
    net_close(&net);
}

GYRE_TEST(connect, knows_localhost)
{
    struct net net;
    char address[64];
    char name[64];
    char texts[GYRE_ADDRESSES_MAX][GYRE_ADDRESS_MAX];
    unsigned count = 0;
    net_open(&net);
    int listener = raw_listen(address);
    snprintf(name, sizeof(name), "localhost%s", strrchr(address, ':'));
    cr_assert_eq(gyre_address_resolve(name, texts, &count), 0);
    cr_assert_geq(count, 1);
    cr_assert_eq(gyre_address_resolve(address, texts, &count), 0);
    cr_assert_eq(count, 1);
    cr_assert_str_eq(texts[0], address);
    cr_assert_eq(gyre_address_resolve("unix:/run/x", texts, &count), 0);
    cr_assert_str_eq(texts[0], "unix:/run/x");
    struct user *user = user_new(&net);
    cr_assert_eq(begin(user, name, 100 * SECOND_NS), 0);
    net_until(&net, &user->opened);
    cr_assert_str_eq(user->text, "o");
    user_free(user);
    close(listener);
    net_close(&net);
}
