#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# check_install.sh ROOT: what a user does. Configures gyre with nothing but its defaults, builds, installs below a prefix,
# moves the prefix, and builds programs against it: by find_package with the shared and the static library, by
# pkg-config, and with gyre as a part of the user's project. To be quicker, self.sh sets GYRE_INSTALL_OPTIONS, for cmake,
# and GYRE_INSTALL_BUILD, a folder that keeps the build.

set -u
root=$1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/gyre-install.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
fail() { echo "install: $*" && exit 1; }
run() { "$@" >"$scratch/log" 2>&1 || { tail -n 40 "$scratch/log" && fail "$*"; }; }

build=${GYRE_INSTALL_BUILD:-$scratch/build}
run cmake -S "$root" -B "$build" -DCMAKE_INSTALL_PREFIX="$scratch/first" ${GYRE_INSTALL_OPTIONS:-}
run cmake --build "$build" --parallel 2
run cmake --install "$build"
if grep -q ^CRITERION "$build/CMakeCache.txt"; then fail "the default build looks for Criterion"; fi
mv "$scratch/first" "$scratch/prefix"
prefix=$scratch/prefix

installed=$(cd "$prefix" && find . -type f -o -type l | sort)
for file in $(cd "$root/runtime" && find include -name '*.h'); do
    echo "$installed" | grep -qx "./$file" || fail "$file is not installed"
done
strange=$(echo "$installed" | grep -vE \
    '^\./(include/gyre/[a-z_]+\.h|lib[^ ]*/(libgyre\.(a|so(\.0(\.[0-9]+\.[0-9]+)?)?)|pkgconfig/gyre\.pc|cmake/gyre/[a-z-]+\.cmake)|bin/gyre-proxy)$')
if [ -n "$strange" ]; then fail "installs what it should not: $strange"; fi
if grep -rIl "$scratch/first" "$prefix" >"$scratch/log"; then
    fail "the prefix of the build stands in $(cat "$scratch/log")"
fi

mkdir "$scratch/user"
cat >"$scratch/user/user.c" <<'END'
#include <gyre/gyre.h>
#include <stdio.h>

int main(void)
{
    printf("%d %d\n", gyre_version(), GYRE_VERSION);
    return gyre_version() != GYRE_VERSION;
}
END
cat >"$scratch/user/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.20)
project(user LANGUAGES C)
find_package(gyre 0.1 REQUIRED)
add_executable(user_shared user.c)
target_link_libraries(user_shared PRIVATE gyre::gyre)
add_executable(user_static user.c)
target_link_libraries(user_static PRIVATE gyre::gyre_static)
END
run cmake -S "$scratch/user" -B "$scratch/user/build" -DCMAKE_PREFIX_PATH="$prefix"
run cmake --build "$scratch/user/build"
run "$scratch/user/build/user_shared"
run "$scratch/user/build/user_static"
if readelf -d "$scratch/user/build/user_static" | grep -q libgyre; then fail "user_static needs libgyre.so"; fi

if ! command -v pkg-config >/dev/null; then fail "pkg-config is not installed"; fi
PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name gyre.pc)")
export PKG_CONFIG_PATH
libdir=$(pkg-config --variable=libdir gyre)
version=$(sed -n 's/^project(gyre VERSION \([0-9.]*\).*/\1/p' "$root/CMakeLists.txt")
[ "$(pkg-config --modversion gyre)" = "$version" ] || fail "gyre.pc has another version than $version"
run cc $(pkg-config --cflags gyre) "$scratch/user/user.c" -o "$scratch/user/pkg" $(pkg-config --libs gyre)
run env LD_LIBRARY_PATH="$libdir" "$scratch/user/pkg"
run cc $(pkg-config --cflags gyre) "$scratch/user/user.c" -o "$scratch/user/pkg_static" \
    $(pkg-config --static --libs gyre | sed "s|-lgyre|$libdir/libgyre.a|")
run "$scratch/user/pkg_static"

# As part of another project: no examples, no install rules of ours, the same target names.
mkdir "$scratch/parent"
cat >"$scratch/parent/CMakeLists.txt" <<END
cmake_minimum_required(VERSION 3.20)
project(parent LANGUAGES C)
add_subdirectory("$root" gyre)
if(GYRE_BUILD_EXAMPLES OR GYRE_BUILD_TESTS OR GYRE_INSTALL)
    message(FATAL_ERROR "gyre builds more than the library")
endif()
add_executable(user "$scratch/user/user.c")
target_link_libraries(user PRIVATE gyre::gyre)
END
run cmake -S "$scratch/parent" -B "$scratch/parent/build"
run cmake --build "$scratch/parent/build" --parallel 2
run "$scratch/parent/build/user"
exit 0
