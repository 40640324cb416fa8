#!/bin/bash
# SPDX-License-Identifier: BSD-3-Clause
#
# What ./bootstrap run shows: the relay on 127.0.0.1:2525 in front of a local
# SMTP sink (aiosmtpd, which keeps what it gets in a maildir). Ctrl-C stops
# both. WEIR_TRY_PORT chooses another port; the sink takes the next one.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${WEIR_TRY_PORT:-2525}
sink_port=$((port + 1))
dir=$PWD/build/try
socket=$dir/control.sock
sink=
relay=

stop() {
    trap '' INT TERM
    if [ -n "$relay" ]; then kill "$relay" 2>/dev/null || true; fi
    if [ -n "$relay" ]; then wait "$relay" 2>/dev/null || true; fi
    if [ -n "$sink" ]; then kill "$sink" 2>/dev/null || true; fi
    if [ -n "$sink" ]; then wait "$sink" 2>/dev/null || true; fi
}

# up PORT PID: waits until something listens there.
up() {
    local i
    for ((i = 0; i < 200; i++)); do
        kill -0 "$2" 2>/dev/null || return 1
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return 0; fi
        sleep 0.05
    done
    return 1
}

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
policy "default" {
    key = envelope
    interval = "1m"
    burst = 10
    freeze_at = 100
}
EOF

trap 'stop; exit 0' INT TERM
trap stop EXIT
/usr/bin/python3 -m aiosmtpd -n -l "127.0.0.1:$sink_port" \
    -c aiosmtpd.handlers.Mailbox "$dir/delivered" >"$dir/sink.log" 2>&1 &
sink=$!
if ! up "$sink_port" "$sink"; then
    echo "the sink did not start on port $sink_port; see $dir/sink.log" >&2
    exit 75
fi
build/weir-maild -c "$dir/weir.conf" 2>"$dir/weir.log" &
relay=$!
if ! up "$port" "$relay"; then
    cat "$dir/weir.log" >&2
    exit 75
fi

cat <<EOF

weir relays on     127.0.0.1:$port
control socket     $socket
next hop           127.0.0.1:$sink_port (a local sink, mail in build/try/delivered/new)
log                build/try/weir.log

Try in another terminal, from this directory:

 1. send a mail (passes at once):
      swaks --server 127.0.0.1:$port --from alice@example.org --to bob@example.com

 2. a stolen account mails 200 strangers (10 pass, 100 wait, frozen):
      tests/outbreak.py --server 127.0.0.1:$port --from mallory@example.org --strangers 200

 3. look, then release or discard what was held:
      build/weirctl -s build/try/control.sock senders
      build/weirctl -s build/try/control.sock queue mallory@example.org
      build/weirctl -s build/try/control.sock thaw mallory@example.org --release
      build/weirctl -s build/try/control.sock discard --sender mallory@example.org

Ctrl-C stops both.
EOF
wait "$relay"
