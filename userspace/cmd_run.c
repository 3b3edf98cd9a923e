// SPDX-License-Identifier: GPL-2.0-only
/* umbra run: options, and the way from them to an exit code. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "boot/e820.h"
#include "commands.h"
#include "exitcode.h"
#include "mmu.h"
#include "util.h"
#include "vm.h"

#define DEFAULT_MEMORY	(256ull << 20)
/* APIC ids have 8 bits in CPUID and in the ACPI tables, and the last one is a broadcast. */
#define CPUS_MAX	254

/*
 * What the runner says to the guest's kernel about the machine, each unless the
 * user's own words begin alike.  Without pci=off Linux looks for AGP bridges on
 * AMD by 16384 reads of configuration space.
 */
static const char *const linux_words[] = { "console=ttyS0", "pci=off" };

enum option_id {
	OPT_KERNEL = 256, OPT_INITRD, OPT_APPEND, OPT_MEMORY, OPT_CPUS, OPT_DISK, OPT_MMU, OPT_NAME, OPT_CONSOLE,
	OPT_CHANNEL, OPT_DEV, OPT_STATS, OPT_HELP,
};

static const struct option options[] = {
	{ "kernel", required_argument, NULL, OPT_KERNEL },
	{ "initrd", required_argument, NULL, OPT_INITRD },
	{ "append", required_argument, NULL, OPT_APPEND },
	{ "memory", required_argument, NULL, OPT_MEMORY },
	{ "cpus", required_argument, NULL, OPT_CPUS },
	{ "disk", required_argument, NULL, OPT_DISK },
	{ "mmu", required_argument, NULL, OPT_MMU },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "console", required_argument, NULL, OPT_CONSOLE },
	{ "channel", required_argument, NULL, OPT_CHANNEL },
	{ "dev", required_argument, NULL, OPT_DEV },
	{ "stats", required_argument, NULL, OPT_STATS },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char help_text[] =
"Usage: umbra run --kernel FILE [OPTION]...\n"
"Boot a Linux guest.\n"
"\n"
"  --kernel FILE     a bzImage, of 64 or 32 bits, or a 64-bit vmlinux\n"
"  --initrd FILE     the guest's initial RAM disk\n"
"  --append STRING   the kernel's command line; console=ttyS0 and pci=off are put\n"
"                    before it, each unless it has a console= or pci= of its own\n"
"  --memory SIZE     RAM, with K, M or G (bare: MiB); default 256M\n"
"  --cpus N          virtual CPUs, 1 to 254; default 1\n"
"  --disk FILE[,ro]  a virtio disk: a raw image or a block device, to be written too or,\n"
"                    with ,ro, only read; up to 8 times: vda, vdb, ...\n"
"  --mmu MODE        how guest memory is virtualized: auto (default), or on Umbra's\n"
"                    own device hardware, which npt and ept name by vendor,\n"
"                    shadow-lazy or shadow-eager\n"
"  --name NAME       what to call the VM: letters, digits, and . _ -; default: the\n"
"                    number of its process\n"
"  --console WHERE   the guest's ttyS0: stdio (default), pty, or file=FILE\n"
"  --channel WHERE   give the guest a second serial port, ttyS1 (0x2f8, IRQ 3),\n"
"                    raw and both ways, at an open descriptor's number, a UNIX\n"
"                    socket, a FIFO or a file\n"
"  --dev PATH        the hypervisor's device; default /dev/umbra; /dev/kvm works too\n"
"  --stats FILE      at the end, write counts there, and as mark_ns the nanoseconds\n"
"                    from the first KVM_RUN to the guest's first write to port 0xf4;\n"
"                    of each of the first 32 writes the time, and the exits until then\n"
"  --help            this text\n"
"\n"
"Ctrl-A X on a terminal leaves the guest; Ctrl-A Ctrl-A sends one Ctrl-A.\n";

static int usage(const char *fmt, const char *what)
{
	char text[256];

	snprintf(text, sizeof(text), fmt, what);
	complain("%s; see umbra run --help", text);
	return UMBRA_EXIT_USAGE;
}

static int take_memory(struct vm_config *cfg, const char *arg)
{
	uint64_t size;

	if (parse_size(arg, &size))
		return usage("--memory %s is no size", arg);
	if (size > MEM_MAX) {
		complain("--memory %s is more than the 1024G that a guest can have", arg);
		return UMBRA_EXIT_USAGE;
	}
	if (size < MEM_MIN) {
		complain("--memory %s is too little memory for any kernel; give 64M or more", arg);
		return UMBRA_EXIT_MISSING;
	}
	cfg->memory = size & ~4095ull;
	return 0;
}

static int take_cpus(struct vm_config *cfg, const char *arg)
{
	char *end;
	unsigned long n;

	errno = 0;
	n = strtoul(arg, &end, 10);
	if (errno || *arg < '0' || *arg > '9' || *end || !n || n > CPUS_MAX)
		return usage("--cpus %s is no number from 1 to 254", arg);
	cfg->cpus = (unsigned int)n;
	return 0;
}

/* The text stands in argv, and so may be cut where it is. */
static int take_disk(struct vm_config *cfg, char *arg)
{
	size_t len = strlen(arg);
	struct disk_config *d = &cfg->disks[cfg->disk_count];

	if (cfg->disk_count == DISKS_MAX)
		return usage("--disk %s is one more than the 8 that a guest can have", arg);
	d->readonly = len > 3 && !strcmp(arg + len - 3, ",ro");
	if (d->readonly)
		arg[len - 3] = '\0';
	d->path = arg;
	cfg->disk_count++;
	return 0;
}

