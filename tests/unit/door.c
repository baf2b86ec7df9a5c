/* SPDX-License-Identifier: MIT */
/*
 * door - the states of a loop's door, and what each function does in each of them.
 */
#include "loop/door.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>

#include "harness/gyre_test.h"

enum {
    POSTERS = 4,
    POSTS = 5000
};

static int post_one(struct gyre__door *door, struct gyre_task *task)
{
    return gyre__door_post(door, task, task);
}

/* Whether `list`, which a door gave, is these tasks, posted in this order. */
static bool is_list(const struct gyre_task *list, struct gyre_task *const tasks[], size_t count)
{
    for (; count > 0 && list == tasks[count - 1]; list = list->next)
        count--;
    return list == NULL && count == 0;
}

GYRE_TEST(door, fresh_door_is_empty)
{
    struct gyre__door door;
    gyre__door_init(&door);
    cr_assert_null(gyre__door_take(&door));
    cr_assert(gyre__door_arm(&door), "so the owner may sleep");
}

GYRE_TEST(door, takes_all_newest_first)
{
    struct gyre__door door;
    struct gyre_task tasks[5];
    struct gyre_task *order[5];
    gyre__door_init(&door);
    for (int i = 0; i < 5; i++) {
        order[i] = &tasks[i];
        cr_assert_eq(post_one(&door, &tasks[i]), GYRE__DOOR_POSTED);
    }
    cr_assert(is_list(gyre__door_take(&door), order, 5));
    cr_assert_null(gyre__door_take(&door));
}

GYRE_TEST(door, chain_is_posted_as_one_in_its_order)
{
    struct gyre__door door;
    struct gyre_task tasks[6];
    struct gyre_task *order[6];
    gyre__door_init(&door);
    for (int i = 0; i < 6; i++)
        order[i] = &tasks[i];
    cr_assert_eq(post_one(&door, &tasks[0]), GYRE__DOOR_POSTED);
    for (int i = 2; i < 5; i++)
        tasks[i].next = &tasks[i - 1];
    cr_assert_eq(gyre__door_post(&door, &tasks[4], &tasks[1]), GYRE__DOOR_POSTED);
    cr_assert_eq(post_one(&door, &tasks[5]), GYRE__DOOR_POSTED);
    cr_assert(is_list(gyre__door_take(&door), order, 6));
}

GYRE_TEST(door, arm_fails_when_there_is_work)
{
    struct gyre__door door;
    struct gyre_task task;
    gyre__door_init(&door);
    cr_assert_eq(post_one(&door, &task), GYRE__DOOR_POSTED);
    cr_assert_not(gyre__door_arm(&door));
    cr_assert_eq(gyre__door_take(&door), &task, "the failure took nothing");
    cr_assert(gyre__door_arm(&door));
}

GYRE_TEST(door, only_the_poster_that_replaces_the_mark_wakes)
{
    struct gyre__door door;
    struct gyre_task tasks[3];
    struct gyre_task *const order[] = {&tasks[0], &tasks[1], &tasks[2]};
    gyre__door_init(&door);
    cr_assert(gyre__door_arm(&door));
    cr_assert_eq(post_one(&door, &tasks[0]), GYRE__DOOR_POSTED_WAKE);
    cr_assert_eq(post_one(&door, &tasks[1]), GYRE__DOOR_POSTED);
    gyre__door_disarm(&door);
    cr_assert_eq(post_one(&door, &tasks[2]), GYRE__DOOR_POSTED);
    cr_assert(is_list(gyre__door_take(&door), order, 3), "the mark is in no list");
}

GYRE_TEST(door, chain_replaces_the_mark_too)
{
    struct gyre__door door;
    struct gyre_task tasks[2];
    struct gyre_task *const order[] = {&tasks[0], &tasks[1]};
    gyre__door_init(&door);
    cr_assert(gyre__door_arm(&door));
    tasks[1].next = &tasks[0];
    cr_assert_eq(gyre__door_post(&door, &tasks[1], &tasks[0]), GYRE__DOOR_POSTED_WAKE);
    cr_assert(is_list(gyre__door_take(&door), order, 2));
}

GYRE_TEST(door, disarm_takes_the_mark_back)
{
    struct gyre__door door;
    struct gyre_task task;
    gyre__door_init(&door);
    cr_assert(gyre__door_arm(&door));
    gyre__door_disarm(&door);
    cr_assert_eq(post_one(&door, &task), GYRE__DOOR_POSTED, "nobody has to be woken");
    gyre__door_disarm(&door);
    cr_assert_eq(gyre__door_take(&door), &task, "a second disarm takes nothing");
}

