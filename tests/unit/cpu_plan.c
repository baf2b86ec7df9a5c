/* SPDX-License-Identifier: MIT */
/*
 * cpu_plan - the plan from trees of files (fixtures/cgroup) and from a port with made-up CPUs.
 */
#include "harness/gyre_test.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "contract/backend.h"
#include "cores/cpu_plan.h"

/* What the port answers. */
static struct world {
    unsigned online;
    const char *affinity; /* a list; NULL: the system does not tell */
    uint64_t damage; /* seed of random damage to every file; 0: none */
    unsigned reads;
} world;

static unsigned cpus_online(void)
{
    return world.online;
}

static int cpus_allowed(struct gyre__cpus *ret_cpus)
{
    if (world.affinity == NULL)
        return -ENOTSUP;
    return gyre__cpus_parse(world.affinity, ret_cpus) ? 0 : -EINVAL;
}

static uint64_t next_random(void)
{
    world.damage ^= world.damage << 13;
    world.damage ^= world.damage >> 7;
    world.damage ^= world.damage << 17;
    return world.damage;
}

static int64_t damage(char *text, int64_t length)
{
    static const char likely[] = "0129-, \n\\/:max";
    if (length == 0 || next_random() % 4 == 0)
        return length;
    for (unsigned i = 0; i < 1 + next_random() % 4; i++)
        text[next_random() % (uint64_t)length] = likely[next_random() % sizeof(likely)];
    if (next_random() % 4 == 0)
        length = (int64_t)(next_random() % (uint64_t)length);
    text[length] = '\0';
    return length;
}

static int64_t read_file(const char *path, char *text, size_t bytes)
{
    world.reads++;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return -errno;
    size_t length = fread(text, 1, bytes, file);
    int error = ferror(file) ? EISDIR : 0;
    fclose(file);
    if (error != 0)
        return -error;
    if (length == bytes)
        return -E2BIG;
    text[length] = '\0';
    return world.damage != 0 ? damage(text, (int64_t)length) : (int64_t)length;
}

static const struct gyre__port port = {
    .cpus_online = cpus_online,
    .cpus_allowed = cpus_allowed,
    .read_file = read_file,
};

static const char *fixture(const char *name)
{
    static char path[512];
    const char *source = getenv("GYRE_SOURCE_DIR");
    cr_assert_not_null(source, "GYRE_SOURCE_DIR is not set");
    snprintf(path, sizeof(path), "%s/tests/unit/fixtures/cgroup/%s", source, name);
    return path;
}

/* The plan as text for a fixture on a machine of eight CPUs. */
static const char *plan_with(const char *name, unsigned loops, enum gyre_pin pin)
{
    static char text[8192];
    static struct gyre__cpu_plan plan;
    if (world.online == 0)
        world = (struct world){.online = 8, .affinity = "0-7"};
    cr_assert_eq(gyre__cpu_plan_make(&port, fixture(name), loops, pin, &plan), 0);
    cr_assert_lt(gyre__cpu_plan_print(&plan, text, sizeof(text)), sizeof(text));
    return text;
}

static const char *plan_of(const char *name)
{
    return plan_with(name, 0, GYRE_PIN_AUTO);
}

#define ASSERT_BEGINS(text, with) \
    cr_assert_eq(strncmp((text), (with), strlen(with)), 0, "the plan is:\n%s", (text))
#define ASSERT_HAS(text, part) \
    cr_assert_not_null(strstr((text), (part)), "no \"%s\" in:\n%s", (part), (text))

GYRE_TEST(cpu_plan, without_cgroups_there_is_a_loop_a_cpu)
{
    const char *text = plan_of("none");
    ASSERT_BEGINS(text, "plan: 8 loops of 8 CPUs online, 8 allowed, quota none; pinned\n"
                        "loop=0 cpu=0\nloop=1 cpu=1\nloop=2 cpu=2\nloop=3 cpu=3\n"
                        "loop=4 cpu=4\nloop=5 cpu=5\nloop=6 cpu=6\nloop=7 cpu=7\nnote: ");
    ASSERT_HAS(text, "/proc/self/cgroup: cannot be read");
}

