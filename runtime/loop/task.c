/* SPDX-License-Identifier: MIT */
/*
 * task - the forms of posting: which way a task takes into a loop.
 *
 * The owner's own posts go straight behind the queue, without atomics. Another thread's callbacks
 * go into its lane, which is made for the first of them; its tasks do as well if there is a lane,
 * so that they keep their place among the callbacks, and else through the door as they are. The
 * one poster that found the loop asleep rings. A bounded loop's `room` counts down before the task
 * is in, and up when it is taken to be run, so that what is accepted never exceeds the bound.
 */
#include <gyre/task.h>

#include <gyre/error.h>
#include <gyre/timer.h>

#include "loop/context.h"
#include "loop/loop.h"

_Static_assert(sizeof(struct gyre_task) == 4 * sizeof(void *),
               "a change of size is a change of the ABI");

void gyre_task_init(struct gyre_task *task, gyre_fn *fn, void *arg)
{
    *task = (struct gyre_task){.fn = fn, .arg = arg, .tagged_context = GYRE__TASK_USER};
}

bool gyre__loop_claim_bounded(struct gyre_loop *loop, size_t count)
{
    /* relaxed: room only counts; what a post shows travels through the door */
    uint32_t room = atomic_load_explicit(&loop->room, memory_order_relaxed);
    do {
        if (room < count)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&loop->room, &room, room - (uint32_t)count,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* What a poster makes of the door's or a lane's answer. */
static int rung(struct gyre_loop *loop, int posted)
{
    if (posted == GYRE__DOOR_POSTED_WAKE)
        gyre__loop_ring(loop);
    return posted < 0 ? posted : 0;
}

/* Announces what was put into a lane of the calling thread's. */
static int announce(struct gyre_loop *loop, struct gyre__lane *lane)
{
    int r = gyre__lane_announce(lane, &loop->door);
    if (r < 0)
        gyre__lanes_forsake(lane);
    return rung(loop, r);
}

/* ---- tasks: they cannot fail for memory ------------------------------------------------------ */

/* Through the door: no lane was needed yet, or there is no memory for it. */
static int post_past_lane(struct gyre_loop *loop, struct gyre__lane *lane,
                          struct gyre_task *const tasks[], size_t count)
{
    for (size_t i = 1; i < count; i++)
        tasks[i]->next = tasks[i - 1];
    struct gyre_task *newest = tasks[count - 1];
    if (lane != NULL && !lane->pushed) { /* made for these tasks, of which it holds none */
        gyre__lanes_forsake(lane);
        lane = NULL;
    }
    bool alone = lane == NULL && !gyre__thread.lanes.left;
    return rung(loop, alone ? gyre__door_post(&loop->door, newest, tasks[0])
                            : gyre__lane_detour(lane, &loop->door, newest, tasks[0]));
}

static int post_foreign(struct gyre_loop *loop, struct gyre_task *const tasks[], size_t count)
{
    struct gyre__lane *lane = gyre__lanes_find(loop);
    if (lane == NULL && loop->meter != NULL && !gyre__door_is_closed(&loop->door))
        lane = gyre__lanes_create(loop); /* for the samples; without one there are none */
    if (lane == NULL || gyre__lane_is_detoured(lane) || !gyre__lane_put_tasks(lane, tasks, count))
        return post_past_lane(loop, lane, tasks, count);
    return announce(loop, lane);
}

static int post_own(struct gyre_loop *loop, struct gyre_task *const tasks[], size_t count)
{
    if (loop->closed)
        return -ESHUTDOWN;
    for (size_t i = 0; i < count; i++)
        gyre__queue_append(&loop->queue, tasks[i]);
    return 0;
}

/* Posts with room that was claimed for those that need it. */
static int post_claimed(struct gyre_loop *loop, struct gyre_task *const tasks[], size_t count,
                        size_t room)
{
    if (gyre__loop_is_inherited(loop)) {
        gyre__loop_return_room(loop, room);
        return -ECHILD;
    }
    int r =
        gyre__loop_is_mine(loop) ? post_own(loop, tasks, count) : post_foreign(loop, tasks, count);
    if (r != 0)
        gyre__loop_return_room(loop, room);
    return r;
}

int gyre__loop_post_claimed(struct gyre_loop *loop, struct gyre_task *task)
{
    return post_claimed(loop, &task, 1, 1);
}

int gyre__loop_post_exempt(struct gyre_loop *loop, struct gyre_task *task)
{
    if (gyre__task_kind(task) == GYRE__TASK_USER) /* else its kind has no room either */
        gyre__task_set_kind(task, GYRE__TASK_EXEMPT);
    return post_claimed(loop, &task, 1, 0);
}

/* Why a post found no room: a loop that has closed full stays so, and a parent's in a child. */
static int no_room(const struct gyre_loop *loop)
{
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    return gyre__door_is_closed(&loop->door) ? -ESHUTDOWN : -EAGAIN;
}

void gyre__task_capture(struct gyre_task *task)
{
    gyre__task_set_context(task, gyre__context_capture());
}

void gyre__task_drop_context(struct gyre_task *task)
{
    gyre__context_drop(gyre__task_context(task));
    gyre__task_set_context(task, NULL);
}

int gyre_loop_post_batch(struct gyre_loop *loop, struct gyre_task *const tasks[], size_t count)
{
    if (count == 0)
        return 0;
    if (!gyre__loop_claim_room(loop, count))
        return no_room(loop);
    for (size_t i = 0; i < count; i++)
        gyre__task_capture(tasks[i]);
    int r = post_claimed(loop, tasks, count, count);
    for (size_t i = 0; r != 0 && i < count; i++)
        gyre__task_drop_context(tasks[i]);
    return r;
}

/* Whether a post by the caller, who is not inside, takes the door as it is. */
static bool is_by_door_alone(const struct gyre_loop *loop)
{
    return !gyre__loop_is_inherited(loop) && !gyre__loop_is_mine(loop) && loop->meter == NULL &&
           !gyre__thread.lanes.left &&
           (gyre__thread.lanes.size == 0 || gyre__lanes_find(loop) == NULL);
}

int gyre_loop_post(struct gyre_loop *loop, struct gyre_task *task)
{
    /* The usual posts, with a third of the instructions: what is here is what the batch would come
     * to. */
    if (loop->options.queue_max == 0 && gyre__thread.context == NULL) {
        task->tagged_context = GYRE__TASK_USER;
        if (gyre__loop_is_inside(loop)) {
            gyre__queue_append(&loop->queue, task);
            return 0;
        }
        if (is_by_door_alone(loop))
            return rung(loop, gyre__door_post(&loop->door, task, task));
    }
    return gyre_loop_post_batch(loop, &task, 1);
}

/* ---- callbacks ------------------------------------------------------------------------------- */

static int add_foreign(struct gyre_loop *loop, const struct gyre__message *message)
{
    struct gyre__lane *lane = gyre__lanes_find(loop);
    if (lane == NULL && !gyre__door_is_closed(&loop->door))
        lane = gyre__lanes_create(loop);
    if (lane == NULL || gyre__lane_is_detoured(lane) || !gyre__lane_put(lane, message))
        return gyre__door_is_closed(&loop->door) ? -ESHUTDOWN : -ENOMEM;
    return announce(loop, lane);
}

static inline int add_own(struct gyre_loop *loop, gyre_fn *fn, void *arg,
                          struct gyre_context *context)
{
    struct gyre_task *task = gyre__node_take(&loop->nodes);
    if (task == NULL)
        return -ENOMEM;
    task->fn = fn;
    task->arg = arg;
    task->tagged_context = (uintptr_t)context | GYRE__TASK_NODE;
    gyre__queue_append(&loop->queue, task);
    return 0;
}

/* noinline: else its registers are saved and restored around the usual case, too. */
__attribute__((noinline)) static int add_anywhere(struct gyre_loop *loop, gyre_fn *fn, void *arg,
                                                  struct gyre_context *context)
{
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    if (!gyre__loop_claim_room(loop, 1))
        return no_room(loop);
    int r;
    if (!gyre__loop_is_mine(loop))
        r = add_foreign(loop, &(struct gyre__message){fn, arg, context});
    else
        r = loop->closed ? -ESHUTDOWN : add_own(loop, fn, arg, context);
    if (r != 0)
        gyre__loop_return_room(loop, 1);
    return r;
}

static inline int add(struct gyre_loop *loop, gyre_fn *fn, void *arg, struct gyre_context *context)
{
    if (fn == NULL)
        return -EINVAL;
    if (gyre__loop_is_inside(loop) && loop->options.queue_max == 0)
        return add_own(loop, fn, arg, context);
    return add_anywhere(loop, fn, arg, context);
}

int gyre_loop_spawn_callback(struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    return add(loop, fn, arg, NULL);
}

/* noinline: as add_anywhere. */
__attribute__((noinline)) static int add_in_context(struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    struct gyre_context *context = gyre__context_capture();
    int r = add(loop, fn, arg, context);
    if (r != 0)
        gyre__context_drop(context);
    return r;
}

int gyre_loop_add_callback(struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    return gyre__thread.context == NULL ? add(loop, fn, arg, NULL) : add_in_context(loop, fn, arg);
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
    if (r == 0)
        return 0;
    /* The post was accepted, so fn has to run once: now, and with the reason that it is so early.
     * The reason goes first, since fn may free arg. */
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_TIMER, .error = r, .fd = -1, .fn = call.fn, .arg = call.arg};
    gyre__loop_report(loop, &failure);
    (void)call.fn(loop, -ECANCELED, call.arg);
    return 0;
}

int gyre_loop_post_call_at(struct gyre_loop *loop, uint64_t deadline_ns, gyre_fn *fn, void *arg)
{
    if (fn == NULL)
        return -EINVAL;
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
