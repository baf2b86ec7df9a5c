#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# quickstart.sh [--check]: builds gyre and runs gyre-proxy on all CPUs, in front of http_hello.
#
#   (nothing)   sends a request through, prints the URL and a line a loop every second, until Ctrl-C
#   --check     sends requests with curl, then load with wrk for 3 s with at least 30 connections a loop; compares every
#               answer, prints what each loop did, and exits 0 only if all was right and every loop served some
#
# What is missing is installed by package name, on Debian and its like, as root or with sudo. The build is in
# build/quickstart; GYRE_QUICKSTART_BUILD names a directory with a finished build instead. Ports are free ones of
# 127.0.0.1. Only the two programs that were started here are stopped.

set -u
cd "$(dirname "$(readlink -f "$0")")/.." || exit 1
check=no
case "${1-}" in
'') ;;
--check) check=yes ;;
*)
    sed -n '3,/^$/s/^# \{0,1\}//p' examples/quickstart.sh
    [ "$1" = --help ] && exit 0
    exit 2
    ;;
esac

scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-quickstart.XXXXXX") || exit 1
origin_pid='' proxy_pid=''
verdict='stopped before it was ready'

# stop PID: SIGINT, which ends both programs at once; SIGKILL if that does not help. Prints nothing.
stop() {
    local tries=0
    kill -INT "$1" 2>/dev/null || return 0
    while [ "$(state_of "$1")" != gone ] && [ $tries -lt 100 ]; do
        sleep 0.05
        tries=$((tries + 1))
    done
    if [ "$(state_of "$1")" != gone ]; then kill -KILL "$1" 2>/dev/null; fi
    wait "$1" 2>/dev/null
}

# running or gone: a child that has ended is a zombie until the shell waits for it
state_of() {
    local stat
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || stat=') Z'
    case ${stat##*) } in
    [ZX]*) echo gone ;;
    *) echo running ;;
    esac
}