GYRE_TEST(door, take_leaves_the_mark)
{
    struct gyre__door door;
    struct gyre_task task;
    gyre__door_init(&door);
    cr_assert(gyre__door_arm(&door));
    cr_assert_null(gyre__door_take(&door));
    cr_assert_eq(post_one(&door, &task), GYRE__DOOR_POSTED_WAKE);
}

GYRE_TEST(door, close_takes_what_is_there_in_each_state)
{
    for (int state = 0; state < 4; state++) {
        struct gyre__door door;
        struct gyre_task tasks[2];
        struct gyre_task *const order[] = {&tasks[0], &tasks[1]};
        size_t posted = 0;
        gyre__door_init(&door);
        if (state == 1 || state == 3)
            cr_assert(gyre__door_arm(&door));
        if (state >= 2) {
            for (; posted < 2; posted++)
                cr_assert_geq(post_one(&door, &tasks[posted]), 0);
        }
        cr_assert(is_list(gyre__door_close(&door), order, posted), "state %d", state);
        cr_assert_null(gyre__door_close(&door), "state %d", state);
    }
}

GYRE_TEST(door, nothing_leaves_closed)
{
    struct gyre__door door;
    struct gyre_task task = {.next = &task};
    gyre__door_init(&door);
    cr_assert_null(gyre__door_close(&door));
    cr_assert_eq(post_one(&door, &task), -ESHUTDOWN);
    cr_assert_eq(task.next, &task, "a refused task is not touched");
    cr_assert_null(gyre__door_take(&door));
    cr_assert_not(gyre__door_arm(&door));
    gyre__door_disarm(&door);
    cr_assert_eq(post_one(&door, &task), -ESHUTDOWN);
}

/* A thread that posts its tasks in order, and counts the wakes that fall to it. */
struct poster {
    struct gyre__door *door;
    struct gyre_task tasks[POSTS];
    unsigned wakes;
    unsigned refused;
    unsigned next; /* the taker's: the task that must come next */
};

static void *post_all(void *arg)
{
    struct poster *poster = arg;
    for (int i = 0; i < POSTS; i++) {
        poster->tasks[i].arg = poster;
        int r = post_one(poster->door, &poster->tasks[i]);
        poster->wakes += r == GYRE__DOOR_POSTED_WAKE;
        poster->refused += r < 0;
        if (i % 100 == 0)
            sched_yield(); /* lets the owner arm now and then */
    }
    return NULL;
}

/* Checks that each poster's tasks come in its order, and returns how many there are. */
static unsigned check_list(struct gyre_task *newest, unsigned *misplaced)
{
    struct gyre_task *oldest = NULL;
    unsigned count = 0;
    for (struct gyre_task *next; newest != NULL; newest = next, count++) {
        next = newest->next;
        newest->next = oldest;
        oldest = newest;
    }
    for (; oldest != NULL; oldest = oldest->next) {
        struct poster *poster = oldest->arg;
        *misplaced += oldest != &poster->tasks[poster->next++];
    }
    return count;
}

GYRE_TEST(door, posts_of_many_threads_arrive_once_and_in_each_ones_order)
{
    static struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    struct gyre__door door;
    unsigned taken = 0;
    unsigned misplaced = 0;
    unsigned arms = 0;
    unsigned wakes = 0;
    gyre__door_init(&door);
    for (int i = 0; i < POSTERS; i++) {
        posters[i].door = &door;
        cr_assert_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    while (taken < POSTERS * POSTS) {
        if (gyre__door_arm(&door)) {
            arms++;
            sched_yield();
            gyre__door_disarm(&door);
        }
        taken += check_list(gyre__door_take(&door), &misplaced);
    }
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        wakes += posters[i].wakes;
        cr_assert_eq(posters[i].next, POSTS);
        cr_assert_eq(posters[i].refused, 0);
    }
    cr_assert_eq(misplaced, 0);
    cr_assert_leq(wakes, arms, "one wake for each mark at most");
}

GYRE_TEST(door, close_among_many_posters_loses_none)
{
    static struct poster posters[POSTERS];
    pthread_t threads[POSTERS];
    struct gyre__door door;
    unsigned misplaced = 0;
    unsigned accepted = 0;
    gyre__door_init(&door);
    for (int i = 0; i < POSTERS; i++) {
        posters[i].door = &door;
        cr_assert_eq(pthread_create(&threads[i], NULL, post_all, &posters[i]), 0);
    }
    unsigned taken = 0;
    while (taken < POSTS / 2)
        taken += check_list(gyre__door_take(&door), &misplaced);
    taken += check_list(gyre__door_close(&door), &misplaced);
    for (int i = 0; i < POSTERS; i++) {
        pthread_join(threads[i], NULL);
        accepted += POSTS - posters[i].refused;
    }
    cr_assert_null(gyre__door_take(&door));
    cr_assert_eq(taken, accepted);
    cr_assert_eq(misplaced, 0);
}
