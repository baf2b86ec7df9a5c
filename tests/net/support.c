/* SPDX-License-Identifier: MIT */
/*
 * support - see support.h.
 */
#include "support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/stream.h"

/* ---- scene ----------------------------------------------------------------------------------- */

static uint64_t read_clock(void *arg)
{
    return ((struct net *)arg)->now_ns;
}

static int wait_in_scene(struct gyre_loop *loop, uint64_t timeout_ns, void *arg)
{
    struct net *net = arg;
    struct gyre_loop_stats stats;
    gyre_loop_stats(loop, &stats);
    net->quiet = stats.events != net->events ? 0 : net->quiet + 1;
    net->events = stats.events;
    if (net->flag != NULL) {
        if (*net->flag != 0)
            return gyre_loop_stop(loop);
        if (net->quiet > 2) { /* the kernel is to deliver something: do not spin meanwhile */
            (void)poll(NULL, 0, 1);
            net->now_ns += timeout_ns < MS_NS ? timeout_ns : MS_NS;
        }
        return 0;
    }
    if (net->quiet < 2)
        return 0;
    net->quiet = 0;
    uint64_t left = net->until_ns - net->now_ns;
    if (timeout_ns > left) {
        net->now_ns = net->until_ns;
        return gyre_loop_stop(loop);
    }
    net->now_ns += timeout_ns;
    return 0;
}

static int open_loop(struct net *net, uint32_t queue_max)
{
    struct gyre_loop_options options;
    memset(net, 0, sizeof(*net));
    net->now_ns = SECOND_NS;
    gyre_loop_options_init(&options);
    options.backend = gyre_test_backend();
    options.waker = gyre_test_waker();
    options.clock = read_clock;
    options.clock_arg = net;
    options.wait = wait_in_scene;
    options.wait_arg = net;
    options.make_current = GYRE_CURRENT_NO;
    options.queue_max = queue_max;
    return gyre_loop_create(&options, &net->loop);
}

void net_open(struct net *net)
{
    cr_assert_eq(open_loop(net, 0), 0);
}

void net_open_bounded(struct net *net, uint32_t queue_max)
{
    cr_assert_eq(open_loop(net, queue_max), 0);
}

bool net_try_open(struct net *net)
{
    return open_loop(net, 0) == 0;
}

void net_close(struct net *net)
{
    gyre_loop_destroy(net->loop);
    net->loop = NULL;
}

void net_pass(struct net *net, uint64_t ns)
{
    net->until_ns = net->now_ns + ns;
    net->quiet = 0;
    net->flag = NULL;
    cr_assert_eq(gyre_loop_run(net->loop), 0);
}

void net_settle(struct net *net)
{
    net_pass(net, 0);
}

void net_until(struct net *net, const unsigned *flag)
{
    net->flag = flag;
    net->until_ns = net->now_ns;
    cr_assert_eq(gyre_loop_run(net->loop), 0);
    net->flag = NULL;
}

/* ---- sockets --------------------------------------------------------------------------------- */

static void make_nonblocking(int fd)
{
    cr_assert_eq(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
}

void pair_unix(int fds[2])
{
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static int bound_socket(struct sockaddr_in *ret_address)
{
    socklen_t bytes = sizeof(*ret_address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sin_family = AF_INET;
    ret_address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_geq(fd, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)ret_address, bytes), 0);
    cr_assert_eq(getsockname(fd, (struct sockaddr *)ret_address, &bytes), 0);
    return fd;
}

int raw_listen(char address[64])
{
    struct sockaddr_in name;
    int fd = bound_socket(&name);
    cr_assert_eq(listen(fd, 16), 0);
    snprintf(address, 64, "127.0.0.1:%u", ntohs(name.sin_port));
    return fd;
}

int raw_connect(const char *address)
{
    struct sockaddr_in name = {.sin_family = AF_INET};
    const char *port = strrchr(address, ':');
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert(fd >= 0 && port != NULL);
    name.sin_port = htons((uint16_t)atoi(port + 1));
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    cr_assert_eq(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0, "%s", strerror(errno));
    make_nonblocking(fd);
    return fd;
}

void pair_tcp(int fds[2])
{
    char address[64];
    int listener = raw_listen(address);
    fds[1] = raw_connect(address);
    fds[0] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    cr_assert_geq(fds[0], 0);
    close(listener);
}

void raw_send(int fd, const void *data, size_t bytes)
{
    cr_assert_eq(send(fd, data, bytes, MSG_NOSIGNAL), (ssize_t)bytes, "%s", strerror(errno));
}

void raw_send_text(int fd, const char *text)
{
    raw_send(fd, text, strlen(text));
}

long raw_receive(int fd, void *data, size_t bytes)
{
    ssize_t got = recv(fd, data, bytes, MSG_DONTWAIT);
    return got < 0 ? -errno : got;
}

bool raw_has(int fd, const char *text)
{
    char data[256];
    size_t bytes = strlen(text);
    cr_assert_lt(bytes, sizeof(data));
    return raw_receive(fd, data, sizeof(data)) == (long)bytes && memcmp(data, text, bytes) == 0;
}

void raw_reset(int fd)
{
    struct linger linger = {.l_onoff = 1};
    cr_assert_eq(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)), 0);
    close(fd);
}

/* ---- users of streams ------------------------------------------------------------------------ */

