/* SPDX-License-Identifier: MIT */
/*
 * periodic - the arithmetic of schedules.
 */
#include "loop/periodic.h"

#include "harness/gyre_test.h"

GYRE_TEST(periodic, next_is_the_smallest_multiple_in_the_future)
{
    static const struct {
        uint64_t schedule, now, next;
    } cases[] = {
        {1010, 1010, 1020}, {1020, 1025, 1030}, {1030, 1049, 1050}, {1050, 1050, 1060},
        {1050, 1059, 1060}, {1050, 1060, 1070}, {1050, 900, 1060},  {0, 0, 10},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        cr_assert_eq(gyre__periodic_next(cases[i].schedule, 10, cases[i].now), cases[i].next);
}

GYRE_TEST(periodic, next_saturates)
{
    cr_assert_eq(gyre__periodic_next(GYRE_NEVER - 5, 10, GYRE_NEVER - 5), GYRE_NEVER);
    cr_assert_eq(gyre__periodic_next(GYRE_NEVER - 11, 10, 0), GYRE_NEVER - 1);
    cr_assert_eq(gyre__periodic_next(0, GYRE_NEVER / 2 + 1, GYRE_NEVER - 1), GYRE_NEVER);
}

GYRE_TEST(periodic, step_is_the_period_times_one_plus_jitter_around_zero)
{
    cr_assert_eq(gyre__periodic_step(1000, 0, UINT64_MAX), 1000);
    cr_assert_eq(gyre__periodic_step(1000, 1, 0), 500);
    cr_assert_eq(gyre__periodic_step(1000, 1, UINT64_C(1) << 63), 1000);
    cr_assert_geq(gyre__periodic_step(1000, 1, UINT64_MAX), 1499);
    cr_assert_leq(gyre__periodic_step(1000, 1, UINT64_MAX), 1500);
    cr_assert_eq(gyre__periodic_step(1000, 0.5, 0), 750);
    cr_assert_eq(gyre__periodic_step(1000, 0.5, UINT64_C(3) << 62), 1125);
}

GYRE_TEST(periodic, step_is_never_nothing_and_never_too_long)
{
    cr_assert_eq(gyre__periodic_step(1, 1, 0), 1);
    cr_assert_leq(gyre__periodic_step(GYRE_NEVER - 1, 1, UINT64_MAX), GYRE_NEVER / 2);
}
