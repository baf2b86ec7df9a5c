/* SPDX-License-Identifier: MIT */
/*
 * base - what every header of gyre shares: visibility, roles of threads, version, allocator, log.
 *
 * Threads   A prototype ends in the role that its caller needs:
 *             GYRE_ON_LOOP     the loop's owner: the thread inside run, or, while nobody is inside,
 *                              any one thread at a time
 *             GYRE_ANY_THREAD  every thread that holds a reference to what it passes
 *             GYRE_OFF_LOOP    a thread that is not inside the loops concerned, since it may block
 *           With GYRE_THREAD_SAFETY defined, clang's -Wthread-safety checks the first and the last.
 * Units     Time is uint64_t nanoseconds on a monotonic clock; GYRE_NEVER is "no deadline".
 * Results   int: 0 or a negative errno; of a few, enum gyre_result. In a child of fork whatever is
 *           given a parent's loop may return -ECHILD (T112); not every list of errors repeats it.
 */
#ifndef GYRE_BASE_H
#define GYRE_BASE_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if UINTPTR_MAX != UINT64_MAX
#error "gyre is for 64-bit systems"
#endif

#ifdef __cplusplus
#define GYRE_BEGIN_DECLS extern "C" {
#define GYRE_END_DECLS }
#else
#define GYRE_BEGIN_DECLS
#define GYRE_END_DECLS
#endif

#define GYRE_API __attribute__((visibility("default")))
#define GYRE_MUST_CHECK __attribute__((warn_unused_result))
#define GYRE_PRINTF(text, first) __attribute__((format(printf, text, first)))

#if defined(GYRE_THREAD_SAFETY) && defined(__clang__)
#define GYRE_ROLE __attribute__((capability("role")))
#define GYRE_ON_LOOP __attribute__((requires_capability(gyre_role_on_loop)))
#define GYRE_OFF_LOOP __attribute__((locks_excluded(gyre_role_on_loop)))
#define GYRE_ASSERTS_ON_LOOP __attribute__((assert_capability(gyre_role_on_loop)))
#else
#define GYRE_ROLE
#define GYRE_ON_LOOP
#define GYRE_OFF_LOOP
#define GYRE_ASSERTS_ON_LOOP
#endif
#define GYRE_ANY_THREAD

#define GYRE_VERSION_MAJOR 0
#define GYRE_VERSION_MINOR 1
#define GYRE_VERSION_PATCH 0
#define GYRE_VERSION (GYRE_VERSION_MAJOR * 10000 + GYRE_VERSION_MINOR * 100 + GYRE_VERSION_PATCH)

/* Results that are neither success nor failure. Other positive values are reserved. */
enum gyre_result {
    GYRE_UNWIND =
        1, /* of a callback, timer or handler: the run ends at once and returns it (T77) */
    GYRE_STOPPED = 2 /* of gyre_loop_run_once: a stop was met */
};

/* A deadline that never comes. */
#define GYRE_NEVER UINT64_MAX

GYRE_BEGIN_DECLS

/* A role is a capability with no lock behind it: no object of this type exists. */
struct GYRE_ROLE gyre_role {
    int unused;
};
extern const struct gyre_role gyre_role_on_loop;

struct gyre_context;
struct gyre_loop;

/*
 * What a loop runs later: callbacks, tasks, timers, results.
 *
 * `status` is 0, or -ECANCELED when the loop closes first: then only release what arg holds. The
 * result is 0; a negative errno, which goes to the error hooks and stops nothing; or GYRE_UNWIND,
 * which makes the run return. Of a cancelled call it is ignored. Like all that gyre calls, it has
 * to return: neither longjmp, nor pthread_exit, nor a C++ exception may leave it.
 */
typedef int gyre_fn(struct gyre_loop *loop, int status, void *arg);

/* What a loop calls when a descriptor is ready; `events` are GYRE_READ, GYRE_WRITE, GYRE_ERROR. */
typedef int gyre_handler_fn(struct gyre_loop *loop, int fd, uint32_t events, void *arg);

/*
 * The version of the library in use, as GYRE_VERSION was when it was built.
 *
 * Threads:  any.
 */
GYRE_API int gyre_version(void) GYRE_ANY_THREAD;

/*
 * Where the library takes its memory. `release` gets the size that `allocate` was asked for.
 * `allocate` returns memory aligned for any type, or NULL; both are called from any thread.
 */
struct gyre_allocator {
    void *(*allocate)(size_t bytes, void *arg);
    void (*release)(void *memory, size_t bytes, void *arg);
    void *arg;
};

/*
 * Sets the process's allocator; NULL restores malloc and free.
 *
 * Threads:  any one, before the first other use of the library.
 * Errors:   -EBUSY: memory was taken already; -EINVAL: a function is missing.
 */
GYRE_API GYRE_MUST_CHECK int gyre_set_allocator(const struct gyre_allocator *allocator)
    GYRE_ANY_THREAD;

enum gyre_log_level {
    GYRE_LOG_ERROR, /* something was lost or refused */
    GYRE_LOG_WARNING, /* something is wrong, and was dealt with */
    GYRE_LOG_INFO /* a decision that a reader of the log may want */
};

/* Gets one finished line without a newline. It must not call into the library. */
typedef void gyre_log_fn(enum gyre_log_level level, const char *line, void *arg);

/*
 * Sets the process's log hook; NULL restores the default, which writes errors and warnings to
 * standard error.
 *
 * Threads:  any one, before the first other use of the library.
 */
GYRE_API void gyre_set_log(gyre_log_fn *log, void *arg) GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
