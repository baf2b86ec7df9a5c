#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_snippets.sh [ROOT]: each ```c block of docs/*.md compiles by itself against the public headers, without a warning.
# A block whose first line is "/* excerpt of FILE */" is not compiled: each of its lines stands in FILE instead.

. "$(dirname "$0")/lib.sh"

scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-snippets.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# The blocks as files page.LINE.c, LINE being that of the block's first line in its page.
for page in "$root"/docs/*.md; do
    if [ ! -e "$page" ]; then continue; fi
    awk -v base="$scratch/$(basename "$page" .md)" '
        /^```c$/ { file = base "." (FNR + 1) ".c"; printf "" >file; next }
        /^```/ { file = "" }
        file != "" { print >file }' "$page"
done

for block in "$scratch"/*.c; do
    if [ ! -e "$block" ]; then continue; fi
    name=docs/$(basename "$block" .c | sed 's/\.\([0-9]*\)$/.md:\1/')
    source=$(sed -n '1s|^/\* excerpt of \([^ ]*\) \*/$|\1|p' "$block")
    if [ -n "$source" ]; then
        tail -n +2 "$block" | while IFS= read -r line; do
            if ! grep -qxF -- "$line" "$root/$source"; then
                printf 'snippet\t%s\t-\t%s: not in %s: %s\n' "$name" "$name" "$source" "$line"
            fi
        done
    elif ! output=$(${GYRE_CC:-cc} -std=gnu11 -Wall -Wextra -Werror -fsyntax-only -I"$root/runtime/include" "$block" 2>&1)
    then
        printf 'snippet\t%s\t-\t%s: does not compile: %s\n' "$name" "$name" "$(printf '%s' "$output" | grep -m1 error:)"
    fi
done | judge snippet
