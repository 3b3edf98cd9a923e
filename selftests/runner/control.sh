#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# VMs by name: umbra list, pause, resume and stop.
# shellcheck source=selftests/lib/runner.sh
. "$(dirname "$0")/../lib/runner.sh"
sockets=/run/umbra
[ "$(id -u)" -eq 0 ] || sockets=$XDG_RUNTIME_DIR/umbra

guest spin fb eb fe
guest hlt f4 eb fd
guest off 66 ba 04 06 66 b8 00 34 66 ef f4

# vm NAME KERNEL [OPTION...]: runs in the background, its process in $pid.
vm() {
	what=$1 kernel=$2
	shift 2
	umbra run --dev "$dev" --kernel "$work/$kernel" --name "$what" "$@" \
		</dev/null >"$work/out" 2>"$work/err.$what" &
	pid=$!
	until_true is "$what" running
}

# The clock ticks that the vCPUs' threads of $pid have had.
ticks() {
	for task in /proc/"$pid"/task/*; do
		[ "${task##*/}" = "$pid" ] || sed 's/.*) //' "$task/stat"
	done | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

more_than() {
	[ "$(ticks)" -gt "$1" ]
}

# A thread that is out of the guest for good gets no more ticks.
stands_still() {
	before=$(ticks)
	sleep 0.5
	[ "$(ticks)" -eq "$before" ]
}

# Names
vm one spin --cpus 2
result $? "a VM appears in the list under its name"
umbra list | grep -qE "^one +$pid +running +2 +256M +$dev\$"
result $? "with its process, state, CPUs, memory and device"
umbra list --json | tr -d ' \n' | grep -q "{\"version\":1,\"vms\":\[{.*\"name\":\"one\",\"pid\":$pid,"
result $? "in JSON too"
first=$pid
ends 69 "process $first has this name.*umbra stop one" "a second VM of that name" \
	umbra run --dev "$dev" --kernel "$work/off" --name one
is one running
result $? "which the first one does not notice"
umbra run --dev "$dev" --kernel "$work/hlt" </dev/null >"$work/out" 2>"$work/err.two" &
two=$!
until_true is $two running
result $? "without --name it is called by its process"
[ "$(umbra list | awk -v two=$two '$1 == two || $1 == "one" { print $1 }' | tr '\n' ' ')" = "$two one " ]
result $? "the list has both, sorted"

# Pause
until_true more_than 0
result $? "the vCPU runs"
ends 0 '' "pause" umbra pause one
is one paused
result $? "it is paused when the command ends"
stands_still
result $? "and its vCPU gets no time"
ends 0 '' "a pause of what is paused" umbra pause one
is $two running
result $? "the other VM goes on"
before=$(ticks)
ends 0 '' "resume" umbra resume one
is one running && until_true more_than "$before"
result $? "the vCPU runs again"
ends 0 '' "a resume of what runs" umbra resume one
ends 0 '' "pause of a halted vCPU" umbra pause $two
is $two paused
result $? "it is paused too"
bad=0
for _ in 1 2 3 4 5 6 7 8 9 10; do
	umbra pause one && umbra resume one || bad=1
done
before=$(ticks)
until_true more_than "$before" && [ $bad -eq 0 ]
result $? "ten times to and fro, and it runs"

# Exits
reason() {
	umbra exits one | grep -qE "^$1 +[1-9][0-9]* +[0-9.]+ +[0-9.]+ +[0-9.]+\$"
}
if [ "$dev" = /dev/umbra ]; then
	until_true reason interrupt
	result $? "exits: a spinning vCPU's host interrupts, their number and time"
	umbra exits one --json | tr -d ' \n' |
		grep -qE '^{"tsc_khz":[1-9][0-9]*,"reasons":\[{"name":"[a-z_]+","count":[1-9]'
	result $? "exits: in JSON"
	[ "$(umbra exits one --vcpu 1)" = "$(umbra exits one | head -n 1)" ]
	result $? "exits: none of a vCPU that was never started"
	ends 64 'no vCPU 2' "exits: a vCPU that is not there" umbra exits one --vcpu 2
