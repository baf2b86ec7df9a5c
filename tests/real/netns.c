/* SPDX-License-Identifier: MIT */
/*
 * netns - a network namespace for a test's process and its children. See netns.h.
 */
#include "netns.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "harness/plain.h"

static bool enter(void)
{
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd;

    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
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
