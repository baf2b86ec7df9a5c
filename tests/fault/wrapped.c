/* SPDX-License-Identifier: MIT */
/*
 * wrapped - what a call of the system's reaches: __wrap_x in place of x, and __real_x is x itself
 * (ld(1), --wrap). imports.txt lists the names, and CMakeLists.txt gives them to the linker.
 *
 * A fault that has a cause in the world has it here, too, so that what the library sees afterwards
 * fits: a connection that is reset is shut down, a closed descriptor is closed, a connect that was
 * interrupted goes on.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "inject.h"

/* Declared before they are defined, since nothing else does. */
#define DECLARE(type, name, parameters) \
    type __real_##name parameters;      \
    type __wrap_##name parameters;

/* A function that says -1 and errno. */
#define WRAP(call, type, name, parameters, arguments)           \
    DECLARE(type, name, parameters)                             \
    type __wrap_##name parameters                               \
    {                                                           \
        const struct fault *fault = inject_here(INJECT_##call); \
        if (fault == NULL)                                      \
            return __real_##name arguments;                     \
        errno = fault->code;                                    \
        return -1;                                              \
    }

/* A function that returns its error. */
#define WRAP_RETURNED(call, name, parameters, arguments)              \
    DECLARE(int, name, parameters)                                    \
    int __wrap_##name parameters                                      \
    {                                                                 \
        const struct fault *fault = inject_here(INJECT_##call);       \
        return fault == NULL ? __real_##name arguments : fault->code; \
    }

WRAP(BIND, int, bind, (int fd, const struct sockaddr *address, socklen_t bytes),
     (fd, address, bytes))
WRAP(ACCEPT4, int, accept4, (int fd, struct sockaddr *address, socklen_t *bytes, int flags),
     (fd, address, bytes, flags))
WRAP(CHMOD, int, chmod, (const char *path, mode_t mode), (path, mode))
WRAP(DUP3, int, dup3, (int from, int to, int flags), (from, to, flags))
WRAP(EPOLL_CREATE, int, epoll_create1, (int flags), (flags))
WRAP(EPOLL_WAIT, int, epoll_wait, (int fd, struct epoll_event *events, int max, int timeout),
     (fd, events, max, timeout))
WRAP(EVENTFD, int, eventfd, (unsigned count, int flags), (count, flags))
WRAP(GETPEERNAME, int, getpeername, (int fd, struct sockaddr *address, socklen_t *bytes),
     (fd, address, bytes))
WRAP(GETRANDOM, ssize_t, getrandom, (void *data, size_t bytes, unsigned flags),
     (data, bytes, flags))
WRAP(GETSOCKNAME, int, getsockname, (int fd, struct sockaddr *address, socklen_t *bytes),
     (fd, address, bytes))
WRAP(LISTEN, int, listen, (int fd, int backlog), (fd, backlog))
WRAP(LSTAT, int, lstat, (const char *path, struct stat *stat), (path, stat))
WRAP(PIPE2, int, pipe2, (int fds[2], int flags), (fds, flags))
WRAP(POLL, int, poll, (struct pollfd * fds, nfds_t count, int timeout), (fds, count, timeout))
WRAP(POLL, int, ppoll,
     (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
     (fds, count, timeout, mask))
WRAP(SELECT, int, pselect,
     (int count, fd_set *readers, fd_set *writers, fd_set *others, const struct timespec *timeout,
      const sigset_t *mask),
     (count, readers, writers, others, timeout, mask))
WRAP(SETSOCKOPT, int, setsockopt, (int fd, int level, int name, const void *value, socklen_t bytes),
     (fd, level, name, value, bytes))
WRAP(SHUTDOWN, int, shutdown, (int fd, int how), (fd, how))
WRAP(SIGTIMEDWAIT, int, sigtimedwait,
     (const sigset_t *set, siginfo_t *info, const struct timespec *timeout), (set, info, timeout))
WRAP(SOCKET, int, socket, (int family, int type, int protocol), (family, type, protocol))
WRAP(UNLINK, int, unlink, (const char *path), (path))

WRAP_RETURNED(ATFORK, pthread_atfork,
              (void (*prepare)(void), void (*parent)(void), void (*child)(void)),
              (prepare, parent, child))
WRAP_RETURNED(ATTR_INIT, pthread_attr_init, (pthread_attr_t * attributes), (attributes))
WRAP_RETURNED(ATTR_AFFINITY, pthread_attr_setaffinity_np,
              (pthread_attr_t * attributes, size_t bytes, const cpu_set_t *cpus),
              (attributes, bytes, cpus))
WRAP_RETURNED(THREAD_CREATE, pthread_create,
              (pthread_t * thread, const pthread_attr_t *attributes, void *(*fn)(void *),
               void *arg),
              (thread, attributes, fn, arg))
WRAP_RETURNED(KEY_CREATE, pthread_key_create, (pthread_key_t * key, void (*fn)(void *)), (key, fn))
WRAP_RETURNED(SETSPECIFIC, pthread_setspecific, (pthread_key_t key, const void *value),
              (key, value))

/* ---- bytes ----------------------------------------------------------------------------------- */

/* Makes the world fit: such an error does not come from a sound connection. */
static void break_connection(int fd, int code)
{
    if (code == ECONNRESET || code == EPIPE || code == ETIMEDOUT)
        (void)__real_shutdown(fd, SHUT_RDWR); /* it may be broken already */
}

/* For what moves `bytes` bytes: true if it is to fail; else *bytes is what it is to move. */
static bool fails(enum inject_call call, int fd, size_t *bytes)
{
    const struct fault *fault = inject_here(call);
    if (fault == NULL)
        return false;
    if (fault->code == INJECT_SHORT) {
        *bytes = *bytes > 0 ? 1 : 0;
        return false;
    }
    break_connection(fd, fault->code);
    errno = fault->code;
    return true;
}

DECLARE(ssize_t, recv, (int fd, void *data, size_t bytes, int flags))
ssize_t __wrap_recv(int fd, void *data, size_t bytes, int flags)
{
    return fails(INJECT_RECV, fd, &bytes) ? -1 : __real_recv(fd, data, bytes, flags);
}

DECLARE(ssize_t, send, (int fd, const void *data, size_t bytes, int flags))
ssize_t __wrap_send(int fd, const void *data, size_t bytes, int flags)
{
    return fails(INJECT_SEND, fd, &bytes) ? -1 : __real_send(fd, data, bytes, flags);
}

DECLARE(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags))
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
    size_t bytes = SIZE_MAX;
    if (fails(INJECT_SENDMSG, fd, &bytes))
        return -1;
    if (bytes == SIZE_MAX)
        return __real_sendmsg(fd, message, flags);
    return __real_send(fd, message->msg_iov[0].iov_base, bytes, flags);
}

DECLARE(ssize_t, read, (int fd, void *data, size_t bytes))
ssize_t __wrap_read(int fd, void *data, size_t bytes)
{
    size_t asked = bytes;
    if (fails(INJECT_READ, fd, &bytes))
        return -1;
    ssize_t got = __real_read(fd, data, bytes);
    /* An eventfd is never read in part (eventfd(2)): the whole, then. */
    return got < 0 && errno == EINVAL ? __real_read(fd, data, asked) : got;
}

DECLARE(ssize_t, write, (int fd, const void *data, size_t bytes))
ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
    return fails(INJECT_WRITE, fd, &bytes) ? -1 : __real_write(fd, data, bytes);
}

