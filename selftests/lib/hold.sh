# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Read after tap.sh, with $here set: the module, and a VM that is held by another process.

# shellcheck disable=SC2154 # set by who reads this
hold=$here/../tools/hold

loaded() {
	grep -q '^umbra ' /proc/modules
}

# hold_on WHAT: keep a VM (wait) or the node (node) until let_go.
hold_on() {
	rm -f "$work/in" "$work/out"
	mkfifo "$work/in"
	"$hold" "$1" <"$work/in" >"$work/out" 2>&1 &
	holder=$!
	exec 5>"$work/in"
	until_true grep -q ready "$work/out"
}

let_go() {
	exec 5>&-
	wait "$holder"
}
