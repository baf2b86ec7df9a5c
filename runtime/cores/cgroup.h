/* SPDX-License-Identifier: MIT */
/*
 * cgroup - what the process's control groups leave it of the CPUs: a quota and a set.
 *
 * What     Both versions, also mixed (hybrid): the files of the process's group and of every
 *          ancestor that is mounted. Of quotas the tightest counts, of CPU sets the intersection.
 *             v2: cpu.max, cpuset.cpus.effective
 *             v1: cpu.cfs_quota_us / cpu.cfs_period_us, cpuset.effective_cpus or cpuset.cpus
 * Where    /proc/self/cgroup names the group, /proc/self/mountinfo where its tree is mounted and
 *          which part of it. In a container the two may disagree (a cgroup namespace, a bind
 *          mount): a group that is not below what is mounted is taken to be the mounted root, since
 *          that is what the container was given.
 * Why      Ancestors are read although the system enforces them anyway: a quota is not inherited by
 *          the text of the child's file, and the container's limit often stands one level up.
 * World    Files are read through the port under a root path, so that tests bring trees of their
 *          own. What is malformed is left out and noted; nothing here fails but memory.
 * Limits   Paths up to 4 KiB, files up to 4 KiB; mountinfo up to 4 MiB, the first 32 mounts of
 *          cgroups.
 */
#ifndef GYRE_CORES_CGROUP_H
#define GYRE_CORES_CGROUP_H

#include "contract/port.h"

enum gyre__cgroup_limit {
    GYRE__CGROUP_NOTES_BYTES = 2048 /* some ten lines with paths: enough to explain a plan */
};

struct gyre__cgroup {
    bool has_quota;
    uint64_t quota_us; /* of CPU time in each period */
    uint64_t period_us;
    bool has_cpus;
    struct gyre__cpus cpus;
    unsigned notes_lost; /* lines that did not fit */
    size_t notes_length;
    char notes[GYRE__CGROUP_NOTES_BYTES]; /* what was found or left out, a line each */
};

/* Reads the limits of the calling process. -ENOMEM, -EMFILE, -ENFILE: they could not be read just
 * now; what is missing or malformed is left out instead. */
int gyre__cgroup_read(const struct gyre__port *port, const char *root,
                      struct gyre__cgroup *ret_cgroup);

/* Reads a list such as "0-3,8"; CPUs past GYRE__CPUS_MAX are left out. False: it is not one. */
bool gyre__cpus_parse(const char *text, struct gyre__cpus *ret_cpus);

static inline void gyre__cpus_add(struct gyre__cpus *cpus, unsigned cpu)
{
    cpus->bits[cpu / 64] |= UINT64_C(1) << (cpu % 64);
}

static inline bool gyre__cpus_has(const struct gyre__cpus *cpus, unsigned cpu)
{
    return (cpus->bits[cpu / 64] >> (cpu % 64) & 1) != 0;
}

unsigned gyre__cpus_count(const struct gyre__cpus *cpus);

/* Removes from `cpus` what `others` lacks. False, and nothing is removed, if that left none. */
bool gyre__cpus_intersect(struct gyre__cpus *cpus, const struct gyre__cpus *others);

#endif
