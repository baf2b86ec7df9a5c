#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh [--all] [FAULT...]: tries the seeded faults of faults.txt, or those that are named. A case each: the test that
# is expected to catch the fault passes without it, and fails with it.
#
#   --all   runs every contract test with each fault, and notes all that catch it; a fault needs one
#
# All faults are in one library: mutate.awk makes each a choice by number, and GYRE_MUTANT picks one at run time (0:
# none). ctest sets GYRE_BUILD_DIR, a build that is whole: its objects of the tests, and of what has no fault, are used as
# they are. Works in a directory that is removed at the end.

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../harness/tap.sh"
export LC_ALL=C

root=$(cd "$here/../.." && pwd)
plan=${GYRE_BUILD_DIR:?"set it to a build of the tests"}/tests/mutation/plan.txt
faults_min=80
limit_s=10 # of one test; one that needs more hangs
jobs=4 # side by side; what hangs needs no processor

all=no try=try
if [ "${1-}" = --all ]; then
    all=yes try=try_all
    shift
fi

use_scratch
work=$tap_scratch
copies=$work/table.d
library=$work/libmutants.a
unset GYRE_BACKEND GYRE_WAKER GYRE_MUTANT

# of WORD: the rest of that line of the plan
of() { sed -n "s/^$1 //p" "$plan"; }

compiler=$(of compiler)

# ---- the library with all faults

