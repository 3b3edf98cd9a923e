// SPDX-License-Identifier: GPL-2.0-only
/*
 * A directory a VM, with a file for it and one for each vCPU: a figure a line, its
 * name and its value, or values where it is a histogram. What they mean is told once,
 * beside the directories. One more file audits a VM's shadow tables. Nothing can be
 * written, so that lockdown lets them be read.
 */
#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/pid.h>
#include <linux/seq_file.h>

#include "debugfs.h"
#include "mmu_audit.h"
#include "stats.h"

static struct dentry *root;

static void show_figures(struct seq_file *m, struct umbra_vm *vm, struct umbra_vcpu *vcpu)
{
	struct umbra_figure figure;
	u32 i, n;

	for (i = 0; umbra_figure_describe(vcpu, i, &figure); i++) {
		seq_puts(m, figure.name);
		for (n = 0; n < figure.size; n++)
			seq_put_decimal_ull(m, " ", umbra_figure_word(vm, vcpu, figure.offset + n));
		seq_putc(m, '\n');
	}
}

static int vm_show(struct seq_file *m, void *unused)
{
	show_figures(m, m->private, NULL);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vm);

static int mmu_audit_show(struct seq_file *m, void *unused)
{
	return umbra_mmu_audit(m, m->private);
}
DEFINE_SHOW_ATTRIBUTE(mmu_audit);

static int vcpu_show(struct seq_file *m, void *unused)
{
	struct umbra_vcpu *vcpu = m->private;

	show_figures(m, vcpu->vm, vcpu);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(vcpu);

static void show_meanings(struct seq_file *m, bool of_vcpu)
{
	struct umbra_figure figure;
	u32 i;

	for (i = 0; umbra_figure_describe(of_vcpu, i, &figure); i++)
		seq_printf(m, "%s %s: %s\n", of_vcpu ? "vcpu" : "vm", figure.name, figure.text);
}

static int meanings_show(struct seq_file *m, void *unused)
{
	show_meanings(m, false);
	show_meanings(m, true);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(meanings);

void umbra_debugfs_add(struct umbra_vm *vm)
{
	struct umbra_listing *listing = &vm->listing;
	char name[24];

	snprintf(name, sizeof(name), "%d-%u", pid_nr(listing->maker), listing->id);
	listing->dir = debugfs_create_dir(name, root);
	debugfs_create_file("vm", 0444, listing->dir, vm, &vm_fops);
	debugfs_create_file("mmu_audit", 0444, listing->dir, vm, &mmu_audit_fops);
}

void umbra_debugfs_add_vcpu(struct umbra_vcpu *vcpu)
{
	char name[16];

	snprintf(name, sizeof(name), "vcpu%d", vcpu->id);
	debugfs_create_file(name, 0444, vcpu->vm->listing.dir, vcpu, &vcpu_fops);
}

void umbra_debugfs_remove(struct umbra_vm *vm)
{
	debugfs_remove(vm->listing.dir);
}

void umbra_debugfs_init(void)
{
	root = debugfs_create_dir("umbra", NULL);
	debugfs_create_file("meanings", 0444, root, NULL, &meanings_fops);
}

void umbra_debugfs_exit(void)
{
	debugfs_remove(root);
}