GYRE_TEST(cpu_plan, affinity_limits_the_loops_and_names_their_cpus)
{
    world = (struct world){.online = 8, .affinity = "1,6-7"};
    ASSERT_BEGINS(plan_of("none"), "plan: 3 loops of 8 CPUs online, 3 allowed, quota none; pinned\n"
                                   "loop=0 cpu=1\nloop=1 cpu=6\nloop=2 cpu=7\n");
    world = (struct world){.online = 1, .affinity = "0"};
    ASSERT_BEGINS(plan_of("none"), "plan: 1 loop of 1 CPU online, 1 allowed, quota none; pinned\n"
                                   "loop=0 cpu=0\n");
}

GYRE_TEST(cpu_plan, fewer_cpus_online_than_allowed_limit_the_loops)
{
    world = (struct world){.online = 2, .affinity = "0-1023"};
    ASSERT_BEGINS(plan_of("none"),
                  "plan: 2 loops of 2 CPUs online, 1024 allowed, quota none; pinned\n");
}

GYRE_TEST(cpu_plan, v1_quota_and_cpuset_limit_the_loops)
{
    const char *text = plan_of("v1");
    ASSERT_BEGINS(text, "plan: 2 loops of 8 CPUs online, 4 allowed, quota 2.00; "
                        "not pinned: the quota leaves CPUs unused\n"
                        "loop=0 cpu=any\nloop=1 cpu=any\n");
    ASSERT_HAS(text, "/sys/fs/cgroup/cpu,cpuacct/batch/job\n");
    ASSERT_HAS(text, "note: cpuset 2-5: ");
}

GYRE_TEST(cpu_plan, v2_cpuset_limits_the_loops_and_names_their_cpus)
{
    const char *text = plan_of("v2");
    ASSERT_BEGINS(text, "plan: 3 loops of 8 CPUs online, 3 allowed, quota 4.00; pinned\n"
                        "loop=0 cpu=1\nloop=1 cpu=2\nloop=2 cpu=5\n");
    ASSERT_HAS(text, "note: quota 400000/100000 us: ");
    ASSERT_HAS(text, "note: cpuset 1-2,5: ");
}

GYRE_TEST(cpu_plan, tightest_ancestor_wins_in_v2)
{
    const char *text = plan_of("v2_nested");
    ASSERT_BEGINS(text, "plan: 3 loops of 8 CPUs online, 3 allowed, quota 3.00; pinned\n"
                        "loop=0 cpu=1\nloop=1 cpu=2\nloop=2 cpu=3\n");
    ASSERT_HAS(text, "note: quota 600000/100000 us: ");
    ASSERT_HAS(text, "note: quota 150000/50000 us: ");
    cr_assert_null(strstr(text, "500000"), "a looser ancestor counts: %s", text);
}

GYRE_TEST(cpu_plan, hybrid_takes_the_limits_of_v1)
{
    const char *text = plan_of("hybrid");
    ASSERT_BEGINS(text, "plan: 3 loops of 8 CPUs online, 8 allowed, quota 3.00; not pinned: ");
    ASSERT_HAS(text, "/sys/fs/cgroup/cpu,cpuacct/app\n");
}

GYRE_TEST(cpu_plan, v1_container_is_below_the_part_that_is_mounted)
{
    const char *text = plan_of("v1_container");
    ASSERT_BEGINS(text, "plan: 2 loops of 8 CPUs online, 2 allowed, quota 2.00; pinned\n"
                        "loop=0 cpu=4\nloop=1 cpu=5\n");
    ASSERT_HAS(text, "note: quota 100000/50000 us: ");
}

GYRE_TEST(cpu_plan, group_outside_of_its_namespace_is_the_mounted_root)
{
    ASSERT_BEGINS(plan_of("v2_namespace"),
                  "plan: 2 loops of 8 CPUs online, 2 allowed, quota 2.00; pinned\n"
                  "loop=0 cpu=6\nloop=1 cpu=7\n");
    ASSERT_BEGINS(plan_of("v2_foreign_root"), "plan: 2 loops of 8 CPUs online, 8 allowed");
}

GYRE_TEST(cpu_plan, mount_that_holds_the_group_is_preferred)
{
    const char *text = plan_of("v2_bind_mount");
    ASSERT_BEGINS(text, "plan: 3 loops of 8 CPUs online, 4 allowed, quota 3.00; not pinned: ");
    ASSERT_HAS(text, "/srv/my group\n");
}

