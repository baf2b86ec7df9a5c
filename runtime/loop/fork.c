/* SPDX-License-Identifier: MIT */
/*
 * fork - see fork.h.
 */
#include "loop/fork.h"

#include <gyre/error.h>

#include "contract/port.h"
#include "loop/configuration.h"
#include "loop/loop.h"
#include "loop/thread.h"

_Atomic uint32_t gyre__forks;
static _Atomic bool watched;

static void begin_child(void)
{
    /* relaxed: there is one thread */
    atomic_fetch_add_explicit(&gyre__forks, 1, memory_order_relaxed);
    gyre__configuration_after_fork();
    gyre__signals_after_fork();
    gyre__watchdog_after_fork();
    gyre__thread.inside = NULL;
    for (struct gyre__visit *visit = gyre__thread.visit; visit != NULL; visit = visit->outer) {
        if (visit->loop != NULL) /* else a fork further up has been here */
            visit->loop->interrupted = -ECHILD;
        visit->loop = NULL;
    }
}

int gyre__fork_watch(void)
{
    /* relaxed: threads that race here register twice, and a word that is counted up by two has
     * changed as well */
    if (atomic_load_explicit(&watched, memory_order_relaxed))
        return 0;
    int r = gyre__port_at_fork(begin_child);
    if (r == 0)
        atomic_store_explicit(&watched, true, memory_order_relaxed);
    return r;
}
