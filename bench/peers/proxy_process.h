/* SPDX-License-Identifier: MIT */
/*
 * proxy_process - a proxy under measurement: started with a configuration of its own in a temporary
 * directory, on a free port of 127.0.0.1, and stopped again.
 *
 * Each program that links this defines proxy_process_exec for its proxy.
 */
#ifndef BENCH_PROXY_PROCESS_H
#define BENCH_PROXY_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

enum proxy_process_limits {
    PROXY_LOOPS = 2, /* threads, or worker processes: the same for all */
    PROXY_PATH_MAX = 64
};

struct proxy_process {
    char directory[PROXY_PATH_MAX]; /* for its configuration, and its log */
    uint16_t port; /* it listens here */
    uint16_t origin_port; /* and connects to there */
    unsigned pairs; /* connections from clients that it must have room for */
    pid_t pid;
};

/* In the child: writes the configuration and becomes the proxy. Returns if that fails. */
void proxy_process_exec(const struct proxy_process *proxy);

/* Writes DIRECTORY/NAME; ends the program if it cannot. `ret_path` gets the path. */
__attribute__((format(printf, 4, 5))) void proxy_process_write(const struct proxy_process *proxy,
                                                               const char *name,
                                                               char ret_path[2 * PROXY_PATH_MAX],
                                                               const char *format, ...);

/* Starts the proxy; it listens a little later. It dies with this process, however that ends. */
void proxy_process_start(struct proxy_process *proxy, uint16_t origin_port, unsigned pairs);

/* Memory that is its own alone, of all its processes, in bytes. */
uint64_t proxy_process_private_bytes(const struct proxy_process *proxy);

/* Ends the proxy, which has no connections any more, and removes the directory. */
void proxy_process_stop(struct proxy_process *proxy);

/* Ends this program as failed, with errno and what the proxy logged. */
__attribute__((noreturn)) void proxy_process_fail(struct proxy_process *proxy, const char *what);

#endif
