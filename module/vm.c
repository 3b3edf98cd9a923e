// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lifetimes: a VM lives as long as a file descriptor of it or of one of its
 * vCPUs; vCPUs die with their VM.
 */
#define pr_fmt(fmt) "umbra: " fmt

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/preempt.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/umbra.h>

#include "backend.h"
#include "coalesced.h"
#include "eventfd.h"
#include "failure.h"
#include "iodev.h"
#include "irq.h"
#include "stats.h"
#include "umbra.h"
#include "vcpu.h"

static bool emulate;
module_param(emulate, bool, 0600);
MODULE_PARM_DESC(emulate, "for tests: the emulator does every instruction of new VMs (default 0)");

static int vm_init_parts(struct umbra_vm *vm)
{
	int r;

	r = umbra_coalesced_vm_init(vm);
	if (r)
		return r;
	r = umbra_slots_create(vm);
	if (r)
		goto err_coalesced;
	r = umbra_mmu_vm_init(vm);
	if (r)
		goto err_slots;
	r = umbra_backend->vm_create ? umbra_backend->vm_create(vm) : 0;
	if (r)
		goto err_mmu;
	r = umbra_notifier_register(vm);
	if (r)
		goto err_backend;
	/* Last: from here on others look at it. */
	r = umbra_registry_add(vm);
	if (r)
		goto err_notifier;
	return 0;

err_notifier:
	umbra_notifier_unregister(vm);
err_backend:
	if (umbra_backend->vm_destroy)
		umbra_backend->vm_destroy(vm);
err_mmu:
	umbra_mmu_vm_destroy(vm);
err_slots:
	umbra_slots_destroy(vm);
err_coalesced:
	umbra_coalesced_vm_destroy(vm);
	return r;
}

/**
 * umbra_vm_create() - a new VM of the calling process
 * @type: KVM_CREATE_VM's argument; x86 has type 0 only
 *
 * Return: the VM, with one reference; -EINVAL (type), -EBUSY (another owner of
 * the CPU's extension), -EOPNOTSUPP (no MMU mode works here), -ENOMEM
 */
struct umbra_vm *umbra_vm_create(unsigned long type)
{
	struct umbra_vm *vm;
	int r;

	if (type)
		return ERR_PTR(-EINVAL);
	vm = kzalloc(sizeof(*vm), GFP_KERNEL_ACCOUNT);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	kref_init(&vm->ref);
	mutex_init(&vm->lock);
	mutex_init(&vm->slots_lock);
	mutex_init(&vm->irq_lock);
	rwlock_init(&vm->mmu_lock);
	xa_init_flags(&vm->vcpus, XA_FLAGS_ACCOUNT);
	umbra_eventfd_vm_init(vm);
	umbra_halt_vm_init(vm);
	umbra_time_vm_init(vm);
	vm->emulate = READ_ONCE(emulate);
	vm->mm = current->mm;
	mmgrab(vm->mm);

	r = init_srcu_struct(&vm->srcu);
	if (r)
		goto err_mm;
	r = umbra_hardware_get();
	if (r)
		goto err_srcu;
	r = vm_init_parts(vm);
	if (r)
		goto err_hardware;
	return vm;

err_hardware:
	umbra_hardware_put();
err_srcu:
	cleanup_srcu_struct(&vm->srcu);
err_mm:
	mmdrop(vm->mm);
	xa_destroy(&vm->vcpus);
	kfree(vm);
	return ERR_PTR(r);
}

static void vcpu_free(struct umbra_vcpu *vcpu)
{
	umbra_apf_cancel(vcpu);
	umbra_lapic_destroy(vcpu);
	umbra_backend->vcpu_destroy(vcpu);
	umbra_fpu_destroy(vcpu);
	umbra_mmu_vcpu_destroy(vcpu);
	umbra_ring_destroy(vcpu);
	umbra_cpuid_free(vcpu);
	put_pid(rcu_access_pointer(vcpu->pid));
	umbra_emul_destroy(vcpu);
	umbra_failure_destroy(vcpu);
	umbra_stats_destroy(vcpu);
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
}

