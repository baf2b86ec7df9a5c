/* SPDX-License-Identifier: MIT */
/*
 * descriptors - see descriptors.h.
 */
#include "descriptors.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>

#include "measure.h"

void descriptors_need(unsigned long count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        measure_fail("getrlimit: %s", strerror(errno));
    if (limit.rlim_cur >= count)
        return;
    limit.rlim_cur = count;
    if (limit.rlim_max < count)
        limit.rlim_max = count; /* for root, up to fs.nr_open */
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        measure_skip("%lu descriptors are more than this machine allows: %s", count,
                     strerror(errno));
}
