/* SPDX-License-Identifier: MIT */
/*
 * cpu_plan - how many loops a runtime has, and which CPU each of them gets.
 *
 * What     As many loops as the process can have CPUs: the least of those online, those that its
 *          affinity and its cpusets allow, and its quota, rounded up. A number that the user gives
 *          is taken as it is. The loops get the CPUs in ascending order.
 * Pinning  Not under a quota that is fractional or leaves CPUs unused: the system then takes the
 *          time away on whichever CPU, and two containers with the same plan would share the first
 *          CPUs while the others idle. Not either if the loops outnumber the CPUs, or the system
 *          does not tell which ones are allowed. GYRE_PIN_ALWAYS overrules all of this, and starts
 *          again with the first CPU when the loops outnumber the CPUs.
 * Text     plan: 2 loops of 8 CPUs online, 4 allowed, quota 2.00; not pinned: by option
 *          loop=0 cpu=any
 *          loop=1 cpu=any
 *          note: quota 200000/100000 us: /sys/fs/cgroup/web
 * Threads  A plan is made once and read by anyone.
 */
#ifndef GYRE_CORES_CPU_PLAN_H
#define GYRE_CORES_CPU_PLAN_H

#include <gyre/runtime.h>

#include "contract/port.h"
#include "cores/cgroup.h"

enum gyre__cpu_plan_cpu {
    GYRE__CPU_ANY = -1 /* as struct gyre__thread_options takes it */
};

/* Why loops are not pinned. */
enum gyre__unpinned {
    GYRE__PINNED,
    GYRE__UNPINNED_OPTION, /* GYRE_PIN_NEVER */
    GYRE__UNPINNED_UNKNOWN, /* the system does not tell the CPUs allowed */
    GYRE__UNPINNED_CROWDED, /* more loops than CPUs */
    GYRE__UNPINNED_FRACTION, /* the quota is fractional */
    GYRE__UNPINNED_QUOTA /* the quota leaves CPUs unused */
};

struct gyre__cpu_plan {
    unsigned loops;
    unsigned online;
    unsigned allowed; /* by affinity and cpusets */
    enum gyre__unpinned unpinned;
    bool affinity_known;
    bool cpuset_ignored; /* it had no CPU in common with the affinity */
    struct gyre__cgroup cgroup;
    int16_t cpu[GYRE_LOOPS_MAX]; /* of each loop, or GYRE__CPU_ANY */
};

/* Makes the plan. `loops` is at most GYRE_LOOPS_MAX, 0 for as many as can be used; `root` is where
 * /proc and /sys are looked for. -ENOMEM. */
int gyre__cpu_plan_make(const struct gyre__port *port, const char *root, unsigned loops,
                        enum gyre_pin pin, struct gyre__cpu_plan *ret_plan);

/* Writes the plan as text; like snprintf, the result is the length of all of it. */
size_t gyre__cpu_plan_print(const struct gyre__cpu_plan *plan, char *text, size_t bytes);

#endif
