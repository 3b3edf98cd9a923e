// SPDX-License-Identifier: GPL-2.0-only
/* Sizes, names, /proc/modules, and why a device cannot be opened. */
#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "../exitcode.h"
#include "../util.h"
#include "tap.h"

static const struct {
	const char *text;
	int ret;
	uint64_t bytes;
} sizes[] = {
	{ "256", 0, 256ull << 20 },
	{ "256M", 0, 256ull << 20 },
	{ "256m", 0, 256ull << 20 },
	{ "1G", 0, 1ull << 30 },
	{ "4g", 0, 4ull << 30 },
	{ "65536K", 0, 64ull << 20 },
	{ "1k", 0, 1024 },
	{ "17179869183G", 0, 17179869183ull << 30 },
	{ "17179869184G", -ERANGE, 0 },
	{ "18446744073709551616", -ERANGE, 0 },
	{ "0", -EINVAL, 0 },
	{ "0M", -EINVAL, 0 },
	{ "", -EINVAL, 0 },
	{ "M", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "+1", -EINVAL, 0 },
	{ " 1", -EINVAL, 0 },
	{ "1 M", -EINVAL, 0 },
	{ "1MB", -EINVAL, 0 },
	{ "1T", -EINVAL, 0 },
	{ "1.5G", -EINVAL, 0 },
	{ "0x10", -EINVAL, 0 },
};

static const struct {
	const char *text;
	int ret;
	double seconds;
} times[] = {
	{ "1", 0, 1 },
	{ "0.1", 0, 0.1 },
	{ "2.5", 0, 2.5 },
	{ "86400", 0, 86400 },
	{ "86401", -ERANGE, 0 },
	{ "0.05", -ERANGE, 0 },
	{ "0", -ERANGE, 0 },
	{ "", -EINVAL, 0 },
	{ ".", -EINVAL, 0 },
	{ "1.2.3", -EINVAL, 0 },
	{ "-1", -EINVAL, 0 },
	{ "1e3", -EINVAL, 0 },
	{ "inf", -EINVAL, 0 },
	{ "nan", -EINVAL, 0 },
	{ "1s", -EINVAL, 0 },
};

static const struct {
	const char *text;
	bool valid;
} names[] = {
	{ "a", true },
	{ "web-1.test_2", true },
	{ "", false },
	{ "a b", false },
	{ "a/b", false },
	{ "a\nb", false },
	{ "7", true },
	{ "-a", false },
	{ ".a", false },
	{ "..", false },
	{ "\xc3\xa4", false },
	{ "123456789012345678901234567890123456789012345678901234567890123", true },
	{ "1234567890123456789012345678901234567890123456789012345678901234", false },
};

static const struct {
	const char *what, *modules, *found;
	unsigned int count;
} modules[] = {
	{ "no modules", "", "", 0 },
	{ "kvm alone owns nothing", "kvm 1 0 - Live 0x0\nirqbypass 1 0 - Live 0x0\n", "", 0 },
	{ "kvm_amd", "kvm_amd 1 0 - Live 0x0\nkvm 1 1 kvm_amd, Live 0x0\n", "kvm_amd", 1 },
	{ "two", "vboxdrv 1 0 - Live 0x0\nkvm_intel 1 0 - Live 0x0", "vboxdrv, kvm_intel", 2 },
	{ "a name that only begins alike", "kvm_amd_x 1 0 - Live 0x0\n", "", 0 },
};

static const struct {
	int code, exit_code;
	const char *word;
} failures[] = {
	{ -ENOENT, UMBRA_EXIT_MISSING, "not loaded" },
	{ -EACCES, UMBRA_EXIT_NOT_PERMITTED, "group" },
	{ -EPERM, UMBRA_EXIT_NOT_PERMITTED, "group" },
	{ -EBUSY, UMBRA_EXIT_MISSING, "holds" },
	{ -ENODEV, UMBRA_EXIT_MISSING, "detail" },
	{ -EOPNOTSUPP, UMBRA_EXIT_MISSING, "detail" },
	{ -EIO, UMBRA_EXIT_MISSING, "detail" },
};

static const struct judge_verdict good = { .vendor = JUDGE_AMD };

