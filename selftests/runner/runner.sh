#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only
# The runner from outside: small guests of a few instructions, each end that a
# guest can take, and every wrong way to call it.
# shellcheck source=selftests/lib/runner.sh
. "$(dirname "$0")/../lib/runner.sh"

if [ -e /sys/kernel/debug/kmemleak ]; then
	skip "the runner's ends and options" "hundreds of its runs take minutes on the debug kernel; runner/control.sh and guests run there"
	finish
fi

off='66 ba 04 06 66 b8 00 34 66 ef f4'	# PM1a control: S5
# The codes are lists of words.
# shellcheck disable=SC2086
{
	guest off $off
	guest cf9 66 ba f9 0c b0 06 ee f4
	guest i8042 b0 fe e6 64 f4
	guest triple 0f 0b
	guest spin fb eb fe
	guest hlt f4 eb fd
	guest nowhere b8 00 00 00 d0 ff e0			# jump to 0xd0000000
	guest ones bb 00 00 00 d0 8b 03 ff c0 75 fe $off	# spins unless all ones
	guest mark e6 f4 e6 f4 $off
	# "hi" and a newline on ttyS0
	guest hi 66 ba f8 03 b0 68 ee b0 69 ee b0 0a ee $off
	# and "yo" on ttyS1
	guest yo 66 ba f8 02 b0 79 ee b0 6f ee $off
	# With its receive interrupt on, sends back what comes until "q", each byte
	# when LSR shows it and room for the answer.
	guest echo 66 ba f9 03 b0 01 ee 66 ba fd 03 ec 24 21 3c 21 75 f5 \
		66 ba f8 03 ec ee 3c 71 75 eb $off
}

# ap NAME: the first vCPU writes 8 bytes of real-mode code to
# 0x8000, sends INIT and SIPI with ICR's destination $dest and upper bytes $short, and
# does $then; $code is what those it starts do.
ap() {
	# shellcheck disable=SC2086
	guest "$1" 48 b8 $code 48 a3 00 80 00 00 00 00 00 00 \
		bb 00 03 e0 fe c7 43 10 00 00 00 $dest \
		c7 03 00 45 $short c7 03 08 46 $short $then
}
ap_off='ba 04 06 b8 00 34 ef f4'		# PM1a control: S5
ap_reset='ba f9 0c b0 06 ee f4 90'		# the reset register
ap_triple='0f 01 1e 00 90 cc f4 f4'		# LIDT of zeros, INT3
halts='f4 eb fd' spins='fb eb fe'
dest=01 short='00 00'
code=$ap_off then=$halts
ap ap-off-hlt
then=$spins
ap ap-off-spin
code=$ap_reset
ap ap-reset
code=$ap_triple
ap ap-triple-spin
then=$halts
ap ap-triple-hlt
dest=3f
ap ap-triple-last
dest=00 short='0c 00' code=$ap_off	# all but itself
ap ap-off-all
code='fb eb fe 90 90 90 90 90' then=$spins
ap ap-spin

run() {
	timeout 90 umbra run --dev "$dev" "$@" 2>"$work/err"
}

# Ends of guests
guest_ends 0 '' "ACPI power-off" off
guest_ends 0 '' "reset register" cf9
guest_ends 0 '' "reset by the keyboard controller" i8042
guest_ends 3 'triple fault at rip 0x[0-9a-f]+ on vCPU 0$' "triple fault" triple
guest_ends 5 'internal error, suberror 1.*rip 0xd0000000' "execution where no memory is" nowhere
guest_ends 0 '' "memory where nothing is reads all ones" ones
guest_ends 0 '' "18 MiB of memory, enough for this one" off --memory 18M
guest_ends 0 '' "memory above 4 GiB" off --memory 5G
guest_ends 3 '^umbra: web-1: guest: triple' "the name stands in messages" triple --name web-1

# Several vCPUs: whichever ends, all do
for bsp in hlt spin; do
	guest_ends 0 '' "power-off by the second vCPU, the first in $bsp" ap-off-$bsp --cpus 2
	guest_ends 3 'triple fault at rip 0x[0-9a-f]+ on vCPU 1$' \
		"triple fault of the second vCPU, the first in $bsp" ap-triple-$bsp --cpus 4
