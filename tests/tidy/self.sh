#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# self.sh [install]: each tidy check passes a small sound project and finds each fault seeded into a copy of it. A check that has
# stopped looking shows here. With "install" it tries check_install.sh, which takes builds of the real project, and
# nothing else.

set -u
. "$(dirname "$0")/../harness/tap.sh"
here=$(cd "$(dirname "$0")" && pwd)
compiler=${GYRE_CC:-cc}
use_scratch
good=$tap_scratch/good
bad=$tap_scratch/bad

# ---- the sound project

spdx='/* SPDX-License-Identifier: MIT */'
mkdir -p "$good"/{runtime/{include/gyre,contract,loop,cores,net},backends,examples,tests/{tidy,contract},docs}
cat >"$good/CMakeLists.txt" <<'END'
# SPDX-License-Identifier: MIT
project(gyre VERSION 0.1.0 LANGUAGES C)
option(GYRE_BUILD_TESTS)
set(SOURCES thing.c ready.c echo.c)
END
printf '# SPDX-License-Identifier: MIT\ngyre_add_test(rules)\n' >"$good/tests/contract/CMakeLists.txt"
cat >"$good/runtime/include/gyre/base.h" <<END
$spdx
/* base - the sound project's only public header. */
#ifndef GYRE_BASE_H
#define GYRE_BASE_H

#include <stdint.h>

#define GYRE_API __attribute__((visibility("default")))
#define GYRE_MUST_CHECK __attribute__((warn_unused_result))
#define GYRE_ANY_THREAD
#define GYRE_VERSION_MAJOR 0
#define GYRE_VERSION_MINOR 1
#define GYRE_VERSION_PATCH 0

#ifdef __cplusplus
extern "C" {
#endif

struct gyre_thing {
    uint32_t number;
};

/*
 * Fills the thing.
 *
 * Threads:  any.
 * Blocks:   never.
 * Errors:   -EINVAL: it is full.
 */
GYRE_API GYRE_MUST_CHECK int gyre_thing_fill(struct gyre_thing *thing,
                                             uint32_t number) GYRE_ANY_THREAD;

/*
 * Empties the thing.
 *
 * Threads:  any.
 */
GYRE_API void gyre_thing_clear(struct gyre_thing *thing) GYRE_ANY_THREAD;

#ifdef __cplusplus
}
#endif

#endif
END
for layer in contract loop cores net; do
    printf '%s\n/* %s - a private header. */\nint gyre__%s(int number);\n' "$spdx" $layer $layer \
        >"$good/runtime/$layer/part.h"
done
printf '%s\n/* ready - a private header. */\nint gyre__ready(void);\n' "$spdx" >"$good/backends/ready.h"
cat >"$good/runtime/loop/thing.c" <<END
$spdx
/* thing - the sound project's only source. */
#include "loop/part.h"

#include <gyre/base.h>
#include <stdatomic.h>
#include <string.h>

#include "contract/part.h"

static _Atomic int calls;

int gyre_thing_fill(struct gyre_thing *thing, uint32_t number)
{
    atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed);
    memset(thing, 0, sizeof(*thing));
    thing->number = number;
    return 0;
}

void gyre_thing_clear(struct gyre_thing *thing)
{
    thing->number = 0;
}
END
printf '%s\n/* ready - readiness. */\n#include "ready.h"\n#include "contract/part.h"\n#include <unistd.h>\n' "$spdx" \
    >"$good/backends/ready.c"
printf '%s\n/* echo - an example. */\n#include <gyre/base.h>\n#include <signal.h>\n' "$spdx" >"$good/examples/echo.c"
cat >"$good/tests/contract/rules.c" <<END
$spdx
/* rules. */
#include "harness/gyre_test.h"
GYRE_TEST(rules, T37_is_kept)
{
    cr_assert_eq(1, 1);
    cr_assert_eq(2, 2);
}
END
cat >"$good/docs/contract.md" <<'END'
# The contract

