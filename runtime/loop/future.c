/* SPDX-License-Identifier: MIT */
/*
 * future - resolved once, by any thread; waited for on any number of loops.
 *
 * States    of the future's head, the one word that waiters and resolver meet in:
 *             EMPTY  -> waiter  added                 waiter -> EMPTY  the resolver took all
 *             waiter -> waiter  added                 EMPTY  -> DONE   the resolver has posted all
 *           Nothing leaves DONE. The resolver, one by `claimed`, stores the result, then takes and
 *           posts until it can set DONE. A waiter that is added meanwhile is posted like the rest.
 * Order     Who finds DONE on a loop knows that all earlier waiters are in the loop's door, and
 *           queues its own behind what it receives from there. So the functions of one future run
 *           in the order of adding; had the resolver set DONE first, those added last could come
 *           before those still on their way. Waiters go through the door itself, never a lane, for
 *           a queued lane is not looked at until it is run.
 *           A waiter's push releases, the resolver's take acquires: it sees the members. The
 *           resolver's posts and DONE release; who finds DONE acquires, and so does a loop that
 *           takes from its door: both see the result, and the first all the posts.
 * Closing   The loop's list has all that wait on it. A closing loop closes its door, cancels what
 *           came through, and then what is left in the list: a post of the resolver's was either in
 *           time or is refused, so that one of the two ends the waiter, and the door decides which.
 * Lifetime  A waiter is held by the list, until it is called, and by the chain, until the resolver
 *           hands it to the door (with the post, the chain's reference is the loop's), finds the
 *           door closed, or the future goes unresolved. The resolver holds the loop past the post,
 *           since it may have to ring.
 * Rejected  A lock a future: a resolver would hold it through its posts. A flag a waiter for the
 *           race with close: the door is that flag already.
 * Model     tests/model/future.pml.
 */
#include "loop/future.h"

#include <gyre/error.h>

#include "loop/context.h"
#include "loop/loop.h"

#define EMPTY ((struct gyre__waiter *)0)
#define DONE ((struct gyre__waiter *)1)

struct gyre_future {
    struct gyre__waiter *_Atomic head; /* [a] */
    _Atomic uint32_t references; /* [a] */
    _Atomic bool claimed; /* [a] by the one resolver */
    _Atomic bool resolved; /* [a] the result may be read */
    int error; /* the resolver's, then anyone's to read */
    void *value; /* likewise */
    gyre_release_fn *release; /* [I] */
};

/* ---- references ------------------------------------------------------------------------------ */

static void release_waiter(struct gyre__waiter *waiter)
{
    /* acq_rel: who frees sees what the other holder did with it */
    if (atomic_fetch_sub_explicit(&waiter->references, 1, memory_order_acq_rel) != 1)
        return;
    struct gyre_loop *loop = waiter->loop;
    gyre__port_release(waiter, sizeof(*waiter));
    gyre_loop_release(loop);
}

int gyre_future_create(struct gyre_future **ret_future)
{
    struct gyre_future *future = gyre__port_allocate(sizeof(*future));
    if (future == NULL)
        return -ENOMEM;
    atomic_init(&future->head, EMPTY);
    atomic_init(&future->references, 1);
    *ret_future = future;
    return 0;
}

struct gyre_future *gyre_future_acquire(struct gyre_future *future)
{
    /* relaxed: whoever acquires holds a reference, or is handed one in some ordered way */
    atomic_fetch_add_explicit(&future->references, 1, memory_order_relaxed);
    return future;
}

void gyre_future_release(struct gyre_future *future)
{
    /* acq_rel: the last holder sees what all others did with the future before they let go */
    if (future == NULL ||
        atomic_fetch_sub_explicit(&future->references, 1, memory_order_acq_rel) != 1)
        return;
    /* relaxed: nobody else is left. What is in the chain of one never resolved was cancelled. */
    struct gyre__waiter *waiter = atomic_load_explicit(&future->head, memory_order_relaxed);
    while (waiter != EMPTY && waiter != DONE) {
        struct gyre__waiter *earlier = waiter->earlier;
        release_waiter(waiter);
        waiter = earlier;
    }
    if (future->release != NULL && future->value != NULL)
        future->release(future->value);
    gyre__port_release(future, sizeof(*future));
}

