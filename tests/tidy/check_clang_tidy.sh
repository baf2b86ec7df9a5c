#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_clang_tidy.sh ROOT BUILD: clang-tidy, with the checks of .clang-tidy, over the library and the examples.

set -u
root=$1 build=$2
cd "$root" || exit 2
find runtime backends examples -name '*.c' -print0 | sort -z |
    xargs -0 -n 1 -P "$(nproc)" clang-tidy -p "$build" --quiet 2>/dev/null
