# SPDX-License-Identifier: MIT
#
# tap.sh - what a test written in bash sources to report its cases.
#
#     . "$(dirname "$0")/../harness/tap.sh"
#     check "the proxy answers" curl --fail --silent "$url"
#     finish
#
#   ok NAME, not_ok NAME, skip NAME REASON   report one case
#   check NAME COMMAND...                    one case: the command succeeds; its output is shown if it does not
#   refuse NAME COMMAND...                   one case: the command fails (a seeded fault is found)
#   note TEXT                                a line of diagnosis
#   scratch                                  prints a directory that is removed at the end
#   finish                                   prints the plan and exits

tap_count=0
tap_failed=0
tap_skipped=0
tap_scratch=

tap_cleanup() {
    if [ -n "$tap_scratch" ]; then rm -rf "$tap_scratch"; fi
}
trap tap_cleanup EXIT

scratch() {
    if [ -z "$tap_scratch" ]; then
        echo "tap.sh: call 'use_scratch' first" >&2
        exit 2
    fi
    echo "$tap_scratch"
}

use_scratch() {
    tap_scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-test.XXXXXX")
}

note() { printf '%s\n' "$*" | sed 's/^/# /'; }

ok() {
    tap_count=$((tap_count + 1))
    echo "ok $tap_count - $1"
}

not_ok() {
    tap_count=$((tap_count + 1))
    tap_failed=$((tap_failed + 1))
    echo "not ok $tap_count - $1"
}

skip() {
    tap_count=$((tap_count + 1))
    tap_skipped=$((tap_skipped + 1))
    echo "ok $tap_count - $1 # SKIP $2"
}

check() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        ok "$name"
    else
        note "$output"
        not_ok "$name"
    fi
}

refuse() {
    local name=$1 output
    shift
    if output=$("$@" 2>&1); then
        note "succeeded, and should not have: $*"
        note "$output"
        not_ok "$name"
    else
        ok "$name"
    fi
}

finish() {
    echo "1..$tap_count"
    if [ "$tap_failed" -ne 0 ]; then exit 1; fi
    if [ "$tap_count" -ne 0 ] && [ "$tap_skipped" -eq "$tap_count" ]; then exit 77; fi
    exit 0
}
