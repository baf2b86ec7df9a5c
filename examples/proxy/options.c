/* SPDX-License-Identifier: MIT */
/*
 * options - the command line of gyre-proxy. See options.h.
 *
 * Every complaint is one line that names the option and the text that it had. Numbers are decimal
 * digits and nothing else: a unit that would be ignored ("5s") is refused.
 */
#include "options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    EXIT_USAGE = 2,
    MILLISECONDS_MAX = 24 * 3600 * 1000, /* a day: more is a mistake in the unit */
    SECONDS_MAX = 24 * 3600
};

static const char help[] =
    "usage: gyre-proxy --listen ADDR --upstream ADDR[,ADDR...] [option...]\n"
    "\n"
    "A TCP proxy: every loop accepts, connects and relays by itself. An ADDR is host:port,\n"
    "[ipv6]:port, *:port (to listen) or unix:/path.\n"
    "\n"
    "  --listen ADDR           where clients connect; port 0 takes a free one\n"
    "  --upstream ADDR[,...]   where they are led to, in turn; may be given several times\n"
    "  --loops N               loops, each on a thread of its own (as many as the CPU plan says)\n"
    "  --backend NAME          auto, epoll, poll or select (auto: what GYRE_BACKEND says)\n"
    "  --connect-timeout MS    for each upstream address that is tried, 0: the system's (5000)\n"
    "  --idle-timeout MS       close a pair without a byte for so long, 0: never (600000)\n"
    "  --stats-interval S      print the counters so often, 0: only at the end (0)\n"
    "  --print-plan            print how many loops would run on which CPUs, and why, and exit\n"
    "  --help, --version       print, and exit\n"
    "\n"
    "SIGTERM: no new clients; ends with 0 when the last pair has, after 10 seconds at the latest.\n"
    "SIGINT: ends with 0 at once. A wrong option or address: one line, and status 2.\n";

enum option_key {
    KEY_LISTEN = 1, /* 0 is getopt's own, '?' its complaint */
    KEY_UPSTREAM,
    KEY_LOOPS,
    KEY_BACKEND,
    KEY_CONNECT_TIMEOUT,
    KEY_IDLE_TIMEOUT,
    KEY_STATS_INTERVAL,
    KEY_PRINT_PLAN,
    KEY_HELP,
    KEY_VERSION
};

static const struct option table[] = {
    {"listen", required_argument, NULL, KEY_LISTEN},
    {"upstream", required_argument, NULL, KEY_UPSTREAM},
    {"loops", required_argument, NULL, KEY_LOOPS},
    {"backend", required_argument, NULL, KEY_BACKEND},
    {"connect-timeout", required_argument, NULL, KEY_CONNECT_TIMEOUT},
    {"idle-timeout", required_argument, NULL, KEY_IDLE_TIMEOUT},
    {"stats-interval", required_argument, NULL, KEY_STATS_INTERVAL},
    {"print-plan", no_argument, NULL, KEY_PRINT_PLAN},
    {"help", no_argument, NULL, KEY_HELP},
    {"version", no_argument, NULL, KEY_VERSION},
    {NULL, 0, NULL, 0},
};

static bool parse_number(const char *name, const char *text, unsigned min, unsigned max,
                         unsigned *ret_number)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long number = strtoul(text, NULL, 10); /* too many digits: ULONG_MAX */

    if (digits == 0 || text[digits] != '\0' || number < min || number > max) {
        fprintf(stderr, "gyre-proxy: --%s %s: not a number from %u to %u\n", name, text, min, max);
        return false;
    }
    *ret_number = (unsigned)number;
    return true;
}

static bool parse_upstreams(char *list, struct options *options)
{
    while (list != NULL) {
        char *upstream = strsep(&list, ",");
        if (*upstream == '\0') {
            fprintf(stderr, "gyre-proxy: --upstream: an empty address in the list\n");
            return false;
        }
        if (options->upstreams_count == PROXY_UPSTREAMS_MAX) {
            fprintf(stderr, "gyre-proxy: --upstream %s: more than %d upstreams\n", upstream,
                    PROXY_UPSTREAMS_MAX);
            return false;
        }
        options->upstreams[options->upstreams_count++] = upstream;
    }
    return true;
}

static bool parse_one(int key, struct options *options)
{
    switch (key) {
    case KEY_LISTEN:
        options->listen = optarg;
        return true;
    case KEY_UPSTREAM:
        return parse_upstreams(optarg, options);
    case KEY_LOOPS:
        return parse_number("loops", optarg, 1, GYRE_LOOPS_MAX, &options->loops);
    case KEY_BACKEND:
        options->backend = optarg;
        return true;
    case KEY_CONNECT_TIMEOUT:
        return parse_number("connect-timeout", optarg, 0, MILLISECONDS_MAX,
                            &options->connect_timeout_ms);
    case KEY_IDLE_TIMEOUT:
        return parse_number("idle-timeout", optarg, 0, MILLISECONDS_MAX, &options->idle_timeout_ms);
    case KEY_STATS_INTERVAL:
        return parse_number("stats-interval", optarg, 0, SECONDS_MAX, &options->stats_interval_s);
    case KEY_PRINT_PLAN:
        options->print_plan = true;
        return true;
    default:
        return false; /* getopt has complained, and named the option */
    }
}

static bool is_complete(const struct options *options)
{
    if (options->print_plan)
        return true;
    if (options->listen == NULL) {
        fprintf(stderr, "gyre-proxy: --listen is missing (see --help)\n");
        return false;
    }
    if (options->upstreams_count == 0) {
        fprintf(stderr, "gyre-proxy: --upstream is missing (see --help)\n");
        return false;
    }
    return true;
}

bool options_parse(int argc, char **argv, struct options *ret_options, int *ret_status)
{
    struct options *options = ret_options;
    int key;

    *options = (struct options){.connect_timeout_ms = 5000, .idle_timeout_ms = 600 * 1000};
    *ret_status = EXIT_USAGE;
    while ((key = getopt_long(argc, argv, "", table, NULL)) != -1) {
        if (key == KEY_HELP || key == KEY_VERSION) {
            if (key == KEY_HELP)
                fputs(help, stdout);
            else
                printf("gyre-proxy %d.%d.%d\n", GYRE_VERSION_MAJOR, GYRE_VERSION_MINOR,
                       GYRE_VERSION_PATCH);
            *ret_status = fflush(stdout) == 0 ? 0 : 1;
            return false;
        }
        if (!parse_one(key, options))
            return false;
    }
    if (optind != argc) {
        fprintf(stderr, "gyre-proxy: %s: not an option (see --help)\n", argv[optind]);
        return false;
    }
    return is_complete(options);
}
