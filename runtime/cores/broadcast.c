/* SPDX-License-Identifier: MIT */
/*
 * broadcast - a function run once on every loop of a runtime, and one when all of them are through.
 *
 *     struct broadcast   left = loops + 1   | task 0 | task 1 | ... |
 *                               the poster's ^
 *
 * What     One allocation: a task for each loop, and one for `done`. Each task, each refused post,
 *          and the poster, count down once; who reaches 0 posts `done`, whose call frees the
 *          allocation.
 * Why      The poster counts too, so that a loop that runs fast cannot finish the broadcast while
 *          tasks behind it are still to be posted.
 * Bound    Of bounded loops all have room claimed before the first post: a broadcast to a full loop
 *          runs nowhere, rather than somewhere. `done` is exempt from the bound, since it must
 *          come.
 * Closing  A loop that closes gives its task back with -ECANCELED, which counts like a call. So
 *          nothing stays behind, at whatever point of a stop the posts arrive. No loop closes while
 *          another runs (runtime.h, the barrier): `done` learns of a loop that was left out by its
 *          own -ECANCELED.
 * Lifetime The runtime, and with it every loop, lives as long as one of its threads may still call
 *          a task, and the poster keeps it alive during the call.
 */
#include <gyre/runtime.h>

#include <gyre/error.h>

#include "cores/runtime.h"
#include "loop/context.h"
#include "loop/loop.h"

struct broadcast {
    gyre_fn *fn; /* [I] */
    void *arg; /* [I] */
    gyre_fn *done; /* [I] may be NULL */
    void *done_arg; /* [I] */
    struct gyre_context *done_context; /* [I] the poster's, until it passes to done_task */
    struct gyre_loop *home; /* [I] where done is called */
    unsigned loops; /* [I] */
    _Atomic uint32_t left; /* [a] */
    struct gyre_task done_task; /* who counted down last */
    struct gyre_task tasks[]; /* one a loop: the loop's, once posted */
};

static size_t size_of(unsigned loops)
{
    return sizeof(struct broadcast) + loops * sizeof(struct gyre_task);
}

/* Calls the user's function, whose failure is reported as its own and not as the task's. */
GYRE_ON_LOOP static void call(struct gyre_loop *loop, int status, gyre_fn *fn, void *arg)
{
    struct gyre_context *context = gyre_context_current();
    int r = fn(loop, status, arg);
    (void)gyre_context_enter(context); /* that hears of it, whatever fn has entered */
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_CALLBACK, .error = r, .fd = -1, .fn = fn, .arg = arg};
    if (r != 0 && status == 0)
        gyre__loop_judge(loop, &failure);
}

static int call_done(struct gyre_loop *loop, int status, void *arg)
{
    struct broadcast *broadcast = arg;
    gyre_fn *done = broadcast->done;
    void *done_arg = broadcast->done_arg;
    gyre__assert_on_loop();
    gyre__port_release(broadcast, size_of(broadcast->loops));
    call(loop, status, done, done_arg);
    return 0;
}

static void count_down(struct broadcast *broadcast)
{
    /* acq_rel: `done`, and the release of the memory, come after everything that each call did. The
     * decrements form one release sequence: the last one's acquire pairs with all releases. */
    if (atomic_fetch_sub_explicit(&broadcast->left, 1, memory_order_acq_rel) != 1)
        return;
    struct gyre_context *context = broadcast->done_context;
    if (broadcast->done == NULL) {
        gyre__port_release(broadcast, size_of(broadcast->loops));
        gyre__context_drop(context);
        return;
    }
    gyre_task_init(&broadcast->done_task, call_done, broadcast);
    gyre__task_set_context(&broadcast->done_task, context);
    if (gyre__loop_post_exempt(broadcast->home, &broadcast->done_task) != 0) {
        (void)call_done(broadcast->home, -ECANCELED, broadcast); /* no loop to report to */
        gyre__context_drop(context);
    }
}

static int call_fn(struct gyre_loop *loop, int status, void *arg)
{
    struct broadcast *broadcast = arg;
    gyre__assert_on_loop();
    call(loop, status, broadcast->fn, broadcast->arg);
    if (!gyre__loop_is_inherited(loop)) /* else it has forked, and done is the parent's */
        count_down(broadcast);
    return 0;
}

/* The loop of the runtime that the caller is inside, else the first. */
static struct gyre_loop *find_home(const struct gyre_runtime *runtime)
{
    for (unsigned i = 0; i < runtime->cores_made; i++) {
        if (gyre__loop_is_mine(runtime->cores[i].loop))
            return runtime->cores[i].loop;
    }
    return runtime->cores[0].loop;
}

static void return_rooms(const struct gyre_runtime *runtime, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++)
        gyre__loop_return_room(runtime->cores[i].loop, 1);
}

static bool claim_rooms(const struct gyre_runtime *runtime)
{
    unsigned claimed = 0;
    while (claimed < runtime->cores_made && gyre__loop_claim_room(runtime->cores[claimed].loop, 1))
        claimed++;
    if (claimed == runtime->cores_made)
        return true;
    return_rooms(runtime, 0, claimed);
    return false;
}

/* Posts to all loops, with room claimed. Not 0: the first refused, and no task is out. */
static int post_tasks(const struct gyre_runtime *runtime, struct broadcast *broadcast)
{
    for (unsigned i = 0; i < runtime->cores_made; i++) {
        gyre_task_init(&broadcast->tasks[i], call_fn, broadcast);
        gyre__task_capture(&broadcast->tasks[i]);
        int r = gyre__loop_post_claimed(runtime->cores[i].loop, &broadcast->tasks[i]);
        if (r == 0)
            continue;
        gyre__task_drop_context(&broadcast->tasks[i]);
        if (i == 0) {
            return_rooms(runtime, 1, runtime->cores_made);
            return r;
        }
        count_down(broadcast); /* left out */
    }
    return 0;
}

int gyre_runtime_broadcast(struct gyre_runtime *runtime, gyre_fn *fn, void *arg, gyre_fn *done,
                           void *done_arg)
{
    unsigned loops = runtime->cores_made;
    if (gyre__runtime_is_inherited(runtime))
        return -ECHILD;
    struct broadcast *broadcast = gyre__port_allocate(size_of(loops));
    if (broadcast == NULL)
        return -ENOMEM;
    broadcast->fn = fn;
    broadcast->arg = arg;
    broadcast->done = done;
    broadcast->done_arg = done_arg;
    broadcast->done_context = gyre__context_capture();
    broadcast->home = find_home(runtime);
    broadcast->loops = loops;
    atomic_init(&broadcast->left, loops + 1);

    int r = claim_rooms(runtime) ? post_tasks(runtime, broadcast) : -EAGAIN;
    if (r != 0) {
        gyre__context_drop(broadcast->done_context);
        gyre__port_release(broadcast, size_of(loops));
        return r;
    }
    count_down(broadcast); /* the poster's own */
    return 0;
}
