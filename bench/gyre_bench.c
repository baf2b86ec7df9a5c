/* SPDX-License-Identifier: MIT */
/*
 * gyre-bench - runs each case's measuring programs in turn, and compares them. See --help.
 *
 * What   A case is one question (cases.c); a measuring program does its work with one library, in a
 *        process of its own, and checks its own result (measure.h). This program starts them, takes
 *        their figures and knows no library.
 * Why    Figures of other days and machines do not compare. Everything that is compared here was
 *        measured in the same run, alternating; a case in which a peer wins stays in.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "report.h"

enum {
    STATUS_FAILED = 1,
    STATUS_USAGE = 2,
    DIRECTORY_BYTES = 1024
};

static void list_cases(void)
{
    for (const struct bench_case *entry = bench_cases; entry->name != NULL; entry++) {
        printf("%s\n  %s\n", entry->name, entry->question);
        for (const struct bench_work *work = entry->works; work->params != NULL; work++)
            printf("  params: %s\n", *work->params != '\0' ? work->params : "none");
        printf("  peers:");
        for (const char *const *peer = entry->peers; *peer != NULL; peer++)
            printf(" %s", *peer);
        printf("\n");
    }
}

/* The directory that this program is in; "." if the system does not say. */
static void find_programs(char directory[DIRECTORY_BYTES])
{
    ssize_t length = readlink("/proc/self/exe", directory, DIRECTORY_BYTES - 1);
    directory[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    else
        snprintf(directory, DIRECTORY_BYTES, ".");
}

/* The bits of the metrics that can be counted; says why another cannot. */
static unsigned choose_counts(void)
{
    unsigned counted = 0;
    for (unsigned metric = 0; metric < BENCH_METRICS; metric++) {
        char reason[PROGRAM_REASON_MAX];
        if ((BENCH_COUNTS & BENCH_BIT(metric)) == 0)
            continue;
        if (program_can_count(metric, reason))
            counted |= BENCH_BIT(metric);
        else
            printf("%s are not counted: %s\n", bench_metric_texts[metric].name, reason);
    }
    return counted;
}

static void run_cases(const struct options *options, struct report *report)
{
    static struct rounds rounds; /* large */
    char own[DIRECTORY_BYTES];
    find_programs(own);
    const char *directory = options->programs != NULL ? options->programs : own;
    unsigned counted = options->counts ? choose_counts() : 0;
    for (const struct bench_case *entry = bench_cases; entry->name != NULL; entry++) {
        if (!options_include(&options->cases, entry->name))
            continue;
        for (const struct bench_work *work = entry->works; work->params != NULL; work++) {
            if (options->quick && work->quick_ops == 0)
                continue;
            rounds_run(options, directory, counted, entry, work, &rounds);
            report_add(report, &rounds);
        }
    }
}

int main(int argc, char **argv)
{
    struct options options;
    switch (options_parse(argc, argv, &options)) {
    case OPTIONS_DONE:
        return 0;
    case OPTIONS_WRONG:
        return STATUS_USAGE;
    case OPTIONS_GO:
        break;
    }
    if (options.list) {
        list_cases();
        return 0;
    }

    static struct report report;
    (void)signal(SIGCHLD, SIG_DFL); /* if our parent ignores it, nobody could be waited for */
    if (!report_begin(&report, options.json)) {
        fprintf(stderr, "gyre-bench: --json %s: %s\n", options.json, strerror(errno));
        return STATUS_USAGE;
    }
    printf("%s\nA ratio to gyre above 1 says that gyre does with less.\n\n", report.machine);
    run_cases(&options, &report);
    if (!report_end(&report)) {
        fprintf(stderr, "gyre-bench: --json %s: %s\n", options.json, strerror(errno));
        return STATUS_FAILED;
    }
    if (report.failed > 0)
        printf("failed: %u\n", report.failed);
    if (report.measured == 0)
        printf("nothing was measured\n");
    return report.failed > 0 || report.measured == 0 || fflush(stdout) != 0 ? STATUS_FAILED : 0;
}
