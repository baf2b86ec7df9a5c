/* SPDX-License-Identifier: MIT */
/*
 * program - see program.h.
 */
#include "program.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "child.h"

enum {
    SKIPPED = 77, /* as measure.h has it */
    PREFIX_MAX = 6,
    ARGUMENTS_MAX = PREFIX_MAX + 10,
    PATH_BYTES_MAX = 1024,
    PROBE_TIMEOUT_S = 20
};

/* What runs a program and counts, and how the line begins or ends that has the number. */
struct counter {
    const char *prefix[PREFIX_MAX];
    const char *before;
    const char *after;
};

static const struct counter counters[BENCH_METRICS] = {
    [BENCH_SYSCALLS] = {.prefix = {"strace", "-f", "-c", "-U", "calls,name"},
                        .before = "",
                        .after = " total"},
    /* fair: else a thread that waits for another by spinning is run for long */
    [BENCH_INSTRUCTIONS] = {.prefix = {"valgrind", "--tool=callgrind", "--fair-sched=try",
                                       "--callgrind-out-file=/dev/null"},
                            .before = "Collected : ",
                            .after = ""},
};

/* A command line, with the texts that its arguments point to. */
struct command {
    char *arguments[ARGUMENTS_MAX + 1];
    unsigned count;
    char path[PATH_BYTES_MAX];
    char ops[32];
    char params[128];
};

static void add_argument(struct command *command, char *argument)
{
    if (command->count < ARGUMENTS_MAX)
        command->arguments[command->count++] = argument;
    command->arguments[command->count] = NULL;
}

static void add_prefix(struct command *command, const struct counter *counter)
{
    for (unsigned i = 0; i < PREFIX_MAX && counter->prefix[i] != NULL; i++)
        add_argument(command, (char *)(uintptr_t)counter->prefix[i]); /* exec changes none */
}

static void add_program(struct command *command, const struct program *program, uint64_t ops)
{
    snprintf(command->path, sizeof(command->path), "%s/%s-%s", program->directory,
             program->case_name, program->peer);
    snprintf(command->ops, sizeof(command->ops), "ops=%llu", (unsigned long long)ops);
    snprintf(command->params, sizeof(command->params), "%s", program->params);
    add_argument(command, command->path);
    add_argument(command, command->ops);
    char *rest = command->params;
    char *word;
    while ((word = strsep(&rest, " ")) != NULL) {
        if (*word != '\0')
            add_argument(command, word);
    }
}

static void conclude(struct program_run *run, enum program_outcome outcome, const char *text)
{
    run->outcome = outcome;
    snprintf(run->reason, sizeof(run->reason), "%.*s", (int)strcspn(text, "\n"), text);
}

/* Sorts out how it ended; true if it ran and said that its result is right. */
static bool judge(struct program_run *run, const struct child_end *end, unsigned timeout_s)
{
    char text[64];
    switch (end->status) {
    case 0:
        run->outcome = PROGRAM_RAN;
        return true;
    case SKIPPED:
        conclude(run, PROGRAM_ABSENT,
                 end->err.bytes > 0 ? end->err.text : "it says that it cannot");
        return false;
    case CHILD_LATE:
        snprintf(text, sizeof(text), "was ended after %u s", timeout_s);
        break;
    case CHILD_KILLED:
        snprintf(text, sizeof(text), "was killed by signal %d", end->signal);
        break;
    default:
        snprintf(text, sizeof(text), "ended with status %d", end->status);
        if (end->err.bytes > 0) {
            conclude(run, PROGRAM_FAILED, end->err.text);
            return false;
        }
    }
    conclude(run, PROGRAM_FAILED, text);
    return false;
}

/* Runs a command; `end` is static memory, since it is large and nobody calls this twice at once. */
static const struct child_end *run_command(struct command *command, const struct program *program,
                                           struct program_run *run)
{
    static struct child_end end;
    if (access(command->path, X_OK) != 0) {
        conclude(run, PROGRAM_ABSENT, "was not built");
        return NULL;
    }
    if (!child_run(command->arguments, program->timeout_s, &end)) {
        conclude(run, PROGRAM_FAILED, end.err.text);
        return NULL;
    }
    return judge(run, &end, program->timeout_s) ? &end : NULL;
}

