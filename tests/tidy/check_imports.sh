#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_imports.sh ROOT OBJECTS: the objects of runtime/ (OBJECTS is a file that names them, one a line) take from outside
# only what runtime-imports.txt allows: no call of I/O, time, threads or memory of the system's. That is what lets a
# simulated world stand in for the real one.

. "$(dirname "$0")/lib.sh"

while read -r object; do
    nm -u "$object" | awk -v object="$object" -v list="$root/tests/tidy/runtime-imports.txt" '
        BEGIN {
            while ((getline line < list) > 0) {
                sub(/#.*$/, "", line)
                gsub(/[ \t]/, "", line)
                if (line == "") continue
                if (sub(/\*$/, "", line)) prefixes[line] = 1
                else names[line] = 1
            }
        }
        {
            name = $2
            sub(/@.*$/, "", name)
            if (name in names) next
            for (prefix in prefixes) if (index(name, prefix) == 1) next
            file = object
            sub(/^.*\/(runtime|CMakeFiles)\//, "", file)
            printf "import\t%s\t-\t%s calls %s\n", name, file, name
        }'
done <"$2" | judge import
