#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# driver.sh GYRE_BENCH: what gyre-bench makes of measuring programs that report known figures, fail, cannot run, hang or
# are not there. The programs are scripts of the case "post", which has two sets of parameters.

set -u
. "$(dirname "$0")/../harness/tap.sh"
use_scratch
bench=$1
programs=$tap_scratch/programs

# fresh: no programs, and nothing recorded
fresh() {
    rm -rf "$programs" "$tap_scratch/calls" "$tap_scratch/json"
    mkdir "$programs"
}

# program PEER [LINE...]: a program that records its call, then does LINE...
program() {
    local file=$programs/post-$1
    printf '#!/bin/sh\necho "%s $*" >>"%s/calls"\n' "$1" "$tap_scratch" >"$file"
    shift
    printf '%s\n' "$@" >>"$file"
    chmod +x "$file"
}

# series PEER WALL...: a program that reports the next of the figures at each run with producers=1, from the start again
# when it has used all, and a cpu of 8
series() {
    local peer=$1
    shift
    program "$peer" "set -- \$# \$(grep -c '^$peer .*producers=1' '$tap_scratch/calls') $*" \
        'n=$2; shift 2; shift $(((n - 1) % $#)); echo "wall $1"; echo "cpu 8"'
}

# run STATUS ARGUMENT...: gyre-bench on the case, its output in `out` and `err`, its exit status STATUS
run() {
    local expected=$1 status
    shift
    timeout 50 "$bench" --programs "$programs" --case post "$@" >"$tap_scratch/out" 2>"$tap_scratch/err"
    status=$?
    cat "$tap_scratch/out" "$tap_scratch/err"
    [ $status -eq "$expected" ]
}

said() { # TEXT: in the output of the last run
    cat "$tap_scratch/out"
    grep -qF -- "$1" "$tap_scratch/out"
}

# entry PEER METRIC PARAMS MEMBER: prints it out of the JSON, which has an object a line
entry() {
    sed -n "/\"peer\": \"$1\", \"params\": \"$3\", \"metric\": \"$2\"/s/.*\"$4\": \([^,]*\),.*/\1/p" "$tap_scratch/json"
}

entry_is() { # PEER METRIC PARAMS MEMBER VALUE
    cat "$tap_scratch/json"
    [ "$(entry "$1" "$2" "$3" "$4")" = "$5" ]
}

# json_is_valid COUNT: one array of COUNT objects with the members promised
json_is_valid() {
    local string='"([^"\\]|\\.)*"' number='-?[0-9]+(\.[0-9]+)?(e[-+][0-9]+)?'
    if command -v python3 >/dev/null; then
        python3 - "$tap_scratch/json" "$1" <<'END'
import json, sys
array = json.load(open(sys.argv[1]))
members = "case peer params metric unit median min max runs ratio_to_gyre machine".split()
assert len(array) == int(sys.argv[2]), len(array)
for entry in array:
    assert list(entry) == members, entry
    assert entry["min"] <= entry["median"] <= entry["max"], entry
    assert isinstance(entry["runs"], int) and entry["machine"], entry
END
        return
    fi
    object="\{\"case\": $string, \"peer\": $string, \"params\": $string, \"metric\": $string, \"unit\": $string,"
    object="$object \"median\": $number, \"min\": $number, \"max\": $number, \"runs\": [0-9]+,"
    object="$object \"ratio_to_gyre\": ($number|null), \"machine\": $string\}"
    [ "$(head -n 1 "$tap_scratch/json")" = '[' ] && [ "$(tail -n 1 "$tap_scratch/json")" = ']' ] &&
        [ "$(grep -cE "^  $object,$" "$tap_scratch/json")" -eq $(($1 - 1)) ] &&
        [ "$(grep -cE "^  $object$" "$tap_scratch/json")" -eq 1 ]
}

# ---- turns, and what the figures come to

# The first figure is the warm-up's. Paired, libuv is 2, 2, 2, 0.5 and 3 times gyre: the median of the ratios is 2, the
# ratio of the medians 60/30.
fresh
series gyre 999 10 20 30 40 50
series raw 1 5 10 15 20 25
series libuv 1000 20 40 60 20 150
check "three peers are measured" run 0 --json "$tap_scratch/json"

expected=$(for params in 1 4; do for _ in 1 2 3 4 5 6; do
    for peer in gyre raw libuv; do echo "$peer producers=$params"; done
done; done)
check "peers take turns, gyre first, after a round that warms up" \
    test "$expected" = "$(sed 's/ ops=[0-9]*//' "$tap_scratch/calls")"
