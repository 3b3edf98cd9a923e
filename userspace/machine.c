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
