// SPDX-License-Identifier: GPL-2.0-only
/* The verbs of a VM's socket. They run in the main thread. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "exitcode.h"
#include "mmu.h"
#include "util.h"
#include "vm_control.h"

static bool stopped(struct vm *vm)
{
	return atomic_load(&vm->stop) != STOP_NOT;
}

static const char *state_of(struct vm *vm)
{
	if (stopped(vm))
		return "stopping";
	if (!pause_wanted(&vm->pause))
		return "running";
	return pause_idle(&vm->pause) ? "paused" : "pausing";
}

static json_t *status(void *ctx, json_t *args, struct umbra_err *err)
{
	struct vm *vm = ctx;

	(void)args;
	(void)err;
	return json_pack("{s:s,s:i,s:s,s:i,s:I,s:s}", "name", vm->name, "pid", (int)getpid(),
			 "state", state_of(vm), "cpus", (int)vm->cfg->cpus,
			 "memory", (json_int_t)vm->ram.size, "device", vm->cfg->dev);
}

/* After a change of state, what it is now. */
static json_t *new_state(void *ctx, json_t *args, struct umbra_err *err)
{
	(void)args;
	(void)err;
	return json_pack("{s:s}", "state", state_of(ctx));
}

static enum message_code refuse_ended(struct umbra_err *err)
{
	return umbra_fail(err, MESSAGE_FAILED, "the VM is ending");
}

static enum message_code begin_pause(void *ctx, json_t *args, struct umbra_err *err)
{
	struct vm *vm = ctx;

	(void)args;
	if (stopped(vm))
		return refuse_ended(err);
	pause_begin(&vm->pause);
	vm_kick(vm);
	return MESSAGE_OK;
}

/* Done, or overtaken by another client's resume or by the VM's end. */
static bool pause_settled(void *ctx)
{
	struct vm *vm = ctx;

	return pause_idle(&vm->pause) || !pause_wanted(&vm->pause);
}

static json_t *end_pause(void *ctx, json_t *args, struct umbra_err *err)
{
	struct vm *vm = ctx;

	if (stopped(vm)) {
		refuse_ended(err);
		return NULL;
	}
	if (!pause_wanted(&vm->pause)) {
		umbra_fail(err, 0, "another client has resumed it");
		return NULL;
	}
	return new_state(ctx, args, err);
}

static enum message_code begin_resume(void *ctx, json_t *args, struct umbra_err *err)
{
	struct vm *vm = ctx;
	unsigned int i;

	(void)args;
	if (stopped(vm))
		return refuse_ended(err);
	/* The guest's watchdogs must not take the pause for a lockup; without a clock page: EINVAL. */
	if (pause_wanted(&vm->pause) && pause_idle(&vm->pause) &&
	    umbra_check_cap(vm->kvm.fd, KVM_CAP_KVMCLOCK_CTRL))
		for (i = 0; i < vm->cfg->cpus; i++)
			UMBRA_IOCTL(vm->vcpus[i].kvm.fd, KVM_KVMCLOCK_CTRL, 0, NULL);
	pause_end(&vm->pause);
	return MESSAGE_OK;
}

static enum message_code begin_stop(void *ctx, json_t *args, struct umbra_err *err)
{
	struct vm *vm = ctx;

	(void)args;
	(void)err;
	vm_stop(vm, STOP_USER);
	vm_kick(vm);
	return MESSAGE_OK;
}

static enum message_code begin_mmu(void *ctx, json_t *args, struct umbra_err *err)
{
	const json_t *mode = json_object_get(args, "mode");

	if (json_object_size(args) != (mode ? 1 : 0))
		return umbra_fail(err, MESSAGE_BAD_ARGS, "mmu takes \"mode\" and nothing else");
	if (mode && (!json_is_string(mode) || !mmu_known(json_string_value(mode))))
		return umbra_fail(err, MESSAGE_BAD_ARGS, "that is no mode");
	return stopped(ctx) ? refuse_ended(err) : MESSAGE_OK;
}

static json_t *finish_mmu(void *ctx, json_t *args, struct umbra_err *err)
{
	const char *wanted = json_string_value(json_object_get(args, "mode")), *mode;
	const struct vm *vm = ctx;
	int ret = wanted ? mmu_change(&vm->kvm, wanted, err) : 0;

	if (ret && ret != -EBUSY)
		return NULL;
	mode = mmu_of(&vm->kvm, err);
	return mode ? json_pack("{s:s,s:b}", "mode", mode, "busy", ret == -EBUSY) : NULL;
}

static bool all_idle(void *ctx)
{
	struct vm *vm = ctx;

	return pause_idle(&vm->pause);
}

static const struct control_verb verbs[] = {
	{ .name = "status", .finish = status },
	{ .name = "pause", .begin = begin_pause, .ready = pause_settled, .finish = end_pause },
	{ .name = "resume", .begin = begin_resume, .finish = new_state },
	{ .name = "exits", .takes_args = true, .begin = vm_exits_begin, .finish = vm_exits },
	{ .name = "mmu", .takes_args = true, .begin = begin_mmu, .finish = finish_mmu },
	{ .name = "stop", .begin = begin_stop, .ready = all_idle, .finish = new_state },
	{ .name = NULL },
};

static int clash(const struct vm *vm, pid_t owner, struct umbra_err *err)
{
	if (!owner)
		return umbra_fail(err, UMBRA_EXIT_MISSING,
				  "--name %s: another VM has this name; give another", vm->name);
	return umbra_fail(err, UMBRA_EXIT_MISSING,
			  "--name %s: the VM of process %d has this name; give another, or end it with `umbra stop %s`",
			  vm->name, (int)owner, vm->name);
}

static int open_socket(struct vm *vm, struct umbra_err *err)
{
	struct umbra_err detail;
	char dir[RUNTIME_PATH_MAX];
	pid_t owner;
	int ret = runtime_dir(dir, &detail);

	if (ret == -ENOENT) {
		complain("%s: %s, so that `umbra list` will not show it", vm->name, detail.text);
		return 0;
	}
	if (!ret)
		ret = control_open(&vm->control, dir, vm->name, verbs, vm, &owner, &detail);
	if (ret == -EEXIST)
		return clash(vm, owner, err);
	if (ret)
		return umbra_fail(err, ret == -EACCES || ret == -EPERM ?
				  UMBRA_EXIT_NOT_PERMITTED : UMBRA_EXIT_MISSING,
				  "the VM's socket: %.200s", detail.text);
	return 0;
}

int vm_control_open(struct vm *vm, struct umbra_err *err)
{
	struct umbra_err detail;
	int ret;

	if (vm->cfg->name)
		snprintf(vm->name, sizeof(vm->name), "%s", vm->cfg->name);
	else
		snprintf(vm->name, sizeof(vm->name), "%d", (int)getpid());
	ret = open_socket(vm, err);
	if (ret)
		return ret;
	/* Stock KVM knows no names. */
	ret = umbra_vm_set_name(&vm->kvm, vm->name, &detail);
	if (ret && ret != -ENOTTY)
		return umbra_fail(err, UMBRA_EXIT_INTERNAL, "%s", detail.text);
	return 0;
}

void vm_control_close(struct vm *vm)
{
	control_wake(&vm->control);
	control_close(&vm->control);
}
