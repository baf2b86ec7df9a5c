/* SPDX-License-Identifier: MIT */
/*
 * loop - one core's I/O loop: handlers, callbacks and timers, run turn by turn on one thread.
 *
 * A turn     1 take what other threads posted; 2 gather the timers that are due; 3 run the
 *            callbacks queued so far, then those timers; 4 stop if asked; 5 wait in the backend;
 *            6 call the handlers of the descriptors that are ready. What a phase adds runs in a
 *            later turn.
 * Owner      The thread inside gyre_loop_run(). While nobody is inside, any one thread may call
 *            what is the owner's, and the user serialises. The owner's functions check this and
 *            return -EPERM elsewhere, with a log line that names both threads.
 * Lifetime   A loop is reference-counted. Closed is a state: the memory, and the waker, live until
 *            the last release, so that a post is safe for whoever holds a reference.
 * Rules      docs/contract.md; the numbers (T37) name them there and in the tests.
 */
#ifndef GYRE_LOOP_H
#define GYRE_LOOP_H

#include <gyre/base.h>
#include <gyre/signal.h>

GYRE_BEGIN_DECLS

/* Readiness. The values are epoll's, on every backend. */
enum gyre_event {
    GYRE_NONE = 0,
    GYRE_READ = 0x1,
    GYRE_WRITE = 0x4,
    GYRE_ERROR = 0x18, /* error or hang-up: always reported, asked for or not */

    /* What not every backend can (T20): gyre_loop_capabilities says which. */
    GYRE_PRI = 0x2, /* urgent data */
    GYRE_RDHUP = 0x2000, /* the peer sends no more */
    GYRE_ONESHOT = 1 << 30 /* one call, then none, not even for an error, until update_handler */
};

/* With the others: a call when it becomes ready, not while it is. No enumerator: an int has not the
 * bit. */
#define GYRE_EDGE UINT32_C(0x80000000)

/* What makes a new loop its creator's current one (T11). */
enum gyre_make_current {
    GYRE_CURRENT_IF_NONE, /* if the thread has none */
    GYRE_CURRENT_YES, /* or -EBUSY if it has one */
    GYRE_CURRENT_NO
};

enum gyre_close_flags {
    GYRE_CLOSE_ALL_FDS = 1 /* close each descriptor that has a handler, or have its owner do so */
};

/*
 * Closes `fd` for its owner, `arg`: the argument of its handler, which is removed already. Called
 * on the thread that closes the loop, which accepts nothing any more; other handlers may be
 * removed.
 */
typedef void gyre_close_fn(struct gyre_loop *loop, int fd, void *arg);

/* The clock of a loop, in ns. It should not step back; GYRE_NEVER is not a time. */
typedef uint64_t gyre_clock_fn(void *arg);

/*
 * Waits in place of the backend: until `timeout_ns` have passed (GYRE_NEVER: without limit) or the
 * waiter knows of a reason to return. Descriptors are polled right after, without waiting. 0, or a
 * negative errno that ends the run; -EINTR starts a new turn.
 */
typedef int gyre_wait_fn(struct gyre_loop *loop, uint64_t timeout_ns, void *arg);

/* What failed, for the error hook (T75). */
struct gyre_failure {
    enum gyre_failure_kind {
        GYRE_FAILED_CALLBACK,
        GYRE_FAILED_TIMER,
        GYRE_FAILED_HANDLER,
        GYRE_FAILED_SIGNAL, /* a watcher's function */
        GYRE_FAILED_ACCEPT, /* a listener's function, or what it was to be called for */
        GYRE_FAILED_TEARDOWN, /* a runtime's function */
        GYRE_FAILED_FUTURE /* that is watched: it was resolved with the error */
    } kind;
    int error; /* negative errno */
    int fd; /* of a handler or listener, else -1 */
    gyre_fn *fn; /* of a callback or timer, else NULL */
    gyre_handler_fn *handler; /* of a handler, else NULL */
    gyre_signal_fn *signal; /* of a watcher, else NULL */
    void *arg; /* the function's; of a future, the future */
};

/* Called on the loop's thread when a function has returned a negative result. */
typedef void gyre_error_fn(struct gyre_loop *loop, const struct gyre_failure *failure, void *arg);

/* What a loop reads the clock for, beyond what its timers and budgets need: docs/metrics.md. */
enum gyre_timing {
    GYRE_TIMING_NONE, /* nothing: the times of its statistics stay 0, its histograms empty */
    GYRE_TIMING_TURNS, /* its turns, sleeps, timers, and some posts of other threads */
    GYRE_TIMING_CALLS /* and each callback, timer, handler and signal's function */
};

