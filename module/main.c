// SPDX-License-Identifier: GPL-2.0-only
/*
 * Load and unload: the parameters, the choice of a backend, and the one
 * ordered list of what starts and stops.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/init.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/static_call.h>

#include "backend.h"
#include "debugfs.h"
#include "genl.h"
#include "ioctl.h"
#include "mmu_quota.h"
#include "umbra.h"

const struct umbra_backend_ops *umbra_backend __ro_after_init;
struct umbra_backend_caps umbra_caps __ro_after_init;

#define DEFINE_HOT(op)	DEFINE_STATIC_CALL_NULL(umbra_##op, UMBRA_HOT_TYPE(op));
UMBRA_HOT_OPS(DEFINE_HOT)

static char *mmu = "auto";
module_param(mmu, charp, 0444);
MODULE_PARM_DESC(mmu, "how the memory of a new VM is virtualized: auto, hardware, shadow-lazy, shadow-eager (default auto)");

/* Asked in this order; the first whose machine this is serves it. */
static const struct umbra_backend_ops * const backends[] __initconst = {
	&umbra_svm_ops,
	&umbra_vmx_ops,
};

/* A required operation that a backend lacks would be a jump to 0 in the middle of a guest. */
#define BACKEND_REQUIRED(ret, op, ...)	if (!ops->op) return false;
#define BACKEND_OPTIONAL(ret, op, ...)

static bool __init backend_complete(const struct umbra_backend_ops *ops)
{
	UMBRA_BACKEND_OPS(BACKEND_REQUIRED, BACKEND_OPTIONAL)
	return true;
}

static void __init aim_hot_ops(void)
{
#define AIM_HOT(op)	static_call_update(umbra_##op, umbra_backend->op);
	UMBRA_HOT_OPS(AIM_HOT)
}

static int __init say_missing(const struct umbra_backend_ops *ops, u32 missing)
{
	if (missing & UMBRA_MISSING_FIRMWARE) {
		pr_err("%s is switched off by the firmware: enable it in the BIOS set-up\n",
		       ops->name);
		return -ENODEV;
	}
	if (missing & UMBRA_MISSING_OWNER) {
		umbra_say_owner(ops);
		return -EBUSY;
	}
	return -ENODEV;
}

static int __init choose_backend(void)
{
	u32 missing;
	int i;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		missing = backends[i]->probe();
		if (!missing) {
			if (WARN_ON(!backend_complete(backends[i])))
				return -EINVAL;
			umbra_backend = backends[i];
			return 0;
		}
		if (!(missing & UMBRA_MISSING_CPU))
			return say_missing(backends[i], missing);
	}
	pr_err("this CPU has neither SVM nor VMX: Umbra needs one, or the emulated host (lab/run)\n");
	return -ENODEV;
}

static int __init choose_mode(void)
{
	umbra_mmu_default = umbra_mmu_find(mmu);
	if (umbra_mmu_default)
		return 0;
	if (umbra_mmu_is_hardware(mmu)) {
		pr_err("%s has no nested paging (%s) here, or it is switched off (%s=0): mmu=auto does without\n",
		       umbra_backend->name, umbra_backend->paging_name,
		       umbra_backend->paging_param);
		return -EOPNOTSUPP;
	}
	pr_err("mmu=%s: no such mode here; choose auto%s, shadow-lazy, shadow-eager\n", mmu,
	       umbra_caps.hardware_paging ? ", hardware" : "");
	return -EINVAL;
}

static int __init umbra_init(void)
{
	int r;

	r = choose_backend();
	if (r)
		return r;
	aim_hot_ops();
	r = umbra_backend->setup(&umbra_caps);
	if (r)
		return r;
	umbra_ept_setup();
	r = choose_mode();
	if (r)
		goto err_backend;
	umbra_fpu_setup();
	umbra_cpuid_setup();
	umbra_msr_setup();
	r = umbra_hardware_init();
	if (r)
		goto err_backend;
	r = umbra_genl_init();
	if (r)
		goto err_hardware;
	r = umbra_shrink_init();
	if (r)
		goto err_genl;
	r = umbra_apf_setup();
	if (r)
		goto err_shrink;
	umbra_debugfs_init();
	/* Last: from here on userspace can call. */
	r = umbra_ioctl_init();
	if (r)
		goto err_views;
	pr_info("%s, memory by %s\n", umbra_backend->name, umbra_mmu_default->name);
	return 0;

err_views:
	umbra_debugfs_exit();
	umbra_apf_exit();
err_shrink:
	umbra_shrink_exit();
err_genl:
	umbra_genl_exit();
err_hardware:
	umbra_hardware_exit();
err_backend:
	umbra_backend->unsetup();
	return r;
}

/* No VM is left: each holds a reference to the module. */
static void __exit umbra_exit(void)
{
	umbra_ioctl_exit();
	umbra_debugfs_exit();
	umbra_apf_exit();
	umbra_shrink_exit();
	umbra_genl_exit();
	/* Table pages and slots on their way out through RCU and the notifiers. */
	mmu_notifier_synchronize();
	rcu_barrier();
	umbra_hardware_exit();
	umbra_backend->unsetup();
}

module_init(umbra_init);
module_exit(umbra_exit);

MODULE_LICENSE("GPL");
MODULE_AUTHOR("The Umbra developers");
MODULE_DESCRIPTION("A hypervisor with KVM's ABI whose VMs choose how their memory is virtualized");
MODULE_VERSION("0.1");
MODULE_ALIAS("devname:umbra");
