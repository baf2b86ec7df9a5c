/* SPDX-License-Identifier: MIT */
/*
 * inbox - the owner's side of the door and of the lanes: how what others have posted comes into the
 * queue.
 *
 * A lane of the loop's is in one of these places, but for the moment of a change:
 *
 *   idle       announced is IDLE: its next message comes with its node through the door
 *   queued     its entry stands in the queue, for the messages that were seen
 *   attached   all of these have run: the loop looks at it when a turn begins
 *
 *              +------ its node in the door ------+
 *              |                                  v      the last is taken
 *            idle                               queued -------------------> attached
 *              ^                                  ^                         |      |
 *              |                                  +---- a look finds more --+      |
 *              +---- the loop wants to sleep, or looked GYRE__INBOX_LOOKS times ---+
 *
 * Stop     Who posts and then stops the loop has his post run in the turn that meets the stop. So
 *          the door is taken until it holds no stop: the node of a post may have been pushed after
 *          the loop's own, which an earlier wake had put there. Then the lanes are looked at, the
 *          queued ones too.
 * Owner    A thread's posts are queued at once while it is inside, and else take its lane. A lane
 *          that is still queued would let the one kind overtake the other (T38). So a thread that
 *          enters looks at its own lane, and one that leaves while others stand behind that drops
 *          it, and makes another for its next callback.
 * Why      While a thread posts steadily neither the door nor its node moves between the two cores,
 *          and the loop needs one look a turn. A loop that sleeps has no lane attached.
 * Rest     To let go of a lane takes its word from the producer's core, whether more has come or
 *          not. A loop that is faster than its producers would do little else: it takes a word and
 *          a message's line for every few messages, and all wait for lines. So it rests for a
 *          moment before it lets go of lanes that flow, and finds more at once: a post took 105 ns
 *          between far cores without, and takes 58, and between near ones 33 and 23.
 * Memory   A loop drops the lanes of ended threads when their number has doubled since last time.
 */
#ifndef GYRE_LOOP_INBOX_H
#define GYRE_LOOP_INBOX_H

#include "loop/lane.h"

struct gyre_loop;

enum gyre__lane_place {
    GYRE__LANE_AWAY, /* idle, or its node is on its way */
    GYRE__LANE_QUEUED,
    GYRE__LANE_ATTACHED
};

enum gyre__inbox_limits {
    GYRE__INBOX_LOOKS = 16, /* turns without a message, after which a lane is let go */
    GYRE__INBOX_FLOW = 4, /* messages of one look, after which a rest comes before the next */
    GYRE__INBOX_REST = 32, /* relaxations, about half a microsecond */
    GYRE__INBOX_SWEEP_MIN = 16 /* lanes that a loop never sweeps for: 40 KiB */
};

struct gyre__inbox {
    struct gyre__lane *lanes; /* [o] all that it knows */
    struct gyre__lane *attached; /* [o] */
    bool flows; /* [o] a look since the last sleep, or try, has found much */
    uint32_t count; /* [o] of lanes */
    uint32_t swept; /* [o] how many the last sweep left */
};

/* Takes all that is there into the queue; meets the loop's own requests. */
void gyre__inbox_receive(struct gyre_loop *loop);

/* The caller has become the owner, and what it posts from now on is queued at once: so is what its
 * lane holds. */
void gyre__inbox_enter(struct gyre_loop *loop);

/* The caller stops being the owner, and what it posts from now on takes its lane: not one that
 * stands in the queue before the last posts of the owner. */
void gyre__inbox_leave(struct gyre_loop *loop);

/* Before a sleep: lets go of the attached lanes. False: there was more, and it is queued now. */
bool gyre__inbox_detach(struct gyre_loop *loop);

/* The lane at the queue's head is spent. */
void gyre__inbox_leave_queue(struct gyre_loop *loop, struct gyre__lane *lane);

/* Closes the door, then the lanes, and queues what was there. */
void gyre__inbox_close(struct gyre_loop *loop);

/* The closed loop has cancelled all of that: drops the lanes. */
void gyre__inbox_deinit(struct gyre_loop *loop);

#endif
