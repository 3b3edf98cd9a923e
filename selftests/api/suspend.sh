#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The machine suspends while a VM runs: the kernel's own rehearsal of it, which
# goes as far as the last CPU with its interrupts off and comes back from there.
guest=$(dirname "$0")/../../scripts/guest
count=0
failed=0
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"; [ ! -w /sys/power/pm_test ] || echo none >/sys/power/pm_test' EXIT

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

if [ ! -w /sys/power/pm_test ] || [ ! -e "$guest" ] || [ ! -e /dev/umbra ]; then
	echo "ok 1 a suspended machine's VM goes on # SKIP no /sys/power/pm_test, no guest, or no /dev/umbra"
	echo "1..1"
	exit 0
fi

# shellcheck disable=SC2016 # the guest's shell expands it
"$guest" 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); done; echo counted $i' \
	>"$work/out" 2>"$work/err" </dev/null &
pid=$!
# The first VM has turned the extension on once its runner maps the vCPU.
tries=0
until runner=$(pgrep -n -f "umbra run --kernel") &&
	grep -q 'kvm-vcpu' "/proc/$runner/maps" || [ $tries -eq 100 ]; do
	tries=$((tries + 1))
	sleep 0.1
done
kill -0 $pid
result $? "a VM runs"
echo core >/sys/power/pm_test
back=0
echo mem >/sys/power/state || back=1
result $back "the machine suspends and comes back"
wait $pid && [ "$(cat "$work/out")" = "counted 60000" ]
result $? "the guest goes on to its end"
[ $failed -eq 0 ] || sed 's/^/# /' "$work/err"
echo "1..$count"
exit $failed
