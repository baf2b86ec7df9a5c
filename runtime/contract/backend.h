/* SPDX-License-Identifier: MIT */
/*
 * backend - what the runtime demands of a system of I/O: readiness, operations, waker, descriptors.
 *
 * What      Tables of functions that a backend fills; a rule for each slot. The runtime picks a
 *           backend by name (gyre__backend_find), and a waker (gyre__waker_find), and never asks
 *           which one it has, only what it can do.
 * Upward    A backend knows of the runtime what stands under "host" at the end: how to watch a
 *           descriptor in the loop's one table, and where completions go.
 * Identity  An event is matched by descriptor and generation, which travel in its 64-bit datum; a
 *           backend hands the datum back as it came and never looks inside.
 * Threads   A poller belongs to its loop's owner. A waker's signal is for any thread and for signal
 *           handlers. Descriptor functions are for any thread.
 * Errors    Negative errno everywhere.
 */
#ifndef GYRE_CONTRACT_BACKEND_H
#define GYRE_CONTRACT_BACKEND_H

#include <gyre/base.h>
#include <gyre/loop.h>

struct gyre__backend;
struct gyre__port;

/* ---- readiness ------------------------------------------------------------------------------- */

struct gyre__poller;

struct gyre__event {
    uint64_t datum;
    uint32_t events; /* enum gyre_event */
    uint32_t reserved;
};

enum gyre__capability {
    GYRE__CAP_EXCLUSIVE = 2, /* add takes GYRE__EXCLUSIVE */
    GYRE__CAP_FORGETS = 4 /* closing fd is enough, if nothing else keeps its file open: the poller
                           * has forgotten it then, whatever the number stands for next */
};

/* A bit that add takes beyond the users', with its capability. The value is epoll's. */
enum gyre__event_bit {
    GYRE__EXCLUSIVE = 1 << 28 /* of several pollers, wake one; add only, never update */
};

struct gyre__readiness {
    /* Makes a poller, close-on-exec. */
    int (*create)(struct gyre__poller **ret_poller);

    /* Frees a poller; NULL is ignored. The descriptors it watched stay open. */
    void (*destroy)(struct gyre__poller *poller);

    /* A descriptor of the poller's own that is readable while wait would report something, for a
     * foreign loop to watch: the same file each time, as long as the poller lives. NULL where a
     * poller has none. -EMFILE, -ENFILE, -ENOMEM. */
    int (*descriptor)(struct gyre__poller *poller, int *ret_fd);

    /* Watches fd, level-triggered; errors and hang-ups always. -EEXIST: fd is watched, and that
     * stays; -EBADF: closed; -EPERM: cannot be polled; -ENOMEM, -ENOSPC. */
    int (*add)(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum);

    /* Replaces events and datum. -ENOENT: fd is not watched, or was closed meanwhile. */
    int (*update)(struct gyre__poller *poller, int fd, uint32_t events, uint64_t datum);

    /* Forgets fd. -ENOENT: it was not watched, or was closed meanwhile; if something else keeps the
     * file open, its events may come on until reset. In any case the number can be added. */
    int (*remove)(struct gyre__poller *poller, int fd);

    /* Forgets everything, also what remove could not. The caller adds anew what it wants. */
    int (*reset)(struct gyre__poller *poller);

    /* Waits for at most `timeout_ns`, never less (GYRE_NEVER: without limit; rounded up to what the
     * system can do). Fills `events` in the order reported and returns their number, 0 at the
     * timeout. What did not fit comes with the next call; no descriptor starves. What was closed is
     * not reported, nor what its number stands for next, unless a duplicate keeps its file open.
     * -EINTR: a signal came; -ENOSPC: the system does not wait for so many. */
    int (*wait)(struct gyre__poller *poller, uint64_t timeout_ns, struct gyre__event *events,
                unsigned events_max);
};

/* ---- waker ----------------------------------------------------------------------------------- */

/* A bell that makes a poller return, of a kind that the loop's options choose: any kind goes with
 * any backend. Its life is the loop's memory's, so that nobody writes to a recycled number. */
struct gyre__waker {
    int read_fd;
    int write_fd;
};

struct gyre__waker_kind {
    const char *name;

    /* Each ring makes an edge, also if the bell was never silenced since the last: a poller that
     * watches it edge-triggered never needs to. */
    bool edge_each;

    /* Both ends non-blocking and close-on-exec. */
    int (*create)(struct gyre__waker *ret_waker);
    void (*destroy)(struct gyre__waker *waker);

    /* Rings. Async-signal-safe, keeps errno; a bell that rings already is enough. */
    void (*signal)(const struct gyre__waker *waker);