- **T37** A rule. See [the page](page.md).
- **T38** One that is for
  later. *(not yet)*
END
printf 'gyre_thing_fill, the gyre_thing_* family, GYRE_BUILD_TESTS, gyre__loop.\n' >"$good/docs/page.md"
cat >"$good/README.md" <<'END'
# gyre

```c
#include <gyre/base.h>

int main(void)
{
    struct gyre_thing thing;
    return gyre_thing_fill(&thing, 1);
}
```
END
echo '# none' >"$good/tests/tidy/exceptions.txt"
cp "$here/runtime-imports.txt" "$good/tests/tidy/"
printf '# The list\ngyre_thing_clear\ngyre_thing_fill\n' >"$good/tests/tidy/exports.txt"
cp "$here/../../runtime/gyre.map" "$good/runtime/"

# ---- how a seed is tried

# seed: a fresh copy of the sound project to spoil
seed() { rm -rf "$bad" && cp -r "$good" "$bad" && base=$good; }

planted() { [ -n "${soname+set}${nodelete+set}" ] || diff -rq "$base" "$bad" | grep -qvF "Only in $base"; }

# finds CHECK TEXT: the check refuses the spoiled copy, and says TEXT
finds() {
    local output
    if ! planted; then
        note "the copy is as sound as the original"
        not_ok "$1 finds: $2"
    elif output=$(run_check "$1" "$bad" 2>&1); then
        note "check_$1 found nothing"
        not_ok "$1 finds: $2"
    elif ! printf '%s' "$output" | grep -qF -- "$2"; then
        note "$output"
        not_ok "$1 finds: $2"
    else
        ok "$1 finds: $2"
    fi
}

build() { # ROOT: objects and library, as the build would make them
    (cd "$1" && mkdir -p out && cd out &&
        $compiler -O2 -fPIC -fvisibility=hidden -I../runtime/include -I../runtime -c ../runtime/loop/thing.c -o thing.o &&
        ar rcs libgyre.a thing.o &&
        $compiler -shared ${soname--Wl,-soname,libgyre.so.0} ${nodelete--Wl,-z,nodelete} \
            -Wl,--version-script=../runtime/gyre.map thing.o -o libgyre.so &&
        echo "$1/out/thing.o" >objects.txt)
}

run_check() { # CHECK ROOT
    case $1 in
    imports) build "$2" && "$here/check_imports.sh" "$2" "$2/out/objects.txt" ;;
    exports) build "$2" && "$here/check_exports.sh" "$2" "$2/out/libgyre.so" ;;
    readme) build "$2" && "$here/check_readme.sh" "$2" "$2/out/libgyre.a" "$compiler" ;;
    probe) "$here/probe_layers.sh" "$2" "$2/out" "$compiler" "$layer" ;;
    *) "$here/check_$1.sh" "$2" ;;
    esac
}

# ---- install: the real project, spoiled
if [ "${1:-}" = install ]; then
    # No source is spoiled, and each copy has the times of the original: the library is compiled once.
    export GYRE_INSTALL_OPTIONS="-DGYRE_BUILD_EXAMPLES=OFF -DCMAKE_BUILD_TYPE=Debug" GYRE_INSTALL_BUILD=$tap_scratch/build
    real() { rm -rf "$bad" && mkdir "$bad" && cp -a "$here"/../../{CMakeLists.txt,runtime,backends,examples} "$bad" && base=$here/../..; }
    real && sed -i 's/FILES_MATCHING PATTERN "\*\.h"/FILES_MATCHING PATTERN "b*.h"/' "$bad/CMakeLists.txt" &&
    finds install 'is not installed'
    real && sed -i 's/find_dependency(Threads)/find_dependency(NoSuchPackage)/' "$bad/runtime/gyre-config.cmake.in" &&
    finds install 'NoSuchPackage'
    real && sed -i 's/-lgyre/-lgyrate/' "$bad/runtime/gyre.pc.in"; finds install 'gyrate'
    finish
