// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "exitcode.h"
#include "util.h"

#define NAME_MAX_LEN	63
#define MODULES_TEXT	65536

int parse_size(const char *text, uint64_t *bytes)
{
	unsigned int shift = 20;
	unsigned long long n;
	char *end;

	/* strtoull() alone would take blanks and a sign. */
	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno)
		return -ERANGE;
	switch (*end) {
	case 'k': case 'K': shift = 10; end++; break;
	case 'm': case 'M': shift = 20; end++; break;
	case 'g': case 'G': shift = 30; end++; break;
	default: break;
	}
	if (*end || !n)
		return -EINVAL;
	if (n > UINT64_MAX >> shift)
		return -ERANGE;
	*bytes = (uint64_t)n << shift;
	return 0;
}

bool valid_name(const char *text)
{
	size_t len = strlen(text);

	return len && len <= NAME_MAX_LEN && isalnum((unsigned char)text[0]) &&
	       strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
			    "0123456789._-") == len;
}

int parse_seconds(const char *text, double *seconds)
{
	char *end;
	double value;

	/* Plain digits: no sign, no exponent, no name of a number. */
	if (!text[0] || strspn(text, "0123456789.") != strlen(text))
		return -EINVAL;
	value = strtod(text, &end);
	if (end == text || *end)
		return -EINVAL;
	if (value < 0.1 || value > 86400)
		return -ERANGE;
	*seconds = value;
	return 0;
}

void complain(const char *fmt, ...)
{
	char line[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	/* One write, so that lines of several processes do not mix. */
	fprintf(stderr, "umbra: %s\n", line);
}

int read_text(const char *path, char *buf, unsigned int size)
{
	unsigned int used = 0;
	ssize_t n = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (used < size - 1) {
		n = read(fd, buf + used, size - 1 - used);
		if (n <= 0)
			break;
		used += (unsigned int)n;
	}
	if (n < 0) {
		int code = errno;

		close(fd);
		return -code;
	}
	close(fd);
	buf[used] = '\0';
	return (int)used;
}

/* Whether the line that starts at @line is of module @name. */
static bool line_is(const char *line, const char *name)
{
	size_t len = strlen(name);

	return !strncmp(line, name, len) && line[len] == ' ';
}

unsigned int holders(const char *modules, char *buf, unsigned int size)
{
	static const char *const rivals[] = { "kvm_amd", "kvm_intel", "vboxdrv" };
	unsigned int found = 0;
	const char *line;

	buf[0] = '\0';
	for (line = modules; line && *line; ) {
		unsigned int i;

		for (i = 0; i < sizeof(rivals) / sizeof(rivals[0]); i++) {
			size_t used = strlen(buf);

			if (line_is(line, rivals[i]))
				snprintf(buf + used, size - used, "%s%s", found++ ? ", " : "",
					 rivals[i]);
		}
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return found;
}

unsigned int flock_owner(const char *locks, dev_t dev, ino_t ino)
{
	const char *line;

	for (line = locks; line && *line; line = strchr(line, '\n')) {
		unsigned int major_nr, minor_nr;
		unsigned long long inode;
		int pid;

		line += *line == '\n';
		/* A waiter's line has "->" first, and is no owner's. */
		if (sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%llu ", &pid, &major_nr, &minor_nr,
			   &inode) == 4 &&
		    pid > 0 && makedev(major_nr, minor_nr) == dev && inode == ino)
			return (unsigned int)pid;
	}
	return 0;
}

static void busy_remedy(const char *dev, char *buf, unsigned int size)
{
	char *modules = malloc(MODULES_TEXT);
	char names[64] = "";

	if (modules && read_text("/proc/modules", modules, MODULES_TEXT) >= 0)
		holders(modules, names, sizeof(names));
	free(modules);
	if (names[0])
		snprintf(buf, size, "%s is busy: %s holds the CPU's virtualization; unload it (modprobe -r %s)",
			 dev, names, names);
	else
		snprintf(buf, size, "%s is busy: another hypervisor holds the CPU's virtualization; stop it",
			 dev);
}

/* What the machine itself lacks, or NULL. */
static const char *machine_lack(const struct judge_verdict *v, const char **remedy)
{
	const char *name = v->vendor == JUDGE_INTEL ? "VT-x (VMX)" : "SVM";

	if (v->virt != JUDGE_VIRT_OK) {
		*remedy = v->virt_remedy;
		return v->vendor == JUDGE_OTHER_CPU ? "virtualization" : name;
	}
	if (v->paging == JUDGE_PAGING_ABSENT) {
		*remedy = v->paging_remedy;
		return v->vendor == JUDGE_INTEL ? "nested paging (EPT)" : "nested paging (NPT)";
	}
	return NULL;
}

int open_failure(const char *dev, int code, const char *detail,
		 const struct judge_verdict *verdict, char *buf, unsigned int size)
{
	const char *remedy = NULL, *lack = machine_lack(verdict, &remedy);

	switch (-code) {
	case EACCES:
	case EPERM:
		snprintf(buf, size, "%s is not permitted to this user: join its group (usually kvm) and log in again, or be root",
			 dev);
		return UMBRA_EXIT_NOT_PERMITTED;
	case EBUSY:
		busy_remedy(dev, buf, size);
		return UMBRA_EXIT_MISSING;
	case ENOENT:
	case ENODEV:
	case ENXIO:
	case EOPNOTSUPP:
		if (lack)
			snprintf(buf, size, "%s: this machine has no usable %s: %s", dev, lack,
				 remedy);
		else if (code == -ENOENT)
			snprintf(buf, size, "%s is not there: its module is not loaded; load it (insmod umbra.ko), then try `umbra check`",
				 dev);
		else
			snprintf(buf, size, "%s cannot run VMs here: %s; the kernel's log says why",
				 dev, detail);
		return UMBRA_EXIT_MISSING;
	default:
		snprintf(buf, size, "%s cannot be used: %s; `umbra check` may tell more", dev,
			 detail);
		return UMBRA_EXIT_MISSING;
	}
}
