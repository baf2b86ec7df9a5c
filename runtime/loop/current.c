/* SPDX-License-Identifier: MIT */
/*
 * current - the calling thread: its serial, its current loop, and what its end releases.
 *
 * A thread's current loop is the one that runs on it, else the one last made current (T8). The
 * thread holds a reference, so that a current loop cannot dangle (T14). The process's instance is
 * made by whoever asks first, unless one was installed; of racing threads one wins, and the others
 * drop what they made (T12).
 */
#include "loop/loop.h"

#include <gyre/error.h>

_Thread_local struct gyre__thread gyre__thread;

static _Atomic uint64_t last_serial;
static struct gyre_loop *_Atomic instance;

uint64_t gyre__thread_serial(void)
{
    if (gyre__thread.serial == 0) /* relaxed: only that no two get the same */
        gyre__thread.serial = atomic_fetch_add_explicit(&last_serial, 1, memory_order_relaxed) + 1;
    return gyre__thread.serial;
}

static void thread_ends(void *arg)
{
    (void)arg;
    gyre__thread.ends_noticed = false; /* what follows may need it once more */
    struct gyre_loop *current = gyre__thread.current;
    gyre__thread.current = NULL;
    gyre_loop_release(current);
    gyre__lanes_thread_ends(&gyre__thread.lanes);
}

int gyre__thread_notice_end(void)
{
    if (gyre__thread.ends_noticed)
        return 0;
    int r = gyre__port_at_thread_exit(thread_ends, NULL);
    gyre__thread.ends_noticed = r == 0;
    return r;
}

void gyre_loop_make_current(struct gyre_loop *loop)
{
    if (loop == gyre__thread.current)
        return;
    if (loop != NULL) {
        (void)gyre_loop_acquire(loop);
        if (gyre__thread_notice_end() != 0)
            gyre__log(GYRE_LOG_WARNING, "no memory to notice the end of this thread: its current "
                                        "loop will not be released then");
    }
    struct gyre_loop *previous = gyre__thread.current;
    gyre__thread.current = loop;
    gyre_loop_release(previous);
}

struct gyre_loop *gyre_loop_current_or_null(void)
{
    struct gyre_loop *loop = gyre__thread.current;
    return loop == NULL || gyre__loop_is_inherited(loop) ? NULL : loop;
}

struct gyre_loop *gyre_loop_current(void)
{
    struct gyre_loop *loop = gyre_loop_current_or_null();
    return loop != NULL ? loop : gyre_loop_instance();
}

/* ---- the instance ---------------------------------------------------------------------------- */

/* Whether it is this process's. A parent's, in a child, counts as none. */
static bool is_instance(const struct gyre_loop *loop)
{
    return loop != NULL && !gyre__loop_is_inherited(loop);
}

/* The instance if this process has one, and what stands in its place: NULL, or a parent's. */
static bool find_instance(struct gyre_loop **ret_loop)
{
    /* acquire: pairs with the releases below; the loop's members are seen */
    *ret_loop = atomic_load_explicit(&instance, memory_order_acquire);
    return is_instance(*ret_loop);
}

/* Puts `loop` there, with its reference; false if one has come since, which is in *found then. A
 * parent's is not released: the child may have its address from before, and gets -ECHILD by it. */
static bool put_instance(struct gyre_loop **found, struct gyre_loop *loop)
{
    while (!atomic_compare_exchange_strong_explicit(&instance, found, loop, memory_order_acq_rel,
                                                    memory_order_acquire))
        if (is_instance(*found))
            return false;
    return true;
}

struct gyre_loop *gyre_loop_instance(void)
{
    struct gyre_loop *loop;
    if (find_instance(&loop))
        return loop;
    struct gyre_loop_options options;
    gyre_loop_options_init(&options);
    options.make_current = GYRE_CURRENT_NO;
    struct gyre_loop *made;
    if (gyre_loop_create(&options, &made) != 0)
        return NULL;
    if (put_instance(&loop, made))
        return made;
    gyre_loop_destroy(made);
    return loop;
}

bool gyre_loop_instance_exists(void)
{
    struct gyre_loop *loop;
    return find_instance(&loop);
}

int gyre_loop_install_instance(struct gyre_loop *loop)
{
    struct gyre_loop *found;
    if (loop == NULL)
        return -EINVAL;
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    if (find_instance(&found))
        return -EBUSY;
    if (put_instance(&found, gyre_loop_acquire(loop)))
        return 0;
    gyre_loop_release(loop);
    return -EBUSY;
}

void gyre_loop_clear_instance(void)
{
    /* acq_rel: what others did with it is seen before it ends, and a new one after */
    gyre_loop_release(atomic_exchange_explicit(&instance, NULL, memory_order_acq_rel));
}
