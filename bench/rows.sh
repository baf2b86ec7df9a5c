# SPDX-License-Identifier: MIT
#
# rows.sh - reads gyre-bench's JSON; table.sh and plot.sh source it. Not a general parser: it relies on gyre-bench's
# layout, one object a line, members of one kind: "name": "text" or "name": number.
#
# rows FILE prints a line an object, its fields separated by tabs:
#
#     case  params  metric  unit  peer  median  min  max  runs  ratio_to_gyre  machine

export LC_ALL=C

rows() {
    awk '
        # What stands before the closing quote; \" and \\ are what they escape.
        function text_of(rest,   text, c) {
            while ((c = substr(rest, 1, 1)) != "\"" && c != "") {
                if (c == "\\") rest = substr(rest, 2)
                text = text substr(rest, 1, 1)
                rest = substr(rest, 2)
            }
            return text
        }
        function member(name,   at, rest) {
            at = index($0, "\"" name "\": ")
            if (at == 0) { print FILENAME ":" FNR ": no " name > "/dev/stderr"; exit 1 }
            rest = substr($0, at + length(name) + 4)
            if (rest ~ /^"/) return text_of(substr(rest, 2))
            sub(/[,}].*$/, "", rest)
            return rest
        }
        /^  \{/ {
            print member("case") "\t" member("params") "\t" member("metric") "\t" member("unit") "\t" member("peer") \
                "\t" member("median") "\t" member("min") "\t" member("max") "\t" member("runs") \
                "\t" member("ratio_to_gyre") "\t" member("machine")
        }' "$1"
}
