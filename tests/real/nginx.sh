#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# nginx.sh: gyre-proxy before nginx: one large file for many curls at once, uploads, and connections that are kept.
#
# GYRE_NGINX_MIB (64) is the file's size, GYRE_NGINX_CURLS (50) how many fetch it.

set -u
. "$(dirname "$0")/serve.sh"
need "nginx behind the proxy" nginx curl
mib=${GYRE_NGINX_MIB:-64} curls=${GYRE_NGINX_CURLS:-50}
user=nobody

home $user
head -c $((mib << 20)) /dev/urandom >"$home/large"
for size in 0 1 1000 70000; do head -c $size "$home/large" >"$home/$size"; done
chmod 644 "$home"/*
cat >"$home/nginx.conf" <<CONF
pid $home/pid;
daemon off;
worker_processes 2;
events { worker_connections 512; }
http {
    access_log off;
    sendfile on;
    client_body_temp_path $home/body;
    proxy_temp_path $home/proxy;
    fastcgi_temp_path $home/fastcgi;
    uwsgi_temp_path $home/uwsgi;
    scgi_temp_path $home/scgi;
    server {
        include $home/listen;
        root $home;
        dav_methods PUT;
        client_max_body_size 0;
    }
}
CONF
answers() { curl --silent --max-time 5 --output /dev/null "http://$address/1"; }
if ! serving $user answers sh -c "echo 'listen HOST:PORT;' >$home/listen && exec nginx -e stderr -p $home -c $home/nginx.conf"; then
    not_ok "nginx is started"
    finish
fi
nginx=$started
proxying "$address"

# ---- one file, many curls

fetch() { curl --silent --show-error --max-time 120 "http://$front/large" | b2sum | cut -c 1-32; }

all_are_equal() {
    local expected got began=$EPOCHREALTIME pids=() pid
    expected=$(b2sum <"$home/large" | cut -c 1-32)
    for ((i = 0; i < curls; i++)); do
        fetch >"$tap_scratch/sum.$i" 2>&1 &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do wait "$pid"; done
    took=$(((${EPOCHREALTIME/./} - ${began/./}) / 1000))
    got=$(cat "$tap_scratch"/sum.* | sort | uniq -c)
    [ "$(echo $got)" = "$curls $expected" ] || { echo "expected: $expected"; echo "$got"; return 1; }
}
title="$curls curls fetch $mib MiB each, and all have its checksum"
if all_are_equal >"$tap_scratch/unequal"; then ok "$title"; else note "$(cat "$tap_scratch/unequal")"; not_ok "$title"; fi
note "$curls times $mib MiB in $took ms: $((curls * mib * 1000 / (took + 1))) MiB/s"

# ---- other ways of HTTP

same() { # FILE ARGUMENT...: curl prints what the file holds
    local file=$1
    shift
    curl --silent --show-error --max-time 60 "$@" | cmp - "$file"
}
for size in 0 1 1000 70000; do
    check "a file of $size bytes arrives" same "$home/$size" "http://$front/$size"
done
check "a part from the middle arrives" same <(tail -c +12346 "$home/large" | head -c 54321) --range 12345-66665 "http://$front/large"

kept_connection() {
    local urls=() connects
    for _ in $(seq 100); do urls+=("http://$front/70000"); done
    connects=$(curl --silent --show-error --max-time 60 --write-out '%{stderr}%{num_connects}\n' "${urls[@]}" 2>&1 >"$tap_scratch/many" |
        awk '{ sum += $1 } END { print sum }')
    [ "$connects" = 1 ] || { echo "$connects connections"; return 1; }
    for _ in $(seq 100); do cat "$home/70000"; done | cmp - "$tap_scratch/many"
}
check "100 requests on one connection are answered in order" kept_connection

comes_back() {
    curl --silent --show-error --fail --max-time 60 --upload-file "$home/large" "http://$front/uploaded" &&
        cmp "$home/large" "$home/uploaded"
}
check "an upload of $mib MiB is stored as it was sent" comes_back

cut_download() {
    curl --silent --max-time 60 "http://$front/large" | head -c 100000 | cmp -n 100000 - "$home/large"
}
check "a client may leave in the middle" cut_download

proxy_ends
halt $nginx
check "nginx ends with 0" test $? -eq 0
finish