void gyre_future_set_release(struct gyre_future *future, gyre_release_fn *release)
{
    future->release = release;
}

/* ---- posting --------------------------------------------------------------------------------- */

/* Queues a waiter for its call. From here on it is the loop's: it may be gone. */
static int post(struct gyre_loop *loop, struct gyre__waiter *waiter)
{
    if (gyre__loop_is_inherited(loop))
        return -ECHILD;
    if (gyre__loop_is_mine(loop)) {
        if (loop->closed)
            return -ESHUTDOWN;
        gyre__queue_append(&loop->queue, &waiter->task);
        return 0;
    }
    int r = gyre__door_post(&loop->door, &waiter->task, &waiter->task);
    if (r == GYRE__DOOR_POSTED_WAKE)
        gyre__loop_ring(loop);
    return r < 0 ? r : 0;
}

/* The oldest of a chain, linked to the newer ones by `earlier`. */
static struct gyre__waiter *reverse(struct gyre__waiter *newest)
{
    struct gyre__waiter *reversed = NULL;
    while (newest != NULL) {
        struct gyre__waiter *earlier = newest->earlier;
        newest->earlier = reversed;
        reversed = newest;
        newest = earlier;
    }
    return reversed;
}

static void post_all(struct gyre__waiter *newest)
{
    struct gyre__waiter *waiter = reverse(newest);
    while (waiter != NULL) {
        struct gyre__waiter *later = waiter->earlier;
        struct gyre_loop *loop = gyre_loop_acquire(waiter->loop);
        if (post(loop, waiter) != 0)
            release_waiter(waiter); /* the loop has closed, or is a parent's: it ends it itself */
        gyre_loop_release(loop);
        waiter = later;
    }
}

int gyre_future_resolve(struct gyre_future *future, int error, void *value)
{
    if (error > 0)
        return -EINVAL;
    /* relaxed: it only counts who comes first */
    if (atomic_exchange_explicit(&future->claimed, true, memory_order_relaxed))
        return -EALREADY;
    (void)gyre_future_acquire(future); /* a function that waited may drop the caller's */
    future->error = error;
    future->value = value;
    /* release: pairs with the acquire of gyre_future_is_done, and shows the result */
    atomic_store_explicit(&future->resolved, true, memory_order_release);
    struct gyre__waiter *expected = EMPTY;
    /* release: pairs with the acquire in add, and shows the posts; relaxed: only that it failed */
    while (!atomic_compare_exchange_strong_explicit(&future->head, &expected, DONE,
                                                    memory_order_release, memory_order_relaxed)) {
        /* acquire: pairs with the release of every add in the chain, and shows the waiters */
        post_all(atomic_exchange_explicit(&future->head, EMPTY, memory_order_acquire));
        expected = EMPTY;
    }
    gyre_future_release(future);
    return 0;
}

/* ---- result ---------------------------------------------------------------------------------- */

bool gyre_future_is_done(const struct gyre_future *future)
{
    /* acquire: pairs with the release in resolve */
    return atomic_load_explicit(&future->resolved, memory_order_acquire);
}

int gyre_future_result(const struct gyre_future *future, void **ret_value)
{
    if (!gyre_future_is_done(future))
        return -EINPROGRESS;
    if (future->error == 0 && ret_value != NULL)
        *ret_value = future->value;
    return future->error;
}

/* ---- waiting --------------------------------------------------------------------------------- */

static void enlist(struct gyre__waiters *waiters, struct gyre__waiter *waiter)
{
    waiter->prev = waiters->last;
    if (waiters->last != NULL)
        waiters->last->next = waiter;
    else
        waiters->first = waiter;
    waiters->last = waiter;
}

static void delist(struct gyre__waiters *waiters, struct gyre__waiter *waiter)
{
    if (waiter->prev != NULL)
        waiter->prev->next = waiter->next;
    else
        waiters->first = waiter->next;
    if (waiter->next != NULL)
        waiter->next->prev = waiter->prev;
    else
        waiters->last = waiter->prev;
}

/* Puts a waiter into the chain. False: the future is done, and all before it are in the door. */
static bool chain(struct gyre_future *future, struct gyre__waiter *waiter)
{
    /* acquire, here and where the exchange fails: pairs with DONE's release in resolve */
    struct gyre__waiter *head = atomic_load_explicit(&future->head, memory_order_acquire);
    do {
        if (head == DONE)
            return false;
        waiter->earlier = head;
        /* release: pairs with the acquire of the resolver's take, and shows the members */
    } while (!atomic_compare_exchange_weak_explicit(&future->head, &head, waiter,
                                                    memory_order_release, memory_order_acquire));
    return true;
}

