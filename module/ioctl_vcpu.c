// SPDX-License-Identifier: GPL-2.0-only
/* The ioctls of a vCPU's fd, and what can be mapped of it. */
#include <linux/compat.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "backend.h"
#include "coalesced.h"
#include "compat.h"
#include "failure.h"
#include "ioctl_priv.h"
#include "irq.h"
#include "switches.h"
#include "vcpu.h"

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

static bool is_tsc_offset(const struct kvm_device_attr *attr)
{
	return attr->group == KVM_VCPU_TSC_CTRL && attr->attr == KVM_VCPU_TSC_OFFSET;
}

static long has_attr(struct ioctl_call *c, void *data)
{
	return is_tsc_offset(data) ? 0 : -ENXIO;
}

static long get_attr(struct ioctl_call *c, void *data)
{
	const struct kvm_device_attr *attr = data;

	if (!is_tsc_offset(attr))
		return -ENXIO;
	return put_user(c->vcpu->time.tsc_offset, (u64 __user *)u64_to_user_ptr(attr->addr));
}

static long set_attr(struct ioctl_call *c, void *data)
{
	const struct kvm_device_attr *attr = data;
	u64 offset;

	if (!is_tsc_offset(attr))
		return -ENXIO;
	if (get_user(offset, (u64 __user *)u64_to_user_ptr(attr->addr)))
		return -EFAULT;
	umbra_set_tsc_offset(c->vcpu, offset);
	return 0;
}

static long vcpu_enable_cap(struct ioctl_call *c, void *data)
{
	const struct kvm_enable_cap *cap = data;

	if (cap->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID || cap->flags)
		return -EINVAL;
	return umbra_enforce_pv_features(c->vcpu, cap);
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

static long set_vapic_addr(struct ioctl_call *c, void *data)
{
	return umbra_lapic_set_vapic(c->vcpu, ((struct kvm_vapic_addr *)data)->vapic_addr);
}

static long tpr_access_reporting(struct ioctl_call *c, void *data)
{
	struct kvm_tpr_access_ctl *ctl = data;

	if (ctl->flags)
		return -EINVAL;
	umbra_lapic_report_tpr(c->vcpu, ctl->enabled);
	return 0;
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

/* As many bytes as KVM_CAP_XSAVE2 says; the first 4096 are all of it on most CPUs. */
static long get_xsave2(struct ioctl_call *c, void *data)
{
	u32 size = umbra_fpu_uabi_size();
	void *buf = kzalloc(size, GFP_KERNEL_ACCOUNT);
	long r;

	if (!buf)
		return -ENOMEM;
	r = umbra_vcpu_get_xsave(c->vcpu, buf, size);
	if (!r && copy_to_user(c->user, buf, size))
		r = -EFAULT;
	kfree(buf);
	return r;
}

static long set_xsave(struct ioctl_call *c, void *data)
{
	u32 size = umbra_fpu_uabi_size();
	void *buf = memdup_user(c->user, size);
	long r;

	if (IS_ERR(buf))
		return PTR_ERR(buf);
	r = umbra_vcpu_set_xsave(c->vcpu, buf, size);
	kfree(buf);
	return r;
}

static long get_entry_failure(struct ioctl_call *c, void *data)
{
	return umbra_failure_get(c->vcpu, data);
}

static long get_vmcs_counts(struct ioctl_call *c, void *data)
{
	struct umbra_vmcs_counts *counts = data;

	if (counts->pad)
		return -EINVAL;
	if (counts->reason >= UMBRA_EXIT_NR)
		return -ERANGE;
	if (!umbra_backend->vmcs_counts)
		return -EOPNOTSUPP;
	return umbra_backend->vmcs_counts(c->vcpu, counts);
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
	{ KVM_GET_XSAVE2,		F_RAW,			get_xsave2 },
	{ KVM_SET_XSAVE,		F_RAW,			set_xsave },
	{ KVM_GET_XCRS,			F_OUT,			get_xcrs },
	{ KVM_SET_XCRS,			F_IN | F_LOAD,		set_xcrs },
	{ KVM_GET_MSRS,			F_RAW | F_LOAD | F_SRCU, umbra_ioctl_get_msrs },
	{ KVM_SET_MSRS,			F_RAW | F_LOAD | F_SRCU, umbra_ioctl_set_msrs },
	{ KVM_SET_CPUID2,		F_RAW | F_LOAD,		set_cpuid2 },
	{ KVM_GET_CPUID2,		F_RAW,			get_cpuid2 },
	{ KVM_GET_LAPIC,		F_OUT | F_LOAD,		get_lapic },
	{ KVM_SET_LAPIC,		F_IN | F_LOAD,		set_lapic },
	{ KVM_SET_VAPIC_ADDR,		F_IN | F_SRCU,		set_vapic_addr },
	{ KVM_TPR_ACCESS_REPORTING,	F_IN | F_OUT,		tpr_access_reporting },
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
	{ KVM_ENABLE_CAP,		F_IN,			vcpu_enable_cap },
	{ KVM_HAS_DEVICE_ATTR,		F_IN,			has_attr },
	{ KVM_GET_DEVICE_ATTR,		F_IN,			get_attr },
	{ KVM_SET_DEVICE_ATTR,		F_IN | F_LOAD,		set_attr },
	{ KVM_GET_STATS_FD,		F_NONE,			umbra_ioctl_stats_fd },
	{ KVM_SET_TSC_KHZ,		F_VALUE | F_LOAD,	set_tsc_khz },
	{ KVM_GET_TSC_KHZ,		F_NONE,			get_tsc_khz },
	{ KVM_X86_SETUP_MCE,		F_IN,			setup_mce },
	{ KVM_X86_SET_MCE,		F_IN | F_LOAD,		set_mce },
	{ KVM_KVMCLOCK_CTRL,		F_NONE,			kvmclock_ctrl },
	{ UMBRA_GET_ENTRY_FAILURE,	F_OUT,			get_entry_failure },
	{ UMBRA_GET_VMCS_COUNTS,	F_IN | F_OUT,		get_vmcs_counts },
};

static long vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct umbra_vcpu *vcpu = file->private_data;
	struct ioctl_call c = {
		.vm = vcpu->vm, .vcpu = vcpu, .user = (void __user *)arg, .value = arg,
	};
	const struct ioctl_row *row;
	long r;

	if (!umbra_ioctl_usable(vcpu->vm))
		return -EIO;
	row = umbra_ioctl_find(vcpu_rows, ARRAY_SIZE(vcpu_rows), cmd);
	if (!row)
		return umbra_ioctl_unknown(&c, cmd);
	if (mutex_lock_killable(&vcpu->mutex))
		return -EINTR;
	r = umbra_ioctl_call(row, &c);
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

static long compat_vcpu_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	return vcpu_ioctl(file, cmd, (unsigned long)compat_ptr(arg));
}

const struct file_operations umbra_vcpu_fops = {
	.owner = THIS_MODULE,
	.release = vcpu_release,
	.unlocked_ioctl = vcpu_ioctl,
	.compat_ioctl = compat_vcpu_ioctl,
	.mmap = vcpu_mmap,
	.llseek = noop_llseek,
};
