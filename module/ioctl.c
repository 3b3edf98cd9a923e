// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI: nodes, file descriptors, command tables, copying in and out. No
 * policy: a handler gets kernel memory of the right size, with the locks its
 * row names held, and calls the part that knows.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/umbra.h>

#include "backend.h"
#include "coalesced.h"
#include "compat.h"
#include "eventfd.h"
#include "ioctl.h"
#include "irq.h"
#include "stats.h"
#include "umbra.h"
#include "vcpu.h"

/* What a row asks for. IN, OUT: the structure is copied; RAW: the handler copies. */
#define F_IN		BIT(0)
#define F_OUT		BIT(1)
#define F_RAW		BIT(2)
#define F_VALUE		BIT(3)	/* the argument is a number */
#define F_NONE		BIT(4)	/* the argument is ignored, as KVM does */
#define F_VM_LOCK	BIT(5)	/* vm->lock */
#define F_LOAD		BIT(6)	/* the vCPU is loaded */
#define F_SRCU		BIT(7)	/* vm->srcu */

/**
 * struct ioctl_call - one call under way
 * @vm: whose fd it came on; NULL on the system's
 * @vcpu: likewise; NULL but on a vCPU's
 * @user: the argument as a pointer
 * @value: the argument as a number
 */
struct ioctl_call {
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	void __user *user;
	unsigned long value;
};

struct ioctl_row {
	unsigned int cmd;
	unsigned int flags;
	long (*handler)(struct ioctl_call *c, void *data);
};

#define STACK_ARG	128

/* Copy in, call, copy out. A positive result is copied out too: IRQ_LINE_STATUS has none. */
static long call_with_data(const struct ioctl_row *row, struct ioctl_call *c)
{
	unsigned int size = _IOC_SIZE(row->cmd);
	u64 stack[STACK_ARG / sizeof(u64)];
	void *data = stack;
	long r = -EFAULT;

	if (size > sizeof(stack)) {
		data = kzalloc(size, GFP_KERNEL_ACCOUNT);
		if (!data)
			return -ENOMEM;
	} else {
		memset(stack, 0, sizeof(stack));
	}
	if ((row->flags & F_IN) && copy_from_user(data, c->user, size))
		goto out;
	r = row->handler(c, data);
	if (r >= 0 && (row->flags & F_OUT) && copy_to_user(c->user, data, size))
		r = -EFAULT;
out:
	if (data != stack)
		kfree(data);
	return r;
}

static long call_handler(const struct ioctl_row *row, struct ioctl_call *c)
{
	if (row->flags & (F_IN | F_OUT))
		return call_with_data(row, c);
	return row->handler(c, NULL);
}

static long call_in_srcu(const struct ioctl_row *row, struct ioctl_call *c)
{
	int idx = srcu_read_lock(&c->vm->srcu);
	long r = call_handler(row, c);

	srcu_read_unlock(&c->vm->srcu, idx);
	return r;
}

static long call_row(const struct ioctl_row *row, struct ioctl_call *c)
{
	struct umbra_vm *vm = c->vm;
	long r;

	if (row->flags & F_VM_LOCK)
		mutex_lock(&vm->lock);
	if (row->flags & F_LOAD)
		umbra_vcpu_load(c->vcpu);
	/* Apart, so that sparse can follow what is held. */
	r = row->flags & F_SRCU ? call_in_srcu(row, c) : call_handler(row, c);
	if (row->flags & F_LOAD)
		umbra_vcpu_put(c->vcpu);
	if (row->flags & F_VM_LOCK)
		mutex_unlock(&vm->lock);
	return r;
}

static const struct ioctl_row *find_row(const struct ioctl_row *rows, unsigned int nr, unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (rows[i].cmd == cmd)
			return &rows[i];
	}
	return NULL;
}

#define FIND_ROW(table, cmd)	find_row(table, ARRAY_SIZE(table), cmd)

/* ---- capabilities ---- */

