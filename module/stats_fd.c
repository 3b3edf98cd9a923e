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
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "stats.h"

#define NAME_SIZE	UMBRA_FIGURE_NAME
#define PIECE_MAX	(sizeof(struct kvm_stats_header) + NAME_SIZE)
/* To some kernels the structure holds the name, to others it ends before. */
#define DESC_SIZE	(offsetof(struct kvm_stats_desc, name) + NAME_SIZE)

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

static void describe(const struct stats_file *s, u32 i, char *desc)
{
	struct kvm_stats_desc *d = (void *)desc;
	struct umbra_figure figure;

	memset(desc, 0, DESC_SIZE);
	if (!umbra_figure_describe(s->vcpu, i, &figure))
		return;
	d->flags = figure.flags;
	d->size = figure.size;
	d->offset = figure.offset * sizeof(u64);
	strscpy(desc + offsetof(struct kvm_stats_desc, name), figure.name, NAME_SIZE);
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
		describe(s, pos / DESC_SIZE, buf);
		return DESC_SIZE;
	}
	pos -= s->header.data_offset;
	*into = pos % sizeof(u64);
	value = umbra_figure_word(s->vm, s->vcpu, pos / sizeof(u64));
	memcpy(buf, &value, sizeof(value));
	return sizeof(value);
}

static ssize_t stats_read(struct file *file, char __user *user, size_t size, loff_t *pos)
{
	const struct stats_file *s = file->private_data;
	u64 end = s->header.data_offset + umbra_figure_words(s->vcpu) * sizeof(u64);
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
	s->header.num_desc = umbra_nr_figures(vcpu);
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
