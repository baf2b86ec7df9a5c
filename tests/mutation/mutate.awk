# SPDX-License-Identifier: MIT
#
# mutate.awk - writes copies of sources in which each fault of faults.txt is a choice at run time.
#
#     awk -v root=ROOT -v out=DIRECTORY -f mutate.awk faults.txt
#
# A fault's text is wrapped where it stands, and its replacement put before it on the same line, so that lines keep their
# numbers:
#
#     text that ends in ; or }    { if (gyre_mutant == 7) { replacement } else { text } }
#     any other text              (gyre_mutant == 7 ? (replacement) : (text))
#
# One fault's text may lie within another's; else no two may overlap. Prints a line a fault, of fields separated by tabs:
#
#     NUMBER  NAME  PROGRAM  CASE  PAIR  SHOWS  ERROR
#
# with "-" where there is none. An ERROR (its text is not there exactly once, say) means that the fault is in no
# copy. Exits with 1 if there was one.

function begin(name) {
    count++
    names[count] = name
    files[count] = file
    tests[count] = shows[count] = "-"
    pairs[count] = "epoll+eventfd"
    if (name in known) error(count, "there are two faults of this name")
    known[name] = 1
}

function error(fault, text) {
    if (!(fault in errors)) errors[fault] = text
}

function joined(before, line, between) { return before == "" ? line : before between line }

/^[ \t]*(#|$)/ { next }
/^-/ { texts[count] = joined(texts[count], substr($0, 2), "\n"); next }
/^[+]/ {
    line = substr($0, 2)
    sub(/^ +/, "", line)
    replacements[count] = joined(replacements[count], line, " ")
    next
}
$1 == "file" { file = $2; next }
$1 == "fault" { begin($2); next }
$1 == "test" { tests[count] = $2; next }
$1 == "on" { pairs[count] = $2; next }
$1 == "shows" { shows[count] = $2; next }
{ error(count, "faults.txt:" FNR ": not understood: " $0) }

function read_whole(path,    line, content) {
    content = ""
    while ((getline line < path) > 0) content = content line "\n"
    close(path)
    return content
}

# Finds the place of a fault's text in its file.
function place(fault, content,    at) {
    at = texts[fault] == "" ? 0 : index(content, texts[fault])
    if (at == 0) {
        error(fault, files[fault] " does not have its text (any more)")
    } else if (index(substr(content, at + 1), texts[fault]) != 0) {
        error(fault, files[fault] " has its text more than once")
    }
    starts[fault] = at
    ends[fault] = at + length(texts[fault])
}

function overlaps(a, b) {
    return starts[a] < starts[b] && starts[b] < ends[a] && ends[a] < ends[b]
}

function wrap(fault,    choice, original) {
    choice = "gyre_mutant == " fault
    if (texts[fault] ~ /[;}]$/) {
        before[starts[fault]] = before[starts[fault]] "{ if (" choice ") { " replacements[fault] " } else {"
        after[ends[fault]] = " } }" after[ends[fault]]
    } else {
        before[starts[fault]] = before[starts[fault]] "(" choice " ? (" replacements[fault] ") : ("
        after[ends[fault]] = "))" after[ends[fault]]
    }
}

# The fault of the file with the longest text, of those that are not wrapped yet; 0: there is none. What encloses
# another comes first.
function longest(name,    fault, found) {
    found = 0
    for (fault = 1; fault <= count; fault++) {
        if (files[fault] == name && !(fault in errors) && !(fault in wrapped) &&
            (found == 0 || length(texts[fault]) > length(texts[found])))
            found = fault
    }
    return found
}

function write(name, content,    path, at) {
    path = out "/" name
    printf "extern int gyre_mutant;\n#line 1 \"%s\"\n", name > path
    for (at = 1; at <= length(content) + 1; at++) {
        if (at in after) printf "%s", after[at] > path
        if (at in before) printf "%s", before[at] > path
        printf "%s", substr(content, at, 1) > path
    }
    close(path)
}

function mutate(name,    content, a, b) {
    content = read_whole(root "/" name)
    split("", before)
    split("", after)
    for (a = 1; a <= count; a++) if (files[a] == name) place(a, content)
    for (a = 1; a <= count; a++) {
        for (b = 1; b <= count; b++) {
            if (files[a] == name && files[b] == name && starts[a] * starts[b] > 0 && overlaps(a, b))
                error(b, "its text overlaps that of " names[a])
        }
    }
    while ((a = longest(name)) != 0) {
        wrap(a)
        wrapped[a] = 1
    }
    write(name, content)
}

END {
    for (i = 1; i <= count; i++) {
        if (replacements[i] == "" && texts[i] !~ /[;}]$/) error(i, "an expression needs a replacement")
        if (tests[i] !~ /^[a-z_]+\/[A-Za-z0-9_]+$/) error(i, "it needs a test: program/case")
        if (shows[i] !~ /^(-|crash|hang)$/) error(i, "it may show a crash or a hang, and nothing else")
        if (files[i] in done) continue
        mutate(files[i])
        done[files[i]] = 1
    }
    for (i = 1; i <= count; i++) {
        split(tests[i], test, "/")
        printf "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", i, names[i], test[1], test[2], pairs[i], shows[i],
            i in errors ? errors[i] : "-"
        bad = bad || i in errors
    }
    exit bad
}
