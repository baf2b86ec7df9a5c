#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_docs.sh [ROOT]: the pages name only what exists. A gyre_name or GYRE_NAME of README.md and docs/*.md stands in a
# public header, an example or the build; a gyre__name in the library's own files; gyre_x_* matches something; a link to
# a file leads to one. docs/decisions/ is history and may name what is gone.

. "$(dirname "$0")/lib.sh"

words() { # of the files named on standard input: every identifier, once
    (cd "$root" && xargs -r cat) | grep -oE '[A-Za-z_][A-Za-z0-9_]*' | sort -u
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
    (cd "$root" && awk -v public="$scratch/public" -v all="$scratch/all" '
        function exists(name, among,    word) {
            if (name !~ /(_|\*)$/) return name in among
            sub(/\*$/, "", name)
            for (word in among) if (index(word, name) == 1) return 1
            return 0
        }
        BEGIN {
            while ((getline word <public) > 0) known_public[word] = 1
            while ((getline word <all) > 0) known[word] = 1
        }
        FNR == 1 { split("", told) }
        {
            rest = $0
            while (match(rest, /(gyre_|GYRE_)[A-Za-z0-9_]*\*?/)) {
                name = substr(rest, RSTART, RLENGTH)
                part = RSTART > 1 && substr(rest, RSTART - 1, 1) ~ /[A-Za-z0-9_]/ # of a longer word
                rest = substr(rest, RSTART + RLENGTH)
                if (part || name in told) continue
                told[name] = 1
                if (name ~ /^(gyre__|GYRE_)/ ? exists(name, known) : exists(name, known_public)) continue
                printf "docs-name\t%s\t-\t%s:%d: %s does not exist\n", name, FILENAME, FNR, name
            }
        }' $pages)
    (cd "$root" && grep -noE '\]\([^)#: ]+' $pages /dev/null) | sed 's/\](//' |
        while IFS=: read -r page line target; do
            case $page in */*) folder=${page%/*} ;; *) folder=. ;; esac
            if [ ! -e "$root/$folder/$target" ]; then
                printf 'docs-link\t%s\t-\t%s:%d: no file %s\n' "$target" "$page" "$line" "$target"
            fi
        done
} | judge docs-name docs-link
