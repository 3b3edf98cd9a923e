#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# VMs as the kernel tells of them: umbra monitor, stat, top, exits and list.
# shellcheck source=selftests/lib/runner.sh
. "$(dirname "$0")/../lib/runner.sh"
hold=$(dirname "$0")/../tools/hold

if [ "$dev" != /dev/umbra ]; then
	ends 69 'load it with modprobe' "monitor without the module" umbra monitor
	ends 69 'load it with modprobe' "top without the module" umbra top --count 1
	finish
fi
if [ -e /sys/kernel/debug/kmemleak ]; then
	skip "the commands" "a hundred programs take minutes on the debug kernel; selftests/netlink runs there"
	finish
fi
if [ "$(id -u)" -ne 0 ]; then
	skip "the kernel's events" "they are for root"
	finish
fi

guest spin fb eb fe
guest triple 0f 01 1c 25 00 01 00 01 0f 0b	# LIDT of zeros, UD2

# vm NAME KERNEL: runs in the background, its process in $pid.
vm() {
	umbra run --kernel "$work/$2" --name "$1" </dev/null >"$work/out" 2>"$work/err.$1" &
	pid=$!
	until_true is "$1" running
}

# Events
umbra monitor --json >"$work/json" 2>"$work/json.err" &
json=$!
umbra monitor >"$work/text" 2>"$work/text.err" &
text=$!
# They listen once they tell of a VM that is made.
listening() {
	"$hold" once
	grep -q '"type":"vm-gone".*"comm":"hold"' "$work/json" && grep -q 'vm-gone .* hold' "$work/text"
}
until_true listening
result $? "monitor: a VM of another program, in JSON and as text"
vm seen spin
until_true grep -q '"type":"vcpu-state".*"name":"seen"' "$work/json"
result $? "monitor: a VM's vCPU has a thread"
grep -q "\"type\":\"vm-new\".*\"pid\":$pid,.*\"state\":\"new\"" "$work/json"
result $? "monitor: it was made"
grep -q '"type":"vm-state".*"name":"seen".*"state":"running"' "$work/json"
result $? "monitor: it runs"
umbra stop seen
wait $pid
until_true grep -q 'vm-gone .* seen ' "$work/text"
result $? "monitor: it is gone, as text"
umbra run --kernel "$work/triple" --name fault </dev/null >"$work/out" 2>&1
until_true grep -q 'triple-fault .* fault vcpu 0$' "$work/text"
result $? "monitor: a triple fault"
kill $json $text
wait $json $text 2>/dev/null
[ ! -s "$work/json.err" ] && [ ! -s "$work/text.err" ] && ! grep -q '"gap"' "$work/json"
result $? "monitor: nothing was missed, nothing complained of"
awk -F '"seq":' 'NF > 1 { n = $2 + 0; if (last && n != last + 1) exit 1; last = n } END { exit !last }' \
	"$work/json"
result $? "monitor: the numbers follow each other"

# Figures
vm one spin
counts() {
	umbra stat one | grep -qE '^interrupt_exits +[1-9][0-9]*$'
}
until_true counts
result $? "stat: a spinning vCPU's exits"
umbra stat one | grep -qE '^runs +[1-9]' && umbra stat one | grep -qE '^memory +268435456$'
result $? "stat: its counters, and the VM's"
umbra stat one --interval 0.1 --count 2 | grep -qE '^interrupt_exits +[0-9]+ +[0-9.]+$'
result $? "stat: rates, the second time"
umbra stat one --json | grep -q '^{"tsc_khz":[1-9].*"counters":{.*"exits":\['
result $? "stat: in JSON"
[ "$(umbra stat $pid --json | cut -c 1-11)" = '{"tsc_khz":' ]
result $? "stat: by the process's number"
ends 64 'no vCPU 3' "stat: a vCPU that is not there" umbra stat one --vcpu 3
ends 69 'no VM nobody runs' "stat: a VM that is not there" umbra stat nobody
ends 64 'interval wants' "stat: a bad interval" umbra stat one --interval -1
ends 64 'wants --interval' "stat: a count without an interval" umbra stat one --count 3
ends 64 'no name' "stat: what is no name" umbra stat ''
umbra stat one --interval 0.1 >"$work/follow" &
follow=$!
until_true grep -q PER-SECOND "$work/follow"
umbra exits one --histogram | grep -qE '[0-9.]+ [nmu]s +[0-9]+ \|#+'
result $? "exits: drawn"
id=$(umbra list --json | tr -d ' \n' | sed 's/.*"name":"one"[^}]*"vm":\([0-9]*\).*/\1/')
[ "$(umbra exits "@$id" --json | tr -d ' \n' | cut -c 1-11)" = '{"tsc_khz":' ]
result $? "exits: by the VM's number"
umbra top --count 1 | grep -qE "^ +$id one +$pid running +1 +[0-9.]+ *\$"
result $? "top: a line for the VM"
reasons() {
	umbra top --count 2 --interval 0.1 | grep -qE "^ +$id one .* [a-z_]+:[0-9]"
}
until_true reasons
result $? "top: the second time with reasons"
ends 64 'takes no name' "top: a name" umbra top one

# A program that knows nothing of ours
mkfifo "$work/in"
"$hold" wait <"$work/in" >"$work/held" 2>&1 &
holder=$!
exec 5>"$work/in"
until_true grep -q ready "$work/held"
umbra list | grep -qE "^$holder/hold +$holder +running +1 +0M +/dev/umbra\$"
result $? "list: another program's VM, by its process"
umbra stat "$holder/hold" | grep -qE '^hlt_exits +1$'
result $? "stat: of that one"
exec 5>&-
wait $holder
! umbra list | grep -q "$holder/hold"
result $? "list: it is gone with its program"

umbra stop one
wait $follow
result $? "stat: ends well with the VM"
for command in monitor stat top exits list; do
	ends 0 '' "$command: help" umbra $command --help
done
if setpriv --reuid=65534 true 2>/dev/null; then
	ends 77 'root' "monitor: without privileges" setpriv --reuid=65534 --clear-groups umbra monitor
	setpriv --reuid=65534 --clear-groups umbra top --count 1 | grep -qE '^ +[0-9]'
	[ $? -eq 1 ]
	result $? "top: without privileges there are none of root's"
else
	skip "without privileges" "only root can become nobody"
fi
finish
