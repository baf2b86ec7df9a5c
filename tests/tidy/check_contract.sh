#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_contract.sh [ROOT]: each rule of docs/contract.md that is not marked *(not yet)* has a test whose name carries its
# number (T37_..., or several: T57_T108_...), each such test asserts twice at least, and no test carries a number that is
# no rule's.
#
# A test is a GYRE_TEST, a Test or a "static void T37_...", of the folders below. Its assertions are those of its body (to
# the brace in the first column), and those of the functions of its own file that the body names. Of another file they
# count only if its name begins with assert_ or check_: those of a helper that sets things up say nothing about the rule.

. "$(dirname "$0")/lib.sh"

# What the contract says: "built T37" or "later T70" a rule.
rules() {
    awk '
        function tell(    number) {
            while (match(names, /[*][*]T[0-9]+[a-z]?[*][*]/)) {
                number = substr(names, RSTART + 2, RLENGTH - 4)
                print (text ~ /[*]\(not yet\)[*]/ ? "later" : "built"), number
                names = substr(names, RSTART + RLENGTH)
            }
            names = text = ""
        }
        /^- [*][*]T/ {
            tell()
            names = $0
        }
        /^(#|$)/ { tell() }
        names != "" { text = text " " $0 }
        END { tell() }' "$root/docs/contract.md"
}

# What the tests have: "FILE TEST ASSERTIONS" each, of the files named.
tests() {
    (cd "$root" && awk '
        function is_test(line) { return line ~ /^(GYRE_TEST|Test)\(/ || line ~ /^static void T[0-9]/ }
        function name_in(line) {
            if (line ~ /^(GYRE_TEST|Test)\(/) {
                sub(/^[^,]*, */, "", line)
                sub(/\).*/, "", line)
            } else {
                sub(/\(.*/, "", line)
                sub(/.*[^A-Za-z0-9_]/, "", line)
            }
            return line
        }
        /^[A-Za-z_].*\(/ && !inside { # of a function on several lines the first has its name
            name = name_in($0)
            test = is_test($0)
        }
        /^\{/ {
            inside = 1
            at = FILENAME " " name
            files_of[name] = files_of[name] " " FILENAME
            if (test && name ~ /^T[0-9]/) order[++count] = at
        }
        /^\}/ { inside = 0 }
        inside {
            line = $0
            own[at] += gsub(/(cr_assert[a-z_]*|CHECK[A-Z_]*)\(/, "(", line)
            gsub(/"[^"]*"/, "", line)
            gsub(/[^A-Za-z0-9_]+/, " ", line)
            body[at] = body[at] line
        }
        # The assertions of a function, and of those that it names; each function once.
        function total(at,    file, words, n, i, sum, other) {
            seen[at] = 1
            sum = own[at]
            file = at
            sub(/ .*/, "", file)
            n = split(body[at], words, " ")
            for (i = 1; i <= n; i++) {
                other = file " " words[i]
                if (!(other in body) && words[i] ~ /^(assert|check)_/) other = abroad(words[i], file)
                if (other in body && !(other in seen)) sum += total(other)
            }
            return sum
        }
        # The function of that name in a file of the same folder.
        function abroad(name, file,    list, n, i, folder, other) {
            folder = file
            sub(/[^\/]*$/, "", folder)
            n = split(files_of[name], list, " ")
            for (i = 1; i <= n; i++) {
                other = list[i]
                sub(/[^\/]*$/, "", other)
                if (other == folder) return list[i] " " name
            }
            return ""
        }
        END {
            for (t = 1; t <= count; t++) {
                split("", seen)
                print order[t], total(order[t])
            }
        }' "$@")
}

{
    rules
    # shellcheck disable=SC2046 # names of files have no spaces here
    tests $(sources '*.c' tests/contract tests/net tests/cores tests/stress tests/unit)
} | awk '
    NF == 2 { rule[$2] = $1; ruled[++rules] = $2 }
    NF == 3 {
        tokens = split($2, token, "_")
        for (i = 1; i <= tokens && token[i] ~ /^T[0-9]+[a-z]?$/; i++) {
            tested[token[i]] = 1
            if (!(token[i] in rule))
                printf "rule-unknown\t%s\t-\t%s: %s: docs/contract.md has no rule %s\n", token[i], $1, $2, token[i]
        }
        if ($3 < 2) printf "rule-thin\t%s:%s\t-\t%s: %s asserts %d times, and should twice\n", $1, $2, $1, $2, $3
    }
    END {
        if (rules == 0) print "rule-untested\tdocs/contract.md\t-\tdocs/contract.md has no rules"
        for (i = 1; i <= rules; i++) {
            if (rule[ruled[i]] == "built" && !(ruled[i] in tested))
                printf "rule-untested\t%s\t-\tdocs/contract.md: %s has no test\n", ruled[i], ruled[i]
        }
    }' | judge rule-untested rule-thin rule-unknown
