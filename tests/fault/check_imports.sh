#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_imports.sh OBJECTS: each function that the objects of backends/ (OBJECTS is a file that names them, one a line)
# take from the C library stands in imports.txt, either as one that the tests make fail or with a reason why not. So a
# new call of the system's cannot escape.

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../harness/tap.sh"
use_scratch
objects=$1

# Lines of "NAME" that imports.txt, $2, does not have; of the names in $1.
missing() {
    awk 'NR == FNR { if ($1 != "" && $1 !~ /^#/) known[$1] = 1; next } !($1 in known) { print $1 }' "$2" "$1"
}

imports_are_listed() {
    local list
    list=$(missing "$tap_scratch/imports" "$1")
    if [ -n "$list" ]; then
        echo "in no line of imports.txt:" $list
        return 1
    fi
}

entries_have_reasons() { ! grep -vE '^(#.*|[A-Za-z_0-9]+ +[^ ].*)?$' "$here/imports.txt"; }

while read -r object; do
    nm -u "$object"
done <"$objects" | awk '{ sub(/@.*$/, "", $2); print $2 }' |
    grep -vE '^(gyre_|__errno_location$|_GLOBAL_OFFSET_TABLE_$|__stack_chk_fail$)' | sort -u >"$tap_scratch/imports"

check "the objects import something" test -s "$tap_scratch/imports"
check "each import of backends/ is wrapped, or has a reason" imports_are_listed "$here/imports.txt"
check "each entry says wrapped, or a reason" entries_have_reasons

grep -v '^accept4 ' "$here/imports.txt" >"$tap_scratch/without"
refuse "a call that is missing in the list is found" imports_are_listed "$tap_scratch/without"

finish
