/* SPDX-License-Identifier: MIT */
/*
 * cpu_plan - see cpu_plan.h. Decides and prints; what cgroups say is read by cgroup.c.
 */
#include "cores/cpu_plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Text that is written as far as it fits, and counted in full. */
struct writer {
    char *text;
    size_t bytes;
    size_t length;
};

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* The CPUs of the affinity and the cpusets. */
static void find_allowed(const struct gyre__port *port, struct gyre__cpu_plan *plan,
                         struct gyre__cpus *ret_cpus)
{
    memset(ret_cpus, 0, sizeof(*ret_cpus));
    plan->affinity_known = port->cpus_allowed(ret_cpus) == 0 && gyre__cpus_count(ret_cpus) != 0;
    if (!plan->affinity_known) {
        memset(ret_cpus, 0, sizeof(*ret_cpus));
        for (unsigned cpu = 0; cpu < plan->online; cpu++)
            gyre__cpus_add(ret_cpus, cpu);
    }
    if (plan->cgroup.has_cpus)
        plan->cpuset_ignored = !gyre__cpus_intersect(ret_cpus, &plan->cgroup.cpus);
    plan->allowed = gyre__cpus_count(ret_cpus);
}

/* The quota in whole CPUs, rounded up; GYRE_LOOPS_MAX without one. */
static unsigned quota_cpus(const struct gyre__cgroup *cgroup)
{
    if (!cgroup->has_quota)
        return GYRE_LOOPS_MAX;
    uint64_t cpus = cgroup->quota_us / cgroup->period_us;
    cpus += cgroup->quota_us % cgroup->period_us != 0;
    return cpus < GYRE_LOOPS_MAX ? (unsigned)cpus : GYRE_LOOPS_MAX;
}

static enum gyre__unpinned decide_pinning(const struct gyre__cpu_plan *plan, enum gyre_pin pin,
                                          unsigned usable)
{
    const struct gyre__cgroup *cgroup = &plan->cgroup;
    if (pin == GYRE_PIN_NEVER)
        return GYRE__UNPINNED_OPTION;
    if (pin == GYRE_PIN_ALWAYS)
        return GYRE__PINNED;
    if (!plan->affinity_known)
        return GYRE__UNPINNED_UNKNOWN;
    if (plan->loops > usable)
        return GYRE__UNPINNED_CROWDED;
    if (cgroup->has_quota && cgroup->quota_us % cgroup->period_us != 0)
        return GYRE__UNPINNED_FRACTION;
    if (quota_cpus(cgroup) < usable)
        return GYRE__UNPINNED_QUOTA;
    return GYRE__PINNED;
}

static void assign_cpus(struct gyre__cpu_plan *plan, const struct gyre__cpus *allowed)
{
    unsigned cpu = 0;
    for (unsigned i = 0; i < plan->loops; i++) {
        plan->cpu[i] = GYRE__CPU_ANY;
        if (plan->unpinned != GYRE__PINNED)
            continue;
        while (!gyre__cpus_has(allowed, cpu))
            cpu = (cpu + 1) % GYRE__CPUS_MAX;
        plan->cpu[i] = (int16_t)cpu;
        cpu = (cpu + 1) % GYRE__CPUS_MAX;
    }
}

int gyre__cpu_plan_make(const struct gyre__port *port, const char *root, unsigned loops,
                        enum gyre_pin pin, struct gyre__cpu_plan *ret_plan)
{
    struct gyre__cpu_plan *plan = ret_plan;
    struct gyre__cpus allowed;
    memset(plan, 0, sizeof(*plan));
    int result = gyre__cgroup_read(port, root, &plan->cgroup);
    if (result < 0)
        return result;

    plan->online = least(port->cpus_online(), GYRE__CPUS_MAX);
    if (plan->online == 0)
        plan->online = 1;
    find_allowed(port, plan, &allowed);
    unsigned usable = least(plan->online, plan->allowed);
    plan->loops = loops != 0 ? loops : least(usable, quota_cpus(&plan->cgroup));
    plan->unpinned = decide_pinning(plan, pin, usable);
    assign_cpus(plan, &allowed);
    return 0;
}

/* ---- the plan as text ------------------------------------------------------------------------ */

static void write_text(struct writer *writer, const char *format, ...) GYRE_PRINTF(2, 3);
static void write_text(struct writer *writer, const char *format, ...)
{
    size_t used = writer->length < writer->bytes ? writer->length : writer->bytes;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(used < writer->bytes ? writer->text + used : NULL, writer->bytes - used,
                           format, arguments);
    va_end(arguments);
    if (length > 0)
        writer->length += (size_t)length;
}

static const char *unpinned_text(enum gyre__unpinned unpinned)
{
    switch (unpinned) {
    case GYRE__PINNED:
        return "pinned";
    case GYRE__UNPINNED_OPTION:
        return "not pinned: by option";
    case GYRE__UNPINNED_UNKNOWN:
        return "not pinned: the system does not tell the CPUs allowed";
    case GYRE__UNPINNED_CROWDED:
        return "not pinned: more loops than CPUs";
    case GYRE__UNPINNED_FRACTION:
        return "not pinned: the quota is fractional";
    case GYRE__UNPINNED_QUOTA:
        return "not pinned: the quota leaves CPUs unused";
    }
    return "?";
}

static void write_head(struct writer *writer, const struct gyre__cpu_plan *plan)
{
    const struct gyre__cgroup *cgroup = &plan->cgroup;
    write_text(writer, "plan: %u loop%s of %u CPU%s online, %u allowed, quota ", plan->loops,
               plan->loops == 1 ? "" : "s", plan->online, plan->online == 1 ? "" : "s",
               plan->allowed);
    if (cgroup->has_quota) {
        uint64_t hundredths = cgroup->quota_us * 100 / cgroup->period_us;
        write_text(writer, "%llu.%02llu", (unsigned long long)(hundredths / 100),
                   (unsigned long long)(hundredths % 100));
    } else {
        write_text(writer, "none");
    }
    write_text(writer, "; %s\n", unpinned_text(plan->unpinned));
}

static void write_notes(struct writer *writer, const struct gyre__cpu_plan *plan)
{
    const char *line = plan->cgroup.notes;
    while (*line != '\0') {
        size_t length = strcspn(line, "\n");
        write_text(writer, "note: %.*s\n", (int)length, line);
        line += length + (line[length] == '\n');
    }
    if (plan->cgroup.notes_lost != 0)
        write_text(writer, "note: %u more\n", plan->cgroup.notes_lost);
    if (!plan->affinity_known)
        write_text(writer, "note: affinity unknown, taken to be the CPUs online\n");
    if (plan->cpuset_ignored)
        write_text(writer, "note: the cpuset has no CPU of the affinity's, left out\n");
}

size_t gyre__cpu_plan_print(const struct gyre__cpu_plan *plan, char *text, size_t bytes)
{
    struct writer writer = {.text = text, .bytes = bytes};
    if (bytes != 0)
        text[0] = '\0';
    write_head(&writer, plan);
    for (unsigned i = 0; i < plan->loops; i++) {
        if (plan->cpu[i] == GYRE__CPU_ANY)
            write_text(&writer, "loop=%u cpu=any\n", i);
        else
            write_text(&writer, "loop=%u cpu=%d\n", i, plan->cpu[i]);
    }
    write_notes(&writer, plan);
    return writer.length;
}
