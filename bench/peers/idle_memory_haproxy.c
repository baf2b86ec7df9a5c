/* SPDX-License-Identifier: MIT */
/*
 * idle_memory_haproxy - HAProxy in TCP mode as the proxy of the idle-memory case. BENCH_HAPROXY is
 * its path.
 */
#include <unistd.h>

#include "proxy_process.h"

void proxy_process_exec(const struct proxy_process *proxy)
{
    char path[2 * PROXY_PATH_MAX];
    proxy_process_write(proxy, "haproxy.cfg", path,
                        "global\n"
                        "    nbthread %d\n"
                        "    maxconn %u\n"
                        "defaults\n"
                        "    mode tcp\n"
                        "    timeout connect 5s\n"
                        "    timeout client 10m\n"
                        "    timeout server 10m\n"
                        "listen bench\n"
                        "    bind 127.0.0.1:%u\n"
                        "    server origin 127.0.0.1:%u\n",
                        PROXY_LOOPS, proxy->pairs, proxy->port, proxy->origin_port);
    (void)execl(BENCH_HAPROXY, "haproxy", "-db", "-f", path,
                (char *)NULL); /* the caller tells why it returned */
}
