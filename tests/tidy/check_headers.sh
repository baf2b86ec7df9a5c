#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_headers.sh [ROOT]: each public header compiles alone, as C11 by gcc and clang and as C++17 by g++; it includes
# only <gyre/...> and C standard headers, and defines no macro and shows no name that is not its own to take.

. "$(dirname "$0")/lib.sh"

flags="-fsyntax-only -Wall -Wextra -Wpedantic -Wundef -Werror -I$root/runtime/include"
scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-headers.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

# compiles HEADER COMPILER FLAG...: a program of nothing but the header, twice.
compiles() {
    local header=$1 output
    shift
    if ! command -v "$1" >/dev/null; then
        echo "note: $1 is not installed" >&2
        return
    fi
    if ! output=$("$@" $flags "$source" 2>&1); then
        printf 'header\t%s\t-\t%s does not compile alone: %s: %s\n' "$header" "$header" "$*" \
            "$(echo "$output" | grep -m1 -E 'error|warning' | tr '\t' ' ')"
    fi
}

{
    sources '*.h' runtime/include | while read -r header; do
        name=${header#runtime/include/}
        printf '#include <%s>\n#include <%s>\nextern int gyre_probe;\n' "$name" "$name" >"$scratch/probe.c"
        cp "$scratch/probe.c" "$scratch/probe.cpp"
        source=$scratch/probe.c
        compiles "$header" gcc -std=c11
        compiles "$header" clang -std=c11 -Wdocumentation -DGYRE_THREAD_SAFETY=1 -Wthread-safety
        source=$scratch/probe.cpp
        compiles "$header" g++ -std=c++17

        awk -v file="$header" '
            function fault(text) { printf "header\t%s\t-\t%s:%d: %s\n", file, file, FNR, text }
            BEGIN {
                standard = "^(assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|" \
                    "stdalign|stdarg|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|time|wchar|wctype)[.]h$"
            }
            /^[ \t]*#[ \t]*include/ {
                name = $0
                sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
                if (name !~ /^</) fault("includes with quotes")
                gsub(/[<>"]/, "", name)
                sub(/[ \t].*$/, "", name)
                if (name !~ /^gyre\// && name !~ standard) fault("includes <" name ">, which is not standard C")
            }
            /^[ \t]*#[ \t]*(define|undef)/ {
                name = $0
                sub(/^[ \t]*#[ \t]*(define|undef)[ \t]+/, "", name)
                if (name !~ /^GYRE_/) fault("defines a macro without the prefix: " name)
            }
            /(^|[^A-Za-z0-9_])(gyre__|GYRE__)/ { fault("names something private") }
            /_Atomic|stdatomic/ { fault("uses atomics") }
            /^(struct|enum|union)[ \t]+[A-Za-z_]/ {
                name = $2
                sub(/[^A-Za-z0-9_].*$/, "", name)
                if (name !~ /^(gyre|GYRE)_/) fault("a type without the prefix: " name)
            }
        ' "$root/$header"
    done
} | judge header