# compile FILE: a mutated copy, as the build compiles its original, but for the optimisation.
compile() {
    local layer
    case $1 in
    runtime/*) layer=$(basename "$(dirname "$1")") ;;
    *) layer="backends -D_GNU_SOURCE -I$root/backends" ;;
    esac
    # shellcheck disable=SC2086 # the layer of the backends is several words
    "$compiler" -std=c11 -O1 -g -w -fPIC -pthread -I"$root/runtime/include" -I"$GYRE_BUILD_DIR"/layers/$layer \
        -c "$copies/$1" -o "$copies/$1.o"
}

build_library() {
    local object file objects=() mutated=0
    (cd "$copies" && find . -name '*.c' | cut -c 3- | sort) >"$work/mutated"
    while read -r file; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        compile "$file" &
    done <"$work/mutated"
    wait
    for object in $(of objects); do
        file=${object##*.dir/}
        file=${file#./}
        if [ -e "$copies/$file" ]; then
            object=$copies/$file
            mutated=$((mutated + 1))
        fi
        objects+=("$object")
    done
    if [ $mutated -ne "$(wc -l <"$work/mutated")" ]; then
        echo "a source that has a fault did not compile, or is not of the library" && return 1
    fi
    "$compiler" -O1 -c "$here/mutant.c" -o "$work/mutant.o" &&
        ar rcs "$library" "${objects[@]}" "$work/mutant.o"
}

build_program() { # NAME KIND OBJECT...
    local name=$1 criterion=
    if [ "$2" = criterion ]; then criterion=$(of criterion); fi
    "$compiler" -pthread -o "$work/$name" "${@:3}" "$library" $criterion -Wl,-z,nodelete
}

# build_programs NAME...: those of the plan that are named
build_programs() {
    local name kind objects
    while read -r name kind objects; do
        case " $* " in *" $name "*) ;; *) continue ;; esac
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        echo "$kind" >"$work/$name.kind"
        # shellcheck disable=SC2086 # several objects
        build_program "$name" "$kind" $objects &
    done < <(of program)
    wait
    for name in "$@"; do
        if [ ! -x "$work/$name" ]; then echo "there is no program $name" && return 1; fi
    done
}

# ---- one test

# run_test OUT NUMBER PROGRAM CASES PAIR: what became of the cases (names with "|" between, or "*" for all): pass, fail,
# crash, hang, or none if there was no such case. OUT.log has the output, OUT.tap the report.
run_test() {
    local out=$1 fault=$2 program=$3 cases=$4 pair=$5 status report=$1.tap
    local words=("$work/$program")
    if [ "$(cat "$work/$program.kind")" = criterion ]; then
        words+=(--jobs 1 --filter "*/@($cases)" "--tap=$report")
    elif [ "$cases" != "*" ]; then
        IFS='|' read -ra cases <<<"$cases"
        words+=("${cases[@]}")
    fi
    rm -f "$report"
    GYRE_MUTANT=$fault GYRE_TEST_BACKEND=${pair%+*} GYRE_TEST_WAKER=${pair#*+} \
        timeout --kill-after=2 $limit_s "${words[@]}" >"$out.log" 2>&1 </dev/null
    status=$?
    if [ ! -e "$report" ]; then cp "$out.log" "$report"; fi
    if [ $status -eq 124 ] || [ $status -eq 137 ]; then
        echo hang
    elif [ $status -gt 128 ] || grep -q 'CRASH!' "$out.log"; then
        echo crash
    elif grep -q '^not ok' "$report"; then
        echo fail
    elif [ $status -eq 0 ] && grep -q '^ok' "$report"; then
        echo pass
    else
        echo none
    fi
}

# ---- one fault

# verdict ok|not_ok NAME TEXT [LOG]: one case, for the report at the end.
verdict() {
    printf '%s\t%s\t%s\n' "$1" "$2" "$3" >"$work/$2.verdict"
    if [ $# -gt 3 ]; then tail -n 15 "$4" >"$work/$2.notes"; fi
}

# try_without PROGRAM PAIR CASE...: runs the expected tests of a program without any fault
try_without() {
    local program=$1 pair=$2 cases
    shift 2
    cases=$(printf '%s\n' "$@" | sort -u | tr '\n' '|')
    run_test "$work/$program.$pair" 0 "$program" "${cases%|}" "$pair" >"$work/$program.$pair.sound"
}

# passes_without PROGRAM CASE PAIR
passes_without() {
    grep -qE "^ok .*\b$2\b" "$work/$1.$3.tap" && [ "$(cat "$work/$1.$3.sound")" = pass ]
}

# try NUMBER NAME PROGRAM CASE PAIR SHOWS: the expected test, with the fault
try() {
    local name=$2 program=$3 case=$4 pair=$5 shows=$6 result
    if ! passes_without "$program" "$case" "$pair"; then
        verdict not_ok "$name" "$program/$case does not pass without it" "$work/$program.$pair.log"
        return
    fi
    result=$(run_test "$work/$name" "$1" "$program" "$case" "$pair")
    case $result/$shows in
    fail/* | crash/crash | hang/hang) verdict ok "$name" "$program/$case" ;;
    pass/*) verdict not_ok "$name" "$program/$case does not catch it" ;;
    *) verdict not_ok "$name" "$program/$case has a $result, and should fail" "$work/$name.log" ;;
    esac
}

# try_all NUMBER NAME PROGRAM CASE PAIR SHOWS: every contract test
# shellcheck disable=SC2317 # called by its name, in $try
try_all() {
    local number=$1 name=$2 pair=$5 program out result caught=
    for program in $(of program | cut -d ' ' -f 1); do
        out=$work/$name.$program
        result=$(run_test "$out" "$number" "$program" "*" "$pair")
        case $result in
        pass | none) ;;
        fail)
            caught="$caught $(grep '^not ok' "$out.tap" | grep -oE '[A-Za-z0-9]+_[A-Za-z0-9_]+' |
                sort -u | sed "s,^,$program/," | tr '\n' ' ')"
            ;;
        *) caught="$caught $program ($result)" ;;
        esac
    done
    if [ -n "$caught" ]; then
        verdict ok "$name" "$caught"
    else
        verdict not_ok "$name" "no test catches it"
    fi
}

# ---- the run

# mutate TABLE: copies, and the table of faults, from a list of faults on standard input
mutate() {
    mkdir -p "$1.d"/runtime/loop "$1.d"/backends
    awk -v root="$root" -v out="$1.d" -f "$here/mutate.awk" - >"$1"
}

# tells TEXT FAULT: a fault that is wrong in itself is an error that says TEXT
tells() {
    ! printf 'file runtime/loop/loop.c\nfault wrong\ntest turn/T1_x\n%s\n' "$2" | mutate "$work/wrong" &&
        grep -qF "$1" "$work/wrong"
}

mutate "$work/table" <"$here/faults.txt"
if [ $# -eq 0 ]; then
    check "a text that is gone is told" tells "does not have its text" $'-no such text;\n+'
    check "a text that stands twice is told" tells "more than once" $'-struct gyre_loop *loop\n+x'
    check "at least $faults_min faults are tried" test "$(wc -l <"$work/table")" -ge $faults_min
else # those that are named; one that there is not is a failure
    for name in "$@"; do
        awk -F '\t' -v name="$name" '$2 == name { print; found = 1 } END { exit !found }' "$work/table" ||
            printf -- '0\t%s\t-\t-\t-\t-\tthere is no such fault\n' "$name"
    done >"$work/named"
    mv "$work/named" "$work/table"
fi

programs=$(awk -F '\t' '$7 == "-" { print $3 }' "$work/table" | sort -u)
if [ $all = yes ]; then programs=$(of program | cut -d ' ' -f 1); fi
failed=$tap_failed # of what is no reason not to go on
check "the library with all faults is built" build_library
# shellcheck disable=SC2086 # several names
check "the tests are linked against it" build_programs $programs
if [ "$tap_failed" -ne "$failed" ]; then finish; fi

if [ $all = no ]; then
    while read -r program pair cases; do
        while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
        # shellcheck disable=SC2086 # several names
        try_without "$program" "$pair" $cases &
    done < <(awk -F '\t' '$7 == "-" { cases[$3 " " $5] = cases[$3 " " $5] " " $4 }
                           END { for (key in cases) print key cases[key] }' "$work/table")
    wait
fi
while IFS=$'\t' read -r number name program case pair shows error; do
    if [ "$error" != - ]; then
        verdict not_ok "$name" "$error"
        continue
    fi
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    $try "$number" "$name" "$program" "$case" "$pair" "$shows" &
done <"$work/table"
wait

while IFS=$'\t' read -r _ name _; do
    if [ ! -s "$work/$name.verdict" ]; then verdict not_ok "$name" "was not tried to the end"; fi
    IFS=$'\t' read -r kind _ text <"$work/$name.verdict"
    if [ -s "$work/$name.notes" ]; then note "$(cat "$work/$name.notes")"; fi
    "$kind" "$name: $text"
done <"$work/table"
finish