check "all peers get the same number of operations" test "$(grep -o 'ops=[0-9]*' "$tap_scratch/calls" | sort -u | wc -l)" -eq 1
check "the JSON is an array of objects with the members promised" json_is_valid 12
check "the median leaves out the warm-up" entry_is gyre wall producers=1 median 30
check "so does the smallest" entry_is libuv wall producers=1 min 20
check "and the greatest" entry_is libuv wall producers=1 max 150
check "gyre's ratio is 1" entry_is gyre wall producers=1 ratio_to_gyre 1
check "a peer that needs half has a ratio of 0.5" entry_is raw wall producers=1 ratio_to_gyre 0.5
check "the ratio is the median of the pairs'" entry_is libuv wall producers=1 ratio_to_gyre 2
check "the second metric is there" entry_is libuv cpu producers=4 ratio_to_gyre 1
check "the runs are counted" entry_is raw cpu producers=4 runs 5
check "the table has the ratio" grep -qE '^ +libuv +40\.0 +20\.0 +150\.0 +2\.00$' "$tap_scratch/out"
check "a peer that was not built is absent, with the reason" said 'absent: asio: was not built'

# Pairs of 10/10, 30/10 and 90/30: 1, 3, 3; the medians alone would say 30/10.
fresh
series gyre 1 10 10 30
series raw 1 10 30 90
check "an even number of rounds has a median between two" run 0 --repeat 2 --json "$tap_scratch/json"
check "which is the mean of both" entry_is raw wall producers=1 median 20
check "and of both ratios" entry_is raw wall producers=1 ratio_to_gyre 2

fresh
series gyre 0
series raw 5
check "figures of 0 are possible" run 0 --repeat 1 --json "$tap_scratch/json"
check "and have no ratio" entry_is raw wall producers=1 ratio_to_gyre null
check "the JSON is still valid" json_is_valid 8

# ---- choices

fresh
for peer in gyre raw libuv libev; do series $peer 7; done
check "--peer runs" run 0 --peer libev,raw --repeat 1
check "the peers chosen and gyre, each in its turn" \
    test "$(cut -d' ' -f1 "$tap_scratch/calls" | uniq | sort | uniq -c | tr -s ' \n' ' ')" = ' 4 gyre 4 libev 4 raw '
check "--quick runs" run 0 --quick --repeat 1
check "with fewer operations" test "$(grep -o 'ops=[0-9]*' "$tap_scratch/calls" | sort -u | wc -l)" -eq 2
check "--list names a case, its parameters and peers" eval "'$bench' --list | grep -A4 -x post |
    tr -s ' \n' ' ' | grep -q 'post .*params: producers=1 params: producers=4 peers: gyre raw libuv'"
check "--quick runs without --repeat" run 0 --quick --peer raw --json "$tap_scratch/json"
check "and then three rounds count" entry_is gyre wall producers=1 runs 3
# listed CASE: with its parameters, gyre, raw and another
listed() {
    "$bench" --list | awk -v name="$1" '$0 == name { inside = 1; next } /^[^ ]/ { inside = 0 } inside' | tee "$tap_scratch/out"
    grep -q 'params: .*=' "$tap_scratch/out" && grep -qE 'peers: +gyre raw [a-z]' "$tap_scratch/out"
}
for name in dispatch turn handler-churn executor timer-add timer-rearm timer-cancel timer-fire; do
    check "--list has $name" listed "$name"
done
check "--help explains the ratio" eval "'$bench' --help | grep -q 'ratio above 1'"

# ---- programs that fail, cannot run, or hang

fresh
series gyre 10
program raw 'echo "raw: counted 3 of 4" >&2; exit 1'
program libuv 'echo "no such kernel here" >&2; exit 77'
series libev 20
check "a wrong result fails the whole run" run 1 --repeat 3 --json "$tap_scratch/json"
check "names the peer and what it said" said 'FAILED: raw: raw: counted 3 of 4'
check "and gives it no more turns" test "$(grep -c '^raw ' "$tap_scratch/calls")" -eq 2
check "one that cannot run is absent" said 'absent: libuv: no such kernel here'
check "the others are measured all the same" entry_is libev wall producers=4 ratio_to_gyre 2
check "what was not measured is not in the JSON" json_is_valid 8
rm "$programs/post-raw"
check "an absent peer is no failure" run 0 --repeat 1

fresh
series raw 10
check "without gyre there is no ratio" run 0 --repeat 1 --json "$tap_scratch/json"
check "but the figures" json_is_valid 4
check "are there" entry_is raw wall producers=1 ratio_to_gyre null

fresh
program gyre 'echo "wall 1"; echo "cpu 1"' 'if [ $(wc -l <"'"$tap_scratch"'/calls") -eq 5 ]; then exit 1; fi'
series raw 10
check "a failure after some rounds is a failure" run 1 --repeat 3 --json "$tap_scratch/json"
check "with its status" said 'FAILED: gyre: ended with status 1'
check "its figures are dropped" json_is_valid 6

