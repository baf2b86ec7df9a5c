/* SPDX-License-Identifier: MIT */
/*
 * address - where streams go and listeners listen, as text.
 *
 *   127.0.0.1:80   [::1]:80   [fe80::1%eth0]:80   host:80
 *   *:80           any address, of IPv6 and of IPv4; of IPv4 alone where there is no IPv6
 *   0.0.0.0:80     any address of IPv4; [::]:80 any of IPv6. Neither serves the other's, whatever
 *                  the system's default, so that both can be listened at side by side
 *   unix:/path     unix:@name (Linux's abstract names)
 *
 * An IPv4 peer of a socket for both is written as one of IPv4. A Unix peer without an address, the
 * usual case, is written "unix:".
 */
#ifndef GYRE_ADDRESS_H
#define GYRE_ADDRESS_H

#include <gyre/base.h>

GYRE_BEGIN_DECLS

enum gyre_address_limits {
    GYRE_ADDRESS_MAX = 256, /* bytes of an address as text: a name of 253 octets is past it */
    GYRE_ADDRESSES_MAX = 16 /* numeric addresses that a name resolves to; the rest is left out */
};

/*
 * Resolves `address` into numeric ones, in the order in which they should be tried. A numeric or
 * Unix address resolves to itself.
 *
 * Threads:  any, but no loop should.
 * Blocks:   for a name, as long as the system's resolver does.
 * Errors:   -EINVAL: not an address; -ENAMETOOLONG; -EADDRNOTAVAIL: the name does not resolve;
 *           -EAGAIN: the resolver failed for now; -ENOMEM.
 * Limits:   `ret_texts` has room for GYRE_ADDRESSES_MAX.
 */
GYRE_API GYRE_MUST_CHECK int gyre_address_resolve(const char *address,
                                                  char ret_texts[][GYRE_ADDRESS_MAX],
                                                  unsigned *ret_count) GYRE_OFF_LOOP;

GYRE_END_DECLS

#endif
