/* SPDX-License-Identifier: MIT */
/*
 * sync - rules T101 to T103 with threads that race: futures resolved while their timeouts run out
 * and while others stop the loop, callers that take turns on one loop, calls inside calls.
 *
 * Each call has a number, which says what its future is resolved with: so a result that belongs to
 * another call is seen. What a call gives its function is freed when the call returns, so that the
 * sanitizers see who touches it later. A result that is lost is a call that runs into a timeout
 * that no result may take.
 *
 * GYRE_STRESS_CALLS sets the number of calls of each caller.
 */
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "crew.h"
#include "harness/plain.h"

#define PATIENCE_NS (CREW_PATIENCE_S * UINT64_C(1000000000))

enum {
    CALLERS = 3,
    RESOLVERS = 2,
    STOPPER = CALLERS + RESOLVERS,
    THREADS = STOPPER + 1,
    LAPS = 6, /* of a run behind a call */
    STOPPED_MIN = 20, /* calls that stops have ended, at the end of a case with stops */
    SHORT_NS = 200 * 1000 /* the longest of the timeouts that race */
};

/* Who resolves the future of a call. */
enum way {
    AT_ONCE, /* its function */
    BY_ONE, /* a resolver */
    BY_TWO, /* whichever of them is first */
    NOBODY,
    REFUSED, /* its function returns an error */
    WAYS
};

struct caller {
    unsigned index;
    struct gyre_loop *loop; /* its own, or all callers' */
    struct gyre_loop *inner; /* its own, for calls inside calls */
    const struct call *outer; /* that the loop is in; NULL: none */
    uint64_t chance;
    uint64_t calls; /* that it has begun */
    uint64_t values;
    uint64_t errors;
    uint64_t timeouts;
    uint64_t cancelled;
    uint64_t unwound;
    uint64_t busy;
};

struct call {
    struct caller *caller;
    uint64_t number;
    enum way way;
    bool nests; /* its function calls on another loop, and has a callback call on this one */
    uint64_t timeout_ns;
    bool called; /* its function was */
    struct gyre_future *future; /* since then */
};

/* A future for a resolver. */
struct job {
    struct gyre_future *future;
    uint64_t number;
};

static struct {
    struct caller callers[CALLERS];
    struct job *_Atomic jobs[RESOLVERS][CALLERS];
    void (*call)(struct caller *caller); /* the case's */
    uint64_t calls;
    uint64_t seed;
    bool has_stops;
    _Atomic bool lost; /* a result was: it took its time, and the next would, too */
    _Atomic unsigned callers_left;
    _Atomic uint64_t stops; /* made, or about to be */
    _Atomic uint64_t stopped; /* calls that a stop has ended */
} field;

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* ---- results --------------------------------------------------------------------------------- */

static int error_of(uint64_t number)
{
    return number % 4 == 0 ? -EIO : 0;
}

static void *value_of(uint64_t number)
{
    return (void *)(uintptr_t)number;
}

static int resolve(struct gyre_future *future, uint64_t number)
{
    return gyre_future_resolve(future, error_of(number), value_of(number));
}

static void do_job(struct job *job)
{
    int r = resolve(job->future, job->number);
    CHECK(r == 0 || r == -EALREADY);
    gyre_future_release(job->future);
    free(job);
}