__attribute__((format(printf, 2, 3))) static void say(struct user *user, const char *format, ...)
{
    va_list arguments;
    char *text = user->text + user->text_used;
    size_t room = sizeof(user->text) - user->text_used;
    if (user->text_used > 0 && room > 1) {
        *text++ = ' ';
        room--;
        user->text_used++;
    }
    va_start(arguments, format);
    int bytes = vsnprintf(text, room, format, arguments);
    va_end(arguments);
    user->text_used += (size_t)bytes < room ? (size_t)bytes : room - 1;
}

static void perform(struct user *user, enum act act)
{
    struct gyre_stream *stream = user->stream;
    switch (act) {
    case ACT_CLOSE:
        user->stream = NULL;
        gyre_stream_close(stream);
        break;
    case ACT_RESET:
        user->stream = NULL;
        gyre_stream_reset(stream);
        break;
    case ACT_PAUSE:
        gyre_stream_pause(stream);
        break;
    case ACT_RESUME:
        gyre_stream_resume(stream);
        break;
    case ACT_PAUSE_RESUME:
        gyre_stream_pause(stream);
        gyre_stream_resume(stream);
        break;
    case ACT_FINISH:
        gyre_stream_finish(stream);
        break;
    case ACT_STOP:
        (void)gyre_loop_stop(user->net->loop);
        break;
    case ACT_NOTHING:
    case ACT_ECHO:
    case ACT_KEEP:
        break;
    }
}

static void begin_event(struct user *user, const struct gyre_stream *stream)
{
    cr_assert_eq(user->inside, 0, "an event inside another: %s", user->text);
    cr_assert_eq(user->stream, stream, "an event after close: %s", user->text);
    user->inside++;
}

static void end_event(struct user *user, enum act act)
{
    perform(user, act);
    if (user->then != NULL)
        user->then(user);
    user->inside--;
}

static void on_opened(struct gyre_stream *stream, void *arg)
{
    struct user *user = arg;
    begin_event(user, stream);
    user->opened++;
    say(user, "o");
    end_event(user, user->on_opened);
}

static void on_received(struct gyre_stream *stream, const void *data, size_t bytes,
                        size_t *ret_used, void *arg)
{
    struct user *user = arg;
    begin_event(user, stream);
    cr_assert_eq(*ret_used, bytes);
    size_t used = user->use_max > 0 && bytes > user->use_max ? user->use_max : bytes;
    if (user->on_received == ACT_KEEP)
        used = 0;
    *ret_used = used;
    user->received++;
    say(user, "r%zu", bytes);
    size_t room = USER_BYTES - user->bytes_used;
    memcpy(user->bytes + user->bytes_used, data, used < room ? used : room);
    user->bytes_used += used < room ? used : room;
    if (user->on_received == ACT_ECHO)
        cr_assert_eq(user_write(user, data, used), used);
    end_event(user, user->on_received);
}

static void on_ended(struct gyre_stream *stream, int status, void *arg)
{
    struct user *user = arg;
    begin_event(user, stream);
    user->ended++;
    user->status = status;
    say(user, "e%d", status);
    end_event(user, user->on_ended);
}

static void on_drained(struct gyre_stream *stream, void *arg)
{
    struct user *user = arg;
    begin_event(user, stream);
    user->drained++;
    say(user, "d");
    end_event(user, user->on_drained);
}

const struct gyre_stream_events user_events = {on_opened, on_received, on_ended, on_drained};

struct user *user_new(struct net *net)
{
    struct user *user = calloc(1, sizeof(*user));
    cr_assert_not_null(user);
    user->bytes = malloc(USER_BYTES);
    cr_assert_not_null(user->bytes);
    user->net = net;
    return user;
}

void user_free(struct user *user)
{
    gyre_stream_close(user->stream);
    free(user->bytes);
    free(user);
}

struct gyre_stream *stream_on(struct net *net, int fd)
{
    struct gyre_stream *stream;
    cr_assert_eq(gyre__stream_accepted(net->loop, fd, &stream), 0);
    return stream;
}

static struct user *user_on(struct net *net, const int fds[2], int *ret_fd)
{
    struct user *user = user_new(net);
    user->stream = stream_on(net, fds[0]);
    gyre_stream_bind(user->stream, &user_events, user);
    *ret_fd = fds[1];
    return user;
}

struct user *user_on_unix(struct net *net, int *ret_fd)
{
    int fds[2];
    pair_unix(fds);
    return user_on(net, fds, ret_fd);
}

struct user *user_on_tcp(struct net *net, int *ret_fd)
{
    int fds[2];
    pair_tcp(fds);
    return user_on(net, fds, ret_fd);
}

void user_hush(struct user *user)
{
    user->text_used = 0;
    user->text[0] = '\0';
    user->bytes_used = 0;
}

size_t user_write(struct user *user, const void *data, size_t bytes)
{
    size_t taken = SIZE_MAX;
    cr_assert_eq(gyre_stream_write(user->stream, data, bytes, &taken), 0);
    cr_assert_leq(taken, bytes);
    return taken;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

void pattern_fill(void *data, size_t bytes, size_t at)
{
    for (size_t i = 0; i < bytes; i++)
        ((unsigned char *)data)[i] = pattern(at + i);
}

bool pattern_matches(const void *data, size_t bytes, size_t at)
{
    for (size_t i = 0; i < bytes; i++) {
        if (((const unsigned char *)data)[i] != pattern(at + i))
            return false;
    }
    return true;
}

unsigned count_fds(void)
{
    unsigned count = 0;
    DIR *folder = opendir("/proc/self/fd");
    cr_assert_not_null(folder);
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    return count - 3; /* ".", ".." and the folder's own */
}