fresh
program gyre 'echo "wall 1"'
check "a metric that is not reported is a failure" run 1 --repeat 1
check "with its name" said 'FAILED: gyre: reports no cpu'
program gyre 'echo "wall 1"; echo "cpu 1"; echo "wall fast"'
check "a figure that is none is a failure" run 1 --repeat 1
check "with what it was" said 'FAILED: gyre: reports what is no figure: wall fast'
program gyre 'echo "wall inf"; echo "cpu 1"'
check "infinity is no figure" run 1 --repeat 1
program gyre 'kill -9 $$'
check "a program that is killed has failed" run 1 --repeat 1
check "with the signal" said 'FAILED: gyre: was killed by signal 9'

program gyre 'echo $$ >"'"$tap_scratch"'/pid"; exec sleep 30'
check "a program that hangs has failed" run 1 --repeat 1 --timeout 1
check "with its time" said 'FAILED: gyre: was ended after 1 s'
refuse "and is gone" kill -0 "$(cat "$tap_scratch/pid")"
program gyre 'trap "" TERM; echo $$ >"'"$tap_scratch"'/pid"' 'while :; do sleep 0.1; done'
check "so is one that ignores SIGTERM" run 1 --repeat 1 --timeout 1
refuse "in the end" kill -0 "$(cat "$tap_scratch/pid")"
program gyre 'sleep 4 & echo "wall 1"; echo "cpu 1"'
check "what a program leaves behind does not hold the run up" run 0 --repeat 1 --timeout 3
program gyre 'head -c 300000 /dev/zero >&2; echo "wall 1"; echo "cpu 1"'
check "much output does not, either" run 0 --repeat 1

fresh
check "if nothing can run, the run has failed" run 1
check "and says so" said 'nothing was measured'

# ---- counts

# The counters are scripts as well, which run the program and say how many operations it was to do.
fresh
series gyre 10
series raw 10
mkdir "$tap_scratch/tools"
cat >"$tap_scratch/tools/strace" <<'END'
#!/bin/sh
while [ "${1#-}" != "$1" ] || [ "$1" = calls,name ]; do shift; done
ops=100
for word; do case $word in ops=*) ops=${word#ops=} ;; esac; done
"$@" >/dev/null || exit 1
case $1 in *raw) ops=$((ops * 3)) ;; esac
echo "     12 write" >&2
printf '%10d total\n' $((ops * 2 + 55)) >&2
END
printf '#!/bin/sh\necho "valgrind: not on this machine" >&2\nexit 1\n' >"$tap_scratch/tools/valgrind"
chmod +x "$tap_scratch/tools/strace" "$tap_scratch/tools/valgrind"
PATH=$tap_scratch/tools:$PATH check "--counts runs" run 0 --counts --repeat 1 --json "$tap_scratch/json"
check "system calls are the difference of two runs" entry_is gyre syscalls producers=1 median 2
check "and have a ratio" entry_is raw syscalls producers=4 ratio_to_gyre 3
check "what cannot be counted is left out, with the reason" said 'instructions are not counted: valgrind: not on this machine'
check "the JSON has the counts" json_is_valid 12
run 0 --repeat 1 >/dev/null
refuse "without --counts nothing is counted" said syscalls

# ---- wrong options

# wrong CULPRIT ARGUMENT...: one line that names the culprit, and status 2
wrong() {
    local culprit=$1 status
    shift
    "$bench" "$@" >"$tap_scratch/out" 2>"$tap_scratch/err"
    status=$?
    cat "$tap_scratch/err" "$tap_scratch/out"
    [ $status -eq 2 ] && [ "$(wc -l <"$tap_scratch/err")" -eq 1 ] && ! [ -s "$tap_scratch/out" ] &&
        grep -qF -- "$culprit" "$tap_scratch/err" && grep -q '^[^ ]*gyre-bench: ' "$tap_scratch/err"
}

check "an unknown option is named" wrong --colour --colour red
check "an argument that is no option is named" wrong post post
check "a missing value is named" wrong case --case
check "an unknown case is named" wrong '--case nonsense' --case nonsense
check "an unknown peer is named" wrong '--peer nonsense' --peer raw,nonsense
check "an empty peer is none" wrong '--peer' --peer raw,
check "no round at all is refused" wrong '--repeat 0' --repeat 0
check "too many rounds are refused" wrong '--repeat 101' --repeat 101
check "a number with a unit is refused" wrong '--timeout 5s' --timeout 5s
check "a negative number is refused" wrong '--repeat -1' --repeat -1
check "a number past every type is refused" wrong '--timeout 99999999999999999999' --timeout 99999999999999999999
check "a file that cannot be written is named" wrong '--json /nowhere/at/all' --json /nowhere/at/all
finish
