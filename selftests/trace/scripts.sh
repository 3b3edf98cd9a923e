#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The bpftrace scripts of tracing/, each on a guest whose deeds are counted. On Intel the first
# of them; SCRIPTS=all: all of them there too.
# shellcheck source=selftests/lib/tap.sh
. "$(dirname "$0")/../lib/tap.sh"
deeds=$(realpath "$(dirname "$0")/../tools/deeds")
tracing=${TRACING:-/umbra/tracing}

# Each takes seconds to start, and on Bochs a minute: all of them on one host.
intel=0 why="114, cpuid" name=cpuid
if grep -q GenuineIntel /proc/cpuinfo; then
	intel=1 why="10, CPUID" name=CPUID
fi
lacking=
[ "$(id -u)" -eq 0 ] || lacking="wants root's rights"
[ -d /sys/kernel/tracing/events/umbra ] || lacking="the module is not there"
[ -e "$tracing/exits.bt" ] || lacking="the scripts are not there"
command -v bpftrace >/dev/null || lacking="no bpftrace"
[ $intel -eq 1 ] || [ "$(uname -r | cut -d. -f1-2)" = 6.1 ] || lacking="they are run on 6.1"
[ ! -e /sys/kernel/debug/kmemleak ] || lacking="bpftrace takes minutes on the debug kernel"
if [ -n "$lacking" ]; then
	skip "the bpftrace scripts" "$lacking"
	finish
fi

# What tools/deeds says that it did.
pid='' cpuid_rip='' cpuids='' outs='' reads='' halts='' gsi='' port='' device='' page=''

# under SCRIPT [ARGS]...: the script's output in $work/out, of a guest with each ARGS; what
# the last one did as variables.
under() {
	script=$1
	shift
	: >"$work/did"
	for args in "${@:-}"; do
		echo "$deeds $args >>$work/did"
	done >"$work/run.sh"
	BPFTRACE_MAP_KEYS_MAX=16384 bpftrace -c "$(command -v dash) $work/run.sh" \
		"$tracing/$script.bt" >"$work/out" 2>"$work/err"
	status=$?
	if [ $status -ne 0 ] || [ ! -s "$work/did" ]; then
		sed "s/^/# $script: /" "$work/err"
		return 1
	fi
	# shellcheck source=/dev/null
	. "$work/did"
}

# has TEXT: a line that begins with it.
has() {
	awk -v text="$1" 'index($0, text) == 1 { found = 1 } END { exit !found }' "$work/out"
}

# total TITLE: the sum of that histogram's counts.
total() {
	awk -v title="$1" '
		/^@/ { inside = index($0, title) == 1 }
		inside && /^[\[(]/ { sub(/^[^\])]*[\])]/, ""); sum += $1 }
		END { print sum + 0 }' "$work/out"
}

# says RESULT NAME
says() {
	[ "$1" -eq 0 ] || sed 's/^/# /' "$work/out"
	result "$1" "$2"
}

under exits && has "@exits[$pid, 0, $why]: $cpuids"
says $? "exits.bt: as many exits by CPUID as there were"

[ $intel -eq 0 ] || [ "${SCRIPTS-}" = all ] || finish

under userexits && has "@exits[$pid, 2, IO]: $((outs + 1))" &&
	has "@exits[$pid, 6, MMIO]: $reads" && has "@ports[$pid, $port, out]: $outs" &&
	has "@mmio[$pid, $device]: $reads"
says $? "userexits.bt: by reason, by port and by address"

under exitlat && [ "$(total "@ns[$why]")" -eq "$cpuids" ]
says $? "exitlat.bt: each of them is in the histogram"

under ripprof && has "@rip[$pid, $name, $cpuid_rip]: $cpuids"
says $? "ripprof.bt: the instruction with the most exits"

# The host may take it away once more.
under faults &&
	[ "$(sed -n "s/^@faults\[$pid, $page\]: //p" "$work/out")" -ge "$outs" ]
says $? "faults.bt: the page that was taken away so many times"

under irqlat && [ "$(total "@ns[$gsi]")" -eq "$halts" ]
says $? "irqlat.bt: as many latencies as the irqfd was signalled"

under haltpoll && has "@halts[$pid, slept]: $halts"
says $? "haltpoll.bt: the halts for which the thread slept"

# did NR WHAT: how often the NR-th guest of the run did it.
did() {
	nth=$(sed -n 's/^pid=//p' "$work/did" | sed -n "$1p")
	sed -n "s/^@did\[$nth, $2\]: //p" "$work/out"
}

under lazyeager "50 2" "50 3" &&
	[ "$(did 1 "tables left to the guest")" = 50 ] &&
	[ "$(did 1 "tables caught up with")" = 50 ] &&
	[ -z "$(did 2 "tables left to the guest")$(did 2 "tables caught up with")" ] &&
	[ "$(did 2 "instructions emulated")" -ge 50 ]
says $? "lazyeager.bt: a table's writes, left to the guest or emulated"
finish
