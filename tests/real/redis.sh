#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# redis.sh: gyre-proxy before Redis: its benchmark with pipelining, and data that is read back past the proxy.
#
# GYRE_REDIS_REQUESTS (400000) is the benchmark's -n, a multiple of the 16 that it sends together.

set -u
. "$(dirname "$0")/serve.sh"
need "Redis behind the proxy" redis-server redis-benchmark redis-cli
requests=${GYRE_REDIS_REQUESTS:-400000}
user=nobody

home $user
answers() { [ "$(redis-cli -h "$host" -p "${address##*:}" PING 2>/dev/null)" = PONG ]; }
if ! serving $user answers redis-server --bind HOST --port PORT --save '' --appendonly no --dir "$home"; then
    not_ok "Redis is started"
    finish
fi
redis=$started origin=$address
proxying "$origin"
direct() { redis-cli -h "$host" -p "${origin##*:}" "$@"; }
through() { redis-cli -h "$host" -p "${front##*:}" "$@"; }

# ---- the benchmark

calls() { direct INFO commandstats | sed -n "s/^cmdstat_$1:calls=\([0-9]*\),.*/\1/p"; }

benchmark() {
    timeout 120 redis-benchmark -h "$host" -p "${front##*:}" -t get,set -P 16 -n "$requests" -r 10000 -d 100 -q \
        >"$tap_scratch/benchmark" 2>&1
    local status=$?
    tr '\r' '\n' <"$tap_scratch/benchmark" | grep 'per second' >"$tap_scratch/rates"
    cat "$tap_scratch/rates"
    if [ $status -ne 0 ] || grep -qi error "$tap_scratch/benchmark"; then cat "$tap_scratch/benchmark"; return 1; fi
    [ "$(grep -cE '^(GET|SET): [0-9.]+ requests per second' "$tap_scratch/rates")" -eq 2 ]
}
check "redis-benchmark -t get,set -P 16 ends without an error" benchmark
note "$(cat "$tap_scratch/rates")"
check "Redis has had each SET once" test "$(calls set)" -eq "$requests"
check "Redis has had each GET once" test "$(calls get)" -eq "$requests"
check "Redis has answered none with an error" test "$(direct INFO stats | tr -d '\r' | sed -n 's/^total_error_replies://p')" = 0

# ---- what is written is what is there

direct FLUSHALL >/dev/null
awk 'BEGIN { srand(7); for (i = 0; i < 10000; i++) printf "key:%d %d-%d-%s\n", i, i * 31, rand() * 1e9, substr("abcdefghijklmnopqrstuvwxyz", 1 + i % 26) }' \
    >"$tap_scratch/pairs"

write_all() {
    local got
    got=$(sed 's/^/SET /' "$tap_scratch/pairs" | sed 's/$/\r/' | timeout 60 redis-cli -h "$host" -p "${front##*:}" --pipe 2>&1)
    echo "$got"
    [[ $got == *'errors: 0, replies: 10000'* ]]
}
reads() { # CLIENT: prints all values, in the order of the file
    cut -d ' ' -f 1 "$tap_scratch/pairs" | xargs -n 100 echo MGET | "$1"
}
check "10000 values are written through the proxy" write_all
sed 's/^[^ ]* //' "$tap_scratch/pairs" >"$tap_scratch/values"
check "they are there when read directly" cmp "$tap_scratch/values" <(reads direct)
check "and when read through the proxy" cmp "$tap_scratch/values" <(reads through)
check "there are no others" test "$(direct DBSIZE)" = 10000

large_value() {
    head -c 11000000 /dev/urandom | base64 >"$tap_scratch/large"
    [ "$(through -x SET large <"$tap_scratch/large")" = OK ] || return 1
    # redis-cli adds a line's end to the value's own.
    direct GET large | head -c -1 | cmp - "$tap_scratch/large" && through GET large | head -c -1 | cmp - "$tap_scratch/large"
}
check "a value of 4 MB is written and read whole" large_value

proxy_ends
halt $redis
check "Redis ends with 0" test $? -eq 0
finish