static const struct {
	u16 cap;
	u32 value;
} capabilities[] = {
	{ KVM_CAP_IRQCHIP, 1 },
	{ KVM_CAP_HLT, 1 },
	{ KVM_CAP_USER_MEMORY, 1 },
	{ KVM_CAP_SET_TSS_ADDR, 1 },
	{ KVM_CAP_EXT_CPUID, 1 },
	{ KVM_CAP_CLOCKSOURCE, 1 },
	{ KVM_CAP_NR_VCPUS, 0 },	/* below: what is sensible on this machine */
	{ KVM_CAP_NR_MEMSLOTS, UMBRA_MAX_SLOTS },
	{ KVM_CAP_MP_STATE, 1 },
	{ KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET },
	{ KVM_CAP_SYNC_MMU, 1 },
	{ KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1 },
	{ KVM_CAP_USER_NMI, 1 },
	{ KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1 },
	{ KVM_CAP_IRQ_ROUTING, UMBRA_NR_GSIS },
	{ KVM_CAP_IRQ_INJECT_STATUS, 1 },
	{ KVM_CAP_IRQFD, 1 },
	{ KVM_CAP_PIT2, 1 },
	{ KVM_CAP_SET_BOOT_CPU_ID, 1 },
	{ KVM_CAP_PIT_STATE2, 1 },
	{ KVM_CAP_IOEVENTFD, 1 },
	{ KVM_CAP_SET_IDENTITY_MAP_ADDR, 1 },
	{ KVM_CAP_MCE, UMBRA_MCE_BANKS },
	{ KVM_CAP_ADJUST_CLOCK, UMBRA_CLOCK_FLAGS },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XCRS, 1 },
	{ KVM_CAP_GET_TSC_KHZ, 1 },
	{ KVM_CAP_TSC_DEADLINE_TIMER, 1 },
	{ KVM_CAP_KVMCLOCK_CTRL, 1 },
	{ KVM_CAP_SIGNAL_MSI, 1 },
	{ KVM_CAP_READONLY_MEM, 1 },
	{ KVM_CAP_IRQFD_RESAMPLE, 1 },
	{ KVM_CAP_MAX_VCPUS, UMBRA_MAX_VCPUS },
	{ KVM_CAP_MAX_VCPU_ID, UMBRA_MAX_VCPU_ID },
	{ KVM_CAP_IOAPIC_POLARITY_IGNORED, 1 },
	{ KVM_CAP_IOEVENTFD_NO_LENGTH, 1 },
	{ KVM_CAP_ENABLE_CAP_VM, 1 },
	{ KVM_CAP_CHECK_EXTENSION_VM, 1 },
	{ KVM_CAP_SPLIT_IRQCHIP, 1 },
	{ KVM_CAP_IOEVENTFD_ANY_LENGTH, 1 },
	{ KVM_CAP_IMMEDIATE_EXIT, 1 },
	{ KVM_CAP_GET_MSR_FEATURES, 1 },
	{ KVM_CAP_COALESCED_PIO, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG, 1 },
	{ KVM_CAP_SET_GUEST_DEBUG2, UMBRA_GUESTDBG_VALID },
	{ KVM_CAP_HALT_POLL, 1 },
	{ KVM_CAP_SREGS2, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, UMBRA_MANUAL_LOG_FLAGS },
	{ KVM_CAP_DIRTY_LOG_RING, UMBRA_RING_MAX_BYTES },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, UMBRA_RING_MAX_BYTES },
};

static long check_extension(struct ioctl_call *c, void *data)
{
	unsigned int i;

	if (c->value == KVM_CAP_NR_VCPUS)
		return min_t(unsigned int, num_online_cpus(), UMBRA_MAX_VCPUS);
	for (i = 0; i < ARRAY_SIZE(capabilities); i++) {
		if (capabilities[i].cap == c->value)
			return capabilities[i].value;
	}
	return 0;
}

/* ---- lists of unknown length ---- */

static long get_supported_cpuid(struct ioctl_call *c, void *data)
{
	struct kvm_cpuid2 __user *user = c->user;
	struct kvm_cpuid_entry2 *entries;
	u32 room;
	int r;

	if (get_user(room, &user->nent))
		return -EFAULT;
	room = min_t(u32, room, UMBRA_CPUID_MAX);
	entries = kvcalloc(max(room, 1U), sizeof(*entries), GFP_KERNEL_ACCOUNT);
	if (!entries)
		return -ENOMEM;
	r = umbra_cpuid_supported(entries, room);
	if (r >= 0) {
		if (copy_to_user(user->entries, entries, r * sizeof(*entries)) ||
		    put_user((u32)r, &user->nent))
			r = -EFAULT;
		else
			r = 0;
	}
	kvfree(entries);
	return r;
}