    /* Silences it. A ring at the same time is silenced with the others, or rings on. */
    void (*drain)(const struct gyre__waker *waker);
};

/* ---- descriptors ----------------------------------------------------------------------------- */

/* An address of the system's, opaque to the runtime. */
struct gyre__address {
    uint32_t bytes; /* used of data */
    uint16_t family;
    uint16_t flags; /* the descriptors' own */
    _Alignas(8) unsigned char data[128];
};

enum gyre__socket_option {
    GYRE__SOCKET_NODELAY, /* quietly nothing on what is not TCP */
    GYRE__SOCKET_REUSEADDR,
    GYRE__SOCKET_REUSEPORT, /* -ENOTSUP where there is none, or on a Unix socket */
    GYRE__SOCKET_LINGER_RESET /* close sends a reset */
};

struct gyre__span {
    const void *data;
    size_t bytes;
};

/* Functions that make a descriptor make it non-blocking and close-on-exec, in the same call where
 * the system can. -EINTR never comes out. */
struct gyre__descriptors {
    /* Text to address, numeric or Unix. -EINVAL: it is neither (a name, perhaps); -ENAMETOOLONG. */
    int (*parse)(const char *text, struct gyre__address *ret_address);

    /* Address to text, in the form that parse takes. -EINVAL: it does not fit. */
    int (*format)(const struct gyre__address *address, char *text, size_t bytes);

    /* Whether it is of the Unix domain; its path in the file system, NULL if it has none there. */
    bool (*is_unix)(const struct gyre__address *address);
    const char *(*path)(const struct gyre__address *address);

    /* A stream socket of the address's family. */
    int (*socket)(const struct gyre__address *address, int *ret_fd);

    int (*set_option)(int fd, enum gyre__socket_option option, int value);
    int (*bind)(int fd, const struct gyre__address *address);
    int (*listen)(int fd, unsigned backlog);

    /* -EAGAIN: none waits; -ECONNABORTED: one waited and was gone, or brought an error of its
     * own. */
    int (*accept)(int fd, int *ret_fd);

    /* 0: connected; -EINPROGRESS: writable when decided, and connect_result then tells. -EAGAIN:
     * the backlog of a Unix socket is full, which nothing announces the end of. */
    int (*connect)(int fd, const struct gyre__address *address);
    int (*connect_result)(int fd);

    int (*local_name)(int fd, struct gyre__address *ret_address);
    int (*peer_name)(int fd, struct gyre__address *ret_address);

    /* Bytes moved, 0 at the end of a read, or an error; -EAGAIN: it would block. Never SIGPIPE. */
    int64_t (*receive)(int fd, void *data, size_t bytes);
    int64_t (*send)(int fd, const struct gyre__span *spans, unsigned count);

    /* Ends the sending direction. */
    int (*finish)(int fd);

    /* Bytes sent that the peer's system has not acknowledged: a reset would discard them.
     * -ENOTSUP. */
    int64_t (*unsent)(int fd);

    /* Keeps new connections away from a listening socket, while handshakes under way are completed.
     * -ENOTSUP: the system cannot. */
    int (*steer_away)(int fd);

    /* Another descriptor of the same file, for a socket that several loops watch. */
    int (*duplicate)(int fd, int *ret_fd);

    /* Removes the file of a Unix socket. -ENOTSOCK: it is something else, which stays. */
    int (*unlink)(const char *path);
    int (*set_mode)(const char *path, unsigned mode);

    /* A descriptor of no use but to be closed when there is none left. */
    int (*reserve)(int *ret_fd);

    void (*close)(int fd);
};

/* ---- operations ------------------------------------------------------------------------------ */

/*
 * A channel is one descriptor under operations: at most one inbound (accept, receive) and one
 * outbound (connect, send) at a time, and in the end the close. It is embedded in its user's
 * object, which must live until close has completed.
 *
 *   IDLE --submit--> ACTIVE --completion--> IDLE         (accept and receive: ACTIVE until the last
 *   one)
 *                    ACTIVE --cancel--> CANCELLING --completion, -ECANCELED--> IDLE
 *
 * Completions   Exactly one that is the last, also after cancel; never inside the call that
 *               submitted or cancelled the operation. They run on the loop's thread, among the
 *               handlers. When the last one's function is called the operation is IDLE: it may be
 *               submitted again.
 * Streams       accept and receive go on completing (result > 0, or a descriptor) until stopped: by
 *               cancel, by gyre__operation_stop from inside a completion (no further one comes), or
 *               by the last result (receive: 0 at the end, an error; accept: an error).
 * Memory        What was lent (the address of connect, the spans of send) is the library's until
 *               the last completion. A receive's data is the loop's, and valid until the function
 *               returns.
 */
