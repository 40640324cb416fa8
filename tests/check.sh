# SPDX-License-Identifier: BSD-3-Clause
# shellcheck shell=bash
#
# All suites, called by ./bootstrap check: builds with warnings as errors, unit
# tests plain, under ASan and UBSan, and what has threads under TSan; corpora of
# the fuzz targets; end-to-end tests; format, static analysis, include
# directions, manual pages. Ends with "N passed, N failed".

PASSED=0
FAILED=0
FAILURES=()

suite() {
    printf '\n== %s\n' "$1"
}

# count NAME PASSED FAILED
count() {
    PASSED=$((PASSED + $2))
    FAILED=$((FAILED + $3))
    if [ "$3" -gt 0 ]; then FAILURES+=("$1"); fi
    printf '%s: %d passed, %d failed\n' "$1" "$2" "$3"
}

# one NAME COMMAND...: a check that passes or fails as a whole.
one() {
    local name=$1 log=build/check-one.log
    shift
    if "$@" >"$log" 2>&1; then
        count "$name" 1 0
    else
        head -40 "$log"
        count "$name" 0 1
    fi
}

# units DIR NAME: every unit test in DIR, counted by its cases (TAP).
units() {
    local dir=$1 name=$2 log ok bad program passed=0 failed=0
    make -C "$dir" -j"$JOBS" --no-print-directory check-programs \
        >"$dir/check-build.log" 2>&1 ||
        { tail -30 "$dir/check-build.log"; count "$name (build)" 0 1; return; }
    while read -r program; do
        log=$dir/$(basename "$program").tap
        set +e
        (cd "$dir" && CMOCKA_MESSAGE_OUTPUT=tap \
            ASAN_OPTIONS=detect_leaks=1 UBSAN_OPTIONS=halt_on_error=1 \
            TSAN_OPTIONS=halt_on_error=1 \
            timeout 300 "./$program" >"$OLDPWD/$log" 2>&1)
        status=$?
        set -e
        ok=$(grep -c '^ok ' "$log")
        bad=$(grep -c '^not ok ' "$log")
        if [ $status -ne 0 ] && [ "$bad" -eq 0 ]; then bad=1; fi
        if [ "$bad" -gt 0 ]; then
            echo "--- $program: exit status $status"
            grep -v '^ok ' "$log" | tail -40
        fi
        passed=$((passed + ok))
        failed=$((failed + bad))
    done < <(make -C "$dir" -s --no-print-directory print-check-programs |
        tr ' ' '\n' | grep -E "${3:-.}")
    count "$name" $passed $failed
}

e2e() {
    local log=build/e2e.log line passed failed status
    set +e
    PYTHONDONTWRITEBYTECODE=1 timeout 2400 /usr/bin/python3 -m pytest -q \
        -p no:cacheprovider -x --maxfail=20 --durations=10 "$@" tests/e2e 2>&1 |
        tee "$log"
    status=${PIPESTATUS[0]}
    set -e
    line=$(grep -E '[0-9]+ (passed|failed|error)' "$log" | tail -1)
    passed=$(grep -oE '[0-9]+ passed' <<<"$line" | cut -d' ' -f1)
    failed=$(grep -oE '[0-9]+ (failed|error)' <<<"$line" |
        awk '{n += $1} END {print n + 0}')
    if [ "$status" -ne 0 ] && [ "${failed:-0}" -eq 0 ]; then failed=1; fi
    count "end-to-end" "${passed:-0}" "${failed:-0}"
}

format_check() {
    git ls-files '*.c' '*.h' | xargs clang-format --dry-run --Werror
}

cppcheck_check() {
    cppcheck --quiet --error-exitcode=1 --std=c11 --inline-suppr \
        --enable=warning,portability,performance \
        --suppressions-list=tests/cppcheck.suppress \
        -j "$JOBS" -I src -I include src
}

shell_check() {
    shellcheck bootstrap .ci/run tests/*.sh
}

manual_check() {
    mandoc -T lint -W warning doc/*.[1-8] build/doc/*.[1-8]
}

style_checks() {
    suite "style and static analysis"
    one "clang-format" format_check
    one "include directions" tests/check-includes.sh
    one "cppcheck" cppcheck_check
    one "shellcheck" shell_check
    one "manual pages" manual_check
}

finish() {
    printf '\n'
    if [ $FAILED -gt 0 ]; then
        printf 'failed in: %s\n' "${FAILURES[*]}"
    fi
    printf '%d passed, %d failed\n' $PASSED $FAILED
    [ $FAILED -eq 0 ]
}

check() {
    build
    suite "unit tests"
    units build "unit tests"
    if [ "$1" = --quick ]; then
        suite "smoke"
        e2e -m smoke
        finish
        return
    fi
    style_checks
    suite "unit tests under ASan and UBSan"
    build_in build-asan --enable-werror \
        --enable-sanitize=address,undefined CFLAGS='-O1 -g'
    units build-asan "unit tests, ASan and UBSan"
    suite "unit tests with threads under TSan"
    build_in build-tsan --enable-werror --enable-sanitize=thread \
        CFLAGS='-O1 -g'
    units build-tsan "unit tests, TSan" 'spool|delivery|gate'
    suite "end-to-end tests"
    e2e
    finish
}
