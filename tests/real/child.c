/* SPDX-License-Identifier: MIT */
/*
 * child - one of our programs as a process of its own. See child.h.
 */
#include "child.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "flow.h"
#include "harness/plain.h"

enum {
    START_MS = 20000, /* to serve: a machine may be loaded, and a sanitizer is slow */
    STOP_MS = 20000, /* at once, without a sanitizer's leak check, is far less */
    GROWTH_KIB = 8 * 1024, /* granted to a proxy as a whole, */
    GROWTH_PAIR_KIB = 128 /* and for each pair */
};

/* Reads what there is, waiting at most until `deadline`; false at the end of the output. */
static bool read_some(struct child *child, uint64_t deadline)
{
    uint64_t now = flow_now_ms();
    struct pollfd ready = {.fd = child->out, .events = POLLIN};
    char chunk[4096];
    ssize_t got;

    if (poll(&ready, 1, deadline > now ? (int)(deadline - now) : 0) <= 0)
        return true;
    got = read(child->out, chunk, sizeof(chunk));
    if (got <= 0)
        return false;
    for (ssize_t i = 0; i < got && child->bytes < sizeof(child->text) - 1; i++)
        child->text[child->bytes++] = chunk[i];
    child->text[child->bytes] = '\0';
    return true;
}

/* In the child. `fd` is kept open, if not -1. */
static void run_program(unsigned descriptors, int fd, char *const *argv)
{
    struct rlimit limit = {descriptors, descriptors};
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && (fd < 0 || fcntl(fd, F_SETFD, 0) == 0) &&
        (descriptors == 0 || setrlimit(RLIMIT_NOFILE, &limit) == 0))
        execvp(argv[0], argv);
    dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
    _exit(126);
}

static bool start(struct child *child, unsigned descriptors, int fd, char *const *argv)
{
    int ends[2];

    memset(child, 0, sizeof(*child));
    if (!CHECK_EQ(pipe2(ends, O_CLOEXEC), 0))
        return false;
    child->pid = fork();
    if (child->pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        run_program(descriptors, fd, argv);
    }
    close(ends[1]);
    child->out = ends[0];
    return CHECK(child->pid > 0);
}

static bool wait_until_it_listens(struct child *child)
{
    static const char sign[] = "listening at ";
    uint64_t deadline = flow_now_ms() + START_MS;
    const char *found;

    for (;;) {
        found = strstr(child->text, sign);
        if (found != NULL && strchr(found, '\n') != NULL)
            break;
        if (!read_some(child, deadline) || flow_now_ms() >= deadline)
            return false;
    }
    found += sizeof(sign) - 1;
    snprintf(child->address, sizeof(child->address), "%.*s", (int)strcspn(found, " \n"), found);
    return true;
}

bool child_start(struct child *child, unsigned descriptors, const char *program,
                 const char *const arguments[])
{
    const char *build = getenv("GYRE_BUILD_DIR");
    char *argv[CHILD_ARGUMENTS_MAX + 2];
    char path[1024];
    int count = 1;
    bool started;

    snprintf(path, sizeof(path), "%s/examples/%s", build != NULL ? build : ".", program);
    argv[0] = path;
    for (; arguments[count - 1] != NULL && count <= CHILD_ARGUMENTS_MAX; count++)
        argv[count] = strdup(arguments[count - 1]);
    argv[count] = NULL;
    started = start(child, descriptors, -1, argv);
    for (int i = 1; i < count; i++)
        free(argv[i]);
    if (!started)
        return false;
    if (CHECK(wait_until_it_listens(child)))
        return true;
    plain_note("%s said: %s", path, child->text);
    child_wait(child, 0);
    return false;
}

bool child_start_other(struct child *child, int fd, const char *const arguments[])
{
    char *argv[CHILD_ARGUMENTS_MAX + 1];
    int count = 0;
    bool started;

    for (; arguments[count] != NULL && count < CHILD_ARGUMENTS_MAX; count++)
        argv[count] = strdup(arguments[count]);
    argv[count] = NULL;
    started = start(child, 0, fd, argv);
    for (int i = 0; i < count; i++)
        free(argv[i]);
    return started;
}

bool child_start_proxy(struct child *child, unsigned descriptors, const char *upstreams,
                       const char *const arguments[])
{
    const char *all[CHILD_ARGUMENTS_MAX + 1] = {"--listen", "127.0.0.1:0", "--upstream", upstreams};
    int count = 4;

    for (; *arguments != NULL && count < CHILD_ARGUMENTS_MAX; arguments++)
        all[count++] = *arguments;
    if (!child_start(child, descriptors, "gyre-proxy", all))
        return false;
    if (plain_backend() != NULL) { /* it has what GYRE_BACKEND says */
        char sign[32];
        snprintf(sign, sizeof(sign), " on %s\n", plain_backend());
        CHECK(strstr(child->text, sign) != NULL);
    }
    return true;
}

struct sockaddr_in child_address(const struct child *child)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const char *colon = strrchr(child->address, ':');
    char host[sizeof(child->address)];

    if (CHECK(colon != NULL)) {
        snprintf(host, sizeof(host), "%.*s", (int)(colon - child->address), child->address);
        CHECK_EQ(inet_pton(AF_INET, host, &address.sin_addr), 1);
        address.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
    }
    return address;
}