/* No fd is left, so that nobody runs and nobody can call. */
static void vm_destroy(struct kref *ref)
{
	struct umbra_vm *vm = container_of(ref, struct umbra_vm, ref);
	struct umbra_vcpu *vcpu;
	unsigned long i;

	umbra_registry_remove(vm);
	umbra_notifier_unregister(vm);
	/* What reaches LAPICs without a vCPU's doing stops first. */
	umbra_pit_destroy(vm);
	umbra_irqfds_release(vm);
	umbra_irqchip_quiesce(vm);
	xa_for_each(&vm->vcpus, i, vcpu)
		vcpu_free(vcpu);
	umbra_msr_filter_destroy(vm);
	umbra_irqchip_destroy(vm);
	umbra_ioevents_release(vm);
	umbra_io_buses_destroy(vm);
	umbra_coalesced_vm_destroy(vm);
	umbra_mmu_vm_destroy(vm);
	umbra_slots_destroy(vm);
	if (umbra_backend->vm_destroy)
		umbra_backend->vm_destroy(vm);
	xa_destroy(&vm->vcpus);
	cleanup_srcu_struct(&vm->srcu);
	umbra_hardware_put();
	mmdrop(vm->mm);
	kfree(vm);
}

/** umbra_vm_get() - one more reference; the caller has one already */
void umbra_vm_get(struct umbra_vm *vm)
{
	kref_get(&vm->ref);
}

/** umbra_vm_put() - give a reference back; the last one destroys the VM. May sleep. */
void umbra_vm_put(struct umbra_vm *vm)
{
	kref_put(&vm->ref, vm_destroy);
}

/**
 * umbra_vm_kill() - the VM must not run again: its memory or its state is lost
 * @vm: referenced
 * @why: for the log, said once a VM and rate-limited
 */
void umbra_vm_kill(struct umbra_vm *vm, const char *why)
{
	if (xchg(&vm->dead, true))
		return;
	if (why)
		pr_err_ratelimited("VM %s of process %d stopped: %s\n", umbra_vm_name(vm),
				   task_tgid_nr(current), why);
	umbra_request_all(vm, UMBRA_REQ_STOP);
}

/* What a log line and a file's name can carry, as the uapi header says. */
static bool is_name(const char *name)
{
	size_t i, len = strnlen(name, sizeof_field(struct umbra_name, name));

	if (!len || len == sizeof_field(struct umbra_name, name))
		return false;
	for (i = 0; i < len; i++) {
		if (isascii(name[i]) && isalnum(name[i]))
			continue;
		if (!i || !strchr("._-", name[i]))
			return false;
	}
	return !memchr_inv(name + len, 0, sizeof_field(struct umbra_name, name) - len);
}

/**
 * umbra_vm_set_name() - what to call the VM
 * @vm: vm->lock held
 * @name: all of &umbra_name.name
 *
 * Return: 0; -EINVAL it is no name; -EBUSY the VM has one
 */
int umbra_vm_set_name(struct umbra_vm *vm, const char *name)
{
	BUILD_BUG_ON(sizeof(vm->name) != sizeof_field(struct umbra_name, name));
	if (!is_name(name))
		return -EINVAL;
	if (vm->name[0])
		return -EBUSY;
	memcpy(vm->name + 1, name + 1, sizeof(vm->name) - 1);
	/* Pairs with umbra_vm_name(). */
	smp_store_release(&vm->name[0], name[0]);
	return 0;
}

/** umbra_vm_name() - the VM's name, or what to say when it has none. Any context. */
const char *umbra_vm_name(struct umbra_vm *vm)
{
	return smp_load_acquire(&vm->name[0]) ? vm->name : "(no name)";
}

/** umbra_vcpu_by_id() - the vCPU that KVM_CREATE_VCPU made with @id, or NULL. Any context. */
struct umbra_vcpu *umbra_vcpu_by_id(struct umbra_vm *vm, u32 id)
{
	struct umbra_vcpu *vcpu;
	int i;

	/* Ids mostly count up as indices do. */
	if (id < UMBRA_MAX_VCPUS && id < (u32)smp_load_acquire(&vm->online_vcpus)) {
		vcpu = umbra_vcpu_by_index(vm, id);
		if (vcpu && vcpu->id == (int)id)
			return vcpu;
	}
	umbra_for_each_vcpu(vm, i, vcpu) {
		if (vcpu->id == (int)id)
			return vcpu;
	}
	return NULL;
}

