# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# All suites, called by ./bootstrap check: builds with warnings as errors, unit
# tests and fuzz targets plain, under ASan and UBSan, and what has threads under
# TSan; the release as a stranger gets it; format, static analysis, include
# directions, manual pages; end-to-end tests. Ends with a line per suite and
# "N passed, N failed". A suite that ran nothing, or less than its sources hold,
# has failed.

PASSED=0
FAILED=0
FAILURES=()
SUITES=()
FINISHED=

suite() {
    printf '\n== %s\n' "$1"
}

# count NAME PASSED FAILED [SKIPPED]
count() {
    local failed=$3 skipped=${4:-0} line
    if [ "$2" -eq 0 ] && [ "$3" -eq 0 ]; then
        echo "$1: nothing ran"
        failed=1
    fi
    PASSED=$((PASSED + $2))
    FAILED=$((FAILED + failed))
    if [ "$failed" -gt 0 ]; then FAILURES+=("$1"); fi
    line=$(printf '%s: %d passed, %d failed' "$1" "$2" "$failed")
    if [ "$skipped" -gt 0 ]; then line+=", $skipped skipped"; fi
    SUITES+=("$line")
    echo "$line"
}

# one NAME COMMAND...: a check that passes or fails as a whole.
one() {
    local name=$1 log=build/check-one.log
    shift
    if "$@" >"$log" 2>&1 </dev/null; then
        count "$name" 1 0
    else
        tail -60 "$log"
        count "$name" 0 1
    fi
}

# lines PATTERN FILE: how many match, 0 included.
lines() {
    grep -ac "$1" "$2" || true
}

# run_program PROGRAM: in the build directory, its output in PROGRAM.tap.
run_program() {
    local status=0
    # A core file per crash would fill the disk of a build machine.
    ulimit -c 0
    CMOCKA_MESSAGE_OUTPUT=tap \
        ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1 \
        UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
        TSAN_OPTIONS=halt_on_error=1 \
        timeout -k 10 900 "${WRAP[@]}" "./$1" >"$1.tap" 2>&1 </dev/null ||
        status=$?
    echo "$status" >"$1.status"
}