fi

# ---- the other checks: the sound project, spoiled

for name in layers source sizes headers labels docs snippets contract imports exports readme; do
    check "$name passes a sound project" run_check $name "$good"
done
rm -rf "$good/out"

append() { printf '%s\n' "$2" >>"$bad/$1"; }
header=runtime/include/gyre/base.h
source=runtime/loop/thing.c

# ---- layers
try() { seed && append "$2" "$3"; finds "$1" "$4"; }
try layers runtime/loop/thing.c '#include "cores/part.h"' 'may not see cores/part.h'
try layers runtime/cores/part.h '#include "net/part.h"' 'may not see net/part.h'
try layers runtime/net/part.h '#include "backends/ready.h"' 'may not see backends/ready.h'
try layers runtime/contract/part.h '#include "loop/part.h"' 'may not see loop/part.h'
try layers backends/ready.c '#include "loop/part.h"' 'may not see loop/part.h'
try layers runtime/loop/thing.c '#include "../cores/part.h"' 'includes by path'
try layers runtime/loop/thing.c '#include <unistd.h>' 'a system header outside backends/'
try layers examples/echo.c '#include "loop/part.h"' 'may not see loop/part.h'
try layers tests/contract/rules.c 'int use_epoll_here;' 'names a backend'

# ---- source
try source $source '/* TODO later */' 'unfinished work'
try source $source '/* FIXME */' 'unfinished work'
try source $source '#if 0' 'code switched off'
try source $source '#include "loop/other.c"' 'includes a .c file'
try source $source "$(printf '\tint x;')" 'a tab'
try source $source 'int x; ' 'white space'
try source $source 'typedef struct thing thing_t;' 'a typedef for a struct'
try source $source 'int f(void) { return atomic_load(&calls); }' 'without _explicit'
seed && sed -i 1d "$bad/$source"; finds source 'licence line'
seed && sed -i 2d "$bad/$source"; finds source 'does not open with a comment'
seed && sed -i 1d "$bad/CMakeLists.txt"; finds source 'CMakeLists.txt:1: the licence line'
seed && cp "$bad/backends/ready.h" "$bad/backends/limits.h"; finds source 'a standard name'

seed && cp "$bad/$source" "$bad/runtime/loop/other.c"; finds source 'other.c is not in CMakeLists.txt'
seed && cp "$bad/$source" "$bad/tests/contract/more.c"; finds source 'more.c is in no CMakeLists.txt'

# ---- sizes
seed && { for i in $(seq 600); do echo "/* $i */"; done >>"$bad/$source"; }; finds sizes ' lines  [file-length]'
seed && { echo 'int long_one(void)'; echo '{'; for i in $(seq 71); do echo "    ;"; done; echo '}'; } >>"$bad/$source"
finds sizes 'long_one has 71 lines'
try sizes $source "$(printf '/* %0100d */' 1)" '106 columns'
try sizes $source 'int f(void) {' 'brace is not on a line of its own'
seed && append $source "$(printf '/* %0100d */' 1)" &&
    append tests/tidy/exceptions.txt "line-length $source 104 a drawing needs it"; finds sizes '(104 was granted)'
seed && append tests/tidy/exceptions.txt "file-length $source 900 it was long once"; finds sizes 'nothing needs'
seed && append $source "$(printf '/* %0100d */' 1)" && append tests/tidy/exceptions.txt "line-length $source 106 why"
finds sizes 'an exception needs a reason'
seed && append $source "$(printf '/* %0100d */' 1)" &&
    append tests/tidy/exceptions.txt "line-length $source 106 a drawing needs it"
check "sizes lets an exception with a reason pass" run_check sizes "$bad"

