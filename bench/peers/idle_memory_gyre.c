/* SPDX-License-Identifier: MIT */
/*
 * idle_memory_gyre - gyre-proxy as the proxy of the idle-memory case. BENCH_GYRE_PROXY is its path.
 */
#include <stdio.h>
#include <unistd.h>

#include "proxy_process.h"

void proxy_process_exec(const struct proxy_process *proxy)
{
    char listen[32], upstream[32], loops[8];
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", proxy->port);
    snprintf(upstream, sizeof(upstream), "127.0.0.1:%u", proxy->origin_port);
    snprintf(loops, sizeof(loops), "%d", PROXY_LOOPS);
    (void)execl(BENCH_GYRE_PROXY, "gyre-proxy", "--listen", listen, "--upstream", upstream,
                "--loops", loops, (char *)NULL); /* the caller tells why it returned */
}
