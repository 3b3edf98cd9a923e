// SPDX-License-Identifier: GPL-2.0-only
#include <cpuid.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "machine.h"
#include "util.h"

#define SECURE_BOOT_VAR \
	"/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static struct judge_word read_msr(int fd, uint32_t index)
{
	struct judge_word w = { 0 };

	/* The device takes the MSR's number as the file offset. */
	w.known = fd >= 0 && pread(fd, &w.value, sizeof(w.value), index) == sizeof(w.value);
	return w;
}

/* Whether the kernel's /proc/cpuinfo lists @word in the line @key; -1: there is no such line. */
static int cpuinfo_lists(const char *text, const char *key, const char *word)
{
	const char *line = strstr(text, key), *end, *at;
	size_t length = strlen(word);

	if (!line)
		return -1;
	line++;		/* behind the line break, which is part of @key */
	end = line + strcspn(line, "\n");
	for (at = line; (at = strstr(at, word)) && at < end; at += length)
		if (at[-1] == ' ' && strchr(" \n", at[length]))
			return 1;
	return 0;
}

/*
 * What the kernel read at boot from MSRs that cannot be read now. It takes VMX out of
 * its flags where the firmware has locked it off.
 */
static void ask_kernel(struct judge_words *w)
{
	char text[16384];

	if (read_text("/proc/cpuinfo", text, sizeof(text)) <= 0)
		return;
	if (!w->feature_control.known && (w->leaf1_ecx & JUDGE_1_ECX_VMX) &&
	    !cpuinfo_lists(text, "\nflags", "vmx"))
		w->feature_control = (struct judge_word){ true, JUDGE_FEATURE_LOCKED };
	if (w->procbased2.known || cpuinfo_lists(text, "\nvmx flags", "ept") < 0)
		return;
	w->procbased = (struct judge_word){ true, JUDGE_PROCBASED_SECONDARY };
	w->procbased2.known = true;
	if (cpuinfo_lists(text, "\nvmx flags", "ept"))
		w->procbased2.value |= JUDGE_PROCBASED2_EPT;
}

void machine_words(struct judge_words *w)
{
	uint32_t a, b, c, d;
	int fd;

	memset(w, 0, sizeof(*w));
	__cpuid(0, a, b, c, d);
	w->max_leaf = a;
	memcpy(w->vendor, &b, 4);
	memcpy(w->vendor + 4, &d, 4);
	memcpy(w->vendor + 8, &c, 4);
	if (w->max_leaf >= 1)
		__cpuid(1, a, b, w->leaf1_ecx, d);
	__cpuid(0x80000000, w->max_ext_leaf, b, c, d);
	if (w->max_ext_leaf >= 0x80000001)
		__cpuid(0x80000001, a, b, w->leaf80000001_ecx, d);
	if (w->max_ext_leaf >= 0x8000000a)
		__cpuid(0x8000000a, a, b, c, w->leaf8000000a_edx);

	fd = open("/dev/cpu/0/msr", O_RDONLY | O_CLOEXEC);
	w->vm_cr = read_msr(fd, JUDGE_MSR_VM_CR);
	w->feature_control = read_msr(fd, JUDGE_MSR_FEATURE_CONTROL);
	w->procbased = read_msr(fd, JUDGE_MSR_VMX_PROCBASED);
	w->procbased2 = read_msr(fd, JUDGE_MSR_VMX_PROCBASED2);
	if (fd >= 0)
		close(fd);
	if (!strcmp(w->vendor, "GenuineIntel"))
		ask_kernel(w);
}

const char *machine_hypervisor(char buf[13])
{
	uint32_t a, b, c, d;

	__cpuid(1, a, b, c, d);
	if (!(c & 1u << 31))
		return NULL;
	__cpuid(0x40000000, a, b, c, d);
	memcpy(buf, &b, 4);
	memcpy(buf + 4, &c, 4);
	memcpy(buf + 8, &d, 4);
	buf[12] = '\0';
	return buf;
}

bool machine_secure_boot(void)
{
	char var[8];

	/* Four bytes of attributes, then the value. */
	return read_text(SECURE_BOOT_VAR, var, sizeof(var)) >= 5 && var[4] == 1;
}
