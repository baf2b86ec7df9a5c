/* SPDX-License-Identifier: MIT */
/*
 * error - names and sentences of errors, and the version: what a user prints.
 */
#include <errno.h>
#include <limits.h>

#include <gyre/gyre.h>

#include "harness/gyre_test.h"

GYRE_TEST(error, has_name_and_sentence_by_either_sign)
{
    cr_assert_str_eq(gyre_error_name(EAGAIN), "EAGAIN");
    cr_assert_str_eq(gyre_error_name(-EAGAIN), "EAGAIN");
    cr_assert_str_eq(gyre_error_name(-ETIMEDOUT), "ETIMEDOUT");
    cr_assert_str_eq(gyre_error_text(-ETIMEDOUT), "the time allowed has passed");
    cr_assert_str_eq(gyre_error_text(ETIMEDOUT), gyre_error_text(-ETIMEDOUT));
}

GYRE_TEST(error, of_another_number_has_no_name)
{
    static const int others[] = {0, 1000000, -1000000, INT_MAX, INT_MIN};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        cr_assert_null(gyre_error_name(others[i]));
        cr_assert_str_eq(gyre_error_text(others[i]), "unknown error");
    }
}

GYRE_TEST(error, version_is_the_headers)
{
    cr_assert_eq(gyre_version(), GYRE_VERSION);
    cr_assert_eq(GYRE_VERSION,
                 GYRE_VERSION_MAJOR * 10000 + GYRE_VERSION_MINOR * 100 + GYRE_VERSION_PATCH);
}
