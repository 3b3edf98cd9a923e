// SPDX-License-Identifier: GPL-2.0-only
/*
 * umbra check: one line for each thing that running a guest needs.
 *
 * "ok" is there; "note" is worth knowing and stops nothing; "lacks" stops a guest
 * and says the remedy; "denied" stops this user only.  The requirements stand in
 * a table, in the order in which a user would see to them.
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "commands.h"
#include "exitcode.h"
#include "lib/libumbra.h"
#include "machine.h"
#include "util.h"

enum state { IS_OK, IS_NOTE, IS_LACKING, IS_DENIED };

struct finding {
	enum state state;
	char text[400];
};

/* What the lines are judged from; asked once. */
struct facts {
	const char *dev;
	struct utsname uts;
	struct judge_words words;
	struct judge_verdict verdict;
	char modules[65536];
	bool module_loaded;
	int dev_result;		/* 0, or the negative errno of making a VM on dev */
	struct umbra_err dev_error;
};

__attribute__((format(printf, 3, 4)))
static void say(struct finding *f, enum state state, const char *fmt, ...)
{
	va_list ap;

	f->state = state;
	va_start(ap, fmt);
	vsnprintf(f->text, sizeof(f->text), fmt, ap);
	va_end(ap);
}

static const char *extension(const struct facts *x)
{
	static const char *const names[] = {
		[JUDGE_OTHER_CPU] = "virtualization", [JUDGE_AMD] = "SVM", [JUDGE_INTEL] = "VMX",
	};

	return names[x->verdict.vendor];
}

static void check_kernel(const struct facts *x, struct finding *f)
{
	unsigned int major = 0, minor = 0;

	if (sscanf(x->uts.release, "%u.%u", &major, &minor) == 2 &&
	    ((major == 6 && minor == 1) || (major == 6 && minor == 12)))
		say(f, IS_OK, "%s", x->uts.release);
	else
		say(f, IS_NOTE, "%s: only 6.1 and 6.12 are tested", x->uts.release);
}

static void check_cpu(const struct facts *x, struct finding *f)
{
	if (x->verdict.vendor == JUDGE_OTHER_CPU)
		say(f, IS_LACKING, "%s: %s", x->words.vendor, x->verdict.virt_remedy);
	else
		say(f, IS_OK, "%s", x->words.vendor);
}

static void check_below(const struct facts *x, struct finding *f)
{
	char name[13];

	(void)x;
	if (machine_hypervisor(name))
		say(f, IS_NOTE, "this is itself a virtual machine (%s)", name);
	else
		say(f, IS_OK, "bare metal");
}

static void check_virt(const struct facts *x, struct finding *f)
{
	const char *name = extension(x);
	bool intel = x->verdict.vendor == JUDGE_INTEL;

	switch (x->verdict.virt) {
	case JUDGE_VIRT_OK:
		if (intel ? x->words.feature_control.known : x->words.vm_cr.known)
			say(f, IS_OK, "%s present, not locked off", name);
		else
			say(f, IS_OK, "%s present (whether locked off cannot be read here: root and the msr module can)",
			    name);
		break;
	case JUDGE_VIRT_LOCKED_OFF:
		say(f, IS_LACKING, "%s locked off: %s", name, x->verdict.virt_remedy);
		break;
	default:
		say(f, IS_LACKING, "%s absent: %s", name, x->verdict.virt_remedy);
		break;
	}
}

static void check_paging(const struct facts *x, struct finding *f)
{
	const char *name = x->verdict.vendor == JUDGE_INTEL ? "EPT" : "NPT";

	switch (x->verdict.paging) {
	case JUDGE_PAGING_OK:
		say(f, IS_OK, "%s", name);
		break;
	case JUDGE_PAGING_UNKNOWN:
		say(f, IS_NOTE, "%s cannot be asked for: %s", name, x->verdict.paging_remedy);
		break;
	case JUDGE_PAGING_SHADOW:
		say(f, IS_NOTE, "%s absent: %s", name, x->verdict.paging_remedy);
		break;
	case JUDGE_PAGING_ABSENT:
		say(f, IS_LACKING, "%s absent: %s", name, x->verdict.paging_remedy);
		break;
	}
}

static bool is_kvm(const struct facts *x)
{
	return !strcmp(x->dev, "/dev/kvm");
}

static void check_rivals(const struct facts *x, struct finding *f)
{
	char names[64];
	unsigned int n = holders(x->modules, names, sizeof(names));

	if (!n)
		say(f, IS_OK, "none loaded");
	else if (is_kvm(x) || (x->module_loaded && !x->dev_result))
		say(f, IS_NOTE, "%s loaded", names);
	else
		say(f, IS_LACKING, "%s loaded: unload before Umbra runs guests (modprobe -r %s)",
		    names, names);
}

