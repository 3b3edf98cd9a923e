// SPDX-License-Identifier: GPL-2.0-only
/*
 * The modes of a VM's memory: which there are, which one it has, and the change from
 * one to another while it runs.
 *
 * A switch between the hardware's mode and a shadow makes the tables of the new one
 * beside those of the old, empty, and asks each vCPU to go there. A vCPU goes by
 * itself before it next enters its guest, and who holds no vCPU's mutex is helped.
 * Until the last has gone, who takes something away takes it from both. Then the old
 * tables are freed in the background. The two shadow modes have the same tables: there
 * the switch from lazy to eager only forgets them, in pieces.
 */
#include <linux/mm.h>
#include <linux/srcu.h>
#include <linux/string.h>
#include <linux/umbra.h>
#include <linux/workqueue.h>

#include <asm/msr.h>

#include "backend.h"
#include "irq.h"
#include "trace.h"
#include "umbra.h"

/** umbra_mmu_is_hardware() - is it a name of the hardware mode, here or on any machine? */
bool umbra_mmu_is_hardware(const char *name)
{
	return sysfs_streq(name, umbra_mmu_hardware.name) ||
	       !strcasecmp(name, umbra_backend->paging_name);
}

const struct umbra_mmu_ops *umbra_mmu_default;

static const struct umbra_mmu_ops *mode_by_id(u32 id)
{
	switch (id) {
	case UMBRA_MMU_AUTO:
		if (!umbra_caps.hardware_paging)
			return mode_by_id(UMBRA_MMU_SHADOW_LAZY);
		fallthrough;
	case UMBRA_MMU_HARDWARE:
		return umbra_caps.hardware_paging ? &umbra_mmu_hardware : NULL;
	case UMBRA_MMU_SHADOW_LAZY:
		return &umbra_mmu_shadow_lazy;
	case UMBRA_MMU_SHADOW_EAGER:
		return &umbra_mmu_shadow_eager;
	default:
		return NULL;
	}
}

/** umbra_mmu_find() - a mode by name, if this machine can do it; else NULL */
const struct umbra_mmu_ops *umbra_mmu_find(const char *name)
{
	if (sysfs_streq(name, "auto"))
		return mode_by_id(UMBRA_MMU_AUTO);
	if (umbra_mmu_is_hardware(name))
		return mode_by_id(UMBRA_MMU_HARDWARE);
	if (sysfs_streq(name, umbra_mmu_shadow_lazy.name))
		return mode_by_id(UMBRA_MMU_SHADOW_LAZY);
	if (sysfs_streq(name, umbra_mmu_shadow_eager.name))
		return mode_by_id(UMBRA_MMU_SHADOW_EAGER);
	return NULL;
}

/** umbra_mmu_modes() - bits 1 << UMBRA_MMU_* that this machine can do */
u32 umbra_mmu_modes(void)
{
	u32 id, modes = 0;

	for (id = UMBRA_MMU_AUTO; id <= UMBRA_MMU_SHADOW_EAGER; id++)
		modes |= mode_by_id(id) ? BIT(id) : 0;
	return modes;
}

static bool is_shadow(const struct umbra_mmu_ops *ops)
{
	return ops != &umbra_mmu_hardware;
}

const struct umbra_mmu_ops *umbra_mmu_next_mode(struct umbra_vm *vm,
						const struct umbra_mmu_ops *ops)
{
	if (!ops && vm->mmu.root)
		return &umbra_mmu_hardware;
	if ((!ops || !is_shadow(ops)) && vm->mmu.shadow)
		return &umbra_mmu_shadow_lazy;
	return NULL;
}

/* ------------------------------ the end of old tables ------------------------------ */

static void free_tables(struct umbra_vm *vm, void *root, struct umbra_vm_shadow *s)
{
	if (root)
		umbra_mmu_hardware.vm_free(vm, root, NULL);
	if (s)
		umbra_mmu_shadow_lazy.vm_free(vm, NULL, s);
}

