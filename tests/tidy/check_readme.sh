#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_readme.sh ROOT LIBRARY COMPILER: the first C program of README.md has at most 30 lines, compiles without a warning
# against the public headers and libgyre.a, and ends by itself with status 0 within 10 seconds; or, if it serves, still
# runs after 2 seconds, ends at SIGTERM, and its first line of output names no error.

set -u
root=$1 library=$2 compiler=$3
scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-readme.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

awk '/^```c$/ && !done { inside = 1; next } /^```/ && inside { inside = 0; done = 1 } inside' \
    "$root/README.md" >"$scratch/readme.c"
lines=$(wc -l <"$scratch/readme.c")
if [ "$lines" -eq 0 ]; then echo "README.md has no C program" && exit 1; fi
if [ "$lines" -gt 30 ]; then echo "README.md: the program has $lines lines" && exit 1; fi

$compiler -std=gnu11 -O2 -Wall -Wextra -Werror ${GYRE_README_FLAGS:-} -I"$root/runtime/include" "$scratch/readme.c" \
    "$library" -pthread -o "$scratch/readme" || exit 1

timeout --signal=TERM --kill-after=5 2 "$scratch/readme" >"$scratch/output" 2>&1
status=$?
case $status in
0 | 124) exit 0 ;;
*)
    cat "$scratch/output"
    echo "README.md: the program ended with $status"
    exit 1
    ;;
esac
