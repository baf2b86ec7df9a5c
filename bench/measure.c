/* SPDX-License-Identifier: MIT */
/*
 * measure - see measure.h.
 */
#include "measure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    FAILED = 1,
    SKIPPED = 77
};

/* _exit: other threads may be in the middle of anything. */
__attribute__((format(printf, 2, 0))) static _Noreturn void leave(int status, const char *format,
                                                                  va_list arguments)
{
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    _exit(status);
}

void measure_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    leave(FAILED, format, arguments);
}

void measure_skip(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    leave(SKIPPED, format, arguments);
}

uint64_t measure_argument(int argc, char **argv, const char *name, uint64_t fallback)
{
    size_t length = strlen(name);
    for (int i = 1; i < argc; i++) {
        if (strncmp(argv[i], name, length) != 0 || argv[i][length] != '=')
            continue;
        const char *text = argv[i] + length + 1;
        char *end;
        errno = 0;
        unsigned long long value = strtoull(text, &end, 10);
        if (*text < '0' || *text > '9' || *end != '\0' || errno != 0)
            measure_fail("%s: not a number", argv[i]);
        return value;
    }
    return fallback;
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec now;
    (void)clock_gettime(clock, &now); /* both clocks exist since Linux 2.6 */
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

void measure_begin(struct measure *measure)
{
    measure->cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
    measure->wall_ns = read_clock(CLOCK_MONOTONIC);
}

void measure_end(struct measure *measure)
{
    measure->wall_ns = read_clock(CLOCK_MONOTONIC) - measure->wall_ns;
    measure->cpu_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID) - measure->cpu_ns;
}

void measure_figure(const char *metric, double value)
{
    printf("%s %.6g\n", metric, value);
}

void measure_report(const struct measure *measure, uint64_t operations)
{
    measure_figure("wall", (double)measure->wall_ns / (double)operations);
    measure_figure("cpu", (double)measure->cpu_ns / (double)operations);
}
