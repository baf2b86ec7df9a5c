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
    lane->entry.next = NULL;
    gyre__queue_splice(&loop->queue, &lane->entry, &lane->entry, count);
    gyre__counter_add(&loop->counters.posts, count);
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

bool gyre__inbox_detach(struct gyre_loop *loop)
{
    bool all = true;
    while (loop->inbox.attached != NULL)
        all &= detach(loop, &loop->inbox.attached);
    return all;
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

/* The lane at the queue's head is spent. */
static void leave_queue(struct gyre_loop *loop, struct gyre__lane *lane)
{
    (void)gyre__queue_take(&loop->queue); /* the entry counts as its last message */
    if (loop->closed)
        lane->place = GYRE__LANE_AWAY; /* and CLOSED */
    else
        attach(&loop->inbox, lane);
    if (lane->behind.head == NULL)
        return;
    if (!loop->closed)
        (void)detach(loop, &loop->inbox.attached); /* its producer waits for that */
    gyre__queue_move(&loop->queue, &lane->behind);
}

struct gyre__message gyre__inbox_take(struct gyre_loop *loop)
{
    struct gyre__lane *lane = gyre__lane_of_entry(loop->queue.head);
    struct gyre__message message = gyre__lane_take(lane);
    if (gyre__lane_is_spent(lane))
        leave_queue(loop, lane);
    else
        loop->queue.taken++;
    return message;
}

/* ---- the door -------------------------------------------------------------------------------- */

static void meet_lane(struct gyre_loop *loop, struct gyre__lane *lane)
{
    know(&loop->inbox, lane);
    queue_lane(loop, lane, gyre__lane_look(lane));
}

/* A task that took the detour comes behind what its lane had announced by then. */
static void meet_detoured(struct gyre_loop *loop, struct gyre_task *task)
{
    struct gyre__lane *lane = task->spare;
    task->spare = NULL;
    lane->detours_met++;
    if (lane->place == GYRE__LANE_QUEUED) {
        gyre__queue_append(&lane->behind, task);
        return;
    }
    struct gyre__lane **link = &loop->inbox.attached;
    while (lane->place == GYRE__LANE_ATTACHED && *link != lane)
        link = &(*link)->next_attached;
    if (lane->place == GYRE__LANE_ATTACHED)
        (void)detach(loop, link); /* what it still held is in the queue now */
    gyre__queue_append(&loop->queue, task);
}

static void meet(struct gyre_loop *loop, struct gyre_task *task)
{
    if (task->kind == GYRE__TASK_CONTROL) {
        gyre__loop_meet_control(loop);
    } else if (task->kind == GYRE__TASK_LANE) {
        meet_lane(loop, gyre__lane_of_node(task));
    } else {
        gyre__counter_add(&loop->counters.posts, 1);
        if (task->spare != NULL)
            meet_detoured(loop, task);
        else
            gyre__queue_append(&loop->queue, task);
    }
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

/* Meets what the door gave, newest first, in the order in which it was posted. */
static void meet_all(struct gyre_loop *loop, struct gyre_task *newest)
{
    struct gyre_task *oldest = reverse(newest);
    while (oldest != NULL) {
        struct gyre_task *task = oldest;
        oldest = task->next; /* before: a lane's node, or a task, may be posted again at once */
        meet(loop, task);
    }
}

void gyre__inbox_receive(struct gyre_loop *loop)
{
    meet_all(loop, gyre__door_take(&loop->door));
    look(loop);
}

/* ---- the end --------------------------------------------------------------------------------- */

void gyre__inbox_close(struct gyre_loop *loop)
{
    meet_all(loop, gyre__door_close(&loop->door));
    for (struct gyre__lane *lane = loop->inbox.lanes; lane != NULL; lane = lane->next_of_loop) {
        uint64_t count = gyre__lane_close(lane);
        if (lane->place != GYRE__LANE_QUEUED && count > 0) {
            queue_lane(loop, lane, count);
        } else {
            loop->queue.added += count; /* where its entry stands */
            gyre__counter_add(&loop->counters.posts, count);
        }
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
