// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "sides.h"
#include "x86.h"

#define PARAMETERS	"/tmp/.umbra-parameters"

static bool loaded(const char *module)
{
	char path[64];

	snprintf(path, sizeof(path), "/sys/module/%s", module);
	return !access(path, F_OK);
}

static bool command(const char *c)
{
	return system(c) == 0;
}

/* KVM's module for this CPU's vendor, in or out. */
static const char *kvm_module(void)
{
	return cpu_is_intel() ? "kvm_intel" : "kvm_amd";
}

static bool load_kvm(const char *parameters)
{
	char c[256];

	snprintf(c, sizeof(c), "modprobe %s %s", kvm_module(), parameters);
	return command(c);
}

static bool unload_kvm(void)
{
	char c[256];

	snprintf(c, sizeof(c), "modprobe -r %s", kvm_module());
	return command(c);
}

bool both_sides(void (*umbra)(void), const struct side *kvm)
{
	bool umbra_was = loaded("umbra"), kvm_was = loaded(kvm_module());
	const char *ko = getenv("MODULE");
	char insmod[512];

	snprintf(insmod, sizeof(insmod), "insmod %s $(cat " PARAMETERS " 2>/dev/null)",
		 ko ? ko : "/umbra/umbra.ko");
	if (kvm_was && !unload_kvm())
		return false;
	if (umbra_was)
		command("cd /sys/module/umbra/parameters && for p in *; do "
			"printf '%s=%s ' $p $(cat $p); done >" PARAMETERS);
	else if (!command(insmod))
		return false;
	umbra();
	if (!command("rmmod umbra"))
		return false;
	for (; kvm->parameters; kvm++) {
		if (!load_kvm(kvm->parameters))
			break;
		kvm->measure();
		if (!unload_kvm())
			return false;
	}
	if (umbra_was && (!command(insmod) || unlink(PARAMETERS)))
		return false;
	return !kvm_was || load_kvm("");
}
