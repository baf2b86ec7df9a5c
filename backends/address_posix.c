/* SPDX-License-Identifier: MIT */
/*
 * address_posix - see address_posix.h.
 *
 * The sockaddr is copied in and out: the bytes of an address have no type of their own.
 */
#include "address_posix.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gyre/address.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

_Static_assert(sizeof(struct sockaddr_storage) <= sizeof((struct gyre__address){0}.data),
               "every address of the system's fits");

enum {
    PATH_AT = offsetof(struct sockaddr_un, sun_path),
    PATH_MAX_BYTES = sizeof((struct sockaddr_un){0}.sun_path)
};

static const char unix_prefix[] = "unix:";

/* A piece of text. */
struct part {
    const char *text;
    size_t bytes;
};

static void store(struct gyre__address *ret_address, const void *data, size_t bytes, int family)
{
    memset(ret_address, 0, sizeof(*ret_address));
    memcpy(ret_address->data, data, bytes);
    ret_address->bytes = (uint32_t)bytes;
    ret_address->family = (uint16_t)family;
}

/* ---- parse ----------------------------------------------------------------------------------- */

int gyre__posix_parse_port(const char *text, size_t bytes, uint16_t *ret_port)
{
    unsigned port = 0;
    if (bytes == 0 || bytes > 5)
        return -EINVAL;
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] < '0' || text[i] > '9')
            return -EINVAL;
        port = port * 10 + (unsigned)(text[i] - '0');
    }
    if (port > UINT16_MAX)
        return -EINVAL;
    *ret_port = (uint16_t)port;
    return 0;
}

/* Splits at the last colon, or behind the bracket. */
static int split(const char *text, struct part *ret_host, uint16_t *ret_port)
{
    const char *host = text;
    const char *end = strrchr(text, ':');
    if (text[0] == '[') {
        host = text + 1;
        end = strchr(text, ']');
        if (end == NULL || end[1] != ':')
            return -EINVAL;
    }
    if (end == NULL)
        return -EINVAL;
    const char *port = *end == ']' ? end + 2 : end + 1;
    ret_host->text = host;
    ret_host->bytes = (size_t)(end - host);
    return gyre__posix_parse_port(port, strlen(port), ret_port);
}

/* Copies a part for the functions that want it terminated. */
static int terminate(struct part part, char *copy, size_t bytes)
{
    if (part.bytes >= bytes)
        return -EINVAL;
    memcpy(copy, part.text, part.bytes);
    copy[part.bytes] = '\0';
    return 0;
}

/* The interface of a link-local address, by name or number. */
static int parse_scope(const char *text, uint32_t *ret_scope)
{
    uint16_t number;
    unsigned scope = if_nametoindex(text);
    if (scope == 0 && gyre__posix_parse_port(text, strlen(text), &number) == 0)
        scope = number;
    if (scope == 0)
        return -EINVAL;
    *ret_scope = scope;
    return 0;
}

static int parse_ipv6(struct part host, uint16_t port, struct gyre__address *ret_address)
{
    char text[INET6_ADDRSTRLEN + IF_NAMESIZE];
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    int status = terminate(host, text, sizeof(text));
    if (status != 0)
        return status;
    char *scope = strchr(text, '%');
    if (scope != NULL) {
        *scope = '\0';
        status = parse_scope(scope + 1, &address.sin6_scope_id);
    }
    if (status != 0)
        return status;
    if (inet_pton(AF_INET6, text, &address.sin6_addr) != 1)
        return -EINVAL;
    store(ret_address, &address, sizeof(address), AF_INET6);
    return 0;
}

static int parse_ipv4(struct part host, uint16_t port, struct gyre__address *ret_address)
{
    char text[INET_ADDRSTRLEN];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int status = terminate(host, text, sizeof(text));
    if (status != 0)
        return status;
    if (inet_pton(AF_INET, text, &address.sin_addr) != 1)
        return -EINVAL;
    store(ret_address, &address, sizeof(address), AF_INET);
    return 0;
}

/* A passing shortage does not count: a system has none if it is built or booted without. */
static bool has_ipv6(void)
{
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno != EAFNOSUPPORT;
    (void)close(fd); /* never used: nothing to lose */
    return true;
}

static void set_any(uint16_t port, struct gyre__address *ret_address)
{
    if (has_ipv6()) {
        struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        store(ret_address, &address, sizeof(address), AF_INET6);
        ret_address->flags = GYRE__ADDRESS_DUAL;
    } else {
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
        store(ret_address, &address, sizeof(address), AF_INET);
    }
}