# ---- headers
insert() { sed -i "s|^#include <stdint.h>|$1\n&|" "$bad/$header"; }
seed && insert '#include <unistd.h>'; finds headers 'not standard C'
seed && insert '#include "contract/part.h"'; finds headers 'includes with quotes'
seed && insert '#define LIMIT 3'; finds headers 'a macro without the prefix: LIMIT'
seed && insert 'int gyre__hidden(void);'; finds headers 'names something private'
seed && insert '#include <stdatomic.h>'; finds headers 'uses atomics'
seed && insert 'struct thing { int x; };'; finds headers 'a type without the prefix: thing'
seed && sed -i '/#include <stdint.h>/d' "$bad/$header"; finds headers 'does not compile alone: gcc'
seed && insert 'int gyre_new(int new);'; finds headers 'does not compile alone: g++'
seed && sed -i '/GYRE_BASE_H/d; $d' "$bad/$header"; finds headers 'does not compile alone: gcc'
if command -v clang >/dev/null; then
    seed && insert '#ifdef __clang__\n#error "clang"\n#endif'; finds headers 'does not compile alone: clang'
else
    skip "headers finds: does not compile alone: clang" "clang is not installed"
fi

# ---- labels
seed && sed -i '/^ \* Threads:/d' "$bad/$header"; finds labels 'no "Threads:"'
seed && sed -i '/^ \* Errors:/d' "$bad/$header"; finds labels 'no "Errors:"'
seed && sed -i 's/^ \* Blocks: .*/ * Limits:   one./' "$bad/$header"; finds labels 'out of order'
seed && sed -i 's/GYRE_MUST_CHECK int/int/' "$bad/$header"; finds labels 'is not GYRE_MUST_CHECK'
seed && sed -i 's/ GYRE_ANY_THREAD;/;/' "$bad/$header"; finds labels 'ends in no role'
seed && sed -i '/^\/\*$/,/^ \*\/$/d' "$bad/$header"; finds labels 'has no comment'

# ---- docs
try docs README.md 'gyre_thing_break does it.' 'gyre_thing_break does not exist'
try docs docs/page.md 'gyre__hidden does it.' 'gyre__hidden does not exist'
try docs docs/page.md 'gyre_nothing_* do it.' 'gyre_nothing_* does not exist'
try docs docs/page.md 'GYRE_BUILD_WORLD does it.' 'GYRE_BUILD_WORLD does not exist'
try docs docs/page.md '[this](gone.md)' 'no file gone.md'

# ---- contract
rules=tests/contract/rules.c
test_of() { # NAME: a test of two assertions
    printf 'GYRE_TEST(rules, %s)\n{\n    cr_assert(1);\n    cr_assert_eq(1, 1);\n}\n' "$1"
}
try contract $rules "$(test_of T39_is_kept)" 'has no rule T39'
try contract $rules "$(test_of T37_T39_are_kept)" 'has no rule T39'
try contract docs/contract.md '- **T37a**, **T39** More rules.' 'T39 has no test'
try contract docs/contract.md '- **T40** A rule. *(In part.)*' 'T40 has no test'
seed && sed -i '/cr_assert_eq(2/d' "$bad/$rules"; finds contract 'asserts 1 times'
seed && sed -i 's/T37_is_kept/is_kept/' "$bad/$rules"; finds contract 'T37 has no test'
seed && sed -i '/^- /d' "$bad/docs/contract.md"; finds contract 'has no rules'
halve() { # CALL: takes the call of a helper in place of the second assertion
    seed && sed -i "s/cr_assert_eq(2, 2)/$1()/" "$bad/$rules"
}
helper() { # NAME FILE
    printf 'void %s(void)\n{\n    CHECK(1);\n}\n' "$1" >>"$bad/tests/contract/$2"
}
halve part && helper part rules.c
check "contract counts the assertions of a helper" run_check contract "$bad"
halve assert_part && helper assert_part support.c
check "contract counts those of assert_ in another file" run_check contract "$bad"
halve set_up && helper set_up support.c; finds contract 'asserts 1 times'

