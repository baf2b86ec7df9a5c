#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_labels.sh [ROOT]: each exported prototype stands under a comment of its own, whose labels come from the list, in
# the list's order, with at least "Threads:", and "Errors:" where it returns int; and the prototype ends in its role.

. "$(dirname "$0")/lib.sh"

sources '*.h' runtime/include | while read -r file; do
    awk -v file="$file" '
        function fault(kind, text) { printf "%s\t%s\t-\t%s:%d: %s\n", kind, name, file, line, text }
        BEGIN { count = split("Threads Blocks Order Lifetime Errors Limits", order, " ") }

        /^\/\*/ { comment = ""; in_comment = 1 }
        in_comment { comment = comment $0 "\n"; if ($0 ~ /\*\/[ \t]*$/) in_comment = 0; next }
        /^[ \t]*$/ { comment = "" }

        /^GYRE_API/ { prototype = ""; collecting = 1; line = FNR }
        collecting {
            prototype = prototype " " $0
            if ($0 ~ /;[ \t]*$/) { collecting = 0; judge_prototype(); comment = "" }
            next
        }

        function judge_prototype(   returns, rest, i, at, last) {
            name = prototype
            sub(/\(.*$/, "", name)
            returns = name
            sub(/^.*[^A-Za-z0-9_]/, "", name)
            sub(/[A-Za-z0-9_]*$/, "", returns)
            gsub(/GYRE_API|GYRE_MUST_CHECK|GYRE_PRINTF\([^)]*\)/, "", returns)
            gsub(/[ \t]+/, " ", returns)
            sub(/^ /, "", returns); sub(/ $/, "", returns)

            if (comment == "") { fault("undocumented", name " has no comment"); return }
            last = 0
            for (i = 1; i <= count; i++) {
                at = index(comment, "\n * " order[i] ":")
                if (at == 0) {
                    if (order[i] == "Threads") fault("threads-label", name ": no \"Threads:\"")
                    if (order[i] == "Errors" && returns == "int") fault("errors-label", name ": no \"Errors:\"")
                    continue
                }
                if (at < last) fault("label-order", name ": \"" order[i] ":\" is out of order")
                last = at
            }
            # The result of a clean-up may be dropped: there is nothing left to do about it.
            cleanup = name ~ /_(stop|close|join|cancel|remove)(_[a-z]+)?$/
            if (returns == "int" && comment ~ /\n \* Errors:/ && prototype !~ /GYRE_MUST_CHECK/ && !cleanup)
                fault("must-check", name ": has errors, and is not GYRE_MUST_CHECK")
            if (prototype !~ /GYRE_(ON_LOOP|ANY_THREAD|OFF_LOOP)/)
                fault("role", name ": ends in no role (GYRE_ON_LOOP, GYRE_ANY_THREAD, GYRE_OFF_LOOP)")
        }
    ' "$root/$file"
done | judge undocumented threads-label errors-label label-order must-check role
