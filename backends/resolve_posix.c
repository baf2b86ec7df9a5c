/* SPDX-License-Identifier: MIT */
/*
 * resolve_posix - names to numeric addresses, by the system's resolver. It blocks: loops call it
 * from other threads.
 *
 * Order     The system's (RFC 6724).
 * Families  AI_ADDRCONFIG leaves out those that no interface but loopback has, which spares a
 *           connect that must fail. It also leaves out half or all of what the hosts file has for
 *           loopback: "localhost" is asked for without it, and so is a name that has nothing else.
 */
#include "port_posix.h"

#include <errno.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "address_posix.h"

static int error_of(int status)
{
    switch (status) {
    case 0:
        return 0;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return errno != 0 ? -errno : -EADDRNOTAVAIL;
    default:
        return -EADDRNOTAVAIL;
    }
}

static int look_up(const char *host, const char *port, struct addrinfo **ret_list)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    if (strcasecmp(host, "localhost") != 0)
        hints.ai_flags = AI_ADDRCONFIG;
    int status = getaddrinfo(host, port, &hints, ret_list);
    if (hints.ai_flags != 0 &&
        (status == EAI_NONAME || status == EAI_ADDRFAMILY || status == EAI_NODATA)) {
        hints.ai_flags = 0;
        status = getaddrinfo(host, port, &hints, ret_list);
    }
    return error_of(status);
}

static bool is_listed(const char *text, char texts[][GYRE_ADDRESS_MAX], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(texts[i], text) == 0)
            return true;
    }
    return false;
}

int gyre__posix_resolve(const char *host, const char *port, char ret_texts[][GYRE_ADDRESS_MAX],
                        unsigned *ret_count)
{
    struct addrinfo *list;
    unsigned count = 0;
    int r = look_up(host, port, &list);
    if (r != 0)
        return r;
    for (const struct addrinfo *at = list; at != NULL && count < GYRE_ADDRESSES_MAX;
         at = at->ai_next) {
        struct gyre__address address = {.bytes = at->ai_addrlen, .family = (uint16_t)at->ai_family};
        if (at->ai_addrlen > sizeof(address.data))
            continue;
        memcpy(address.data, at->ai_addr, at->ai_addrlen);
        if (gyre__posix_format(&address, ret_texts[count], GYRE_ADDRESS_MAX) == 0 &&
            !is_listed(ret_texts[count], ret_texts, count))
            count++;
    }
    freeaddrinfo(list);
    *ret_count = count;
    return count > 0 ? 0 : -EADDRNOTAVAIL;
}
