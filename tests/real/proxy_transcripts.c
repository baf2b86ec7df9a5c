/* SPDX-License-Identifier: MIT */
/*
 * proxy_transcripts - thousands of conversations through gyre-proxy, each drawn from a seed, exact
 * to the byte and to the end on both sides.
 *
 * GYRE_TRANSCRIPTS (4000; less with a sanitizer) of them, from GYRE_TRANSCRIPT_SEED (1) on.
 */
#include <unistd.h>

#include "child.h"
#include "flow.h"
#include "harness/plain.h"
#include "transcript.h"

static void each_byte_and_each_end_comes_as_it_was_sent(void)
{
    static const char *const no_arguments[] = {NULL};
    uint64_t seed = (uint64_t)plain_number("GYRE_TRANSCRIPT_SEED", 1);
    uint64_t count = (uint64_t)plain_number("GYRE_TRANSCRIPTS", child_sanitized() ? 600 : 4000),
             began;
    char text[32];
    struct transcript_way way = {.listener = flow_listen(128, text)};
    struct transcript_totals totals;
    struct child_counters counters;
    struct child proxy;
    unsigned descriptors;

    if (!child_start_proxy(&proxy, 0, text, no_arguments)) {
        close(way.listener);
        return;
    }
    way.front = child_address(&proxy);
    descriptors = child_descriptors(&proxy);
    began = flow_now_ms();
    totals = transcripts_run(&way, seed, count);
    transcripts_note(&totals, flow_now_ms() - began);
    for (began = flow_now_ms();
         child_descriptors(&proxy) != descriptors && flow_now_ms() - began < 5000;)
        flow_sleep_ms(10);
    CHECK_EQ(child_descriptors(&proxy), descriptors); /* every pair has ended by itself */
    child_stop(&proxy);
    counters = child_counters(&proxy);
    CHECK_EQ(counters.accepted, count);
    CHECK_EQ(counters.active, 0);
    CHECK_EQ(counters.failed_connects, 0);
    CHECK_EQ(counters.bytes_up, totals.bytes_up);
    CHECK_EQ(counters.bytes_down, totals.bytes_down);
    close(way.listener);
}

static const struct plain_case cases[] = {
    PLAIN_CASE(each_byte_and_each_end_comes_as_it_was_sent),
};

PLAIN_MAIN(cases)
