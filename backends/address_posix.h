/* SPDX-License-Identifier: MIT */
/*
 * address_posix - addresses as text and as a sockaddr, for every POSIX system.
 *
 * The sockaddr stands in gyre__address.data. The slots of gyre__descriptors of the same names say
 * what the functions do; the forms of text are those of <gyre/address.h>.
 *
 * Any       "*" is IPv6 with GYRE__ADDRESS_DUAL, which bind turns into a socket for both families;
 *           where the system has no IPv6 it is 0.0.0.0. "[::]" is IPv6 alone whatever the system's
 *           default, so that "0.0.0.0:80" and "[::]:80" can be served side by side.
 * Mapped    ::ffff:1.2.3.4, the peer of a socket for both families, is written as 1.2.3.4.
 * Unnamed   The peer of a Unix socket seldom has an address. It is written "unix:", which parse
 *           refuses.
 */
#ifndef GYRE_BACKENDS_ADDRESS_POSIX_H
#define GYRE_BACKENDS_ADDRESS_POSIX_H

#include "contract/backend.h"

enum gyre__address_flag {
    GYRE__ADDRESS_DUAL = 1 /* any address, of IPv6 and of IPv4 */
};

int gyre__posix_parse(const char *text, struct gyre__address *ret_address);
int gyre__posix_format(const struct gyre__address *address, char *text, size_t bytes);
bool gyre__posix_is_unix(const struct gyre__address *address);
const char *gyre__posix_path(const struct gyre__address *address);

/* The number of a port as decimal text, 0 to 65535, or -EINVAL. */
int gyre__posix_parse_port(const char *text, size_t bytes, uint16_t *ret_port);

#endif
