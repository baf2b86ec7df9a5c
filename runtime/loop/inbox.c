/* SPDX-License-Identifier: MIT */
/*
 * inbox - see inbox.h.
 */
#include "loop/inbox.h"

#include "loop/loop.h"

/* ---- the lanes that a loop knows ------------------------------------------------------------- */

/* Drops the lanes whose threads have ended. */
static void sweep(struct gyre__inbox *inbox)
{
    struct gyre__lane **link = &inbox->lanes;
    while (*link != NULL) {
        struct gyre__lane *lane = *link;
        if (!gyre__lane_is_abandoned(lane)) {
            link = &lane->next_of_loop;
            continue;
        }
        *link = lane->next_of_loop;
        inbox->count--;
        gyre__lane_release(lane);
    }
    inbox->swept = inbox->count;
}

static void know(struct gyre__inbox *inbox, struct gyre__lane *lane)
{
    if (lane->known_by_loop)
        return;
    if (inbox->count >= GYRE__INBOX_SWEEP_MIN && inbox->count >= 2 * inbox->swept)
        sweep(inbox);
    lane->known_by_loop = true;
    lane->next_of_loop = inbox->lanes;
    inbox->lanes = lane;
    inbox->count++;
}

/* ---- between idle, queued and attached ------------------------------------------------------- */

/* Queues a lane's entry behind all that is there, for `count` messages. */
static void queue_lane(struct gyre_loop *loop, struct gyre__lane *lane, uint64_t count)
{
    lane->place = GYRE__LANE_QUEUED;
    loop->inbox.flows |= count >= GYRE__INBOX_FLOW;
    lane->entry.next = NULL;
    gyre__queue_splice(&loop->queue, &lane->entry, &lane->entry, count);
    gyre__counter_add(&loop->counters.posts, count);
}

/* Lets a queued lane's entry stand for `count` messages more. */
static void add_messages(struct gyre_loop *loop, uint64_t count)
{
    loop->queue.added += count;
    gyre__counter_add(&loop->counters.posts, count);
}

/* Looks at a queued lane, which otherwise waits until it has run what it stands for. */
static void extend(struct gyre_loop *loop, struct gyre__lane *lane)
{
    add_messages(loop, gyre__lane_look(lane));
}

static void attach(struct gyre__inbox *inbox, struct gyre__lane *lane)
{
    lane->place = GYRE__LANE_ATTACHED;
    lane->looks = 0;
    lane->next_attached = inbox->attached;
    inbox->attached = lane;
}

/* Lets go of the attached lane at `link`. False: there was more, and it is queued now. */
static bool detach(struct gyre_loop *loop, struct gyre__lane **link)
{
    struct gyre__lane *lane = *link;
    *link = lane->next_attached;
    lane->place = GYRE__LANE_AWAY;
    uint64_t count = gyre__lane_settle(lane);
    if (count > 0)
        queue_lane(loop, lane, count);
    return count == 0;
}

/* False: there was more. */
static bool detach_all(struct gyre_loop *loop)
{
    bool all = true;
    while (loop->inbox.attached != NULL)
        all &= detach(loop, &loop->inbox.attached);
    return all;
}

bool gyre__inbox_detach(struct gyre_loop *loop)
{
    for (int i = 0; loop->inbox.flows && i < GYRE__INBOX_REST; i++)
        gyre__port_relax();
    loop->inbox.flows = false;
    return detach_all(loop);
}

/* Looks at the attached lanes. */
static void look(struct gyre_loop *loop)
{
    struct gyre__lane **link = &loop->inbox.attached;
    while (*link != NULL) {
        struct gyre__lane *lane = *link;
        uint64_t count = gyre__lane_look(lane);
        if (count > 0) {
            *link = lane->next_attached;
            queue_lane(loop, lane, count);
        } else if (++lane->looks < GYRE__INBOX_LOOKS) {
            link = &lane->next_attached;
        } else {
            (void)detach(loop, link); /* should more have come, it is queued */
        }
    }
}

void gyre__inbox_leave_queue(struct gyre_loop *loop, struct gyre__lane *lane)
{
    (void)gyre__queue_take(&loop->queue); /* the entry counts as its last message */
    if (loop->closed) {
        lane->place = GYRE__LANE_AWAY; /* and CLOSED */
        return;
    }
    attach(&loop->inbox, lane);
    if (lane->awaited)
        (void)detach(loop, &loop->inbox.attached); /* nothing more, for its producer waits */
    lane->awaited = false;
}

/* ---- the door -------------------------------------------------------------------------------- */

