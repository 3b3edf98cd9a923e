// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of a VM's fd. */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/umbra.h>

#include "coalesced.h"
#include "eventfd.h"
#include "genl.h"
#include "ioctl_priv.h"
#include "irq.h"
#include "mmu_quota.h"
#include "stats.h"
#include "switches.h"
#include "vcpu.h"

static long set_memory_region(struct ioctl_call *c, void *data)
{
	return umbra_set_memory_region(c->vm, data);
}

/* A 32-bit caller's pointer leaves the upper half of the union undefined. */
static void __user *bitmap_of(void __user *pointer)
{
	return in_compat_syscall() ? compat_ptr(ptr_to_compat(pointer)) : pointer;
}

static long get_dirty_log(struct ioctl_call *c, void *data)
{
	struct kvm_dirty_log *log = data;

	return umbra_get_dirty_log(c->vm, log->slot, bitmap_of(log->dirty_bitmap));
}

static long clear_dirty_log(struct ioctl_call *c, void *data)
{
	struct kvm_clear_dirty_log *log = data;

	return umbra_clear_dirty_log(c->vm, log, bitmap_of(log->dirty_bitmap));
}

static long reset_dirty_rings(struct ioctl_call *c, void *data)
{
	return umbra_reset_rings(c->vm);
}

/* What can be enabled on a VM, vm->lock held; the flags are 0. */
static const struct {
	u32 cap;
	int (*enable)(struct umbra_vm *vm, const struct kvm_enable_cap *cap);
} vm_caps[] = {
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,	umbra_enable_manual_log },
	{ KVM_CAP_DIRTY_LOG_RING,		umbra_enable_rings },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL,	umbra_enable_rings },
	{ KVM_CAP_SPLIT_IRQCHIP,		umbra_irqchip_split },
	{ KVM_CAP_HALT_POLL,			umbra_set_halt_poll },
	{ KVM_CAP_X86_USER_SPACE_MSR,		umbra_enable_user_msrs },
	{ KVM_CAP_EXCEPTION_PAYLOAD,		umbra_enable_exception_payload },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT,	umbra_enable_triple_fault_event },
	{ KVM_CAP_MSR_PLATFORM_INFO,		umbra_enable_platform_info },
	{ KVM_CAP_MAX_VCPU_ID,			umbra_enable_max_vcpu_id },
	{ KVM_CAP_DISABLE_QUIRKS2,		umbra_disable_quirks },
	{ KVM_CAP_X2APIC_API,			umbra_enable_x2apic_api },
	{ KVM_CAP_X86_DISABLE_EXITS,		umbra_disable_exits },
};

static long vm_enable_cap(struct ioctl_call *c, void *data)
{
	const struct kvm_enable_cap *cap = data;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(vm_caps) && !cap->flags; i++) {
		if (vm_caps[i].cap == cap->cap)
			return vm_caps[i].enable(c->vm, cap);
	}
	return -EINVAL;
}

/* Of a VM or of a vCPU. */
long umbra_ioctl_stats_fd(struct ioctl_call *c, void *data)
{
	return umbra_stats_fd(c->vm, c->vcpu);
}

/* The pages below 4G that VMX without unrestricted guest needs: used by the first vCPU. */
static long set_tss_addr(struct ioctl_call *c, void *data)
{
	if (c->vm->online_vcpus || c->value > (u32)(-3 * PAGE_SIZE))
		return -EINVAL;
	c->vm->tss_addr = c->value;
	return 0;
}

static long set_identity_map_addr(struct ioctl_call *c, void *data)
{
	if (c->vm->online_vcpus)
		return -EINVAL;
	c->vm->identity_map_addr = *(u64 *)data;
	return 0;
}

static long set_boot_cpu_id(struct ioctl_call *c, void *data)
{
	if (c->vm->online_vcpus)
		return -EBUSY;
	c->vm->boot_vcpu_id = c->value;
	return 0;
}

/* The fd is made first and becomes visible last: nothing can fail between the two. */
static long create_vcpu(struct ioctl_call *c, void *data)
{
	struct umbra_vcpu *vcpu;
	struct file *file;
	char name[24];
	int fd;

	if (c->value >= UMBRA_MAX_VCPU_ID)
		return -EINVAL;
	vcpu = umbra_vm_create_vcpu(c->vm, c->value);
	if (IS_ERR(vcpu))
		return PTR_ERR(vcpu);
	snprintf(name, sizeof(name), "kvm-vcpu:%d", vcpu->id);
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto err_vcpu;
	file = anon_inode_getfile(name, &umbra_vcpu_fops, vcpu, O_RDWR);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto err_vcpu;
	}
	umbra_vm_get(c->vm);		/* the file's */
	umbra_vm_publish_vcpu(vcpu);
	fd_install(fd, file);
	return fd;

