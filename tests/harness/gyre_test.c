/* SPDX-License-Identifier: MIT */
/*
 * gyre_test - the checks that end each Criterion test. See gyre_test.h.
 */
#include "harness/gyre_test.h"

#include <stdlib.h>

void gyre_test_run(void (*body)(void))
{
    /* Static: under the address sanitizer a large frame's stale pointers would hide a leak. */
    static struct gyre_balance before;
    static char report[GYRE_BALANCE_REPORT_BYTES];

    gyre_balance_take(&before);
    body();
    cr_assert(gyre_balance_check(&before, report), "the test left something behind:\n%s", report);
    cr_assert_not(gyre_balance_lost_memory(), "the test lost memory: see the leak report");
}

static const char *name_in(const char *variable)
{
    const char *name = getenv(variable);
    return name != NULL && name[0] != '\0' ? name : NULL;
}

const char *gyre_test_backend(void)
{
    return name_in("GYRE_TEST_BACKEND");
}

const char *gyre_test_waker(void)
{
    return name_in("GYRE_TEST_WAKER");
}
