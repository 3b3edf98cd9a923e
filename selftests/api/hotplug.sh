#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# CPUs that come and go while VMs run. CYCLES= how often one does.
cycles=${CYCLES:-10}
cpu=/sys/devices/system/cpu/cpu1
guest=$(dirname "$0")/../../scripts/guest
count=0
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"; [ ! -e $cpu/online ] || echo 1 >$cpu/online' EXIT

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

if [ ! -w $cpu/online ] || [ ! -e "$guest" ] || [ ! -e /dev/umbra ]; then
	count=1
	echo "ok 1 CPUs come and go under a guest # SKIP no second CPU, no guest, or no /dev/umbra"
	finish
fi

# start: a guest that counts for a while, its output in $work/out.
start() {
	# shellcheck disable=SC2016 # the guest's shell expands it
	"$guest" 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo counted $i' \
		>"$work/out" 2>"$work/err" </dev/null &
	pid=$!
}

counted() {
	wait $pid && [ "$(cat "$work/out")" = "counted 60000" ] && return 0
	sed 's/^/# /' "$work/err"
	return 1
}

# A guest that ends before all cycles are done has a successor: how many it
# takes is the machine's speed and no matter here.
bad=0
wrong=0
under=0
i=0
start
while [ $i -lt "$cycles" ]; do
	if ! kill -0 $pid 2>/dev/null; then
		counted || wrong=1
		start
	fi
	echo 0 >$cpu/online || bad=1
	sleep 0.3
	echo 1 >$cpu/online || bad=1
	kill -0 $pid 2>/dev/null && under=$((under + 1))
	i=$((i + 1))
done
counted || wrong=1
[ $under -gt 0 ]
result $? "guests run while a CPU goes $cycles times"
result $bad "a CPU goes and comes back under a running guest"
result $wrong "the guest noticed nothing"

# The CPU is away when the first VM turns the extension on.
echo 0 >$cpu/online
start
tries=0
until runner=$(pgrep -n -f "umbra run --kernel") || [ $tries -eq 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
bad=0
echo 1 >$cpu/online || bad=1
result $bad "a CPU comes up while a VM runs"
taskset -a -p 2 "$runner" >/dev/null
result $? "the guest is moved to it"
counted
result $? "and runs there"
finish
