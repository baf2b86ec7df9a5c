/* SPDX-License-Identifier: MIT */
/*
 * sizes - see sizes.h.
 */
#include "sizes.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <malloc.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "descriptors.h"
#include "measure.h"

static uint64_t heap_before;
static struct sockaddr_in address;

bool sizes_asked(int argc, char **argv, const char *thing)
{
    return measure_argument(argc, argv, thing, 0) != 0;
}

static uint64_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

void sizes_begin(void)
{
    heap_before = heap_bytes();
}

void sizes_end(size_t own, unsigned objects)
{
    uint64_t heap = heap_bytes();
    if (heap < heap_before || (heap == heap_before && own == 0))
        measure_fail("nothing was allocated");
    measure_figure("bytes", (double)own + (double)(heap - heap_before) / objects);
}

/* ---- libraries ------------------------------------------------------------------------------- */

struct library {
    uintptr_t symbol;
    uint64_t bytes;
};

/* Adds up the object's mapped segments, if the symbol lies in one of them. */
static int look(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct library *library = arg;
    uint64_t bytes = 0;
    bool found = false;
    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
        if (segment->p_type != PT_LOAD)
            continue;
        bytes += segment->p_memsz;
        if (library->symbol - (info->dlpi_addr + segment->p_vaddr) < segment->p_memsz)
            found = true;
    }
    if (found)
        library->bytes = bytes;
    return found;
}

void sizes_library(const void *symbol)
{
    struct library library = {.symbol = (uintptr_t)symbol};
    (void)dl_iterate_phdr(look, &library); /* what look returned: bytes says the same */
    if (library.bytes == 0)
        measure_fail("the library is not loaded");
    measure_figure("bytes", (double)library.bytes);
}

void sizes_lacks(const char *what)
{
    measure_skip("it has no %s", what);
}

/* ---- streams --------------------------------------------------------------------------------- */

const char *sizes_listen(void)
{
    static char text[32];
    socklen_t length = sizeof(address);
    descriptors_need(2 * SIZES_OBJECTS);
    address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    /* Nobody accepts: the backlog holds them. */
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, length) != 0 ||
        listen(fd, 2 * SIZES_OBJECTS) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) != 0)
        measure_fail("the listener: %s", strerror(errno));
    snprintf(text, sizeof(text), "127.0.0.1:%u", ntohs(address.sin_port));
    return text;
}

int sizes_connect(void)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        measure_fail("connect: %s", strerror(errno));
    return fd;
}
