#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_layers.sh [ROOT]: the includes of each folder name only folders that it may see. The compiler refuses most wrong
# includes by itself (probe_layers.sh shows that); this also sees "../x.h" and absolute paths.

. "$(dirname "$0")/lib.sh"

# may FOLDER PREFIX...: every quoted include of the folder's files starts with one of the prefixes, or is a file of the
# same folder; <...> includes are <gyre/...> or what the C library has for a freestanding program. "system" among the
# prefixes allows every <...>.
may() {
    local folder=$1
    shift
    sources '*.[ch]' "$folder" | (
        cd "$root" && xargs -r awk -v folder="$folder" -v allowed="$*" '
            BEGIN {
                count = split(allowed, list, " ")
                for (i = 1; i <= count; i++) may[list[i]] = 1
                pure = "^(errno|inttypes|limits|stdalign|stdarg|stdatomic|stdbool|stddef|stdint|stdio|string)[.]h$"
            }
            function fault(text) {
                printf "layer\t%s\t-\t%s:%d: %s\n", FILENAME, FILENAME, FNR, text
            }
            FNR == 1 {
                folder_of_file = FILENAME
                sub(/\/[^\/]*$/, "", folder_of_file)
            }
            /^[ \t]*#[ \t]*include/ {
                name = $0
                sub(/^[ \t]*#[ \t]*include[ \t]*/, "", name)
                system_name = name ~ /^</
                gsub(/[<>"]/, "", name)
                sub(/[ \t].*$/, "", name)
                if (name ~ /(^|\/)\.\.?(\/|$)/ || name ~ /^\//) { fault("includes by path: " name); next }
                if (system_name) {
                    if (name ~ /^gyre\// || "system" in may) next
                    if (name !~ pure) fault("a system header outside backends/: <" name ">")
                    next
                }
                top = name
                if (!sub(/\/.*$/, "", top)) {
                    if ((getline line < (folder_of_file "/" name)) < 0) fault("an include without its folder: " name)
                    close(folder_of_file "/" name)
                    next
                }
                if (!(top in may)) fault(folder "/ may not see " name)
            }'
    )
}

{
    may runtime/include
    may runtime/contract contract
    may runtime/loop contract loop
    may runtime/cores contract loop cores
    may runtime/net contract loop cores net
    may backends contract backends system
    may examples proxy system
    sources '*.[ch]' tests/contract | (cd "$root" && xargs -r grep -nEi 'epoll|kqueue|io_uring' /dev/null) |
        while IFS=: read -r file line text; do
            printf 'backend-name\t%s\t-\t%s:%d: tests/contract names a backend\n' "$file" "$file" "$line"
        done
} | judge layer backend-name
