#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# The house has one direction: a folder includes headers of its own and of the
# folders that stand below it, never of one above. Each header also compiles
# alone. Prints what breaks this and exits 1; otherwise exits 0.
#
#	tests/check-includes.sh [top of the source tree]
#
# CC, CPPFLAGS: the compiler, and where the libraries' headers are.

set -u
cd "${1:-$(dirname "$0")/..}" || exit 2
status=0

# May use: itself, and these folders. "weir" is include/weir.
below() {
	net_up="net os base"
	case $1 in
	base) echo "" ;;
	os) echo "base" ;;
	throttle) echo "base weir" ;;
	smtp) echo "base" ;;
	http) echo "base" ;;
	page) echo "base" ;;
	net) echo "os base" ;;
	control) echo "page http net os base" ;;
	packet) echo "base" ;;
	netgate) echo "throttle packet os base weir" ;;
	nfq) echo "net os base" ;;
	spool) echo "os base" ;;
	share) echo "throttle net os base weir" ;;
	alert) echo "spool $net_up" ;;
	# The questions alone: share/question.h needs no network.
	gate) echo "share throttle spool os base weir" ;;
	delivery) echo "spool smtp $net_up" ;;
	front) echo "delivery gate spool smtp $net_up" ;;
	relay | milter) echo "front delivery gate spool smtp $net_up" ;;
	policyd) echo "gate smtp $net_up" ;;
	replay)
		# The one reader of weir.conf is maild's, of weir-netd.conf
		# netd's.
		echo "netd maild alert relay milter policyd front control" \
		    "delivery gate share spool throttle smtp http netgate packet" \
		    "$net_up weir" ;;
	maild)
		echo "alert relay milter policyd front control delivery gate" \
		    "share spool throttle smtp http $net_up weir" ;;
	netd | ctl)
		echo "control delivery gate spool throttle smtp http" \
		    "netgate nfq packet $net_up weir" ;;
	*) return 1 ;;
	esac
}

complain() {
	echo "$*"
	status=1
}

is_folder() {
	[ "$1" = weir ] || [ -d "src/$1" ]
}

# Lines of file:number:folder/header for each include that names a folder.
includes_of() {
	find "$1" -name '*.[ch]' -exec grep -Hn \
	    '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]*/' {} + |
		sed 's/^\([^:]*:[0-9]*\):[^"<]*["<]\([^">]*\)[">].*/\1:\2/'
}

check_folder() {
	if ! allowed=$(below "$1"); then
		complain "src/$1: not in the table of tests/check-includes.sh"
		return
	fi
	for line in $(includes_of "src/$1"); do
		header=${line##*:}
		folder=${header%%/*}
		case $header in
		*../*)
			complain "${line%:*}: includes $header: name the folder"
			continue ;;
		esac
		# A library's header: systemd/, event2/, sys/, ...
		is_folder "$folder" || continue
		case " $1 $allowed " in
		*" $folder "*) ;;
		*) complain "${line%:*}: src/$1 may not include $header" ;;
		esac
	done
}

check_quotes() {
	# "x.h" without a folder hides the direction; config.h has none.
	bare=$(find src -name '*.[ch]' -exec grep -Hn \
	    '^[[:space:]]*#[[:space:]]*include[[:space:]]*"[^/"]*"' {} + |
		grep -v '"config\.h"')
	[ -z "$bare" ] || complain "$bare: name the folder in the include"
}

check_header() {
	# Included rather than compiled: `#pragma once` and -Wall agree then.
	# shellcheck disable=SC2086
	if ! errors=$(printf '#include "%s"\n' "$1" |
		${CC:-cc} -std=gnu17 -D_GNU_SOURCE -fsyntax-only -Wall -Werror \
		    -I. -Isrc -Iinclude ${CPPFLAGS:-} -x c - 2>&1); then
		complain "$1: does not compile alone:
$errors"
	fi
}

for dir in src/*/; do
	dir=${dir#src/}
	check_folder "${dir%/}"
done
check_quotes
for header in $(find include src -name '*.h' | sort); do
	check_header "$header"
done
exit $status
