/* SPDX-License-Identifier: MIT */
/*
 * netns - a network namespace for a test's process and its children. See netns.h.
 */
#include "netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/plain.h"

static bool write_map(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0)
        close(fd);
    return written;
}

/* As a common user: we are root there, so that what we execute keeps the rights. */
static bool enter_as_user(void)
{
    char uid_map[32], gid_map[32];

    snprintf(uid_map, sizeof(uid_map), "0 %u 1", getuid());
    snprintf(gid_map, sizeof(gid_map), "0 %u 1", getgid());
    return unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 &&
           CHECK(write_map("/proc/self/uid_map", uid_map)) &&
           CHECK(write_map("/proc/self/setgroups", "deny")) &&
           CHECK(write_map("/proc/self/gid_map", gid_map));
}

static bool enter(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWNET) != 0 && !enter_as_user())
        return false;
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK_EQ(ioctl(fd, SIOCSIFFLAGS, &loopback), 0);
    close(fd);
    return true;
}

bool netns_enter(void)
{
    static int entered = -1;

    if (entered < 0)
        entered = enter();
    return entered != 0;
}
