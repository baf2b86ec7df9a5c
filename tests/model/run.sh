#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# run.sh [--long]: searches the models with spin. A protocol as it is meant must pass a full search,
# to the end. Each seeded fault must be found, by one of the checks that the model names for it.
# What is a fault of memory order alone must be missed when the model has no store buffers, or else
# it would prove nothing about memory.
#
#   --long   wider bounds as well: minutes, and about 1 GB for each search
#
# Needs spin and cc. Works in a directory that is removed at the end; GYRE_MODEL_JOBS searches at a
# time (2).

set -u
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../harness/tap.sh"

long=no
if [ "${1-}" = --long ]; then long=yes; fi
jobs=${GYRE_MODEL_JOBS:-2}
cc=${CC:-cc}

for tool in spin "$cc"; do
    if ! command -v "$tool" >/dev/null; then
        for model in door executor future lane signal watchdog work; do
            skip "$model: searched" "$tool is not installed"
        done
        finish
    fi
done
use_scratch

model=    # the one that is searched: its file is MODEL.pml, its directory $tap_scratch/MODEL
settings= # of its searches, which may have others on top

# The table of faults: "name number check|check..." a line.
faults() {
    sed -nE 's,^#define ([a-z_]+) ([0-9]+) /\* .*: ([a-z_, ]+) \*/$,\1 \2 \3,p' "$here/$model.pml" |
        sed 's/, /|/g'
}

# verdict ok|not_ok NAME: one case, for the report at the end.
verdict() { printf '%s\t%s\n' "$1" "$2" >>verdicts; }

# pan NUMBER [OPTION...]: one search, for that fault or for none; its report is in ./out.
pan() {
    FAULT=$1 "$tap_scratch/$model/pan" -m20000 "${@:2}" >out 2>&1
}

# passes NUMBER: a full search, to the end, which came to the checks of the final state.
passes() {
    pan "$1" -w23 && grep -q '^Full statespace search' out && grep -q 'errors: 0$' out &&
        grep -A 1 '^unreached in proctype quiet' out | grep -q '(0 of' &&
        ! grep -qiE 'not completed|too small|out of memory|warning|error:|aborting|violated' out
}

# found NUMBER CHECKS: the search ends at one of these checks.
found() {
    pan "$1" -w20
    grep -qE "assertion violated ($2) " out && grep -q 'errors: 1$' out
}

# search NAME "SETTING=VALUE..." FAULT...: the protocol and the faults, within these bounds.
search() {
    local name=$1 number checks
    enter "$name" "$2"
    if passes 0; then
        verdict ok "$model: $name: the protocol passes a full search"
        awk -v name="$model: $name" '/states, stored/ { print name ": " $1 " states" }' out >>notes
    else
        verdict not_ok "$model: $name: the protocol passes a full search"
        tail -n 40 out >>notes
    fi
    for fault in "${@:3}"; do
        read -r number checks < <(faults | sed -n "s/^$fault //p")
        if found "$number" "$checks"; then
            verdict ok "$model: $name: $fault is found"
        else
            verdict not_ok "$model: $name: $fault is found (by $checks)"
            head -n 20 out >>notes
        fi
    done
}

# miss NAME "SETTING=VALUE..." WHY FAULT...: here the faults pass a full search.
miss() {
    local name=$1 why=$3 number
    enter "$name" "$2"
    for fault in "${@:4}"; do
        number=$(sed -nE "s,^#define $fault ([0-9]+)( .*)?\$,\\1,p" "$here/$model.pml")
        if passes "$number"; then
            verdict ok "$model: $name: $fault $why"
        else
            verdict not_ok "$model: $name: $fault $why"
            tail -n 40 out >>notes
        fi
    done
}

# enter NAME "SETTING=VALUE...": a directory and the settings of a search; the rest keeps those of
# the model.
enter() {
    mkdir "$tap_scratch/$model/$1" && cd "$tap_scratch/$model/$1" || exit 2
    # shellcheck disable=SC2086,SC2163 # the settings are words
    export $settings $2
}

names=
start() {
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    names="$names $model/$2"
    "$@" &
}

build() {
    local memory_mb=500 # of each search; one that needs more fails
    if [ "$long" = yes ]; then memory_mb=2500; fi
    (
        mkdir "$tap_scratch/$model" && cd "$tap_scratch/$model" &&
            spin -a -DANY "$here/$model.pml" &&
            "$cc" -w -O1 -DSAFETY -DCOLLAPSE -DMEMLIM="$memory_mb" -o pan pan.c
    )
}

# use MODEL "SETTING=VALUE...": what is started from now on is about that model.
use() {
    model=$1
    settings=$2
    check "$model: the model compiles" build
    if [ "$tap_failed" -ne 0 ]; then
        wait # for the searches of the models before
        finish
    fi
}