/* The count is written even when the caller's room is too small: that is how it learns. */
static long put_msr_list(struct kvm_msr_list __user *user, const u32 *list, u32 nr)
{
	u32 room;

	if (get_user(room, &user->nmsrs) || put_user(nr, &user->nmsrs))
		return -EFAULT;
	if (room < nr)
		return -E2BIG;
	return copy_to_user(user->indices, list, nr * sizeof(*list)) ? -EFAULT : 0;
}

static long get_msr_index_list(struct ioctl_call *c, void *data)
{
	const u32 *list;
	unsigned int nr = umbra_msr_list(&list);

	return put_msr_list(c->user, list, nr);
}

static long get_msr_feature_list(struct ioctl_call *c, void *data)
{
	const u32 *list;
	unsigned int nr = umbra_msr_feature_list(&list);

	return put_msr_list(c->user, list, nr);
}

#define MAX_MSR_ENTRIES	256	/* of one call, as in KVM */

/* How many were done; stops at the first that is refused. */
static int each_msr(struct ioctl_call *c, struct kvm_msr_entry *e, u32 nr, bool write)
{
	u32 i;
	int r;

	for (i = 0; i < nr; i++) {
		if (!c->vcpu)
			r = umbra_msr_feature(e[i].index, &e[i].data);
		else if (write)
			r = umbra_msr_write(c->vcpu, e[i].index, e[i].data, true);
		else
			r = umbra_msr_read(c->vcpu, e[i].index, &e[i].data, true);
		if (r)
			break;
	}
	return i;
}

static long msrs_call(struct ioctl_call *c, bool write)
{
	struct kvm_msrs __user *user = c->user;
	struct kvm_msr_entry *entries;
	struct kvm_msrs head;
	size_t size;
	long r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nmsrs >= MAX_MSR_ENTRIES)
		return -E2BIG;
	size = head.nmsrs * sizeof(*entries);
	entries = memdup_user(user->entries, size);
	if (IS_ERR(entries))
		return PTR_ERR(entries);
	r = each_msr(c, entries, head.nmsrs, write);
	if (!write && copy_to_user(user->entries, entries, size))
		r = -EFAULT;
	kfree(entries);
	return r;
}

static long get_msrs(struct ioctl_call *c, void *data)
{
	return msrs_call(c, false);
}

static long set_msrs(struct ioctl_call *c, void *data)
{
	return msrs_call(c, true);
}

/* ---- the system's fd ---- */

static const struct file_operations vm_fops;
static const struct file_operations vcpu_fops;

static long get_api_version(struct ioctl_call *c, void *data)
{
	return c->value ? -EINVAL : KVM_API_VERSION;
}

static long get_vcpu_mmap_size(struct ioctl_call *c, void *data)
{
	return c->value ? -EINVAL : 3 * PAGE_SIZE;	/* kvm_run, PIO data, the VM's ring */
}

static long get_mce_cap(struct ioctl_call *c, void *data)
{
	*(u64 *)data = UMBRA_MCE_CAP;
	return 0;
}

static long create_vm(struct ioctl_call *c, void *data)
{
	struct umbra_vm *vm = umbra_vm_create(c->value);
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	/* The fd owns the reference from the moment it is visible. */
	fd = anon_inode_getfd("kvm-vm", &vm_fops, vm, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		umbra_vm_put(vm);
	return fd;
}

static long get_info(struct ioctl_call *c, void *data)
{
	struct umbra_info *info = data;

	info->version = UMBRA_ABI_VERSION;
	info->modes = umbra_mmu_modes();
	strscpy(info->backend, umbra_backend->name, sizeof(info->backend));
	if (umbra_caps.hardware_paging)
		strscpy(info->paging, umbra_backend->paging_name, sizeof(info->paging));
	if (umbra_caps.next_rip)
		info->flags |= UMBRA_INFO_NEXT_RIP;
	return 0;
}

static const struct ioctl_row system_rows[] = {
	{ KVM_GET_API_VERSION,		F_VALUE,	get_api_version },
	{ KVM_CREATE_VM,		F_VALUE,	create_vm },
	{ KVM_CHECK_EXTENSION,		F_VALUE,	check_extension },
	{ KVM_GET_VCPU_MMAP_SIZE,	F_VALUE,	get_vcpu_mmap_size },
	{ KVM_GET_SUPPORTED_CPUID,	F_RAW,		get_supported_cpuid },
	{ KVM_GET_MSR_INDEX_LIST,	F_RAW,		get_msr_index_list },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST, F_RAW,	get_msr_feature_list },
	{ KVM_GET_MSRS,			F_RAW,		get_msrs },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, F_OUT,		get_mce_cap },
	{ UMBRA_GET_INFO,		F_OUT,		get_info },
};