static int vcpu_init_parts(struct umbra_vcpu *vcpu)
{
	int r;

	r = umbra_mmu_vcpu_init(vcpu);
	if (r)
		return r;
	r = umbra_fpu_create(vcpu);
	if (r)
		goto err_mmu;
	r = umbra_backend->vcpu_create(vcpu);
	if (r)
		goto err_fpu;
	r = umbra_ring_create(vcpu);
	if (r)
		goto err_backend;
	r = umbra_irqchip_in_kernel(vcpu->vm) ? umbra_lapic_create(vcpu) : 0;
	if (r)
		goto err_ring;
	return 0;

err_ring:
	umbra_ring_destroy(vcpu);
err_backend:
	umbra_backend->vcpu_destroy(vcpu);
err_fpu:
	umbra_fpu_destroy(vcpu);
err_mmu:
	umbra_mmu_vcpu_destroy(vcpu);
	return r;
}

static struct umbra_vcpu *vcpu_alloc(struct umbra_vm *vm, u32 id)
{
	struct umbra_vcpu *vcpu = kzalloc(sizeof(*vcpu), GFP_KERNEL_ACCOUNT);
	int r = -ENOMEM;

	if (!vcpu)
		return ERR_PTR(-ENOMEM);
	vcpu->vm = vm;
	vcpu->id = id;
	vcpu->cpu = -1;
	vcpu->emulate = vm->emulate ? UMBRA_EMULATE_ALL : 0;
	vcpu->run = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vcpu->pio_data = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (!vcpu->run || !vcpu->pio_data || umbra_stats_create(vcpu) || umbra_emul_create(vcpu))
		goto err;
	mutex_init(&vcpu->mutex);
	rcuwait_init(&vcpu->wait);
	umbra_vcpu_init_preempt(vcpu);
	umbra_events_init(vcpu);
	umbra_apf_init(vcpu);
	r = vcpu_init_parts(vcpu);
	if (r)
		goto err;
	umbra_time_vcpu_init(vcpu);
	return vcpu;

err:
	umbra_emul_destroy(vcpu);
	umbra_failure_destroy(vcpu);
	umbra_stats_destroy(vcpu);
	free_page((unsigned long)vcpu->pio_data);
	free_page((unsigned long)vcpu->run);
	kfree(vcpu);
	return ERR_PTR(r);
}

/**
 * umbra_vm_create_vcpu() - a new vCPU, not visible to anybody yet
 * @vm: vm->lock held
 * @id: KVM_CREATE_VCPU's argument
 *
 * The caller makes the fd, then publishes it with umbra_vm_publish_vcpu(), or
 * drops it with umbra_vm_discard_vcpu().
 *
 * Return: the vCPU; -EINVAL (id or count over the limit), -EEXIST, -ENOMEM
 */
struct umbra_vcpu *umbra_vm_create_vcpu(struct umbra_vm *vm, u32 id)
{
	struct umbra_vcpu *vcpu;
	int r;

	if (!vm->max_vcpu_id)
		vm->max_vcpu_id = UMBRA_MAX_VCPU_ID;
	if (id >= vm->max_vcpu_id || vm->online_vcpus >= UMBRA_MAX_VCPUS)
		return ERR_PTR(-EINVAL);
	if (umbra_vcpu_by_id(vm, id))
		return ERR_PTR(-EEXIST);
	vcpu = vcpu_alloc(vm, id);
	if (IS_ERR(vcpu))
		return vcpu;
	vcpu->index = vm->online_vcpus;
	r = xa_insert(&vm->vcpus, vcpu->index, vcpu, GFP_KERNEL_ACCOUNT);
	if (r) {
		vcpu_free(vcpu);
		return ERR_PTR(r);
	}
	mutex_lock(&vcpu->mutex);
	umbra_vcpu_load(vcpu);
	umbra_vcpu_reset(vcpu, false);
	umbra_vcpu_put(vcpu);
	if (rcu_access_pointer(vm->msr_filter))
		umbra_request(vcpu, UMBRA_REQ_MSR_FILTER);
	mutex_unlock(&vcpu->mutex);
	return vcpu;
}

/** umbra_vm_publish_vcpu() - from now on kicks and interrupts reach it. vm->lock held. */
void umbra_vm_publish_vcpu(struct umbra_vcpu *vcpu)
{
	/* Pairs with the acquire in umbra_for_each_vcpu(). */
	smp_store_release(&vcpu->vm->online_vcpus, vcpu->index + 1);
	umbra_registry_add_vcpu(vcpu);
}

/** umbra_vm_discard_vcpu() - a vCPU that got no fd. vm->lock held. */
void umbra_vm_discard_vcpu(struct umbra_vcpu *vcpu)
{
	xa_erase(&vcpu->vm->vcpus, vcpu->index);
	vcpu_free(vcpu);
}
