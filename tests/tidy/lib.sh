# SPDX-License-Identifier: MIT
#
# lib.sh - what the tidy checks share. Each check is a program: check_x.sh [ROOT] prints what it finds and exits 1 if
# that is anything. A finding is one line of four fields, separated by tabs:
#
#     KIND  SUBJECT  VALUE  TEXT
#
# `judge KIND...` reads findings, takes away those that exceptions.txt grants (same kind and subject, and a value that is
# at most the one granted, where the value is a number), and adds a finding for each exception that nothing needs.

export LC_ALL=C # awk and grep count bytes, and sort alike everywhere
root=${1:-${GYRE_SOURCE_DIR:-$(cd "$(dirname "$0")/../.." && pwd)}}
here=$(cd "$(dirname "$0")" && pwd)

# sources PATTERN DIRECTORY...: files below the root's directories, as paths from the root. A folder that is
# not there (a user's copy without benches, say) has none.
sources() {
    local pattern=$1 directory there=()
    shift
    for directory in "$@"; do
        if [ -d "$root/$directory" ]; then there+=("$directory"); fi
    done
    if [ ${#there[@]} -eq 0 ]; then return; fi
    (cd "$root" && find "${there[@]}" -type f -name "$pattern" | sort)
}

# All C of the project.
c_files() { sources '*.[ch]' runtime backends examples tests bench; }

judge() {
    awk -v kinds="$*" -v exceptions="$root/tests/tidy/exceptions.txt" '
        BEGIN {
            count = split(kinds, list, " ")
            for (i = 1; i <= count; i++) mine[list[i]] = 1
            while ((getline line < exceptions) > 0) {
                if (line ~ /^[ \t]*(#|$)/) continue
                words = split(line, word, /[ \t]+/)
                if (!(word[1] in mine)) continue
                key = word[1] "\t" word[2]
                granted[key] = word[3]
                if (words < 5) {
                    print "exceptions.txt: " word[1] " " word[2] ": an exception needs a reason of at least two words"
                    bad = 1
                }
            }
            FS = "\t"
        }
        {
            key = $1 "\t" $2
            if (key in granted && (granted[key] == "-" || $3 + 0 <= granted[key] + 0)) {
                used[key] = 1
                next
            }
            print $4 (key in granted ? " (" granted[key] " was granted)" : "") "  [" $1 "]"
            bad = 1
            used[key] = 1
        }
        END {
            for (key in granted) {
                if (key in used) continue
                split(key, part, "\t")
                print "exceptions.txt: nothing needs " part[1] " " part[2] " any more: remove the line"
                bad = 1
            }
            exit bad
        }'
}
