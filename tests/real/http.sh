#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# http.sh: http_hello and gyre-proxy with the clients that people use: curl, wrk, and lines typed by hand.
#
# GYRE_WRK_SECONDS (3) is how long wrk runs, with 200 connections.

set -u
. "$(dirname "$0")/serve.sh"

listening "$programs/http_hello" --listen 127.0.0.1:0
origin=$address origin_pid=$started
listening "$programs/gyre-proxy" --listen 127.0.0.1:0 --upstream "$origin"
front=$address front_pid=$started
listening "$programs/http_hello" --listen 127.0.0.1:0 --body-bytes 3000000
large=$address
body=$'hello, world\n'

# ---- curl

ask() { curl --silent --show-error --max-time 10 "$@"; }

body_is() { # EXPECTED ARGUMENT...
    local expected=$1 got
    shift
    got=$(ask "$@" && echo .) || return 1
    [ "$got" = "$expected." ] || { echo "got: $got"; return 1; }
}

code_is() { # EXPECTED ARGUMENT...
    local expected=$1 got
    shift
    got=$(ask --output /dev/null --write-out '%{http_code}' "$@") || return 1
    [ "$got" = "$expected" ] || { echo "got: $got"; return 1; }
}

head -c 65536 /dev/zero >"$tap_scratch/allowed"
head -c 65537 /dev/zero >"$tap_scratch/excess"
for way in "$origin directly" "$front through the proxy"; do
    url=http://${way%% *}/ how=${way#* }
    check "curl gets the body $how" body_is "$body" "$url"
    check "curl with HTTP/1.0 $how" body_is "$body" --http1.0 "$url"
    check "curl --head gets no body $how" code_is 200 --head "$url"
    check "curl posts a body $how" body_is "$body" --data 'x=1' "$url"
    check "curl posts 64 KiB $how" code_is 200 --data-binary "@$tap_scratch/allowed" "$url"
    check "curl posts 64 KiB when told to go on $how" code_is 200 -H 'Expect: 100-continue' --data-binary "@$tap_scratch/allowed" "$url"
    check "a larger body is refused with 413 $how" code_is 413 --data-binary "@$tap_scratch/excess" "$url"
    check "a chunked body is refused with 411 $how" code_is 411 -H 'Transfer-Encoding: chunked' --data 'x' "$url"
    check "a header of 9 KB is refused with 431 $how" code_is 431 -H "X: $(head -c 9000 /dev/zero | tr '\0' x)" "$url"
    check "a URL of 9 KB is refused with 414 $how" code_is 414 "$url$(head -c 9000 /dev/zero | tr '\0' x)"
    check "an unknown method is refused with 501 $how" code_is 501 --request BREW "$url"
done

reuses_one_connection() {
    local connects
    connects=$(ask --output /dev/null --write-out '%{num_connects}\n' "http://$front/" --next --silent --output /dev/null \
        --write-out '%{num_connects}\n' "http://$front/" --next --silent --output /dev/null --write-out '%{num_connects}\n' "http://$front/")
    [ "$connects" = $'1\n0\n0' ] || { echo "$connects"; return 1; }
}
check "curl keeps its connection through the proxy" reuses_one_connection

if grep -q '^0*1 ' /proc/net/if_inet6 2>/dev/null; then
    listening "$programs/gyre-proxy" --listen '[::1]:0' --upstream "$origin"
    check "curl through the proxy by IPv6" body_is "$body" "http://$address/"
    listening "$programs/gyre-proxy" --listen '*:0' --upstream "$origin"
    check "curl through the proxy at any address" body_is "$body" "http://127.0.0.1:${address##*:}/"
else
    skip "curl through the proxy by IPv6" "there is no IPv6"
    skip "curl through the proxy at any address" "there is no IPv6"
fi

