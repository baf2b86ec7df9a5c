/* SPDX-License-Identifier: MIT */
/*
 * timer - the heap and the due list, against a plain list that is searched.
 */
#include "loop/timer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "harness/gyre_test.h"

enum {
    FEW = 40, /* so that deadlines meet, all states are frequent, and the heap has them all */
    TIMERS = 400, /* enough that most are in the wheel */
    OPERATIONS = 1000000,
    CHECK_ALWAYS = 20000, /* operations after each of which the structure is walked */
    CHECK_EVERY = 64 /* and thereafter */
};

static int never_called(struct gyre_loop *loop, int status, void *arg)
{
    (void)loop;
    (void)status;
    (void)arg;
    return 0;
}

/* ---- against a plain list -------------------------------------------------------------------- */

struct model {
    uint64_t deadline_ns[TIMERS];
    uint64_t order[TIMERS];
    enum gyre__timer_state state[TIMERS];
    int due[TIMERS]; /* in the order in which they were gathered */
    unsigned due_count;
    uint64_t orders;
};

struct pair {
    unsigned count; /* of timers in use */
    bool spread; /* deadlines of all sizes, not of some nanoseconds */
    struct gyre__timers timers;
    struct gyre_timer all[TIMERS];
    struct model model;
    uint64_t now_ns;
    uint64_t random;
};

static uint64_t draw(struct pair *pair, uint64_t below)
{
    pair->random ^= pair->random << 13;
    pair->random ^= pair->random >> 7;
    pair->random ^= pair->random << 17;
    return pair->random % below;
}

static void model_leave_due(struct model *model, int timer)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < model->due_count; i++) {
        if (model->due[i] != timer)
            model->due[kept++] = model->due[i];
    }
    model->due_count = kept;
}

static void start(struct pair *pair, int timer, uint64_t deadline_ns)
{
    struct model *model = &pair->model;
    model_leave_due(model, timer);
    model->deadline_ns[timer] = deadline_ns;
    model->order[timer] = ++model->orders;
    model->state[timer] = GYRE__TIMER_NEAR;
    gyre__timers_start(&pair->timers, &pair->all[timer], deadline_ns);
}

static void stop(struct pair *pair, int timer)
{
    model_leave_due(&pair->model, timer);
    pair->model.state[timer] = GYRE__TIMER_IDLE;
    gyre__timers_stop(&pair->timers, &pair->all[timer]);
}

/* The armed timer that is first, not counting those due; -1: none. */
static int model_first(const struct model *model)
{
    int first = -1;
    for (int i = 0; i < TIMERS; i++) {
        if (model->state[i] != GYRE__TIMER_NEAR)
            continue;
        if (first < 0 || model->deadline_ns[i] < model->deadline_ns[first] ||
            (model->deadline_ns[i] == model->deadline_ns[first] &&
             model->order[i] < model->order[first]))
            first = i;
    }
    return first;
}

static void gather(struct pair *pair)
{
    struct model *model = &pair->model;
    for (int i; (i = model_first(model)) >= 0 && model->deadline_ns[i] <= pair->now_ns;) {
        model->state[i] = GYRE__TIMER_DUE;
        model->due[model->due_count++] = i;
    }
    gyre__timers_gather(&pair->timers, pair->now_ns);
}

/* Takes one due timer of each; false if they differ. */
static bool take_due(struct pair *pair)
{
    struct model *model = &pair->model;
    struct gyre__message call = {.fn = NULL};
    bool taken = gyre__timers_take_due(&pair->timers, &call);
    if (model->due_count == 0)
        return !taken;
    int expected = model->due[0];
    model_leave_due(model, expected);
    model->state[expected] = GYRE__TIMER_IDLE;
    return taken && call.fn == never_called && call.arg == &pair->all[expected];
}

static bool is_next_right(struct pair *pair)
{
    int first = model_first(&pair->model);
    uint64_t expected = first >= 0 ? pair->model.deadline_ns[first] : GYRE_NEVER;
    return gyre__timers_next(&pair->timers) == expected;
}

