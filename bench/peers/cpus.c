/* SPDX-License-Identifier: MIT */
/*
 * cpus - see cpus.h.
 */
#include "cpus.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>

#include "measure.h"

/* What the process began with, but for the CPUs that `keep` refuses. */
static void choose(bool (*keep)(unsigned number, unsigned which), unsigned which)
{
    cpu_set_t allowed, chosen;
    unsigned number = 0;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0 || CPU_COUNT(&allowed) < 2)
        return;
    CPU_ZERO(&chosen);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && keep(number++, which))
            CPU_SET(cpu, &chosen);
    }
    if (pthread_setaffinity_np(pthread_self(), sizeof(chosen), &chosen) != 0)
        measure_fail("a thread cannot be pinned");
}

static bool is_same(unsigned number, unsigned which)
{
    return number == which;
}

static bool is_other(unsigned number, unsigned which)
{
    return number != which;
}

void cpus_pin(unsigned which)
{
    choose(is_same, which);
}

void cpus_leave_first(void)
{
    choose(is_other, 0);
}