/* ---- what needs more than an errno ----------------------------------------------------------- */

DECLARE(int, close, (int fd))
int __wrap_close(int fd)
{
    const struct fault *fault = inject_here(INJECT_CLOSE);
    int result = __real_close(fd);
    if (fault == NULL)
        return result;
    errno = fault->code;
    return -1;
}

DECLARE(int, connect, (int fd, const struct sockaddr *address, socklen_t bytes))
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t bytes)
{
    bool path = address->sa_family == AF_UNIX;
    const struct fault *fault = inject_here(path ? INJECT_CONNECT_PATH : INJECT_CONNECT);
    if (fault == NULL)
        return __real_connect(fd, address, bytes);
    if (fault->code == EINTR) {
        int result = __real_connect(fd, address, bytes);
        if (result < 0 && errno != EINPROGRESS)
            return result; /* it was over before the signal came */
    }
    errno = fault->code;
    return -1;
}

DECLARE(int, epoll_ctl, (int set, int operation, int fd, struct epoll_event *event))
int __wrap_epoll_ctl(int set, int operation, int fd, struct epoll_event *event)
{
    const struct fault *fault =
        inject_here(operation == EPOLL_CTL_ADD ? INJECT_EPOLL_ADD : INJECT_EPOLL_OTHER);
    if (fault == NULL)
        return __real_epoll_ctl(set, operation, fd, event);
    errno = fault->code;
    return -1;
}

