#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# proxy_options.sh: what gyre-proxy says to its command line. Every mistake is one line on standard error that names the
# culprit, with status 2, and nothing on standard output.

set -u
. "$(dirname "$0")/serve.sh"
proxy=$programs/gyre-proxy
origin=$programs/http_hello

# wrong CULPRIT ARGUMENT...
wrong() {
    local culprit=$1 status
    shift
    timeout 20 "$proxy" "$@" >"$tap_scratch/out" 2>"$tap_scratch/err"
    status=$?
    cat "$tap_scratch/err" "$tap_scratch/out"
    [ $status -eq 2 ] && [ "$(wc -l <"$tap_scratch/err")" -eq 1 ] && ! [ -s "$tap_scratch/out" ] &&
        grep -qF -- "$culprit" "$tap_scratch/err" && grep -q '^[^ ]*gyre-proxy: ' "$tap_scratch/err"
}

up=127.0.0.1:9
both="--listen 127.0.0.1:0 --upstream $up"
check "an unknown option is named" wrong --colour $both --colour red
check "an argument that is no option is named" wrong extra $both extra
check "a missing value is named" wrong listen --upstream $up --listen
check "a missing --listen is named" wrong --listen --upstream $up
check "a missing --upstream is named" wrong --upstream --listen 127.0.0.1:0
check "an empty upstream in a list is named" wrong --upstream --listen 127.0.0.1:0 --upstream "$up,,$up"
check "0 loops are refused" wrong '--loops 0' $both --loops 0
check "a number with a unit is refused" wrong '--connect-timeout 5s' $both --connect-timeout 5s
check "a negative number is refused" wrong '--idle-timeout -1' $both --idle-timeout -1
check "a number without digits is refused" wrong '--stats-interval' $both --stats-interval ''
check "a number past every type is refused" wrong '--loops 99999999999999999999999' $both --loops 99999999999999999999999
check "an unknown backend is named" wrong '--backend carrier-pigeon' $both --backend carrier-pigeon
check "the backends that exist are named, too" wrong 'auto, epoll or poll' $both --backend carrier-pigeon
check "65 upstreams are too many" wrong 'more than 64' --listen 127.0.0.1:0 \
    --upstream "$(printf "$up,%.0s" $(seq 64))$up"

check "an upstream that is no address is named" wrong '--upstream nonsense:' --listen 127.0.0.1:0 --upstream "$up,nonsense:"
check "an upstream that does not resolve is named" wrong '--upstream no..such.host:80' \
    --listen 127.0.0.1:0 --upstream "$up,no..such.host:80"
check "a port that is none is named" wrong '--upstream 127.0.0.1:70000' --listen 127.0.0.1:0 --upstream 127.0.0.1:70000
check "an address to listen at that is none is named" wrong '--listen 127.0.0.1' --listen 127.0.0.1 --upstream $up
check "an address of another machine is named" wrong '--listen 192.0.2.1:80' --listen 192.0.2.1:80 --upstream $up
check "a directory that is not there is named" wrong '--listen unix:/nowhere/at/all' --listen unix:/nowhere/at/all --upstream $up

listening "$origin" --listen 127.0.0.1:0
check "an address that another program serves is named" wrong "--listen $address" --listen "$address" --upstream $up
listening "$proxy" --listen 127.0.0.1:0 --upstream $up
check "an address that another gyre-proxy serves is named" wrong "--listen $address" --listen "$address" --upstream $up
listening "$proxy" --listen "unix:$tap_scratch/socket" --upstream $up
check "a Unix socket that is served is named" wrong "--listen $address" --listen "$address" --upstream $up

GYRE_BACKEND=carrier-pigeon check "an unknown GYRE_BACKEND is named" wrong GYRE_BACKEND=carrier-pigeon $both
GYRE_WAKER=rooster check "an unknown GYRE_WAKER is named" wrong GYRE_WAKER=rooster $both
GYRE_WAKER=rooster check "an unknown GYRE_WAKER is blamed on no backend" wrong GYRE_WAKER=rooster $both --backend epoll
listening env GYRE_BACKEND=carrier-pigeon "$proxy" $both --backend epoll
check "--backend wins over GYRE_BACKEND" test -n "$address"

prints() { # TEXT ARGUMENT...: on standard output, with status 0 and no complaint
    local text=$1
    shift
    timeout 20 "$proxy" "$@" >"$tap_scratch/out" 2>"$tap_scratch/err" || return 1
    cat "$tap_scratch/out"
    [ ! -s "$tap_scratch/err" ] && grep -q -- "$text" "$tap_scratch/out"
}
check "--help names every option" prints '--print-plan' --help
for option in listen upstream loops backend connect-timeout idle-timeout stats-interval print-plan version; do
    grep -q -- "--$option" "$tap_scratch/out" || not_ok "--help names --$option"
done
check "--version says the version" prints '^gyre-proxy [0-9]*\.[0-9]*\.[0-9]*$' --version
check "--print-plan needs no addresses, and prints the loops" prints . --print-plan
check "--print-plan heeds --loops" prints . --print-plan --loops 3

# Counters: a set of lines each second, a line a loop, in the order of the loops.
: >"$tap_scratch/counters" # or it may not be there when it is first looked at
timeout 20 "$proxy" $both --loops 3 --stats-interval 1 >>"$tap_scratch/counters" 2>/dev/null &
pid=$!
tries=0
while [ "$(wc -l <"$tap_scratch/counters")" -lt 6 ] && [ $tries -lt 100 ]; do
    sleep 0.1
    tries=$((tries + 1))
done
sets_of_counters() {
    awk '
        !/^loop=[0-9]+ accepted=[0-9]+ active=[0-9]+ failed_connects=[0-9]+ bytes_up=[0-9]+ bytes_down=[0-9]+$/ { exit 1 }
        $1 != "loop=" (NR - 1) % 3 { exit 1 }
        END { exit NR < 6 }' "$tap_scratch/counters" || { cat "$tap_scratch/counters"; return 1; }
}
check "--stats-interval prints a line a loop" sets_of_counters
finish
