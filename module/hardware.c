// SPDX-License-Identifier: GPL-2.0-only
/*
 * The CPUs' virtualization extension: on while a VM exists, off otherwise, through
 * hotplug, suspend, reboot and crash; and who else may hold it.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/cpu.h>
#include <linux/cpuhotplug.h>
#include <linux/kobject.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/percpu.h>
#include <linux/platform_device.h>
#include <linux/pm.h>
#include <linux/preempt.h>
#include <linux/reboot.h>
#include <linux/smp.h>
#include <linux/user-return-notifier.h>
#include <asm/cpufeature.h>
#include <asm/msr.h>
#include <asm/reboot.h>

#include "backend.h"
#include "compat.h"
#include "hardware.h"

/*
 * hardware_lock: @users, what follows from them leaving 0 and coming back to it, and the hook.
 * Taken inside cpus_read_lock where both are.
 */
static DEFINE_MUTEX(hardware_lock);
static unsigned int users;
static bool rebooting;
static bool has_emergency_hook;
/* A vendor module of KVM's is between its notice of coming and its sysfs entry. */
static bool kvm_coming;

/**
 * struct tsc_aux - TSC_AUX of a CPU; its own, interrupts off
 * @urn: puts @host back
 * @registered: @urn is, because @current_value may be a guest's
 * @host: what userspace must find
 * @current_value: what the MSR holds
 */
struct tsc_aux {
	struct user_return_notifier urn;
	bool registered;
	u32 host, current_value;
};

static DEFINE_PER_CPU(struct tsc_aux, tsc_aux);

/* The CPU's extension was turned on by us. */
static DEFINE_PER_CPU(bool, cpu_on);

static bool has_tsc_aux(void)
{
	return boot_cpu_has(X86_FEATURE_RDTSCP) || boot_cpu_has(X86_FEATURE_RDPID);
}

/* Interrupts off: the last VM's put may interrupt a thread on its way to userspace. */
static void restore_tsc_aux(struct tsc_aux *t)
{
	if (!t->registered)
		return;
	t->registered = false;
	user_return_notifier_unregister(&t->urn);
	if (t->current_value != t->host)
		wrmsrl(MSR_TSC_AUX, t->host);
	t->current_value = t->host;
}

static void on_user_return(struct user_return_notifier *urn)
{
	unsigned long flags;

	local_irq_save(flags);
	restore_tsc_aux(container_of(urn, struct tsc_aux, urn));
	local_irq_restore(flags);
}

void umbra_load_tsc_aux(u32 value)
{
	struct tsc_aux *t = this_cpu_ptr(&tsc_aux);
	unsigned long flags;

	if (likely(t->current_value == value))
		return;
	local_irq_save(flags);
	if (!t->registered) {
		t->registered = true;
		t->urn.on_user_return = on_user_return;
		user_return_notifier_register(&t->urn);
	}
	wrmsrl(MSR_TSC_AUX, value);
	t->current_value = value;
	local_irq_restore(flags);
}

/* Interrupts off, on the CPU. */
static int enable_this_cpu(void)
{
	struct tsc_aux *t = this_cpu_ptr(&tsc_aux);
	u64 value;
	int r;

	if (__this_cpu_read(cpu_on))
		return 0;
	r = umbra_backend->enable_cpu();
	if (r)
		return r;
	if (has_tsc_aux()) {
		rdmsrl(MSR_TSC_AUX, value);
		t->host = t->current_value = value;
	}
	__this_cpu_write(cpu_on, true);
	return 0;
}

static void disable_this_cpu(void)
{
	if (!__this_cpu_read(cpu_on))
		return;
	__this_cpu_write(cpu_on, false);
	restore_tsc_aux(this_cpu_ptr(&tsc_aux));
	umbra_backend->disable_cpu();
}

static void enable_by_ipi(void *failures)
{
	if (enable_this_cpu())
		atomic_inc(failures);
}

static void disable_by_ipi(void *unused)
{
	disable_this_cpu();
}

/* A CPU comes. One that somebody else holds stays without: entries there fail, and say so. */
static int cpu_comes(unsigned int cpu)
{
	unsigned long flags;
	int r;

	local_irq_save(flags);
	r = enable_this_cpu();
	local_irq_restore(flags);
	if (r)
		pr_err("CPU %u can't run guests: another hypervisor holds its %s\n",
		       cpu, umbra_backend->name);
	return 0;
}