# cases_in PROGRAM: how many cases its source holds; 1 for a fuzz target, whose
# cases are its corpus.
cases_in() {
    case $1 in
    tests/unit/*) lines '^test_[a-z0-9_][a-z0-9_]*(void \*\*' "$1.c" ;;
    *) echo 1 ;;
    esac
}

# judge DIR PROGRAM: adds to passed, failed and skipped. Cases that were
# announced and did not come have failed, and so has a program that announces
# fewer than its source holds, or in whose source none is named test_*.
judge() {
    local log=$1/$2.tap status ok bad skip plan source
    status=$(cat "$1/$2.status")
    skip=$(lines '# SKIP' "$log")
    ok=$(sed '/# SKIP/d' "$log" | grep -ac '^ok ' || true)
    bad=$(sed '/# SKIP/d' "$log" | grep -ac '^not ok ' || true)
    plan=$(awk -F'[.]' '/^1\.\.[0-9]+$/ {n += $NF} END {print n + 0}' "$log")
    source=$(cases_in "$2")
    if [ "$bad" -eq 0 ]; then
        if [ "$status" -ne 0 ] || [ "$plan" -eq 0 ] ||
            [ "$source" -eq 0 ] || [ "$plan" -lt "$source" ] ||
            [ $((ok + skip)) -ne "$plan" ]; then bad=1; fi
    fi
    if [ "$bad" -gt 0 ]; then
        echo "--- $2: exit status $status, $ok of $plan passed," \
            "$source in its source ($log)"
        sed '/^ok /d' "$log" | tail -60
    fi
    grep -a '# SKIP' "$log" | sed "s|^|$2: |" || true
    passed=$((passed + ok))
    failed=$((failed + bad))
    skipped=$((skipped + skip))
}

# units DIR NAME PROGRAM...: builds and runs them, some at a time.
units() {
    local dir=$1 name=$2 program passed=0 failed=0 skipped=0
    shift 2
    if ! make -C "$dir" -j"$JOBS" --no-print-directory "$@" \
        >"$dir/check-build.log" 2>&1; then
        tail -30 "$dir/check-build.log"
        count "$name (build)" 0 1
        return
    fi
    (cd "$dir" && for program in "$@"; do
        while [ "$(jobs -pr | wc -l)" -ge "$JOBS" ]; do wait -n; done
        run_program "$program" &
    done && wait)
    for program in "$@"; do judge "$dir" "$program"; done
    count "$name" $passed $failed $skipped
}

all_units() {
    make -C build -s --no-print-directory print-check-programs
}

# Each source of tests/unit and tests/fuzz is a program here: what a library
# that is missing takes out of the build would not be missed otherwise.
no_unit_is_missing() {
    local built source missing=0
    built=" $(all_units) "
    for source in tests/unit/test_*.c tests/fuzz/fuzz_*.c; do
        case $built in *" ${source%.c} "*) continue ;; esac
        echo "$source is not part of the build (configure.log says why)"
        missing=1
    done
    return $missing
}

# Those of them, built in build/, that start threads.
threaded_units() {
    local program
    for program in $(all_units); do
        if nm -u "build/$program" | grep pthread_create >/dev/null; then
            echo "$program"
        fi
    done
}

# sum_of WORDS LINE: of "3 failed, 40 passed, 1 error in 9.21s".
sum_of() {
    { grep -oE "[0-9]+ ($1)" <<<"$2" || true; } |
        awk '{n += $1} END {print n + 0}'
}

# functions_in FILE...: test functions in these sources; each is a case at
# least.
functions_in() {
    cat "$@" | grep -cE '^ *(async )?def test_' || true
}

# Which of pytest's cases run: all, or those without the mark "long".
MARKED=()

# What only ./bootstrap check --long covers, by the reason that each mark gives.
say_what_is_long() {
    suite "left out here, and part of ./bootstrap check --long"
    echo "builds by clang, and without libraries that may be missing"
    PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m pytest -q \
        -p no:cacheprovider --collect-only -m long --color=no tests/e2e \
        2>&1 </dev/null | sed -n 's/^long: //p' || true
}

# What all end-to-end tests of one build may take.
E2E_S=2400

# e2e NAME FILES [pytest's arguments]: FILES are those whose tests have to run,
# but for those that the mark "long" takes out. Most of their time is waiting,
# so there is one worker more than processors, each with whole files.
e2e() {
    local name=$1 files=$2 log=build/e2e.log line passed failed skipped status=0
    local workers=$((JOBS < 3 ? JOBS + 1 : 4)) source long=0
    shift 2
    PYTHONDONTWRITEBYTECODE=1 timeout -s INT -k 60 "$E2E_S" \
        /usr/bin/python3 -m pytest -q -rs -p no:cacheprovider --maxfail=20 \
        -n "$workers" --dist loadfile --durations=10 --color=no "$@" \
        tests/e2e 2>&1 </dev/null | tee "$log" || status=$?
    line=$(grep -aE '[0-9]+ (passed|failed|error)' "$log" | tail -1 || true)
    passed=$(sum_of passed "$line")
    failed=$(sum_of 'failed|errors?' "$line")
    skipped=$(sum_of skipped "$line")
    if [ "$status" -ne 0 ] && [ "$failed" -eq 0 ]; then failed=1; fi
    # shellcheck disable=SC2086
    source=$(functions_in $files)
    if [ ${#MARKED[@]} -gt 0 ]; then
        # shellcheck disable=SC2086
        long=$(cat $files | grep -c '^ *@pytest.mark.long(' || true)
    fi
    if [ "$failed" -eq 0 ] && [ $((passed + skipped + long)) -lt "$source" ]
    then
        echo "$name: $((passed + skipped)) ran, $source are in the sources"
        failed=1
    fi
    count "$name" "${passed:-0}" "$failed" "$skipped"
}

# simulation SECONDS: each seed that ever failed, and fresh ones.
simulation() {
    local log=build/sim.log passed failed line
    if ! make -C build --no-print-directory tests/sim/sim >"$log" 2>&1; then
        tail -30 "$log"
        count "simulation (build)" 0 1
        return
    fi
    JOBS=$JOBS tests/sim/run.sh build/tests/sim/sim "$1" 2>&1 |
        tee "$log" || true
    line=$(tail -1 "$log")
    passed=$(sum_of passed "$line")
    failed=$(sum_of failed "$line")
    count "simulation" "${passed:-0}" "${failed:-1}"
}

sources() {
    find src include tests -name '*.[ch]' -print0
}

format_check() {
    sources | xargs -0 clang-format --dry-run --Werror
}

cppcheck_check() {
    cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
        --enable=warning,portability,performance \
        --suppressions-list=tests/cppcheck.suppress \
        -j "$JOBS" -I src -I include src tests/fuzz
}

shell_check() {
    shellcheck bootstrap .ci/run tests/*.sh tests/sim/*.sh contrib/*.sh contrib/*.bash \
        debian/*.preinst debian/*.postrm \
        contrib/weir-hold
}

manual_check() {
    mandoc -T lint -W warning doc/*.[1-8] build/doc/*.[1-8]
}

style_checks() {
    suite "style and static analysis"
    one "clang-format" format_check
    one "include directions" tests/check-includes.sh
    one "log events" tests/check-log.py
    one "idioms" tests/check-words.py
    one "cppcheck" cppcheck_check
    one "shellcheck" shell_check
    one "manual pages" manual_check
}

sanitizer_checks() {
    # shellcheck disable=SC2046
    units build-asan "unit tests, ASan and UBSan" $(all_units)
}

# TSan of gcc 12 knows no address space as random as newer kernels make it.
thread_checks() {
    local WRAP=()
    if setarch -R true 2>/dev/null; then WRAP=(setarch -R); fi
    # shellcheck disable=SC2046
    units build-tsan "unit tests, TSan" $(threaded_units)
}

# clang, and without each library that may be missing.
other_builds() {
    local name
    suite "other builds"
    for name in clang netd systemd milter zstd seccomp; do
        one "built and unit tests: $name" tests/check-builds.sh "$name"
    done
}

# A script that ends halfway has failed, and says so in its last line.
broke_off() {
    [ -n "$FINISHED" ] && return
    printf '\nthe check broke off: status %d at %s\n' "$1" "$2"
    printf '%d passed, %d failed\n' $PASSED $((FAILED + 1))
}

finish() {
    FINISHED=1
    printf '\n%d s\n' $SECONDS
    printf '%s\n' "${SUITES[@]}"
    if [ $FAILED -gt 0 ]; then
        printf 'failed in:'
        printf ' %s;' "${FAILURES[@]}"
        printf '\n'
    fi
    printf '%d passed, %d failed\n' $PASSED $FAILED
    [ $FAILED -eq 0 ]
}

check() {
    local WRAP=()
    trap 'broke_off $? "$BASH_COMMAND"' EXIT
    build
    suite "unit tests and fuzz targets"
    one "each unit test and fuzz target is built" no_unit_is_missing
    # shellcheck disable=SC2046
    units build "unit tests" $(all_units)
    if [ "$1" = --quick ]; then
        suite "smoke"
        e2e "smoke" tests/e2e/test_smoke.py -m smoke
        finish
        return
    fi
    style_checks
    suite "simulation"
    if [ "$1" = --long ]; then simulation 1800; else simulation 60; fi
    suite "the same under ASan and UBSan"
    build_in build-asan --enable-werror \
        --enable-sanitize=address,undefined CFLAGS='-O1 -g'
    sanitizer_checks
    suite "those with threads under TSan"
    build_in build-tsan --enable-werror --enable-sanitize=thread \
        CFLAGS='-O1 -g'
    thread_checks
    suite "release"
    one "release, built and installed" tests/check-release.sh
    suite "end-to-end tests"
    if [ "$1" = --long ]; then
        E2E_S=14400
    else
        MARKED=(-m "not long")
    fi
    e2e "end-to-end" "$(echo tests/e2e/test_*.py)" "${MARKED[@]}"
    if [ "$1" = --long ]; then other_builds; fi
    suite "end-to-end tests of the daemon under ASan and UBSan"
    # The shim that fails the disk, a kill and packages leave nothing to see
    # here.
    local left_out="faults crash netd_worm debian container other_systems" \
        file ignore=()
    # A browser asks nothing that test_api.py does not.
    [ "$1" = --long ] || left_out+=" page"
    for file in $left_out; do
        ignore+=("--ignore=tests/e2e/test_$file.py")
    done
    WEIR_BUILD=$PWD/build-asan WEIR_SANITIZED=1 \
        UBSAN_OPTIONS=halt_on_error=1 e2e "end-to-end, ASan and UBSan" \
        "$(printf '%s\n' tests/e2e/test_*.py |
            grep -vE "_(${left_out// /|})[.]py$" | tr '\n' ' ')" \
        "${ignore[@]}" "${MARKED[@]}"
    if [ "$1" != --long ]; then say_what_is_long; fi
    finish
}