done
guest_ends 0 '' "reset by the second vCPU" ap-reset --cpus 3
guest_ends 0 '' "power-off by the first vCPU, the others never started" off --cpus 4
guest_ends 3 'on vCPU 0$' "triple fault of the first vCPU, the others never started" \
	triple --cpus 4
guest_ends 3 'on vCPU 63$' "triple fault of the last of 64 vCPUs" ap-triple-last --cpus 64
guest_ends 0 '' "63 vCPUs at once power off" ap-off-all --cpus 64 --stats "$work/stats"
grep -qE '^run_ns [0-9]+$' "$work/stats"
result $? "stats: of 64 vCPUs"

# Disks: what can be wrong with the file, and its lock
truncate -s 1M "$work/disk"
guest_ends 0 '' "a disk" off --disk "$work/disk"
guest_ends 0 '' "a disk that is only read" off --disk "$work/disk,ro" --stats "$work/stats"
grep -qx 'disk0_reads 0' "$work/stats"
result $? "stats: the disk's"
guest_ends 69 "disk $work/absent: No such file" "a disk that is not there" off --disk "$work/absent"
: >"$work/none"
guest_ends 69 '0 bytes are not whole sectors' "an empty disk" off --disk "$work/none"
truncate -s 1000 "$work/odd"
guest_ends 69 '1000 bytes are not whole sectors' "a disk of no whole sectors" off --disk "$work/odd"
guest_ends 69 'neither a file nor a block device' "a directory as disk" off --disk "$work,ro"
guest_ends 69 'neither a file nor a block device' "a terminal as disk" off --disk /dev/null
set -- "$work/disk,ro"
guest_ends 0 '' "eight disks, one file for all, to read" off --disk "$1" --disk "$1" --disk "$1" \
	--disk "$1" --disk "$1" --disk "$1" --disk "$1" --disk "$1"
guest_ends 64 'more than the 8' "a ninth disk" off --disk "$1" --disk "$1" --disk "$1" \
	--disk "$1" --disk "$1" --disk "$1" --disk "$1" --disk "$1" --disk "$1"
guest_ends 69 'in use by process [0-9]+;' "the same disk twice" off --disk "$work/disk" \
	--disk "$work/disk"

umbra run --dev "$dev" --kernel "$work/hlt" --disk "$work/disk" </dev/null >/dev/null 2>&1 &
pid=$!
until_true grep -qE "FLOCK +ADVISORY +WRITE +$pid " /proc/locks
guest_ends 69 "disk $work/disk: in use by process $pid;" "a disk that another guest has" off \
	--disk "$work/disk"
guest_ends 69 "in use by process $pid;" "even to read it" off --disk "$work/disk,ro"
kill $pid
wait $pid
guest_ends 0 '' "it is free again after that one's end" off --disk "$work/disk"

# Where its output goes
guest_ends 0 '' "console on stdout" hi
[ "$(cat "$work/out")" = hi ]
result $? "console on stdout: the text"
guest_ends 0 '' "console in a file" hi --console "file=$work/console"
[ "$(cat "$work/console")" = hi ] && [ ! -s "$work/out" ]
result $? "console in a file: the text, there only"
guest_ends 0 '' "channel in a file" yo --channel "$work/channel"
[ "$(cat "$work/channel")" = yo ] && [ ! -s "$work/out" ]
result $? "channel in a file: the text, there only"
run --kernel "$work/yo" --channel 3 3>"$work/channel3" </dev/null &&
	[ "$(cat "$work/channel3")" = yo ]
