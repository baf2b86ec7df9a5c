/* SPDX-License-Identifier: MIT */
/*
 * proxy_process - see proxy_process.h.
 *
 * Port   Below the range that the system takes ports of connections from, so that none of the
 *        thousands of them takes it between the look and the proxy's bind.
 */
#include "proxy_process.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "measure.h"

enum {
    PORT_FIRST = 20000,
    PORTS = 12000,
    STOP_STEP_MS = 10,
    STOP_STEPS = 500
};

static const char log_name[] = "log";

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    while (directory != NULL && (entry = readdir(directory)) != NULL)
        (void)unlinkat(dirfd(directory), entry->d_name, 0); /* fails for . and .. */
    if (directory != NULL)
        (void)closedir(directory); /* read only */
    (void)rmdir(path); /* what it still holds is small, and in the temporary directory */
}

void proxy_process_fail(struct proxy_process *proxy, const char *what)
{
    char path[2 * PROXY_PATH_MAX];
    char line[256] = "";
    int error = errno;
    snprintf(path, sizeof(path), "%s/%s", proxy->directory, log_name);
    FILE *log = fopen(path, "r");
    if (log != NULL && fgets(line, sizeof(line), log) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (proxy->pid > 0)
        (void)kill(proxy->pid, SIGTERM); /* it may have ended already */
    remove_directory(proxy->directory);
    measure_fail("%s: %s; the proxy: %s", what, strerror(error), line);
}

void proxy_process_write(const struct proxy_process *proxy, const char *name,
                         char ret_path[2 * PROXY_PATH_MAX], const char *format, ...)
{
    va_list arguments;
    snprintf(ret_path, 2 * PROXY_PATH_MAX, "%s/%s", proxy->directory, name);
    FILE *file = fopen(ret_path, "w");
    va_start(arguments, format);
    if (file == NULL || vfprintf(file, format, arguments) < 0 || fclose(file) != 0)
        measure_fail("%s: %s", ret_path, strerror(errno));
    va_end(arguments);
}

static bool is_free(uint16_t port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool bound = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    (void)close(fd); /* it carried nothing */
    return bound;
}

static uint16_t find_port(void)
{
    unsigned first = (unsigned)getpid() * 7u;
    for (unsigned i = 0; i < PORTS; i++) {
        uint16_t port = (uint16_t)(PORT_FIRST + (first + i) % PORTS);
        if (is_free(port))
            return port;
    }
    measure_skip("no port is free");
}

static _Noreturn void become_proxy(const struct proxy_process *proxy)
{
    char path[2 * PROXY_PATH_MAX];
    snprintf(path, sizeof(path), "%s/%s", proxy->directory, log_name);
    int log = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGTERM) != 0)
        measure_fail("the proxy's process: %s", strerror(errno));
    proxy_process_exec(proxy);
    measure_fail("cannot be run: %s", strerror(errno));
}

void proxy_process_start(struct proxy_process *proxy, uint16_t origin_port, unsigned pairs)
{
    const char *base = getenv("TMPDIR");
    snprintf(proxy->directory, sizeof(proxy->directory), "%s/gyre-bench.XXXXXX",
             base != NULL && strlen(base) < PROXY_PATH_MAX / 2 ? base : "/tmp");
    if (mkdtemp(proxy->directory) == NULL)
        measure_fail("%s: %s", proxy->directory, strerror(errno));
    proxy->port = find_port();
    proxy->origin_port = origin_port;
    proxy->pairs = pairs;
    proxy->pid = fork();
    if (proxy->pid < 0)
        proxy_process_fail(proxy, "fork");
    if (proxy->pid == 0)
        become_proxy(proxy);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static uint64_t private_bytes_of(struct proxy_process *proxy, pid_t pid)
{
    char path[PROXY_PATH_MAX];
    char line[256];
    unsigned long kib;
    uint64_t bytes = 0;
    bool any = false;
    snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int)pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        proxy_process_fail(proxy, path);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (sscanf(line, "Private_Clean: %lu kB", &kib) != 1 &&
            sscanf(line, "Private_Dirty: %lu kB", &kib) != 1)
            continue;
        bytes += kib * 1024u;
        any = true;
    }
    (void)fclose(file); /* read only */
    if (!any)
        proxy_process_fail(proxy, path);
    return bytes;
}

/* Whether `pid`, a name in /proc, is a process whose parent is `parent`. */
static bool is_child(const char *pid, pid_t parent)
{
    char path[PROXY_PATH_MAX];
    int ppid = 0;
    snprintf(path, sizeof(path), "/proc/%.10s/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return false; /* it has ended */
    int found = fscanf(file, "%*d (%*[^)]) %*c %d", &ppid);
    (void)fclose(file); /* read only */
    return found == 1 && ppid == (int)parent;
}

uint64_t proxy_process_private_bytes(const struct proxy_process *proxy)
{
    struct proxy_process failing = *proxy;
    uint64_t bytes = private_bytes_of(&failing, proxy->pid);
    DIR *processes = opendir("/proc");
    struct dirent *entry;
    if (processes == NULL)
        proxy_process_fail(&failing, "/proc");
    while ((entry = readdir(processes)) != NULL) {
        if (entry->d_name[0] > '0' && entry->d_name[0] <= '9' &&
            is_child(entry->d_name, proxy->pid))
            bytes += private_bytes_of(&failing, (pid_t)strtol(entry->d_name, NULL, 10));
    }
    (void)closedir(processes); /* read only */
    return bytes;
}

/* ---- stop ------------------------------------------------------------------------------------ */

void proxy_process_stop(struct proxy_process *proxy)
{
    const struct timespec step = {.tv_nsec = STOP_STEP_MS * 1000000L};
    if (kill(proxy->pid, SIGTERM) != 0)
        proxy_process_fail(proxy, "it has ended by itself");
    for (unsigned i = 0; waitpid(proxy->pid, NULL, WNOHANG) == 0; i++) {
        if (i == STOP_STEPS)
            proxy_process_fail(proxy, "does not stop");
        (void)nanosleep(&step, NULL); /* cut short: looks sooner */
    }
    proxy->pid = 0;
    remove_directory(proxy->directory);
}
