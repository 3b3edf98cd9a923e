#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Read by the scripts of selftests/runner, after which they have guests of a few
# instructions too. $UMBRA_DEV is the device.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
dev=${UMBRA_DEV:-/dev/umbra}
chmod 755 "$work"
[ "$(id -u)" -eq 0 ] || export XDG_RUNTIME_DIR="$work"	# the sockets' directory

# state NAME: what `umbra list` says of it.
state() {
	umbra list | awk -v name="$1" '$1 == name { print $3 }'
}

# A runner whose VM «is running» has its signals and its terminal set up too.
is() {
	[ "$(state "$1")" = "$2" ]
}

# hex BYTE...: without a process for each, of which Bochs makes some hundred a second.
hex() {
	for byte; do
		byte=$((0x$byte))
		# shellcheck disable=SC2059 # the format is the byte
		printf "\\$((byte / 64))$((byte / 8 % 8))$((byte % 8))"
	done
}

# guest NAME BYTE...: a vmlinux whose code, in hex, runs at 16 MiB in 64-bit mode.
guest() {
	name=$work/$1
	shift
	{
		hex 7f 45 4c 46 02 01 01 00 00 00 00 00 00 00 00 00
		hex 02 00 3e 00 01 00 00 00 78 00 00 01 00 00 00 00
		hex 40 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00
		hex 00 00 00 00 40 00 38 00 01 00 00 00 00 00 00 00
		# One segment: the file's first 512 bytes, at 0x1000000.
		hex 01 00 00 00 07 00 00 00 00 00 00 00 00 00 00 00
		hex 00 00 00 01 00 00 00 00 00 00 00 01 00 00 00 00
		hex 00 02 00 00 00 00 00 00 00 02 00 00 00 00 00 00
		hex 00 10 00 00 00 00 00 00
		hex "$@"
	} >"$name"
	truncate -s 512 "$name"
}

# ends STATUS PATTERN NAME ARGS...: the runner ends with STATUS and says PATTERN in
# one line, or nothing where PATTERN is empty.
ends() {
	want=$1 pattern=$2 what=$3
	shift 3
	"$@" </dev/null >"$work/out" 2>"$work/err"
	got=$?
	lines=$(wc -l <"$work/err")
	if [ -n "$pattern" ]; then
		[ "$got" -eq "$want" ] && [ "$lines" -eq 1 ] && grep -qE -- "$pattern" "$work/err"
	else
		[ "$got" -eq "$want" ] && [ "$lines" -eq 0 ]
	fi
	bad=$?
	[ $bad -eq 0 ] || sed "s/^/# status $got: /" "$work/err"
	result $bad "$what: exit $want"
}

# The same of a guest, by its name.
guest_ends() {
	want=$1 pattern=$2 what=$3 kernel=$4
	shift 4
	ends "$want" "$pattern" "$what" timeout 120 umbra run --dev "$dev" --kernel "$work/$kernel" "$@"
}
