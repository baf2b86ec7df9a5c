/* SPDX-License-Identifier: MIT */
/*
 * task - the forms of posting: which way a task takes into a loop.
 *
 * The owner's own posts go straight behind the queue, without atomics; all others go through the
 * door, and its one poster that found the loop asleep rings. A bounded loop's `room` counts down
 * before the task is in, and up when it is taken to be run, so that what is accepted never exceeds
 * the bound.
 */
#include <gyre/task.h>

#include <gyre/error.h>
#include <gyre/timer.h>

#include "loop/loop.h"

_Static_assert(sizeof(struct gyre_task) == 48, "a change of size is a change of the ABI");

void gyre_task_init(struct gyre_task *task, gyre_fn *fn, void *arg)
{
    *task = (struct gyre_task){.fn = fn, .arg = arg, .kind = GYRE__TASK_USER};
}

bool gyre__loop_claim_room(struct gyre_loop *loop, size_t count)
{
    if (loop->options.queue_max == 0)
        return true;
    /* relaxed: room only counts; what a post shows travels through the door */
    uint32_t room = atomic_load_explicit(&loop->room, memory_order_relaxed);
    do {
        if (room < count)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&loop->room, &room, room - (uint32_t)count,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void gyre__loop_return_room(struct gyre_loop *loop, size_t count)
{
    if (loop->options.queue_max != 0) /* relaxed: as in gyre__loop_claim_room */
        atomic_fetch_add_explicit(&loop->room, (uint32_t)count, memory_order_relaxed);
}

/* Posts a chain that runs from `newest` over `next` to `oldest`, from another thread. */
static int post_foreign(struct gyre_loop *loop, struct gyre_task *newest, struct gyre_task *oldest,
                        size_t count)
{
    int r = gyre__door_post(&loop->door, newest, oldest);
    if (r == GYRE__DOOR_POSTED)
        return 0;
    if (r == GYRE__DOOR_POSTED_WAKE) {
        gyre__loop_ring(loop);
        return 0;
    }
    gyre__loop_return_room(loop, count);
    return r;
}

int gyre__loop_post_claimed(struct gyre_loop *loop, struct gyre_task *task)
{
    size_t room = task->kind != GYRE__TASK_EXEMPT;
    if (!gyre__loop_is_mine(loop))
        return post_foreign(loop, task, task, room);
    if (loop->closed) {
        gyre__loop_return_room(loop, room);
        return -ESHUTDOWN;
    }
    gyre__queue_append(&loop->queue, task);
    return 0;
}

int gyre__loop_post_exempt(struct gyre_loop *loop, struct gyre_task *task)
{
    task->kind = GYRE__TASK_EXEMPT;
    return gyre__loop_post_claimed(loop, task);
}

/* Why a post found no room: a loop that has closed full stays so. */
static int no_room(const struct gyre_loop *loop)
{
    return gyre__door_is_closed(&loop->door) ? -ESHUTDOWN : -EAGAIN;
}

static int post(struct gyre_loop *loop, struct gyre_task *task)
{
    return gyre__loop_claim_room(loop, 1) ? gyre__loop_post_claimed(loop, task) : no_room(loop);
}

int gyre_loop_post(struct gyre_loop *loop, struct gyre_task *task)
{
    return post(loop, task);
}

int gyre_loop_post_batch(struct gyre_loop *loop, struct gyre_task *const tasks[], size_t count)
{
    if (count == 0)
        return 0;
    if (!gyre__loop_claim_room(loop, count))
        return no_room(loop);
    if (!gyre__loop_is_mine(loop)) {
        for (size_t i = 1; i < count; i++)
            tasks[i]->next = tasks[i - 1];
        return post_foreign(loop, tasks[count - 1], tasks[0], count);
    }
    if (loop->closed) {
        gyre__loop_return_room(loop, count);
        return -ESHUTDOWN;
    }
    for (size_t i = 0; i < count; i++)
        gyre__queue_append(&loop->queue, tasks[i]);
    return 0;
}

static int add(struct gyre_loop *loop, struct gyre_context *context, gyre_fn *fn, void *arg)
{
    struct gyre_task *task = gyre__node_take();
    if (task == NULL)
        return -ENOMEM;
    task->fn = fn;
    task->arg = arg;
    task->context = context;
    int r = post(loop, task);
    if (r != 0)
        gyre__node_give(task);
    return r;
}

int gyre_loop_add_callback(struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    return add(loop, NULL, fn, arg);
}

int gyre_loop_spawn_callback(struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    return add(loop, NULL, fn, arg);
}

/* ---- the posting form of call_at ------------------------------------------------------------- */

struct posted_call {
    struct gyre_task task;
    uint64_t deadline_ns;
    gyre_fn *fn;
    void *arg;
};

static int arm_posted_call(struct gyre_loop *loop, int status, void *arg)
{
    gyre__assert_on_loop();
    struct posted_call call = *(struct posted_call *)arg;
    gyre__port_release(arg, sizeof(call));
    if (status != 0)
        return call.fn(loop, status, call.arg);
    uint64_t handle;
    int r = gyre_loop_call_at(loop, call.deadline_ns, &handle, call.fn, call.arg);
    if (r != 0) {
        /* The post was accepted, so fn has to run once: now, and with the reason that it is so
         * early. */
        (void)call.fn(loop, -ECANCELED, call.arg);
    }
    return r;
}

int gyre_loop_post_call_at(struct gyre_loop *loop, uint64_t deadline_ns, gyre_fn *fn, void *arg)
{
    struct posted_call *call = gyre__port_allocate(sizeof(*call));
    if (call == NULL)
        return -ENOMEM;
    *call = (struct posted_call){.deadline_ns = deadline_ns, .fn = fn, .arg = arg};
    gyre_task_init(&call->task, arm_posted_call, call);
    int r = gyre_loop_post(loop, &call->task);
    if (r != 0)
        gyre__port_release(call, sizeof(*call));
    return r;
}
