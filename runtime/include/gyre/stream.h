/* SPDX-License-Identifier: MIT */
/*
 * stream - a connection: bytes in order both ways, bounded, with back-pressure.
 *
 * States    connecting -> open -> closed. Each direction of an open stream ends by itself: ours
 *           with finish, the peer's with `ended`. A stream that has failed (ended with an error)
 *           can only be closed.
 * Reading   `received` gets bytes as they come. Those that it does not use are kept, at most 64
 *           KiB, and offered again with new data or on resume; while that is full, nothing is read.
 * Writing   write takes what fits into 64 KiB and says how much; `drained` tells when all of it has
 *           left after a write that took less than it was given. Writes made inside `received`
 *           leave together when it returns.
 * Memory    An idle stream holds no buffer.
 * Threads   A stream belongs to one loop, and so do all its functions and events.
 * Closing   gyre_stream_close is synchronous: no event comes after it. Calls on a stream after that
 *           are the user's mistake. A stream that has failed is still to be closed, also one that
 *           failed because its loop closed: at any time then, even after the loop's last release.
 */
#ifndef GYRE_STREAM_H
#define GYRE_STREAM_H

#include <gyre/base.h>
#include <gyre/loop.h>

GYRE_BEGIN_DECLS

struct gyre_relay;
struct gyre_stream;

enum gyre_stream_limits {
    GYRE_STREAM_BUFFER = 65536 /* bytes kept a direction: one full receive, and what a send takes */
};

/* What happens to a stream. Any of them may be NULL, and each may close the stream. */
struct gyre_stream_events {
    /* The connect has succeeded. Accepted streams are open from the start: it is not called. */
    void (*opened)(struct gyre_stream *stream, void *arg);
    /* `bytes` bytes are at `data`, until it returns. *ret_used, `bytes` at first, says how many of
     * them are done with. Should it run the loop, the stream receives nothing meanwhile. */
    void (*received)(struct gyre_stream *stream, const void *data, size_t bytes, size_t *ret_used,
                     void *arg);
    /* 0: the peer finished; bytes kept are void, writing goes on. Negative: the stream has failed:
     * -ECONNRESET the peer reset it, -ETIMEDOUT a timeout passed, -ECANCELED the loop closes, else
     * what the connect or the system reported. Comes at most once with 0 and once with an error,
     * and nothing after an error. */
    void (*ended)(struct gyre_stream *stream, int status, void *arg);
    /* There is room again after a write that was cut short; or all has left after a finish that
     * found bytes waiting. */
    void (*drained)(struct gyre_stream *stream, void *arg);
};

struct gyre_connect_options {
    size_t size; /* of this struct */
    uint64_t timeout_ns; /* for name and handshake together, 0: the system's; 10 s */
};

/*
 * Fills in the defaults.
 *
 * Threads:  any.
 */
GYRE_API void gyre_connect_options_init(struct gyre_connect_options *options) GYRE_ANY_THREAD;

/*
 * Connects to `address`. A name is resolved off the loop, and its addresses are tried in turn. The
 * outcome is `opened` or `ended`, never inside this call.
 *
 * Threads:  the loop's.
 * Blocks:   never.
 * Errors:   -EINVAL, -ENAMETOOLONG: not an address; -EPERM: not the owner; -ESHUTDOWN; -EMFILE,
 *           -ENFILE; -ENOMEM; -EAGAIN: too many names are being resolved. There is no stream then.
 */
GYRE_API GYRE_MUST_CHECK int gyre_stream_connect(struct gyre_loop *loop, const char *address,
                                                 const struct gyre_connect_options *options,
                                                 struct gyre_stream **ret_stream,
                                                 const struct gyre_stream_events *events, void *arg)
    GYRE_ON_LOOP;

/*
 * Sets who gets the stream's events, NULL: nobody; they run in the caller's context. An accepted
 * stream reads nothing before this. Bytes kept are offered to the new receiver, in the next turn at
 * the latest; a failure that came before anybody was bound is told then, too.
 *
 * Threads:  the loop's.
 * Lifetime: `events` must outlive the stream; it is usually static.
 */
GYRE_API void gyre_stream_bind(struct gyre_stream *stream, const struct gyre_stream_events *events,
                               void *arg) GYRE_ON_LOOP;

/*
 * Fails the stream with -ETIMEDOUT when, for the given time, nothing was received while reading
 * (`read_ns`), or nothing left while bytes waited to (`write_ns`). 0 is no timeout, as at first.
 *
 * Threads:  the loop's.
 * Errors:   -ENOMEM: the timeouts are as they were; -EPIPE: the stream has failed; -EPERM.
 * Limits:   a write timeout may fire up to an eighth late: it is not re-armed on each byte.
 */
GYRE_API GYRE_MUST_CHECK int gyre_stream_set_timeouts(struct gyre_stream *stream, uint64_t read_ns,
                                                      uint64_t write_ns) GYRE_ON_LOOP;

/*
 * Writes. *ret_taken is how many of the bytes were sent or copied; if that is less than `bytes`,
 * `drained` will tell when to go on.
 *
 * Threads:  the loop's.
 * Blocks:   never.
 * Errors:   -ENOTCONN: not open yet; -EPIPE: finished, or the stream has failed; -ENOMEM: nothing
 *           was taken; -EPERM: not the owner. A failure of the system's comes as `ended`, not here.
 */