else
	ends 69 "only Umbra's own" "exits on stock KVM" umbra exits one
fi

# Modes
mode() {
	[ "$(umbra mmu one)" = "$1" ]
}
if [ "$dev" = /dev/umbra ]; then
	first_mode=$(umbra mmu one)
	result $? "mmu: a VM has a mode, $first_mode"
	modes=0
	for mode in shadow-lazy shadow-eager hardware; do
		if umbra mmu one $mode 2>"$work/err.mmu"; then
			modes=$((modes + 1))
			before=$(ticks)
			mode $mode && until_true more_than "$before"
			result $? "mmu: $mode, live, and the vCPU runs on"
		else
			grep -q 'cannot do it' "$work/err.mmu" && ! mode $mode
			result $? "mmu: $mode is refused where it can't be"
		fi
	done
	[ $modes -gt 0 ]
	result $? "mmu: there is a mode that can be had"
	umbra pause one && umbra mmu one "$first_mode" && mode "$first_mode"
	result $? "mmu: a paused VM's"
	before=$(ticks)
	umbra resume one && until_true more_than "$before"
	result $? "mmu: it goes on by that"
	other=ept
	! grep -q vmx /proc/cpuinfo || other=npt
	ends 69 'no such hardware' "mmu: the other vendor's paging" umbra mmu one $other
else
	ends 69 "only Umbra's own" "mmu on stock KVM" umbra mmu one
	ends 69 "Umbra's own device" "mmu on stock KVM with a mode" umbra mmu one hardware
fi

# Clients that misbehave
if command -v python3 >/dev/null; then
	cat >"$work/crowd.py" <<'END'
import socket, sys
held = []
for i in range(40):
    s = socket.socket(socket.AF_UNIX)
    s.connect(sys.argv[1])
    s.setblocking(False)
    try:
        s.send(b'{"version":1,"verb":"status"}\n' * 5000 if i % 2 else b'{"half')
    except (BlockingIOError, BrokenPipeError, ConnectionResetError):
        pass
    held.append(s)
print("held", flush=True)
sys.stdin.read()
END
	mkfifo "$work/fifo"
	python3 "$work/crowd.py" "$sockets/one.sock" <"$work/fifo" >"$work/held" 2>"$work/held.err" &
	crowd=$!
	exec 5>"$work/fifo"
	until_true grep -q held "$work/held"
	result $? "forty connections are held, with half requests and unread answers"
	before=$(ticks)
	is one running
	result $? "while they are, the list is answered"
	umbra pause one && is one paused && umbra resume one
	result $? "and so are pause and resume"
	until_true more_than "$before"
	result $? "and the guest runs"
	exec 5>&-
	wait $crowd
else
	skip "clients that misbehave" "no python3"
fi

# Ends
ends 0 '' "stop" umbra stop one
! umbra list | grep -q '^one ' && [ ! -e "$sockets/one.sock" ]
result $? "it is gone from the list when the command ends"
wait "$first" && [ ! -s "$work/err.one" ]
result $? "its runner ended well"
ends 0 '' "stop of a paused VM" umbra stop $two
wait $two
result $? "its runner ended well too"
vm three hlt
umbra pause three && kill $pid && wait $pid
result $? "SIGTERM ends a paused VM"
vm three spin
kill -9 $pid
wait $pid 2>/dev/null
[ -e "$sockets/three.sock" ] && vm three hlt
result $? "the name of a killed runner can be taken"
kill -9 $pid
wait $pid 2>/dev/null
umbra list | grep -q three
[ $? -eq 1 ] && [ ! -e "$sockets/three.sock" ]
result $? "the list removes what a killed runner left"
guest_ends 0 '' "a guest that powers off" off --name four
[ ! -e "$sockets/four.sock" ]
result $? "leaves no socket"

# Wrong calls
for verb in pause resume stop; do
	ends 69 'no VM nobody runs' "$verb: no such VM" umbra $verb nobody
	ends 64 'name is missing' "$verb without a name" umbra $verb
	ends 64 'one name only' "$verb with two" umbra $verb a b
	ends 64 'no name' "$verb with what is none" umbra $verb ../x
	ends 64 'unknown option' "$verb: an unknown option" umbra $verb --force
	ends 0 '' "$verb: help" umbra $verb --help
