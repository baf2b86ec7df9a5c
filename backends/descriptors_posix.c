/* SPDX-License-Identifier: MIT */
/*
 * descriptors_posix - sockets of TCP and of the Unix domain, for systems that have accept4.
 *
 * Signals   A send never raises SIGPIPE (MSG_NOSIGNAL). A call that a signal interrupts is made
 *           again: none of them blocks, so that this cannot last.
 * Accept    Linux hands a new socket's pending network error to accept (accept(2), "Error
 *           handling"). That connection is lost and the next one is not, so that such errors are
 *           one: -ECONNABORTED.
 * Families  Whether an IPv6 socket serves IPv4 as well is set before each bind, and never left to
 *           the system's default.
 */
#include "address_posix.h"
#include "parts.h"
#include "steer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum {
    SPANS_MAX = 16 /* of one send; what is beyond is not sent, which a caller expects anyway */
};

static int status_of(int result)
{
    return result < 0 ? -errno : 0;
}

static const struct sockaddr *sockaddr_of(const struct gyre__address *address)
{
    return (const struct sockaddr *)(const void *)address->data;
}

/* ---- making sockets -------------------------------------------------------------------------- */

static int make_socket(const struct gyre__address *address, int *ret_fd)
{
    int fd = socket(address->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static int family_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t bytes = sizeof(address);
    return getsockname(fd, (struct sockaddr *)&address, &bytes) == 0 ? address.ss_family : -errno;
}

static int set_flag(int fd, int level, int name, int value)
{
    return status_of(setsockopt(fd, level, name, &value, sizeof(value)));
}

static int set_nodelay(int fd, int value)
{
    int status = set_flag(fd, IPPROTO_TCP, TCP_NODELAY, value);
    return status == -EOPNOTSUPP || status == -ENOPROTOOPT ? 0 : status;
}

static int set_reuseport(int fd, int value)
{
    int family = family_of(fd);
    if (family < 0)
        return family;
    if (family == AF_UNIX) /* some kernels accept the option there, and ignore it */
        return -ENOTSUP;
    int status = set_flag(fd, SOL_SOCKET, SO_REUSEPORT, value);
    return status == -ENOPROTOOPT ? -ENOTSUP : status;
}

static int set_linger_reset(int fd, int value)
{
    struct linger linger = {.l_onoff = value, .l_linger = 0};
    return status_of(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

static int set_option(int fd, enum gyre__socket_option option, int value)
{
    switch (option) {
    case GYRE__SOCKET_NODELAY:
        return set_nodelay(fd, value);
    case GYRE__SOCKET_REUSEADDR:
        return set_flag(fd, SOL_SOCKET, SO_REUSEADDR, value);
    case GYRE__SOCKET_REUSEPORT:
        return set_reuseport(fd, value);
    case GYRE__SOCKET_LINGER_RESET:
        return set_linger_reset(fd, value);
    }
    return -EINVAL;
}

/* IPv4 alone when the address is of IPv4 in IPv6's clothes, both when it is any. */
static bool is_for_ipv4(const struct gyre__address *address)
{
    struct sockaddr_in6 ipv6;
    memcpy(&ipv6, address->data, sizeof(ipv6));
    return (address->flags & GYRE__ADDRESS_DUAL) != 0 || IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr);
}

static int bind_socket(int fd, const struct gyre__address *address)
{
    if (address->family == AF_INET6) {
        int status = set_flag(fd, IPPROTO_IPV6, IPV6_V6ONLY, !is_for_ipv4(address));
        if (status != 0)
            return status;
    }
    return status_of(bind(fd, sockaddr_of(address), (socklen_t)address->bytes));
}

static int listen_socket(int fd, unsigned backlog)
{
    return status_of(listen(fd, backlog < INT_MAX ? (int)backlog : INT_MAX));
}

/* ---- connections ----------------------------------------------------------------------------- */

/* The new connection's fault, not the listener's. */
static bool is_of_connection(int error)
{
    return error == ENETDOWN || error == EPROTO || error == ENOPROTOOPT || error == EHOSTDOWN ||
           error == ENONET || error == EHOSTUNREACH || error == EOPNOTSUPP ||
           error == ENETUNREACH || error == EPERM;
}

static int accept_connection(int fd, int *ret_fd)
{
    int accepted;
    do
        accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    while (accepted < 0 && errno == EINTR);
    if (accepted < 0)
        return is_of_connection(errno) ? -ECONNABORTED : -errno;
    *ret_fd = accepted;
    return 0;
}

static int connect_socket(int fd, const struct gyre__address *address)
{
    int status = status_of(connect(fd, sockaddr_of(address), (socklen_t)address->bytes));
    return status == -EINTR ? -EINPROGRESS : status; /* it goes on by itself (connect(3p)) */
}

static int connect_result(int fd)
{
    int error = 0;
    socklen_t bytes = sizeof(error);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes) < 0)
        return -errno;
    return -error;
}

