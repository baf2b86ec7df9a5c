/* SPDX-License-Identifier: MIT */
/*
 * options - the command line of gyre-proxy, checked as far as it can be without the system.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "proxy.h"

struct options {
    const char *listen;
    const char *upstreams[PROXY_UPSTREAMS_MAX];
    unsigned upstreams_count;
    unsigned loops; /* 0: by the CPU plan */
    const char *backend; /* NULL: the library's choice */
    unsigned connect_timeout_ms;
    unsigned idle_timeout_ms; /* 0: never */
    unsigned stats_interval_s; /* 0: only at the end */
    bool print_plan;
};

/*
 * Reads the command line, into which the texts point; upstream lists are cut at their commas. True:
 * go on. False: leave with *ret_status, since help was asked for, or since a line on standard error
 * has said what is wrong.
 */
bool options_parse(int argc, char **argv, struct options *ret_options, int *ret_status);

#endif