struct gyre_loop_options {
    size_t size; /* of this struct */
    const char *backend; /* "auto", "epoll", "poll", "select"; NULL: what is configured */
    const char *waker; /* "auto", "eventfd", "pipe"; NULL: what is configured */
    enum gyre_make_current make_current;
    uint32_t queue_max; /* callbacks accepted and not yet run, 0: without bound (T56) */
    uint64_t callback_budget_ns; /* for the callbacks of a turn, 0: none; 500 us */
    uint64_t timer_budget_ns; /* for the timers of a turn, 0: none; 500 us */
    uint64_t wait_max_ns; /* longest wait, 3,600 s (T42) */
    gyre_clock_fn *clock; /* NULL: the system's monotonic clock */
    void *clock_arg;
    gyre_wait_fn *wait; /* NULL: the backend's */
    void *wait_arg;
    enum gyre_timing timing;
    gyre_error_fn *on_error; /* NULL: logged, with the function's symbol */
    void *on_error_arg;
};

/*
 * Counters since creation. Each is exact; together they are not one instant's. What is timed is by
 * the loop's clock, and 0 without it (enum gyre_timing): busy_ns and idle_ns are brought up to date
 * by each poll and by the end of a run, and what is under way is not in them.
 */
struct gyre_loop_stats {
    uint64_t turns;
    uint64_t polls; /* calls of the backend's wait */
    uint64_t sleeps; /* those of them that were allowed to wait */
    uint64_t wakes_written; /* writes to the waker: at most one a sleep */
    uint64_t posts; /* taken from other threads */
    uint64_t callbacks; /* run */
    uint64_t timers; /* fired */
    uint64_t timers_live; /* armed now */
    uint64_t timers_cancelled; /* stopped or cancelled while armed, or ended by the loop's close */
    uint64_t events; /* handed to handlers */
    uint64_t events_stale; /* dropped: their handler, or its one call, was gone (T26, T34) */
    uint64_t rebuilds; /* of the poll set, to lose a closed file's registration (T34) */
    uint64_t queue_max; /* most callbacks ever queued on the loop's side */
    uint64_t busy_ns; /* inside run, but for sleeps */
    uint64_t idle_ns; /* in sleeps */
    uint64_t longest_call_ns; /* of a user's function; with GYRE_TIMING_CALLS */
    const void *longest_call; /* its function; for a moment that of the one before; NULL: none */
};

/*
 * Fills in the defaults: what was configured last, else the library's own.
 *
 * Threads:  any.
 * Lifetime: the names of backend and waker are static.
 */
GYRE_API void gyre_loop_options_init(struct gyre_loop_options *options) GYRE_ANY_THREAD;

/*
 * Configures what loops get from now on that do not ask, also those of runtimes; NULL: the
 * library's own defaults. In `defaults` a backend or waker of NULL is "auto". What
 * gyre_loop_options_init has filled in can be given back later (T4).
 *
 * Threads:  any; of two at once the last one's stays, whole.
 * Lifetime: the names are not kept; what hooks and their arguments point to is, until configured
 *           anew and no loop is left that has them.
 * Errors:   -EINVAL: a size or value is out of range; -ENOENT: no such backend or waker; -ENOTSUP:
 *           this system lacks it; -EMFILE, -ENFILE, -ENOMEM. Nothing has changed then (T3).
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_configure(const struct gyre_loop_options *defaults)
    GYRE_ANY_THREAD;

/*
 * The backend of a loop that names none. What "auto" is, is looked for when it is first needed, by
 * a loop or by this function, and stays the same in this process: what GYRE_BACKEND names, if it is
 * set, else the best that works (T2).
 *
 * Threads:  any.
 * Lifetime: the name is static.
 * Errors:   -ENOENT, -ENOTSUP: of what GYRE_BACKEND names; -EMFILE, -ENFILE, -ENOMEM.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_default_backend(const char **ret_name) GYRE_ANY_THREAD;

/*
 * Makes a loop; NULL options are the defaults. The caller holds its one reference.
 *
 * Threads:  any.
 * Errors:   -EINVAL: a size or value is out of range; -ENOENT: no such backend or waker; -ENOTSUP:
 *           this system lacks it; -EBUSY: make_current asked and the thread has a current loop;
 *           -EMFILE, -ENFILE, -ENOMEM; -ENOSPC: the system's limit on registrations. Nothing is
 *           left behind.
 * Limits:   two descriptors a loop with epoll, one with poll or select; one more if its waker is a
 *           pipe.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_create(const struct gyre_loop_options *options,
                                              struct gyre_loop **ret_loop) GYRE_ANY_THREAD;

/*
 * Closes the loop if need be and drops a reference. NULL is ignored. Inside run, the close is left
 * to the end of the run; while another thread is inside, to the last release.
 *
 * Threads:  any; the last reference of an open loop belongs to a thread that may close it.
 * Lifetime: the loop is not the caller's afterwards.
 */