# The side that ends first keeps the port in TIME_WAIT; that must not keep the next proxy away.
serves_again_at_once() {
    local again=$1 pid
    timeout 20 "$programs/gyre-proxy" --listen "$again" --upstream "$origin" >/dev/null 2>"$tap_scratch/again" &
    pid=$!
    for _ in $(seq 100); do
        grep -q listening "$tap_scratch/again" && break
        sleep 0.05
    done
    body_is "$body" "http://$again/" || { cat "$tap_scratch/again"; kill "$pid"; return 1; }
    kill -INT "$pid"
    wait "$pid"
}
listening "$programs/gyre-proxy" --listen 127.0.0.1:0 --upstream "$origin"
again=$address again_pid=$started
ask --output /dev/null -H 'Connection: close' "http://$again/"
kill -INT "$again_pid"
wait "$again_pid"
check "a proxy starts again where one has just ended" serves_again_at_once "$again"

large_is_whole() {
    local bytes
    bytes=$(ask "http://$large/" | tee "$tap_scratch/large" | wc -c)
    [ "$bytes" = 3000000 ] && [ "$(head -c 13 "$tap_scratch/large")" = 'hello, world' ]
}
check "a body of 3 MB arrives whole" large_is_whole

# ---- by hand

# typed TEXT: sends it, and prints what comes back until the end
typed() {
    exec 3<>"/dev/tcp/${origin%:*}/${origin##*:}"
    printf '%b' "$1" >&3
    timeout 10 cat <&3
    local status=$?
    exec 3<&-
    return $status
}

first_line_is() { # EXPECTED TEXT
    local got
    got=$(typed "$2") || { echo "no end"; return 1; }
    [ "${got%%$'\r'*}" = "$1" ] || { echo "got: $got"; return 1; }
}

check "garbage is refused with 400" first_line_is 'HTTP/1.1 400 Bad Request' 'hello?\r\n\r\n'
check "a TLS greeting is refused at once" first_line_is 'HTTP/1.1 400 Bad Request' '\x16\x03\x01\x02\x00\x01'
check "HTTP/1.1 without a Host is refused" first_line_is 'HTTP/1.1 400 Bad Request' 'GET / HTTP/1.1\r\n\r\n'
check "two lengths are refused" first_line_is 'HTTP/1.1 400 Bad Request' \
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc'
check "a length together with chunks is refused" first_line_is 'HTTP/1.1 400 Bad Request' \
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\nabc'
check "HTTP/2.0 is refused with 505" first_line_is 'HTTP/1.1 505 HTTP Version Not Supported' 'GET / HTTP/2.0\r\n\r\n'
check "an unknown coding is refused with 501" first_line_is 'HTTP/1.1 501 Not Implemented' \
    'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n'

counts() { # STATUS-LINES TEXT: how many answers come before the end
    local got
    got=$(typed "$2" | grep -c '^HTTP/1.1 ')
    [ "$got" -eq "$1" ] || { echo "got: $got"; return 1; }
}
check "Connection: close ends after its answer" counts 2 \
    'GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n'
check "HTTP/1.0 goes on if it asks to" counts 2 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n'
check "good requests before a bad one are answered" counts 3 \
    'GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\nbad\r\n\r\n'

# ---- wrk

load() {
    local seconds=${GYRE_WRK_SECONDS:-3}
    timeout $((seconds + 60)) wrk --threads 2 --connections 200 --duration "${seconds}s" --timeout 10s \
        --script "$GYRE_SOURCE_DIR/examples/wrk_bodies.lua" "http://$front/" -- 'hello, world' >"$tap_scratch/wrk" 2>&1
    cat "$tap_scratch/wrk"
    grep -q '^right=[1-9][0-9]* wrong=0 connect_errors=0 read_errors=0 write_errors=0 timeouts=0$' "$tap_scratch/wrk"
}
if command -v wrk >/dev/null; then
    check "wrk with 200 connections through the proxy: no error, no wrong body" load
    note "$(grep -E '^right|Requests/sec' "$tap_scratch/wrk")"
else
    skip "wrk with 200 connections through the proxy: no error, no wrong body" "wrk is not installed"
fi

kill -TERM "$front_pid"
wait "$front_pid"
check "SIGTERM ends the proxy with 0" test $? -eq 0
kill -TERM "$origin_pid"
wait "$origin_pid"
check "SIGTERM ends the origin with 0" test $? -eq 0
finish