GYRE_ON_LOOP static void queue_late(struct gyre_loop *loop, struct gyre__waiter *waiter)
{
    /* While nobody is inside the waiter takes the door, behind the others. */
    if (gyre__loop_is_mine(loop))
        gyre__inbox_receive(loop);
    (void)post(loop, waiter); /* the loop is open, and only its owner, the caller, can close it */
}

int gyre_future_add_done(struct gyre_future *future, struct gyre_loop *loop, gyre_fn *fn, void *arg)
{
    int r = gyre__loop_check_owner(loop, "gyre_future_add_done");
    if (r != 0)
        return r;
    if (loop->closed)
        return -ESHUTDOWN;
    if (fn == NULL)
        return -EINVAL;
    struct gyre__waiter *waiter = gyre__port_allocate(sizeof(*waiter));
    if (waiter == NULL)
        return -ENOMEM;
    gyre_task_init(&waiter->task, fn, arg);
    gyre__task_set_kind(&waiter->task, GYRE__TASK_WAITER);
    gyre__task_capture(&waiter->task);
    waiter->loop = gyre_loop_acquire(loop);
    waiter->future = gyre_future_acquire(future);
    atomic_init(&waiter->references, 2);
    enlist(&loop->waiters, waiter);
    if (!chain(future, waiter))
        queue_late(loop, waiter);
    return 0;
}

GYRE_ON_LOOP static void report(struct gyre_loop *loop, struct gyre_future *future, int error)
{
    struct gyre_failure failure = {
        .kind = GYRE_FAILED_FUTURE, .error = error, .fd = -1, .arg = future};
    gyre__loop_report(loop, &failure);
}

static int report_failure(struct gyre_loop *loop, int status, void *arg)
{
    gyre__assert_on_loop();
    int error = status == 0 ? gyre_future_result(arg, NULL) : 0;
    if (error != 0)
        report(loop, arg, error);
    return 0;
}

int gyre_loop_watch_future(struct gyre_loop *loop, struct gyre_future *future)
{
    return gyre_future_add_done(future, loop, report_failure, future);
}

/* ---- the call -------------------------------------------------------------------------------- */

struct gyre__waiter *gyre__waiter_leave(struct gyre_loop *loop, struct gyre_task *task)
{
    struct gyre__waiter *waiter = (struct gyre__waiter *)task;
    delist(&loop->waiters, waiter);
    release_waiter(waiter); /* the chain's, which came with the post: not the last */
    return waiter;
}

void gyre__waiter_end(struct gyre__waiter *waiter)
{
    struct gyre_future *future = waiter->future;
    release_waiter(waiter);
    gyre_future_release(future);
}

bool gyre__waiters_cancel_one(struct gyre_loop *loop)
{
    struct gyre__waiter *waiter = loop->waiters.first;
    if (waiter == NULL)
        return false;
    delist(&loop->waiters, waiter);
    gyre__context_begin(gyre__task_context(&waiter->task));
    (void)waiter->task.fn(loop, -ECANCELED, waiter->task.arg); /* it only releases */
    gyre__context_end();
    gyre__task_drop_context(&waiter->task);
    gyre__waiter_end(waiter);
    return true;
}

/* Whether it was posted and so is in no chain, but in a queue that nobody takes it from. */
static bool is_stranded(const struct gyre__waiter *waiter)
{
    /* acquire: pairs with DONE's release in resolve, after which none of its posts is to come */
    return atomic_load_explicit(&waiter->future->head, memory_order_acquire) == DONE &&
           atomic_load_explicit(&waiter->references, memory_order_relaxed) == 2;
}

void gyre__waiters_forget(struct gyre_loop *loop)
{
    struct gyre__waiter *waiter;
    while ((waiter = loop->waiters.first) != NULL) {
        delist(&loop->waiters, waiter);
        gyre__task_drop_context(&waiter->task);
        if (is_stranded(waiter))
            release_waiter(waiter); /* the chain's, which came with the post */
        gyre__waiter_end(waiter);
    }
}
