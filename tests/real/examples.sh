#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# examples.sh: what the small examples print, and what they refuse. echo with clients is echo.c.

set -u
. "$(dirname "$0")/../harness/tap.sh"
use_scratch
programs=$GYRE_BUILD_DIR/examples

# prints EXPECTED COMMAND...: succeeds, and its last line is EXPECTED
prints() {
    local expected=$1 output
    shift
    output=$("$@") || return 1
    [ "${output##*$'\n'}" = "$expected" ] || { echo "$output"; return 1; }
}

# wrong CULPRIT COMMAND...: exits with 2 after one line that names the culprit
wrong() {
    local culprit=$1 output status
    shift
    output=$("$@" 2>&1)
    status=$?
    echo "$status: $output"
    [ $status -eq 2 ] && [ "$(wc -l <<<"$output")" -eq 1 ] && [[ $output == *"$culprit"* ]]
}

result='4 threads, 4000 jobs, 0 wrong answers, 299275 steps: as they should be'
check "workers: the defaults" prints "$result" "$programs/workers"
for loops in 1 2 7; do
    check "workers: the same on $loops loops" prints "$result" "$programs/workers" --loops $loops
done
check "workers: more of everything" prints \
    '8 threads, 80000 jobs, 0 wrong answers, 8419731 steps: as they should be' \
    "$programs/workers" --loops 4 --threads 8 --jobs 10000
"$programs/workers" --loops 3 >"$tap_scratch/first"
"$programs/workers" --loops 3 >"$tap_scratch/second"
check "workers: the same output twice" cmp "$tap_scratch/first" "$tap_scratch/second"
check "workers: a line a loop" test "$(grep -c '^loop=[0-2] jobs=13' "$tap_scratch/first")" -eq 3

check "workers: no loops" wrong '--loops 0' "$programs/workers" --loops 0
check "workers: too many loops" wrong '--loops 1025' "$programs/workers" --loops 1025
check "workers: threads that are no number" wrong '--threads 3x' "$programs/workers" --threads 3x
check "workers: negative jobs" wrong '--jobs -1' "$programs/workers" --jobs -1
check "workers: jobs without a number" wrong jobs "$programs/workers" --jobs
check "workers: an unknown option" wrong '--unknown' "$programs/workers" --unknown
check "workers: an argument" wrong argument "$programs/workers" argument

check "echo: no address" wrong nonsense "$programs/echo" nonsense
check "echo: another machine's address" wrong 192.0.2.1:7 "$programs/echo" 192.0.2.1:7
check "echo: an option" wrong usage "$programs/echo" --help
check "echo: two addresses" wrong usage "$programs/echo" 127.0.0.1:0 127.0.0.1:0
finish
