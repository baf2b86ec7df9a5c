/* SPDX-License-Identifier: MIT */
/*
 * balance - reads /proc/self/fd and /proc/self/task. See balance.h.
 */
#include "harness/balance.h"

#include <dirent.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__)
#define BALANCE_LSAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define BALANCE_LSAN 1
#endif
#endif

#ifdef BALANCE_LSAN
#include <sanitizer/lsan_interface.h>
#endif

struct counter {
    const char *name;
    long (*in_use)(void);
};

static struct counter counters[GYRE_BALANCE_COUNTERS_MAX];
static size_t counters_used;

void gyre_balance_count(const char *name, long (*in_use)(void))
{
    if (counters_used == GYRE_BALANCE_COUNTERS_MAX) {
        fprintf(stderr, "balance: more than %d counters\n", GYRE_BALANCE_COUNTERS_MAX);
        abort();
    }
    counters[counters_used++] = (struct counter){ name, in_use };
}

/* Calls back for each number that names an entry of `path`; returns how many there are. */
static long each_number(const char *path, unsigned char seen[GYRE_BALANCE_FDS_MAX])
{
    DIR *directory = opendir(path);
    if (directory == NULL) {
        perror(path);
        abort();
    }
    long count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char *end;
        long number = strtol(entry->d_name, &end, 10);
        if (end == entry->d_name || *end != '\0' || number == dirfd(directory))
            continue;
        count++;
        if (seen != NULL && number < GYRE_BALANCE_FDS_MAX)
            seen[number] = 1;
    }
    closedir(directory);
    return count;
}

static long count_threads(void)
{
    DIR *directory = opendir("/proc/self/task");
    if (directory == NULL) {
        perror("/proc/self/task");
        abort();
    }
    long count = 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

void gyre_balance_take(struct gyre_balance *balance)
{
    memset(balance, 0, sizeof(*balance));
    balance->fds = each_number("/proc/self/fd", balance->open);
    balance->threads = count_threads();
    for (size_t i = 0; i < counters_used; i++)
        balance->counters[i] = counters[i].in_use();
}

__attribute__((format(printf, 2, 3))) static void add_line(char report[GYRE_BALANCE_REPORT_BYTES],
                                                           const char *format, ...)
{
    size_t used = strlen(report);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report + used, GYRE_BALANCE_REPORT_BYTES - used, format, arguments);
    va_end(arguments);
}

static void report_fds(const struct gyre_balance *before, const struct gyre_balance *now,
                       char report[GYRE_BALANCE_REPORT_BYTES])
{
    for (int fd = 0; fd < GYRE_BALANCE_FDS_MAX; fd++) {
        if (before->open[fd] == now->open[fd])
            continue;
        if (before->open[fd]) {
            add_line(report, "descriptor %d was closed by the test, which did not open it\n", fd);
            continue;
        }
        char path[64];
        char target[160] = "?";
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length > 0)
            target[length] = '\0';
        add_line(report, "descriptor %d is still open: %s\n", fd, target);
    }
    if (report[0] == '\0' && now->fds > before->fds)
        add_line(report, "%ld descriptors are still open\n", now->fds - before->fds);
}

/* Threads that have left still stand in /proc until the kernel reaps them. */
static long settled_threads(long expected)
{
    const struct timespec pause = { 0, 2000000 };
    long count = count_threads();
    for (int tries = 0; count > expected && tries < 1000; tries++) {
        nanosleep(&pause, NULL);
        count = count_threads();
    }
    return count;
}

bool gyre_balance_check(const struct gyre_balance *before, char report[GYRE_BALANCE_REPORT_BYTES])
{
    struct gyre_balance now;

    report[0] = '\0';
    long threads = settled_threads(before->threads);
    gyre_balance_take(&now);
    report_fds(before, &now, report);
    if (threads > before->threads)
        add_line(report, "%ld threads are still running\n", threads - before->threads);
    for (size_t i = 0; i < counters_used; i++)
        if (now.counters[i] != before->counters[i])
            add_line(report, "%s: %ld before, %ld after\n", counters[i].name, before->counters[i],
                     now.counters[i]);
    return report[0] == '\0';
}

bool gyre_balance_lost_memory(void)
{
#ifdef BALANCE_LSAN
    return __lsan_do_recoverable_leak_check() != 0;
#else
    return false;
#endif
}