GYRE_TEST(cpu_plan, fractional_quota_rounds_up_and_is_not_pinned)
{
    const char *text = plan_of("fractional");
    ASSERT_BEGINS(text, "plan: 2 loops of 8 CPUs online, 8 allowed, quota 1.50; "
                        "not pinned: the quota is fractional\nloop=0 cpu=any\nloop=1 cpu=any\n");
    world = (struct world){.online = 2, .affinity = "0-1"};
    ASSERT_BEGINS(plan_of("fractional"), "plan: 2 loops of 2 CPUs online, 2 allowed, quota 1.50; "
                                         "not pinned: the quota is fractional\n");
}

GYRE_TEST(cpu_plan, malformed_files_are_left_out_with_a_note)
{
    const char *text = plan_of("malformed");
    ASSERT_BEGINS(text, "plan: 8 loops of 8 CPUs online, 8 allowed, quota none; pinned\n");
    ASSERT_HAS(text, "/proc/self/mountinfo: malformed lines");
    ASSERT_HAS(text, "/proc/self/cgroup: malformed line");
    ASSERT_HAS(text, "/a/b/cpu.max: malformed");
    ASSERT_HAS(text, "/a/cpu.max: malformed");
    ASSERT_HAS(text, "/a/b/cpuset.cpus.effective: malformed");
    ASSERT_HAS(text, "note: ");
}

GYRE_TEST(cpu_plan, number_of_the_user_is_taken_as_it_is)
{
    ASSERT_BEGINS(plan_with("v2", 2, GYRE_PIN_AUTO),
                  "plan: 2 loops of 8 CPUs online, 3 allowed, quota 4.00; pinned\n"
                  "loop=0 cpu=1\nloop=1 cpu=2\nnote: ");
    ASSERT_BEGINS(plan_with("v2", 4, GYRE_PIN_AUTO),
                  "plan: 4 loops of 8 CPUs online, 3 allowed, quota 4.00; "
                  "not pinned: more loops than CPUs\n");
}

GYRE_TEST(cpu_plan, pinning_follows_the_option)
{
    ASSERT_BEGINS(plan_with("v2", 0, GYRE_PIN_NEVER),
                  "plan: 3 loops of 8 CPUs online, 3 allowed, quota 4.00; "
                  "not pinned: by option\nloop=0 cpu=any\n");
    ASSERT_BEGINS(plan_with("v2", 5, GYRE_PIN_ALWAYS),
                  "plan: 5 loops of 8 CPUs online, 3 allowed, quota 4.00; pinned\n"
                  "loop=0 cpu=1\nloop=1 cpu=2\nloop=2 cpu=5\nloop=3 cpu=1\nloop=4 cpu=2\n");
}

GYRE_TEST(cpu_plan, unknown_affinity_is_not_pinned)
{
    world = (struct world){.online = 3};
    const char *text = plan_of("none");
    ASSERT_BEGINS(text, "plan: 3 loops of 3 CPUs online, 3 allowed, quota none; "
                        "not pinned: the system does not tell the CPUs allowed\n");
    ASSERT_HAS(text, "note: affinity unknown");
    ASSERT_BEGINS(plan_with("none", 0, GYRE_PIN_ALWAYS),
                  "plan: 3 loops of 3 CPUs online, 3 allowed, quota none; pinned\n");
}

GYRE_TEST(cpu_plan, cpuset_apart_from_the_affinity_is_left_out)
{
    world = (struct world){.online = 8, .affinity = "0-1"};
    const char *text = plan_of("v1_container");
    ASSERT_BEGINS(text, "plan: 2 loops of 8 CPUs online, 2 allowed, quota 2.00; pinned\n"
                        "loop=0 cpu=0\nloop=1 cpu=1\n");
    ASSERT_HAS(text, "note: the cpuset has no CPU of the affinity's, left out\n");
}

