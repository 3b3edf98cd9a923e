# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
# Read by check and check-kvm: tests in parts, of which some run at once. What each printed
# stays in "$out", which is emptied here.
# CHECK_JOBS= emulated hosts at once (default: as many as the machine has CPUs, at most 2).
me=${0##*/}
jobs=${CHECK_JOBS:-$(($(nproc) < 2 ? 1 : 2))}
rm -rf "${out:?}"
mkdir -p "$out"

# part NAME COMMAND...: its TAP goes to a file, the rest to a log.
part() {
	local name=$1 status
	shift
	local log=$out/$name.log list=$out/$name.status began=$SECONDS
	"$@" 2> >(tee "$log" | grep --line-buffered '^need: ' >&2) </dev/null |
		scripts/tap-times "$out/$name.times" >"$out/$name.tap"
	status=${PIPESTATUS[0]}
	echo 1..1 >"$list"
	# Failing results say so themselves; any other end is a result too.
	case $status in
	0) ;;
	99)
		sed -n "s/^lab: .*holds a report, printed above:/#/p" "$log" >>"$list"
		echo "not ok 1 $name: the host's kernel log is clean" >>"$list"
		;;
	124) echo "not ok 1 $name: in time" >>"$list" ;;
	125) echo "not ok 1 $name: the emulated host comes up" >>"$list" ;;
	*) grep -q '^ *not ok' "$out/$name.tap" ||
		echo "not ok 1 $name: exit status $status" >>"$list" ;;
	esac
	grep -q '^not ok' "$list" || echo "ok 1 $name: ends well" >>"$list"
	if ((status)); then
		echo "$me: $name: status $status, after $((SECONDS - began)) s" >&2
		grep -hB 8 '^ *not ok' "$out/$name.tap" "$list" | head -n 60 >&2
		echo "$me: $name: the end of $log:" >&2
		# a report of the host's kernel is longer
		tail -n $((status == 99 ? 90 : 30)) "$log" >&2
	else
		echo "$me: $name: done, $((SECONDS - began)) s" >&2
	fi
	return 0
}

# when_free COMMAND...: in the background, once there is room for it.
when_free() {
	while (($(jobs -rp | wc -l) >= jobs)); do
		wait -n
	done
	"$@" &
}

# What took longest, and how many passed: fails if one did not.
sum_up() {
	echo "$me: what took longest, in seconds:" >&2
	grep -H . "$out"/*.times | sed "s|^$out/\(.*\)\.times:\([0-9]*\) \(.*\)|\2 \1: \3|" |
		sort -rn | head -n 20 >&2
	scripts/tap-count "$out"/*.tap "$out"/*.status
}