/* Takes one line of a report: a metric's name, a space and a number. */
static bool read_line(const char *line, double values[BENCH_METRICS], unsigned *seen)
{
    for (unsigned metric = 0; metric < BENCH_METRICS; metric++) {
        const char *name = bench_metric_texts[metric].name;
        size_t length = strlen(name);
        if (strncmp(line, name, length) != 0 || line[length] != ' ')
            continue;
        char *end;
        double value = strtod(line + length + 1, &end);
        if (end == line + length + 1 || *end != '\0' || !isfinite(value) || value < 0)
            return false;
        values[metric] = value;
        *seen |= BENCH_BIT(metric);
        return true;
    }
    return false;
}

static void read_report(const struct child_end *end, unsigned reported, struct program_run *run)
{
    char report[CHILD_TEXT_MAX];
    char text[PROGRAM_REASON_MAX];
    unsigned seen = 0;
    memcpy(report, end->out.text, sizeof(report));
    char *rest = report;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        if (*line == '\0' || read_line(line, run->values, &seen))
            continue;
        snprintf(text, sizeof(text), "reports what is no figure: %.100s", line);
        conclude(run, PROGRAM_FAILED, text);
        return;
    }
    for (unsigned metric = 0; metric < BENCH_METRICS; metric++) {
        if ((reported & ~seen & BENCH_BIT(metric)) == 0)
            continue;
        snprintf(text, sizeof(text), "reports no %s", bench_metric_texts[metric].name);
        conclude(run, PROGRAM_FAILED, text);
        return;
    }
}

void program_measure(const struct program *program, uint64_t ops, unsigned reported,
                     struct program_run *ret_run)
{
    struct command command = {.count = 0};
    memset(ret_run, 0, sizeof(*ret_run));
    add_program(&command, program, ops);
    const struct child_end *end = run_command(&command, program, ret_run);
    if (end != NULL)
        read_report(end, reported, ret_run);
}

/* Finds the counter's number in what it wrote; false if there is none. */
static bool find_count(const struct counter *counter, const struct child_end *end,
                       double *ret_count)
{
    char output[CHILD_TEXT_MAX];
    memcpy(output, end->err.text, sizeof(output));
    char *rest = output;
    char *line;
    while ((line = strsep(&rest, "\n")) != NULL) {
        const char *number = strstr(line, counter->before);
        char *after;
        if (number == NULL)
            continue;
        double count = strtod(number + strlen(counter->before), &after);
        if (after == number + strlen(counter->before) || strcmp(after, counter->after) != 0)
            continue;
        *ret_count = count;
        return true;
    }
    return false;
}

/* One run that is counted. */
static bool count_once(const struct program *program, uint64_t ops, enum bench_metric metric,
                       struct program_run *run, double *ret_count)
{
    const struct counter *counter = &counters[metric];
    struct command command = {.count = 0};
    add_prefix(&command, counter);
    add_program(&command, program, ops);
    const struct child_end *end = run_command(&command, program, run);
    if (end == NULL)
        return false;
    if (find_count(counter, end, ret_count))
        return true;
    conclude(run, PROGRAM_FAILED, "was counted, but there is no number");
    return false;
}

void program_count(const struct program *program, uint64_t ops, enum bench_metric metric,
                   struct program_run *ret_run)
{
    double less, more;
    memset(ret_run, 0, sizeof(*ret_run));
    if (count_once(program, ops, metric, ret_run, &less) &&
        count_once(program, 2 * ops, metric, ret_run, &more))
        ret_run->values[metric] = (more - less) / (double)ops;
}

bool program_can_count(enum bench_metric metric, char reason[PROGRAM_REASON_MAX])
{
    static struct child_end end; /* large */
    struct command command = {.count = 0};
    double count;
    add_prefix(&command, &counters[metric]);
    snprintf(command.path, sizeof(command.path), "true"); /* looked for in PATH */
    add_argument(&command, command.path);
    if (child_run(command.arguments, PROBE_TIMEOUT_S, &end) && end.status == 0 &&
        find_count(&counters[metric], &end, &count))
        return true;
    const char *text = end.err.bytes > 0 ? end.err.text : "it counts nothing here";
    snprintf(reason, PROGRAM_REASON_MAX, "%.*s", (int)strcspn(text, "\n"), text);
    return false;
}
