#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_docs.sh [ROOT]: the pages name only what exists. A gyre_name or GYRE_NAME of README.md and docs/*.md stands in a
# public header, an example or the build; a gyre__name in the library's own files; gyre_x_* matches something; a link to
# a file leads to one. docs/decisions/ is history and may name what is gone.

. "$(dirname "$0")/lib.sh"

words() { # of the files named on standard input: every identifier, once
    while read -r file; do cat "$root/$file"; done | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-docs.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

pages=$(cd "$root" && ls README.md CHANGELOG.md SECURITY.md docs/*.md 2>/dev/null)
{
    sources '*.h' runtime/include
    sources '*.[ch]' examples
    (cd "$root" && ls CMakeLists.txt tests/CMakeLists.txt bench/CMakeLists.txt 2>/dev/null)
} | words >"$scratch/public"
{
    sources '*.[ch]' runtime backends tests bench
    sources '*.sh' tests examples
} | words | grep -E '^(gyre__|GYRE_)' | cat - "$scratch/public" | sort -u >"$scratch/all"

{
    for page in $pages; do
        grep -noE '\b(gyre_|GYRE_)[A-Za-z0-9_]*\*?' "$root/$page" | sort -u -t: -k2 | while IFS=: read -r line name; do
            list=$scratch/public
            case $name in gyre__* | GYRE_*) list=$scratch/all ;; esac
            case $name in
            *_ | *\*) grep -q "^${name%\*}" "$list" && continue ;;
            *) grep -qx "$name" "$list" && continue ;;
            esac
            printf 'docs-name\t%s\t-\t%s:%d: %s does not exist\n' "$name" "$page" "$line" "$name"
        done
        grep -noE '\]\([^)#: ]+' "$root/$page" | sed 's/\](//' | while IFS=: read -r line target; do
            if [ ! -e "$root/$(dirname "$page")/$target" ]; then
                printf 'docs-link\t%s\t-\t%s:%d: no file %s\n' "$target" "$page" "$line" "$target"
            fi
        done
    done
} | judge docs-name docs-link
