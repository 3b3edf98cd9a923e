// SPDX-License-Identifier: GPL-2.0-only
/*
 * The ABI: the node, what all command tables share, and the system's. No
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
#include "compat.h"
#include "ioctl.h"
#include "ioctl_priv.h"
#include "irq.h"
#include "switches.h"
#include "trace.h"
#include "umbra.h"
#include "vcpu.h"

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

/* With the locks that the row wants, copying what it says. */
long umbra_ioctl_call(const struct ioctl_row *row, struct ioctl_call *c)
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
	umbra_trace(umbra_ioctl, c->vm, c->vcpu, row->cmd, r);
	return r;
}

/* No fd of this kind knows @cmd. */
long umbra_ioctl_unknown(const struct ioctl_call *c, unsigned int cmd)
{
	umbra_trace(umbra_ioctl, c->vm, c->vcpu, cmd, -ENOTTY);
	return -ENOTTY;
}

/* The row of @cmd; NULL: there is none. */
const struct ioctl_row *umbra_ioctl_find(const struct ioctl_row *rows, unsigned int nr,
					 unsigned int cmd)
{
	unsigned int i;

	for (i = 0; i < nr; i++) {
		if (rows[i].cmd == cmd)
			return &rows[i];
	}
	return NULL;
}

/* Guest memory is the creator's: nobody else can run or change the VM. */
bool umbra_ioctl_usable(struct umbra_vm *vm)
{
	return vm->mm == current->mm && !READ_ONCE(vm->dead);
}

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
	{ KVM_CAP_NR_VCPUS, 0 },	/* these five below: as this machine has it */
	{ KVM_CAP_XSAVE2, 0 },
	{ KVM_CAP_X86_DISABLE_EXITS, 0 },
	{ KVM_CAP_TSC_CONTROL, 0 },
	{ KVM_CAP_VM_TSC_CONTROL, 0 },
	{ KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1 },
	{ KVM_CAP_NR_MEMSLOTS, UMBRA_MAX_SLOTS },
	{ KVM_CAP_VAPIC, 1 },
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
	{ KVM_CAP_REINJECT_CONTROL, 1 },
	{ KVM_CAP_MCE, UMBRA_MCE_BANKS },
	{ KVM_CAP_ADJUST_CLOCK, UMBRA_CLOCK_FLAGS },
	{ KVM_CAP_INTERNAL_ERROR_DATA, 1 },
	{ KVM_CAP_VCPU_EVENTS, 1 },
	{ KVM_CAP_DEBUGREGS, 1 },
	{ KVM_CAP_XSAVE, 1 },
	{ KVM_CAP_XCRS, 1 },
	{ KVM_CAP_ASYNC_PF, 1 },
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
	{ KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS },
	{ KVM_CAP_X86_ROBUST_SINGLESTEP, 1 },
	{ KVM_CAP_X86_USER_SPACE_MSR, 1 },
	{ KVM_CAP_X86_MSR_FILTER, 1 },
	{ KVM_CAP_EXCEPTION_PAYLOAD, 1 },
	{ KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1 },
	{ KVM_CAP_X2APIC_API, UMBRA_X2APIC_API },
	{ KVM_CAP_MSR_PLATFORM_INFO, 1 },
	{ KVM_CAP_VCPU_ATTRIBUTES, 1 },
	{ KVM_CAP_SYS_ATTRIBUTES, 1 },
	{ KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1 },
	{ KVM_CAP_DISABLE_QUIRKS2, UMBRA_QUIRKS },
	{ KVM_CAP_STEAL_TIME, 1 },
	{ KVM_CAP_ASYNC_PF_INT, 1 },
	{ KVM_CAP_ENABLE_CAP, 1 },
	{ KVM_CAP_BINARY_STATS_FD, 1 },
	{ KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, UMBRA_MANUAL_LOG_FLAGS },
	{ KVM_CAP_DIRTY_LOG_RING, UMBRA_RING_MAX_BYTES },
	{ KVM_CAP_DIRTY_LOG_RING_ACQ_REL, UMBRA_RING_MAX_BYTES },
};

