#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_source.sh [ROOT]: what every source file keeps to, whatever it does: licence line, opening comment, no unfinished
# or dead code, explicit atomics, names, white space; and that the build knows it.

. "$(dirname "$0")/lib.sh"

# listed FOLDER FILE: whether FILE, or its name without .c, stands as a word in the folder's CMakeLists.txt or tests/'s.
declare -A words read_words
listed() {
    local folder=$1 file=$2 list word
    for list in "$root/$folder/CMakeLists.txt" "$root/tests/CMakeLists.txt"; do
        if [ -z "${read_words[$list]:-}" ] && [ -e "$list" ]; then
            for word in $(grep -oE '[A-Za-z0-9_.-]+' "$list" | sort -u); do
                words[$list:${word%%[.-]*}]=1
                words[$list:$word]=1
            done
        fi
        read_words[$list]=1
        [ -n "${words[$list:$file]:-}" ] && return 0
        if [ "$folder" = . ]; then return 1; fi
        [ -n "${words[$list:${file%.c}]:-}" ] && return 0
    done
    return 1
}

{
    (cd "$root" && c_files | xargs -r awk '
        function fault(kind, text) { printf "%s\t%s\t-\t%s:%d: %s\n", kind, FILENAME, FILENAME, FNR, text }
        BEGIN {
            atomics = "(load|store|exchange|compare_exchange_(weak|strong)|fetch_(add|sub|or|xor|and)|flag_(test_and_set|clear))"
        }
        FNR == 1 { begun[FILENAME] = 1 }
        FNR == 1 && $0 != "/* SPDX-License-Identifier: MIT */" { fault("spdx", "the licence line is missing") }
        FNR == 2 { begun[FILENAME] = 2 }
        FNR == 2 && $0 !~ /^\/\*/ { fault("opening", "the file does not open with a comment that says what it is") }
        /(^|[^A-Za-z_])(TODO|FIXME|XXX)([^A-Za-z_]|$)/ { fault("unfinished", "unfinished work in a comment") }
        /^[ \t]*#[ \t]*if[ \t]+(0|false)([^0-9A-Za-z_]|$)/ { fault("dead-code", "code switched off") }
        /^[ \t]*#[ \t]*include[ \t]+[<"][^>"]*\.c[>"]/ { fault("include-c", "includes a .c file") }
        /\t/ { fault("tab", "a tab") }
        /[ \r]$/ { fault("trailing-space", "white space at the end of the line") }
        /(^|[^A-Za-z_])typedef[ \t]+(struct|enum|union)([^A-Za-z_]|$)/ && $0 !~ /\(/ {
            fault("typedef", "a typedef for a struct or enum")
        }
        $0 ~ "(^|[^A-Za-z_0-9])atomic_" atomics "[ \t]*\\(" { fault("atomic", "an atomic without _explicit") }
        END {
            for (i = 1; i < ARGC; i++)
                if (begun[ARGV[i]] < 2) printf "opening\t%s\t-\t%s:1: an empty file\n", ARGV[i], ARGV[i]
        }
    ')
    sources '*.h' runtime/contract runtime/loop runtime/cores runtime/net runtime/observe backends tests bench |
        while read -r file; do
            case ${file##*/} in
            assert.h | complex.h | ctype.h | errno.h | fenv.h | float.h | inttypes.h | iso646.h | limits.h | locale.h | \
                math.h | setjmp.h | signal.h | stdalign.h | stdarg.h | stdatomic.h | stdbool.h | stddef.h | stdint.h | \
                stdio.h | stdlib.h | stdnoreturn.h | string.h | tgmath.h | threads.h | time.h | uchar.h | wchar.h | \
                wctype.h | poll.h | sched.h | unistd.h | pthread.h | features.h)
                printf 'standard-name\t%s\t-\t%s: a header with a standard name\n' "$file" "$file"
                ;;
            esac
        done
    {
        sources '*.sh' runtime backends examples tests bench
        sources 'CMakeLists.txt' tests bench
        echo CMakeLists.txt
    } | (cd "$root" && xargs -r awk '
        FNR <= 2 && $0 == "# SPDX-License-Identifier: MIT" { licensed[FILENAME] = 1 }
        END {
            for (i = 1; i < ARGC; i++)
                if (!(ARGV[i] in licensed)) printf "spdx\t%s\t-\t%s:1: the licence line is missing\n", ARGV[i], ARGV[i]
        }
    ')
    sources '*.c' runtime backends examples | while read -r file; do
        if ! listed . "${file##*/}"; then
            printf 'unlisted\t%s\t-\t%s is not in CMakeLists.txt\n' "$file" "$file"
        fi
    done
    sources '*.c' tests bench | while read -r file; do
        if ! listed "${file%/*}" "${file##*/}"; then
            printf 'unlisted\t%s\t-\t%s is in no CMakeLists.txt\n' "$file" "$file"
        fi
    done
} | judge unlisted spdx opening unfinished dead-code include-c tab trailing-space typedef atomic standard-name
