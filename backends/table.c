/* SPDX-License-Identifier: MIT */
/*
 * table - the backends of this system, best first, and the choice among them.
 *
 * Choice   "auto" is the first whose probe works. A probe that fails for another reason than that
 *          the system lacks the backend (no descriptor left, say) ends the choice: a passing
 *          shortage must not change what a program runs on. GYRE_BACKEND replaces "auto" and
 *          nothing else, and is then as binding as a name in the program.
 */
#include "parts.h"

#include <errno.h>
#include <string.h>

static const struct gyre__backend *const backends[] = {
    &gyre__backend_epoll,
};

enum {
    BACKENDS = sizeof(backends) / sizeof(backends[0])
};

const struct gyre__backend *gyre__backend_at(unsigned index)
{
    return index < BACKENDS ? backends[index] : NULL;
}

static bool is_auto(const char *name)
{
    return name == NULL || strcmp(name, "auto") == 0;
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
    if (is_auto(name)) {
        const char *wanted = gyre__port_environment("GYRE_BACKEND");
        name = wanted != NULL && wanted[0] != '\0' ? wanted : NULL;
    }
    return is_auto(name) ? find_best(ret_backend) : find_named(name, ret_backend);
}
