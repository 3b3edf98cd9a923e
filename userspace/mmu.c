// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include <linux/umbra.h>

#include "exitcode.h"
#include "mmu.h"

/* @paging: the hardware's own name for the mode, which only its vendor takes. */
static const struct mode {
	const char *name;
	__u32 number;
	const char *paging;
} modes[] = {
	{ "auto", UMBRA_MMU_AUTO, NULL },
	{ "hardware", UMBRA_MMU_HARDWARE, NULL },
	{ "npt", UMBRA_MMU_HARDWARE, "NPT" },
	{ "ept", UMBRA_MMU_HARDWARE, "EPT" },
	{ "shadow-lazy", UMBRA_MMU_SHADOW_LAZY, NULL },
	{ "shadow-eager", UMBRA_MMU_SHADOW_EAGER, NULL },
};

static const struct mode *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (!strcmp(name, modes[i].name))
			return &modes[i];
	return NULL;
}

bool mmu_known(const char *mode)
{
	return find(mode) != NULL;
}

int mmu_choose(const struct umbra_vm *vm, const char *dev, const char *mode,
	       struct umbra_err *err)
{
	const struct mode *m = find(mode);
	struct umbra_info info = { 0 };
	struct umbra_err detail;
	const char *why = NULL;
	int ret;

	if (m->number == UMBRA_MMU_AUTO)
		return 0;
	ret = UMBRA_IOCTL(vm->dev_fd, UMBRA_GET_INFO, &info, &detail);
	if (ret < 0)
		why = "that needs Umbra's own device (--dev /dev/umbra)";
	else if (m->paging && strncmp(m->paging, info.paging, sizeof(info.paging)))
		why = "this machine has no such hardware; leave it to auto";
	else if (UMBRA_IOCTL(vm->fd, UMBRA_SET_MMU, &m->number, &detail) < 0)
		why = "the module or the CPU cannot do it; leave it to auto";
	if (!why)
		return 0;
	return umbra_fail(err, UMBRA_EXIT_MISSING, "--mmu %s on %s: %s", mode, dev, why);
}
