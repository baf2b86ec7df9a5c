#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# quickstart.sh: examples/quickstart.sh as a new user runs it, but with the programs of this build.

set -u
. "$(dirname "$0")/../harness/tap.sh"
use_scratch
quickstart=$GYRE_SOURCE_DIR/examples/quickstart.sh
export GYRE_QUICKSTART_BUILD=$GYRE_BUILD_DIR
log=$tap_scratch/log
pid=''
trap 'if [ -n "$pid" ]; then kill -TERM "$pid" 2>/dev/null; fi; tap_cleanup' EXIT

# No program of ours is left: both were named by their paths below the build's directory.
nothing_left() {
    local left
    left=$(grep -lzF "$tap_scratch/build" /proc/[0-9]*/cmdline 2>/dev/null)
    [ -z "$left" ] || { echo "left: $left"; return 1; }
}
# A path of our own to the same programs, to tell them from those of other tests.
ln -s "$GYRE_BUILD_DIR" "$tap_scratch/build"
GYRE_QUICKSTART_BUILD=$tap_scratch/build

if command -v wrk >/dev/null; then
    checks() {
        timeout 80 "$quickstart" --check >"$log" 2>&1 || { cat "$log"; return 1; }
        tail -n 1 "$log" | grep -q '^quickstart: OK: [1-9][0-9]* requests, 0 errors, [1-9][0-9]* loops, each served some$' &&
            grep -q '^HTTP/1.1 200 OK' "$log" && grep -q '^loop 0: [1-9]' "$log"
    }
    check "--check is content" checks
    check "--check leaves nothing running" nothing_left
else
    skip "--check is content" "wrk is not installed"
    skip "--check leaves nothing running" "wrk is not installed"
fi

# In a group of its own, with SIGINT as a terminal's job has it: a script's background jobs ignore it.
: >"$log"
setsid env --default-signal=INT "$quickstart" >>"$log" 2>&1 &
pid=$!
tries=0
while [ "$(grep -c '^loop=0 ' "$log")" -lt 2 ] && [ $tries -lt 300 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
url=$(sed -n 's/^quickstart: serving \([^ ]*\) .*/\1/p' "$log")
check "it shows a request and prints live lines" grep -q '^loop=0 ' "$log"
check "it serves at the URL that it prints" curl --silent --fail --max-time 10 "$url"
kill -INT -- "-$pid" # Ctrl-C: the whole group gets it
wait "$pid"
check "Ctrl-C ends it with 0" test $? -eq 0
pid=''
check "it ends with one clear line" grep -qx 'quickstart: stopped' <(tail -n 1 "$log")
check "it leaves nothing running" nothing_left
refuse "an unknown argument is refused" "$quickstart" --fast
finish
