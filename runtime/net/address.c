/* SPDX-License-Identifier: MIT */
/*
 * address - see address.h.
 *
 * What the descriptors can parse is numeric and needs no resolver. Of the rest, whatever looks like
 * a numeric or Unix address and is none is refused here: a resolver might find a meaning for it
 * (getaddrinfo takes port 65537 for 1).
 */
#include "net/address.h"

#include <gyre/error.h>
#include <stdbool.h>
#include <string.h>

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Letters, digits and what stands in names: the rest is nothing to bother a resolver with. */
static bool is_name(const char *text)
{
    if (*text == '\0' || *text == '-')
        return false;
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
        if (!letter && !is_digit((char)c) && c != '-' && c != '.' && c != '_' && c < 0x80)
            return false;
    }
    return true;
}

/* A service's name, or a number that is a port's. */
static bool is_port(const char *text)
{
    unsigned value = 0;
    if (!is_digit(*text))
        return is_name(text);
    for (; is_digit(*text) && value <= UINT16_MAX; text++)
        value = value * 10 + (unsigned)(*text - '0');
    return *text == '\0' && value <= UINT16_MAX;
}

/* Digits and dots alone are a numeric address that parse has refused. */
static bool is_numeric(const char *host)
{
    while (is_digit(*host) || *host == '.')
        host++;
    return *host == '\0';
}

int gyre__address_split(const char *address, struct gyre__name *ret_name)
{
    const char *end = memchr(address, '\0', GYRE_ADDRESS_MAX);
    if (end == NULL)
        return -ENAMETOOLONG;
    const char *colon = strrchr(address, ':');
    if (colon == NULL)
        return -EINVAL;
    memset(ret_name, 0, sizeof(*ret_name));
    memcpy(ret_name->host, address, (size_t)(colon - address));
    memcpy(ret_name->port, colon + 1, (size_t)(end - (colon + 1)));
    bool fits = is_name(ret_name->host) && !is_numeric(ret_name->host) && is_port(ret_name->port);
    return fits ? 0 : -EINVAL;
}

int gyre__address_resolve(const struct gyre__descriptors *descriptors,
                          const struct gyre__port *port, const char *address,
                          char ret_texts[][GYRE_ADDRESS_MAX], unsigned *ret_count)
{
    struct gyre__address parsed;
    struct gyre__name name;
    int r = descriptors->parse(address, &parsed);
    if (r == 0)
        r = descriptors->format(&parsed, ret_texts[0], GYRE_ADDRESS_MAX);
    if (r == 0)
        *ret_count = 1;
    if (r != -EINVAL)
        return r;
    r = gyre__address_split(address, &name);
    return r != 0 ? r : port->resolve(name.host, name.port, ret_texts, ret_count);
}

int gyre_address_resolve(const char *address, char ret_texts[][GYRE_ADDRESS_MAX],
                         unsigned *ret_count)
{
    /* Any: addresses are the system's, and a wrong GYRE_BACKEND is not their business. */
    const struct gyre__backend *backend = gyre__backend_at(0);
    return gyre__address_resolve(backend->descriptors, backend->port, address, ret_texts,
                                 ret_count);
}