static void reap(struct work_struct *work)
{
	struct umbra_vm *vm = container_of(work, struct umbra_vm, mmu.reaper);
	struct umbra_vm_shadow *s = vm->mmu.old_shadow;
	void *root = vm->mmu.old_root;

	vm->mmu.old_shadow = NULL;
	vm->mmu.old_root = NULL;
	free_tables(vm, root, s);
}

/* Nobody uses them any more: the hardware's, or else the shadow. */
static void retire(struct umbra_vm *vm, bool hardware)
{
	lockdep_assert_held_write(&vm->mmu_lock);
	if (hardware)
		swap(vm->mmu.old_root, vm->mmu.root);
	else
		swap(vm->mmu.old_shadow, vm->mmu.shadow);
	queue_work(system_unbound_wq, &vm->mmu.reaper);
}

void umbra_mmu_mode_init(struct umbra_vm *vm)
{
	INIT_WORK(&vm->mmu.reaper, reap);
}

/* After the notifier's end and that of the vCPUs. */
void umbra_mmu_mode_destroy(struct umbra_vm *vm)
{
	flush_work(&vm->mmu.reaper);
	free_tables(vm, vm->mmu.root, vm->mmu.shadow);
	vm->mmu.root = NULL;
	vm->mmu.shadow = NULL;
}

/* ------------------------------ a vCPU's way ------------------------------ */

/* Registers that one of the modes has nowhere else: PDPTEs may be read from guest memory. */
static void read_registers(struct umbra_vcpu *vcpu)
{
	int idx = srcu_read_lock(&vcpu->vm->srcu);

	umbra_reg_get(vcpu, UMBRA_REG_CR3);
	umbra_reg_get(vcpu, UMBRA_REG_PDPTR);
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

void umbra_mmu_move(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_mmu *mmu = &vcpu->mmu;
	struct umbra_vcpu_shadow *old = mmu->shadow;
	struct umbra_vm *vm = vcpu->vm;

	if (!READ_ONCE(mmu->must_move))
		return;
	mmu->moved_at = rdtsc();
	read_registers(vcpu);
	if (old)
		mmu->ops->vcpu_destroy(vcpu, old);
	mmu->shadow = mmu->next;
	mmu->next = NULL;
	mmu->root = INVALID_PAGE;
	mmu->ops = vm->mmu.ops;
	umbra_backend->mode_changed(vcpu);
	umbra_lapic_mode_changed(vcpu);
	umbra_backend->flush_all(vcpu);
	write_lock(&vm->mmu_lock);
	mmu->must_move = false;
	if (!--vm->mmu.moving)
		retire(vm, is_shadow(vm->mmu.ops));
	write_unlock(&vm->mmu_lock);
}

/** umbra_mmu_moved() - it has its new root: what did that cost? */
void umbra_mmu_moved(struct umbra_vcpu *vcpu)
{
	struct umbra_vm_mmu *vm_mmu = &vcpu->vm->mmu;
	u64 ticks = rdtsc() - vcpu->mmu.moved_at;

	vcpu->mmu.moved_at = 0;
	write_lock(&vcpu->vm->mmu_lock);
	vm_mmu->move_ticks = max(vm_mmu->move_ticks, ticks);
	write_unlock(&vcpu->vm->mmu_lock);
}

/* Those that nobody has now: true if none is left that somebody has. */
static bool help_to_move(struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		if (!READ_ONCE(vcpu->mmu.must_move) || !mutex_trylock(&vcpu->mutex))
			continue;
		umbra_vcpu_load(vcpu);
		umbra_mmu_move(vcpu);
		umbra_vcpu_put(vcpu);
		/* What passes until its owner comes is not the switch's. */
		vcpu->mmu.moved_at = 0;
		mutex_unlock(&vcpu->mutex);
	}
	return !READ_ONCE(vm->mmu.moving);
}

/* ------------------------------ a switch ------------------------------ */

/* What a vCPU will need there, so that it can't fail to go. */
static int make_parts(struct umbra_vm *vm, const struct umbra_mmu_ops *ops)
{
	struct umbra_vcpu *vcpu;
	int i;

	if (!ops->vcpu_part)
		return 0;
	umbra_for_each_vcpu(vm, i, vcpu) {
		vcpu->mmu.next = ops->vcpu_part();
		if (!vcpu->mmu.next)
			return -ENOMEM;
	}
	return 0;
}