cleanup() {
    local status=$?
    trap - EXIT
    trap '' INT TERM HUP
    if [ -n "$proxy_pid" ]; then stop "$proxy_pid"; fi
    if [ -n "$origin_pid" ]; then stop "$origin_pid"; fi
    rm -rf "$scratch"
    echo "quickstart: $verdict"
    exit $status
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

die() {
    verdict="FAILED: $*"
    exit 1
}

# ---- what is needed

install_missing() {
    local missing='' sudo='' pair
    for pair in cc:gcc make:make cmake:cmake curl:curl "$@"; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair#*:}"
    done
    if ! [ -e /usr/include/stdio.h ]; then missing="$missing libc6-dev"; fi
    if [ -z "$missing" ]; then return; fi
    echo "quickstart: installing$missing"
    command -v apt-get >/dev/null || die "these are missing, and there is no apt-get to install them:$missing"
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || die "these are missing, and neither root nor sudo is here to install them:$missing"
        sudo=sudo
    fi
    if ! {
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
    } >"$scratch/install.log" 2>&1 </dev/null; then
        tail -n 20 "$scratch/install.log"
        die "the packages did not install:$missing"
    fi
}

build() {
    local log=build/quickstart.log
    mkdir -p build
    echo "quickstart: building in build/quickstart"
    if ! {
        cmake -S . -B build/quickstart -DCMAKE_BUILD_TYPE=Release -DGYRE_BUILD_TESTS=OFF -DGYRE_BUILD_EXAMPLES=ON &&
            cmake --build build/quickstart --parallel "$(nproc)" --target http_hello gyre-proxy
    } >$log 2>&1 </dev/null; then
        tail -n 40 $log
        die "the build failed; all of it is in $log"
    fi
}

# ---- the two programs

# listening_at LOG PID: sets `address` once the program has said where it listens
listening_at() {
    local tries=0
    while [ $tries -lt 200 ]; do
        address=$(sed -n 's/.*listening at \([^ ]*\) .*/\1/p' "$1")
        if [ -n "$address" ]; then return; fi
        [ "$(state_of "$2")" = running ] || break
        sleep 0.05
        tries=$((tries + 1))
    done
    cat "$1"
    die "${1##*/} does not serve"
}

start_both() {
    : >"$scratch/http_hello"
    : >"$scratch/gyre-proxy" # both are there when they are first looked at
    # Connections take descriptors, two a pair in the proxy; where this is refused, there are fewer.
    ulimit -Sn "$(ulimit -Hn)" 2>/dev/null
    "$programs/http_hello" --listen 127.0.0.1:0 >>"$scratch/http_hello" 2>&1 &
    origin_pid=$!
    listening_at "$scratch/http_hello" $origin_pid
    origin=$address
    if [ $check = yes ]; then
        "$programs/gyre-proxy" --listen 127.0.0.1:0 --upstream "$origin" >"$scratch/counters" 2>>"$scratch/gyre-proxy" &
    else
        "$programs/gyre-proxy" --listen 127.0.0.1:0 --upstream "$origin" --stats-interval 1 2>>"$scratch/gyre-proxy" &
    fi
    proxy_pid=$!
    listening_at "$scratch/gyre-proxy" $proxy_pid
    url=http://$address/
    loops=$(sed -n 's/.* with \([0-9]*\) loops.*/\1/p' "$scratch/gyre-proxy")
    sed 's/^/quickstart: /' "$scratch/gyre-proxy"
}

show_request() {
    echo "quickstart: curl -i $url"
    curl --silent --show-error --max-time 10 -i "$url" || die "no answer through the proxy"
}

# ---- --check

check_curl() {
    local body code
    body=$(curl --silent --show-error --max-time 10 "$url" "$url" "$url") || die "curl: no answer"
    [ "$body" = "$(printf 'hello, world\nhello, world\nhello, world')" ] || die "curl: a wrong body: $body"
    code=$(curl --silent --max-time 10 --head --output /dev/null --write-out '%{http_code}' "$url")
    [ "$code" = 200 ] || die "curl --head: status $code"
    code=$(curl --silent --max-time 10 --data 'a body' --output /dev/null --write-out '%{http_code}' "$url")
    [ "$code" = 200 ] || die "curl --data: status $code"
}

# number NAME: what wrk_bodies.lua counted
number() { sed -n "s/.*\b$1=\([0-9]*\).*/\1/p" "$scratch/wrk"; }

check_wrk() {
    local threads connections
    threads=$(nproc)
    if [ "$threads" -gt 16 ]; then threads=16; fi
    connections=$((30 * loops))
    if [ $connections -lt $threads ]; then connections=$threads; fi
    echo "quickstart: wrk with $connections connections for 3 s"
    timeout 60 wrk --threads "$threads" --connections "$connections" --duration 3s --timeout 10s \
        --script examples/wrk_bodies.lua "$url" -- 'hello, world' >"$scratch/wrk" 2>&1
    right=$(number right)
    if [ -z "$right" ]; then
        cat "$scratch/wrk"
        die "wrk did not run"
    fi
    wrong=$(number wrong)
    errors=$(($(number connect_errors) + $(number read_errors) + $(number write_errors) + $(number timeouts)))
}

# Ends the proxy as an operator would, and reads its last counters.
check_loops() {
    local status
    kill -TERM "$proxy_pid"
    wait "$proxy_pid"
    status=$?
    proxy_pid=''
    [ $status -eq 0 ] || die "the proxy ended with status $status"
    awk -v loops="$loops" '
        {
            for (i = 1; i <= NF; i++) {
                split($i, pair, "=")
                of[pair[1]] = pair[2]
            }
            accepted[of["loop"]] = of["accepted"]
            down[of["loop"]] = of["bytes_down"]
            connections += of["accepted"]
            bytes += of["bytes_down"]
            failed += of["failed_connects"]
        }
        END {
            for (i = 0; i < loops; i++) {
                printf "loop %d: %d connections (%.0f %%), %.0f %% of the bytes\n", i, accepted[i],
                    100 * accepted[i] / (connections + !connections), 100 * down[i] / (bytes + !bytes)
                if (!accepted[i] || !down[i]) idle++
            }
            exit idle > 0 || failed > 0
        }' "$scratch/counters" || die "a loop served nothing, or a connect failed"
}

# ---- main

if [ -n "${GYRE_QUICKSTART_BUILD:-}" ]; then
    programs=$GYRE_QUICKSTART_BUILD/examples
else
    if [ $check = yes ]; then install_missing wrk:wrk; else install_missing; fi
    build
    programs=build/quickstart/examples
fi
start_both
show_request
if [ $check = yes ]; then
    check_curl
    check_wrk
    echo "requests: $right right, $wrong wrong, $errors socket errors"
    check_loops
    [ "$right" -gt 0 ] && [ "$wrong" -eq 0 ] && [ "$errors" -eq 0 ] ||
        die "$right right, $wrong wrong answers and $errors socket errors"
    verdict="OK: $right requests, 0 errors, $loops loops, each served some"
    exit 0
fi

echo "quickstart: serving $url until Ctrl-C; a line a loop every second"
verdict='stopped'
trap 'exit 0' INT
while [ "$(state_of "$proxy_pid")" = running ] && [ "$(state_of "$origin_pid")" = running ]; do sleep 1; done
# Ctrl-C reaches the programs too, and they may be quicker than this shell.
sleep 0.5
die "a program ended by itself"
