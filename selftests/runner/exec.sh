#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# umbra exec: a program finds Umbra's device where it looks for KVM's, and nobody
# else notices.
# shellcheck source=selftests/lib/runner.sh
. "$(dirname "$0")/../lib/runner.sh"
hold=$(realpath "$(dirname "$0")/../tools/hold")
made=
trap 'rm -rf "$work"; [ -z "$made" ] || rm -f /dev/kvm' EXIT

ends 64 'command to run is missing' "no command" umbra exec
ends 64 'command to run is missing' "no command behind --" umbra exec --dev "$dev" --
ends 64 'unknown option --all' "an unknown option" umbra exec --all true
ends 64 'argument is missing' "no device" umbra exec --dev
ends 0 '' "help" umbra exec --help
ends 69 'is not there' "a device that is not there" umbra exec --dev "$work/none" -- true
if [ "$(id -u)" -ne 0 ]; then
	skip "the device is put on /dev/kvm" "wants root's rights"
	finish
fi
if [ ! -e /dev/kvm ]; then
	ends 69 'there is no /dev/kvm.*mknod' "no /dev/kvm" umbra exec --dev "$dev" -- true
	mknod /dev/kvm c 10 232
	made=yes
fi

number() {
	stat -c %t:%T "$@"
}
before=$(number /dev/kvm)
[ "$(umbra exec --dev "$dev" -- stat -c %t:%T /dev/kvm)" = "$(number "$dev")" ]
result $? "the program has the device on /dev/kvm"
[ "$(number /dev/kvm)" = "$before" ]
result $? "and nobody else has"
umbra exec --dev "$dev" env UMBRA_DEV=/dev/kvm "$hold" once 2>"$work/err"
result $? "a VM can be made on it, also without --"
ends 9 '' "the program's status" umbra exec --dev "$dev" -- sh -c 'exit 9'
ends 0 '' "its arguments, options too" umbra exec --dev "$dev" -- test --help = --help
ends 69 'no-such-program' "a program that is not there" umbra exec --dev "$dev" -- no-such-program

if setpriv --reuid=65534 unshare -U true 2>/dev/null; then
	nobody() {
		setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	}
	mode=$(stat -c %a "$dev")
	ends 77 'not permitted' "a user who may not use the device" \
		nobody umbra exec --dev "$dev" -- true
	chmod 666 "$dev"
	nobody umbra exec --dev "$dev" -- env UMBRA_DEV=/dev/kvm "$hold" once 2>"$work/err"
	result $? "a user who may makes a VM"
	[ "$(nobody umbra exec --dev "$dev" -- id -u)" = 65534 ]
	result $? "and stays who he is"
	chmod "$mode" "$dev"
else
	skip "a user who may makes a VM" "no user namespaces"
fi
[ "$(number /dev/kvm)" = "$before" ]
result $? "/dev/kvm is what it was"
finish
