/* SPDX-License-Identifier: MIT */
/*
 * report - see report.h.
 */
#include "report.h"

#include <string.h>

#include "machine.h"

bool report_begin(struct report *report, const char *path)
{
    *report = (struct report){.path = path};
    machine_describe(report->machine, sizeof(report->machine));
    if (path == NULL)
        return true;
    report->json = fopen(path, "w");
    if (report->json == NULL)
        return false;
    fputs("[", report->json);
    return true;
}

bool report_end(struct report *report)
{
    if (report->json == NULL)
        return true;
    fputs("\n]\n", report->json);
    bool whole = fflush(report->json) == 0 && !ferror(report->json);
    return fclose(report->json) == 0 && whole;
}

/* A number in a column: as many digits as can mean something. */
static void print_number(double value)
{
    double size = value < 0 ? -value : value;
    if (size >= 1000)
        printf(" %12.0f", value);
    else if (size >= 10)
        printf(" %12.1f", value);
    else if (size >= 0.1 || size == 0)
        printf(" %12.2f", value);
    else
        printf(" %12.2g", value);
}

static void write_string(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *c = (const unsigned char *)text; *c != '\0'; c++) {
        if (*c == '"' || *c == '\\')
            fprintf(file, "\\%c", *c);
        else if (*c < 0x20 || *c >= 0x7f)
            fprintf(file, "\\u%04x", *c);
        else
            fputc(*c, file);
    }
    fputc('"', file);
}

static void write_member(FILE *file, const char *name, const char *text)
{
    fprintf(file, "\"%s\": ", name);
    write_string(file, text);
    fputs(", ", file);
}

static void write_object(struct report *report, const struct rounds *rounds,
                         const struct rounds_peer *peer, enum bench_metric metric)
{
    FILE *file = report->json;
    struct figures_summary summary = figures_summarise(&peer->figures[metric]);
    double ratio;
    fputs(report->objects++ > 0 ? ",\n  {" : "\n  {", file);
    write_member(file, "case", rounds->entry->name);
    write_member(file, "peer", peer->name);
    write_member(file, "params", rounds->work->params);
    write_member(file, "metric", bench_metric_texts[metric].name);
    write_member(file, "unit", bench_metric_texts[metric].unit);
    fprintf(file, "\"median\": %.6g, \"min\": %.6g, \"max\": %.6g, \"runs\": %u, ", summary.median,
            summary.min, summary.max, peer->figures[metric].count);
    if (figures_ratio(&peer->figures[metric], &rounds->peers[0].figures[metric], &ratio))
        fprintf(file, "\"ratio_to_gyre\": %.6g, ", ratio);
    else
        fputs("\"ratio_to_gyre\": null, ", file);
    fputs("\"machine\": ", file);
    write_string(file, report->machine);
    fputs("}", file);
}

static void print_row(const struct rounds *rounds, const struct rounds_peer *peer,
                      enum bench_metric metric)
{
    struct figures_summary summary = figures_summarise(&peer->figures[metric]);
    double ratio;
    printf("    %-13s", peer->name);
    print_number(summary.median);
    print_number(summary.min);
    print_number(summary.max);
    if (figures_ratio(&peer->figures[metric], &rounds->peers[0].figures[metric], &ratio))
        printf(" %10.2f\n", ratio);
    else
        printf(" %10s\n", "-");
}

static void add_metric(struct report *report, const struct rounds *rounds, enum bench_metric metric)
{
    bool any = false;
    for (unsigned i = 0; i < rounds->count; i++) {
        const struct rounds_peer *peer = &rounds->peers[i];
        if (peer->outcome != PROGRAM_RAN || peer->figures[metric].count == 0)
            continue;
        if (!any)
            printf("  %-15s %12s %12s %12s %10s   %s, %u runs\n", bench_metric_texts[metric].name,
                   "median", "min", "max", "to gyre", bench_metric_texts[metric].unit,
                   peer->figures[metric].count);
        any = true;
        print_row(rounds, peer, metric);
        if (report->json != NULL)
            write_object(report, rounds, peer, metric);
    }
}

void report_add(struct report *report, const struct rounds *rounds)
{
    printf("%s%s%s: %s\n", rounds->entry->name, *rounds->work->params != '\0' ? " " : "",
           rounds->work->params, rounds->entry->question);
    for (unsigned metric = 0; metric < BENCH_METRICS; metric++)
        add_metric(report, rounds, metric);
    for (unsigned i = 0; i < rounds->count; i++) {
        const struct rounds_peer *peer = &rounds->peers[i];
        if (peer->outcome == PROGRAM_RAN)
            report->measured++;
        else if (peer->outcome == PROGRAM_ABSENT)
            printf("  absent: %s: %s\n", peer->name, peer->reason);
        if (peer->outcome != PROGRAM_FAILED)
            continue;
        printf("  FAILED: %s: %s\n", peer->name, peer->reason);
        report->failed++;
    }
    printf("\n");
    (void)fflush(stdout); /* main looks at it in the end */
}