long umbra_ioctl_check_extension(struct ioctl_call *c, void *data)
{
	unsigned int i;

	if (c->value == KVM_CAP_XSAVE2)
		return umbra_fpu_uabi_size();
	if (c->value == KVM_CAP_X86_DISABLE_EXITS)
		return umbra_exits_to_disable();
	if (c->value == KVM_CAP_TSC_CONTROL || c->value == KVM_CAP_VM_TSC_CONTROL)
		return umbra_caps.tsc_scaling;
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

long umbra_ioctl_get_msrs(struct ioctl_call *c, void *data)
{
	return msrs_call(c, false);
}

long umbra_ioctl_set_msrs(struct ioctl_call *c, void *data)
{
	return msrs_call(c, true);
}

/* ---- the system's fd ---- */

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

/* The one attribute: what of XCR0 guests may have. */
static long has_attr(struct ioctl_call *c, void *data)
{
	const struct kvm_device_attr *attr = data;

	return attr->group || attr->attr != KVM_X86_XCOMP_GUEST_SUPP ? -ENXIO : 0;
}

static long get_attr(struct ioctl_call *c, void *data)
{
	const struct kvm_device_attr *attr = data;
	long r = has_attr(c, data);

	return r ? r : put_user(umbra_fpu_supported_xcr0(),
				(u64 __user *)u64_to_user_ptr(attr->addr));
}

static long create_vm(struct ioctl_call *c, void *data)
{
	struct umbra_vm *vm = umbra_vm_create(c->value);
	int fd;

	if (IS_ERR(vm))
		return PTR_ERR(vm);
	/* The fd owns the reference from the moment it is visible. */
	fd = anon_inode_getfd("kvm-vm", &umbra_vm_fops, vm, O_RDWR | O_CLOEXEC);
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
	info->flags |= UMBRA_INFO_LIVE_MMU;
	return 0;
}

static const struct ioctl_row system_rows[] = {
	{ KVM_GET_API_VERSION,		F_VALUE,	get_api_version },
	{ KVM_CREATE_VM,		F_VALUE,	create_vm },
	{ KVM_CHECK_EXTENSION,		F_VALUE,	umbra_ioctl_check_extension },
	{ KVM_GET_VCPU_MMAP_SIZE,	F_VALUE,	get_vcpu_mmap_size },
	{ KVM_GET_SUPPORTED_CPUID,	F_RAW,		get_supported_cpuid },
	{ KVM_GET_MSR_INDEX_LIST,	F_RAW,		get_msr_index_list },
	{ KVM_GET_MSR_FEATURE_INDEX_LIST, F_RAW,	get_msr_feature_list },
	{ KVM_GET_MSRS,			F_RAW,		umbra_ioctl_get_msrs },
	{ KVM_HAS_DEVICE_ATTR,		F_IN,		has_attr },
	{ KVM_GET_DEVICE_ATTR,		F_IN,		get_attr },
	{ KVM_X86_GET_MCE_CAP_SUPPORTED, F_OUT,		get_mce_cap },
	{ UMBRA_GET_INFO,		F_OUT,		get_info },
};

static long system_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct ioctl_call c = { .user = (void __user *)arg, .value = arg };
	const struct ioctl_row *row = umbra_ioctl_find(system_rows, ARRAY_SIZE(system_rows), cmd);

	return row ? umbra_ioctl_call(row, &c) : umbra_ioctl_unknown(&c, cmd);
}

static long compat_system_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return system_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

static const struct file_operations system_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = system_ioctl,
	.compat_ioctl = compat_system_ioctl,
	.llseek = noop_llseek,
};

static bool kvm_node;
module_param(kvm_node, bool, 0444);
MODULE_PARM_DESC(kvm_node, "be /dev/kvm too, where nobody else is (default 0)");

/* For programs that were written for KVM. */
static struct miscdevice kvms_node = {
	.minor = KVM_MINOR,
	.name = "kvm",
	.mode = 0660,
	.fops = &system_fops,
};

static struct miscdevice node = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "umbra",
	.mode = 0660,
	.fops = &system_fops,
};

int umbra_ioctl_init(void)
{
	int r;

	/* First, because it may be somebody's. */
	r = kvm_node ? misc_register(&kvms_node) : 0;
	if (r == -EBUSY)
		umbra_say_node_owner();
	if (r)
		return r;
	r = misc_register(&node);
	if (r && kvm_node)
		misc_deregister(&kvms_node);
	return r;
}

void umbra_ioctl_exit(void)
{
	misc_deregister(&node);
	if (kvm_node)
		misc_deregister(&kvms_node);
}
