#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# tidy.sh CHECK...: runs tidy checks as the cases of one test. The variables are set by CMakeLists.txt here.

set -u
. "$(dirname "$0")/../harness/tap.sh"
here=$(cd "$(dirname "$0")" && pwd)
root=$GYRE_SOURCE_DIR

for name in "$@"; do
    case $name in
    layers | source | sizes | headers | labels | docs | snippets | contract)
        check "$name" "$here/check_$name.sh" "$root"
        ;;
    probe)
        for layer in loop cores net backends; do
            check "include paths of $layer" "$here/probe_layers.sh" "$root" "$GYRE_BUILD_DIR" "$GYRE_CC" $layer
        done
        ;;
    imports)
        check imports "$here/check_imports.sh" "$root" "$GYRE_OBJECTS"
        ;;
    exports)
        check exports "$here/check_exports.sh" "$root" "$GYRE_LIBRARY"
        ;;
    readme)
        if [ -e "$root/README.md" ]; then
            check "the program of README.md" "$here/check_readme.sh" "$root" "$GYRE_STATIC_LIBRARY" "$GYRE_CC"
        else
            skip "the program of README.md" "there is no README.md yet"
        fi
        ;;
    install)
        check "install and use" "$here/check_install.sh" "$root"
        ;;
    clang-tidy)
        if command -v clang-tidy >/dev/null; then
            check clang-tidy "$here/check_clang_tidy.sh" "$root" "$GYRE_BUILD_DIR"
        else
            skip clang-tidy "clang-tidy is not installed"
        fi
        ;;
    *)
        note "no such check"
        not_ok "$name"
        ;;
    esac
done
finish