static long system_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ioctl_call c = { .user = (void __user *)arg, .value = arg };
	const struct ioctl_row *row = FIND_ROW(system_rows, cmd);

	return row ? call_row(row, &c) : -ENOTTY;
}

/* ---- a VM's fd ---- */

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

/* The three pages below 4G that Intel's real mode needs; kept for when they are used. */
static long set_tss_addr(struct ioctl_call *c, void *data)
{
	if (c->value > (u32)(-3 * PAGE_SIZE))
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
	file = anon_inode_getfile(name, &vcpu_fops, vcpu, O_RDWR);
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

static long get_clock(struct ioctl_call *c, void *data)
{
	umbra_get_clock(c->vm, data);
	return 0;
}

static long set_clock(struct ioctl_call *c, void *data)
{
	return umbra_set_clock(c->vm, data);
}

static long get_mmu(struct ioctl_call *c, void *data)
{
	*(u32 *)data = c->vm->mmu.ops->id;
	return 0;
}

static long set_mmu(struct ioctl_call *c, void *data)
{
	if (c->vm->online_vcpus)
		return -EBUSY;
	return umbra_mmu_set_mode(c->vm, *(u32 *)data);
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

	return umbra_vm_set_name(c->vm, name->name);
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
	{ KVM_CHECK_EXTENSION,		F_VALUE,		check_extension },
	{ KVM_SET_TSS_ADDR,		F_VALUE | F_VM_LOCK,	set_tss_addr },
	{ KVM_SET_IDENTITY_MAP_ADDR,	F_IN | F_VM_LOCK,	set_identity_map_addr },
	{ KVM_SET_BOOT_CPU_ID,		F_VALUE | F_VM_LOCK,	set_boot_cpu_id },
	{ KVM_CREATE_IRQCHIP,		F_NONE | F_VM_LOCK,	create_irqchip },
	{ KVM_GET_IRQCHIP,		F_IN | F_OUT,		get_irqchip },
	{ KVM_SET_IRQCHIP,		F_IN,			set_irqchip },
	{ KVM_CREATE_PIT2,		F_IN | F_VM_LOCK,	create_pit2 },
	{ KVM_GET_PIT2,			F_OUT,			get_pit2 },
	{ KVM_SET_PIT2,			F_IN,			set_pit2 },
	{ KVM_SET_GSI_ROUTING,		F_RAW,			set_gsi_routing },
	{ KVM_SIGNAL_MSI,		F_IN,			signal_msi },
	{ KVM_IOEVENTFD,		F_IN,			ioeventfd },
	{ KVM_IRQFD,			F_IN,			irqfd },
	{ KVM_REGISTER_COALESCED_MMIO,	F_IN,			register_coalesced },
	{ KVM_UNREGISTER_COALESCED_MMIO, F_IN,			unregister_coalesced },
	{ KVM_GET_CLOCK,		F_OUT,			get_clock },
	{ KVM_SET_CLOCK,		F_IN,			set_clock },
	{ UMBRA_GET_MMU,		F_OUT | F_VM_LOCK,	get_mmu },
	{ UMBRA_SET_MMU,		F_IN | F_VM_LOCK,	set_mmu },
	{ UMBRA_GET_NAME,		F_OUT | F_VM_LOCK,	get_name },
	{ UMBRA_SET_NAME,		F_IN | F_VM_LOCK,	set_name },
	{ UMBRA_GET_EXIT_STATS,		F_IN | F_OUT,		get_exit_stats },
};

/* Guest memory is the creator's: nobody else can run or change the VM. */
static bool usable(struct umbra_vm *vm)
{
	return vm->mm == current->mm && !READ_ONCE(vm->dead);
}

static long vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vm *vm = file->private_data;
	struct ioctl_call c = { .vm = vm, .user = (void __user *)arg, .value = arg };
	const struct ioctl_row *row;

	if (!usable(vm))
		return -EIO;
	row = FIND_ROW(vm_rows, cmd);
	return row ? call_row(row, &c) : -ENOTTY;
}

