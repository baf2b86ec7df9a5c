/* SPDX-License-Identifier: MIT */
/*
 * pingpong - the cases pingpong-idle and pingpong-busy: messages that go back and forth between two
 * loops, each on a thread of its own.
 *
 * An operation is one round trip; `flight` messages are under way at a time. With `awake`, neither
 * loop ever sleeps, since it has half a microsecond of other work in each turn: else even many
 * messages under way arrive together, and the loop that has sent them sleeps until they are back.
 *
 * Order     Posts of one thread arrive in order, so the messages come round in turn, on both sides;
 *           each counts its trips on both.
 * CPUs      The two threads are pinned to different ones, if there are two: cpus.h.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

#include "cpus.h"
#include "measure.h"
#include "peer.h"

enum {
    FLIGHT_MAX = 65536
};

struct ball {
    _Alignas(max_align_t) unsigned index;
    uint64_t trips[2]; /* to each side */
};

/* One side; only its thread uses it while the loops run. */
struct side {
    struct peer_loop *loop;
    unsigned next; /* the ball that is due */
    uint64_t arrived;
};

static struct side sides[2]; /* 0 serves, on the main thread */
static uint64_t ops;
static uint64_t served;
static unsigned flight;
static char *balls;
static size_t stride;
static struct peer_message *last_call;
static pthread_barrier_t start;

static struct ball *ball_at(size_t index)
{
    return (struct ball *)(void *)(balls + index * stride);
}

/* A ball has a message for each way, after it. */
static struct peer_message *message_to(struct ball *ball, unsigned side)
{
    size_t bytes = (stride - sizeof(struct ball)) / 2;
    return (struct peer_message *)(void *)((char *)(ball + 1) + side * bytes);
}

static void take(struct ball *ball, unsigned to)
{
    struct side *side = &sides[to];
    if (ball->index != side->next)
        measure_fail("side %u: message %u came when %u was due", to, ball->index, side->next);
    side->next = side->next + 1 == flight ? 0 : side->next + 1;
    side->arrived++;
    ball->trips[to]++;
}

static int arrive_far(struct peer_loop *loop, int status, void *arg)
{
    struct ball *ball = arg;
    (void)loop;
    (void)status;
    take(ball, 1);
    peer_post(sides[0].loop, message_to(ball, 0));
    return 0;
}

static int arrive_home(struct peer_loop *loop, int status, void *arg)
{
    struct ball *ball = arg;
    (void)status;
    take(ball, 0);
    if (served < ops) {
        served++;
        peer_post(sides[1].loop, message_to(ball, 1));
    } else if (sides[0].arrived == ops) {
        peer_post(sides[1].loop, last_call);
        peer_loop_stop(loop);
    }
    return 0;
}

static int end_far(struct peer_loop *loop, int status, void *arg)
{
    (void)status;
    (void)arg;
    peer_loop_stop(loop);
    return 0;
}

/* Other work: a chain of multiplications, about half a microsecond on a CPU of 4 GHz. */
static void work(void)
{
    static _Thread_local volatile uint64_t result;
    uint64_t state = result;
    for (int i = 0; i < 500; i++)
        state = state * UINT64_C(6364136223846793005) + 1;
    result = state;
}

static void *run_far(void *arg)
{
    (void)arg;
    cpus_pin(1);
    pthread_barrier_wait(&start);
    peer_loop_run(sides[1].loop);
    return NULL;
}

static void create_balls(void)
{
    size_t unit = sizeof(max_align_t);
    size_t bytes = (peer_message_bytes + unit - 1) / unit * unit;
    stride = sizeof(struct ball) + 2 * bytes;
    balls = calloc(flight, stride);
    last_call = malloc(bytes);
    if (balls == NULL || last_call == NULL)
        measure_fail("no memory");
    peer_message_init(last_call, end_far, NULL);
    for (unsigned i = 0; i < flight; i++) {
        struct ball *ball = ball_at(i);
        ball->index = i;
        peer_message_init(message_to(ball, 0), arrive_home, ball);
        peer_message_init(message_to(ball, 1), arrive_far, ball);
    }
}

static void check_trips(void)
{
    uint64_t trips = 0;
    for (unsigned i = 0; i < flight; i++) {
        const struct ball *ball = ball_at(i);
        if (ball->trips[0] != ball->trips[1])
            measure_fail("message %u came back %llu times from %llu trips", i,
                         (unsigned long long)ball->trips[0], (unsigned long long)ball->trips[1]);
        trips += ball->trips[0];
    }
    if (trips != ops || sides[0].arrived != ops || sides[1].arrived != ops)
        measure_fail("%llu trips of %llu", (unsigned long long)trips, (unsigned long long)ops);
}

int main(int argc, char **argv)
{
    struct measure measure;
    pthread_t far;
    ops = measure_argument(argc, argv, "ops", 10000);
    uint64_t wanted = measure_argument(argc, argv, "flight", 1);
    if (ops == 0 || wanted == 0 || wanted > FLIGHT_MAX)
        measure_fail("ops or flight out of range");
    flight = (unsigned)(wanted < ops ? wanted : ops);
    sides[0].loop = peer_loop_create();
    sides[1].loop = peer_loop_create();
    if (measure_argument(argc, argv, "awake", 0) != 0) {
        peer_loop_keep_awake(sides[0].loop, work);
        peer_loop_keep_awake(sides[1].loop, work);
    }
    create_balls();
    pthread_barrier_init(&start, NULL, 2);
    if (pthread_create(&far, NULL, run_far, NULL) != 0)
        measure_fail("no thread");
    cpus_pin(0);
    pthread_barrier_wait(&start);

    measure_begin(&measure);
    for (served = 0; served < flight; served++)
        peer_post(sides[1].loop, message_to(ball_at(served), 1));
    peer_loop_run(sides[0].loop);
    measure_end(&measure);

    pthread_join(far, NULL);
    check_trips();
    measure_report(&measure, ops);
    free(balls);
    free(last_call);
    return 0;
}