# ---- snippets
try snippets docs/page.md "$(printf '```c\nint broken = gone;\n```')" 'does not compile'
try snippets docs/page.md "$(printf '```c\n/* excerpt of runtime/include/gyre/base.h */\nint gone;\n```')" 'not in runtime'

# ---- imports
into() { sed -i "s|    memset(thing.*|    $1|; s|#include <string.h>|&\n#include <stdlib.h>\n#include <time.h>\n#include <errno.h>|" "$bad/$source"; }
seed && into 'return malloc(number) == NULL;'; finds imports 'calls malloc'
seed && into 'return (int)time(NULL);'; finds imports 'calls time'
seed && into 'return errno;'; finds imports 'calls __errno_location'

# ---- exports
seed && printf 'int gyre_extra(void);\nint gyre_extra(void)\n{\n    return 0;\n}\n' >>"$bad/$source" &&
    sed -i 's/^int gyre_extra(void);/__attribute__((visibility("default"))) &/' "$bad/$source"
finds exports 'gyre_extra is exported, and not in exports.txt'
seed && append tests/tidy/exports.txt gyre_gone; finds exports 'gyre_gone is in exports.txt, and not exported'
seed && sed -i 's/visibility("default")/visibility("hidden")/' "$bad/$header"
finds exports 'gyre_thing_fill is in a public header, and not exported'
seed && sed -i 's/\[!_\]//' "$bad/runtime/gyre.map" &&
    printf '__attribute__((visibility("default"))) int gyre__leak(void);\nint gyre__leak(void)\n{\n    return 0;\n}\n' \
        >>"$bad/$source"; finds exports 'gyre__leak is exported'
seed && append tests/tidy/exports.txt gyre_gone && build "$bad" &&
    "$here/check_exports.sh" "$bad" "$bad/out/libgyre.so" --update >/dev/null
check "exports --update repairs the list" cmp <(grep -v '^#' "$bad/tests/tidy/exports.txt") \
        <(grep -v '^#' "$good/tests/tidy/exports.txt")
seed && soname='' finds exports 'SONAME'
seed && nodelete='' finds exports 'nodelete'
seed && sed -i 's/VERSION 0.1.0/VERSION 0.2.0/' "$bad/CMakeLists.txt"; finds exports 'CMakeLists.txt says 0.2.0'

# ---- the program of README.md
seed && sed -i 's/gyre_thing_fill(&thing, 1)/gyre_thing_fill(1)/' "$bad/README.md"; finds readme 'gyre_thing_fill'
seed && sed -i 's/    return gyre.*/    return 3;/; /struct gyre_thing/d' "$bad/README.md"; finds readme 'ended with 3'
seed && sed -i "s/^int main/$(printf '\\n%.0s' $(seq 30))&/" "$bad/README.md"; finds readme 'lines'
seed && sed -i '/^```c/,$d' "$bad/README.md"; finds readme 'no C program'

# ---- include paths: as compile_commands.json of a build whose loop layer sees too much, and one that sees too little
probe_build() { # FLAGS
    mkdir -p "$bad/out"
    printf '[{"command": "cc %s -o CMakeFiles/gyre_loop.dir/thing.c.o -c thing.c"}]\n' "$1" \
        >"$bad/out/compile_commands.json"
}
links() { # FOLDER...: an include root, as the build makes one
    mkdir -p "$bad/out/layers"
    for folder in "$@"; do ln -s "$bad/runtime/$folder" "$bad/out/layers/$folder"; done
}
layer=loop
seed && links contract loop && probe_build "-I$bad/runtime/include -I$bad/out/layers"
check "probe passes a sound layer" run_check probe "$bad"
seed && probe_build "-I$bad/runtime/include -I$bad/runtime"; finds probe '"cores/part.h" compiles: yes, and should: no'
seed && links loop && probe_build "-I$bad/runtime/include -I$bad/out/layers"
finds probe '"contract/part.h" compiles: no, and should: yes'

finish
