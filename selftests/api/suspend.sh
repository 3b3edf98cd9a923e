#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The machine suspends while a VM runs: the kernel's own rehearsal of it, which
# goes as far as the last CPU with its interrupts off and comes back from there.
# shellcheck source=selftests/lib/counting.sh
. "$(dirname "$0")/../lib/counting.sh"
trap 'rm -rf "$work"; [ ! -w /sys/power/pm_test ] || echo none >/sys/power/pm_test' EXIT

if [ ! -w /sys/power/pm_test ] || [ ! -e "$guest" ] || [ ! -e /dev/umbra ]; then
	skip "a suspended machine's VM goes on" "no /sys/power/pm_test, no guest, or no /dev/umbra"
	finish
fi

# The first VM has turned the extension on once its runner maps the vCPU.
has_vcpu() {
	has_runner && grep -q 'kvm-vcpu' "/proc/$runner/maps"
}
start
until_true has_vcpu
kill -0 $pid
result $? "a VM runs"
echo core >/sys/power/pm_test
echo 1 >/sys/module/suspend/parameters/pm_test_delay
back=0
echo mem >/sys/power/state || back=1
result $back "the machine suspends and comes back"
counted
result $? "the guest goes on to its end"
finish
