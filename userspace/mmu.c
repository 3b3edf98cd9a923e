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

/* What is said of a mode that can't be had; NULL: the VM has it now, or @err tells. */
static const char *set_mode(const struct umbra_vm *vm, const struct mode *m, int *ret,
			    struct umbra_err *err)
{
	struct umbra_info info = { 0 };

	*ret = UMBRA_IOCTL(vm->dev_fd, UMBRA_GET_INFO, &info, err);
	if (*ret < 0)
		return "that needs Umbra's own device (--dev /dev/umbra)";
	if (m->paging && strncmp(m->paging, info.paging, sizeof(info.paging)))
		return "this machine has no such hardware; leave it to auto";
	*ret = UMBRA_IOCTL(vm->fd, UMBRA_SET_MMU, &m->number, err);
	return *ret == -EOPNOTSUPP ? "the module or the CPU cannot do it; leave it to auto" : NULL;
}

int mmu_choose(const struct umbra_vm *vm, const char *dev, const char *mode,
	       struct umbra_err *err)
{
	const struct mode *m = find(mode);
	struct umbra_err detail;
	const char *why;
	int ret;

	if (m->number == UMBRA_MMU_AUTO)
		return 0;
	why = set_mode(vm, m, &ret, &detail);
	if (!why && !ret)
		return 0;
	return umbra_fail(err, UMBRA_EXIT_MISSING, "--mmu %s on %s: %.150s", mode, dev,
			  why ? why : detail.text);
}

int mmu_change(const struct umbra_vm *vm, const char *mode, struct umbra_err *err)
{
	struct umbra_err detail;
	const char *why;
	int ret;

	why = set_mode(vm, find(mode), &ret, &detail);
	if (!why && !ret)
		return 0;
	return umbra_fail(err, ret ? ret : -EOPNOTSUPP, "%s: %.150s", mode,
			  why ? why : detail.text);
}

const char *mmu_of(const struct umbra_vm *vm, struct umbra_err *err)
{
	__u32 number;
	size_t i;

	if (UMBRA_IOCTL(vm->fd, UMBRA_GET_MMU, &number, err) < 0) {
		umbra_fail(err, 0, "only Umbra's own device has modes (--dev /dev/umbra)");
		return NULL;
	}
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (modes[i].number == number)
			return modes[i].name;
	umbra_fail(err, 0, "the module's mode %u is newer than this program", number);
	return NULL;
}