static const struct {
	struct judge_verdict verdict;
	const char *word;
} lacks[] = {
	{ { JUDGE_AMD, JUDGE_VIRT_ABSENT, JUDGE_PAGING_ABSENT, "do this", "or that" }, "SVM" },
	{ { JUDGE_AMD, JUDGE_VIRT_LOCKED_OFF, JUDGE_PAGING_OK, "do this", NULL }, "SVM" },
	{ { JUDGE_AMD, JUDGE_VIRT_OK, JUDGE_PAGING_ABSENT, NULL, "do this" }, "NPT" },
	{ { JUDGE_INTEL, JUDGE_VIRT_ABSENT, JUDGE_PAGING_ABSENT, "do this", "or that" }, "VMX" },
	{ { JUDGE_INTEL, JUDGE_VIRT_OK, JUDGE_PAGING_ABSENT, NULL, "do this" }, "EPT" },
	{ { JUDGE_OTHER_CPU, JUDGE_VIRT_UNKNOWN_VENDOR, JUDGE_PAGING_ABSENT, "do this", "" },
	  "virtualization" },
};

static const char locks[] =
	"1: FLOCK  ADVISORY  WRITE 4321 08:01:77 0 EOF\n"
	"1: -> FLOCK  ADVISORY  WRITE 55 fe:00:1234 0 EOF\n"
	"2: POSIX  ADVISORY  WRITE 66 fe:00:1234 0 EOF\n"
	"3: OFDLCK ADVISORY  READ -1 fe:00:1234 0 EOF\n"
	"4: FLOCK  ADVISORY  WRITE 0 fe:00:99 0 EOF\n"
	"5: FLOCK  ADVISORY  READ  1234 fe:00:1234 0 EOF\n";

static const struct {
	const char *what;
	unsigned int major_nr, minor_nr;
	ino_t ino;
	unsigned int pid;
} owners[] = {
	{ "the first line", 8, 1, 77, 4321 },
	{ "neither a waiter nor locks of another kind", 0xfe, 0, 1234, 1234 },
	{ "another device", 8, 2, 77, 0 },
	{ "another file", 8, 1, 78, 0 },
	{ "an owner of another namespace", 0xfe, 0, 99, 0 },
};

#define COUNT(a)	(sizeof(a) / sizeof((a)[0]))

int main(void)
{
	struct tap tap = { 0 };
	char buf[256];
	size_t i;

	for (i = 0; i < COUNT(sizes); i++) {
		uint64_t bytes = 0;
		int ret = parse_size(sizes[i].text, &bytes);

		tap_ok(&tap, ret == sizes[i].ret && bytes == sizes[i].bytes, "size: \"%s\"",
		       sizes[i].text);
	}
	for (i = 0; i < COUNT(times); i++) {
		double seconds = 0;
		int ret = parse_seconds(times[i].text, &seconds);

		tap_ok(&tap, ret == times[i].ret && seconds == times[i].seconds,
		       "seconds: \"%s\"", times[i].text);
	}
	for (i = 0; i < COUNT(names); i++)
		tap_ok(&tap, valid_name(names[i].text) == names[i].valid, "name: case %zu", i);
	for (i = 0; i < COUNT(modules); i++)
		tap_ok(&tap, holders(modules[i].modules, buf, sizeof(buf)) == modules[i].count &&
		       !strcmp(buf, modules[i].found), "holders: %s", modules[i].what);
	for (i = 0; i < COUNT(failures); i++) {
		int code = open_failure("/dev/x", failures[i].code, "detail", &good, buf,
					sizeof(buf));

		tap_ok(&tap, code == failures[i].exit_code && strstr(buf, failures[i].word) &&
		       strstr(buf, "/dev/x") && !strchr(buf, '\n'),
		       "open failure: %s", strerror(-failures[i].code));
	}
	for (i = 0; i < COUNT(lacks); i++) {
		int code = open_failure("/dev/x", -ENOENT, "detail", &lacks[i].verdict, buf,
					sizeof(buf));

		tap_ok(&tap, code == UMBRA_EXIT_MISSING && strstr(buf, lacks[i].word) &&
		       strstr(buf, "do this"), "open failure: %s", lacks[i].word);
	}
	for (i = 0; i < COUNT(owners); i++)
		tap_ok(&tap, flock_owner(locks, makedev(owners[i].major_nr, owners[i].minor_nr),
					 owners[i].ino) == owners[i].pid,
		       "lock: %s", owners[i].what);
	tap_ok(&tap, !flock_owner("", 0, 0) && !flock_owner("1: FLOCK", 0, 0), "lock: no text");
	return tap_done(&tap);
}
