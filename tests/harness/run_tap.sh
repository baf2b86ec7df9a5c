#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run_tap.sh KIND TAP-FILE PROGRAM [ARGUMENT...]
#
# Runs one test program, keeps its TAP report for the runner's count, and decides whether it passed. A program passes if
# it exits 0, reports at least one case, reports as many as it planned, and none of them "not ok". Criterion exits 0 when
# nothing ran and when a case was lost; that is why the exit status alone is not believed.
#
# KIND      criterion   the report is asked for with --tap=FILE
#           plain       the report is the standard output (plain.h and tap.sh)
# Exit      0 passed, 77 every case was skipped, else failed

set -u
kind=$1 report=$2
shift 2
mkdir -p "$(dirname "$report")"

# If this process is killed (a time limit), what stands here is what the runner counts.
name=$(basename "$report" .tap)
printf '1..1\nnot ok 1 - %s did not finish\n' "$name" >"$report"

raw=$report.raw
rm -f "$raw"
case $kind in
criterion)
    "$@" --jobs 1 --tap="$raw"
    status=$?
    ;;
plain)
    "$@" | tee "$raw"
    status=${PIPESTATUS[0]}
    ;;
*)
    echo "run_tap.sh: unknown kind $kind" >&2
    exit 2
    ;;
esac
touch "$raw"

awk -v status="$status" -v name="$name" '
    /^1\.\.[0-9]+/ { planned = substr($1, 4) + 0; has_plan = 1; next }
    /^ok([ \t]|$)/ { seen++; print; if (toupper($0) ~ /# SKIP/) skipped++; next }
    /^not ok([ \t]|$)/ { seen++; failed++; print; next }
    END {
        why = ""
        if (seen == 0) why = "reported no case"
        else if (!has_plan) why = "reported no plan"
        else if (planned != seen) why = "planned " planned " cases and reported " seen
        else if (status != 0 && status != 77 && !failed) why = "reported success and exited with " status
        else if (status == 77 && skipped != seen) why = "exited with 77 though not every case was skipped"
        else if (status == 0 && failed) why = "exited with 0 though a case failed"
        if (why != "") { print "not ok " (seen + 1) " - " name " " why; failed++ }
        if (failed) exit 1
        exit skipped == seen ? 77 : 0
    }' "$raw" >"$report.new"
verdict=$?
mv "$report.new" "$report"
if [ "$verdict" -ne 0 ] && [ "$verdict" -ne 77 ]; then
    grep '^not ok' "$report"
fi
exit "$verdict"
