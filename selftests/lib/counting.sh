#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Read by the tests that do something to the machine while a guest of scripts/guest
# counts. LOOPS= how far: some seconds of its time.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
loops=${LOOPS:-60000}
guest=$(dirname "$0")/../../scripts/guest

# start: such a guest, in the background, as $pid.
start() {
	# shellcheck disable=SC2016 # the guest's shell expands it
	"$guest" 'i=0; while [ $i -lt '"$loops"' ]; do i=$((i+1)); done; echo counted $i' \
		>"$work/out" 2>"$work/err" </dev/null &
	pid=$!
}

# Its runner, once there is one: $runner.
# shellcheck disable=SC2034 # for who reads this
has_runner() {
	runner=$(pgrep -n -f "umbra run --kernel")
}

# counted: wait for its end; was that right?
counted() {
	wait "$pid" && [ "$(cat "$work/out")" = "counted $loops" ] && return 0
	sed 's/^/# /' "$work/err"
	return 1
}
