/* SPDX-License-Identifier: MIT */
/*
 * lanes - see lanes.h.
 */
#include "loop/lanes.h"

#include "loop/loop.h"

enum {
    BUCKETS_MIN = 8 /* a thread that posts to a few loops */
};

static struct gyre__lane **bucket_of(const struct gyre__lane_table *table, uint64_t serial)
{
    return &table->buckets[serial & (table->size - 1)]; /* serials are dense */
}

static void insert(struct gyre__lane_table *table, struct gyre__lane *lane)
{
    struct gyre__lane **bucket = bucket_of(table, lane->loop_serial);
    lane->next_of_thread = *bucket;
    *bucket = lane;
    table->count++;
}

static void free_buckets(struct gyre__lane_table *table)
{
    if (table->buckets != NULL)
        gyre__port_release(table->buckets, table->size * sizeof(struct gyre__lane *));
}

/* Moves the lanes of `table` into `larger`, but for those that are closed, which are dropped. */
static void move(struct gyre__lane_table *table, struct gyre__lane_table *larger)
{
    for (uint32_t i = 0; i < table->size; i++) {
        struct gyre__lane *lane = table->buckets[i];
        while (lane != NULL) {
            struct gyre__lane *next = lane->next_of_thread;
            if (gyre__lane_is_closed(lane))
                gyre__lane_forsake(lane);
            else
                insert(larger, lane);
            lane = next;
        }
    }
    free_buckets(table);
}

static uint32_t count_open(const struct gyre__lane_table *table)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < table->size; i++) {
        for (struct gyre__lane *lane = table->buckets[i]; lane != NULL; lane = lane->next_of_thread)
            count += !gyre__lane_is_closed(lane);
    }
    return count;
}

/* A table that is full of lanes drops the closed ones, and grows if half of it is left. */
static bool make_room(struct gyre__lane_table *table)
{
    if (table->count < table->size)
        return true;
    struct gyre__lane_table larger = {.size = table->size, .left = table->left};
    if (count_open(table) * 2 >= table->size)
        larger.size = table->size == 0 ? BUCKETS_MIN : table->size * 2;
    larger.buckets = gyre__port_allocate(larger.size * sizeof(struct gyre__lane *));
    if (larger.buckets == NULL)
        return false;
    move(table, &larger);
    *table = larger;
    return true;
}

struct gyre__lane *gyre__lanes_find(const struct gyre_loop *loop)
{
    struct gyre__lane_table *table = &gyre__thread.lanes;
    struct gyre__lane *lane = table->last;
    if (lane != NULL && lane->loop_serial == loop->serial)
        return lane;
    lane = table->size == 0 ? NULL : *bucket_of(table, loop->serial);
    while (lane != NULL && lane->loop_serial != loop->serial)
        lane = lane->next_of_thread;
    table->last = lane;
    return lane;
}

struct gyre__lane *gyre__lanes_create(const struct gyre_loop *loop)
{
    struct gyre__lane_table *table = &gyre__thread.lanes;
    if (gyre__thread_notice_end() != 0 || !make_room(table))
        return NULL;
    struct gyre__lane *lane = gyre__lane_create(loop->serial, loop->meter);
    if (lane != NULL) {
        insert(table, lane);
        gyre__task_set_detoured(&lane->node, table->left);
    }
    table->last = lane;
    return lane;
}

void gyre__lanes_forsake(struct gyre__lane *lane)
{
    struct gyre__lane_table *table = &gyre__thread.lanes;
    struct gyre__lane **link = bucket_of(table, lane->loop_serial);
    while (*link != lane)
        link = &(*link)->next_of_thread;
    *link = lane->next_of_thread;
    table->count--;
    table->last = NULL;
    gyre__lane_forsake(lane);
}

void gyre__lanes_thread_ends(struct gyre__lane_table *table)
{
    for (uint32_t i = 0; i < table->size; i++) {
        struct gyre__lane *lane = table->buckets[i];
        while (lane != NULL) {
            struct gyre__lane *next = lane->next_of_thread;
            gyre__lane_forsake(lane);
            lane = next;
        }
    }
    free_buckets(table);
    *table = (struct gyre__lane_table){.left = table->left || table->count > 0};
}
