#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# table.sh FILE.json [PAGE.md]: the figures of a run of gyre-bench as Markdown tables, one for each case and set of
# parameters; into PAGE between its lines <!-- figures --> and <!-- end of figures -->, else to standard output.

set -euo pipefail
. "$(dirname "$0")/rows.sh"

if [ $# -lt 1 ] || [ $# -gt 2 ]; then
    echo "usage: table.sh FILE.json [PAGE.md]" >&2
    exit 2
fi

# Digits that can mean something: as many as gyre-bench prints.
tables() {
    rows "$1" | awk -F '\t' '
        function number(value,   size) {
            if (value == "null") return "-"
            size = value < 0 ? -value : value
            if (size >= 1000) return sprintf("%.0f", value)
            if (size >= 10) return sprintf("%.1f", value)
            return sprintf(size >= 0.1 || size == 0 ? "%.2f" : "%.2g", value)
        }
        function head(   i, line, rule, text) {
            line = "| |"; rule = "|---|"
            for (i = 1; i <= metrics; i++) {
                text = unit[metric[i]] == metric[i] "/op" ? metric[i] : metric[i] ", " unit[metric[i]]
                line = line " " text " | to gyre |"
                rule = rule "---:|---:|"
            }
            print line; print rule
        }
        function flush(   i, j, line, key) {
            if (group == "") return
            printf "\n### %s\n\n", group
            head()
            for (i = 1; i <= peers; i++) {
                line = "| " peer[i] " |"
                for (j = 1; j <= metrics; j++) {
                    key = peer[i] SUBSEP metric[j]
                    line = line (key in cell ? cell[key] : " | |")
                }
                print line
            }
            split("", cell); split("", known); split("", unit); peers = metrics = 0
        }
        NR == 1 { printf "Measured on: %s. Each figure is the median (least to greatest).\n", $11 }
        {
            name = $1 ($2 == "" ? "" : ", " $2)
            if (name != group) { flush(); group = name }
            if (!(("peer " $5) in known)) { known["peer " $5]; peer[++peers] = $5 }
            if (!(("metric " $3) in known)) { known["metric " $3]; metric[++metrics] = $3; unit[$3] = $4 }
            cell[$5, $3] = " " number($6) ($7 == $8 ? "" : " (" number($7) " to " number($8) ")") " | " number($10) " |"
        }
        END { flush() }'
}

if [ $# -eq 1 ]; then
    tables "$1"
    exit
fi

page=$2
scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-table.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
tables "$1" >"$scratch/tables"
awk -v tables="$scratch/tables" '
    /^<!-- end of figures -->$/ { inside = 0; ended = 1 }
    !inside { print }
    /^<!-- figures -->$/ {
        while ((getline line < tables) > 0) print line
        print ""
        inside = 1
    }
    END { exit !ended || inside }' "$page" >"$scratch/page" || {
    echo "table.sh: $page lacks the lines <!-- figures --> and <!-- end of figures -->" >&2
    exit 1
}
cat "$scratch/page" >"$page"