GYRE_API void gyre_loop_destroy(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Takes a reference, and returns `loop`.
 *
 * Threads:  any that holds one, or that the loop's owner lets have one.
 */
GYRE_API struct gyre_loop *gyre_loop_acquire(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Drops a reference; NULL is ignored. The last one closes an open loop, on the calling thread, and
 * frees it. Listeners, name lookups, functions that wait for a future and work of an executor hold
 * references too: close a loop that has any.
 *
 * Threads:  any.
 */
GYRE_API void gyre_loop_release(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Runs turns until a stop. If a stop came while nobody was inside, returns at once and runs nothing
 * (T59).
 *
 * Threads:  one at a time; that thread is the owner meanwhile. A loop of a runtime: -EPERM.
 * Blocks:   until stopped.
 * Errors:   0: stopped; GYRE_UNWIND: a function has asked for it (T77): what it left, callbacks,
 *           due timers and events, is the next run's; -EBUSY: it is running; -ESHUTDOWN: it has
 *           closed; -ECHILD: a parent process's loop, or the process was forked inside; else what
 *           the backend's or the user's wait failed with.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_run(struct gyre_loop *loop) GYRE_OFF_LOOP;

/*
 * Ends the run, or the next one if nobody is inside. The callbacks of this turn and the timers due
 * run first, what is queued stays; from a handler, the rest of the batch and one more round of
 * callbacks and timers (T61, T62). Several stops count as one.
 *
 * Threads:  any; signal handlers.
 * Blocks:   never. One system call if the loop sleeps, none otherwise.
 * Errors:   -EPERM: a loop of a runtime, which is stopped through it. On a closed loop it is
 *           harmless.
 */
GYRE_API int gyre_loop_stop(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Makes the loop turn once, without running anything.
 *
 * Threads:  any; signal handlers.
 * Blocks:   never. One system call if the loop sleeps, none otherwise.
 */
GYRE_API void gyre_loop_wake(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Closes the loop: posts are refused from now on; what was posted, the timers, the operations and
 * what waits for futures end with -ECANCELED, once each, on the calling thread; then handlers are
 * removed, and their descriptors closed with GYRE_CLOSE_ALL_FDS, by their owners where they have
 * one. The memory lives until the last release. A second close is harmless.
 *
 * Threads:  the owner's; others may post meanwhile.
 * Errors:   -EBUSY: it is running; -EPERM: not the owner, or a loop of a runtime; -EINVAL: unknown
 *           flags.
 */
GYRE_API int gyre_loop_close(struct gyre_loop *loop, unsigned flags) GYRE_ON_LOOP;

/*
 * The thread's loop: the one that runs on it, else the one last made current, else
 * gyre_loop_instance().
 *
 * Threads:  any.
 * Lifetime: the thread's reference, not the caller's.
 * Errors:   NULL: there was none and none could be made.
 */
GYRE_API struct gyre_loop *gyre_loop_current(void) GYRE_ANY_THREAD;

/*
 * As gyre_loop_current, but NULL instead of the instance.
 *
 * Threads:  any.
 */
GYRE_API struct gyre_loop *gyre_loop_current_or_null(void) GYRE_ANY_THREAD;

/*
 * Makes `loop` the calling thread's current one; NULL clears it. The thread holds a reference until
 * it sets another, clears it, closes the loop or ends.
 *
 * Threads:  any; acts on the calling one.
 */
GYRE_API void gyre_loop_make_current(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * The one loop of the process, made when first asked for, unless one was installed; racing threads
 * get the same. A child of fork makes its own.
 *
 * Threads:  any.
 * Lifetime: the library's reference, until gyre_loop_clear_instance or the end of the process.
 * Errors:   NULL: it could not be made.
 */
GYRE_API struct gyre_loop *gyre_loop_instance(void) GYRE_ANY_THREAD;

/*
 * Whether the process has an instance. Makes none.
 *
 * Threads:  any.
 */
GYRE_API bool gyre_loop_instance_exists(void) GYRE_ANY_THREAD;

/*
 * Has `loop` be the instance; a loop of a runtime may be it too. The library takes a reference.
 *
 * Threads:  any that holds one.
 * Errors:   -EBUSY: there is one; -EINVAL: NULL; -ECHILD: a parent process's loop.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_install_instance(struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Drops the library's reference to the instance; the next who asks for one gets a new one. As with
 * gyre_loop_release, the last reference closes the loop, on the calling thread, and frees it.
 * Harmless if there is none.
 *
 * Threads:  any, while no other has the instance without a reference of its own: what
 *           gyre_loop_instance and gyre_loop_current return is not one.
 */
GYRE_API void gyre_loop_clear_instance(void) GYRE_ANY_THREAD;

/*
 * A word of the user's, for whoever holds the loop.
 *
 * Threads:  the loop's.
 */
GYRE_API void gyre_loop_set_user(struct gyre_loop *loop, void *user) GYRE_ON_LOOP;

/*
 * The word last set, NULL at first.
 *
 * Threads:  the loop's.
 */
GYRE_API void *gyre_loop_user(const struct gyre_loop *loop) GYRE_ON_LOOP;

/*
 * Reads the loop's clock.
 *
 * Threads:  any, if the clock is the system's; else whatever the user's clock allows.
 */
GYRE_API uint64_t gyre_loop_now_ns(const struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Reads the counters.
 *
 * Threads:  any.
 */
GYRE_API void gyre_loop_stats(const struct gyre_loop *loop, struct gyre_loop_stats *ret_stats)
    GYRE_ANY_THREAD;

/*
 * The name of the backend in use.
 *
 * Threads:  any.
 * Lifetime: static.
 */
GYRE_API const char *gyre_loop_backend(const struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * The name of the waker in use: what a post rings when the loop sleeps.
 *
 * Threads:  any.
 * Lifetime: static.
 */
GYRE_API const char *gyre_loop_waker(const struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * The bits that handlers' events may have beside GYRE_READ, GYRE_WRITE and GYRE_ERROR.
 *
 * Threads:  any.
 */
GYRE_API uint32_t gyre_loop_capabilities(const struct gyre_loop *loop) GYRE_ANY_THREAD;

/*
 * Calls `fn` whenever `fd` is ready for `events`, level-triggered. GYRE_ERROR is always added.
 *
 * Threads:  the loop's.
 * Order:    handlers of one batch run in the order in which the system reported them.
 * Lifetime: the descriptor stays the caller's: remove the handler before closing it.
 * Errors:   -EINVAL: fd is negative or fn is NULL; -ENOTSUP: events has bits beyond the loop's;
 *           -EBADF: fd is closed; -EPERM: not the owner, or fd cannot be polled; -EEXIST: fd has a
 *           handler, which stays as it was; -EBUSY: a stream or listener has fd; -ESHUTDOWN;
 *           -ENOMEM; -ENOSPC: the system's limit on registrations; -EMFILE: select does not take
 *           so high a number; -ELOOP: fd is another poll set, and watches this one already, or too
 *           many in a row.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_add_handler(struct gyre_loop *loop, int fd, uint32_t events,
                                                   gyre_handler_fn *fn, void *arg) GYRE_ON_LOOP;

/*
 * As gyre_loop_add_handler, for a descriptor that is an object's: `arg` owns it, and a close with
 * GYRE_CLOSE_ALL_FDS calls close(loop, fd, arg) in its place, once. Nothing else calls it: neither
 * a close without the flag, nor removing the handler, nor a close in a forked child.
 *
 * Threads:  the loop's.
 * Order:    as gyre_loop_add_handler; owners are called in the order of their descriptors.
 * Lifetime: the owner's until the handler is removed or `close` called.
 * Errors:   as gyre_loop_add_handler; also -EINVAL: close is NULL.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_add_owned_handler(struct gyre_loop *loop, int fd,
                                                         uint32_t events, gyre_handler_fn *fn,
                                                         void *arg, gyre_close_fn *close)
    GYRE_ON_LOOP;

/*
 * Replaces the events of a handler. An event that was fetched before is still delivered as it was.
 *
 * Threads:  the loop's.
 * Errors:   -ENOENT: fd has no handler; -EINVAL, -ENOTSUP, -EPERM, -EBUSY: as for
 *           gyre_loop_add_handler.
 */
GYRE_API GYRE_MUST_CHECK int gyre_loop_update_handler(struct gyre_loop *loop, int fd,
                                                      uint32_t events) GYRE_ON_LOOP;

/*
 * Removes a handler. It is not called again, not even for an event that was fetched before.
 *
 * Threads:  the loop's.
 * Errors:   -ENOENT: fd has no handler or was closed, which is harmless; -EPERM: not the owner;
 *           -EBUSY: a stream or listener has fd.
 */
GYRE_API int gyre_loop_remove_handler(struct gyre_loop *loop, int fd) GYRE_ON_LOOP;

GYRE_END_DECLS

#endif
