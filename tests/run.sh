#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh [--quick] [--no-install] [--jobs N] [PRESET...]: installs what the tests need, builds, runs everything, counts.
#
#   --quick       the release build with gcc, and its tests, alone, without the slow ones (clang-tidy among them)
#   --no-install  installs nothing; what is missing shows as a failure
#   --jobs N      compilers side by side (default: one a CPU); one test more, for some do little but wait
#   PRESET        only these of: release clang asan tsan debug models
#
# For Debian 12, as root or with sudo. No service is started by an install. Everything is written below build/: logs are
# in build/logs, the report of each test in build/PRESET/tap. The last line is "N passed, N failed"; N counts cases, as
# Criterion and the plain programs report them, over all builds. The exit status is 0 if nothing failed.

set -u
cd "$(dirname "$(readlink -f "$0")")/.." || exit 2
export LC_ALL=C.UTF-8

presets=""
quick=no
install=yes
jobs=$(nproc)
while [ $# -gt 0 ]; do
    case $1 in
    --quick) quick=yes ;;
    --no-install) install=no ;;
    --jobs)
        shift
        jobs=${1:?"--jobs needs a number"}
        ;;
    release | clang | asan | tsan | debug | models) presets="$presets $1" ;;
    -h | --help)
        sed -n '3,/^$/s/^# \{0,1\}//p' tests/run.sh
        exit 0
        ;;
    *)
        echo "run.sh: unknown argument $1 (--help lists them)" >&2
        exit 2
        ;;
    esac
    shift
done
if [ -z "$presets" ]; then
    presets="release clang asan tsan debug models"
    if [ $quick = yes ]; then presets=release; fi
fi

passed=0
failed=0
policy=none # of /usr/sbin/policy-rc.d: none of ours, ours, or ours over one that was there
sudo=
mkdir -p build/logs

say() { printf '\n==> %s\n' "$*"; }

fail() {
    echo "FAILED: $*"
    failed=$((failed + 1))
}

# ---- what the tests need

policy_file=/usr/sbin/policy-rc.d

restore_policy() {
    case $policy in
    ours) $sudo rm -f $policy_file ;;
    over) $sudo mv -f $policy_file.before-gyre $policy_file ;;
    esac
    policy=none
}

