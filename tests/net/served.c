/* SPDX-License-Identifier: MIT */
/*
 * served - see served.h.
 */
#include "served.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int on_done(struct gyre_loop *loop, int status, void *arg)
{
    struct served *served = arg;
    served->done++;
    served->done_status = status;
    served->done_loop = loop;
    return 0;
}

int on_accept(struct gyre_stream *stream, void *arg)
{
    struct served *served = arg;
    struct gyre_loop_stats stats;
    bool second = served->count > 1 && gyre_stream_loop(stream) == served->loops[1];
    gyre_loop_stats(gyre_stream_loop(stream), &stats);
    served->turns[served->total] = stats.turns;
    served->accepted[second]++;
    if (served->result < 0) {
        served->total++;
        return served->result;
    }
    served->streams[served->total++] = stream;
    if (served->drop) {
        gyre_stream_close(stream);
        served->streams[served->total - 1] = NULL;
    }
    if (served->total == served->stop_at)
        gyre_listener_stop(served->listener, on_done, served);
    return 0;
}

void serve_nowhere(struct served *served, unsigned count)
{
    memset(served, 0, sizeof(*served));
    served->count = count;
    gyre_listener_options_init(&served->options);
    for (unsigned i = 0; i < count; i++) {
        net_open(&served->nets[i]);
        served->loops[i] = served->nets[i].loop;
    }
}

int open_at(struct served *served, const char *address)
{
    int r = gyre_listener_open_on(served->loops, served->count, address, &served->options,
                                  &served->listener, on_accept, served);
    if (r == 0)
        cr_assert_eq(
            gyre_listener_address(served->listener, served->address, sizeof(served->address)), 0);
    return r;
}

void serve(struct served *served, unsigned count, const char *address)
{
    serve_nowhere(served, count);
    int r = open_at(served, address);
    cr_assert_eq(r, 0, "%s: %s", address, strerror(-r));
}

void settle(struct served *served)
{
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < served->count; i++)
            net_settle(&served->nets[i]);
    }
}

void pass(struct served *served, uint64_t ns)
{
    for (uint64_t passed = 0; passed < ns; passed += 5 * MS_NS) {
        for (unsigned i = 0; i < served->count; i++)
            net_pass(&served->nets[i], 5 * MS_NS);
    }
}

void end(struct served *served)
{
    for (unsigned i = 0; i < served->total; i++)
        gyre_stream_close(served->streams[i]);
    for (unsigned i = 0; i < served->count; i++)
        net_close(&served->nets[i]);
}

void stop_and_end(struct served *served)
{
    gyre_listener_close(served->listener, on_done, served);
    settle(served);
    cr_assert_eq(served->done, 1);
    cr_assert_eq(served->done_status, 0);
    end(served);
}

int connect_unix(const char *path)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(name.sun_path, sizeof(name.sun_path), "%s", path);
    int r = connect(fd, (struct sockaddr *)&name, sizeof(name));
    if (r == 0)
        return fd;
    r = -errno;
    close(fd);
    return r;
}

void unix_path(char path[64])
{
    static int number;
    snprintf(path, 64, "/tmp/gyre-listener-%d-%d", (int)getpid(), number++);
}
