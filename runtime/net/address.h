/* SPDX-License-Identifier: MIT */
/*
 * address - addresses as text, taken apart: what is numeric, and what is a name to look up.
 */
#ifndef GYRE_NET_ADDRESS_H
#define GYRE_NET_ADDRESS_H

#include <gyre/address.h>

#include "contract/backend.h"
#include "contract/port.h"

/* A host name and a port or service, as text. */
struct gyre__name {
    char host[GYRE_ADDRESS_MAX];
    char port[GYRE_ADDRESS_MAX];
};

/* Takes `host:port` apart. -EINVAL: it is no such thing, or a numeric address that is wrong;
 * -ENAMETOOLONG. */
int gyre__address_split(const char *address, struct gyre__name *ret_name);

/* gyre_address_resolve in the world of `descriptors` and `port`. */
int gyre__address_resolve(const struct gyre__descriptors *descriptors,
                          const struct gyre__port *port, const char *address,
                          char ret_texts[][GYRE_ADDRESS_MAX], unsigned *ret_count);

#endif