# Of each model the longest first.
use door "POSTS_1=2 POSTS_2=2 STOPS_1=0 STOPS_2=0 EVENTS=1 BATCH=0 CLOSE=0 DRAIN=0 SEQUENTIAL=0"
start search close "CLOSE=1" close_by_store close_relaxed take_after_close
start search stop "POSTS_1=1 POSTS_2=1 STOPS_1=1 STOPS_2=1"
start search stop-close "POSTS_1=1 POSTS_2=0 STOPS_1=1 STOPS_2=2 CLOSE=1"
start search posts "" \
    link_relaxed link_not_renewed signal_never signal_always signal_before_link sleeping_flag \
    take_relaxed take_by_store take_newest_first next_read_late arm_by_store disarm_by_store \
    disarm_omitted
start search stops "POSTS_1=1 POSTS_2=0 STOPS_1=1 STOPS_2=2" \
    node_pushed_twice request_read_first request_wiped clear_by_store clear_no_acquire \
    clear_no_release queued_no_release node_next_read_late
start search batch "BATCH=1 DRAIN=1" batch_oldest_first drain_after_arm
start miss fenced "POSTS_2=1" "passes" sleeping_flag_fenced
start miss sequential "SEQUENTIAL=1" "shows only with store buffers" \
    link_relaxed sleeping_flag take_relaxed
start miss sequential-stops "SEQUENTIAL=1 POSTS_1=1 POSTS_2=0 STOPS_1=1 STOPS_2=2" \
    "shows only with store buffers" clear_by_store clear_no_acquire clear_no_release \
    queued_no_release
start miss sequential-close "SEQUENTIAL=1 POSTS_1=1 POSTS_2=1 CLOSE=1" \
    "shows only with store buffers" close_relaxed
if [ "$long" = yes ]; then
    start search long-stop "POSTS_1=1 POSTS_2=1 STOPS_1=2 STOPS_2=2"
    start search long-stop-close "POSTS_1=1 POSTS_2=1 STOPS_1=1 STOPS_2=2 CLOSE=1"
    start search long-batch "STOPS_1=1 STOPS_2=1 BATCH=1"
    start search long-events "EVENTS=3 CLOSE=1 DRAIN=1"
fi

use executor "PIECES=3 CLOSE=0 SEQUENTIAL=0"
start search close "PIECES=2 CLOSE=1" close_forgets late_forgets close_wakes_one
start search open "" \
    wake_never chain_never waking_kept sleep_by_flag count_by_store park_unchecked unpark_first \
    filled_relaxed fill_unchecked emptied_early unfilled_taken
start miss sequential "SEQUENTIAL=1" "is a fault of memory order alone" filled_relaxed
if [ "$long" = yes ]; then
    start search long-close "CLOSE=1"
fi

use future "RESOLVERS=1 CLOSE=1 SEQUENTIAL=0"
start search close "RESOLVERS=2" \
    claim_by_store list_first list_forgotten one_reference loop_not_held link_read_late \
    refused_ended refused_kept
start search open "CLOSE=0" \
    chain_relaxed chain_not_renewed late_unreceived done_unacquired result_late take_relaxed \
    take_by_store done_by_store done_first done_relaxed newest_first
start miss sequential "SEQUENTIAL=1" "is a fault of memory order alone" \
    chain_relaxed done_unacquired take_relaxed done_relaxed

use lane "POSTS=3 OOMS=0 STOPS=0 WAKES=0 EVENTS=1 CLOSE=0 BUDGET=0 SEQUENTIAL=0"
start search detour "OOMS=2 CLOSE=1" detour_unlooked detour_flag_early
start search budget "POSTS=2 STOPS=1 WAKES=1 BUDGET=1" \
    stop_skips_queued stop_takes_once stop_relaxed
start search stop "POSTS=2 OOMS=1 STOPS=1" look_before_door behind_uncounted
start search posts "POSTS=4" \
    announce_no_release announce_no_acquire announce_by_store push_always push_before_announce \
    ring_always look_relaxed settle_by_store settle_no_release settle_failure_relaxed \
    sleep_unsettled return_before_read return_no_release returned_relaxed abandoned_not_idle \
    abandoned_relaxed release_relaxed forsake_both
start search close "CLOSE=1" \
    refuse_by_store refuse_unchecked close_by_store close_relaxed close_lane_first forsake_one
start miss sequential "SEQUENTIAL=1 CLOSE=1" "is a fault of memory order alone" \
    announce_no_release announce_no_acquire look_relaxed settle_no_release \
    settle_failure_relaxed return_no_release returned_relaxed close_relaxed abandoned_relaxed \
    release_relaxed
start miss sequential-stop "SEQUENTIAL=1 POSTS=2 STOPS=1 WAKES=1" \
    "is a fault of memory order alone" stop_relaxed
if [ "$long" = yes ]; then
    start search long-detour "POSTS=4 OOMS=3 EVENTS=2 CLOSE=1"
    start search long-stop "OOMS=2 STOPS=1 WAKES=1 BUDGET=1"
    start search long-stop-close "OOMS=2 STOPS=1 WAKES=1 CLOSE=1"
    start search long-stops "POSTS=2 OOMS=1 STOPS=2 WAKES=1 CLOSE=1 BUDGET=1"