/* A switch that does not take place after all. */
static void drop_parts(struct umbra_vm *vm, const struct umbra_mmu_ops *ops)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		if (vcpu->mmu.next)
			ops->vcpu_destroy(vcpu, vcpu->mmu.next);
		vcpu->mmu.next = NULL;
	}
	write_lock(&vm->mmu_lock);
	retire(vm, !is_shadow(ops));
	write_unlock(&vm->mmu_lock);
}

/*
 * A shadow must see every write to the tables that it is made of: none is made, which
 * wants the lock, before all vCPUs have left the guest that the hardware translates for.
 */
static void start_moving(struct umbra_vm *vm, const struct umbra_mmu_ops *ops)
{
	struct umbra_vcpu *vcpu;
	int i;

	write_lock(&vm->mmu_lock);
	umbra_trace(umbra_mmu_mode, vm->mmu.ops->id, ops->id, vm->online_vcpus);
	vm->mmu.ops = ops;
	vm->mmu.switches++;
	vm->mmu.move_ticks = 0;
	umbra_for_each_vcpu(vm, i, vcpu) {
		vcpu->mmu.must_move = true;
		vm->mmu.moving++;
		umbra_request(vcpu, UMBRA_REQ_MMU_MODE);
	}
	if (vm->mmu.moving)
		umbra_mmu_flush_remote(vm);
	else
		retire(vm, is_shadow(ops));
	write_unlock(&vm->mmu_lock);
	/* Those that sleep. */
	umbra_for_each_vcpu(vm, i, vcpu)
		umbra_vcpu_kick(vcpu);
	help_to_move(vm);
}

static int to_other_tables(struct umbra_vm *vm, const struct umbra_mmu_ops *ops)
{
	int r = 0;

	if (vm->online_vcpus && is_shadow(ops) && umbra_backend->prepare_shadow)
		r = umbra_backend->prepare_shadow(vm);
	if (r)
		return r;
	/* Those of the last switch. */
	flush_work(&vm->mmu.reaper);
	r = ops->vm_init(vm);
	if (r)
		return r;
	r = make_parts(vm, ops);
	if (r)
		drop_parts(vm, ops);
	else
		start_moving(vm, ops);
	return r;
}

/* Tables that say what memory says will do for either. */
static void to_other_shadow(struct umbra_vm *vm, const struct umbra_mmu_ops *ops)
{
	umbra_shadow_set_lazy(vm, ops == &umbra_mmu_shadow_lazy);
	write_lock(&vm->mmu_lock);
	umbra_trace(umbra_mmu_mode, vm->mmu.ops->id, ops->id, vm->online_vcpus);
	WRITE_ONCE(vm->mmu.ops, ops);
	vm->mmu.switches++;
	vm->mmu.move_ticks = 0;
	write_unlock(&vm->mmu_lock);
}

/**
 * umbra_mmu_set_mode() - UMBRA_SET_MMU
 * @vm: vm->lock held
 * @id: UMBRA_MMU_*
 *
 * It waits for no vCPU: one that is busy goes there before it next enters its guest.
 *
 * Return: 0; -EINVAL: no such mode; -EOPNOTSUPP: not here; -EBUSY: a vCPU has not yet
 * made the last switch; -ENOMEM; what prepare_shadow() of the backend returns
 */
int umbra_mmu_set_mode(struct umbra_vm *vm, u32 id)
{
	const struct umbra_mmu_ops *ops;

	if (id > UMBRA_MMU_SHADOW_EAGER)
		return -EINVAL;
	ops = mode_by_id(id);
	if (!ops)
		return -EOPNOTSUPP;
	if (vm->mmu.moving && !help_to_move(vm))
		return -EBUSY;
	if (ops == vm->mmu.ops)
		return 0;
	if (!is_shadow(ops) || !is_shadow(vm->mmu.ops))
		return to_other_tables(vm, ops);
	to_other_shadow(vm, ops);
	return 0;
}
