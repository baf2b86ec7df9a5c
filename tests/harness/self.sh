#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# self.sh PLAIN-PROGRAM [CRITERION-PROGRAM]: the harness finds each fault seeded in broken_plain.c and broken.c, and
# finds none where there is none. GYRE_SANITIZE tells which sanitizer the programs were built with.

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"
use_scratch
run_tap=$here/run_tap.sh
plain=$1
criterion=${2:-}
report=$tap_scratch/report.tap
launcher=${GYRE_TEST_LAUNCHER:-}

# Each runs under run_tap.sh, as every test does.
run_plain() { "$run_tap" plain "$report" $launcher "$plain" "$1"; }
run_criterion() { "$run_tap" criterion "$report" "$criterion" --filter "broken/$1"; }

check "plain: a sound case passes" run_plain nothing
for case in number text child helper_thread descriptor_left counter_left leaves_early; do
    refuse "plain: $case fails" run_plain $case
done
run_plain skipped >/dev/null
status=$?
check "plain: a program of skipped cases exits with 77" test $status -eq 77
check "plain: the reason of a skip is reported" grep -q 'SKIP it is the skipped case' "$report"
refuse "plain: an unknown case fails" run_plain no_such_case

if [ "${GYRE_SANITIZE:-}" = address ]; then
    refuse "plain: lost memory fails" run_plain memory_lost
fi
if [ "${GYRE_SANITIZE:-}" = thread ]; then
    refuse "plain: a data race fails" run_plain race
fi

if [ -n "$criterion" ]; then
    check "criterion: a sound test passes" run_criterion nothing
    for case in assert descriptor_left descriptor_closed thread_left crash; do
        refuse "criterion: $case fails" run_criterion $case
    done
    refuse "criterion: a filter that matches nothing fails" run_criterion no_such_test
    if [ "${GYRE_SANITIZE:-}" = address ]; then
        refuse "criterion: lost memory fails" run_criterion memory_lost
        refuse "criterion: undefined behaviour fails" run_criterion undefined
    fi
fi

fake() { printf '#!/bin/sh\n%s\n' "$1" >"$tap_scratch/fake" && chmod +x "$tap_scratch/fake"; }
run_fake() { "$run_tap" plain "$report" "$tap_scratch/fake"; }
fake 'echo 1..1; echo "ok 1 - a"'
check "report: one case, planned and passed" run_fake
fake 'exit 0'
refuse "report: empty" run_fake
fake 'echo 1..2; echo "ok 1 - a"'
refuse "report: fewer cases than planned" run_fake
fake 'echo "ok 1 - a"'
refuse "report: no plan" run_fake
fake 'echo 1..1; echo "ok 1 - a"; exit 3'
refuse "report: all passed, exit status 3" run_fake
fake 'echo 1..1; echo "not ok 1 - a"; exit 0'
refuse "report: a failed case, exit status 0" run_fake
fake 'echo 1..1; echo "ok 1 - a"; exit 77'
refuse "report: exit status 77 without a skip" run_fake

finish
