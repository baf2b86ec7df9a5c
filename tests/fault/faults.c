/* SPDX-License-Identifier: MIT */
/*
 * faults - what each call can fail with, and what may be heard of it.
 *
 * The errnos are those of the calls' manual pages that a correct program can meet. A call with no
 * entry is counted and does not fail: what it says of a correct call is always the same.
 */
#include <errno.h>
#include <netdb.h>

#include "inject.h"

#define ITSELF(error)        \
    {                        \
        error, INJECT_ITSELF \
    }
#define NOTHING(error)        \
    {                         \
        error, INJECT_NOTHING \
    }
#define IN_BURST(error)        \
    {                          \
        error, INJECT_IN_BURST \
    }
#define OTHER(error, told) \
    {                      \
        error, -(told)     \
    }

enum {
    FAULTS_MAX = 12
};

static const struct fault faults[INJECT_CALLS_COUNT][FAULTS_MAX] = {
    [INJECT_ALLOCATE] = {ITSELF(ENOMEM)},
    /* Nothing of a listener's troubles reaches its user: it tries again (EPERM: a firewall's). */
    [INJECT_ACCEPT4] = {NOTHING(EMFILE), NOTHING(ENFILE), NOTHING(ENOBUFS), NOTHING(ENOMEM),
                        NOTHING(ECONNABORTED), NOTHING(EINTR), NOTHING(EPERM), NOTHING(EAGAIN),
                        NOTHING(EPROTO), NOTHING(ENETDOWN)},
    [INJECT_BIND] = {ITSELF(EADDRINUSE), ITSELF(EADDRNOTAVAIL), ITSELF(EACCES), ITSELF(ENOMEM)},
    [INJECT_CHMOD] = {ITSELF(EPERM), ITSELF(ENOMEM)},
    /* The descriptor is closed all the same. */
    [INJECT_CLOSE] = {NOTHING(EINTR), NOTHING(EIO)},
    [INJECT_CONNECT] = {ITSELF(EADDRNOTAVAIL), ITSELF(ENETUNREACH), ITSELF(ECONNREFUSED),
                        NOTHING(EINTR)},
    [INJECT_CONNECT_PATH] = {ITSELF(ECONNREFUSED), ITSELF(EAGAIN), ITSELF(ENOMEM)},
    [INJECT_DUP3] = {NOTHING(EBUSY), NOTHING(EINTR)}, /* a rebuild: another follows */
    [INJECT_EPOLL_CREATE] = {ITSELF(EMFILE), ITSELF(ENFILE), ITSELF(ENOMEM)},
    [INJECT_EPOLL_ADD] = {ITSELF(ENOMEM), ITSELF(ENOSPC)},
    [INJECT_EPOLL_WAIT] = {NOTHING(EINTR), ITSELF(EBADF)},
    [INJECT_EPOLL_PWAIT2] = {NOTHING(EINTR), NOTHING(ENOSYS), NOTHING(EPERM), ITSELF(EBADF)},
    [INJECT_EVENTFD] = {ITSELF(EMFILE), ITSELF(ENFILE), ITSELF(ENOMEM), ITSELF(ENODEV)},
    [INJECT_DUPLICATE] = {ITSELF(EMFILE)},
    [INJECT_FUTEX_WAIT] = {NOTHING(EINTR), NOTHING(EAGAIN)},
    [INJECT_TGKILL] = {NOTHING(EAGAIN), NOTHING(ESRCH)}, /* a report has no stack, then */
    /* A failure without an errno of its own is told as the one that comes nearest. */
    [INJECT_GETADDRINFO] = {OTHER(EAI_AGAIN, EAGAIN), OTHER(EAI_MEMORY, ENOMEM),
                            OTHER(EAI_SYSTEM, EMFILE), OTHER(EAI_FAIL, EADDRNOTAVAIL),
                            OTHER(EAI_NONAME, EADDRNOTAVAIL)},
    [INJECT_GETPEERNAME] = {ITSELF(ENOBUFS), ITSELF(ENOTCONN)},
    [INJECT_GETRANDOM] = {NOTHING(EAGAIN)},
    [INJECT_GETSOCKNAME] = {ITSELF(ENOBUFS)},
    [INJECT_SOCKET_ERROR] = {OTHER(INJECT_PENDING, ECONNREFUSED), ITSELF(ENOBUFS)},
    [INJECT_GETSOCKOPT] = {ITSELF(ENOBUFS)},
    [INJECT_IOCTL] = {NOTHING(EINVAL)},
    [INJECT_LISTEN] = {ITSELF(EADDRINUSE)},
    [INJECT_LSTAT] = {OTHER(EACCES, EADDRINUSE)},
    [INJECT_OPEN] = {ITSELF(EMFILE), ITSELF(ENFILE), ITSELF(ENOMEM)},
    [INJECT_PIPE2] = {ITSELF(EMFILE), ITSELF(ENFILE)},
    [INJECT_POLL] = {NOTHING(EINTR), ITSELF(ENOMEM)},
    [INJECT_SELECT] = {NOTHING(EINTR), ITSELF(ENOMEM)},
    [INJECT_ATTR_INIT] = {ITSELF(ENOMEM)},
    [INJECT_ATFORK] = {ITSELF(ENOMEM)},
    [INJECT_ATTR_AFFINITY] = {ITSELF(ENOMEM)},
    /* EINVAL: the CPU to be pinned to has gone; the thread floats, unless that fails too. */
    [INJECT_THREAD_CREATE] = {ITSELF(EAGAIN), IN_BURST(EINVAL), ITSELF(EPERM)},
    [INJECT_KEY_CREATE] = {OTHER(EAGAIN, ENOMEM), ITSELF(ENOMEM)},
    [INJECT_SETSPECIFIC] = {ITSELF(ENOMEM)},
    [INJECT_READ] = {NOTHING(EINTR), NOTHING(INJECT_SHORT)},
    [INJECT_RECV] = {NOTHING(EAGAIN), NOTHING(EINTR), NOTHING(INJECT_SHORT), ITSELF(ECONNRESET),
                     ITSELF(ETIMEDOUT), ITSELF(ENOMEM)},
    [INJECT_SEND] = {NOTHING(EAGAIN), NOTHING(EINTR), NOTHING(INJECT_SHORT),
                     OTHER(EPIPE, ECONNRESET), ITSELF(ECONNRESET), ITSELF(ENOBUFS), ITSELF(ENOMEM)},
    [INJECT_SENDMSG] = {NOTHING(EAGAIN), NOTHING(EINTR), NOTHING(INJECT_SHORT),
                        OTHER(EPIPE, ECONNRESET), ITSELF(ECONNRESET), ITSELF(ENOBUFS),
                        ITSELF(ENOMEM)},
    /* Of an option that costs only delay nothing is told. */
    [INJECT_SETSOCKOPT] = {ITSELF(ENOMEM), ITSELF(ENOBUFS)},
    [INJECT_SIGTIMEDWAIT] = {NOTHING(EINTR)},
    [INJECT_SOCKET] = {ITSELF(EMFILE), ITSELF(ENFILE), ITSELF(ENOBUFS), ITSELF(ENOMEM)},
    [INJECT_UNLINK] = {OTHER(EACCES, EADDRINUSE)},
    [INJECT_WRITE] = {NOTHING(EINTR)},
};

static const char *const call_names[] = {
#define INJECT_ENTRY(id, name) [INJECT_##id] = name,
    INJECT_CALLS(INJECT_ENTRY)
#undef INJECT_ENTRY
};

const struct fault *inject_faults(enum inject_call call, size_t *ret_count)
{
    size_t count = 0;
    while (count < FAULTS_MAX && faults[call][count].code != 0)
        count++;
    *ret_count = count;
    return faults[call];
}

const char *inject_call_name(enum inject_call call)
{
    return call_names[call];
}