/* Gives a future to a resolver, and does the one that it has not taken yet itself. */
static void hand_over(const struct call *call, unsigned resolver)
{
    struct job *job = calloc(1, sizeof(*job));
    if (!CHECK(job != NULL))
        return;
    *job = (struct job){gyre_future_acquire(call->future), call->number};
    /* acq_rel: the job's members go with it, in either direction */
    job = atomic_exchange_explicit(&field.jobs[resolver][call->caller->index], job,
                                   memory_order_acq_rel);
    if (job != NULL)
        do_job(job);
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void call_inside(struct call *outer);

static int begin(struct gyre_loop *loop, struct gyre_future *future, void *arg)
{
    struct call *call = arg;
    (void)loop;
    CHECK(!call->called);
    call->called = true;
    call->future = gyre_future_acquire(future);
    if (call->way == AT_ONCE)
        CHECK_EQ(resolve(future, call->number), 0);
    if (call->way == BY_TWO)
        hand_over(call, 1);
    if (call->way == BY_TWO || call->way == BY_ONE)
        hand_over(call, 0);
    if (call->nests)
        call_inside(call);
    return call->way == REFUSED ? -ENOENT : 0;
}

/* What may come of a call; a stop, and a loop that is in use, are its caller's to judge. */
static void judge(const struct call *call, int r, const void *value, uint64_t took_ns)
{
    struct caller *caller = call->caller;
    CHECK(value == (r == 0 ? value_of(call->number) : &field));
    if (call->called && call->way == AT_ONCE)
        CHECK_EQ(r, error_of(call->number));
    if (call->called && call->way == REFUSED)
        CHECK_EQ(r, -ENOENT);
    switch (r) {
    case 0:
    case -EIO:
        CHECK_EQ(r, error_of(call->number));
        CHECK(call->called && call->way != NOBODY);
        caller->values += r == 0;
        caller->errors += r != 0;
        break;
    case -ENOENT:
        CHECK(call->called && call->way == REFUSED);
        break;
    case -ETIMEDOUT:
        CHECK_GE(took_ns, call->timeout_ns);
        if (!CHECK_LE(call->timeout_ns, SHORT_NS)) /* else a result was lost */
            atomic_store_explicit(&field.lost, true, memory_order_relaxed);
        caller->timeouts++;
        break;
    case -EBUSY:
        CHECK(!call->called);
        caller->busy++;
        break;
    case -ECANCELED:
        caller->cancelled++;
        break;
    default:
        CHECK_EQ(r, GYRE_UNWIND);
        caller->unwound++;
        break;
    }
}

/* Makes the call that `plan` says, on `loop`. */
static int call_on(struct gyre_loop *loop, const struct call *plan)
{
    void *value = &field; /* to be left as it is without a result */
    struct call *call = calloc(1, sizeof(*call));
    if (!CHECK(call != NULL))
        return -ENOMEM;
    *call = *plan;
    call->number = ++call->caller->calls * CALLERS + call->caller->index;
    const struct call *outer = call->caller->outer;
    if (call->nests)
        call->caller->outer = call;
    uint64_t began_ns = now_ns();
    int r = gyre_loop_run_sync(loop, call->timeout_ns, begin, call, &value);
    judge(call, r, value, now_ns() - began_ns);
    call->caller->outer = outer;
    if (call->called)
        gyre_future_release(call->future);
    free(call);
    return r;
}

static struct call draw(struct caller *caller)
{
    uint64_t dice = crew_random(&caller->chance);
    struct call plan = {.caller = caller, .way = (enum way)(dice % WAYS)};
    bool races = dice >> 8 & 1;
    plan.timeout_ns = races || plan.way == NOBODY ? (dice >> 16) % SHORT_NS : PATIENCE_NS;
    return plan;
}

/* A stop, or a function that unwinds, ends one call at most. */
static void judge_stop(int r)
{
    if (r != -ECANCELED && r != GYRE_UNWIND)
        return;
    uint64_t stopped =
        atomic_fetch_add_explicit(&field.stopped, 1, memory_order_relaxed) + 1; /* a count */
    /* acquire: pairs with the release of the stopper, which counts before it stops */
    CHECK_LE(stopped, atomic_load_explicit(&field.stops, memory_order_acquire));
}

/* ---- a run behind a call --------------------------------------------------------------------- */

static int lap(struct gyre_loop *loop, int status, void *arg)
{
    unsigned *laps = arg;
    CHECK_EQ(status, 0);
    if (++*laps == LAPS)
        return gyre_loop_stop(loop);
    crew_spin(1000); /* so that what is late may come */
    return gyre_loop_add_callback(loop, lap, laps);
}

/* What a call has left behind ends no later run (T102). */
static void run_laps(struct gyre_loop *loop)
{
    unsigned laps = 0;
    CHECK_EQ(gyre_loop_add_callback(loop, lap, &laps), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(laps, LAPS);
}

/* ---- calls inside calls ---------------------------------------------------------------------- */

/* In a call on this loop, whose timeout is long: a nested one needs a stop (T65), and is cancelled
 * by nothing but the end of the outer. */
static int call_nested(struct gyre_loop *loop, int status, void *arg)
{
    struct caller *caller = arg;
    const struct call *outer = caller->outer;
    struct call plan = draw(caller);
    if (status != 0 || outer == NULL)
        return 0; /* it came too late for its call */
    int r = call_on(loop, &plan);
    CHECK(r == -EBUSY || gyre_future_is_done(outer->future));
    CHECK_EQ(gyre_loop_stop(loop), 0);
    CHECK_EQ(call_on(loop, &plan), -ECANCELED);
    r = call_on(loop, &plan);
    CHECK(r != -EBUSY);
    CHECK(r != -ECANCELED || gyre_future_is_done(outer->future));
    return 0;
}

static void call_inside(struct call *outer)
{
    struct caller *caller = outer->caller;
    struct call plan = draw(caller);
    CHECK_NE(call_on(caller->inner, &plan), -ECANCELED);
    CHECK_EQ(gyre_loop_add_callback(caller->loop, call_nested, caller), 0);
}

static void call_with_calls_inside(struct caller *caller)
{
    struct call plan = draw(caller);
    plan.nests = true;
    plan.timeout_ns = PATIENCE_NS;
    if (plan.way == NOBODY || plan.way == REFUSED)
        plan.way = BY_ONE; /* that a nested call ends it is not sure */
    (void)call_on(caller->loop, &plan);
    CHECK(caller->outer == NULL);
}

/* ---- the callers' other ways ----------------------------------------------------------------- */

static void call_alone(struct caller *caller)
{
    struct call plan = draw(caller);
    judge_stop(call_on(caller->loop, &plan));
    if (!field.has_stops && caller->calls % 4 == 0)
        run_laps(caller->loop);
}

static void call_in_turn(struct caller *caller)
{
    struct call plan = draw(caller);
    uint64_t end_ns = now_ns() + PATIENCE_NS;
    int r = call_on(caller->loop, &plan);
    while (r == -EBUSY && now_ns() < end_ns) {
        sched_yield();
        r = call_on(caller->loop, &plan);
    }
    CHECK_NE(r, -EBUSY);
    judge_stop(r);
}

/* ---- threads --------------------------------------------------------------------------------- */

static bool callers_are_left(void)
{
    /* acquire: pairs with the release in take_part; no job comes behind it */
    return atomic_load_explicit(&field.callers_left, memory_order_acquire) != 0;
}

/* Whether a caller goes on behind its calls, since no stop has ended one yet, or leaves early. */
static bool goes_on(uint64_t calls, uint64_t end_ns)
{
    /* relaxed: hints, both */
    if (atomic_load_explicit(&field.lost, memory_order_relaxed))
        return false;
    bool awaits =
        field.has_stops && atomic_load_explicit(&field.stopped, memory_order_relaxed) < STOPPED_MIN;
    return calls < field.calls || (awaits && now_ns() < end_ns);
}

static void resolve_jobs(unsigned me, uint64_t *chance)
{
    bool again = true;
    while (again) {
        again = callers_are_left();
        for (unsigned i = 0; i < CALLERS; i++) {
            /* acq_rel: as in hand_over */
            struct job *job =
                atomic_exchange_explicit(&field.jobs[me][i], NULL, memory_order_acq_rel);
            if (job == NULL)
                continue;
            crew_spin(crew_random(chance) % 60000);
            do_job(job);
        }
        sched_yield();
    }
}

static int unwind(struct gyre_loop *loop, int status, void *arg)
{
    _Atomic bool *under_way = arg;
    (void)loop;
    atomic_store_explicit(under_way, false, memory_order_relaxed); /* the next may come */
    return status == 0 ? GYRE_UNWIND : 0;
}

/* What unwinds leaves the function of the call behind it in the queue, for a later one to meet. */
static void stop_loops(uint64_t *chance)
{
    static _Atomic bool under_way;
    atomic_store_explicit(&under_way, false, memory_order_relaxed);
    while (callers_are_left()) {
        uint64_t dice = crew_random(chance);
        struct gyre_loop *loop = field.callers[dice % CALLERS].loop;
        /* release: pairs with the acquire in judge_stop */
        atomic_fetch_add_explicit(&field.stops, 1, memory_order_release);
        if (dice >> 8 & 1 && !atomic_exchange_explicit(&under_way, true, memory_order_relaxed))
            CHECK_EQ(gyre_loop_add_callback(loop, unwind, &under_way), 0);
        else
            CHECK_EQ(gyre_loop_stop(loop), 0);
        crew_spin((dice >> 16) % 200000);
        sched_yield();
    }
}

static void take_part(unsigned me, void *arg)
{
    uint64_t chance = field.seed + me;
    (void)arg;
    if (me < CALLERS) {
        uint64_t end_ns = now_ns() + PATIENCE_NS;
        for (uint64_t i = 0; goes_on(i, end_ns); i++)
            field.call(&field.callers[me]);
        atomic_fetch_sub_explicit(&field.callers_left, 1, memory_order_release);
    } else if (me < STOPPER) {
        resolve_jobs(me - CALLERS, &chance);
    } else {
        stop_loops(&chance);
    }
}

/* The sums of all callers, noted; `shared`: there is one loop for all. */
static struct caller run_field(void (*call)(struct caller *caller), bool shared, bool has_stops)
{
    struct crew crew;
    struct caller sums = {.loop = NULL};
    struct gyre_loop *loop = shared ? crew_loop_make(0) : NULL;
    field.call = call;
    field.has_stops = has_stops;
    field.calls = crew_size("GYRE_STRESS_CALLS", 6000, 2000);
    field.seed = crew_seed();
    atomic_store_explicit(&field.lost, false, memory_order_relaxed);
    atomic_store_explicit(&field.callers_left, CALLERS, memory_order_relaxed);
    atomic_store_explicit(&field.stops, 0, memory_order_relaxed);
    atomic_store_explicit(&field.stopped, 0, memory_order_relaxed);
    for (unsigned i = 0; i < CALLERS; i++)
        field.callers[i] = (struct caller){.index = i,
                                           .loop = shared ? loop : crew_loop_make(0),
                                           .inner = crew_loop_make(0),
                                           .chance = field.seed + 1000 * i};
    crew_start(&crew, has_stops ? THREADS : STOPPER, take_part, NULL);
    crew_join(&crew);
    for (unsigned i = 0; i < CALLERS; i++) {
        const struct caller *caller = &field.callers[i];
        sums.calls += caller->calls;
        sums.values += caller->values;
        sums.errors += caller->errors;
        sums.timeouts += caller->timeouts;
        sums.cancelled += caller->cancelled;
        sums.unwound += caller->unwound;
        sums.busy += caller->busy;
        crew_loop_check(caller->loop);
        if (!shared)
            gyre_loop_destroy(caller->loop);
        gyre_loop_destroy(caller->inner);
    }
    if (shared)
        gyre_loop_destroy(loop);
    plain_note("%llu calls: %llu values, %llu errors, %llu timeouts, %llu cancelled, %llu unwound, "
               "%llu busy",
               (unsigned long long)sums.calls, (unsigned long long)sums.values,
               (unsigned long long)sums.errors, (unsigned long long)sums.timeouts,
               (unsigned long long)sums.cancelled, (unsigned long long)sums.unwound,
               (unsigned long long)sums.busy);
    CHECK_NE(sums.values, 0); /* all of what may happen did */
    CHECK_NE(sums.errors, 0);
    CHECK_NE(sums.timeouts, 0);
    return sums;
}

/* ---- cases ----------------------------------------------------------------------------------- */

static void T102_results_and_timeouts_race(void)
{
    struct caller sums = run_field(call_alone, false, false);
    CHECK_EQ(sums.cancelled + sums.unwound + sums.busy, 0);
}

static void T103_stops_race_with_results(void)
{
    struct caller sums = run_field(call_alone, false, true);
    CHECK_GE(sums.cancelled + sums.unwound, STOPPED_MIN);
    CHECK_EQ(sums.busy, 0);
}

static void T101_callers_take_turns_on_one_loop(void)
{
    struct caller sums = run_field(call_in_turn, true, true);
    CHECK_GE(sums.cancelled + sums.unwound, STOPPED_MIN);
    CHECK_NE(sums.busy, 0);
}

static void T65_calls_inside_calls(void)
{
    struct caller sums = run_field(call_with_calls_inside, false, false);
    CHECK_NE(sums.cancelled, 0);
    CHECK_NE(sums.busy, 0);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(T102_results_and_timeouts_race),
    PLAIN_CASE(T103_stops_race_with_results),
    PLAIN_CASE(T101_callers_take_turns_on_one_loop),
    PLAIN_CASE(T65_calls_inside_calls),
};
PLAIN_MAIN(cases)
