/* SPDX-License-Identifier: MIT */
/*
 * idle_memory_nginx - nginx's stream module as the proxy of the idle-memory case. BENCH_NGINX and
 * BENCH_NGINX_STREAM are the paths of the program and the module.
 *
 * A worker makes room for its connections at its start. The system spreads connections over the
 * workers' sockets by a hash, so that each gets room for two thirds, where half is the mean.
 */
#include <unistd.h>

#include "proxy_process.h"

enum {
    SPARE_CONNECTIONS = 64 /* the listener, the channel to the master; and chance, with few pairs */
};

void proxy_process_exec(const struct proxy_process *proxy)
{
    char path[2 * PROXY_PATH_MAX];
    proxy_process_write(proxy, "nginx.conf", path,
                        "load_module %s;\n"
                        "user %s;\n"
                        "worker_processes %d;\n"
                        "daemon off;\n"
                        "pid %s/nginx.pid;\n"
                        "error_log stderr;\n"
                        "events { worker_connections %u; }\n"
                        "stream {\n"
                        "    server {\n"
                        "        listen 127.0.0.1:%u reuseport;\n"
                        "        proxy_pass 127.0.0.1:%u;\n"
                        "        proxy_timeout 10m;\n"
                        "    }\n"
                        "}\n",
                        BENCH_NGINX_STREAM, geteuid() == 0 ? "root" : "nobody", PROXY_LOOPS,
                        proxy->directory, 2 * proxy->pairs * 2 / 3 + SPARE_CONNECTIONS, proxy->port,
                        proxy->origin_port);
    (void)execl(BENCH_NGINX, "nginx", "-p", proxy->directory, "-e", "stderr", "-c", path,
                (char *)NULL); /* the caller tells why it returned */
}
