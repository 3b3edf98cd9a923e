#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Read by the tests that are scripts: results, and a directory to work in, $work.
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
count=0
failed=0
echo "TAP version 13"

result() {
	count=$((count + 1))
	if [ "$1" -eq 0 ]; then
		echo "ok $count $2"
	else
		echo "not ok $count $2"
		failed=1
	fi
}

finish() {
	echo "1..$count"
	exit $failed
}

skip() {
	count=$((count + 1))
	echo "ok $count $1 # SKIP $2"
}

# until_true COMMAND...: for a minute at most.
until_true() {
	tries=0
	until "$@" >/dev/null 2>&1; do
		tries=$((tries + 1))
		[ $tries -lt 600 ] || return 1
		sleep 0.1
	done
}
