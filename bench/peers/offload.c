/* SPDX-License-Identifier: MIT */
/*
 * offload - see offload.h.
 */
#include "offload.h"

#include <pthread.h>
#include <stdlib.h>

#include "measure.h"

struct offload offload;

static uint64_t ops;
static uint64_t sent;
static uint64_t home;
static pthread_t loop_thread;
static struct measure measure;

void offload_create(int argc, char **argv)
{
    uint64_t flight = measure_argument(argc, argv, "flight", 1);
    ops = measure_argument(argc, argv, "ops", 100000);
    if (flight == 0 || flight > OFFLOAD_FLIGHT_MAX || ops < flight)
        measure_fail("needs 1 <= flight <= %d and flight <= ops", OFFLOAD_FLIGHT_MAX);
    offload.flight = (unsigned)flight;
    offload.pieces = calloc(flight, sizeof(*offload.pieces));
    if (offload.pieces == NULL)
        measure_fail("no memory");
}

void offload_begin(void)
{
    loop_thread = pthread_self();
    sent = offload.flight;
    measure_begin(&measure);
}

void offload_work(struct offload_piece *piece)
{
    if (pthread_equal(pthread_self(), loop_thread))
        measure_fail("work on the loop's thread");
    uint64_t state = piece->result;
    for (int i = 0; i < 100; i++)
        state = state * UINT64_C(6364136223846793005) + 1;
    piece->result = state;
    piece->worked++;
}

enum offload_next offload_home(struct offload_piece *piece)
{
    piece->home++;
    if (piece->worked != piece->home)
        measure_fail("home %llu times, worked on %llu times", (unsigned long long)piece->home,
                     (unsigned long long)piece->worked);
    if (++home == ops)
        return OFFLOAD_END;
    if (sent == ops)
        return OFFLOAD_REST;
    sent++;
    return OFFLOAD_AGAIN;
}

void offload_end(void)
{
    measure_end(&measure);
    uint64_t count = 0;
    for (unsigned i = 0; i < offload.flight; i++)
        count += offload.pieces[i].home;
    if (count != ops || home != ops)
        measure_fail("%llu came home of %llu", (unsigned long long)count, (unsigned long long)ops);
    measure_report(&measure, ops);
    free(offload.pieces);
}
