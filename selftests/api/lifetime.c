// SPDX-License-Identifier: GPL-2.0-only
/* Who may use a VM, for how long, and what is left of it afterwards. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "guest.h"
#include "vm.h"

static volatile uint64_t g_count;

static void nothing(void)
{
	guest_done();
}

/* With interrupts on, for Bochs's sake; api/run */
static void spin(void)
{
	sti();
	for (;;)
		g_count++;
}

TEST(close_vm_first, "the VM's fd closed first: its vCPU still runs")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	close(vm.fd);
	vcpu_run_to_end(v);
}

TEST(close_sys_first, "the node's fd closed first: the VM works on")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	close(vm.sys);
	vcpu_run_to_end(v);
}

TEST(close_vcpu_keep_map, "a vCPU's run page stays mapped after all fds closed")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	volatile uint8_t *p = (void *)v->run;
	size_t i;

	vcpu_run_to_end(v);
	close(v->fd);
	close(vm.fd);
	close(vm.sys);
	sleep_ms(10);
	for (i = 0; i < v->run_size; i++)
		p[i]++;
	EXPECT(true);
}

/* In a child that forked off: what is 0 or an errno. */
static int in_child(int (*fn)(struct vm *), struct vm *vm)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(fn(vm) < 0 ? errno : 0);
	ASSERT(waitpid(pid, &status, 0) == pid);
	ASSERT(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static int child_run(struct vm *vm)
{
	return vcpu_run_raw(&vm->vcpu[0]);
}

static int child_regs(struct vm *vm)
{
	struct kvm_regs r;

	return ioctl(vm->vcpu[0].fd, KVM_GET_REGS, &r);
}

static int child_vcpu(struct vm *vm)
{
	return ioctl(vm->fd, KVM_CREATE_VCPU, 5UL);
}

static int child_slot(struct vm *vm)
{
	return vm_slot(vm, 3, 0, 0x40000000, 4096, vm->mem);
}

static const struct { const char *name; int (*fn)(struct vm *); } children[] = {
	{ "RUN", child_run }, { "GET_REGS", child_regs },
	{ "CREATE_VCPU", child_vcpu },
	{ "SET_USER_MEMORY_REGION", child_slot },
};

TEST_EACH(fork_child, "a forked child has other memory: EIO for ", children, c)
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	EXPECT_EQ(in_child(c->fn, &vm), EIO);
	/* And the parent was not disturbed. */
	vcpu_run_to_end(v);
}

TEST(fork_close, "a forked child that ends does not end its parent's VM")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);
	int status;
	pid_t pid = fork();

	if (!pid) {
		close(v->fd);
		close(vm.fd);
		_exit(0);
	}
	ASSERT(waitpid(pid, &status, 0) == pid);
	vcpu_run_to_end(v);
}

TEST(parent_gone, "a VM whose maker is gone is EIO for who holds its fd")
{
	int sock[2], fds[2] = { -1, -1 };
	union {
		char buf[CMSG_SPACE(sizeof(fds))];
		struct cmsghdr align;
	} u = { 0 };
	struct iovec iov = { .iov_base = &(char){ 0 }, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = u.buf, .msg_controllen = sizeof(u.buf),
	};
	struct cmsghdr *c;
	struct kvm_regs regs;
	int status;
	pid_t pid;

	ASSERT(!socketpair(AF_UNIX, SOCK_STREAM, 0, sock));
	pid = fork();
	if (!pid) {
		struct vm vm;
		struct vcpu *v = vm_long_mode(&vm, 0, nothing);

		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(fds));
		memcpy(CMSG_DATA(c), (int[2]){ vm.fd, v->fd }, sizeof(fds));
		_exit(sendmsg(sock[0], &msg, 0) == 1 ? 0 : 1);
	}
	ASSERT(recvmsg(sock[1], &msg, 0) == 1);
	c = CMSG_FIRSTHDR(&msg);
	ASSERT(c && c->cmsg_len == CMSG_LEN(sizeof(fds)));
	memcpy(fds, CMSG_DATA(c), sizeof(fds));
	ASSERT(waitpid(pid, &status, 0) == pid && !status);
	EXPECT_ERR(ioctl(fds[1], KVM_GET_REGS, &regs), EIO);
	EXPECT_ERR(ioctl(fds[1], KVM_RUN, 0UL), EIO);
	EXPECT_ERR(ioctl(fds[0], KVM_CREATE_VCPU, 1UL), EIO);
	close(fds[0]);
	close(fds[1]);
}

TEST_SECONDS(kill_in_run, "SIGKILL in RUN, KILLS times (200): each child goes at once", 180)
{
	long i, n = ktap_env("KILLS", 200);

	for (i = 0; i < n; i++) {
		volatile uint32_t *up = mmap(NULL, 4096,
					     PROT_READ | PROT_WRITE,
					     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		int status;
		pid_t pid;

		ASSERT(up != MAP_FAILED);
		pid = fork();
		if (!pid) {
			struct vm vm;
			struct vcpu *v = vm_long_mode(&vm, i & 1 ? VM_PIT : 0,
						      spin);

			*up = 1;
			vcpu_run_raw(v);
			_exit(1);
		}
		while (!*up && !waitpid(pid, &status, WNOHANG))
			sleep_ms(1);
		sleep_ms(i % 4);
		kill(pid, SIGKILL);
		ASSERT(waitpid(pid, &status, 0) == pid);
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
		munmap((void *)up, 4096);
	}
}

TEST(exit_in_run, "exit_group from another thread while RUN goes on")
{
	long i, n = ktap_env("KILLS", 200) / 20;

	for (i = 0; i < n; i++) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			struct vm vm;
			struct vcpu *v = vm_long_mode(&vm, 0, spin);

			/* The alarm's default action ends the process. */
			alarm(0);
			ualarm(20000, 0);
			vcpu_run_raw(v);
			_exit(1);
		}
		ASSERT(waitpid(pid, &status, 0) == pid);
		EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM);
	}
}

TEST_SECONDS(make_and_drop, "100 VMs made, run and dropped one after the other", 60)
{
	long i, n = ktap_env("VMS", 100);

	for (i = 0; i < n; i++) {
		struct vm vm;
		struct vcpu *v = vm_long_mode(&vm, i & 1 ? VM_PIT : 0, nothing);

		vcpu_run_to_end(v);
		vm_free(&vm);
	}
}

TEST(vm_without_vcpu, "VMs made and dropped with chip and slots but no vCPU")
{
	int i;

	for (i = 0; i < 50; i++) {
		struct vm vm;

		vm_init(&vm, i & 1 ? VM_PIT : 0);
		vm_free(&vm);
	}
}

TEST(memory_first, "guest memory unmapped before the VM is closed")
{
	struct vm vm;
	struct vcpu *v = vm_long_mode(&vm, 0, nothing);

	vcpu_run_to_end(v);
	ASSERT(!munmap(vm.mem, MEM_SIZE));
	vm.mem = NULL;
	vm_free(&vm);
}
