/* SPDX-License-Identifier: MIT */
/*
 * cases - see cases.h.
 */
#include "cases.h"

#include <stddef.h>

const struct bench_metric_text bench_metric_texts[BENCH_METRICS] = {
    [BENCH_WALL] = {"wall", "ns/op"},
    [BENCH_CPU] = {"cpu", "ns/op"},
    [BENCH_SYSCALLS] = {"syscalls", "calls/op"},
    [BENCH_INSTRUCTIONS] = {"instructions", "instructions/op"},
    [BENCH_BYTES] = {"bytes", "bytes/op"},
};

const struct bench_case bench_cases[] = {
    {
        .name = "post",
        .question = "What does it cost to have a function called, with an argument, on another "
                    "thread's loop?",
        .works = {{"producers=1", 4000000, 200000}, {"producers=4", 4000000, 200000}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "post-embedded",
        .question = "And if the memory for it is part of the caller's object?",
        .works = {{"producers=1", 4000000, 200000}, {"producers=4", 4000000, 200000}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "pingpong-idle",
        .question = "How long is a round trip between two loops that sleep in between?",
        .works = {{"flight=1", 20000, 500}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "pingpong-busy",
        .question = "What does a round trip cost between two loops that never sleep, while 64 are "
                    "under way?",
        .works = {{"flight=64 awake=1", 500000, 20000}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = 0, /* how often an awake loop turns says how long it ran */
    },
    {
        .name = "dispatch",
        .question = "What does an event cost of one of many descriptors that are watched?",
        .works = {{"pairs=100 active=1", 200000, 10000},
                  {"pairs=1000 active=100", 200000, 10000},
                  {"pairs=8000 active=1000", 200000, 10000}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "turn",
        .question = "What does an empty turn cost, with handlers that have nothing to do?",
        .works = {{"idle=0", 2000000, 20000}, {"idle=10000", 2000000, 20000}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "handler-churn",
        .question = "What do an add, an update and a removal of a handler cost together?",
        .works = {{"descriptors=1000", 200000, 10000}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "executor",
        .question = "How long is the way to a worker thread and back, and what does it cost with "
                    "64 under way?",
        .works = {{"flight=1", 20000, 500}, {"flight=64", 500000, 20000}},
        .peers = {"gyre", "raw", "libuv", "asio"},
        .reported = BENCH_TIMES,
        .counted = BENCH_COUNTS,
    },
    {
        .name = "timer-add",
        .question = "What does it cost to arm a timer, for a time in the next minute?",
        .works = {{"timers=10000", 4000000, 100000}, {"timers=1000000", 4000000, 0}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = 0, /* each round begins with work that is not measured */
    },
    {
        .name = "timer-rearm",
        .question = "And to arm one of many armed timers anew, for later than it was or for "
                    "any time?",
        .works = {{"timers=10000", 4000000, 100000},
                  {"timers=1000000", 2000000, 0},
                  {"timers=10000 anytime=1", 4000000, 100000},
                  {"timers=1000000 anytime=1", 2000000, 0}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "libev-restart", "asio"},
        .reported = BENCH_TIMES,
        .counted = 0, /* each round begins with work that is not measured */
    },
    {
        .name = "timer-cancel",
        .question = "And to stop one of many?",
        .works = {{"timers=10000", 4000000, 100000}, {"timers=1000000", 2000000, 0}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = 0, /* each round begins with work that is not measured */
    },
    {
        .name = "timer-fire",
        .question = "What does a timer cost that fires, if 30 s of timers are due at once?",
        .works = {{"timers=10000", 2000000, 100000}, {"timers=1000000", 1000000, 0}},
        .peers = {"gyre", "raw", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_TIMES,
        .counted = 0, /* each round begins with work that is not measured */
    },
    {
        .name = "idle-memory",
        .question = "How many bytes of a proxy's own memory does a pair cost that does nothing?",
        .works = {{"pairs=5000", 5000, 5000}},
        .peers = {"gyre", "haproxy", "nginx"},
        .reported = BENCH_BIT(BENCH_BYTES),
    },
    {
        .name = "sizes",
        .question = "How large is what a user keeps, with what the library allocates for it?",
        .works = {{"task=1", 1, 1},
                  {"timer=1", 1, 1},
                  {"stream=1", 1, 1},
                  {"loop=1", 1, 1},
                  {"library=1", 1, 1}},
        .peers = {"gyre", "libuv", "libevent", "libev", "asio"},
        .reported = BENCH_BIT(BENCH_BYTES),
    },
    {.name = NULL},
};
