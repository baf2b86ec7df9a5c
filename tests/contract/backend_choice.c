/* SPDX-License-Identifier: MIT */
/*
 * backend_choice - how a backend and a waker are found by name, and which ones this run has.
 */
#include "pollers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

GYRE_TEST(backend_choice, backends_are_found_by_name_and_listed_once)
{
    const struct gyre__backend *found = NULL;
    unsigned count = 0;
    for (const struct gyre__backend *at; (at = gyre__backend_at(count)) != NULL; count++) {
        for (unsigned i = 0; i < count; i++)
            cr_assert_str_neq(gyre__backend_at(i)->name, at->name);
        if (gyre__backend_find(at->name, &found) == 0)
            cr_assert_eq(found, at);
    }
    cr_assert_gt(count, 0);
    cr_assert_null(gyre__backend_at(count + 1));
    found = NULL;
    cr_assert_eq(gyre__backend_find("no such backend", &found), -ENOENT);
    cr_assert_eq(gyre__backend_find("", &found), -ENOENT);
    cr_assert_null(found);
}

GYRE_TEST(backend_choice, environment_replaces_auto_and_no_other_backend)
{
    const struct gyre__backend *named = backend();
    const struct gyre__backend *best = NULL;
    const struct gyre__backend *found = NULL;
    cr_assert_eq(unsetenv("GYRE_BACKEND"), 0);
    cr_assert_eq(gyre__backend_find(NULL, &best), 0);
    cr_assert_eq(gyre__backend_find("auto", &found), 0);
    cr_assert_eq(found, best);
    cr_assert_eq(setenv("GYRE_BACKEND", named->name, 1), 0);
    cr_assert_eq(gyre__backend_find("auto", &found), 0);
    cr_assert_eq(found, named);
    cr_assert_eq(setenv("GYRE_BACKEND", "no such backend", 1), 0);
    cr_assert_eq(gyre__backend_find(NULL, &found), -ENOENT);
    cr_assert_eq(gyre__backend_find(named->name, &found), 0);
    cr_assert_eq(setenv("GYRE_BACKEND", "auto", 1), 0);
    cr_assert_eq(gyre__backend_find(NULL, &found), 0);
    cr_assert_eq(found, best);
    cr_assert_eq(setenv("GYRE_BACKEND", "", 1), 0);
    cr_assert_eq(gyre__backend_find(NULL, &found), 0);
    cr_assert_eq(found, best);
}

GYRE_TEST(backend_choice, wakers_are_found_by_name_and_listed_once)
{
    const struct gyre__waker_kind *found = NULL;
    unsigned count = 0;
    for (const struct gyre__waker_kind *at; (at = gyre__waker_at(count)) != NULL; count++) {
        for (unsigned i = 0; i < count; i++)
            cr_assert_str_neq(gyre__waker_at(i)->name, at->name);
        cr_assert_eq(gyre__waker_find(at->name, backend(), &found), 0);
        cr_assert_eq(found, at);
    }
    cr_assert_gt(count, 0);
    cr_assert_null(gyre__waker_at(count + 1));
    found = NULL;
    cr_assert_eq(gyre__waker_find("no such waker", backend(), &found), -ENOENT);
    cr_assert_eq(gyre__waker_find("", backend(), &found), -ENOENT);
    cr_assert_null(found);
}

GYRE_TEST(backend_choice, environment_replaces_auto_and_no_other_waker)
{
    const struct gyre__waker_kind *named = waker_kind();
    const struct gyre__waker_kind *found = NULL;
    static const char *const automatic[] = {"auto", ""};
    cr_assert_eq(unsetenv("GYRE_WAKER"), 0);
    cr_assert_eq(gyre__waker_find(NULL, backend(), &found), 0);
    cr_assert_eq(found, backend()->waker, "the backend's own is the best");
    cr_assert_eq(setenv("GYRE_WAKER", named->name, 1), 0);
    cr_assert_eq(gyre__waker_find(NULL, backend(), &found), 0);
    cr_assert_eq(found, named);
    cr_assert_eq(gyre__waker_find("auto", backend(), &found), 0);
    cr_assert_eq(found, named);
    cr_assert_eq(setenv("GYRE_WAKER", "no such waker", 1), 0);
    cr_assert_eq(gyre__waker_find("auto", backend(), &found), -ENOENT);
    cr_assert_eq(gyre__waker_find(named->name, backend(), &found), 0);
    cr_assert_eq(found, named);
    for (size_t i = 0; i < sizeof(automatic) / sizeof(automatic[0]); i++) {
        cr_assert_eq(setenv("GYRE_WAKER", automatic[i], 1), 0);
        cr_assert_eq(gyre__waker_find(NULL, backend(), &found), 0);
        cr_assert_eq(found, backend()->waker);
    }
}

/* ---- this run -------------------------------------------------------------------------------- */

static void assert_pair(const struct gyre_loop *loop)
{
    cr_assert_str_eq(gyre_loop_backend(loop), gyre_test_backend());
    cr_assert_str_eq(gyre_loop_waker(loop), gyre_test_waker());
}

GYRE_TEST(backend_choice, T113_run_has_the_pair_that_it_is_named_after)
{
    const char *name = getenv("GYRE_TEST_NAME"); /* ctest's */
    char pair[64];
    if (name == NULL || gyre_test_backend() == NULL || gyre_test_waker() == NULL)
        cr_skip_test("this run has no name; ctest gives it one");
    snprintf(pair, sizeof(pair), ".%s+%s", gyre_test_backend(), gyre_test_waker());
    cr_assert_gt(strlen(name), strlen(pair));
    cr_assert_str_eq(name + strlen(name) - strlen(pair), pair);

    struct gyre_loop *loop = open_loop();
    assert_pair(loop);
    gyre_loop_destroy(loop);
    struct scene scene;
    scene_open(&scene);
    assert_pair(scene.loop);
    scene_close(&scene);
    cr_assert_eq(gyre_loop_create(NULL, &loop), 0);
    assert_pair(loop); /* also a loop whose maker asked for nothing */
    gyre_loop_destroy(loop);
}

/* Whether one of the pairs in `text`, "a+b c+d", has that name before or behind its "+". */
static bool has_part(const char *text, const char *name, bool behind)
{
    size_t length = strlen(name);
    for (const char *at = text; (at = strstr(at, name)) != NULL; at += length) {
        bool begins = behind ? at > text && at[-1] == '+' : at == text || at[-1] == ' ';
        bool ends = behind ? at[length] == ' ' || at[length] == '\0' : at[length] == '+';
        if (begins && ends)
            return true;
    }
    return false;
}

GYRE_TEST(backend_choice, T113_every_backend_and_every_waker_has_a_run)
{
    const char *pairs = getenv("GYRE_TEST_ALL_PAIRS"); /* ctest's */
    if (pairs == NULL || pairs[0] == '\0')
        cr_skip_test("in gcc's build alone, and by ctest");
    const struct gyre__backend *at;
    const struct gyre__backend *found;
    for (unsigned i = 0; (at = gyre__backend_at(i)) != NULL; i++) {
        if (gyre__backend_find(at->name, &found) == 0) /* else this system lacks it */
            cr_assert(has_part(pairs, at->name, false), "%s is in none of %s", at->name, pairs);
    }
    const struct gyre__waker_kind *kind;
    for (unsigned i = 0; (kind = gyre__waker_at(i)) != NULL; i++)
        cr_assert(has_part(pairs, kind->name, true), "%s is in none of %s", kind->name, pairs);
}
