#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Demonstration: two relays behind haproxy share one throttle through a Redis
# server, all on loopback. Needs haproxy and redis-server. The next hop can be any
# mail server that accepts mail from this machine.
#
#	contrib/two-relays.sh [DIRECTORY]
#
# Starts all programs; ^C stops them. DIRECTORY has their files (default: a new
# temporary directory). Environment:
#
#	WEIR_BIN	directory of weir-maild and weirctl (default: PATH)
#	NEXT_HOP	address of the mail server (default: 127.0.0.1:25)
#	PORT		port for clients (default: 2525); the three ports after it
#			are used as well
#	BALANCE		haproxy's balance algorithm (default: source)

set -eu
dir=${1:-$(mktemp -d)}
bin=${WEIR_BIN:+$WEIR_BIN/}
next_hop=${NEXT_HOP:-127.0.0.1:25}
port=${PORT:-2525}
redis_port=$((port + 3))
pids=

stop() {
	trap - EXIT INT TERM
	for pid in $pids; do
		kill "$pid" 2>/dev/null || true
	done
	wait
}
trap stop EXIT
trap 'exit 0' INT TERM

run() {
	"$@" &
	pids="$pids $!"
}

umask 077
mkdir -p "$dir"
[ -s "$dir/secret" ] || head -c 32 /dev/urandom | base64 > "$dir/secret"

for n in 1 2; do
	cat > "$dir/mx$n.conf" <<EOF
hostname           = "mx$n.example.test"
spool              = "$dir/mx$n"
control            = "$dir/mx$n.sock"
next_hop           = "$next_hop"
shared             = "redis://127.0.0.1:$redis_port"
shared_secret_file = "$dir/secret"
proxy_from         = {"127.0.0.1"}
listen "clients" { address = "127.0.0.1:$((port + n))"  protocol = smtp  proxy = true }
policy "default" { key = envelope }
EOF
done

# The PROXY header passes the client's address to the relays. A client always
# uses the same relay, because an exchange between relays takes up to half a
# second.
cat > "$dir/haproxy.cfg" <<EOF
defaults
    mode tcp
    timeout connect 5s
    timeout client 10m
    timeout server 10m
frontend smtp
    bind 127.0.0.1:$port
    default_backend relays
backend relays
    balance ${BALANCE:-source}
    server mx1 127.0.0.1:$((port + 1)) send-proxy-v2
    server mx2 127.0.0.1:$((port + 2)) send-proxy-v2
EOF

run redis-server --bind 127.0.0.1 --port "$redis_port" --save '' --dir "$dir" \
	--maxmemory-policy noeviction --loglevel warning
run "${bin}weir-maild" -c "$dir/mx1.conf"
run "${bin}weir-maild" -c "$dir/mx2.conf"
run haproxy -f "$dir/haproxy.cfg"

cat <<EOF
Clients connect to 127.0.0.1:$port. To inspect either relay:
	${bin}weirctl -s $dir/mx1.sock status
	${bin}weirctl -s $dir/mx2.sock senders
	${bin}weirctl -s $dir/mx1.sock freeze '<alice@example.org>'
^C stops all programs. Held mail stays in $dir.
EOF
wait
