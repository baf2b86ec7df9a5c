#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_exports.sh ROOT LIBRARY [--update]: libgyre.so exports exactly what exports.txt lists, so that every change of the
# interface shows as a change of that file; and exports.txt agrees with the public headers. --update rewrites the list.
# Also what the library must be: its SONAME, never unloaded, no text relocations, nothing needed but the C library.

. "$(dirname "$0")/lib.sh"
library=$2
list=$root/tests/tidy/exports.txt

exported() { nm -D --defined-only "$library" | awk '$2 != "A" { sub(/@.*$/, "", $3); print $3 }' | sort; }

declared() {
    sources '*.h' runtime/include | (
        cd "$root" && xargs -r awk '
            /^GYRE_API/ { text = ""; collecting = 1 }
            collecting {
                text = text " " $0
                if ($0 ~ /;[ \t]*$/) {
                    collecting = 0
                    sub(/\(.*$/, "", text); sub(/[ \t;].*;$/, "", text); sub(/^.*[^A-Za-z0-9_]/, "", text)
                    print text
                }
            }'
    ) | sort -u
}

if [ "${3:-}" = --update ]; then
    {
        echo '# What libgyre.so exports. Written by tests/tidy/check_exports.sh --update; review each change of it as a'
        echo '# change of the interface.'
        exported
    } >"$list"
    echo "exports.txt: $(exported | wc -l) symbols"
fi

differ() { # KIND TEXT FILE FILE: names that only the first file has
    comm -23 "$3" "$4" | while read -r name; do printf '%s\t%s\t-\t%s %s\n' "$1" "$name" "$name" "$2"; done
}

scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-exports.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
exported >"$scratch/exported"
declared >"$scratch/declared"
grep -v '^#' "$list" | sort >"$scratch/listed"
{
    differ export 'is exported, and not in exports.txt' "$scratch/exported" "$scratch/listed"
    differ export 'is in exports.txt, and not exported' "$scratch/listed" "$scratch/exported"
    differ export 'is exported, and in no public header' "$scratch/exported" "$scratch/declared"
    differ export 'is in a public header, and not exported' "$scratch/declared" "$scratch/exported"

    dynamic=$(readelf -dW "$library")
    fault() { printf 'library\t%s\t-\t%s: %s\n' "$1" "${library##*/}" "$2"; }
    echo "$dynamic" | grep -q 'SONAME.*\[libgyre\.so\.0\]' || fault soname 'the SONAME is not libgyre.so.0'
    echo "$dynamic" | grep -q 'FLAGS_1.*NODELETE' || fault nodelete 'can be unloaded: -z nodelete is missing'
    echo "$dynamic" | grep -q 'TEXTREL' && fault textrel 'has text relocations'
    echo "$dynamic" | grep NEEDED | grep -vE '\[(libc\.so\.6|ld-linux-[^]]*)\]' |
        while read -r line; do fault needed "needs ${line##*: }"; done
    version=$(sed -n 's/^project(gyre VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
    header=$(awk '/#define GYRE_VERSION_(MAJOR|MINOR|PATCH) / { printf "%s%s", dot, $3; dot = "." }' \
        "$root/runtime/include/gyre/base.h")
    [ "$version" = "$header" ] || fault version "CMakeLists.txt says $version, base.h says $header"
} | judge export library
