#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_sizes.sh [ROOT]: files of at most 600 lines, functions of at most 70, lines of at most 100 columns. A function is
# what stands between a "{" and a "}" in the first column; one whose brace ends its first line is a finding.

. "$(dirname "$0")/lib.sh"

(cd "$root" && c_files | xargs -r awk '
    function fault(kind, subject, value, line, text) {
        printf "%s\t%s\t%d\t%s:%d: %s\n", kind, subject, value, file, line, text
    }
    function end_file() {
        if (lines > 600) fault("file-length", file, lines, lines, lines " lines")
    }
    FNR == 1 {
        end_file()
        file = FILENAME
        inside = 0
    }
    {
        lines = FNR
        columns = $0
        gsub(/[\200-\277]/, "", columns) # the later bytes of a UTF-8 character
        if (length(columns) > 100)
            fault("line-length", file, length(columns), FNR, length(columns) " columns")
    }
    /^[A-Za-z_].*\)[ \t]*\{$/ && !/^(do|else|extern)/ && !inside {
        fault("brace", file, 0, FNR, "a function whose brace is not on a line of its own")
    }
    /^[A-Za-z_].*\(/ && !inside {
        name = $0
        sub(/\(.*$/, "", name)
        sub(/^.*[^A-Za-z_0-9]/, "", name)
    }
    /^\{/ { inside = 1; start = FNR }
    /^\}/ && inside {
        inside = 0
        if (FNR - start - 1 > 70)
            fault("function-length", file ":" name, FNR - start - 1, start, name " has " (FNR - start - 1) " lines")
    }
    END { end_file() }
') | judge line-length brace function-length file-length
