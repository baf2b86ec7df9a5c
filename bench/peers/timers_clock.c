/* SPDX-License-Identifier: MIT */
/*
 * timers_clock - see timers_clock.h.
 */
#include "timers_clock.h"

#include <dlfcn.h>
#include <errno.h>
#include <time.h>

#include "measure.h"

enum {
    NS_PER_S = 1000000000
};

typedef int clock_fn(clockid_t clock, struct timespec *ret_time);

static uint64_t passed_ns;

/* The C library's, which needs no system call. */
static clock_fn *real_clock(void)
{
    static clock_fn *real;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    if (real == NULL)
        measure_fail("dlsym: no clock_gettime");
    return real;
}

int clock_gettime(clockid_t clock, struct timespec *ret_time)
{
    int r = real_clock()(clock, ret_time);
    if (r != 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_MONOTONIC_COARSE))
        return r;
    uint64_t ns = (uint64_t)ret_time->tv_nsec + passed_ns;
    ret_time->tv_sec += (time_t)(ns / NS_PER_S);
    ret_time->tv_nsec = (long)(ns % NS_PER_S);
    return 0;
}

uint64_t timers_clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void timers_clock_pass(uint64_t ns)
{
    passed_ns += ns;
}
