/* SPDX-License-Identifier: MIT */
/*
 * error - the errors that gyre returns, in one list: name, number, sentence.
 *
 * They are errno values, negated where a function returns one. An errno of the system's that is not
 * in the list can be returned too, by the functions that say so.
 */
#ifndef GYRE_ERROR_H
#define GYRE_ERROR_H

#include <errno.h>
#include <gyre/base.h>

/* clang-format off */
#define GYRE_ERRORS(X)                                                                     \
    X(EACCES,        "the system does not allow it to this user")                          \
    X(EAGAIN,        "a limit is reached for now: nothing was queued, try later")          \
    X(EALREADY,      "it has happened: a future is resolved once")                         \
    X(EBADF,         "the descriptor is not open")                                         \
    X(EBUSY,         "the object is in a state that excludes this call")                   \
    X(ECHILD,        "the loop is a parent process's")                                     \
    X(ECANCELED,     "the loop closed, or the operation was cancelled, first")             \
    X(ECONNREFUSED,  "nobody listens at the address")                                      \
    X(ECONNRESET,    "the peer reset the connection")                                      \
    X(EADDRINUSE,    "the address is already served")                                      \
    X(EADDRNOTAVAIL, "the address is not one of this machine, or does not resolve")        \
    X(EDEADLK,       "the call would wait for its own thread")                             \
    X(EEXIST,        "the descriptor is registered already")                               \
    X(EINPROGRESS,   "the result is not there yet")                                        \
    X(EINVAL,        "an argument is out of its range")                                    \
    X(EMFILE,        "the process has no descriptor left")                                 \
    X(ELOOP,         "poll sets would watch each other, or too many one another in a row") \
    X(ENAMETOOLONG,  "the address or path is too long")                                    \
    X(ENFILE,        "the system has no descriptor left")                                  \
    X(ENOBUFS,       "the system has no memory for the network left")                      \
    X(ENOENT,        "no such registration, timer or name")                                \
    X(ENOMEM,        "no memory")                                                          \
    X(ENOSPC,        "a limit of the system's on what may be watched is reached")          \
    X(ENOTCONN,      "the stream is not open")                                             \
    X(ENOTSUP,       "the backend or system lacks this capability")                        \
    X(EPERM,         "the caller is not the owner, or the descriptor cannot be polled")    \
    X(EPIPE,         "the sending side is closed")                                         \
    X(ESHUTDOWN,     "the loop or runtime has closed")                                     \
    X(ETIMEDOUT,     "the time allowed has passed")
/* clang-format on */

GYRE_BEGIN_DECLS

/*
 * The name of an error of gyre's list ("EAGAIN"), or NULL for another number. Takes either sign.
 *
 * Threads:  any.
 * Lifetime: static.
 */
GYRE_API const char *gyre_error_name(int error) GYRE_ANY_THREAD;

/*
 * A sentence for an error: the list's, else "unknown error". Takes either sign.
 *
 * Threads:  any.
 * Lifetime: static.
 */
GYRE_API const char *gyre_error_text(int error) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
