#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# postgresql.sh: gyre-proxy before PostgreSQL: pgbench, whose transactions each move money between three tables and note
# it in a fourth. However they interleave, the four sums are equal if each was run whole, and once.
#
# GYRE_PGBENCH_SECONDS (10) is how long pgbench runs, with 20 clients.

set -u
. "$(dirname "$0")/serve.sh"
bin=$(printf '%s\n' /usr/lib/postgresql/*/bin | sort -V | tail -n 1) # Debian keeps initdb and postgres out of PATH
PATH=$PATH:$bin
need "PostgreSQL behind the proxy" initdb postgres psql pgbench
seconds=${GYRE_PGBENCH_SECONDS:-10}
scale=4
user=postgres # it refuses to run as root
end_signal=QUIT # at once, its children with it; there is nothing to keep
export PGUSER=gyre PGDATABASE=postgres PGCONNECT_TIMEOUT=10 PGSSLMODE=disable PGGSSENCMODE=disable
unset PGHOST PGPORT PGPASSFILE PGSERVICE

home $user
if ! as_user $user initdb --pgdata "$home/data" --username gyre --auth trust --no-sync --locale C --encoding UTF8 \
    >"$tap_scratch/initdb" 2>&1; then
    note "$(cat "$tap_scratch/initdb")"
    not_ok "initdb makes a cluster"
    finish
fi
answers() { pg_isready --quiet --host "$host" --port "${address##*:}"; }
if ! serving $user answers postgres -D "$home/data" -c listen_addresses=HOST -c port=PORT -c unix_socket_directories= \
    -c fsync=off -c synchronous_commit=off -c full_page_writes=off -c autovacuum=off -c max_connections=50 -c shared_buffers=64MB; then
    not_ok "PostgreSQL is started"
    finish
fi
server=$started origin=$address
proxying "$origin"

direct() { psql --host "$host" --port "${origin##*:}" --no-psqlrc --quiet --tuples-only --no-align --command "$1"; }
through() { psql --host "$host" --port "${front##*:}" --no-psqlrc --quiet --tuples-only --no-align --command "$1"; }
is() { # EXPECTED COMMAND...
    local expected=$1 got
    shift
    got=$("$@" 2>&1)
    [ "$got" = "$expected" ] || { echo "expected: $expected"; echo "got: $got"; return 1; }
}

check "pgbench fills its tables through the proxy" \
    timeout 120 pgbench --host "$host" --port "${front##*:}" --initialize --scale $scale --quiet --no-vacuum
check "they are whole" is $((scale * 100000)) direct 'SELECT count(*) FROM pgbench_accounts'

run() {
    timeout $((seconds + 60)) pgbench --host "$host" --port "${front##*:}" --client 20 --jobs 2 --time "$seconds" --no-vacuum \
        >"$tap_scratch/pgbench" 2>&1 || { cat "$tap_scratch/pgbench"; return 1; }
    done=$(sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p' "$tap_scratch/pgbench")
    grep -q '^number of failed transactions: 0 ' "$tap_scratch/pgbench" && [ "${done:-0}" -gt 0 ] || { cat "$tap_scratch/pgbench"; return 1; }
}
title="pgbench: 20 clients for $seconds s, no failed transaction"
if run >"$tap_scratch/failure"; then ok "$title"; else note "$(cat "$tap_scratch/failure")"; not_ok "$title"; fi
note "$(grep -E '^(number of (transactions|failed)|latency|tps)' "$tap_scratch/pgbench")"

sums=$(direct 'SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)')
note "accounts|tellers|branches|history: $sums"
check "the four sums are equal" test "$(tr '|' '\n' <<<"$sums" | grep -E '^-?[0-9]+$' | uniq -c | awk '{ print $1 }')" = 4
check "each transaction that pgbench counts is noted once" is "$done" direct 'SELECT count(*) FROM pgbench_history'

# ---- large rows, both ways

copies() {
    through "COPY (SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 20000) i) TO STDOUT" >"$tap_scratch/rows" || return 1
    direct "COPY (SELECT i, repeat(md5(i::text), 40) FROM generate_series(1, 20000) i) TO STDOUT" | cmp - "$tap_scratch/rows" || return 1
    direct 'CREATE TABLE copied (i integer, text text)'
    through '\copy copied FROM STDIN' <"$tap_scratch/rows" && direct 'COPY (SELECT * FROM copied ORDER BY i) TO STDOUT' | cmp - "$tap_scratch/rows"
}
check "26 MB of rows come as they are, and go as they came" copies
cancels() {
    PGOPTIONS='-c statement_timeout=300' through 'SELECT pg_sleep(30)' 2>&1 | grep -q 'canceling statement due to statement timeout'
}
check "an error reaches the client" cancels

proxy_ends
halt $server
check "PostgreSQL ends with 0" test $? -eq 0
finish
