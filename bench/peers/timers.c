/* SPDX-License-Identifier: MIT */
/*
 * timers - see timers.h. TIMERS_CASE is what to measure: one of the enum's.
 */
#include "timers.h"

#include <stdlib.h>

#include "measure.h"
#include "timers_clock.h"

enum timers_case {
    ADD,
    REARM,
    CANCEL,
    FIRE
};

#define SECOND_NS UINT64_C(1000000000)
#define SPAN_NS (60 * SECOND_NS)
#define REST_NS (60 * SPAN_NS) /* more than was ever armed for */
#define GUARD_NS (10 * SECOND_NS) /* no deadline comes by the clock's own pace, during work */
#define HALF_NS (GUARD_NS + SPAN_NS / 2)

struct step {
    uint64_t delay_ns;
    unsigned timer;
};

static unsigned count;
static unsigned rounds;
static bool anytime; /* armed anew for any time of the 60 s, sooner as well as later */
static uint64_t *delays; /* with which each timer is armed first */
static uint64_t *latest; /* and last */
static bool *armed;
static struct step *steps;
static struct measure total;

/* Of a round's firing. */
static struct {
    uint64_t base_ns;
    uint64_t last_delay_ns;
    uint64_t left_ns; /* to pass when the first half has fired */
    uint64_t half_ns; /* the delay that ends with the first half */
    unsigned fired;
    unsigned half; /* how many are due in the first half */
    unsigned all;
} firing;

static uint64_t draw(uint64_t below)
{
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % below;
}

static void prepare(void)
{
    for (unsigned i = 0; i < count; i++) {
        delays[i] = GUARD_NS + draw(SPAN_NS);
        latest[i] = delays[i];
        steps[i].timer = i;
    }
    for (unsigned i = count; TIMERS_CASE == CANCEL && i > 1; i--) {
        unsigned other = (unsigned)draw(i);
        unsigned timer = steps[i - 1].timer;
        steps[i - 1].timer = steps[other].timer;
        steps[other].timer = timer;
    }
    for (unsigned i = 0; i < count; i++) {
        if (TIMERS_CASE == REARM) {
            steps[i].timer = (unsigned)draw(count);
            latest[steps[i].timer] =
                anytime ? GUARD_NS + draw(SPAN_NS) : latest[steps[i].timer] + 1 + draw(SPAN_NS);
        }
        steps[i].delay_ns = latest[steps[i].timer];
    }
}

static void start_all(void)
{
    for (unsigned i = 0; i < count; i++)
        timers_peer_add(i, delays[i]);
}

static void stop_all(void)
{
    for (unsigned i = 0; i < count; i++) {
        if (armed[i])
            timers_peer_cancel(i);
        armed[i] = false;
    }
    timers_peer_settle();
}

static void measured(void)
{
    struct measure measure;
    measure_begin(&measure);
    if (TIMERS_CASE == ADD)
        start_all();
    for (unsigned i = 0; TIMERS_CASE == REARM && i < count; i++)
        timers_peer_rearm(steps[i].timer, steps[i].delay_ns);
    for (unsigned i = 1; TIMERS_CASE == CANCEL && i < count; i++)
        timers_peer_cancel(steps[i].timer);
    timers_peer_settle();
    measure_end(&measure);
    total.cpu_ns += measure.cpu_ns;
    total.wall_ns += measure.wall_ns;
}

/* Lets the first half of the time pass; what is due fires when the callback has returned. */
static void begin_firing(void)
{
    firing.fired = 0;
    firing.half = 0;
    firing.all = 0;
    firing.last_delay_ns = 0;
    firing.half_ns = timers_clock_ns() - firing.base_ns + HALF_NS;
    for (unsigned i = 0; i < count; i++) {
        firing.all += armed[i];
        firing.half += armed[i] && latest[i] <= firing.half_ns;
    }
    firing.left_ns = firing.half != 0 ? HALF_NS : 0;
    timers_clock_pass(firing.half != 0 ? HALF_NS : REST_NS);
    timers_peer_wake();
}

/* A round up to its firing, if the case measures that, or it is the last. */
static void do_round(void)
{
    firing.base_ns = timers_clock_ns();
    timers_peer_now();
    for (unsigned i = 0; i < count; i++)
        armed[i] = TIMERS_CASE != CANCEL || i == steps[0].timer;
    if (TIMERS_CASE != ADD)
        start_all();
    if (TIMERS_CASE != FIRE)
        measured();
}

void timers_work(void)
{
    for (; TIMERS_CASE != FIRE && rounds > 1; rounds--) {
        do_round();
        stop_all();
    }
    do_round();
    begin_firing();
    if (TIMERS_CASE == FIRE)
        measure_begin(&total);
}

void timers_fired(unsigned timer)
{
    uint64_t delay = latest[timer];
    if (!armed[timer])
        measure_fail("timer %u fired, though it was not armed", timer);
    armed[timer] = false;
    if (delay + timers_peer_resolution_ns < firing.last_delay_ns)
        measure_fail("timer %u fired after one for later", timer);
    firing.last_delay_ns = delay;
    firing.fired++;
    if (delay > firing.half_ns + timers_peer_resolution_ns && firing.left_ns != 0 &&
        firing.base_ns + delay > timers_clock_ns() + timers_peer_resolution_ns)
        measure_fail("timer %u fired early", timer);
    if (firing.fired == firing.half && firing.left_ns != 0) {
        firing.left_ns = 0;
        if (TIMERS_CASE == FIRE)
            total.wall_ns += REST_NS; /* of its beginning: this did not pass in earnest */
        timers_clock_pass(REST_NS);
        timers_peer_wake();
    }
    if (firing.fired == firing.all)
        timers_peer_stop();
}

int main(int argc, char **argv)
{
    uint64_t timers = measure_argument(argc, argv, "timers", 10000);
    uint64_t ops = measure_argument(argc, argv, "ops", 1000000);
    anytime = measure_argument(argc, argv, "anytime", 0) != 0;
    if (timers < 2 || timers > 10000000 || ops == 0)
        measure_fail("needs 2 <= timers <= 10000000 and ops > 0");
    count = (unsigned)timers;
    uint64_t all = (ops + timers - 1) / timers;
    delays = calloc(count, sizeof(*delays));
    latest = calloc(count, sizeof(*latest));
    armed = calloc(count, sizeof(*armed));
    steps = calloc(count, sizeof(*steps));
    if (delays == NULL || latest == NULL || armed == NULL || steps == NULL)
        measure_fail("no memory");
    prepare();
    timers_peer_create(count);
    struct measure sum = {0};
    for (uint64_t i = 0; i < (TIMERS_CASE == FIRE ? all : 1); i++) {
        rounds = (unsigned)all;
        timers_peer_run();
        if (TIMERS_CASE == FIRE)
            measure_end(&total);
        if (firing.fired != firing.all)
            measure_fail("%u timers of %u have fired", firing.fired, firing.all);
        sum.wall_ns += total.wall_ns;
        sum.cpu_ns += total.cpu_ns;
    }
    measure_report(&sum, all * (TIMERS_CASE == CANCEL ? count - 1 : count));
    return 0;
}