static int vm_release(struct inode *inode, struct file *file)
{
	umbra_vm_put(file->private_data);
	return 0;
}

/* ---- a vCPU's fd ---- */

static long run(struct ioctl_call *c, void *data)
{
	return c->value ? -EINVAL : umbra_vcpu_run(c->vcpu);
}

static long set_cpuid2(struct ioctl_call *c, void *data)
{
	struct kvm_cpuid2 __user *user = c->user;
	struct kvm_cpuid_entry2 *entries = NULL;
	struct kvm_cpuid2 head;
	long r;

	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.nent > UMBRA_CPUID_MAX)
		return -E2BIG;
	if (head.nent) {
		entries = vmemdup_user(user->entries, array_size(sizeof(*entries), head.nent));
		if (IS_ERR(entries))
			return PTR_ERR(entries);
	}
	r = umbra_cpuid_set(c->vcpu, entries, head.nent);
	if (r)
		kvfree(entries);
	return r;
}

static long get_cpuid2(struct ioctl_call *c, void *data)
{
	struct kvm_cpuid2 __user *user = c->user;
	struct umbra_cpuid *cpuid = &c->vcpu->cpuid;
	u32 room;

	if (get_user(room, &user->nent))
		return -EFAULT;
	if (room < cpuid->nent)
		return -E2BIG;
	if (cpuid->nent && copy_to_user(user->entries, cpuid->entries,
					cpuid->nent * sizeof(*cpuid->entries)))
		return -EFAULT;
	return put_user(cpuid->nent, &user->nent);
}

static long set_signal_mask(struct ioctl_call *c, void *data)
{
	struct kvm_signal_mask __user *user = c->user;
	struct kvm_signal_mask head;
	sigset_t set;

	if (!user) {
		c->vcpu->sigset_active = false;
		return 0;
	}
	if (copy_from_user(&head, user, sizeof(head)))
		return -EFAULT;
	if (head.len != sizeof(set))
		return -EINVAL;
	if (copy_from_user(&set, user->sigset, sizeof(set)))
		return -EFAULT;
	sigdelsetmask(&set, sigmask(SIGKILL) | sigmask(SIGSTOP));
	c->vcpu->sigset = set;
	c->vcpu->sigset_active = true;
	return 0;
}

static long interrupt(struct ioctl_call *c, void *data)
{
	struct kvm_interrupt *irq = data;

	if (irq->irq > 255)
		return -EINVAL;
	if (umbra_pic_in_kernel(c->vm))
		return -ENXIO;
	if (c->vcpu->events.ext_irq >= 0)
		return -EEXIST;
	WRITE_ONCE(c->vcpu->events.ext_irq, irq->irq);
	umbra_request(c->vcpu, UMBRA_REQ_EVENT);
	return 0;
}

static long nmi(struct ioctl_call *c, void *data)
{
	umbra_inject_nmi(c->vcpu);
	return 0;
}

static long translate(struct ioctl_call *c, void *data)
{
	struct kvm_translation *tr = data;
	gpa_t gpa;
	u32 error;
	int r = umbra_gva_to_gpa(c->vcpu, tr->linear_address, 0, &gpa, &error);

	tr->valid = !r;
	tr->physical_address = r ? ~0ULL : gpa;
	tr->writeable = 1;
	tr->usermode = 0;
	return 0;
}

static long set_tsc_khz(struct ioctl_call *c, void *data)
{
	return umbra_set_tsc_khz(c->vcpu, c->value);
}

static long get_tsc_khz(struct ioctl_call *c, void *data)
{
	return c->vcpu->time.tsc_khz;
}

static long setup_mce(struct ioctl_call *c, void *data)
{
	return umbra_vcpu_setup_mce(c->vcpu, *(u64 *)data);
}

static long kvmclock_ctrl(struct ioctl_call *c, void *data)
{
	return umbra_kvmclock_ctrl(c->vcpu);
}

/* A handler that only passes its structure on. */
#define GETTER(name, fn, type)								\
static long name(struct ioctl_call *c, void *data)					\
{											\
	fn(c->vcpu, (type *)data);							\
	return 0;									\
}
#define PASS(name, fn, type)								\
static long name(struct ioctl_call *c, void *data)					\
{											\
	return fn(c->vcpu, (type *)data);						\
}

