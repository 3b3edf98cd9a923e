#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# CPUs that come and go while VMs run. CYCLES= how often one does.
cycles=${CYCLES:-10}
cpu=/sys/devices/system/cpu/cpu1
# shellcheck source=selftests/lib/counting.sh
. "$(dirname "$0")/../lib/counting.sh"
trap 'rm -rf "$work"; [ ! -e $cpu/online ] || echo 1 >$cpu/online' EXIT

if [ ! -w $cpu/online ] || [ ! -e "$guest" ] || [ ! -e /dev/umbra ]; then
	skip "CPUs come and go under a guest" "no second CPU, no guest, or no /dev/umbra"
	finish
fi

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
until_true has_runner
bad=0
echo 1 >$cpu/online || bad=1
result $bad "a CPU comes up while a VM runs"
taskset -a -p 2 "$runner" >/dev/null
result $? "the guest is moved to it"
counted
result $? "and runs there"
finish
