#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What ./bootstrap run shows: the relay on 127.0.0.1:2525 in front of a local
# SMTP sink (aiosmtpd, which keeps what it gets in a maildir). Ctrl-C stops
# both. WEIR_TRY_PORT chooses another port; the sink takes the next one, and the
# dashboard WEIR_TRY_HTTP_PORT, or the one after that. WEIR_TRY_DIR is for the
# files, in place of build/try.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${WEIR_TRY_PORT:-2525}
sink_port=$((port + 1))
http_port=${WEIR_TRY_HTTP_PORT:-$([ "$port" = 2525 ] && echo 8025 ||
    echo $((port + 2)))}
dir=${WEIR_TRY_DIR:-$PWD/build/try}
shown=${dir#"$PWD/"}
socket=$dir/control.sock
sink=
relay=

# end PID. (shellcheck does not look into trap.)
# shellcheck disable=SC2317
end() {
    if [ -n "$1" ]; then
        kill "$1" 2>/dev/null || true
        wait "$1" 2>/dev/null || true
    fi
}

# shellcheck disable=SC2317
stop() {
    trap '' INT TERM HUP
    trap - EXIT
    end "$relay"
    end "$sink"
}

# shellcheck disable=SC2317
on_signal() {
    stop
    printf '\nStopped. What is held stays in %s/spool for the next run.\n' "$shown"
    exit 0
}

listens() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# up PORT PID: waits until the process listens there.
up() {
    local i
    for ((i = 0; i < 200; i++)); do
        kill -0 "$2" 2>/dev/null || return 1
        if listens "$1"; then return 0; fi
        sleep 0.05
    done
    return 1
}

for p in "$port" "$sink_port" "$http_port"; do
    if listens "$p"; then
        echo "port $p is in use; choose others: WEIR_TRY_PORT=2600" \
            "./bootstrap run" >&2
        exit 75
    fi
done

mkdir -p "$dir"
cat >"$dir/weir.conf" <<EOF
# Written by ./bootstrap run. The policy's key is the envelope sender here, so
# that one machine can play several senders; a real site has users who log in
# or client addresses: see weir.conf(5).
hostname  = "relay.weir.test"
spool     = "$dir/spool"
control   = "$socket"
next_hop  = "127.0.0.1:$sink_port"
contact   = "the administrator of this demonstration"
listen "submission" { address = "127.0.0.1:$port" protocol = smtp }
http "dashboard" { address = "127.0.0.1:$http_port" }
policy "default" {
    key = envelope
    interval = "1m"
    burst = 10
    freeze_at = 100
}
EOF

trap on_signal INT TERM HUP
trap stop EXIT
/usr/bin/python3 -m aiosmtpd -n -l "127.0.0.1:$sink_port" \
    -c aiosmtpd.handlers.Mailbox "$dir/delivered" >"$dir/sink.log" 2>&1 &
sink=$!
if ! up "$sink_port" "$sink"; then
    echo "the sink did not start on port $sink_port:" >&2
    tail -5 "$dir/sink.log" >&2
    exit 75
fi
build/weir-maild -c "$dir/weir.conf" 2>"$dir/weir.log" &
relay=$!
if ! up "$port" "$relay"; then
    echo "weir-maild did not start:" >&2
    tail -5 "$dir/weir.log" >&2
    exit 75
fi

# Each run has a login of its own.
token=$(build/weirctl -s "$socket" token new "try-$(date +%Y%m%d-%H%M%S)" \
    --right admin --expires 1d)

cat <<EOF

weir relays on    127.0.0.1:$port
control socket    $shown/control.sock
next hop          127.0.0.1:$sink_port, a local sink (mail in $shown/delivered)
log               $shown/weir.log
dashboard         http://127.0.0.1:$http_port/#token=$token

Open the dashboard in a browser of this machine; it shows what happens next.
Try in another terminal, from this directory:

 1. Send a mail; it passes at once:

    swaks --server 127.0.0.1:$port --from alice@example.org --to bob@example.com

 2. A stolen account mails 200 strangers; 10 pass, 100 wait, it is frozen:

    tests/outbreak.py --server 127.0.0.1:$port --from mallory@example.org \\
        --strangers 200

 3. Look, then release what was held, or discard it:

    build/weirctl -s $shown/control.sock senders
    build/weirctl -s $shown/control.sock queue mallory@example.org
    build/weirctl -s $shown/control.sock thaw mallory@example.org --release
    build/weirctl -s $shown/control.sock discard --sender mallory@example.org

    or with a click in the dashboard.

Ctrl-C stops both.
EOF
status=0
wait "$relay" || status=$?
echo "weir-maild ended by itself, with status $status:" >&2
tail -5 "$dir/weir.log" >&2
exit 75