static bool are_states_right(const struct pair *pair)
{
    for (int i = 0; i < TIMERS; i++) {
        enum gyre__timer_state state = pair->all[i].state;
        if ((state == GYRE__TIMER_FAR ? GYRE__TIMER_NEAR : state) != pair->model.state[i])
            return false;
    }
    return true;
}

/* A few nanoseconds, or up to some times 2^20 ns (a slot of the wheel), 2^28, ... */
static uint64_t draw_span(struct pair *pair, uint64_t below)
{
    static const unsigned bits[] = {0, 0, 18, 20, 20, 24, 28, 32, 36, 44, 52};
    unsigned size = pair->spread ? bits[draw(pair, sizeof(bits) / sizeof(bits[0]))] : 0;
    return (draw(pair, below) << size) + (size > 0 ? draw(pair, 2) : 0);
}

/* One operation of those that a loop and its user make. */
static bool operate(struct pair *pair)
{
    int timer = (int)draw(pair, pair->count);
    switch (draw(pair, 10)) {
    case 0:
    case 1:
    case 2: /* near deadlines, of which many are equal */
        start(pair, timer, pair->now_ns + draw_span(pair, 20));
        return true;
    case 3: /* in the past */
        start(pair, timer, pair->now_ns - draw(pair, pair->now_ns + 1) % 50);
        return true;
    case 4: /* an idle timeout: a bit later than it was, at last never */
        if (pair->model.deadline_ns[timer] <= GYRE_NEVER >> 1)
            start(pair, timer, pair->model.deadline_ns[timer] + draw_span(pair, 3));
        return true;
    case 5: /* far away, at last the farthest */
        start(pair, timer, GYRE_NEVER - 1 - draw(pair, 3));
        return true;
    case 6:
        stop(pair, timer);
        return true;
    case 7:
        pair->now_ns += draw_span(pair, 10) >> draw(pair, 2) * 8;
        gather(pair);
        return true;
    case 8:
        return is_next_right(pair);
    default:
        return take_due(pair);
    }
}