struct gyre__channel;
struct gyre__operation;

/* `data` is a receive's bytes, else NULL. */
typedef void gyre__operation_fn(struct gyre__channel *channel, struct gyre__operation *operation,
                                int64_t result, void *data);

enum gyre__operation_kind {
    GYRE__OP_NONE,
    GYRE__OP_ACCEPT, /* result: a descriptor */
    GYRE__OP_RECEIVE, /* result: bytes at data, 0 at the end */
    GYRE__OP_CONNECT, /* result: 0 */
    GYRE__OP_SEND, /* result: bytes sent, all of them unless an error came first */
    GYRE__OP_CLOSE /* result: 0 */
};

enum gyre__operation_state {
    GYRE__OP_IDLE, /* the user's */
    GYRE__OP_ACTIVE, /* the backend's */
    GYRE__OP_CANCELLING /* the backend's, with -ECANCELED queued or on its way */
};

struct gyre__operation {
    struct gyre__operation *next; /* among the completions that wait */
    gyre__operation_fn *fn;
    union {
        struct gyre__span span; /* of a send: what is left */
        unsigned accepts_max; /* of an accept: completions a turn */
        uint32_t receive_max; /* of a receive: bytes of a completion, 0: GYRE_STREAM_BUFFER. Its
                               * user sets it, at any time between attach and close */
    } u;
    int64_t result; /* while a completion waits; bytes sent so far of a send */
    uint8_t kind;
    uint8_t state;
    bool queued; /* its completion waits */
    bool stopped; /* gyre__operation_stop was called */
    bool running; /* of a receive: inside its function */
};

/*
 * What a channel's user learns without an operation of its own. -ECANCELED: the loop closes, after
 * abandon has cancelled what was active; the channel is to be closed. Else: the descriptor has an
 * error (GYRE_ERROR, and connect_result said which) while no operation awaited readiness that would
 * have told; a hang-up alone is none. A later receive need not see that error again, only the end.
 */
typedef void gyre__lost_fn(struct gyre__channel *channel, int error);

struct gyre__channel {
    struct gyre_loop *loop;
    const struct gyre__backend *backend; /* set by its user, before attach */
    struct gyre__operation in;
    struct gyre__operation out;
    struct gyre__operation close; /* never cancelled; completes after the other two */
    gyre__lost_fn *lost; /* may be NULL; set between attach and the first submission */
    int fd; /* -1 once closed */
    uint32_t watched; /* what the poller was told, GYRE_ERROR always among it; 0: nothing */
    uint32_t depth; /* of completions now inside their functions: the close waits for them */
    bool exclusive; /* the file is open elsewhere too: watch with GYRE__EXCLUSIVE where that is a
                     * capability, and unwatch before the close, which would leave the
                     * registration; set between attach and the first submission */
    uint8_t reserved[3];
};

/* The channel that an operation is of: attach has given each a kind of its direction. */
static inline struct gyre__channel *gyre__channel_of(struct gyre__operation *operation)
{
    size_t offset = offsetof(struct gyre__channel, in);
    if (operation->kind == GYRE__OP_CONNECT || operation->kind == GYRE__OP_SEND)
        offset = offsetof(struct gyre__channel, out);
    else if (operation->kind == GYRE__OP_CLOSE)
        offset = offsetof(struct gyre__channel, close);
    return (struct gyre__channel *)(void *)((char *)operation - offset);
}

struct gyre__operations {
    /* Takes fd for operations. The caller has set `backend`, all else is set here. -EBUSY: it has
     * a handler; -ENOMEM. On failure fd is the caller's. */
    int (*attach)(struct gyre__channel *channel, struct gyre_loop *loop, int fd);

    /* Submissions. The operation must be IDLE. They cannot fail: a failure is a completion. A send
     * begins at once, so that it needs no readiness if the system takes all of it. */
    void (*accept)(struct gyre__channel *channel, unsigned accepts_max, gyre__operation_fn *fn);
    void (*receive)(struct gyre__channel *channel, gyre__operation_fn *fn);
    void (*connect)(struct gyre__channel *channel, const struct gyre__address *address,
                    gyre__operation_fn *fn);
    void (*send)(struct gyre__channel *channel, const void *data, size_t bytes,
                 gyre__operation_fn *fn);

    /* Ends an ACTIVE operation with -ECANCELED, unless its last completion was on its way; then
     * that one comes. Nothing on others. */
    void (*cancel)(struct gyre__operation *operation);

    /* Cancels what is active, closes the descriptor at once, and completes `close` with 0 when no
     * other completion of the channel is waiting or running. Once; no submission may follow. */
    void (*close)(struct gyre__channel *channel, gyre__operation_fn *fn);

