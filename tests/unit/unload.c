/* SPDX-License-Identifier: MIT */
/*
 * unload - a plugin that has the library inside is closed while threads still owe it their end.
 *
 * A thread that has used the library calls into it when it ends. So nothing that contains it may be
 * unmapped by dlclose, be it the shared library or a plugin linked with the static one.
 */
#include <dlfcn.h>
#include <pthread.h>

#include "harness/plain.h"

static void *use_and_close(void *arg)
{
    int *ret_calls = arg;
    void *plugin = dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
    if (!CHECK(plugin != NULL))
        return NULL;
    /* POSIX has function pointers fit into object pointers; C says nothing. */
    union {
        void *symbol;
        int (*fn)(void);
    } run = {.symbol = dlsym(plugin, "plugin_run")};
    if (CHECK(run.symbol != NULL))
        *ret_calls = run.fn();
    CHECK_EQ(dlclose(plugin), 0);
    return NULL; /* and from here into the library once more */
}

static void plugin_may_be_closed_before_the_thread_that_used_it_ends(void)
{
    for (int round = 0; round < 2; round++) {
        pthread_t thread;
        int calls = 0;
        if (!CHECK_EQ(pthread_create(&thread, NULL, use_and_close, &calls), 0))
            return;
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(calls, 1);
    }
}

static const struct plain_case cases[] = {
    PLAIN_CASE(plugin_may_be_closed_before_the_thread_that_used_it_ends),
};

PLAIN_MAIN(cases)
