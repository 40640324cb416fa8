#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# Builds that are not the usual one, each with its unit tests: by clang with
# -Weverything (tests/clang-flags says what is left out, and why), and without
# each of the libraries that weir can do without. `tests/check-builds.sh clang
# milter` makes those two alone. Ends with exit status 0, or at the build that
# failed; its logs stay in build/check-builds/.
set -euo pipefail
cd "$(dirname "$0")/.."
top=$PWD
work=$top/build/check-builds
jobs=${JOBS:-$(nproc)}

# name, and what configure is told.
builds="clang --enable-werror CC=clang
netd --enable-werror --disable-netd
systemd --enable-werror --without-systemd
milter --enable-werror --without-milter
zstd --enable-werror --without-zstd
seccomp --enable-werror --without-seccomp"

# What configure has found, where a library has been left out. Not by ldd: other
# libraries may need it (libpcap takes libdbus, and that libsystemd).
left_out() {
    case $1 in
    clang) true ;;
    netd) ! [ -e weir-netd ] ;;
    *) ! readelf -d weir-maild weir-replay weir-netd |
        grep "NEEDED.*lib$1[.]" ;;
    esac
}

# Those of tests/clang-flags that this clang knows.
clang_flags() {
    local flag
    echo -Weverything
    while read -r flag _; do
        case $flag in -W*) ;; *) continue ;; esac
        if echo 'extern int x;' | clang "-W${flag#-Wno-}" -Werror \
            -fsyntax-only -xc - 2>/dev/null; then
            echo "$flag"
        fi
    done <tests/clang-flags
    echo -Werror
}

# run_units: each in its own directory as `make check` has it, some at a time.
run_units() {
    make --no-print-directory -j"$jobs" -k check >check.log 2>&1 ||
        { grep -E '^(FAIL|ERROR)' check.log; return 1; }
    grep -E '^# (TOTAL|PASS|SKIP):' check.log | tr -d '\n'
    echo
}

build() {
    local name=$1 variables=() goal
    shift
    echo "== $name: configure $*"
    rm -rf "${work:?}/$name"
    mkdir -p "$work/$name"
    if [ "$name" = clang ]; then
        variables=("WARN_CFLAGS=$(clang_flags | tr '\n' ' ')")
    fi
    cd "$work/$name"
    "$top/configure" "$@" CFLAGS='-O1 -g' >configure.log 2>&1
    # One after the other: as two goals both would make the archives.
    for goal in all check-programs; do
        make --no-print-directory -j"$jobs" "${variables[@]}" "$goal" \
            >build.log 2>&1 || { grep -E 'error|undefined|No such' build.log |
            head -30; return 1; }
    done
    left_out "$name"
    run_units
    cd "$top"
    rm -rf "${work:?}/$name"
}

while read -r name arguments; do
    case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
    # shellcheck disable=SC2086
    build "$name" $arguments
done <<<"$builds"