result $? "channel at a descriptor"
guest_ends 69 '/nonexistent/x' "channel that cannot be made" yo --channel /nonexistent/x
guest_ends 69 '77 is not an open' "channel at a descriptor that is not open" yo --channel 77
guest_ends 0 '' "stats" mark --stats "$work/stats"
grep -qE '^mark_ns [0-9]+$' "$work/stats" && grep -qx 'io_mark_0xf4 2' "$work/stats"
result $? "stats: the mark's time, and both writes"
grep -qE '^mark_1_end_ns [0-9]+$' "$work/stats" && ! grep -q '^mark_2' "$work/stats" &&
	[ "$(sed -n 's/^mark_1_exits_io //p' "$work/stats")" -gt \
	  "$(sed -n 's/^mark_0_exits_io //p' "$work/stats")" ]
result $? "stats: of each write the time and the exits until then"
run --kernel "$work/hi" >/dev/full </dev/null
result $? "an output that fails does not end the guest"
run --kernel "$work/hi" >&- </dev/null
result $? "nor does one that is closed"

# Input
printf 'hello q' | run --kernel "$work/echo" >"$work/out" &&
	[ "$(cat "$work/out")" = 'hello q' ]
result $? "input from a pipe reaches the guest, the early bytes too"
printf 'a file q' >"$work/in"
run --kernel "$work/echo" <"$work/in" >"$work/out" &&
	[ "$(cat "$work/out")" = 'a file q' ]
result $? "input from a file"
head -c 70000 /dev/zero | tr '\0' x >"$work/in"
echo q >>"$work/in"
run --kernel "$work/echo" <"$work/in" | tr -d '\n' >"$work/out"
[ "$(wc -c <"$work/out")" -eq 70001 ]
result $? "70000 bytes, more than any buffer holds, arrive"
umbra run --dev "$dev" --kernel "$work/echo" --console pty </dev/null 2>"$work/err" &
pid=$!
until_true grep -q '^umbra: console on ' "$work/err"
pty=$(sed -n 's/^umbra: console on //p' "$work/err")
(sleep 1; printf 'by pty q' >"$pty") &
[ "$(timeout 60 head -c 8 "$pty")" = 'by pty q' ]
result $? "console on a pseudo-terminal, both ways"
wait $pid
result $? "and the guest's own end"

# Signals, terminals
for what in spin hlt ap-spin; do
	umbra run --dev "$dev" --kernel "$work/$what" --cpus 4 </dev/null >"$work/out" 2>"$work/err" &
	pid=$!
	until_true is $pid running
	sleep 1
	kill -0 $pid
	result $? "the end of input ends nothing ($what)"
	kill $pid
	wait $pid && [ ! -s "$work/err" ]
	result $? "SIGTERM: clean stop ($what)"
done
one="umbra run --dev $dev --kernel $work/hlt"
one_runs() {
	is "$(pgrep -f "$one")" running
}
for how in TERM HUP SEGV ESCAPE; do
	cat >"$work/session" <<END
stty -g >$work/tty.before
$one 2>$work/err
echo "\$?" >$work/status
stty -g >$work/tty.after
END
	rm -f "$work/status" "$work/tty.after"
	(
		until_true one_runs
		case $how in
		ESCAPE) printf '\001x' ;;
		*) kill -"$how" "$(pgrep -f "$one")" ;;
		esac
		until_true test -s "$work/tty.after"
	) | timeout 120 script -qec "sh $work/session" /dev/null >"$work/out" 2>&1
	cmp -s "$work/tty.before" "$work/tty.after"
	result $? "the terminal is as before after $how"
	case $how in
	SEGV) [ "$(cat "$work/status")" -eq 139 ] ;;
	*) [ "$(cat "$work/status")" -eq 0 ] ;;
	esac
	result $? "and the status is right after $how"
	grep -q 'Ctrl-A X' "$work/err"
	result $? "and Ctrl-A X was told at the start"
done

