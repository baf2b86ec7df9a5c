# SPDX-License-Identifier: MIT
#
# serve.sh - servers for a test written in bash: ours, and those that others wrote. Sources tap.sh.
#
#   listening PROGRAM ARGUMENT...   starts one of ours, and sets `address` and `started` (its pid) once it listens
#   proxying UPSTREAM               starts gyre-proxy before it, and sets `front` (its address)
#   proxy_ends                      one case: stopped, it ends with 0 and without a pair that it had to cut
#   serving USER READY COMMAND...   starts another's in the foreground, as USER if we are root, and sets `started`. It is
#                                   served once READY succeeds. Words HOST and PORT stand for an address of its own, which
#                                   `address` is set to; if somebody takes the port first, another is tried.
#   as_user USER COMMAND...         runs it as USER if we are root, else as ourselves
#   halt PID [SIGNAL]               ends it (by `end_signal` as it was at its start), and returns its status; SIGKILL
#                                   after 20 s
#   home USER                       sets `home`: a directory below tap_scratch that USER may write
#   need TITLE PROGRAM...           ends the test as skipped if one is not installed
#
# Ports     Each test has an address of 127.0.0.0/8 made from its pid: what tests beside it listen at, and the ports that
#           outgoing connections take, are never in its way.
# End       What was started here ends with the test, however that ends: by the trap, and if the test is killed outright
#           by the signal that the kernel sends on a parent's death.

. "$(dirname "${BASH_SOURCE[0]}")/../harness/tap.sh"
use_scratch
chmod 711 "$tap_scratch" # the servers' users pass through
programs=$GYRE_BUILD_DIR/examples
host=127.$((64 + ($$ >> 16) % 64)).$(($$ >> 8 & 255)).$(($$ & 255))
export PATH=$PATH:/usr/sbin:/sbin
end_signal=TERM # of the servers that are started next
declare -A end_signals

serve_end() {
    local pid
    for pid in $(jobs -pr); do kill -"${end_signals[$pid]:-TERM}" "$pid" 2>/dev/null; done
    for pid in $(jobs -pr); do halt "$pid"; done
    tap_cleanup
}
trap serve_end EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

halt() {
    local pid=$1 tries=0
    kill -"${2:-${end_signals[$pid]:-TERM}}" "$pid" 2>/dev/null
    while kill -0 "$pid" 2>/dev/null && [ $((tries += 1)) -lt 400 ]; do sleep 0.05; done
    kill -KILL "$pid" 2>/dev/null
    wait "$pid" 2>/dev/null
}

need() {
    local title=$1 program
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null && continue
        skip "$title" "$program is not installed"
        finish
    done
}

listening() {
    local tries=0
    log=$(mktemp "$tap_scratch/log.XXXXXX")
    setpriv --pdeathsig KILL -- "$@" >>"$log" 2>&1 &
    started=$!
    end_signals[$started]=INT # ours wait for their connections at a SIGTERM
    address=''
    while [ -z "$address" ] && [ $tries -lt 400 ]; do
        sleep 0.05
        address=$(sed -n 's/.*listening at \([^ ]*\) .*/\1/p' "$log")
        tries=$((tries + 1))
    done
    if [ -z "$address" ]; then note "$(cat "$log")"; fi
}

proxying() {
    listening "$programs/gyre-proxy" --listen "$host:0" --upstream "$1"
    front=$address proxy=$started proxy_log=$log
}

proxy_ends() {
    local title="the proxy ends with 0, and its pairs have ended before" status
    halt "$proxy" TERM
    status=$?
    note "$(cat "$proxy_log")"
    if [ $status -eq 0 ] && ! grep -q 'cut off' "$proxy_log" && grep -q '^loop=0 ' "$proxy_log" &&
        ! grep '^loop=' "$proxy_log" | grep -qv ' active=0 '; then
        ok "$title"
    else
        not_ok "$title: $status"
    fi
}

# The options of setpriv for USER.
privileges() {
    if [ "$(id -u)" -eq 0 ]; then echo "--reuid=$1 --regid=$(id -g "$1") --init-groups"; fi
}

as_user() {
    local user=$1
    shift
    (cd "$tap_scratch" && exec setpriv $(privileges "$user") --pdeathsig KILL -- "$@")
}

home() {
    home=$(mktemp -d "$tap_scratch/home.XXXXXX")
    if [ "$(id -u)" -eq 0 ]; then chown "$1": "$home"; fi
}

serving() {
    local user=$1 ready=$2 attempt tries port
    shift 2
    log=$(mktemp "$tap_scratch/log.XXXXXX")
    for attempt in 1 2 3 4 5; do
        port=$((20000 + (RANDOM + attempt) % 10000))
        address=$host:$port
        local words=("${@//HOST/$host}")
        words=("${words[@]//PORT/$port}")
        (cd "$tap_scratch" && exec setpriv $(privileges "$user") --pdeathsig $end_signal -- "${words[@]}") >>"$log" 2>&1 &
        started=$!
        end_signals[$started]=$end_signal
        for ((tries = 0; tries < 400; tries++)); do
            kill -0 $started 2>/dev/null || break
            $ready && return 0
            sleep 0.05
        done
        halt $started
    done
    note "$1 does not serve: $(tail -n 20 "$log")"
    return 1
}