    /* The loop closes: cancels what is active, then calls `lost` with -ECANCELED (inside enter and
     * leave). The user of the channel then closes it. */
    void (*abandon)(struct gyre__channel *channel);
};

/* Makes the completion that is running the stream's last. Only from inside it. */
static inline void gyre__operation_stop(struct gyre__operation *operation)
{
    operation->stopped = true;
}

/* ---- a backend ------------------------------------------------------------------------------- */

struct gyre__backend {
    const char *name;
    uint32_t capabilities;
    uint32_t events; /* what add and update take beside READ, WRITE and ERROR: PRI, EDGE, ... */

    /* 0, or why this system cannot have it. */
    int (*probe)(void);

    const struct gyre__readiness *readiness;
    const struct gyre__operations *operations;
    const struct gyre__waker_kind *waker; /* the best, unless one is named */
    const struct gyre__descriptors *descriptors;
    const struct gyre__port *port;
};

/* The backend of that name; "auto" is the best one that works. -ENOENT, or what its probe said. */
int gyre__backend_find(const char *name, const struct gyre__backend **ret_backend);

/* Backend number `index`, best first, or NULL past the last. */
const struct gyre__backend *gyre__backend_at(unsigned index);

/* The kind of waker of that name; "auto" is the backend's own. -ENOENT. */
int gyre__waker_find(const char *name, const struct gyre__backend *backend,
                     const struct gyre__waker_kind **ret_kind);

/* Kind of waker number `index`, or NULL past the last. */
const struct gyre__waker_kind *gyre__waker_at(unsigned index);

/* ---- host: what a backend may call of its loop, all on the loop's thread --------------------- */

/* Called with the readiness of a channel's descriptor. It may free the channel. */
typedef void gyre__ready_fn(struct gyre__channel *channel, uint32_t events);

/* Takes the entry of channel->fd in the loop's table, without watching it yet: the first thing that
 * attach does. -EBUSY: the fd has a handler; -ENOMEM; -ESHUTDOWN: the loop has closed. */
int gyre__host_claim(struct gyre__channel *channel, gyre__ready_fn *fn);

/* Whether this is a child, forked inside a function that the loop called: descriptors and poll set
 * are the parent's too, and nothing more is done to them (T112). */
bool gyre__host_is_inherited(const struct gyre_loop *loop);

/* Watches a claimed channel, or replaces its events; errors and hang-ups always come, and
 * GYRE_ERROR alone asks for nothing else. Without the capability, GYRE__EXCLUSIVE is left out. What
 * add said; -ECHILD. */
int gyre__host_watch(struct gyre__channel *channel, uint32_t events);

/* Watches it no longer, and drops events already fetched. It stays claimed. */
void gyre__host_unwatch(struct gyre__channel *channel);

/* Gives the entry back, and drops events already fetched. The fd is closed next: the poller is told
 * only if it does not forget by itself (GYRE__CAP_FORGETS). */
void gyre__host_release(struct gyre__channel *channel);

/* Queues a completion, and marks it as queued. Among the handlers of the next turn, in the order
 * queued, the host takes it off the queue and calls gyre__operation_deliver. */
void gyre__host_complete(struct gyre_loop *loop, struct gyre__operation *operation, int64_t result);

/* A buffer of the loop's to receive into, GYRE_STREAM_BUFFER bytes; NULL: no memory. Each receive
 * has its own, since a completion's function may run the loop. */
void *gyre__host_buffer_take(struct gyre_loop *loop);

/* Gives it back; NULL is ignored. */
void gyre__host_buffer_give(struct gyre_loop *loop, void *buffer);

/* Stand around every completion but the close's: inside its function a nested run may turn the
 * loop, and the channel must not go then. */
static inline void gyre__channel_enter(struct gyre__channel *channel)
{
    channel->depth++;
}

static inline void gyre__channel_leave(struct gyre__channel *channel)
{
    if (--channel->depth == 0 && channel->close.state != GYRE__OP_IDLE && !channel->close.queued)
        gyre__host_complete(channel->loop, &channel->close, 0);
}

/* Runs a completion that was queued. The operation is IDLE from before the call on; only the
 * close's function may free the channel. */
static inline void gyre__operation_deliver(struct gyre__operation *operation)
{
    struct gyre__channel *channel = gyre__channel_of(operation);
    operation->queued = false;
    operation->state = GYRE__OP_IDLE;
    if (operation == &channel->close) {
        operation->fn(channel, operation, operation->result, NULL);
        return;
    }
    gyre__channel_enter(channel);
    operation->fn(channel, operation, operation->result, NULL);
    gyre__channel_leave(channel);
}

#endif