# Wrong kernels
kernel=/boot/vmlinuz-$(uname -r)
guest_ends 69 'no such|No such file' "a kernel that is not there" absent
: >"$work/empty"
guest_ends 69 'is empty' "an empty kernel" empty
echo 'not a kernel, but a text that is long enough' >"$work/text"
guest_ends 69 'truncated, or no Linux' "a short text as kernel" text
head -c 100000 /dev/zero >"$work/zeros"
guest_ends 69 'no Linux kernel image' "zeros as kernel" zeros
mkdir "$work/dir"
guest_ends 69 'not a regular file' "a directory as kernel" dir
if [ -r "$kernel" ]; then
	head -c 1000000 "$kernel" >"$work/short"
	guest_ends 69 'is truncated' "a truncated bzImage" short
	cp "$kernel" "$work/bits32"
	printf '\0\0' | dd of="$work/bits32" bs=1 seek=566 conv=notrunc 2>/dev/null
	guest_ends 69 'no 64-bit entry' "a 32-bit bzImage" bits32
	ends 69 'MiB to start.*--memory' "too little memory" \
		umbra run --dev "$dev" --kernel "$kernel" --memory 32M
	head -c 200M /dev/zero >"$work/initrd"
	ends 69 'does not fit.*--memory' "too little memory for the initrd" \
		umbra run --dev "$dev" --kernel "$kernel" --initrd "$work/initrd" --memory 128M
	rm "$work/initrd"
else
	skip "wrong copies of a bzImage" "no kernel in /boot"
fi
guest_ends 69 'No such file' "an initrd that is not there" off --initrd "$work/absent"

# Wrong calls
ends 64 'command is missing' "no command" umbra
ends 64 'unknown command' "a command that does not exist" umbra fly
ends 64 'kernel is missing' "no kernel" umbra run
guest_ends 64 'unknown.*--fast' "an unknown option" off --fast
guest_ends 64 'wants an argument' "an option without its argument" off --memory
guest_ends 64 'unexpected argument' "a word too many" off more
guest_ends 64 'no size' "a bad size" off --memory 12Q
guest_ends 64 'more than' "a size beyond all" off --memory 2000G
guest_ends 69 'too little' "a size below all" off --memory 4K
guest_ends 64 'no number from 1' "no vCPU" off --cpus 0
guest_ends 64 'no number from 1' "more vCPUs than there are IDs" off --cpus 255
guest_ends 64 'no number from 1' "a number of vCPUs that is none" off --cpus 2x
guest_ends 64 'no mode' "a bad MMU mode" off --mmu fast
guest_ends 64 'no name' "a bad name" off --name 'a b'
guest_ends 64 'none of stdio' "a bad console" off --console tv
long=$(printf '%3000s' x)
guest_ends 64 'shorten --append' "a command line that is too long" off --append "$long"
ends 69 'not there' "a device that is not there" \
	umbra run --dev "$work/absent" --kernel "$work/off"
ends 69 'does not answer' "a device that is none" \
	umbra run --dev /dev/null --kernel "$work/off"
ends 64 'unknown option' "check: an unknown option" umbra check --fast
if [ "$(id -u)" -eq 0 ] && setpriv --reuid=65534 true 2>/dev/null; then
	before=$(stat -c %a "$dev")
	chmod 600 "$dev"
	ends 77 'not permitted' "a device that is not permitted" \
		setpriv --reuid=65534 --clear-groups umbra run --dev "$dev" --kernel "$work/off"
	setpriv --reuid=65534 --clear-groups umbra check --dev "$dev" >"$work/out" 2>&1
	grep -qE '^denied +device' "$work/out"
	result $? "check: names the device that is denied"
	chmod "$before" "$dev"
else
	skip "a device that is not permitted" "only root can become nobody"
fi
[ "$dev" != /dev/kvm ] || guest_ends 69 'Umbra.s own' "a mode of Umbra's on stock KVM" off --mmu npt
[ "$dev" = /dev/kvm ] || guest_ends 0 '' "hardware paging by name" off --mmu hardware

# Help, check
ends 0 '' "help" umbra run --help
grep -q -- --channel "$work/out"
result $? "help names the channel"
ends 0 '' "check: nothing is lacking" umbra check --dev "$dev"
grep -qE '^ok +device +.* creates VMs' "$work/out" && ! grep -qE '^(lacks|denied)' "$work/out"
result $? "check: a line for the device"

! pgrep -f "umbra run --dev $dev" >/dev/null
result $? "no runner is left behind"
finish