static int cpu_goes(unsigned int cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	disable_this_cpu();
	local_irq_restore(flags);
	return 0;
}

static bool module_is_loaded(const char *name)
{
	struct kobject *kobj = kset_find_obj(THIS_MODULE->mkobj.kobj.kset, name);

	kobject_put(kobj);
	return kobj;
}

static bool kvm_is_loaded(void)
{
	return kvm_coming || module_is_loaded("kvm_amd") || module_is_loaded("kvm_intel");
}

/**
 * umbra_say_owner() - one line that names who holds the extension, and the remedy
 * @ops: the backend whose extension it is, chosen already or not
 */
void umbra_say_owner(const struct umbra_backend_ops *ops)
{
	static const char * const others[] = { "vboxdrv", "vmmon" };
	const char *kvm = ops->owner_module;
	int i;

	if (module_is_loaded(kvm)) {
		pr_err_ratelimited("%s is held by %s: unload it with \"modprobe -r %s\"%s\n",
				   ops->name, kvm, kvm,
				   UMBRA_KVM_ENABLES_AT_LOAD ?
				   ", or load it with kvm.enable_virt_at_load=0" : "");
		return;
	}
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		if (module_is_loaded(others[i])) {
			pr_err_ratelimited("%s is held by %s: unload it with \"modprobe -r %s\"\n",
					   ops->name, others[i], others[i]);
			return;
		}
	}
	pr_err_ratelimited("%s is held by another hypervisor: unload its module\n",
			   ops->name);
}

/** umbra_say_node_owner() - one line that names whose /dev/kvm is, and the remedy */
void umbra_say_node_owner(void)
{
	static const char * const vendors[] = { "kvm_amd", "kvm_intel" };
	int i;

	for (i = 0; i < ARRAY_SIZE(vendors); i++) {
		if (module_is_loaded(vendors[i])) {
			pr_err("/dev/kvm is %s's: unload it with \"modprobe -r %s\", or load umbra without kvm_node=1\n",
			       vendors[i], vendors[i]);
			return;
		}
	}
	pr_err("/dev/kvm is another driver's: load umbra without kvm_node=1\n");
}

/*
 * A crash turns the extension off on each CPU through the kernel's one hook, taken
 * with the first VM and kept: giving it back waits for RCU. While KVM's vendor module
 * is there the hook is its own, so that it must be free by the time that module
 * starts; two registrations are a bug to the kernel. hardware_lock held.
 */
static void take_emergency_hook(void)
{
	if (has_emergency_hook || kvm_is_loaded())
		return;
	cpu_emergency_register_virt_callback(umbra_backend->disable_cpu);
	has_emergency_hook = true;
}

static void drop_emergency_hook(void)
{
	if (!has_emergency_hook)
		return;
	has_emergency_hook = false;
	cpu_emergency_unregister_virt_callback(umbra_backend->disable_cpu);
}

static int module_comes_or_goes(struct notifier_block *nb, unsigned long event, void *data)
{
	const struct module *mod = data;

	if (strcmp(mod->name, "kvm_amd") && strcmp(mod->name, "kvm_intel"))
		return NOTIFY_DONE;
	mutex_lock(&hardware_lock);
	kvm_coming = event == MODULE_STATE_COMING;
	if (kvm_coming)
		drop_emergency_hook();
	mutex_unlock(&hardware_lock);
	return NOTIFY_DONE;
}

static struct notifier_block module_notifier = { .notifier_call = module_comes_or_goes };

static int enable_all(void)
{
	atomic_t failures = ATOMIC_INIT(0);
	int r;

	if (UMBRA_KVM_HOOKS_AT_LOAD && kvm_is_loaded())
		return -EBUSY;
	take_emergency_hook();
	on_each_cpu(enable_by_ipi, &failures, 1);
	r = atomic_read(&failures) ? -EBUSY :
	    cpuhp_setup_state_nocalls_cpuslocked(UMBRA_CPUHP_STATE, "umbra/cpu:online",
						 cpu_comes, cpu_goes);
	if (r < 0) {
		on_each_cpu(disable_by_ipi, NULL, 1);
		drop_emergency_hook();
		return -EBUSY;
	}
	return 0;
}