static uint64_t seed_of_run(void)
{
    const char *text = getenv("GYRE_TEST_SEED");
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    uint64_t seed = text != NULL ? strtoull(text, NULL, 0) : (uint64_t)now.tv_nsec;
    fprintf(stderr, "timer: GYRE_TEST_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

static void pair_init(struct pair *pair, uint64_t seed, bool spread)
{
    *pair = (struct pair){.now_ns = 1000, .random = seed * 2 + 1, .spread = spread};
    pair->count = spread ? TIMERS : FEW;
    gyre__timers_init(&pair->timers);
    for (int i = 0; i < TIMERS; i++)
        gyre_timer_init(&pair->all[i], NULL, never_called, &pair->all[i]);
}

static void agree_with_a_plain_list(bool spread)
{
    static struct pair pair;
    uint64_t seed = seed_of_run();
    pair_init(&pair, seed, spread);
    for (unsigned i = 0; i < OPERATIONS; i++) {
        cr_assert(operate(&pair), "operation %u, seed %llu", i, (unsigned long long)seed);
        if (i < CHECK_ALWAYS || i % CHECK_EVERY == 0)
            cr_assert(gyre__timers_valid(&pair.timers) && are_states_right(&pair),
                      "after operation %u, seed %llu", i, (unsigned long long)seed);
    }
    pair.now_ns = GYRE_NEVER - 1;
    gather(&pair);
    unsigned left = pair.model.due_count;
    for (unsigned i = 0; i <= left; i++)
        cr_assert(take_due(&pair), "at the end, seed %llu", (unsigned long long)seed);
    unsigned never = 0;
    for (int i = 0; i < TIMERS; i++)
        never += pair.model.state[i] == GYRE__TIMER_NEAR;
    cr_assert_eq(gyre__counter_read(&pair.timers.armed), never);
    cr_assert_eq(gyre__timers_next(&pair.timers), GYRE_NEVER);
}

GYRE_TEST(timer, a_million_operations_on_few_agree_with_a_plain_list)
{
    agree_with_a_plain_list(false);
}

GYRE_TEST(timer, a_million_operations_on_many_agree_with_a_plain_list)
{
    agree_with_a_plain_list(true);
}

GYRE_TEST(timer, take_any_empties_everything)
{
    static struct pair pair;
    struct gyre__message call;
    pair_init(&pair, 4711, true);
    for (int i = 0; i < TIMERS; i++)
        start(&pair, i, pair.now_ns + draw_span(&pair, 20));
    pair.now_ns += 10;
    gather(&pair);
    unsigned due = pair.model.due_count;
    for (unsigned i = 0; i < TIMERS; i++) {
        int expected = i < due ? pair.model.due[i] : model_first(&pair.model);
        cr_assert(gyre__timers_take_any(&pair.timers, &call));
        cr_assert_eq(call.arg, &pair.all[expected], "due first, then by deadline");
        pair.model.state[expected] = GYRE__TIMER_IDLE;
        cr_assert(gyre__timers_valid(&pair.timers));
    }
    cr_assert_not(gyre__timers_take_any(&pair.timers, &call));
    cr_assert_eq(gyre__counter_read(&pair.timers.armed), 0);
}

/* ---- stale keys ------------------------------------------------------------------------------ */

/* Three timers for 10, 20 and 30. */
struct three {
    struct gyre__timers timers;
    struct gyre_timer a, b, c;
};

static void three_init(struct three *three)
{
    gyre__timers_init(&three->timers);
    gyre_timer_init(&three->a, NULL, never_called, &three->a);
    gyre_timer_init(&three->b, NULL, never_called, &three->b);
    gyre_timer_init(&three->c, NULL, never_called, &three->c);
    gyre__timers_start(&three->timers, &three->a, 10);
    gyre__timers_start(&three->timers, &three->b, 20);
    gyre__timers_start(&three->timers, &three->c, 30);
}

GYRE_TEST(timer, arming_again_for_later_leaves_the_key_and_touches_nothing_else)
{
    struct three three;
    three_init(&three);
    struct three before = three;
    gyre__timers_start(&three.timers, &three.a, 25);
    cr_assert_eq(three.timers.near.root, &three.a, "it is still in front");
    cr_assert_eq(three.a.key_ns, 10);
    cr_assert_eq(three.a.deadline_ns, 25);
    cr_assert_eq(three.a.child, before.a.child);
    cr_assert_eq(memcmp(&three.b, &before.b, sizeof(three.b)), 0);
    cr_assert_eq(memcmp(&three.c, &before.c, sizeof(three.c)), 0);
    cr_assert_eq(gyre__counter_read(&three.timers.armed), 3);
    cr_assert(gyre__timers_valid(&three.timers));
}

GYRE_TEST(timer, stale_key_is_put_right_when_it_comes_to_the_front)
{
    struct three three;
    three_init(&three);
    gyre__timers_start(&three.timers, &three.a, 25);
    gyre__timers_start(&three.timers, &three.b, 40);
    cr_assert_eq(gyre__timers_next(&three.timers), 25);
    cr_assert_eq(three.timers.near.root, &three.a);
    cr_assert_eq(three.a.key_ns, 25);
    cr_assert_eq(three.b.key_ns, 40, "it stood before 25");
    cr_assert(gyre__timers_valid(&three.timers));
}

GYRE_TEST(timer, stale_key_does_not_fire_early)
{
    struct three three;
    struct gyre__message call;
    three_init(&three);
    gyre__timers_start(&three.timers, &three.a, 100);
    gyre__timers_gather(&three.timers, 99);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.b);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.c);
    cr_assert_not(gyre__timers_take_due(&three.timers, &call));
    gyre__timers_gather(&three.timers, 100);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.a);
}

GYRE_TEST(timer, arming_again_for_the_same_time_goes_behind_the_others_of_it)
{
    struct three three;
    struct gyre__message call;
    three_init(&three);
    gyre__timers_start(&three.timers, &three.b, 10);
    gyre__timers_start(&three.timers, &three.c, 10);
    gyre__timers_start(&three.timers, &three.a, 10);
    gyre__timers_gather(&three.timers, 10);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.b);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.c);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.a);
}

