#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
#
# Asks weir whether a source of an application may reach destinations, with curl
# and jq.
#
#	weir-decide.sh URL TOKEN-FILE APPLICATION SOURCE DESTINATION...
#
# Prints one line per destination: the destination, pass, hold or refuse, and for
# hold the number of seconds after which to ask again. Exit status 0: all pass,
# 75: some must wait, 77: some are refused, 1: weir could not be asked.
set -eu

if [ $# -lt 5 ]; then
	sed -n '4,11s/^# \{0,1\}//p' "$0" >&2
	exit 2
fi
url=${1%/}/api/v1/decide
token_file=$2
body=$(jq -cn --arg application "$3" --arg source "$4" \
	'{application: $application, source: $source,
	  destinations: $ARGS.positional}' --args "$@" |
	jq -c '.destinations |= .[4:]')

# The header comes from standard input: in the arguments others could read the
# token. 429 is an answer too: all of them are refused.
if ! answer=$(printf 'Authorization: Bearer %s\n' "$(cat "$token_file")" |
	curl --silent --show-error --max-time 30 --header @- \
	    --header 'Content-Type: application/json' \
	    --header "Idempotency-Key: $$-$(date +%s%N)" \
	    --retry 1 --data "$body" "$url"); then
	exit 1
fi
if ! printf '%s' "$answer" | jq -e .destinations >/dev/null; then
	printf '%s' "$answer" | jq -r '"weir-decide: " + .detail' >&2
	exit 1
fi
printf '%s' "$answer" | jq -r '.destinations[] |
	"\(.destination) \(.verdict) \(.retry_after_s // "")"'
case $(printf '%s' "$answer" | jq -r '[.destinations[].verdict] | unique |
	join(" ")') in
*refuse*) exit 77 ;;
*hold*) exit 75 ;;
esac