DECLARE(int, getaddrinfo,
        (const char *host, const char *port, const struct addrinfo *hints, struct addrinfo **list))
int __wrap_getaddrinfo(const char *host, const char *port, const struct addrinfo *hints,
                       struct addrinfo **list)
{
    const struct fault *fault = inject_here(INJECT_GETADDRINFO);
    if (fault == NULL)
        return __real_getaddrinfo(host, port, hints, list);
    errno = EMFILE; /* for EAI_SYSTEM */
    return fault->code;
}

DECLARE(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *bytes))
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *bytes)
{
    bool of_error = level == SOL_SOCKET && name == SO_ERROR;
    const struct fault *fault = inject_here(of_error ? INJECT_SOCKET_ERROR : INJECT_GETSOCKOPT);
    if (fault == NULL)
        return __real_getsockopt(fd, level, name, value, bytes);
    if (fault->code == INJECT_PENDING) {
        *(int *)value = ECONNREFUSED;
        return 0;
    }
    errno = fault->code;
    return -1;
}

/* ---- functions of any number of arguments ---------------------------------------------------- */

DECLARE(int, fcntl, (int fd, int command, ...))
int __wrap_fcntl(int fd, int command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    const struct fault *fault =
        inject_here(command == F_DUPFD_CLOEXEC ? INJECT_DUPLICATE : INJECT_FCNTL);
    if (fault == NULL)
        return __real_fcntl(fd, command, argument);
    errno = fault->code;
    return -1;
}

DECLARE(int, ioctl, (int fd, unsigned long command, ...))
int __wrap_ioctl(int fd, unsigned long command, ...)
{
    va_list arguments;
    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    const struct fault *fault = inject_here(INJECT_IOCTL);
    if (fault == NULL)
        return __real_ioctl(fd, command, argument);
    errno = fault->code;
    return -1;
}

DECLARE(int, open, (const char *path, int flags, ...))
int __wrap_open(const char *path, int flags, ...)
{
    va_list arguments;
    va_start(arguments, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : 0;
    va_end(arguments);
    const struct fault *fault = inject_here(INJECT_OPEN);
    if (fault == NULL)
        return __real_open(path, flags, mode);
    errno = fault->code;
    return -1;
}

static enum inject_call syscall_kind(long number, long operation)
{
    if (number == SYS_epoll_pwait2)
        return INJECT_EPOLL_PWAIT2;
    if (number == SYS_futex && (operation & FUTEX_CMD_MASK) == FUTEX_WAIT)
        return INJECT_FUTEX_WAIT;
    return number == SYS_tgkill ? INJECT_TGKILL : INJECT_SYSCALL;
}

DECLARE(long, syscall, (long number, ...))
long __wrap_syscall(long number, ...)
{
    long argument[6];
    va_list arguments;
    va_start(arguments, number);
    for (int i = 0; i < 6; i++)
        argument[i] = va_arg(arguments, long);
    va_end(arguments);
    const struct fault *fault = inject_here(syscall_kind(number, argument[1]));
    if (fault == NULL)
        return __real_syscall(number, argument[0], argument[1], argument[2], argument[3],
                              argument[4], argument[5]);
    errno = fault->code;
    return -1;
}