static void disable_all(void)
{
	cpuhp_remove_state_nocalls_cpuslocked(UMBRA_CPUHP_STATE);
	on_each_cpu(disable_by_ipi, NULL, 1);
}

/**
 * umbra_hardware_get() - a VM needs the extension
 *
 * May sleep. Pair with umbra_hardware_put().
 *
 * Return: 0; -EBUSY: somebody else holds it, the log says who and what to do;
 * -EIO: the machine is on its way down
 */
int umbra_hardware_get(void)
{
	int r = 0;

	cpus_read_lock();
	mutex_lock(&hardware_lock);
	if (rebooting)
		r = -EIO;
	else if (!users)
		r = enable_all();
	if (!r)
		users++;
	mutex_unlock(&hardware_lock);
	cpus_read_unlock();
	if (r == -EBUSY)
		umbra_say_owner(umbra_backend);
	return r;
}

/** umbra_hardware_put() - one VM less; the last turns the extension off. May sleep. */
void umbra_hardware_put(void)
{
	cpus_read_lock();
	mutex_lock(&hardware_lock);
	if (!--users)
		disable_all();
	mutex_unlock(&hardware_lock);
	cpus_read_unlock();
}

/*
 * The firmware and the next kernel must find the CPUs as they were: vCPUs that
 * still run fail their next entry.
 */
static int reboot(struct notifier_block *nb, unsigned long event, void *unused)
{
	mutex_lock(&hardware_lock);
	rebooting = true;
	if (users)
		on_each_cpu(disable_by_ipi, NULL, 1);
	mutex_unlock(&hardware_lock);
	return NOTIFY_OK;
}

static struct notifier_block reboot_notifier = { .notifier_call = reboot };

/*
 * Suspend and hibernation: secondary CPUs go and come by hotplug, but the boot CPU
 * does not, and firmware forgets its state. The last device callbacks run when all
 * tasks are frozen, and on the way back long before they thaw.
 */
static int suspend_noirq(struct device *dev)
{
	on_each_cpu(disable_by_ipi, NULL, 1);
	return 0;
}

static int resume_noirq(struct device *dev)
{
	atomic_t failures = ATOMIC_INIT(0);

	if (users)
		on_each_cpu(enable_by_ipi, &failures, 1);
	if (atomic_read(&failures))
		pr_err("%d CPUs can't run guests after the suspend: another hypervisor holds them\n",
		       atomic_read(&failures));
	return 0;
}

static const struct dev_pm_ops pm_ops = {
	NOIRQ_SYSTEM_SLEEP_PM_OPS(suspend_noirq, resume_noirq)
};

static struct platform_driver pm_driver = {
	.driver = {
		.name = "umbra",
		.pm = pm_sleep_ptr(&pm_ops),
		/* The device is made here; nobody unbinds it under us. */
		.suppress_bind_attrs = true,
	},
};

static struct platform_device *pm_device;

/** umbra_hardware_init() - at load: the notifiers; errno. Turns no CPU's extension on. */
int __init umbra_hardware_init(void)
{
	int r;

	r = platform_driver_register(&pm_driver);
	if (r)
		return r;
	pm_device = platform_device_register_simple("umbra", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(pm_device)) {
		r = PTR_ERR(pm_device);
		goto err_driver;
	}
	r = register_module_notifier(&module_notifier);
	if (r)
		goto err_device;
	r = register_reboot_notifier(&reboot_notifier);
	if (r)
		goto err_module;
	/* Patches the scheduler's code, with interrupts to all CPUs: not once a VM. */
	preempt_notifier_inc();
	return 0;

err_module:
	unregister_module_notifier(&module_notifier);
err_device:
	platform_device_unregister(pm_device);
err_driver:
	platform_driver_unregister(&pm_driver);
	return r;
}

/** umbra_hardware_exit() - at unload, when no VM is left */
void umbra_hardware_exit(void)
{
	mutex_lock(&hardware_lock);
	drop_emergency_hook();
	mutex_unlock(&hardware_lock);
	preempt_notifier_dec();
	unregister_reboot_notifier(&reboot_notifier);
	unregister_module_notifier(&module_notifier);
	platform_device_unregister(pm_device);
	platform_driver_unregister(&pm_driver);
}