done
ends 69 'no VM nobody runs' "exits: no such VM" umbra exits nobody
ends 64 'name is missing' "exits without a name" umbra exits --json
ends 64 'one name only' "exits with two" umbra exits a b
ends 64 'wants a number' "exits: a vCPU that is no number" umbra exits a --vcpu -1
ends 64 'wants an argument' "exits: no vCPU" umbra exits a --vcpu
ends 64 'unknown option' "exits: an unknown option" umbra exits a --all
ends 0 '' "exits: help" umbra exits --help
ends 69 'no VM nobody runs' "mmu: no such VM" umbra mmu nobody
ends 64 'name is missing' "mmu without a name" umbra mmu
ends 64 'no more' "mmu with three words" umbra mmu a auto b
ends 64 'no name' "mmu with what is no name" umbra mmu ../x
ends 64 'no mode' "mmu with what is no mode" umbra mmu a shadow
ends 64 'unknown option' "mmu: an unknown option" umbra mmu --force
ends 0 '' "mmu: help" umbra mmu --help
ends 64 'nothing else' "list with a word" umbra list all
ends 64 'nothing else' "list: an unknown option" umbra list --xml
ends 0 '' "list: help" umbra list --help
guest_ends 64 'no name' "a name that looks like an option" off --name -x

# Users
if [ "$(id -u)" -eq 0 ] && setpriv --reuid=65534 true 2>/dev/null; then
	before=$(stat -c %a "$dev")
	chmod 666 "$dev"
	mkdir "$work/nobody"
	chown 65534 "$work/nobody"
	nobody() {
		setpriv --reuid=65534 --clear-groups "$@"
	}
	mine() {
		nobody env XDG_RUNTIME_DIR="$work/nobody" umbra list | grep -q '^five .*running'
	}
	nobody env XDG_RUNTIME_DIR="$work/nobody" umbra run --dev "$dev" --kernel "$work/hlt" \
		--name five </dev/null >"$work/out" 2>"$work/err.five" &
	pid=$!
	until_true mine
	result $? "another user's VM is in that user's list"
	if [ "$dev" = /dev/umbra ]; then
		umbra list --json | tr -d ' \n' | grep -q '"name":"five".*"uid":65534'
		result $? "and in root's, as the kernel tells it"
	else
		! umbra list | grep -q '^five '
		result $? "and not in root's"
	fi
	nobody env XDG_RUNTIME_DIR="$work/nobody" umbra stop five && wait $pid
	result $? "who can stop it"
	vm six hlt
	! nobody env XDG_RUNTIME_DIR="$work/nobody" umbra list | grep -q '^six '
	result $? "root's VM is not in another user's list"
	rmdir "$work/nobody/umbra" && ln -s "$sockets" "$work/nobody/umbra"
	ends 77 'Permission denied.*own user and root' "another user's VM is out of reach" \
		nobody env XDG_RUNTIME_DIR="$work/nobody" umbra stop six
	ends 69 'Not a directory' "a runtime directory that is a link to it" \
		nobody env XDG_RUNTIME_DIR="$work/nobody" umbra run --dev "$dev" \
		--kernel "$work/off" --name seven
	umbra stop six && wait $pid
	result $? "root stops its own"
	ends 0 'XDG_RUNTIME_DIR is not set' "without a runtime directory there is no socket" \
		nobody env -u XDG_RUNTIME_DIR umbra run --dev "$dev" --kernel "$work/off"
	ends 69 'XDG_RUNTIME_DIR is not set' "and no list" nobody env -u XDG_RUNTIME_DIR umbra list
	chmod "$before" "$dev"
else
	skip "VMs of other users" "only root can become nobody"
fi

! umbra list | grep -qE '^(one|three|four|six) ' && ! pgrep -f "umbra run --dev $dev" >/dev/null
result $? "no runner is left behind"
finish
