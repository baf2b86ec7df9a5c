/* SPDX-License-Identifier: MIT */
/*
 * port_posix - the parts of a port that every POSIX system has: the tables of port_*.c name them.
 */
#ifndef GYRE_BACKENDS_PORT_POSIX_H
#define GYRE_BACKENDS_PORT_POSIX_H

#include "contract/port.h"

uint64_t gyre__posix_now_ns(void);
void gyre__posix_thread_join(uint64_t thread);
void gyre__posix_sigpipe_block(uint32_t *ret_token);
void gyre__posix_sigpipe_restore(uint32_t token);
unsigned gyre__posix_cpus_online(void);
int64_t gyre__posix_read_file(const char *path, char *text, size_t bytes);
int gyre__posix_resolve(const char *host, const char *port, char ret_texts[][GYRE_ADDRESS_MAX],
                        unsigned *ret_count);

#endif