err_vcpu:
	umbra_vm_discard_vcpu(vcpu);
	return fd;
}

static long create_irqchip(struct ioctl_call *c, void *data)
{
	return umbra_irqchip_create(c->vm);
}

static long get_irqchip(struct ioctl_call *c, void *data)
{
	return umbra_irqchip_get(c->vm, data);
}

static long set_irqchip(struct ioctl_call *c, void *data)
{
	return umbra_irqchip_set(c->vm, data);
}

static long create_pit2(struct ioctl_call *c, void *data)
{
	return umbra_pit_create(c->vm, data);
}

static long get_pit2(struct ioctl_call *c, void *data)
{
	return umbra_pit_get(c->vm, data);
}

static long set_pit2(struct ioctl_call *c, void *data)
{
	return umbra_pit_set(c->vm, data);
}

static long irq_line(struct ioctl_call *c, void *data)
{
	struct kvm_irq_level *irq = data;

	if (!umbra_irqchip_in_kernel(c->vm))
		return -ENXIO;
	umbra_set_irq(c->vm, UMBRA_SOURCE_USER, irq->irq, irq->level);
	return 0;
}

static long irq_line_status(struct ioctl_call *c, void *data)
{
	struct kvm_irq_level *irq = data;

	if (!umbra_irqchip_in_kernel(c->vm))
		return -ENXIO;
	irq->status = umbra_set_irq(c->vm, UMBRA_SOURCE_USER, irq->irq, irq->level);
	return 0;
}

static long signal_msi(struct ioctl_call *c, void *data)
{
	return umbra_signal_msi(c->vm, data);
}

static long ioeventfd(struct ioctl_call *c, void *data)
{
	return umbra_ioeventfd(c->vm, data);
}

static long irqfd(struct ioctl_call *c, void *data)
{
	return umbra_irqfd(c->vm, data);
}

static long register_coalesced(struct ioctl_call *c, void *data)
{
	return umbra_register_zone(c->vm, data);
}

static long unregister_coalesced(struct ioctl_call *c, void *data)
{
	return umbra_unregister_zone(c->vm, data);
}

static long set_msr_filter(struct ioctl_call *c, void *data)
{
	return umbra_msr_filter_set(c->vm, data);
}