static void check_signing(const struct facts *x, struct finding *f)
{
	char lockdown[128], enforce[8];
	const char *what = NULL;

	if (read_text("/sys/kernel/security/lockdown", lockdown, sizeof(lockdown)) > 0 &&
	    !strstr(lockdown, "[none]"))
		what = "kernel lockdown";
	else if (read_text("/sys/module/module/parameters/sig_enforce", enforce,
			   sizeof(enforce)) > 0 && enforce[0] == 'Y')
		what = "module signature enforcement";
	if (!what)
		say(f, machine_secure_boot() ? IS_NOTE : IS_OK, "%s",
		    machine_secure_boot() ? "Secure Boot on, but unsigned modules load" :
		    "no Secure Boot or lockdown in the way");
	else if (x->module_loaded || is_kvm(x))
		say(f, IS_NOTE, "%s on; the module is loaded all the same", what);
	else
		say(f, IS_LACKING, "%s on: sign umbra.ko with an enrolled key (mokutil --import), or turn Secure Boot off",
		    what);
}

static void check_headers(const struct facts *x, struct finding *f)
{
	char path[256], release[128];
	int n;

	snprintf(path, sizeof(path), "/lib/modules/%s/build/include/config/kernel.release",
		 x->uts.release);
	n = read_text(path, release, sizeof(release));
	if (n > 0)
		release[strcspn(release, "\n")] = '\0';
	if (n > 0 && !strcmp(release, x->uts.release))
		say(f, IS_OK, "for %s", release);
	else if (x->module_loaded || is_kvm(x))
		say(f, IS_NOTE, "none for this kernel; not needed, the module is loaded");
	else
		say(f, IS_LACKING, "none for this kernel: apt-get install linux-headers-%s",
		    x->uts.release);
}

static void check_module(const struct facts *x, struct finding *f)
{
	if (x->module_loaded)
		say(f, IS_OK, "umbra loaded");
	else if (is_kvm(x))
		say(f, IS_NOTE, "umbra not loaded; %s was asked for", x->dev);
	else
		say(f, IS_LACKING, "umbra not loaded: insmod umbra.ko");
}

static void check_device(const struct facts *x, struct finding *f)
{
	int code;

	if (!x->dev_result) {
		say(f, IS_OK, "%s creates VMs", x->dev);
		return;
	}
	code = open_failure(x->dev, x->dev_result, x->dev_error.text, &x->verdict, f->text,
			    sizeof(f->text));
	f->state = code == UMBRA_EXIT_NOT_PERMITTED ? IS_DENIED : IS_LACKING;
}

static const struct {
	const char *name;
	void (*check)(const struct facts *x, struct finding *f);
} lines[] = {
	{ "kernel", check_kernel },
	{ "CPU", check_cpu },
	{ "machine", check_below },
	{ "virtualization", check_virt },
	{ "nested paging", check_paging },
	{ "other hypervisors", check_rivals },
	{ "module signing", check_signing },
	{ "kernel headers", check_headers },
	{ "module", check_module },
	{ "device", check_device },
};

static void gather(struct facts *x)
{
	struct umbra_vm vm;
	struct stat st;

	uname(&x->uts);
	machine_words(&x->words);
	x->verdict = judge_words(&x->words);
	if (read_text("/proc/modules", x->modules, sizeof(x->modules)) < 0)
		x->modules[0] = '\0';
	x->module_loaded = !stat("/sys/module/umbra", &st);
	x->dev_result = umbra_vm_open(&vm, x->dev, &x->dev_error);
	if (!x->dev_result)
		umbra_vm_close(&vm);
}

static int report(const struct facts *x)
{
	static const char *const word[] = {
		[IS_OK] = "ok", [IS_NOTE] = "note", [IS_LACKING] = "lacks", [IS_DENIED] = "denied",
	};
	unsigned int count[4] = { 0 };
	size_t i;

	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		struct finding f = { IS_OK, "" };

		lines[i].check(x, &f);
		count[f.state]++;
		printf("%-7s%-19s%s\n", word[f.state], lines[i].name, f.text);
	}
	/* What is missing comes first: permission alone would not help. */
	if (count[IS_LACKING])
		return UMBRA_EXIT_MISSING;
	return count[IS_DENIED] ? UMBRA_EXIT_NOT_PERMITTED : UMBRA_EXIT_OK;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "dev", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	struct facts x = { .dev = UMBRA_DEV_DEFAULT };
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, ":", options, NULL)) != -1) {
		switch (id) {
		case 'd':
			x.dev = optarg;
			break;
		case 'h':
			printf("Usage: umbra check [--dev PATH]\n"
			       "Say line by line what this machine has and lacks for running guests,\n"
			       "with the remedy. Exits 0 if nothing is lacking.\n");
			return UMBRA_EXIT_OK;
		default:
			complain("%s %s; see umbra check --help",
				 id == ':' ? "an argument is missing to" : "unknown option",
				 argv[optind - 1]);
			return UMBRA_EXIT_USAGE;
		}
	}
	if (optind < argc) {
		complain("unexpected argument %s; see umbra check --help", argv[optind]);
		return UMBRA_EXIT_USAGE;
	}
	gather(&x);
	return report(&x);
}