static void meet_lane(struct gyre_loop *loop, struct gyre__lane *lane)
{
    know(&loop->inbox, lane);
    queue_lane(loop, lane, gyre__lane_look(lane));
}

/* Queues what lanes have announced before a task that took the detour, or before a lane that its
 * thread made at its end. Nothing more can come by the task's own lane until that was idle, and
 * then it comes behind the task. */
static void meet_detour(struct gyre_loop *loop)
{
    (void)detach_all(loop); /* those that had more are queued now */
    for (struct gyre__lane *lane = loop->inbox.lanes; lane != NULL; lane = lane->next_of_loop) {
        lane->awaited = lane->place == GYRE__LANE_QUEUED;
        if (lane->awaited)
            extend(loop, lane);
    }
}

static void meet_task(struct gyre_loop *loop, struct gyre_task *task)
{
    gyre__counter_add(&loop->counters.posts, 1);
    gyre__queue_append(&loop->queue, task);
}

/* True: it was a stop. */
static bool meet(struct gyre_loop *loop, struct gyre_task *task)
{
    enum gyre__task_kind kind = gyre__task_kind(task);
    if (kind == GYRE__TASK_CONTROL)
        return gyre__loop_meet_control(loop);
    if (gyre__task_is_detoured(task)) {
        gyre__task_set_detoured(task, false);
        meet_detour(loop);
    }
    if (kind == GYRE__TASK_LANE)
        meet_lane(loop, gyre__lane_of_node(task));
    else
        meet_task(loop, task);
    return false;
}

static struct gyre_task *reverse(struct gyre_task *list)
{
    struct gyre_task *reversed = NULL;
    while (list != NULL) {
        struct gyre_task *next = list->next;
        list->next = reversed;
        reversed = list;
        list = next;
    }
    return reversed;
}

/* Meets what the door gave, newest first, in the order in which it was posted. True: a stop was
 * among it. */
static bool meet_all(struct gyre_loop *loop, struct gyre_task *newest)
{
    bool stop = false;
    struct gyre_task *oldest = reverse(newest);
    while (oldest != NULL) {
        struct gyre_task *task = oldest;
        oldest = task->next; /* before: a lane's node, or a task, may be posted again at once */
        stop |= meet(loop, task);
    }
    return stop;
}

void gyre__inbox_receive(struct gyre_loop *loop)
{
    bool stop = false;
    while (meet_all(loop, gyre__door_take(&loop->door)))
        stop = true;
    look(loop);
    if (!stop)
        return;
    for (struct gyre__lane *lane = loop->inbox.lanes; lane != NULL; lane = lane->next_of_loop) {
        if (lane->place == GYRE__LANE_QUEUED)
            extend(loop, lane);
    }
}

/* ---- the calling thread's own lane ----------------------------------------------------------- */

/* The caller's lane to the loop that it is inside of, if it is queued. */
static struct gyre__lane *own_queued_lane(const struct gyre_loop *loop)
{
    struct gyre__lane *lane = gyre__lanes_find(loop);
    return lane != NULL && lane->place == GYRE__LANE_QUEUED ? lane : NULL;
}

void gyre__inbox_enter(struct gyre_loop *loop)
{
    struct gyre__lane *lane = own_queued_lane(loop);
    if (lane != NULL)
        extend(loop, lane);
}

void gyre__inbox_leave(struct gyre_loop *loop)
{
    struct gyre__lane *lane = loop->depth == 1 ? own_queued_lane(loop) : NULL;
    /* At the tail it has nothing of the caller's behind it. */
    if (lane != NULL && &lane->entry != loop->queue.tail)
        gyre__lanes_forsake(lane);
}

/* ---- the end --------------------------------------------------------------------------------- */

void gyre__inbox_close(struct gyre_loop *loop)
{
    (void)meet_all(loop, gyre__door_close(&loop->door)); /* a stop has nothing left to stop */
    for (struct gyre__lane *lane = loop->inbox.lanes; lane != NULL; lane = lane->next_of_loop) {
        uint64_t count = gyre__lane_close(lane);
        if (lane->place == GYRE__LANE_QUEUED)
            add_messages(loop, count);
        else if (count > 0)
            queue_lane(loop, lane, count);
    }
    loop->inbox.attached = NULL;
}

void gyre__inbox_deinit(struct gyre_loop *loop)
{
    struct gyre__lane *lane = loop->inbox.lanes;
    while (lane != NULL) {
        struct gyre__lane *next = lane->next_of_loop;
        gyre__lane_release(lane);
        lane = next;
    }
    loop->inbox = (struct gyre__inbox){0};
}
