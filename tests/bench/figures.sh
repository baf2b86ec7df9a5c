#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# figures.sh ROOT: what bench/table.sh and bench/plot.sh make of JSON as gyre-bench writes it.

set -u
. "$(dirname "$0")/../harness/tap.sh"
use_scratch
tools=$1/bench
json=$tap_scratch/run.json
page=$tap_scratch/page.md

# object CASE PEER PARAMS METRIC UNIT MEDIAN MIN MAX RATIO
object() {
    printf '  {"case": "%s", "peer": "%s", "params": "%s", "metric": "%s", "unit": "%s", ' "$1" "$2" "$3" "$4" "$5"
    printf '"median": %s, "min": %s, "max": %s, "runs": 5, "ratio_to_gyre": %s, "machine": "a \\"CPU\\", 2 cores"}' \
        "$6" "$7" "$8" "$9"
}
{
    echo '['
    object post gyre 'producers=1' wall ns/op 100.5 90 1200 1 && echo ,
    object post raw 'producers=1' wall ns/op 50 50 50 0.5 && echo ,
    object post gyre 'producers=1' cpu ns/op 7 6 8 1 && echo ,
    object handler-churn gyre 'descriptors=1000' cpu ns/op 900 800 950 1 && echo ,
    object handler-churn libev-restart 'descriptors=1000' cpu ns/op 850 800 900 0.94 && echo ,
    object handler-churn gyre 'descriptors=1000' syscalls calls/op 3.003 3.003 3.003 1 && echo ,
    object handler-churn gyre 'descriptors=1000' instructions instructions/op 700 700 700 1 && echo ,
    object sizes gyre 'timer=1' bytes bytes/op 112 112 112 1 && echo ,
    object sizes libuv 'timer=1' bytes bytes/op 152 152 152 null
    printf '\n]\n'
} >"$json"

has() { grep -qxF -- "$1" "$tap_scratch/out"; }
"$tools/table.sh" "$json" >"$tap_scratch/out"
check "a case and its parameters are a table" has '### post, producers=1'
check "metrics are columns, with their units" has '| | wall, ns/op | to gyre | cpu, ns/op | to gyre |'
check "a figure has its extremes and its ratio" has '| gyre | 100.5 (90.0 to 1200) | 1.00 | 7.00 (6.00 to 8.00) | 1.00 |'
check "what was not measured stays empty" has '| raw | 50.0 | 0.50 | | |'
check "without a ratio there is a dash" has '| libuv | 152.0 | - |'
check "counts have columns as well" has '| gyre | 900.0 (800.0 to 950.0) | 1.00 | 3.00 | 1.00 | 700.0 | 1.00 |'
check "the machine is named" grep -qF 'Measured on: a "CPU", 2 cores.' "$tap_scratch/out"

printf 'before\n<!-- figures -->\nold\n<!-- end of figures -->\nafter\n' >"$page"
check "the tables go into a page" "$tools/table.sh" "$json" "$page"
cp "$page" "$tap_scratch/once"
cp "$page" "$tap_scratch/out"
check "between its marks" has '### sizes, timer=1'
refuse "in place of the old ones" has old
check "and what stands around them stays" eval 'has before && has after'
"$tools/table.sh" "$json" "$page"
check "a second time changes nothing" cmp "$page" "$tap_scratch/once"
printf 'no marks\n' >"$page"
refuse "a page without marks is refused" "$tools/table.sh" "$json" "$page"
cp "$page" "$tap_scratch/out"
check "and left alone" has 'no marks'
refuse "a file that is not there is refused" "$tools/table.sh" "$tap_scratch/absent"

if ! command -v gnuplot >/dev/null; then
    skip "each case is drawn" "gnuplot is not installed"
    finish
fi
check "each case is drawn" "$tools/plot.sh" "$json" "$tap_scratch/plots"
check "in a file of its own" test -s "$tap_scratch/plots/bench-post.svg" -a -s "$tap_scratch/plots/bench-sizes.svg"
svg_says() { grep -q "$2" "$tap_scratch/plots/bench-$1.svg"; }
check "with a panel for each metric" eval 'svg_says post ">wall, ns/op" && svg_says post ">cpu, ns/op"'
check "and with the peers' names" eval 'svg_says post ">gyre<" && svg_says post ">raw<"'
check "instructions have one, too" svg_says handler-churn '>instructions<'
refuse "and system calls none" svg_says handler-churn '>syscalls'
check "a peer that only one case has is drawn" svg_says handler-churn '>libev-restart<'
check "sizes name the thing" svg_says sizes '>timer<'
refuse "a file without figures is not drawn" "$tools/plot.sh" "$tap_scratch/absent" "$tap_scratch/plots"
finish
