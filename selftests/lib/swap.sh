# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=sh
# Swap for a test, in a file on the root disk (a tmpfs can't hold any).

swap_file=/var/tmp/umbra-selftest-swap.$$

# swap_on MIB: false, with the reason on stderr, where this machine does not let us.
swap_on() {
	dd if=/dev/zero of="$swap_file" bs=1M count="$1" conv=fsync 2>/dev/null &&
		chmod 600 "$swap_file" && mkswap "$swap_file" >/dev/null && swapon "$swap_file" &&
		return
	rm -f "$swap_file"
	return 1
}

# swap_off: what is in it comes back into memory first.
swap_off() {
	swapoff "$swap_file"
	rm -f "$swap_file"
}

# swapped_out: pages that this machine has written to swap since it came up.
swapped_out() {
	sed -n 's/^pswpout //p' /proc/vmstat
}