static int take_option(struct vm_config *cfg, int id, char *arg)
{
	switch (id) {
	case OPT_KERNEL:	cfg->kernel = arg; return 0;
	case OPT_INITRD:	cfg->initrd = arg; return 0;
	case OPT_APPEND:	cfg->cmdline = arg; return 0;
	case OPT_CHANNEL:	cfg->channel = arg; return 0;
	case OPT_DEV:		cfg->dev = arg; return 0;
	case OPT_STATS:		cfg->stats = arg; return 0;
	case OPT_MEMORY:	return take_memory(cfg, arg);
	case OPT_CPUS:		return take_cpus(cfg, arg);
	case OPT_DISK:		return take_disk(cfg, arg);
	case OPT_MMU:
		cfg->mmu = arg;
		return mmu_known(arg) ? 0 : usage("--mmu %s is no mode", arg);
	case OPT_NAME:
		cfg->name = arg;
		return valid_name(arg) ? 0 : usage("--name %s is no name", arg);
	default:
		cfg->console = arg;
		if (!strcmp(arg, "stdio") || !strcmp(arg, "pty") ||
		    (!strncmp(arg, "file=", 5) && arg[5]))
			return 0;
		return usage("--console %s is none of stdio, pty, file=FILE", arg);
	}
}

/* Return: 0, an exit code, or -1 when only help was wanted. */
static int parse(struct vm_config *cfg, int argc, char **argv)
{
	int id, ret;

	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		if (id == OPT_HELP)
			return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : -1;
		if (id == ':')
			return usage("%s wants an argument", argv[optind - 1]);
		if (id == '?')
			return usage("unknown or ambiguous option %s", argv[optind - 1]);
		ret = take_option(cfg, id, optarg);
		if (ret)
			return ret;
	}
	if (optind < argc)
		return usage("unexpected argument %s", argv[optind]);
	if (!cfg->kernel)
		return usage("%s is missing", "--kernel");
	return 0;
}

/* Whether @cmdline has a word that gives the same parameter as @word, as in "pci=". */
static bool has_parameter(const char *cmdline, const char *word)
{
	size_t len = strcspn(word, "=") + 1;
	const char *at;

	for (at = cmdline; *at; at += strcspn(at, " ")) {
		at += strspn(at, " ");
		if (!strncmp(at, word, len))
			return true;
	}
	return false;
}

static char *full_cmdline(const char *append)
{
	const size_t count = sizeof(linux_words) / sizeof(linux_words[0]);
	size_t i, size = strlen(append) + 1;
	char *line;

	for (i = 0; i < count; i++)
		size += strlen(linux_words[i]) + 1;
	line = malloc(size);
	if (!line)
		return NULL;
	line[0] = '\0';
	for (i = 0; i < count; i++)
		if (!has_parameter(append, linux_words[i]))
			strcat(strcat(line, linux_words[i]), " ");
	return strcat(line, append);
}

static int exit_code(const struct vm *vm)
{
	static const int codes[] = {
		[STOP_POWEROFF] = UMBRA_EXIT_OK,
		[STOP_RESET] = UMBRA_EXIT_OK,
		[STOP_SIGNAL] = UMBRA_EXIT_OK,
		[STOP_USER] = UMBRA_EXIT_OK,
		[STOP_TRIPLE_FAULT] = UMBRA_EXIT_TRIPLE_FAULT,
		[STOP_ENTRY_FAILED] = UMBRA_EXIT_ENTRY_FAILED,
		[STOP_INTERNAL] = UMBRA_EXIT_INTERNAL,
	};

	return codes[atomic_load(&vm->stop)];
}

static int run_vm(struct vm *vm, const struct vm_config *cfg)
{
	struct umbra_err err = { "" };
	int ret = vm_create(vm, cfg, &err);

	if (!ret) {
		if (vm->console.escape)
			fprintf(stderr, "umbra: Ctrl-A X leaves the guest\r\n");
		ret = vm_loop(vm);
		if (ret) {
			snprintf(err.text, sizeof(err.text), "%s", strerror(-ret));
			ret = UMBRA_EXIT_INTERNAL;
		} else {
			ret = exit_code(vm);
			memcpy(err.text, vm->stop_text, sizeof(err.text));
			err.text[sizeof(err.text) - 1] = '\0';
		}
	}
	/* The terminal comes back before anything is said on it. */
	vm_destroy(vm);
	if (err.text[0])
		complain("%s%s%s", cfg->name ? cfg->name : "", cfg->name ? ": " : "", err.text);
	fputs(vm->refusal, stderr);
	return ret;
}

int cmd_run(int argc, char **argv)
{
	struct vm_config cfg = {
		.dev = UMBRA_DEV_DEFAULT,
		.cmdline = "",
		.mmu = "auto",
		.console = "stdio",
		.memory = DEFAULT_MEMORY,
		.cpus = 1,
	};
	struct vm *vm;
	char *cmdline;
	int ret = parse(&cfg, argc, argv);

	if (ret)
		return ret < 0 ? UMBRA_EXIT_OK : ret;
	cmdline = full_cmdline(cfg.cmdline);
	vm = malloc(sizeof(*vm));
	if (!cmdline || !vm) {
		complain("no memory");
		free(cmdline);
		free(vm);
		return UMBRA_EXIT_INTERNAL;
	}
	cfg.cmdline = cmdline;
	if (cfg.name)
		prctl(PR_SET_NAME, cfg.name);
	ret = run_vm(vm, &cfg);
	if (cfg.stats && vm->stats.end_ns) {
		int code = vm_write_stats(vm, cfg.stats);

		if (code) {
			complain("--stats %s: %s", cfg.stats, strerror(-code));
			ret = ret ? ret : UMBRA_EXIT_INTERNAL;
		}
	}
	free(vm);
	free(cmdline);
	return ret;
}
