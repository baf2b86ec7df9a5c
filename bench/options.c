/* SPDX-License-Identifier: MIT */
/*
 * options - see options.h.
 *
 * Every complaint is one line that names the option and the text that it had.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    TIMEOUT_S = 60,
    TIMEOUT_MAX_S = 3600
};

static const char help[] =
    "usage: gyre-bench [option...]\n"
    "\n"
    "Has gyre and other libraries do the same work, in turn, and compares. A ratio above 1 says\n"
    "that gyre does with less; it is the median of the ratios of the rounds.\n"
    "\n"
    "  --list           print the cases, what they ask and whom, and exit\n"
    "  --case NAME      only this case; may be given several times\n"
    "  --peer LIST      compare gyre with these alone: raw,libuv\n"
    "  --repeat N       rounds, after one that is not counted (5; with --quick 3, of memory 1)\n"
    "  --quick          less work in each: everything in a minute, with more noise\n"
    "  --counts         count system calls (strace) and instructions (valgrind), too\n"
    "  --json FILE      write the figures to FILE as well\n"
    "  --timeout S      end a program that takes longer, which is a failure (60)\n"
    "  --programs DIR   where the measuring programs are (where gyre-bench is)\n"
    "  --help           print this, and exit\n"
    "\n"
    "Status 0: everything that could run did its work right; 1: something did not, or nothing\n"
    "could run; 2: a wrong option.\n";

enum option_key {
    KEY_LIST = 1, /* 0 is getopt's own, '?' its complaint */
    KEY_CASE,
    KEY_PEER,
    KEY_REPEAT,
    KEY_QUICK,
    KEY_COUNTS,
    KEY_JSON,
    KEY_TIMEOUT,
    KEY_PROGRAMS,
    KEY_HELP
};

static const struct option table[] = {
    {"list", no_argument, NULL, KEY_LIST},
    {"case", required_argument, NULL, KEY_CASE},
    {"peer", required_argument, NULL, KEY_PEER},
    {"repeat", required_argument, NULL, KEY_REPEAT},
    {"quick", no_argument, NULL, KEY_QUICK},
    {"counts", no_argument, NULL, KEY_COUNTS},
    {"json", required_argument, NULL, KEY_JSON},
    {"timeout", required_argument, NULL, KEY_TIMEOUT},
    {"programs", required_argument, NULL, KEY_PROGRAMS},
    {"help", no_argument, NULL, KEY_HELP},
    {NULL, 0, NULL, 0},
};

static bool parse_number(const char *name, unsigned max, unsigned *ret_number)
{
    size_t digits = strspn(optarg, "0123456789");
    unsigned long number = strtoul(optarg, NULL, 10); /* too many digits: ULONG_MAX */
    if (digits == 0 || optarg[digits] != '\0' || number < 1 || number > max) {
        fprintf(stderr, "gyre-bench: --%s %s: not a number from 1 to %u\n", name, optarg, max);
        return false;
    }
    *ret_number = (unsigned)number;
    return true;
}

static bool is_case(const char *name)
{
    for (const struct bench_case *entry = bench_cases; entry->name != NULL; entry++) {
        if (strcmp(entry->name, name) == 0)
            return true;
    }
    return false;
}

static bool is_peer(const char *name)
{
    for (const struct bench_case *entry = bench_cases; entry->name != NULL; entry++) {
        for (const char *const *peer = entry->peers; *peer != NULL; peer++) {
            if (strcmp(*peer, name) == 0)
                return true;
        }
    }
    return false;
}

static bool add_name(struct options_names *names, const char *option, const char *name)
{
    if (names->count == OPTIONS_NAMES_MAX) {
        fprintf(stderr, "gyre-bench: --%s %s: more than %d names\n", option, name,
                OPTIONS_NAMES_MAX);
        return false;
    }
    names->names[names->count++] = name;
    return true;
}

static bool parse_case(const char *name, struct options *options)
{
    if (!is_case(name)) {
        fprintf(stderr, "gyre-bench: --case %s: no such case (--list has them)\n", name);
        return false;
    }
    return add_name(&options->cases, "case", name);
}

static bool parse_peers(char *list, struct options *options)
{
    while (list != NULL) {
        const char *name = strsep(&list, ",");
        if (!is_peer(name)) {
            fprintf(stderr, "gyre-bench: --peer %s: no such peer (--list has them)\n", name);
            return false;
        }
        if (!add_name(&options->peers, "peer", name))
            return false;
    }
    return true;
}

static bool parse_one(int key, struct options *options)
{
    switch (key) {
    case KEY_LIST:
        options->list = true;
        return true;
    case KEY_CASE:
        return parse_case(optarg, options);
    case KEY_PEER:
        return parse_peers(optarg, options);
    case KEY_REPEAT:
        return parse_number("repeat", BENCH_ROUNDS_MAX, &options->repeat);
    case KEY_QUICK:
        options->quick = true;
        return true;
    case KEY_COUNTS:
        options->counts = true;
        return true;
    case KEY_JSON:
        options->json = optarg;
        return true;
    case KEY_TIMEOUT:
        return parse_number("timeout", TIMEOUT_MAX_S, &options->timeout_s);
    case KEY_PROGRAMS:
        options->programs = optarg;
        return true;
    default:
        return false; /* getopt has complained, and named the option */
    }
}

enum options_outcome options_parse(int argc, char **argv, struct options *options)
{
    *options = (struct options){.timeout_s = TIMEOUT_S};
    int key;
    while ((key = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (key == KEY_HELP) {
            fputs(help, stdout);
            return OPTIONS_DONE;
        }
        if (!parse_one(key, options))
            return OPTIONS_WRONG;
    }
    if (optind < argc) {
        fprintf(stderr, "gyre-bench: %s: not an option (see --help)\n", argv[optind]);
        return OPTIONS_WRONG;
    }
    return OPTIONS_GO;
}

bool options_include(const struct options_names *names, const char *name)
{
    for (unsigned i = 0; i < names->count; i++) {
        if (strcmp(names->names[i], name) == 0)
            return true;
    }
    return names->count == 0;
}
