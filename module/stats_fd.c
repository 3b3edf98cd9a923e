// SPDX-License-Identifier: GPL-2.0-only
/*
 * KVM_GET_STATS_FD: a VM's or a vCPU's figures as a file that describes itself:
 * header, id, descriptors, data. Made at each read; the file holds the VM.
 */
#include <linux/anon_inodes.h>
#include <linux/build_bug.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/kvm.h>
#include <linux/minmax.h>
#include <linux/module.h>
#include <linux/nospec.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "stats.h"

#define NAME_SIZE	48
#define PIECE_MAX	(sizeof(struct kvm_stats_header) + NAME_SIZE)
/* To some kernels the structure holds the name, to others it ends before. */
#define DESC_SIZE	(offsetof(struct kvm_stats_desc, name) + NAME_SIZE)

/* A vCPU's: of each reason, how many exits and how many ticks of the TSC. */
#define VCPU_FIGURES	(2 * UMBRA_EXIT_NR)

/**
 * struct stats_file - one open file
 * @vm: referenced
 * @vcpu: whose figures; NULL: the VM's
 * @header: the file's beginning, as it is
 * @id: what follows it
 */
struct stats_file {
	struct umbra_vm *vm;
	struct umbra_vcpu *vcpu;
	struct kvm_stats_header header;
	char id[NAME_SIZE];
};

static u64 nr_vcpus(struct umbra_vm *vm)
{
	return READ_ONCE(vm->online_vcpus);
}

static u64 nr_table_pages(struct umbra_vm *vm)
{
	return atomic_long_read(&vm->mmu.pages);
}

static u64 nr_switches(struct umbra_vm *vm)
{
	return READ_ONCE(vm->mmu.switches);
}

static u64 switch_ticks(struct umbra_vm *vm)
{
	return READ_ONCE(vm->mmu.move_ticks);
}

/* What there is of it now. */
static const struct {
	const char *name;
	u64 (*value)(struct umbra_vm *vm);
} vm_figures[] = {
	{ "vcpus", nr_vcpus },
	{ "mmu_table_pages", nr_table_pages },
	{ "mmu_switches", nr_switches },
	{ "mmu_switch_cycles", switch_ticks },
};

static void describe(const struct stats_file *s, u32 i, char *desc)
{
	struct kvm_stats_desc *d = (void *)desc;
	char *name = desc + offsetof(struct kvm_stats_desc, name);

	memset(desc, 0, DESC_SIZE);
	d->size = 1;
	d->offset = i * sizeof(u64);
	if (!s->vcpu) {
		d->flags = KVM_STATS_TYPE_INSTANT | KVM_STATS_UNIT_NONE;
		strscpy(name, vm_figures[i].name, NAME_SIZE);
	} else if (i % 2) {
		d->flags = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_CYCLES;
		snprintf(name, NAME_SIZE, "%s_cycles", umbra_exit_name(i / 2));
	} else {
		d->flags = KVM_STATS_TYPE_CUMULATIVE | KVM_STATS_UNIT_NONE;
		snprintf(name, NAME_SIZE, "%s_exits", umbra_exit_name(i / 2));
	}
}

static u64 figure(const struct stats_file *s, u32 i)
{
	const struct umbra_stats *stats;

	if (!s->vcpu)
		return vm_figures[i].value(s->vm);
	stats = s->vcpu->stats;
	return i % 2 ? READ_ONCE(stats->ticks[i / 2]) : READ_ONCE(stats->count[i / 2]);
}

/* The piece of the file that @pos lies in: its length and bytes, and where in it that is. */
static u32 piece(const struct stats_file *s, u64 pos, char *buf, u32 *into)
{
	u64 value;

	BUILD_BUG_ON(PIECE_MAX < DESC_SIZE);
	if (pos < s->header.desc_offset) {
		memcpy(buf, &s->header, sizeof(s->header));
		memcpy(buf + sizeof(s->header), s->id, sizeof(s->id));
		*into = pos;
		return s->header.desc_offset;
	}
	if (pos < s->header.data_offset) {
		pos -= s->header.desc_offset;
		*into = pos % DESC_SIZE;
		describe(s, array_index_nospec(pos / DESC_SIZE, s->header.num_desc), buf);
		return DESC_SIZE;
	}
	pos -= s->header.data_offset;
	*into = pos % sizeof(u64);
	value = figure(s, array_index_nospec(pos / sizeof(u64), s->header.num_desc));
	memcpy(buf, &value, sizeof(value));
	return sizeof(value);
}

static ssize_t stats_read(struct file *file, char __user *user, size_t size, loff_t *pos)
{
	const struct stats_file *s = file->private_data;
	u64 end = s->header.data_offset + s->header.num_desc * sizeof(u64);
	size_t done = 0;
	char buf[PIECE_MAX];

	if (*pos < 0)
		return -EINVAL;
	while (done < size && *pos < end) {
		u32 into, len = piece(s, *pos, buf, &into);

		len = min_t(size_t, len - into, size - done);
		if (copy_to_user(user + done, buf + into, len))
			return done ? done : -EFAULT;
		done += len;
		*pos += len;
	}
	return done;
}

static int stats_release(struct inode *inode, struct file *file)
{
	struct stats_file *s = file->private_data;

	umbra_vm_put(s->vm);
	kfree(s);
	return 0;
}

static const struct file_operations stats_fops = {
	.owner = THIS_MODULE,
	.read = stats_read,
	.release = stats_release,
	.llseek = noop_llseek,
};

static struct stats_file *new_file(struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	struct stats_file *s = kzalloc(sizeof(*s), GFP_KERNEL_ACCOUNT);

	if (!s)
		return NULL;
	s->vm = vm;
	s->vcpu = vcpu;
	s->header.name_size = NAME_SIZE;
	s->header.num_desc = vcpu ? VCPU_FIGURES : ARRAY_SIZE(vm_figures);
	s->header.id_offset = sizeof(s->header);
	s->header.desc_offset = sizeof(s->header) + sizeof(s->id);
	s->header.data_offset = s->header.desc_offset + s->header.num_desc * DESC_SIZE;
	if (vcpu)
		snprintf(s->id, sizeof(s->id), "kvm-%d/vcpu-%d", task_tgid_nr(current), vcpu->id);
	else
		snprintf(s->id, sizeof(s->id), "kvm-%d", task_tgid_nr(current));
	return s;
}

int umbra_stats_fd(struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	struct stats_file *s = new_file(vm, vcpu);
	struct file *file;
	int fd;

	if (!s)
		return -ENOMEM;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		goto err;
	file = anon_inode_getfile(vcpu ? "kvm-vcpu-stats" : "kvm-vm-stats", &stats_fops, s,
				  O_RDONLY);
	if (IS_ERR(file)) {
		put_unused_fd(fd);
		fd = PTR_ERR(file);
		goto err;
	}
	file->f_mode |= FMODE_PREAD;
	umbra_vm_get(vm);		/* the file's */
	fd_install(fd, file);
	return fd;

err:
	kfree(s);
	return fd;
}
