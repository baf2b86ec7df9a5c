/* SPDX-License-Identifier: MIT */
/*
 * listener - an address served by all loops of a set.
 *
 * TCP       One SO_REUSEPORT socket a loop, all bound by the caller in the order of the loops; a
 *           connection stays on the loop that accepted it.
 * Unix      One socket, shared by the loops (the system refuses SO_REUSEPORT there). Its file is
 *           removed at the end by name, whoever has made it anew meanwhile.
 * Full      Without descriptors, accepting backs off (10 ms, doubling up to 500 ms) and connections
 *           wait in the backlog; each time the longest wait has passed, the oldest of them is
 *           refused through a descriptor kept in reserve, so that a peer learns of it.
 * Stop      Steers new connections away, accepts what had arrived before, then closes: no handshake
 *           that was under way is lost.
 */
#ifndef GYRE_LISTENER_H
#define GYRE_LISTENER_H

#include <gyre/base.h>
#include <gyre/loop.h>
#include <gyre/runtime.h>
#include <gyre/stream.h>

GYRE_BEGIN_DECLS

struct gyre_listener;

/*
 * Gets a new connection, on the loop that accepted it. It owns the stream unless it returns a
 * negative errno: then the library resets the stream, which must not have been closed, and reports
 * the error.
 */
typedef int gyre_accept_fn(struct gyre_stream *stream, void *arg);

struct gyre_listener_options {
    size_t size; /* of this struct */
    unsigned backlog; /* 4096, cut by the system's own limit */
    unsigned accepts_max; /* in one turn of a loop; 64 */
    uint64_t drain_ns; /* how long stop waits for handshakes under way; 200 ms */
    unsigned unix_mode; /* permissions of a Unix socket's path; 0666 */
    bool share; /* join a TCP address that another process serves already */
};

/*
 * Fills in the defaults.
 *
 * Threads:  any.
 */
GYRE_API void gyre_listener_options_init(struct gyre_listener_options *options) GYRE_ANY_THREAD;

/*
 * Listens at `address` on every loop of `runtime`; `accept` gets the connections, in the caller's
 * context.
 *
 * Threads:  any.
 * Blocks:   for a name, as long as the system's resolver does; otherwise never.
 * Lifetime: the listener is the caller's until it calls stop or close, one of them and once, be it
 *           after the loops have closed.
 * Errors:   -EADDRINUSE: the address is served, here or by another process, or the path is taken;
 *           -EADDRNOTAVAIL; -EAGAIN: the resolver failed for now; -EACCES; -ENOENT: no such
 *           directory; -EINVAL: not an address, or an option is out of its range; -ENAMETOOLONG;
 *           -EMFILE, -ENFILE, -ENOBUFS, -ENOMEM; -ESHUTDOWN: a loop has closed; or another of the
 *           system's. `accept` is not called then.
 */
GYRE_API GYRE_MUST_CHECK int gyre_listener_open(struct gyre_runtime *runtime, const char *address,
                                                const struct gyre_listener_options *options,
                                                struct gyre_listener **ret_listener,
                                                gyre_accept_fn *accept, void *arg) GYRE_ANY_THREAD;

/*
 * As gyre_listener_open, for loops that the caller runs.
 *
 * Threads:  any.
 * Errors:   as for gyre_listener_open.
 * Limits:   1 to GYRE_LOOPS_MAX loops.
 */
GYRE_API GYRE_MUST_CHECK int gyre_listener_open_on(struct gyre_loop *const loops[], unsigned count,
                                                   const char *address,
                                                   const struct gyre_listener_options *options,
                                                   struct gyre_listener **ret_listener,
                                                   gyre_accept_fn *accept, void *arg)
    GYRE_ANY_THREAD;

/*
 * Writes the address that is listened at, with the port that the system chose if 0 was asked for.
 *
 * Threads:  any.
 * Errors:   -EINVAL: `bytes` is too small; GYRE_ADDRESS_MAX always suffices.
 */
GYRE_API GYRE_MUST_CHECK int gyre_listener_address(const struct gyre_listener *listener, char *text,
                                                   size_t bytes) GYRE_ANY_THREAD;

/*
 * Stops listening without losing a connection, as described above; then calls `done`, if not NULL,
 * on the loop that finishes last.
 *
 * Threads:  any; once for a listener, or gyre_listener_close instead.
 * Blocks:   never.
 * Lifetime: the listener is the library's from this call on. `accept` can still be called until
 *           `done` is: once, with 0, or with -ECANCELED if that last loop closed first. If all
 *           loops had closed before this call, `done` is called inside it. In a child process the
 *           copies of a parent's descriptors are closed, at once: the parent goes on to listen, its
 *           path stays, and `done` is not called.
 */
GYRE_API void gyre_listener_stop(struct gyre_listener *listener, gyre_fn *done, void *arg)
    GYRE_ANY_THREAD;

/*
 * Stops listening at once: connections in the backlog are reset. Otherwise as gyre_listener_stop.
 *
 * Threads:  as for gyre_listener_stop; one or the other, once.
 * Blocks:   never.
 * Lifetime: as for gyre_listener_stop.
 */
GYRE_API void gyre_listener_close(struct gyre_listener *listener, gyre_fn *done, void *arg)
    GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
