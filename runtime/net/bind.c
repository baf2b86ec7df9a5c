/* SPDX-License-Identifier: MIT */
/*
 * bind - the sockets of a listener: one a loop, or one for all.
 *
 * Ports    With SO_REUSEPORT, bound and listening in the order of the loops: the first chooses the
 *          port if 0 was asked for. Bound so, a second server of the same user joins silently; so a
 *          socket without it is bound first, to find out whether the address is served, and closed
 *          again. Two servers that begin in the same moment can both find it free.
 * Paths    The system refuses SO_REUSEPORT: one socket, a duplicate for each loop. A path that is
 *          in use is tried by connecting: if nobody listens, its server died and left the file,
 *          which goes. The permissions are set before listening: nobody gets in earlier.
 * Others   Abstract names, and systems without SO_REUSEPORT, share one socket likewise.
 */
#include <gyre/error.h>

#include "net/listener.h"

static void close_all(struct gyre_listener *listener)
{
    for (unsigned i = 0; i < listener->count; i++) {
        if (listener->parts[i].fd >= 0)
            listener->descriptors->close(listener->parts[i].fd);
        listener->parts[i].fd = -1;
    }
}

/* ---- ports and abstract names ---------------------------------------------------------------- */

/* A socket that is bound but does not listen. */
static int make_socket(const struct gyre_listener *listener, bool reuse_port, int *ret_fd)
{
    const struct gyre__descriptors *descriptors = listener->descriptors;
    int fd;
    int r = descriptors->socket(&listener->address, &fd);
    if (r != 0)
        return r;
    /* Connections of an earlier server that linger must not keep the next one out. */
    r = descriptors->set_option(fd, GYRE__SOCKET_REUSEADDR, 1);
    if (r == 0 && reuse_port)
        r = descriptors->set_option(fd, GYRE__SOCKET_REUSEPORT, 1);
    if (r == 0)
        r = descriptors->bind(fd, &listener->address);
    if (r != 0) {
        descriptors->close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

/* Makes the other parts' descriptors duplicates of the first one's. */
static int share(struct gyre_listener *listener)
{
    int r = 0;
    listener->shared = listener->count > 1;
    for (unsigned i = 1; i < listener->count && r == 0; i++)
        r = listener->descriptors->duplicate(listener->parts[0].fd, &listener->parts[i].fd);
    return r;
}

/* The first socket, which tells the others the port. */
static int bind_first(struct gyre_listener *listener, bool *ret_reuse_port)
{
    struct gyre__part *first = &listener->parts[0];
    *ret_reuse_port = true;
    int r = make_socket(listener, true, &first->fd);
    if (r == -ENOTSUP) {
        *ret_reuse_port = false;
        r = make_socket(listener, false, &first->fd);
    }
    return r != 0 ? r : listener->descriptors->local_name(first->fd, &listener->address);
}

static int bind_port(struct gyre_listener *listener)
{
    const struct gyre__descriptors *descriptors = listener->descriptors;
    bool reuse_port;
    int fd;
    int r = listener->options.share ? 0 : make_socket(listener, false, &fd);
    if (r != 0)
        return r;
    if (!listener->options.share)
        descriptors->close(fd);
    r = bind_first(listener, &reuse_port);
    for (unsigned i = 1; i < listener->count && r == 0 && reuse_port; i++)
        r = make_socket(listener, true, &listener->parts[i].fd);
    if (r == 0 && !reuse_port)
        r = share(listener);
    unsigned sockets = reuse_port ? listener->count : 1;
    for (unsigned i = 0; i < sockets && r == 0; i++)
        r = descriptors->listen(listener->parts[i].fd, listener->options.backlog);
    return r;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* 0 if the file belongs to a server that is gone; -EADDRINUSE: it is served, or not for us to know;
 * else why that could not be found out. */
static int check_stale(const struct gyre_listener *listener)
{
    const struct gyre__descriptors *descriptors = listener->descriptors;
    int fd;
    int r = descriptors->socket(&listener->address, &fd);
    if (r != 0)
        return r;
    r = descriptors->connect(fd, &listener->address);
    descriptors->close(fd);
    if (r == -ECONNREFUSED)
        return 0;
    return r == -ENOMEM || r == -ENOBUFS ? r : -EADDRINUSE;
}

/* Binds in place of a server that is gone, too. */
static int bind_over(const struct gyre_listener *listener, int fd, const char *path)
{
    const struct gyre__descriptors *descriptors = listener->descriptors;
    int r = descriptors->bind(fd, &listener->address);
    if (r != -EADDRINUSE)
        return r;
    r = check_stale(listener);
    if (r != 0)
        return r;
    r = descriptors->unlink(path);
    if (r != 0 && r != -ENOENT)
        return -EADDRINUSE; /* it is no socket, or not ours to remove */
    return descriptors->bind(fd, &listener->address);
}

static int bind_path(struct gyre_listener *listener, const char *path)
{
    const struct gyre__descriptors *descriptors = listener->descriptors;
    int *fd = &listener->parts[0].fd;
    int r = descriptors->socket(&listener->address, fd);
    if (r == 0)
        r = bind_over(listener, *fd, path);
    if (r != 0)
        return r;
    /* relaxed: the parts are posted later, which publishes it */
    atomic_store_explicit(&listener->linked, true, memory_order_relaxed);
    r = descriptors->set_mode(path, listener->options.unix_mode);
    if (r == 0)
        r = descriptors->listen(*fd, listener->options.backlog);
    return r != 0 ? r : share(listener);
}

int gyre__listener_bind(struct gyre_listener *listener)
{
    const char *path = listener->descriptors->path(&listener->address);
    listener->shared = false;
    int r = path != NULL ? bind_path(listener, path) : bind_port(listener);
    if (r != 0) {
        close_all(listener);
        gyre__listener_unlink(listener);
    }
    return r;
}