int child_wait(struct child *child, unsigned timeout_ms)
{
    uint64_t deadline = flow_now_ms() + timeout_ms;
    bool in_time = true;
    int status;

    /* Its output ends when it does; that is what is waited for. */
    while (read_some(child, deadline)) {
        if (flow_now_ms() < deadline)
            continue;
        in_time = false;
        kill(child->pid, SIGKILL);
        deadline += STOP_MS;
    }
    close(child->out);
    if (waitpid(child->pid, &status, 0) != child->pid || !WIFEXITED(status) || !in_time)
        status = -1;
    else
        status = WEXITSTATUS(status);
    child->pid = 0;
    return status;
}

void child_stop(struct child *child)
{
    int status;

    kill(child->pid, SIGINT);
    status = child_wait(child, STOP_MS);
    if (!CHECK_EQ(status, 0))
        plain_note("it said: %s", child->text);
}

void child_kill(struct child *child)
{
    kill(child->pid, SIGKILL);
    (void)child_wait(child, STOP_MS); /* no status: it was killed */
}

static uint64_t number_after(const char *text, const char *name)
{
    const char *found = strstr(text, name);
    return found != NULL ? strtoull(found + strlen(name), NULL, 10) : 0;
}

bool child_loop_counters(const struct child *child, unsigned loop, struct child_counters *ret)
{
    const char *line = child->text, *last = NULL;
    char name[32];

    snprintf(name, sizeof(name), "loop=%u ", loop);
    for (; (line = strstr(line, name)) != NULL; line++)
        last = line; /* without an interval it is the only one */
    if (last == NULL)
        return false;
    ret->accepted = number_after(last, " accepted=");
    ret->active = number_after(last, " active=");
    ret->failed_connects = number_after(last, " failed_connects=");
    ret->bytes_up = number_after(last, " bytes_up=");
    ret->bytes_down = number_after(last, " bytes_down=");
    return true;
}

struct child_counters child_counters(const struct child *child)
{
    struct child_counters sum = {0}, one;
    unsigned loops = 0;

    for (; child_loop_counters(child, loops, &one); loops++) {
        sum.accepted += one.accepted;
        sum.active += one.active;
        sum.failed_connects += one.failed_connects;
        sum.bytes_up += one.bytes_up;
        sum.bytes_down += one.bytes_down;
    }
    CHECK_GE(loops, 1);
    return sum;
}

/* Reads a whole file of /proc/PID. */
static bool read_proc(const struct child *child, const char *name, char *text, size_t bytes)
{
    char path[300];
    size_t got = 0;
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/%s", (int)child->pid, name);
    file = fopen(path, "re");
    if (file != NULL) {
        got = fread(text, 1, bytes - 1, file);
        fclose(file);
    }
    text[got] = '\0';
    return CHECK(got != 0);
}

uint64_t child_resident_kib(const struct child *child)
{
    char text[4096];
    return read_proc(child, "status", text, sizeof(text)) ? number_after(text, "VmRSS:") : 0;
}

uint64_t child_resident_peak_kib(const struct child *child)
{
    char text[4096];
    return read_proc(child, "status", text, sizeof(text)) ? number_after(text, "VmHWM:") : 0;
}

bool child_sanitized(void)
{
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    return true;
#else
    return false;
#endif
}

void child_check_growth(const struct child *child, uint64_t before_kib, unsigned pairs)
{
    uint64_t peak = child_resident_peak_kib(child);

    plain_note("the proxy's memory: %llu KiB before, %llu KiB at the peak, %u pairs",
               (unsigned long long)before_kib, (unsigned long long)peak, pairs);
    if (!child_sanitized())
        CHECK_LE(peak, before_kib + GROWTH_KIB + (uint64_t)pairs * GROWTH_PAIR_KIB);
}

uint64_t child_cpu_ms(const struct child *child)
{
    uint64_t user = 0, system = 0;
    const char *after_name;
    char text[4096];

    if (!read_proc(child, "stat", text, sizeof(text)))
        return 0;
    after_name = strrchr(text, ')'); /* the name may have blanks */
    CHECK(after_name != NULL &&
          sscanf(after_name, ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
                 &user, &system) == 2);
    return (user + system) * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

unsigned child_descriptors(const struct child *child)
{
    char path[64];
    unsigned count = 0;
    DIR *directory;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)child->pid);
    directory = opendir(path);
    if (!CHECK(directory != NULL))
        return 0;
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

uint64_t child_switches(const struct child *child, bool *ret_all_sleep)
{
    char path[64], text[4096];
    struct dirent *entry;
    uint64_t switches = 0;
    DIR *tasks;

    *ret_all_sleep = true;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)child->pid);
    tasks = opendir(path);
    if (!CHECK(tasks != NULL))
        return 0;
    while ((entry = readdir(tasks)) != NULL) {
        char name[300];
        if (entry->d_name[0] == '.')
            continue;
        snprintf(name, sizeof(name), "task/%s/status", entry->d_name);
        if (!read_proc(child, name, text, sizeof(text)))
            continue;
        if (strstr(text, "State:\tS") == NULL)
            *ret_all_sleep = false;
        switches += number_after(text, "\nvoluntary_ctxt_switches:");
        switches += number_after(text, "\nnonvoluntary_ctxt_switches:");
    }
    closedir(tasks);
    return switches;
}