GETTER(get_regs, umbra_vcpu_get_regs, struct kvm_regs)
GETTER(get_sregs, umbra_vcpu_get_sregs, struct kvm_sregs)
GETTER(get_sregs2, umbra_vcpu_get_sregs2, struct kvm_sregs2)
GETTER(get_debugregs, umbra_vcpu_get_debugregs, struct kvm_debugregs)
PASS(set_regs, umbra_vcpu_set_regs, struct kvm_regs)
PASS(set_sregs, umbra_vcpu_set_sregs, struct kvm_sregs)
PASS(set_sregs2, umbra_vcpu_set_sregs2, struct kvm_sregs2)
PASS(set_mce, umbra_vcpu_set_mce, struct kvm_x86_mce)
PASS(set_debugregs, umbra_vcpu_set_debugregs, struct kvm_debugregs)
PASS(set_guest_debug, umbra_vcpu_set_guest_debug, struct kvm_guest_debug)
PASS(get_fpu, umbra_vcpu_get_fpu, struct kvm_fpu)
PASS(set_fpu, umbra_vcpu_set_fpu, struct kvm_fpu)
PASS(get_xcrs, umbra_vcpu_get_xcrs, struct kvm_xcrs)
PASS(set_xcrs, umbra_vcpu_set_xcrs, struct kvm_xcrs)
PASS(get_lapic, umbra_lapic_get, struct kvm_lapic_state)
PASS(set_lapic, umbra_lapic_set, struct kvm_lapic_state)
PASS(get_mp_state, umbra_vcpu_get_mp_state, struct kvm_mp_state)
PASS(set_mp_state, umbra_vcpu_set_mp_state, struct kvm_mp_state)
PASS(get_events, umbra_vcpu_get_events, struct kvm_vcpu_events)
PASS(set_events, umbra_vcpu_set_events, struct kvm_vcpu_events)

static long get_xsave(struct ioctl_call *c, void *data)
{
	return umbra_vcpu_get_xsave(c->vcpu, data, sizeof(struct kvm_xsave));
}

static long set_xsave(struct ioctl_call *c, void *data)
{
	return umbra_vcpu_set_xsave(c->vcpu, data, sizeof(struct kvm_xsave));
}

static const struct ioctl_row vcpu_rows[] = {
	{ KVM_RUN,			F_VALUE,		run },
	{ KVM_GET_REGS,			F_OUT | F_LOAD,		get_regs },
	{ KVM_SET_REGS,			F_IN | F_LOAD,		set_regs },
	{ KVM_GET_SREGS,		F_OUT | F_LOAD,		get_sregs },
	{ KVM_SET_SREGS,		F_IN | F_LOAD | F_SRCU,	set_sregs },
	{ KVM_GET_SREGS2,		F_OUT | F_LOAD,		get_sregs2 },
	{ KVM_SET_SREGS2,		F_IN | F_LOAD | F_SRCU,	set_sregs2 },
	{ KVM_GET_FPU,			F_OUT,			get_fpu },
	{ KVM_SET_FPU,			F_IN,			set_fpu },
	{ KVM_GET_XSAVE,		F_OUT,			get_xsave },
	{ KVM_SET_XSAVE,		F_IN,			set_xsave },
	{ KVM_GET_XCRS,			F_OUT,			get_xcrs },
	{ KVM_SET_XCRS,			F_IN | F_LOAD,		set_xcrs },
	{ KVM_GET_MSRS,			F_RAW | F_LOAD | F_SRCU, get_msrs },
	{ KVM_SET_MSRS,			F_RAW | F_LOAD | F_SRCU, set_msrs },
	{ KVM_SET_CPUID2,		F_RAW | F_LOAD,		set_cpuid2 },
	{ KVM_GET_CPUID2,		F_RAW,			get_cpuid2 },
	{ KVM_GET_LAPIC,		F_OUT | F_LOAD,		get_lapic },
	{ KVM_SET_LAPIC,		F_IN | F_LOAD,		set_lapic },
	{ KVM_GET_MP_STATE,		F_OUT | F_LOAD,		get_mp_state },
	{ KVM_SET_MP_STATE,		F_IN | F_LOAD,		set_mp_state },
	{ KVM_GET_VCPU_EVENTS,		F_OUT | F_LOAD,		get_events },
	{ KVM_SET_VCPU_EVENTS,		F_IN | F_LOAD,		set_events },
	{ KVM_GET_DEBUGREGS,		F_OUT | F_LOAD,		get_debugregs },
	{ KVM_SET_DEBUGREGS,		F_IN | F_LOAD,		set_debugregs },
	{ KVM_SET_GUEST_DEBUG,		F_IN | F_LOAD,		set_guest_debug },
	{ KVM_INTERRUPT,		F_IN | F_LOAD,		interrupt },
	{ KVM_NMI,			F_NONE,			nmi },
	{ KVM_SET_SIGNAL_MASK,		F_RAW,			set_signal_mask },
	{ KVM_TRANSLATE,		F_IN | F_OUT | F_LOAD | F_SRCU, translate },
	{ KVM_SET_TSC_KHZ,		F_VALUE | F_LOAD,	set_tsc_khz },
	{ KVM_GET_TSC_KHZ,		F_NONE,			get_tsc_khz },
	{ KVM_X86_SETUP_MCE,		F_IN,			setup_mce },
	{ KVM_X86_SET_MCE,		F_IN | F_LOAD,		set_mce },
	{ KVM_KVMCLOCK_CTRL,		F_NONE,			kvmclock_ctrl },
};

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vcpu *vcpu = file->private_data;
	struct ioctl_call c = {
		.vm = vcpu->vm, .vcpu = vcpu, .user = (void __user *)arg, .value = arg,
	};
	const struct ioctl_row *row;
	long r;

	if (!usable(vcpu->vm))
		return -EIO;
	row = FIND_ROW(vcpu_rows, cmd);
	if (!row)
		return -ENOTTY;
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	r = call_row(row, &c);
	mutex_unlock(&vcpu->mutex);
	return r;
}

