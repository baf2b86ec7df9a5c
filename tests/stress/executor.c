/* SPDX-License-Identifier: MIT */
/*
 * executor - work of several loops on a shared executor, and on their own, while the loops close
 * and the executor is destroyed: each piece that was accepted is done once, and its memory is freed
 * in done, which a work that still used it would show.
 *
 * In a round two runners, each with a loop, submit from their callbacks until they stop at some
 * moment and close; in some rounds a third thread destroys the shared executor meanwhile. In the
 * first the runners wait for their work, so that some is sure to be done.
 *
 * GYRE_STRESS_ROUNDS sets the number of rounds.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "crew.h"
#include "harness/plain.h"

enum {
    RUNNERS = 2,
    DESTROYER = RUNNERS,
    THREADS = RUNNERS + 1,
    WORKERS = 3,
    QUEUE = 16, /* small, so that it is full now and then */
    STEP = 6, /* submits of one callback */
    WORK_MAX = 60 /* of a runner and round */
};

struct side { /* a runner's */
    struct gyre_loop *loop;
    uint64_t chance;
    unsigned tries;
    unsigned leave_at;
    unsigned accepted;
    unsigned refused;
    unsigned run; /* done, and the work had run */
    unsigned cancelled;
};

struct piece {
    struct side *side;
    uint64_t spin;
    unsigned worked; /* the worker's, then the loop's */
};

static struct {
    struct side sides[RUNNERS];
    struct gyre_executor *executor;
    bool destroys;
    bool patient; /* the runners leave when all of their work is done */
    pthread_barrier_t begins;
    pthread_barrier_t ended;
    uint64_t rounds;
    uint64_t seed;
    struct side totals;
} field;

static int work(void *arg)
{
    struct piece *piece = arg;
    crew_spin(piece->spin);
    piece->worked++;
    return 7;
}

static int come_home(struct gyre_loop *loop, int status, void *arg)
{
    struct piece *piece = arg;
    struct side *side = piece->side;
    CHECK(loop == side->loop);
    if (status == 7) {
        CHECK_EQ(piece->worked, 1);
        side->run++;
    } else {
        CHECK_EQ(status, -ECANCELED);
        CHECK_LE(piece->worked, 1);
        side->cancelled++;
    }
    free(piece);
    return 0;
}

static void submit(struct side *side)
{
    struct piece *piece = calloc(1, sizeof(*piece));
    uint64_t dice = crew_random(&side->chance);
    if (!CHECK(piece != NULL))
        return;
    *piece = (struct piece){.side = side, .spin = dice % 3000};
    side->tries++;
    struct gyre_executor *executor = dice >> 32 & 1 ? field.executor : NULL;
    int r = gyre_loop_run_in_executor(side->loop, executor, work, come_home, piece);
    if (r == 0) {
        side->accepted++;
        return;
    }
    CHECK(r == -EAGAIN || (r == -ESHUTDOWN && field.destroys));
    side->refused++;
    free(piece);
}

static int submit_some(struct gyre_loop *loop, int status, void *arg)
{
    struct side *side = arg;
    if (status != 0)
        return 0;
    for (unsigned i = 0; i < STEP && side->tries < side->leave_at; i++)
        submit(side);
    crew_spin(crew_random(&side->chance) % 4000);
    bool awaits = field.patient && side->run < side->accepted;
    if (side->tries >= side->leave_at && !awaits)
        return gyre_loop_stop(loop);
    return gyre_loop_add_callback(loop, submit_some, side);
}

static void run_loop(struct side *side)
{
    CHECK_EQ(gyre_loop_add_callback(side->loop, submit_some, side), 0);
    CHECK_EQ(gyre_loop_run(side->loop), 0);
    crew_spin(crew_random(&side->chance) % 4000);
    gyre_loop_destroy(side->loop);
}

static void take_part(unsigned me, void *arg)
{
    (void)arg;
    uint64_t chance = field.seed + me * 1000;
    for (uint64_t round = 0; round < field.rounds; round++) {
        pthread_barrier_wait(&field.begins);
        if (me < RUNNERS) {
            run_loop(&field.sides[me]);
        } else if (field.destroys) {
            crew_spin(crew_random(&chance) % 100000);
            gyre_executor_destroy(field.executor);
        }
        pthread_barrier_wait(&field.ended);
    }
}

