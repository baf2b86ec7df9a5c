#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# probe_layers.sh ROOT BUILD COMPILER LAYER: shows that the build's include paths keep the layers apart. A file that
# includes a header of a folder compiles with the layer's own flags if the layer may see the folder, and not otherwise.
# The preprocessor is asked, since that is where an include is found or not. The flags are those of
# compile_commands.json, so a path that leaks in later is found too.

set -u
root=$1 build=$2 compiler=$3 layer=$4

case $layer in
loop) may="contract loop" ;;
cores) may="contract loop cores" ;;
net) may="contract loop cores net" ;;
backends) may="contract backends" ;;
*) echo "no layer $layer" >&2 && exit 2 ;;
esac

scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-layers.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

flags=$(grep -oE "\"command\": \"[^\"]*gyre_$layer\.dir/[^\"]*" "$build/compile_commands.json" | head -n 1 |
    grep -oE -- '(-I|-isystem |-D|-std=)[^ ]+')
if [ -z "$flags" ]; then
    echo "compile_commands.json has no object of gyre_$layer"
    exit 1
fi

bad=0
for folder in include contract loop cores net backends tests; do
    case $folder in
    include) name=gyre/base.h ;;
    backends) name=$(cd "$root" && ls backends/*.h 2>/dev/null | head -n 1) ;;
    tests) name=harness/plain.h ;;
    *) name=$(cd "$root/runtime" && ls "$folder"/*.h 2>/dev/null | head -n 1) ;;
    esac
    if [ -z "$name" ]; then continue; fi # a folder without headers cannot be included
    printf '#include "%s"\nextern int gyre_probe;\n' "$name" >"$scratch/probe.c"
    if output=$($compiler $flags -E -o /dev/null "$scratch/probe.c" 2>&1); then seen=yes; else seen=no; fi
    case " include $may " in *" $folder "*) wanted=yes ;; *) wanted=no ;; esac
    if [ $seen != $wanted ]; then
        echo "runtime layer $layer: \"$name\" compiles: $seen, and should: $wanted"
        if [ $seen = no ]; then echo "$output"; fi
        bad=1
    fi
done
exit $bad