GYRE_API GYRE_MUST_CHECK int gyre_stream_write(struct gyre_stream *stream, const void *data,
                                               size_t bytes, size_t *ret_taken) GYRE_ON_LOOP;

/*
 * Stops reading: `received` and `ended` with 0 do not come until resume.
 *
 * Threads:  the loop's.
 */
GYRE_API void gyre_stream_pause(struct gyre_stream *stream) GYRE_ON_LOOP;

/*
 * Reads again; bytes kept are offered in the next turn at the latest.
 *
 * Threads:  the loop's.
 */
GYRE_API void gyre_stream_resume(struct gyre_stream *stream) GYRE_ON_LOOP;

/*
 * Ends our direction: the peer reads its end after everything written. Reading goes on. A second
 * finish is harmless; one before the stream is open takes effect then.
 *
 * Returns how many of the bytes written have not left yet. If there are any, `drained` comes when
 * all have; a close before that drops them.
 *
 * Threads:  the loop's.
 */
GYRE_API size_t gyre_stream_finish(struct gyre_stream *stream) GYRE_ON_LOOP;

/*
 * Closes the stream; what was written and has not left is dropped (to have it delivered: finish,
 * and close once the peer has ended and nothing waits). No event comes after this. NULL is ignored.
 *
 * Threads:  the loop's.
 * Lifetime: the stream is gone. In a child process only the copy of a parent's descriptor is
 *           closed: the connection lives on, and the memory until the process ends.
 */
GYRE_API void gyre_stream_close(struct gyre_stream *stream) GYRE_ON_LOOP;

/*
 * As gyre_stream_close, and the peer of a TCP stream sees a reset.
 *
 * Threads:  the loop's.
 * Lifetime: the stream is gone.
 */
GYRE_API void gyre_stream_reset(struct gyre_stream *stream) GYRE_ON_LOOP;

/*
 * The loop of the stream.
 *
 * Threads:  the loop's.
 */
GYRE_API struct gyre_loop *gyre_stream_loop(const struct gyre_stream *stream) GYRE_ON_LOOP;

/*
 * Writes the peer's address.
 *
 * Threads:  the loop's.
 * Errors:   -ENOTCONN: not open; -EINVAL: `bytes` is too small; GYRE_ADDRESS_MAX always suffices;
 *           -EPERM: not the owner; what the system says of a connection that is gone.
 */
GYRE_API GYRE_MUST_CHECK int gyre_stream_peer(const struct gyre_stream *stream, char *text,
                                              size_t bytes) GYRE_ON_LOOP;

/* How a relay ended. */
struct gyre_relay_result {
    int status; /* 0: both directions ended; -ECONNRESET, -ETIMEDOUT, -ECANCELED, ... */
    uint64_t bytes[2]; /* sent from `a` to `b` and from `b` to `a`, with what was buffered before */
};

typedef void gyre_relay_fn(struct gyre_loop *loop, const struct gyre_relay_result *result,
                           void *arg);

struct gyre_relay_options {
    size_t size; /* of this struct */
    /* Without a byte either way the relay ends with -ETIMEDOUT; 0: never. One that a peer takes of
     * what the system holds for it counts, too; a peer that stops taking ends within twice this. */
    uint64_t idle_ns;
    /* May be NULL: counts bytes sent on in direction 0 or 1 as it happens; gets relay's arg. */
    void (*progress)(void *arg, int direction, size_t bytes);
};

/*
 * Fills in the defaults.
 *
 * Threads:  any.
 */
GYRE_API void gyre_relay_options_init(struct gyre_relay_options *options) GYRE_ANY_THREAD;

/*
 * Joins two open streams of one loop: what one receives the other sends, with back-pressure (at
 * most GYRE_STREAM_BUFFER bytes a direction, none while idle), half-close as half-close and reset
 * as reset. Bytes that a stream keeps unread are sent on first. Afterwards both streams are closed,
 * or reset if the relay ended with an error, and `done`, which may be NULL and is never called
 * inside this call, gets the result once. It runs in the caller's context, and so does `progress`.
 *
 * Threads:  the loop's.
 * Order:    bytes that came before a reset are sent on before it; those that the system has not
 *           delivered 50 ms later are lost, as a reset has it.
 * Lifetime: the streams, and their events, are the library's from this call on, and their timeouts
 *           are void. With an error they are still the caller's.
 * Errors:   -EINVAL: one stream twice, or of two loops; -ENOTCONN: one is not open; -EPIPE: one has
 *           failed or was finished; -ENOMEM; -EPERM: not the owner.
 */
GYRE_API GYRE_MUST_CHECK int gyre_stream_relay(struct gyre_stream *a, struct gyre_stream *b,
                                               const struct gyre_relay_options *options,
                                               struct gyre_relay **ret_relay, gyre_relay_fn *done,
                                               void *arg) GYRE_ON_LOOP;

/*
 * Ends a relay now: both streams are reset, and done gets -ECANCELED before this returns.
 *
 * Threads:  the loop's.
 * Lifetime: the relay is gone once done has been called, here or otherwise.
 */
GYRE_API void gyre_relay_cancel(struct gyre_relay *relay) GYRE_ON_LOOP;

GYRE_END_DECLS

#endif
