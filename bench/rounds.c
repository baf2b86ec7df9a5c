/* SPDX-License-Identifier: MIT */
/*
 * rounds - see rounds.h.
 */
#include "rounds.h"

#include <stdio.h>
#include <string.h>

enum {
    REPEAT = 5,
    QUICK_REPEAT = 3,
    QUICK_MEMORY_REPEAT = 1, /* what idles by the thousand is slow to make, and varies little */
    COUNT_ROUNDS = 3, /* counts vary little, and take long */
    COUNT_PART = 10 /* a tenth of the quick operations, since what counts is so slow */
};

static void choose_peers(const struct options *options, struct rounds *rounds)
{
    for (unsigned i = 0; rounds->entry->peers[i] != NULL; i++) {
        const char *name = rounds->entry->peers[i];
        /* gyre always, since the ratios are to it */
        if (i == 0 || options_include(&options->peers, name))
            rounds->peers[rounds->count++].name = name;
    }
}

/* Notes a run that did not end well. */
static void note(struct rounds_peer *peer, const struct program_run *run, const char *what)
{
    peer->outcome = run->outcome;
    snprintf(peer->reason, sizeof(peer->reason), "%s%.200s", what, run->reason);
}

static void measure(const struct program *program, struct rounds *rounds, struct rounds_peer *peer,
                    bool counts)
{
    struct program_run run;
    program_measure(program, rounds->ops, rounds->entry->reported, &run);
    if (run.outcome != PROGRAM_RAN) {
        note(peer, &run, "");
        return;
    }
    for (unsigned metric = 0; counts && metric < BENCH_METRICS; metric++) {
        if ((rounds->entry->reported & BENCH_BIT(metric)) != 0)
            (void)figures_add(&peer->figures[metric], run.values[metric]); /* repeat fits */
    }
}

static void count(const struct program *program, const struct rounds *rounds,
                  struct rounds_peer *peer, unsigned counted)
{
    uint64_t ops = rounds->work->quick_ops / COUNT_PART;
    for (unsigned metric = 0; metric < BENCH_METRICS; metric++) {
        if ((rounds->entry->counted & counted & BENCH_BIT(metric)) == 0)
            continue;
        struct program_run run;
        program_count(program, ops > 0 ? ops : 1, metric, &run);
        if (run.outcome != PROGRAM_RAN) {
            note(peer, &run, "while it was counted: ");
            return;
        }
        (void)figures_add(&peer->figures[metric], run.values[metric]); /* COUNT_ROUNDS fit */
    }
}

/* How many rounds count. */
static unsigned choose_repeat(const struct options *options, bool memory)
{
    if (options->repeat != 0)
        return options->repeat;
    if (!options->quick)
        return REPEAT;
    return memory ? QUICK_MEMORY_REPEAT : QUICK_REPEAT;
}

void rounds_run(const struct options *options, const char *directory, unsigned counted,
                const struct bench_case *entry, const struct bench_work *work, struct rounds *ret)
{
    memset(ret, 0, sizeof(*ret));
    ret->entry = entry;
    ret->work = work;
    ret->ops = options->quick ? work->quick_ops : work->ops;
    choose_peers(options, ret);

    bool memory = entry->reported == BENCH_BIT(BENCH_BYTES);
    unsigned warm = memory ? 0 : 1; /* memory has no warm-up */
    unsigned measured = warm + choose_repeat(options, memory);
    unsigned count_rounds = (entry->counted & counted) != 0 ? COUNT_ROUNDS : 0;
    for (unsigned round = 0; round < measured + count_rounds; round++) {
        for (unsigned i = 0; i < ret->count; i++) {
            struct rounds_peer *peer = &ret->peers[i];
            const struct program program = {.directory = directory,
                                            .case_name = entry->name,
                                            .peer = peer->name,
                                            .params = work->params,
                                            .timeout_s = options->timeout_s};
            if (peer->outcome != PROGRAM_RAN)
                continue;
            if (round < measured)
                measure(&program, ret, peer, round >= warm);
            else
                count(&program, ret, peer, counted);
        }
    }
}
