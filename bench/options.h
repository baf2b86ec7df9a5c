/* SPDX-License-Identifier: MIT */
/*
 * options - the command line of gyre-bench.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stdbool.h>

#include "cases.h"

enum options_limits {
    OPTIONS_NAMES_MAX = 32 /* cases or peers that can be named */
};

struct options_names {
    unsigned count; /* 0: all */
    const char *names[OPTIONS_NAMES_MAX];
};

struct options {
    bool list;
    bool quick;
    bool counts;
    unsigned repeat; /* 0: not chosen */
    unsigned timeout_s; /* for each run of a program */
    const char *json; /* a file, or NULL */
    const char *programs; /* the directory of the measuring programs, or NULL: our own */
    struct options_names cases;
    struct options_names peers;
};

enum options_outcome {
    OPTIONS_GO,
    OPTIONS_DONE, /* help was asked and printed */
    OPTIONS_WRONG /* a line on standard error has named the culprit */
};

/* Reads the command line; the texts stay in `argv`, whose lists are cut apart. */
enum options_outcome options_parse(int argc, char **argv, struct options *options);

/* Whether `name` is named, or none is. */
bool options_include(const struct options_names *names, const char *name);

#endif
