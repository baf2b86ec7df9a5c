/* SPDX-License-Identifier: MIT */
/*
 * calls - the kinds of calls that can be made to fail.
 *
 * A function that fails in several ways according to its arguments is several kinds. imports.txt
 * has the functions themselves; to wrap one more, add it there, here, to faults.c and to wrapped.c.
 */
#ifndef GYRE_TEST_FAULT_CALLS_H
#define GYRE_TEST_FAULT_CALLS_H

#define INJECT_CALLS(X)                             \
    X(ANY, "any")                                   \
    X(ALLOCATE, "allocate")                         \
    X(ACCEPT4, "accept4")                           \
    X(BIND, "bind")                                 \
    X(CHMOD, "chmod")                               \
    X(CLOSE, "close")                               \
    X(CONNECT, "connect")                           \
    X(CONNECT_PATH, "connect(a path)")              \
    X(DUP3, "dup3")                                 \
    X(EPOLL_CREATE, "epoll_create1")                \
    X(EPOLL_ADD, "epoll_ctl(ADD)")                  \
    X(EPOLL_OTHER, "epoll_ctl(MOD, DEL)")           \
    X(EPOLL_WAIT, "epoll_wait")                     \
    X(EPOLL_PWAIT2, "epoll_pwait2")                 \
    X(EVENTFD, "eventfd")                           \
    X(DUPLICATE, "fcntl(F_DUPFD_CLOEXEC)")          \
    X(FCNTL, "fcntl")                               \
    X(FUTEX_WAIT, "futex(WAIT)")                    \
    X(TGKILL, "tgkill")                             \
    X(SYSCALL, "syscall")                           \
    X(GETADDRINFO, "getaddrinfo")                   \
    X(GETPEERNAME, "getpeername")                   \
    X(GETRANDOM, "getrandom")                       \
    X(GETSOCKNAME, "getsockname")                   \
    X(SOCKET_ERROR, "getsockopt(SO_ERROR)")         \
    X(GETSOCKOPT, "getsockopt")                     \
    X(IOCTL, "ioctl")                               \
    X(LISTEN, "listen")                             \
    X(LSTAT, "lstat")                               \
    X(OPEN, "open")                                 \
    X(PIPE2, "pipe2")                               \
    X(POLL, "poll")                                 \
    X(SELECT, "pselect")                            \
    X(ATFORK, "pthread_atfork")                     \
    X(ATTR_INIT, "pthread_attr_init")               \
    X(ATTR_AFFINITY, "pthread_attr_setaffinity_np") \
    X(THREAD_CREATE, "pthread_create")              \
    X(KEY_CREATE, "pthread_key_create")             \
    X(SETSPECIFIC, "pthread_setspecific")           \
    X(READ, "read")                                 \
    X(RECV, "recv")                                 \
    X(SEND, "send")                                 \
    X(SENDMSG, "sendmsg")                           \
    X(SETSOCKOPT, "setsockopt")                     \
    X(SHUTDOWN, "shutdown")                         \
    X(SIGTIMEDWAIT, "sigtimedwait")                 \
    X(SOCKET, "socket")                             \
    X(UNLINK, "unlink")                             \
    X(WRITE, "write")

enum inject_call {
#define INJECT_ENTRY(id, name) INJECT_##id,
    INJECT_CALLS(INJECT_ENTRY)
#undef INJECT_ENTRY
    INJECT_CALLS_COUNT
};

#endif
