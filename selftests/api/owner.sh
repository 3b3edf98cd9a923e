#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# Stock KVM as the owner of SVM or VMX, before us and after us. The module is reloaded;
# afterwards that is loaded as before. MODULE= is the file.
module=${MODULE:-/umbra/umbra.ko}
here=$(dirname "$0")
# shellcheck source=selftests/lib/tap.sh
. "$here/../lib/tap.sh"
# shellcheck source=selftests/lib/hold.sh
. "$here/../lib/hold.sh"
trap 'rm -rf "$work"; unset UMBRA_DEV; loaded || insmod "$module"' EXIT

if ! loaded || [ ! -e "$module" ] || [ "$(id -u)" -ne 0 ]; then
	skip "stock KVM and we, in turn" "umbra is not loaded, or $module is not there"
	finish
fi
stock=kvm_amd
! grep -q GenuineIntel /proc/cpuinfo || stock=kvm_intel
rmmod umbra
result $? "the module is out"
if modprobe $stock 2>/dev/null && [ -e /sys/module/$stock ]; then
	dmesg -c >/dev/null 2>&1
	if insmod "$module" 2>"$work/err"; then
		"$hold" once 2>"$work/err"
		[ $? -eq 16 ]
		result $? "with $stock loaded, making a VM is EBUSY"
		rmmod umbra
	else
		grep -qi 'busy' "$work/err"
		result $? "with $stock loaded, insmod is EBUSY"
	fi
	dmesg | grep 'umbra:' >"$work/log"
	grep -q "$stock" "$work/log"
	result $? "the log names $stock"
	grep -q "modprobe -r $stock" "$work/log"
	result $? "and the remedy"
	dmesg -c >/dev/null 2>&1
	! insmod "$module" kvm_node=1 2>"$work/err" && grep -qi 'busy' "$work/err" && ! loaded
	result $? "with $stock loaded, kvm_node=1 is EBUSY"
	dmesg | grep -q "umbra: .*$stock.*modprobe -r $stock"
	result $? "and the log names the owner of /dev/kvm and the remedy"
	UMBRA_DEV=/dev/kvm "$hold" once
	result $? "stock KVM works on, undisturbed"
	# 6.1 lets both be loaded; 6.12 gives SVM to the first, unless told not to.
	insmod "$module" 2>/dev/null
	modprobe -r $stock
	result $? "$stock can be unloaded again"
	loaded || insmod "$module"
	"$hold" once
	result $? "and then a VM can be made"
	hold_on wait
	modprobe $stock 2>/dev/null
	UMBRA_DEV=/dev/kvm "$hold" once 2>"$work/err"
	held=$?
	let_go
	result $? "a VM of umbra outlives $stock's arrival"
	[ $held -ne 0 ]
	result $? "stock KVM makes no VM while umbra has one"
	modprobe -r $stock 2>/dev/null
	modprobe -r kvm 2>/dev/null
	[ ! -e /sys/module/$stock ] && rmmod umbra
	result $? "and all of it unloads"
else
	skip "with $stock loaded, making a VM is EBUSY" "$stock does not load here"
fi
insmod "$module"
result $? "and the module is loaded again"
finish