/* A path is stored with its zero; an abstract name begins with a zero and ends with its length. */
static int parse_unix(const char *path, struct gyre__address *ret_address)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t bytes = strlen(path);
    bool abstract = path[0] == '@';
    if (bytes <= (abstract ? 1 : 0))
        return -EINVAL;
    if (bytes >= PATH_MAX_BYTES)
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, bytes);
    if (abstract)
        address.sun_path[0] = '\0';
    store(ret_address, &address, PATH_AT + bytes + (abstract ? 0 : 1), AF_UNIX);
    return 0;
}

int gyre__posix_parse(const char *text, struct gyre__address *ret_address)
{
    struct part host;
    uint16_t port;
    if (strnlen(text, GYRE_ADDRESS_MAX) == GYRE_ADDRESS_MAX)
        return -ENAMETOOLONG;
    if (strncmp(text, unix_prefix, sizeof(unix_prefix) - 1) == 0)
        return parse_unix(text + sizeof(unix_prefix) - 1, ret_address);
    int status = split(text, &host, &port);
    if (status != 0)
        return status;
    if (text[0] == '[')
        return parse_ipv6(host, port, ret_address);
    if (host.bytes == 1 && host.text[0] == '*') {
        set_any(port, ret_address);
        return 0;
    }
    return parse_ipv4(host, port, ret_address);
}

/* ---- format ---------------------------------------------------------------------------------- */

static int format_ipv4(const void *host, in_port_t port, char *text, size_t bytes)
{
    char buffer[INET_ADDRSTRLEN];
    if (inet_ntop(AF_INET, host, buffer, sizeof(buffer)) == NULL)
        return -errno;
    return snprintf(text, bytes, "%s:%u", buffer, ntohs(port));
}

static int format_ipv6(const struct gyre__address *from, char *text, size_t bytes)
{
    char buffer[INET6_ADDRSTRLEN];
    struct sockaddr_in6 address;
    memcpy(&address, from->data, sizeof(address));
    if ((from->flags & GYRE__ADDRESS_DUAL) != 0)
        return snprintf(text, bytes, "*:%u", ntohs(address.sin6_port));
    if (IN6_IS_ADDR_V4MAPPED(&address.sin6_addr))
        return format_ipv4(&address.sin6_addr.s6_addr[12], address.sin6_port, text, bytes);
    if (inet_ntop(AF_INET6, &address.sin6_addr, buffer, sizeof(buffer)) == NULL)
        return -errno;
    if (address.sin6_scope_id != 0)
        return snprintf(text, bytes, "[%s%%%u]:%u", buffer, address.sin6_scope_id,
                        ntohs(address.sin6_port));
    return snprintf(text, bytes, "[%s]:%u", buffer, ntohs(address.sin6_port));
}

static int format_unix(const struct gyre__address *from, char *text, size_t bytes)
{
    struct sockaddr_un address = {0};
    char name[PATH_MAX_BYTES + 1] = "";
    size_t used = from->bytes > PATH_AT ? from->bytes - PATH_AT : 0;
    if (used > PATH_MAX_BYTES)
        used = PATH_MAX_BYTES;
    memcpy(&address, from->data, PATH_AT + used);
    memcpy(name, address.sun_path, used);
    /* As in /proc/net/unix: the zeros of an abstract name have no other place in text. */
    for (size_t i = 0; used > 0 && address.sun_path[0] == '\0' && i < used; i++) {
        if (name[i] == '\0')
            name[i] = '@';
    }
    return snprintf(text, bytes, "%s%s", unix_prefix, name);
}

int gyre__posix_format(const struct gyre__address *address, char *text, size_t bytes)
{
    char whole[GYRE_ADDRESS_MAX];
    int length;
    if (address->family == AF_INET) {
        struct sockaddr_in ipv4;
        memcpy(&ipv4, address->data, sizeof(ipv4));
        length = format_ipv4(&ipv4.sin_addr, ipv4.sin_port, whole, sizeof(whole));
    } else if (address->family == AF_INET6) {
        length = format_ipv6(address, whole, sizeof(whole));
    } else if (address->family == AF_UNIX) {
        length = format_unix(address, whole, sizeof(whole));
    } else {
        return -EINVAL;
    }
    if (length < 0 || (size_t)length >= bytes)
        return -EINVAL;
    memcpy(text, whole, (size_t)length + 1);
    return 0;
}

bool gyre__posix_is_unix(const struct gyre__address *address)
{
    return address->family == AF_UNIX;
}

const char *gyre__posix_path(const struct gyre__address *address)
{
    const char *path = (const char *)address->data + PATH_AT;
    if (address->family != AF_UNIX || address->bytes <= PATH_AT || path[0] == '\0')
        return NULL;
    return path;
}
