/* SPDX-License-Identifier: MIT */
/*
 * runtime - a set of loops, one a core, each on a thread of its own.
 *
 * start     Makes the threads, `gyre/0`, `gyre/1`, ..., pinned by the CPU plan, and returns once
 *           every setup has returned. The setups run at the same time, each as its loop's first
 *           callback. One that fails unwinds all and is the result: the loops whose setup succeeded
 *           are torn down.
 * stop      In two phases. All loops keep turning until every teardown, run as a callback, has
 *           returned: a teardown may still post to any loop, and that still runs. Then each loop
 *           stops and closes; what is pending ends with -ECANCELED on its own thread.
 * failure   A loop whose run fails (its backend's wait, or the user's) stops the runtime, and join
 *           returns the error. Its own teardown is still called. GYRE_UNWIND is no failure: it
 *           ends the run, and the next one begins with what that has left (T77).
 * Loops     Exist from create on, so that work can be posted and listeners opened before start.
 */
#ifndef GYRE_RUNTIME_H
#define GYRE_RUNTIME_H

#include <gyre/base.h>
#include <gyre/loop.h>

GYRE_BEGIN_DECLS

struct gyre_runtime;

/* Runs on the thread of loop number `index`, inside its run. */
typedef int gyre_setup_fn(struct gyre_loop *loop, unsigned index, void *arg);

enum gyre_pin {
    GYRE_PIN_AUTO, /* unless a quota is fractional or idles CPUs, or loops outnumber CPUs */
    GYRE_PIN_NEVER,
    GYRE_PIN_ALWAYS /* or start fails */
};

struct gyre_runtime_options {
    size_t size; /* of this struct */
    unsigned loops; /* 0: as many as the CPU plan says */
    enum gyre_pin pin;
    gyre_setup_fn *setup; /* may be NULL */
    gyre_setup_fn *teardown; /* for each setup that succeeded; its result goes to the error hook */
    void *arg;
    const struct gyre_loop_options *loop; /* for every loop; NULL: the defaults */
    const char *system_root; /* where /proc and /sys are looked for; NULL: "" */
};

enum gyre_runtime_limits {
    GYRE_LOOPS_MAX = 1024 /* loops of a runtime: the CPUs of the largest machines */
};

/*
 * Fills in the defaults.
 *
 * Threads:  any.
 */
GYRE_API void gyre_runtime_options_init(struct gyre_runtime_options *options) GYRE_ANY_THREAD;

/*
 * Makes a runtime and its loops; no thread yet.
 *
 * Threads:  any.
 * Errors:   -EINVAL: a size or number is out of range; else as for gyre_loop_create.
 */
GYRE_API GYRE_MUST_CHECK int gyre_runtime_create(const struct gyre_runtime_options *options,
                                                 struct gyre_runtime **ret_runtime) GYRE_ANY_THREAD;

/*
 * Starts the threads and waits for the setups. If a stop came before, or comes meanwhile, the
 * setups run all the same, the stop follows at once, and the result is 0.
 *
 * Threads:  any one.
 * Blocks:   until every setup has returned.
 * Order:    on each loop the setup, then what was posted before start.
 * Errors:   what the setup failed with, of the first loop whose setup did; -EAGAIN, -EPERM,
 *           -ENOMEM: a thread could not be made, and no setup has run; -EINVAL: it could not be
 *           pinned, and GYRE_PIN_ALWAYS asks for it; -EBUSY: started before. After a failure no
 *           thread is left, and the loops are closed. -ECHILD: a parent process's runtime, which
 *           stays as it is.
 */
GYRE_API GYRE_MUST_CHECK int gyre_runtime_start(struct gyre_runtime *runtime) GYRE_OFF_LOOP;

/*
 * Asks all loops to end, as described above. Several stops count as one. In a child process a stop
 * of a parent's runtime does nothing.
 *
 * Threads:  any, the loops' included; not signal handlers. Another thread may join and destroy the
 *           runtime before this call has returned.
 * Blocks:   never.
 */
GYRE_API void gyre_runtime_stop(struct gyre_runtime *runtime) GYRE_ANY_THREAD;

/*
 * Waits until the threads have ended. Asked again, it gives the same result.
 *
 * Threads:  any one at a time.
 * Blocks:   until someone has stopped the runtime and all loops have closed.
 * Errors:   -EDEADLK: called on one of its loops; -EINVAL: start has not succeeded; else the first
 *           negative result of a loop's run. -ECHILD: a parent process's runtime.
 */
GYRE_API int gyre_runtime_join(struct gyre_runtime *runtime) GYRE_OFF_LOOP;

/*
 * Stops and joins if need be, drops the loops and frees the runtime. NULL is ignored. Loops to
 * which somebody holds a reference live on, closed. Without a start the loops close here, and what
 * was posted ends with -ECANCELED on the calling thread. In a child process a parent's runtime is
 * freed and its loops are closed as gyre_loop_close does there; nothing runs, nobody is waited for.
 *
 * Threads:  any one but its loops', where it is refused and logged; not while start or join is
 *           under way.
 * Blocks:   as stop and join.
 */
GYRE_API void gyre_runtime_destroy(struct gyre_runtime *runtime) GYRE_OFF_LOOP;

/*
 * The number of loops.
 *
 * Threads:  any.
 */
GYRE_API unsigned gyre_runtime_loops(const struct gyre_runtime *runtime) GYRE_ANY_THREAD;

/*
 * Loop number `index`, or NULL past the last.
 *
 * Threads:  any.
 * Lifetime: the runtime's reference; acquire the loop to keep it longer.
 */
GYRE_API struct gyre_loop *gyre_runtime_loop(const struct gyre_runtime *runtime, unsigned index)
    GYRE_ANY_THREAD;

/*
 * Runs `fn` once on every loop, then `done`, if not NULL, once: on the calling loop, or on loop 0
 * when the caller is none of the loops.
 *
 * Threads:  any; not signal handlers.
 * Blocks:   never.
 * Order:    on each loop as a post of the caller's. The loops run fn at the same time, and done
 *           runs after all of them.
 * Errors:   -ENOMEM; -EAGAIN: a loop is bounded and full; -ESHUTDOWN: the loops close. fn runs
 *           nowhere then, and done is not called. If the runtime ends later, loops that have closed
 *           are left out, fn gets -ECANCELED where it has not run, and so does done; if its loop
 *           has closed by then, on the thread of the last fn, or on the caller's. -ECHILD: a parent
 *           process's runtime.
 */
GYRE_API GYRE_MUST_CHECK int gyre_runtime_broadcast(struct gyre_runtime *runtime, gyre_fn *fn,
                                                    void *arg, gyre_fn *done, void *done_arg)
    GYRE_ANY_THREAD;

/*
 * Writes the CPU plan as text: a line a loop and the reasons. Works like snprintf: the result is
 * the length of the whole text, cut to fit `bytes`.
 *
 * Threads:  any.
 */
GYRE_API size_t gyre_runtime_plan(const struct gyre_runtime *runtime, char *text, size_t bytes)
    GYRE_ANY_THREAD;

GYRE_END_DECLS

#endif