/* The loops use the executor by name, and hold it as well, since it may be destroyed under them. */
static void prepare(uint64_t round)
{
    struct gyre_executor_options options;
    field.destroys = round % 2 == 1;
    field.patient = round == 0;
    gyre_executor_options_init(&options);
    options.threads = WORKERS;
    options.queue_max = QUEUE;
    CHECK_EQ(gyre_executor_create(&options, &field.executor), 0);
    for (unsigned i = 0; i < RUNNERS; i++) {
        struct side *side = &field.sides[i];
        *side = (struct side){.loop = crew_loop_make(0), .chance = side->chance};
        side->leave_at = 1 + (unsigned)(crew_random(&side->chance) % WORK_MAX);
        if (field.destroys)
            CHECK_EQ(gyre_loop_set_executor(side->loop, field.executor), 0);
    }
}

static void judge(void)
{
    for (unsigned i = 0; i < RUNNERS; i++) {
        const struct side *side = &field.sides[i];
        CHECK_EQ(side->run + side->cancelled, side->accepted);
        field.totals.run += side->run;
        field.totals.cancelled += side->cancelled;
        field.totals.refused += side->refused;
    }
    if (!field.destroys)
        gyre_executor_destroy(field.executor);
}

static void each_piece_of_work_is_done_once(void)
{
    struct crew crew;
    field.rounds = crew_size("GYRE_STRESS_ROUNDS", 2000, 200);
    field.seed = crew_seed();
    field.totals = (struct side){.run = 0};
    for (unsigned i = 0; i < RUNNERS; i++)
        field.sides[i].chance = field.seed + i;
    pthread_barrier_init(&field.begins, NULL, THREADS + 1);
    pthread_barrier_init(&field.ended, NULL, THREADS + 1);
    crew_start(&crew, THREADS, take_part, NULL);
    for (uint64_t round = 0; round < field.rounds; round++) {
        prepare(round);
        pthread_barrier_wait(&field.begins);
        pthread_barrier_wait(&field.ended);
        judge();
    }
    crew_join(&crew);
    pthread_barrier_destroy(&field.begins);
    pthread_barrier_destroy(&field.ended);
    CHECK_NE(field.totals.run, 0); /* the case is one: all of what may happen did */
    CHECK_NE(field.totals.cancelled, 0);
    CHECK_NE(field.totals.refused, 0);
    plain_note("%llu rounds: %u run, %u cancelled, %u refused", (unsigned long long)field.rounds,
               field.totals.run, field.totals.cancelled, field.totals.refused);
}

/* One loop keeps a few pieces under way, so that loop and workers sleep and wake all the time: a
 * wake-up that is lost ends the program by ctest's limit. */
static unsigned rallies;

static int rally(struct gyre_loop *loop, int status, void *arg)
{
    struct piece *piece = arg;
    if (status != 7) /* the run is over */
        return 0;
    if (rallies == 0)
        return gyre_loop_stop(loop);
    rallies--;
    piece->spin = rallies % 3 == 0 ? 5000 : 0;
    return gyre_loop_run_in_executor(loop, NULL, work, rally, piece);
}

static void no_wake_up_is_lost(void)
{
    static struct piece pieces[4];
    struct gyre_loop *loop = crew_loop_make(0);
    rallies = (unsigned)crew_size("GYRE_STRESS_ROUNDS", 40000, 4000);
    for (unsigned i = 0; i < 4; i++)
        CHECK_EQ(gyre_loop_run_in_executor(loop, NULL, work, rally, &pieces[i]), 0);
    CHECK_EQ(gyre_loop_run(loop), 0);
    CHECK_EQ(rallies, 0);
    gyre_loop_destroy(loop);
}

/* The worker may be through, and its executor gone, before the submit returns. */
static int end_executor(void *arg)
{
    gyre_executor_destroy(*(struct gyre_executor **)arg);
    return 7;
}

static int count_end(struct gyre_loop *loop, int status, void *arg)
{
    (void)arg;
    rallies += status == 7;
    return gyre_loop_stop(loop);
}

static void work_may_end_its_executor_at_once(void)
{
    struct gyre_loop *loop = crew_loop_make(0);
    struct gyre_executor_options options;
    struct gyre_executor *executor = NULL;
    unsigned rounds = (unsigned)crew_size("GYRE_STRESS_ROUNDS", 400, 100);
    gyre_executor_options_init(&options);
    options.threads = 2;
    rallies = 0;
    for (unsigned round = 0; round < rounds; round++) {
        if (!CHECK_EQ(gyre_executor_create(&options, &executor), 0))
            break;
        CHECK_EQ(gyre_loop_run_in_executor(loop, executor, end_executor, count_end, &executor), 0);
        CHECK_EQ(gyre_loop_run(loop), 0);
    }
    CHECK_EQ(rallies, rounds);
    gyre_loop_destroy(loop);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(each_piece_of_work_is_done_once),
    PLAIN_CASE(no_wake_up_is_lost),
    PLAIN_CASE(work_may_end_its_executor_at_once),
};
PLAIN_MAIN(cases)