typedef int name_fn(int fd, struct sockaddr *address, socklen_t *bytes);

static int read_name(int fd, name_fn *fn, struct gyre__address *ret_address)
{
    struct gyre__address address = {0};
    socklen_t bytes = sizeof(address.data);
    if (fn(fd, (struct sockaddr *)(void *)address.data, &bytes) < 0)
        return -errno;
    struct sockaddr name;
    memcpy(&name, address.data, sizeof(name));
    address.bytes = bytes < sizeof(address.data) ? (uint32_t)bytes : (uint32_t)sizeof(address.data);
    address.family = name.sa_family;
    *ret_address = address;
    return 0;
}

/* Notes whether an IPv6 socket that is bound to any address serves IPv4 too. */
static int note_dual(int fd, struct gyre__address *address)
{
    struct sockaddr_in6 ipv6;
    int only = 1;
    socklen_t bytes = sizeof(only);
    if (address->family != AF_INET6)
        return 0;
    memcpy(&ipv6, address->data, sizeof(ipv6));
    if (!IN6_IS_ADDR_UNSPECIFIED(&ipv6.sin6_addr))
        return 0;
    if (getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &bytes) < 0)
        return -errno; /* a guess would have the listener's other sockets serve less, or more */
    if (only == 0)
        address->flags = GYRE__ADDRESS_DUAL;
    return 0;
}

static int local_name(int fd, struct gyre__address *ret_address)
{
    struct gyre__address address = {0};
    int status = read_name(fd, getsockname, &address);
    if (status == 0)
        status = note_dual(fd, &address);
    if (status == 0)
        *ret_address = address;
    return status;
}

static int peer_name(int fd, struct gyre__address *ret_address)
{
    return read_name(fd, getpeername, ret_address);
}

/* ---- bytes ----------------------------------------------------------------------------------- */

static int64_t receive(int fd, void *data, size_t bytes)
{
    ssize_t got;
    do
        got = recv(fd, data, bytes, 0);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : got;
}

static ssize_t send_spans(int fd, const struct gyre__span *spans, unsigned count)
{
    struct iovec parts[SPANS_MAX];
    if (count > SPANS_MAX)
        count = SPANS_MAX;
    for (unsigned i = 0; i < count; i++) {
        /* iovec serves reads as well, and so has no const; a send only reads */
        parts[i].iov_base = (void *)(uintptr_t)spans[i].data;
        parts[i].iov_len = spans[i].bytes;
    }
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

static int64_t send_bytes(int fd, const struct gyre__span *spans, unsigned count)
{
    ssize_t sent;
    do
        sent = count == 1 ? send(fd, spans->data, spans->bytes, MSG_NOSIGNAL)
                          : send_spans(fd, spans, count);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

static int finish(int fd)
{
    return status_of(shutdown(fd, SHUT_WR));
}

static int64_t unsent(int fd)
{
    int bytes;
    int family = family_of(fd);
    if (family < 0)
        return family;
    if (family != AF_INET && family != AF_INET6) /* Unix sockets deliver at once, and never reset */
        return -ENOTSUP;
    if (ioctl(fd, TIOCOUTQ, &bytes) < 0)
        return errno == ENOTTY || errno == EINVAL ? -ENOTSUP : -errno;
    return bytes;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int duplicate(int fd, int *ret_fd)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (copy < 0)
        return -errno;
    *ret_fd = copy;
    return 0;
}

/* Between the look and the deed somebody may put another file there: whoever may write to the
 * directory could as well have removed the socket. */
static int unlink_path(const char *path)
{
    struct stat stat;
    if (lstat(path, &stat) < 0)
        return -errno;
    return S_ISSOCK(stat.st_mode) ? status_of(unlink(path)) : -ENOTSOCK;
}

static int set_mode(const char *path, unsigned mode)
{
    return status_of(chmod(path, (mode_t)mode));
}

static int reserve(int *ret_fd)
{
    int fd = open("/dev/null", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    *ret_fd = fd;
    return 0;
}

static void close_fd(int fd)
{
    (void)close(fd); /* the number is free even after an error (close(2), Linux and the BSDs) */
}

const struct gyre__descriptors gyre__descriptors_posix = {
    .parse = gyre__posix_parse,
    .format = gyre__posix_format,
    .is_unix = gyre__posix_is_unix,
    .path = gyre__posix_path,
    .socket = make_socket,
    .set_option = set_option,
    .bind = bind_socket,
    .listen = listen_socket,
    .accept = accept_connection,
    .connect = connect_socket,
    .connect_result = connect_result,
    .local_name = local_name,
    .peer_name = peer_name,
    .receive = receive,
    .send = send_bytes,
    .finish = finish,
    .unsent = unsent,
    .steer_away = gyre__steer_away,
    .duplicate = duplicate,
    .unlink = unlink_path,
    .set_mode = set_mode,
    .reserve = reserve,
    .close = close_fd,
};
