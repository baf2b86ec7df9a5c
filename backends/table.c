/* SPDX-License-Identifier: MIT */
/*
 * table - the backends of this system, best first, its wakers, and the choice among them.
 *
 * Choice   "auto" is the first whose probe works. A probe that fails for another reason than that
 *          the system lacks the backend (no descriptor left, say) ends the choice: a passing
 *          shortage must not change what a program runs on. GYRE_BACKEND replaces "auto" and
 *          nothing else, and is then as binding as a name in the program.
 * Wakers   Likewise, with GYRE_WAKER; what is best is the backend's to say.
 */
#include "parts.h"

#include <errno.h>
#include <string.h>

static const struct gyre__backend *const backends[] = {
    &gyre__backend_epoll,
    &gyre__backend_poll,
    &gyre__backend_select,
};

static const struct gyre__waker_kind *const wakers[] = {
    &gyre__waker_eventfd,
    &gyre__waker_pipe,
};

enum {
    BACKENDS = sizeof(backends) / sizeof(backends[0]),
    WAKERS = sizeof(wakers) / sizeof(wakers[0])
};

const struct gyre__backend *gyre__backend_at(unsigned index)
{
    return index < BACKENDS ? backends[index] : NULL;
}

const struct gyre__waker_kind *gyre__waker_at(unsigned index)
{
    return index < WAKERS ? wakers[index] : NULL;
}

static bool is_auto(const char *name)
{
    return name == NULL || strcmp(name, "auto") == 0;
}

/* What is asked for: NULL for the best, else the name that the program gives, or `variable`. */
static const char *choose(const char *name, const char *variable)
{
    if (!is_auto(name))
        return name;
    const char *wanted = gyre__port_environment(variable);
    return is_auto(wanted) || wanted[0] == '\0' ? NULL : wanted;
}

static int find_named(const char *name, const struct gyre__backend **ret_backend)
{
    for (unsigned i = 0; i < BACKENDS; i++) {
        if (strcmp(backends[i]->name, name) != 0)
            continue;
        int status = backends[i]->probe();
        if (status == 0)
            *ret_backend = backends[i];
        return status;
    }
    return -ENOENT;
}

static int find_best(const struct gyre__backend **ret_backend)
{
    int status = -ENOTSUP;
    for (unsigned i = 0; i < BACKENDS && status == -ENOTSUP; i++) {
        status = backends[i]->probe();
        if (status == 0)
            *ret_backend = backends[i];
    }
    return status;
}

int gyre__backend_find(const char *name, const struct gyre__backend **ret_backend)
{
    name = choose(name, "GYRE_BACKEND");
    return name != NULL ? find_named(name, ret_backend) : find_best(ret_backend);
}

int gyre__waker_find(const char *name, const struct gyre__backend *backend,
                     const struct gyre__waker_kind **ret_kind)
{
    name = choose(name, "GYRE_WAKER");
    if (name == NULL) {
        *ret_kind = backend->waker;
        return 0;
    }
    for (unsigned i = 0; i < WAKERS; i++) {
        if (strcmp(wakers[i]->name, name) != 0)
            continue;
        *ret_kind = wakers[i];
        return 0;
    }
    return -ENOENT;
}