static long set_gsi_routing(struct ioctl_call *c, void *data)
{
	struct kvm_irq_routing __user *user = c->user;
	struct kvm_irq_routing_entry *entries = NULL;
	struct kvm_irq_routing head;
	long r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (!umbra_irqchip_in_kernel(c->vm) || head.nr > UMBRA_NR_GSIS || head.flags)
		return -EINVAL;
	if (head.nr) {
		entries = vmemdup_user(user->entries, array_size(sizeof(*entries), head.nr));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = umbra_set_routing(c->vm, entries, head.nr);
	kvfree(entries);
	return r;
}

static long set_tsc_khz(struct ioctl_call *c, void *data)
{
	return umbra_set_vm_tsc_khz(c->vm, c->value);
}

static long get_tsc_khz(struct ioctl_call *c, void *data)
{
	return READ_ONCE(c->vm->time.tsc_khz);
}

static long get_clock(struct ioctl_call *c, void *data)
{
	umbra_get_clock(c->vm, data);
	return 0;
}

static long set_clock(struct ioctl_call *c, void *data)
{
	return umbra_set_clock(c->vm, data);
}

static long set_nr_mmu_pages(struct ioctl_call *c, void *data)
{
	return umbra_shadow_set_quota(c->vm, c->value);
}

static long get_nr_mmu_pages(struct ioctl_call *c, void *data)
{
	return min_t(unsigned long, umbra_shadow_quota(c->vm), INT_MAX);
}

static long reinject_control(struct ioctl_call *c, void *data)
{
	const struct kvm_reinject_control *control = data;

	return umbra_pit_reinject(c->vm, control->pit_reinject);
}

static long get_mmu(struct ioctl_call *c, void *data)
{
	*(u32 *)data = c->vm->mmu.ops->id;
	return 0;
}

static long set_mmu(struct ioctl_call *c, void *data)
{
	u32 old = c->vm->mmu.ops->id;
	int r = umbra_mmu_set_mode(c->vm, *(u32 *)data);

	if (!r && c->vm->mmu.ops->id != old)
		umbra_event_mmu_mode(c->vm, old);
	return r;
}

static long get_name(struct ioctl_call *c, void *data)
{
	struct umbra_name *name = data;

	memcpy(name->name, c->vm->name, sizeof(name->name));
	return 0;
}

static long set_name(struct ioctl_call *c, void *data)
{
	struct umbra_name *name = data;

	int r = umbra_vm_set_name(c->vm, name->name);

	if (!r)
		umbra_event_vm(c->vm, UMBRA_NL_CMD_VM_STATE);
	return r;
}

static long get_exit_stats(struct ioctl_call *c, void *data)
{
	return umbra_stats_get(c->vm, data);
}

static const struct ioctl_row vm_rows[] = {
	{ KVM_IRQ_LINE,			F_IN,			irq_line },
	{ KVM_IRQ_LINE_STATUS,		F_IN | F_OUT,		irq_line_status },
	{ KVM_SET_USER_MEMORY_REGION,	F_IN,			set_memory_region },
	{ KVM_GET_DIRTY_LOG,		F_IN,			get_dirty_log },
	{ KVM_CLEAR_DIRTY_LOG,		F_IN,			clear_dirty_log },
	{ KVM_RESET_DIRTY_RINGS,	F_NONE,			reset_dirty_rings },
	{ KVM_ENABLE_CAP,		F_IN | F_VM_LOCK,	vm_enable_cap },
	{ KVM_CREATE_VCPU,		F_VALUE | F_VM_LOCK,	create_vcpu },
	{ KVM_CHECK_EXTENSION,		F_VALUE,		umbra_ioctl_check_extension },
	{ KVM_SET_NR_MMU_PAGES,		F_VALUE | F_VM_LOCK,	set_nr_mmu_pages },
	{ KVM_GET_NR_MMU_PAGES,		F_VALUE | F_SRCU,	get_nr_mmu_pages },
	{ KVM_SET_TSS_ADDR,		F_VALUE | F_VM_LOCK,	set_tss_addr },
	{ KVM_SET_IDENTITY_MAP_ADDR,	F_IN | F_VM_LOCK,	set_identity_map_addr },
	{ KVM_SET_BOOT_CPU_ID,		F_VALUE | F_VM_LOCK,	set_boot_cpu_id },
	{ KVM_CREATE_IRQCHIP,		F_NONE | F_VM_LOCK,	create_irqchip },
	{ KVM_GET_IRQCHIP,		F_IN | F_OUT,		get_irqchip },
	{ KVM_SET_IRQCHIP,		F_IN,			set_irqchip },
	{ KVM_CREATE_PIT2,		F_IN | F_VM_LOCK,	create_pit2 },
	{ KVM_GET_PIT2,			F_OUT,			get_pit2 },
	{ KVM_SET_PIT2,			F_IN,			set_pit2 },
	{ KVM_REINJECT_CONTROL,		F_IN,			reinject_control },
	{ KVM_SET_GSI_ROUTING,		F_RAW,			set_gsi_routing },
	{ KVM_SIGNAL_MSI,		F_IN,			signal_msi },
	{ KVM_IOEVENTFD,		F_IN,			ioeventfd },
	{ KVM_IRQFD,			F_IN,			irqfd },
	{ KVM_REGISTER_COALESCED_MMIO,	F_IN,			register_coalesced },
	{ KVM_UNREGISTER_COALESCED_MMIO, F_IN,			unregister_coalesced },
	{ KVM_X86_SET_MSR_FILTER,	F_IN | F_VM_LOCK,	set_msr_filter },
	{ KVM_GET_STATS_FD,		F_NONE,			umbra_ioctl_stats_fd },
	{ KVM_SET_TSC_KHZ,		F_VALUE,		set_tsc_khz },
	{ KVM_GET_TSC_KHZ,		F_NONE,			get_tsc_khz },
	{ KVM_GET_CLOCK,		F_OUT,			get_clock },
	{ KVM_SET_CLOCK,		F_IN,			set_clock },
	{ UMBRA_GET_MMU,		F_OUT | F_VM_LOCK,	get_mmu },
	{ UMBRA_SET_MMU,		F_IN | F_VM_LOCK,	set_mmu },
	{ UMBRA_GET_NAME,		F_OUT | F_VM_LOCK,	get_name },
	{ UMBRA_SET_NAME,		F_IN | F_VM_LOCK,	set_name },
	{ UMBRA_GET_EXIT_STATS,		F_IN | F_OUT,		get_exit_stats },
};

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vm *vm = file->private_data;
	struct ioctl_call c = { .vm = vm, .user = (void __user *)arg, .value = arg };
	const struct ioctl_row *row;

	if (!umbra_ioctl_usable(vm))
		return -EIO;
	row = umbra_ioctl_find(vm_rows, ARRAY_SIZE(vm_rows), cmd);
	return row ? umbra_ioctl_call(row, &c) : umbra_ioctl_unknown(&c, cmd);
}

static int vm_release(struct inode *inode, struct file *file)
{
	umbra_vm_put(file->private_data);
	return 0;
}

static long compat_vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return vm_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

const struct file_operations umbra_vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_vm_ioctl,
	.llseek = noop_llseek,
};
