/* SPDX-License-Identifier: MIT */
/*
 * machine - see machine.h.
 */
#include "machine.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

/* The first "model name : ..." of Linux's /proc/cpuinfo, which not every architecture has. */
static void read_model(char *model, size_t bytes)
{
    snprintf(model, bytes, "unknown CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL)
        return;
    char line[256];
    while (fgets(line, sizeof(line), file) != NULL) {
        const char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || value == NULL)
            continue;
        value += 1 + strspn(value + 1, " ");
        snprintf(model, bytes, "%.*s", (int)strcspn(value, "\n"), value);
        break;
    }
    (void)fclose(file); /* read only */
}

void machine_describe(char *text, size_t bytes)
{
    char model[128];
    struct utsname system;
    read_model(model, sizeof(model));
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (uname(&system) != 0)
        snprintf(text, bytes, "%s, %ld cores", model, cores);
    else
        snprintf(text, bytes, "%s, %ld cores, %s %s", model, cores, system.sysname, system.release);
}
