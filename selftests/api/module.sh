#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Loading and unloading, with what that leaves behind. It reloads the module;
# afterwards that is loaded as before. MODULE= is the file, RELOADS= how often.
module=${MODULE:-/umbra/umbra.ko}
# The debug kernel finds a single lost block when all tests are over (host-tests).
kmemleak=/sys/kernel/debug/kmemleak
reloads=${RELOADS:-25}
here=$(dirname "$0")
slabs=$here/../tools/slabs
# shellcheck source=selftests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=selftests/lib/hold.sh
. "$here/../lib/hold.sh"
trap 'rm -rf "$work"; unset UMBRA_DEV; loaded || insmod "$module"' EXIT

if ! loaded || [ ! -e "$module" ] || [ "$(id -u)" -ne 0 ]; then
	skip "the module loads and unloads" "umbra is not loaded, or $module is not there"
	finish
fi

# The parameter that takes nested paging away.
nested=npt
! grep -q GenuineIntel /proc/cpuinfo || nested=ept

# Whether EFER.SVME of CPU 0 is set: 1, 0, or nothing when nobody can tell.
svme() {
	dd if=/dev/cpu/0/msr bs=8 count=1 iflag=skip_bytes skip=$((0xc0000080)) 2>/dev/null |
		od -A n -t u4 -N 4 | awk '{ print int($1 / 4096) % 2 }'
}

# objects FILE: those in use, cache and count, without what the kernel keeps only as long as
# memory is not short, and when it has freed what it frees late, in batches up to 5 s old.
# Another process beside this shell would count too: no pipe, and no subshell around it.
objects() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sleep 7
	"$slabs" >"$1"
}

# The state that grown() compares with.
before() {
	[ -e $kmemleak ] || objects "$work/before"
}

# grown: some cache by an object in two times of three or more since «before», as the kernel
# has a few less or more of its own; $what says which. What ends just now gets the time for that.
grown() {
	for _ in 1 2 3 4; do
		objects "$work/after"
		what=$(awk -v n=$((reloads * 2 / 3)) 'NR == FNR { before[$1] = $2; next }
			$1 in before && $2 - before[$1] >= n { printf "%s +%d ", $1, $2 - before[$1] }' \
			"$work/before" "$work/after")
		[ -n "$what" ] || return 1
	done
}

result 0 "the module is loaded"
[ -c /dev/umbra ]
result $? "its node is a character device"
[ "$(stat -c %a /dev/umbra)" = 660 ]
result $? "its node is for root and the group alone"
modinfo "$module" | grep -qE '^license: +GPL$'
result $? "its licence is GPL"

hold_on wait
result $? "a VM can be made and runs"
! rmmod umbra 2>"$work/err" && loaded
result $? "rmmod with a VM open is refused"
grep -qi 'in use' "$work/err"
result $? "and says that it is in use"
let_go
result $? "the VM was not disturbed by that"
hold_on node
! rmmod umbra 2>/dev/null && loaded
result $? "rmmod with the node open is refused"
let_go

modprobe msr 2>/dev/null
if [ $nested = ept ]; then
	# Stock KVM wants CR4.VMXE to be 0; that it finds it set while we have a VM is in owner.sh.
	hold_on wait
	let_go
	modprobe kvm_intel && UMBRA_DEV=/dev/kvm "$hold" once
	result $? "after the last VM VMX is off on all CPUs: stock KVM makes a VM"
	modprobe -r kvm_intel
elif [ -n "$(svme)" ]; then
	[ "$(svme)" = 0 ]
	result $? "without a VM no CPU has SVM enabled"
	hold_on wait
	[ "$(svme)" = 1 ]
	result $? "with a VM it has"
	let_go
	[ "$(svme)" = 0 ]
	result $? "after the last VM it has not"
else
	skip "without a VM no CPU has SVM enabled" "no /dev/cpu/0/msr"
fi

rmmod umbra
result $? "rmmod"
[ ! -e /dev/umbra ]
result $? "the node goes with it"
! grep -q '^umbra' /proc/slabinfo
result $? "and so do its slab caches"
! insmod "$module" mmu=nonsense 2>"$work/err" && ! loaded
result $? "mmu=nonsense is refused"
dmesg -c >/dev/null
insmod "$module" $nested=0 && dmesg | grep -q 'memory by shadow-lazy' && "$hold" once && rmmod umbra
result $? "npt=0 (Intel: ept=0) is the same as no nested paging: a VM runs in shadow-lazy"
! insmod "$module" $nested=0 mmu=hardware 2>"$work/err" && ! loaded
result $? "$nested=0 with mmu=hardware is refused"
insmod "$module" mmu=hardware && "$hold" once && rmmod umbra
result $? "mmu=hardware is taken, and a VM runs"
insmod "$module" $nested=0 mmu=shadow-eager && "$hold" once && rmmod umbra
result $? "mmu=shadow-eager is taken without nested paging, and a VM runs"
! insmod "$module" halt_poll_ns=1000000001 2>"$work/err" && ! loaded
result $? "halt_poll_ns over a second is refused"
insmod "$module" halt_poll_ns=0 && "$hold" once &&
	echo 1000000000 >/sys/module/umbra/parameters/halt_poll_ns &&
	! echo 1000000001 2>/dev/null >/sys/module/umbra/parameters/halt_poll_ns &&
	[ "$(cat /sys/module/umbra/parameters/halt_poll_ns)" = 1000000000 ] &&
	"$hold" once && rmmod umbra
result $? "halt_poll_ns may be 0, and set up to a second while the module is loaded"

insmod "$module" kvm_node=1 && [ "$(stat -c %t:%T /dev/kvm)" = a:e8 ]
result $? "kvm_node=1: /dev/kvm is there, minor 232"
UMBRA_DEV=/dev/kvm "$hold" once && "$hold" once
result $? "and VMs can be made on both nodes"
rmmod umbra && [ ! -e /dev/kvm ] && [ ! -e /dev/umbra ]
result $? "both go with the module"

no_growth() {
	what=
	if [ -e $kmemleak ]; then
		skip "and no slab cache has grown by an object a time" "kmemleak looks for it"
	elif [ ! -e /sys/kernel/slab/kmalloc-64/objects ]; then
		skip "and no slab cache has grown by an object a time" "this kernel does not count"
	else
		! grown && [ -s "$work/before" ] && [ -s "$work/after" ]
		result $? "and no slab cache has grown by an object a time $what"
	fi
}

# A leak of one object a cycle shows in some cache.
cycle() {
	insmod "$module" && "$hold" once && rmmod umbra
}
cycle && cycle
before
i=0
bad=0
while [ $i -lt "$reloads" ]; do
	cycle || { bad=1; break; }
	i=$((i + 1))
done
result $bad "insmod, a VM, rmmod, $reloads times"
no_growth

# The same of VMs alone, and of callers that are killed.
insmod "$module" && "$hold" once
before
i=0
while [ $i -lt "$reloads" ]; do
	"$hold" once || break
	i=$((i + 1))
done
[ $i -eq "$reloads" ]
result $? "a VM made, run and dropped, $reloads times"
no_growth
KILLS=$reloads "$here/lifetime" SIGKILL >"$work/tap"
result $? "killed in RUN, $reloads times"
before
KILLS=$reloads "$here/lifetime" SIGKILL >"$work/tap"
result $? "and once more"
no_growth
rmmod umbra
result $? "rmmod after all that"
insmod "$module"
result $? "and the module is loaded again"
finish