static int vcpu_release(struct inode *inode, struct file *file)
{
	struct umbra_vcpu *vcpu = file->private_data;

	umbra_vm_put(vcpu->vm);
	return 0;
}

/*
 * Page 0 is kvm_run, page 1 the data of port I/O, page 2 the ring of coalesced
 * writes; from 64 on comes the dirty ring.
 */
static vm_fault_t vcpu_fault(struct vm_fault *vmf)
{
	struct umbra_vcpu *vcpu = vmf->vma->vm_file->private_data;
	struct page *page;

	if (vmf->pgoff == 0)
		page = virt_to_page(vcpu->run);
	else if (vmf->pgoff == KVM_PIO_PAGE_OFFSET)
		page = virt_to_page(vcpu->pio_data);
	else if (vmf->pgoff == KVM_COALESCED_MMIO_PAGE_OFFSET)
		page = virt_to_page(vcpu->vm->ring);
	else
		page = umbra_ring_page(vcpu, vmf->pgoff);
	if (!page)
		return VM_FAULT_SIGBUS;
	get_page(page);
	vmf->page = page;
	return 0;
}

static const struct vm_operations_struct vcpu_vm_ops = {
	.fault = vcpu_fault,
};

static int vcpu_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct umbra_vcpu *vcpu = file->private_data;

	/* A private copy of the ring would never show anything. */
	if ((umbra_ring_page(vcpu, vma->vm_pgoff) ||
	     umbra_ring_page(vcpu, vma->vm_pgoff + vma_pages(vma) - 1)) &&
	    (vma->vm_flags & VM_EXEC || !(vma->vm_flags & VM_SHARED)))
		return -EINVAL;
	vma->vm_ops = &vcpu_vm_ops;
	return 0;
}

/* ---- nodes ---- */

static long compat_system_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return system_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

static long compat_vm_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return vm_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

static long compat_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return vcpu_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

static const struct file_operations vm_fops = {
	.owner = THIS_MODULE,
	.release = vm_release,
	.unlocked_ioctl = vm_ioctl,
	.compat_ioctl = compat_vm_ioctl,
	.llseek = noop_llseek,
};

static const struct file_operations vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_vcpu_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};

static const struct file_operations system_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = system_ioctl,
	.compat_ioctl = compat_system_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice node = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "umbra",
	.mode = 0660,
	.fops = &system_fops,
};

int umbra_ioctl_init(void)
{
	return misc_register(&node);
}

void umbra_ioctl_exit(void)
{
	misc_deregister(&node);
}