GYRE_TEST(cpu_plan, text_is_cut_as_snprintf_cuts)
{
    struct gyre__cpu_plan plan;
    char whole[4096];
    char part[4096];
    world = (struct world){.online = 2, .affinity = "0-1"};
    cr_assert_eq(gyre__cpu_plan_make(&port, fixture("v2"), 2, GYRE_PIN_NEVER, &plan), 0);
    size_t length = gyre__cpu_plan_print(&plan, whole, sizeof(whole));
    cr_assert_eq(length, strlen(whole));
    cr_assert_eq(gyre__cpu_plan_print(&plan, NULL, 0), length);
    for (size_t bytes = 1; bytes <= length + 1; bytes++) {
        memset(part, 'x', sizeof(part));
        cr_assert_eq(gyre__cpu_plan_print(&plan, part, bytes), length);
        cr_assert_eq(strlen(part), bytes - 1);
        cr_assert_eq(memcmp(part, whole, bytes - 1), 0);
        cr_assert_eq(part[bytes], 'x');
    }
}

GYRE_TEST(cpu_plan, lists_of_cpus_are_read_strictly)
{
    static const char *const bad[] = {"",    "-", "1-",    "-1",  "3-1",   "1,",  ",1",
                                      "1 2", "a", "1-2-3", "0x1", "1\n\n", "1,,2"};
    struct gyre__cpus cpus = {{7}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        cr_assert(!gyre__cpus_parse(bad[i], &cpus), "\"%s\" is taken for a list", bad[i]);
    cr_assert_eq(cpus.bits[0], 7, "a failure has changed the result");

    cr_assert(gyre__cpus_parse("0-2,64,1022-99999999999999999999\n", &cpus));
    cr_assert_eq(gyre__cpus_count(&cpus), 6);
    cr_assert(gyre__cpus_has(&cpus, 64));
    cr_assert(gyre__cpus_has(&cpus, 1023));
    cr_assert(gyre__cpus_parse("2000", &cpus));
    cr_assert_eq(gyre__cpus_count(&cpus), 0);
}

GYRE_TEST(cpu_plan, damaged_files_still_give_a_plan)
{
    static const char *const names[] = {"v1", "v2_nested", "hybrid", "v2_bind_mount", "malformed"};
    static struct gyre__cpu_plan plan;
    static char text[8192];
    world = (struct world){.online = 8, .affinity = "0-7"};
    for (uint64_t seed = 1; seed <= 2000; seed++) {
        const char *root = fixture(names[seed % 5]);
        world.damage = seed * UINT64_C(0x9e3779b97f4a7c15);
        cr_assert_eq(gyre__cpu_plan_make(&port, root, 0, GYRE_PIN_AUTO, &plan), 0);
        cr_assert(plan.loops >= 1 && plan.loops <= 8, "%u loops with seed %llu", plan.loops,
                  (unsigned long long)seed);
        cr_assert_lt(gyre__cpu_plan_print(&plan, text, sizeof(text)), sizeof(text));
    }
    cr_assert_gt(world.reads, 2000);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static long blocks_in_use;
static long allocations_left;

static void *allocate(size_t bytes, void *arg)
{
    (void)arg;
    if (allocations_left-- == 0)
        return NULL;
    blocks_in_use++;
    return malloc(bytes);
}

static void release(void *memory, size_t bytes, void *arg)
{
    (void)bytes;
    (void)arg;
    blocks_in_use--;
    free(memory);
}

GYRE_TEST(cpu_plan, any_allocation_may_fail)
{
    static const struct gyre_allocator allocator = {.allocate = allocate, .release = release};
    static struct gyre__cpu_plan plan;
    int result = -ENOMEM;
    long allocations = 0;
    cr_assert_eq(gyre_set_allocator(&allocator), 0);
    world = (struct world){.online = 8, .affinity = "0-7"};
    for (; result == -ENOMEM && allocations < 100; allocations++) {
        allocations_left = allocations;
        result = gyre__cpu_plan_make(&port, fixture("v1"), 0, GYRE_PIN_AUTO, &plan);
        cr_assert_eq(blocks_in_use, 0);
    }
    cr_assert_eq(result, 0);
    cr_assert_geq(allocations, 4, "%ld allocations were seen to fail", allocations - 1);
}

/* ---- the machine ----------------------------------------------------------------------------- */

GYRE_TEST(cpu_plan, this_machine_has_a_plan)
{
    const struct gyre__port *native = gyre__port_native();
    struct gyre__cpu_plan plan;
    cr_assert_eq(gyre__cpu_plan_make(native, "", 0, GYRE_PIN_AUTO, &plan), 0);
    cr_assert_geq(plan.loops, 1);
    cr_assert_leq(plan.loops, native->cpus_online());
}