fi

use signal "SIGNALS_1=1 SIGNALS_2=1 NODES=0 ADDS_1=1 ADDS_2=1 CLOSE=0 SEQUENTIAL=0"
start search close "CLOSE=1" unpin_before_ring refused_stays_queued close_frees_first
start search watch "" \
    pin_omitted pin_by_add pin_relaxed unpin_relaxed unpin_silent queued_by_load \
    queued_no_acquire queued_no_release cleared_late clear_no_acquire clear_no_release \
    removed_unlooked active_first activate_relaxed remove_no_wait wait_relaxed awaited_never \
    park_unchecked reuse_early lock_relaxed
start search nodes "SIGNALS_1=0 SIGNALS_2=0 NODES=2 ADDS_1=0 ADDS_2=0 CLOSE=1" \
    node_given_early give_relaxed take_relaxed
start miss sequential "SEQUENTIAL=1 ADDS_2=0 CLOSE=1" "is a fault of memory order alone" \
    pin_relaxed unpin_relaxed queued_no_acquire queued_no_release clear_no_acquire \
    clear_no_release activate_relaxed wait_relaxed lock_relaxed
start miss sequential-nodes \
    "SEQUENTIAL=1 SIGNALS_1=0 SIGNALS_2=0 NODES=2 ADDS_1=0 ADDS_2=0 CLOSE=1" \
    "is a fault of memory order alone" give_relaxed take_relaxed
if [ "$long" = yes ]; then
    start search long-signals "SIGNALS_1=2 CLOSE=1"
    start search long-adds "ADDS_1=2 CLOSE=1"
    start search long-nodes "NODES=1 CLOSE=1"
fi

use watchdog "ASKS_1=2 ASKS_2=0 STRETCHES=1 MOVES=0 SEQUENTIAL=0"
start search two "ASKS_1=1 ASKS_2=1" lock_omitted lock_relaxed
start search ask "" \
    number_omitted thread_late ask_relaxed ask_while_taken look_relaxed wait_for_ever \
    await_relaxed give_up_not give_up_by_store taken_is_done load_relaxed thread_not_compared \
    taken_by_store taken_not done_early done_relaxed end_not_stamped stamp_not_compared
start search move "ASKS_1=1 STRETCHES=2 MOVES=1" stamp_first stamp_relaxed since_relaxed
start miss sequential "SEQUENTIAL=1" "is a fault of memory order alone" \
    ask_relaxed look_relaxed await_relaxed load_relaxed done_relaxed
start miss sequential-two "SEQUENTIAL=1 ASKS_1=1 ASKS_2=1" "is a fault of memory order alone" \
    lock_relaxed
start miss sequential-move "SEQUENTIAL=1 ASKS_1=1 STRETCHES=2 MOVES=1" \
    "is a fault of memory order alone" stamp_relaxed since_relaxed
if [ "$long" = yes ]; then
    start search long-two "ASKS_2=1"
    start search long-move "STRETCHES=2 MOVES=1"
fi

use work "SEQUENTIAL=0"
start search close "" \
    begin_by_store finish_by_store finish_relaxed leave_frees refused_done loop_not_held \
    await_not withdraw_not cancel_by_store refused_kept awaited_kept
start miss sequential "SEQUENTIAL=1" "is a fault of memory order alone" finish_relaxed
wait

for name in $names; do
    if [ ! -s "$tap_scratch/$name/verdicts" ]; then not_ok "${name/\//: }: came to an end"; fi
    while IFS=$'\t' read -r kind text; do
        "$kind" "$text"
    done < <(cat "$tap_scratch/$name/verdicts")
    if [ -s "$tap_scratch/$name/notes" ]; then note "$(cat "$tap_scratch/$name/notes")"; fi
done

# every_fault_is_tried COUNT: the table of the model was read as it is meant, has at least so many
# faults, and none of them was left out.
every_fault_is_tried() {
    local in_table tried
    in_table=$(faults | awk '{ print $1 }' | sort)
    tried=$(sed -nE 's/^(not_)?ok\t.*: ([a-z_]+) is found.*/\2/p' "$tap_scratch/$model"/*/verdicts |
        sort)
    diff <(echo "$in_table") <(echo "$tried") && [ "$(echo "$in_table" | wc -l)" -ge "$1" ]
}
model=door
check "door: every seeded fault is tried" every_fault_is_tried 26
model=executor
check "executor: every seeded fault is tried" every_fault_is_tried 14
model=future
check "future: every seeded fault is tried" every_fault_is_tried 19
model=lane
check "lane: every seeded fault is tried" every_fault_is_tried 31
model=signal
check "signal: every seeded fault is tried" every_fault_is_tried 26
model=watchdog
check "watchdog: every seeded fault is tried" every_fault_is_tried 23
model=work
check "work: every seeded fault is tried" every_fault_is_tried 11
finish
