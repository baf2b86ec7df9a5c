/* SPDX-License-Identifier: MIT */
/*
 * child - see child.h.
 *
 * Late is a child that has not ended when its time is over: it gets SIGTERM, on which strace ends
 * what it runs, and SIGKILL two seconds later. Should we be killed first, its own alarm ends it. A
 * process of its own that it leaves behind does not hold us up: what counts is its end, and not
 * that of its output.
 */
#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    GRACE_S = 2,
    LOOK_MS = 20, /* how often a child that has closed its output is asked for */
    ALARM_S = 2 * GRACE_S /* after its time */
};

struct pipes {
    int out[2];
    int err[2];
};

static uint64_t now_ms(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now); /* exists since Linux 2.6 */
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static _Noreturn void become(char *const arguments[], unsigned timeout_s, const struct pipes *pipes)
{
    int null = open("/dev/null", O_RDONLY);
    if (null >= 0 && dup2(null, STDIN_FILENO) >= 0 && dup2(pipes->out[1], STDOUT_FILENO) >= 0 &&
        dup2(pipes->err[1], STDERR_FILENO) >= 0) {
        (void)alarm(timeout_s + ALARM_S); /* outlives the exec */
        (void)execvp(arguments[0], arguments);
    }
    dprintf(STDERR_FILENO, "%s: %s\n", arguments[0], strerror(errno));
    _exit(CHILD_NOT_RUN);
}

static void close_pair(const int pair[2])
{
    (void)close(pair[0]); /* pipes: nothing is lost */
    (void)close(pair[1]);
}

static bool open_pipes(struct pipes *pipes)
{
    if (pipe(pipes->out) != 0)
        return false;
    if (pipe(pipes->err) != 0) {
        close_pair(pipes->out);
        return false;
    }
    const int all[] = {pipes->out[0], pipes->out[1], pipes->err[0], pipes->err[1]};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        (void)fcntl(all[i], F_SETFD, FD_CLOEXEC); /* cannot fail on an open descriptor */
    return true;
}

/* Reads once; false at the end. */
static bool read_some(int fd, struct child_text *text)
{
    char over[512];
    size_t room = sizeof(text->text) - 1 - text->bytes;
    ssize_t got =
        read(fd, room > 0 ? text->text + text->bytes : over, room > 0 ? room : sizeof(over));
    if (got < 0)
        return errno == EINTR;
    if (room > 0)
        text->bytes += (size_t)got;
    return got > 0;
}

/* Reads what comes within `wait_ms`; false once both ends are there. */
static bool listen_for(struct pollfd fds[2], int wait_ms, struct child_end *end)
{
    if (fds[0].fd < 0 && fds[1].fd < 0)
        return false;
    if (poll(fds, 2, wait_ms) <= 0)
        return true;
    for (int i = 0; i < 2; i++) {
        if (fds[i].fd >= 0 && fds[i].revents != 0 &&
            !read_some(fds[i].fd, i == 0 ? &end->out : &end->err))
            fds[i].fd = -1; /* poll passes over it */
    }
    return true;
}

/* What a child that has ended wrote last. */
static void listen_to_rest(struct pollfd fds[2], struct child_end *end)
{
    for (;;) {
        fds[0].revents = 0;
        fds[1].revents = 0;
        if (!listen_for(fds, 0, end) || (fds[0].revents | fds[1].revents) == 0)
            return;
    }
}

/* Waits for the child and reads meanwhile; its wait status. */
static int attend(pid_t pid, unsigned timeout_s, struct pollfd fds[2], struct child_end *end)
{
    uint64_t deadline_ms = now_ms() + timeout_s * UINT64_C(1000);
    int status = 0;
    while (waitpid(pid, &status, WNOHANG) == 0) {
        if (now_ms() >= deadline_ms) {
            (void)kill(pid, end->status == CHILD_LATE ? SIGKILL : SIGTERM); /* ours, not reaped */
            end->status = CHILD_LATE;
            deadline_ms = now_ms() + GRACE_S * UINT64_C(1000);
        }
        if (!listen_for(fds, LOOK_MS, end))
            (void)poll(NULL, 0, 1); /* its end comes right after that of its output */
    }
    listen_to_rest(fds, end);
    return status;
}

static bool give_up(struct child_end *end, const char *what)
{
    end->err.bytes =
        (size_t)snprintf(end->err.text, sizeof(end->err.text), "%s: %s", what, strerror(errno));
    return false;
}

bool child_run(char *const arguments[], unsigned timeout_s, struct child_end *end)
{
    memset(end, 0, sizeof(*end));
    struct pipes pipes;
    if (!open_pipes(&pipes))
        return give_up(end, "pipe");
    pid_t pid = fork();
    if (pid < 0) {
        close_pair(pipes.out);
        close_pair(pipes.err);
        return give_up(end, "fork");
    }
    if (pid == 0)
        become(arguments, timeout_s, &pipes);
    (void)close(pipes.out[1]); /* the child's */
    (void)close(pipes.err[1]);

    struct pollfd fds[2] = {{.fd = pipes.out[0], .events = POLLIN},
                            {.fd = pipes.err[0], .events = POLLIN}};
    int status = attend(pid, timeout_s, fds, end);
    (void)close(pipes.out[0]); /* read to the end, or of no interest any more */
    (void)close(pipes.err[0]);
    if (end->status == CHILD_LATE)
        return true;
    end->status = WIFEXITED(status) ? WEXITSTATUS(status) : CHILD_KILLED;
    end->signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    return true;
}
