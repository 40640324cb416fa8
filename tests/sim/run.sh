#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# run.sh PROGRAM SECONDS [HOURS]: the simulation with each seed that ever failed
# (tests/sim/seeds), then with fresh ones for so long. A line per seed; the last
# one is "N passed, N failed, so many virtual years". A seed that failed goes
# into tests/sim/seeds together with what mends it.
set -euo pipefail

PROGRAM=$1
SECONDS_MAX=$2
HOURS=${3:-240}
JOBS=${JOBS:-$(nproc)}
OUT=$(mktemp -d)
trap 'rm -rf "$OUT"' EXIT

# one SEED HOURS
one() {
    local status=0
    ulimit -c 0
    timeout -k 5 300 "$PROGRAM" "$1" "$2" >"$OUT/$1.log" 2>&1 || status=$?
    if [ $status -eq 0 ]; then
        echo "ok - $(tail -1 "$OUT/$1.log")"
    else
        echo "not ok - seed $1, $2 hours: status $status," \
            "$(tail -1 "$OUT/$1.log" | cut -c1-400)"
        echo "# make sim SEED=$1 STEPS=$2"
    fi | tee "$OUT/$1.line"
}

wait_for_turn() {
    while [ "$(jobs -pr | wc -l)" -ge "$JOBS" ]; do wait -n || true; done
}

while read -r seed hours _; do
    case $seed in '' | '#'*) continue ;; esac
    wait_for_turn
    one "$seed" "$hours" &
done <"$(dirname "$0")/seeds"
SECONDS=0
while [ $SECONDS -lt "$SECONDS_MAX" ]; do
    wait_for_turn
    one "$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')" "$HOURS" &
done
wait
cat "$OUT"/*.line | awk '
    /^ok/ {
        passed++
        for (i = 1; i < NF; i++) if ($(i + 1) ~ /^days/) days += $i
    }
    /^not ok/ { failed++ }
    END {
        printf "%d passed, %d failed, %.2f virtual years\n", passed, failed, days / 365
        exit failed > 0
    }'