GYRE_TEST(timer, arming_between_key_and_deadline_needs_no_move)
{
    struct three three;
    three_init(&three);
    gyre__timers_start(&three.timers, &three.a, 50);
    gyre__timers_start(&three.timers, &three.a, 15); /* earlier than 50, later than the key */
    cr_assert_eq(three.a.key_ns, 10);
    cr_assert_eq(gyre__timers_next(&three.timers), 15);
    gyre__timers_start(&three.timers, &three.a, 5);
    cr_assert_eq(three.a.key_ns, 5);
    cr_assert_eq(gyre__timers_next(&three.timers), 5);
    cr_assert(gyre__timers_valid(&three.timers));
}

/* ---- the due list ---------------------------------------------------------------------------- */

GYRE_TEST(timer, due_timer_can_be_armed_again_or_stopped)
{
    struct three three;
    struct gyre__message call;
    three_init(&three);
    gyre__timers_gather(&three.timers, 30);
    cr_assert_eq(three.b.state, GYRE__TIMER_DUE);
    gyre__timers_start(&three.timers, &three.b, 30); /* the same deadline, and yet anew */
    gyre__timers_stop(&three.timers, &three.a);
    cr_assert_eq(three.b.state, GYRE__TIMER_NEAR);
    cr_assert_eq(three.a.state, GYRE__TIMER_IDLE);
    cr_assert_eq(gyre__counter_read(&three.timers.armed), 2);
    cr_assert(gyre__timers_valid(&three.timers));
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.c);
    cr_assert_not(gyre__timers_take_due(&three.timers, &call), "the one armed anew has to wait");
    gyre__timers_gather(&three.timers, 30);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.b);
    cr_assert_eq(gyre__counter_read(&three.timers.armed), 0);
}

GYRE_TEST(timer, every_place_of_the_due_list_can_be_left)
{
    for (int place = 0; place < 3; place++) {
        struct three three;
        struct gyre__message call;
        three_init(&three);
        struct gyre_timer *const order[] = {&three.a, &three.b, &three.c};
        gyre__timers_gather(&three.timers, 30);
        gyre__timers_stop(&three.timers, order[place]);
        cr_assert(gyre__timers_valid(&three.timers), "place %d", place);
        for (int i = 0; i < 3; i++) {
            if (i != place)
                cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == order[i]);
        }
        cr_assert_not(gyre__timers_take_due(&three.timers, &call));
        cr_assert_eq(three.timers.due_end, &three.timers.due);
    }
}

GYRE_TEST(timer, later_gathering_goes_behind_what_is_due)
{
    struct three three;
    struct gyre__message call;
    three_init(&three);
    gyre__timers_gather(&three.timers, 20);
    gyre__timers_gather(&three.timers, 30);
    gyre__timers_gather(&three.timers, 30);
    cr_assert(gyre__timers_valid(&three.timers));
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.a);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.b);
    cr_assert(gyre__timers_take_due(&three.timers, &call) && call.arg == &three.c);
    cr_assert_eq(gyre__timers_next(&three.timers), GYRE_NEVER);
}

/* ---- the check itself ------------------------------------------------------------------------ */

GYRE_TEST(timer, validity_check_finds_what_is_broken)
{
    struct three three;
    three_init(&three);
    cr_assert(gyre__timers_valid(&three.timers));
    gyre__counter_set(&three.timers.armed, 2);
    cr_assert_not(gyre__timers_valid(&three.timers), "a count");
    gyre__counter_set(&three.timers.armed, 3);
    three.a.key_ns = 1000;
    cr_assert_not(gyre__timers_valid(&three.timers), "a key past its deadline");
    three.a.deadline_ns = 2000;
    cr_assert_not(gyre__timers_valid(&three.timers), "a parent behind its child");
    three_init(&three);
    three.timers.near.root->child->link = &three.timers.near.root;
    cr_assert_not(gyre__timers_valid(&three.timers), "a link back");
    three_init(&three);
    three.c.state = GYRE__TIMER_DUE;
    cr_assert_not(gyre__timers_valid(&three.timers), "a state");
}
