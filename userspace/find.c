// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>

#include "exitcode.h"
#include "find.h"
#include "util.h"
#include "view.h"

int find_vm(struct kernel *k, const char *arg, json_t **vm, struct umbra_err *err)
{
	size_t i, found = 0;
	json_t *vms, *one;
	int ret;

	*vm = NULL;
	ret = kernel_dump(k, UMBRA_NL_CMD_VM_GET, 0, &vms, err);
	if (ret)
		return ret;
	json_array_foreach(vms, i, one) {
		if (view_matches(one, arg) && !found++)
			*vm = json_incref(one);
	}
	json_decref(vms);
	if (found == 1)
		return 0;
	json_decref(*vm);
	*vm = NULL;
	if (!found)
		return umbra_fail(err, -ENOENT, "no such VM");
	return umbra_fail(err, -EEXIST, "%zu VMs are called so: say @ and the number that `umbra top` shows",
			  found);
}

int find_failure(const char *command, const char *arg, int code, const struct umbra_err *err)
{
	switch (code) {
	case -ENOENT:
		complain("%s: no VM %s runs; `umbra list` shows those that do", command, arg);
		return UMBRA_EXIT_MISSING;
	case -EEXIST:
		complain("%s %s: %s", command, arg, err->text);
		return UMBRA_EXIT_USAGE;
	default:
		return kernel_failure(command, code, err);
	}
}

int find_figures(struct kernel *k, const json_t *vm, int vcpu, json_t **sum, struct umbra_err *err)
{
	uint32_t id = (uint32_t)json_integer_value(json_object_get(vm, "vm"));
	json_t *figures;
	int ret;

	*sum = NULL;
	ret = kernel_dump(k, UMBRA_NL_CMD_STATS_GET, id, &figures, err);
	if (ret)
		return ret;
	*sum = view_sum(figures, vcpu);
	json_decref(figures);
	return *sum ? 0 : umbra_fail(err, -EINVAL, "it has no vCPU %d", vcpu);
}