finish() {
    status=$?
    trap - EXIT
    restore_policy
    if [ "$status" -ne 0 ] && [ $failed -eq 0 ]; then fail "the run ended early, with status $status"; fi
    printf '%d passed, %d failed\n' $passed $failed
    exit $((failed != 0))
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

install_packages() {
    local missing=""
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    if [ -z "$missing" ]; then
        echo "nothing to install"
        return
    fi
    echo "installing:$missing"
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            fail "these packages are missing, and neither root nor sudo is here to install them:$missing"
            exit 1
        fi
        sudo=sudo
    fi
    # No package may start a service: policy-rc.d says so while we install, and goes afterwards.
    if [ -e $policy_file.before-gyre ]; then # a run was killed before it could put it back
        policy=over
    elif [ -e $policy_file ]; then
        $sudo mv -f $policy_file $policy_file.before-gyre
        policy=over
    else
        policy=ours
    fi
    printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy_file >/dev/null
    $sudo chmod 755 $policy_file
    if ! {
        $sudo env DEBIAN_FRONTEND=noninteractive apt-get update -q &&
            $sudo env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing
    } >build/logs/install.log 2>&1 </dev/null; then
        tail -n 20 build/logs/install.log
        fail "the packages did not install; see build/logs/install.log"
        exit 1
    fi
    restore_policy
}

if [ $install = yes ]; then
    say "Packages"
    packages="gcc g++ libc6-dev binutils make cmake ninja-build pkg-config libcriterion-dev"
    packages="$packages libglib2.0-dev libuv1-dev curl wrk"
    if [ $quick = no ]; then
        packages="$packages clang clang-tidy libclang-rt-14-dev spin strace"
        packages="$packages nginx-light redis-server redis-tools postgresql haproxy iproute2 gnuplot-nox"
    fi
    install_packages $packages
fi

# ---- builds and tests

# logged LOG COMMAND...: runs it quietly; at a failure shows the log's end
logged() {
    local log=build/logs/$1
    shift
    if ! "$@" >"$log" 2>&1 </dev/null; then
        tail -n 60 "$log"
        return 1
    fi
}

by_folder() {
    for folder in $(cd "$1" && ls | sed -n 's/^\([a-z]*\)\..*tap$/\1/p' | sort -u); do
        printf ' %s %s' "$folder" "$(cat "$1/$folder".*tap | grep -cE '^(not )?ok')"
    done
}

# count PRESET DIRECTORY: adds the cases of the reports in DIRECTORY, and shows failures and skips
count() {
    local preset=$1 numbers floor
    numbers=$(cat "$2"/*.tap 2>/dev/null | awk '
        /^not ok/ { failed++; next }
        /^ok/ { if (toupper($0) ~ /# SKIP/) skipped++; else passed++ }
        END { print passed + 0, failed + 0, skipped + 0 }')
    set -- "$2" $numbers
    passed=$((passed + $2))
    failed=$((failed + $3))
    grep -Hi '^ok.*# SKIP' "$1"/*.tap 2>/dev/null | sed -E 's|^.*/([^/]*)\.tap:ok[ 0-9]*-? *|skipped: \1: |; s|# *[Ss][Kk][Ii][Pp] *|(|; s|$|)|'
    grep -H '^not ok' "$1"/*.tap 2>/dev/null | sed -E 's|^.*/([^/]*)\.tap:not ok[ 0-9]*-? *|FAILED: \1: |'
    echo "$preset: $2 passed, $3 failed, $4 skipped; cases by folder:$(by_folder "$1")"
    if [ $quick = yes ]; then preset=quick; fi
    floor=$(awk -v preset="$preset" '$1 == preset { print $2 }' tests/floor.txt)
    if [ $(($2 + $3)) -lt "${floor:-0}" ]; then
        fail "$preset ran $(($2 + $3)) cases; tests/floor.txt expects $floor or more"
    fi
}

run_preset() {
    local preset=$1 generator="" started=$SECONDS build=build/$1 options=""
    say "$preset: build"
    if [ ! -e "$build/CMakeCache.txt" ] && command -v ninja >/dev/null; then generator="-G Ninja"; fi
    if ! CC=gcc logged "$preset.configure.log" cmake --preset "$preset" $generator; then
        fail "$preset does not configure; see build/logs/$preset.configure.log"
        return
    fi
    if ! logged "$preset.build.log" cmake --build "$build" --parallel "$jobs"; then
        fail "$preset does not build; see build/logs/$preset.build.log"
        return
    fi
    echo "built in $((SECONDS - started)) s"
    if [ "$preset" = debug ]; then return; fi # a wrong caller aborts there: it is built, for its warnings, and not run

    say "$preset: tests"
    started=$SECONDS
    rm -rf "$build/tap" "$build/Testing/Temporary/LastTestsFailed.log"
    if [ $quick = yes ]; then options="-LE slow"; fi
    ctest --test-dir "$build" --parallel $((jobs + 1)) --output-on-failure --no-tests=error $options </dev/null 2>&1 |
        tee "build/logs/$preset.test.log" | grep -vE '^ +Start +[0-9]+:|^Internal ctest|^$'
    local status=${PIPESTATUS[0]}
    count "$preset" "$build/tap"

    # A test that left no report of its failure (it was not built, say) counts as one.
    local unreported=0 name
    if [ -e "$build/Testing/Temporary/LastTestsFailed.log" ]; then
        while IFS=: read -r _ name; do
            if ! grep -q '^not ok' "$build/tap/$name.tap" 2>/dev/null; then
                fail "$preset: $name"
                unreported=$((unreported + 1))
            fi
        done <"$build/Testing/Temporary/LastTestsFailed.log"
    elif [ "$status" -ne 0 ]; then
        fail "$preset: ctest ended with $status; see build/logs/$preset.test.log"
    fi
    echo "$preset: tests took $((SECONDS - started)) s"
}

run_models() {
    say "models"
    local started=$SECONDS
    if [ ! -e tests/model/run.sh ]; then
        echo "skipped: models: there are none yet"
        return
    fi
    rm -rf build/models/tap
    mkdir -p build/models/tap
    tests/harness/run_tap.sh plain build/models/tap/models.tap tests/model/run.sh >build/logs/models.log 2>&1 </dev/null ||
        tail -n 40 build/logs/models.log
    count models build/models/tap
    echo "models took $((SECONDS - started)) s"
}

for preset in $presets; do
    case $preset in
    models) run_models ;;
    *) run_preset "$preset" ;;
    esac
done

say "All logs are in build/logs; the whole run took $SECONDS s"
if [ $((passed + failed)) -eq 0 ]; then fail "nothing ran"; fi
exit 0
