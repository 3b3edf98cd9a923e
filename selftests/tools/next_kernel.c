// SPDX-License-Identifier: GPL-2.0-only
/*
 * next_kernel now|crash: have kexec_load(2) take a kernel of one page that says on the
 * first serial line what of VMX the one before has left behind, and ends Bochs. now: go
 * there. crash: a crash will, if there is memory for that (crashkernel=). Exit: 0, or the
 * errno of what failed. For scripts/end-tests: a real kernel takes Bochs minutes, most of
 * them for the checksum that kexec_file_load(2) makes of it.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define IMAGE_PAGES	3
#define FIRST_PAGE	0x100000	/* of those that are looked at, as the code has it */
#define ANYWHERE	0x1000000

extern const unsigned char next_kernel[], next_kernel_end[], next_kernel_limit[];

/*
 * Entered in 64-bit mode with memory mapped one to one, and neither a stack nor an IDT:
 * any exception resets. Pages: the code, a VMXON region, a stack.
 *
 * CR4.VMXE can't be cleared while VMX is on, which kexec itself does on its way here; VMXON
 * says it once more. A VMCS is known by its revision, link pointer and host CS. One that
 * was cleared can't be resumed («VM-instruction error» 5); one that was not would be, and
 * nothing would be said.
 */
asm(	".section .rodata\n"
	".balign 4096\n"
	"next_kernel:\n"
	"	leaq	next_kernel + 3 * 4096(%rip), %rsp\n"
	"	movq	%cr0, %rax\n"
	"	orq	$0x20, %rax\n"			/* NE */
	"	movq	%rax, %cr0\n"
	"	movq	%cr4, %rax\n"
	"	orq	$0x2000, %rax\n"		/* VMXE */
	"	movq	%rax, %cr4\n"
	"	movl	$0x480, %ecx\n"			/* IA32_VMX_BASIC */
	"	rdmsr\n"
	"	andl	$0x7fffffff, %eax\n"
	"	movl	%eax, %ebp\n"
	"	leaq	next_kernel(%rip), %r15\n"
	"	leaq	4096(%r15), %rbx\n"
	"	movl	%ebp, (%rbx)\n"
	"	pushq	%rbx\n"
	"	leaq	still_on(%rip), %rsi\n"
	"	vmxon	(%rsp)\n"
	"	jbe	say\n"

	"	xorl	%r12d, %r12d\n"			/* VMCSs seen */
	"	movl	$0x100000, %ebx\n"
	"1:	cmpq	next_kernel_limit(%rip), %rbx\n"
	"	jae	5f\n"
	"	movq	%rbx, %rax\n"
	"	subq	%r15, %rax\n"
	"	cmpq	$3 * 4096, %rax\n"
	"	jb	4f\n"
	"	cmpl	%ebp, (%rbx)\n"
	"	jne	4f\n"
	"	movq	%rbx, (%rsp)\n"
	"	vmptrld	(%rsp)\n"
	"	jbe	4f\n"
	"	movl	$0x2800, %eax\n"		/* VMCS link pointer */
	"	vmread	%rax, %rcx\n"
	"	jbe	3f\n"
	"	incq	%rcx\n"
	"	jnz	3f\n"
	"	movl	$0x0c02, %eax\n"		/* host CS */
	"	vmread	%rax, %rcx\n"
	"	cmpq	$0x10, %rcx\n"
	"	jne	3f\n"
	"	incl	%r12d\n"
	"	leaq	not_clear(%rip), %rsi\n"
	"	vmresume\n"
	"	jc	say\n"
	"	movl	$0x4400, %eax\n"		/* VM-instruction error */
	"	vmread	%rax, %rcx\n"
	"	cmpq	$5, %rcx\n"
	"	jne	say\n"
	"3:	vmclear	(%rsp)\n"
	"4:	addq	$4096, %rbx\n"
	"	jmp	1b\n"

	"5:	leaq	no_vmcs(%rip), %rsi\n"
	"	testl	%r12d, %r12d\n"
	"	jz	say\n"
	"	leaq	all_clear(%rip), %rsi\n"
	"say:	movb	(%rsi), %bl\n"
	"	testb	%bl, %bl\n"
	"	jz	7f\n"
	"6:	movl	$0x3fd, %edx\n"
	"	inb	%dx, %al\n"
	"	testb	$0x20, %al\n"
	"	jz	6b\n"
	"	movl	$0x3f8, %edx\n"
	"	movb	%bl, %al\n"
	"	outb	%al, %dx\n"
	"	incq	%rsi\n"
	"	jmp	say\n"
	"7:	inb	$0x80, %al\n"			/* until the line has sent it */
	"	movl	$0x3fd, %edx\n"
	"	inb	%dx, %al\n"
	"	testb	$0x40, %al\n"
	"	jz	7b\n"
	/* Bochs's end. */
	"	leaq	shutdown(%rip), %rsi\n"
	"	movl	$8, %ecx\n"
	"	movl	$0x8900, %edx\n"
	"	rep outsb\n"
	"8:	hlt\n"
	"	jmp	8b\n"
	"still_on:	.asciz \"\\r\\nnext kernel: VMX is still on\\r\\n\"\n"
	"not_clear:	.asciz \"\\r\\nnext kernel: VMX is off, a VMCS is not clear\\r\\n\"\n"
	"no_vmcs:	.asciz \"\\r\\nnext kernel: VMX is off, no VMCS found\\r\\n\"\n"
	"all_clear:	.asciz \"\\r\\nnext kernel: VMX is off, its VMCSs are clear\\r\\n\"\n"
	"shutdown:	.ascii \"Shutdown\"\n"
	".balign 8\n"
	"next_kernel_limit:	.quad 0\n"
	"next_kernel_end:\n"
	".text\n");

/* Of the ranges that /proc/iomem calls @name, the last. */
static int find_range(const char *name, uint64_t *start, uint64_t *end)
{
	FILE *f = fopen("/proc/iomem", "re");
	char line[200];
	int found = 0;

	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f)) {
		uint64_t a, b;

		if (!strstr(line, name) || sscanf(line, " %" SCNx64 "-%" SCNx64, &a, &b) != 2)
			continue;
		*start = a;
		*end = b + 1;
		found = 1;
	}
	fclose(f);
	return found;
}

static int failed(const char *what)
{
	int err = errno;

	perror(what);
	return err;
}

int main(int argc, char **argv)
{
	static unsigned char image[4096];
	uint64_t start, end, at = ANYWHERE, unused;
	struct kexec_segment segment = {
		.buf = image, .bufsz = sizeof(image), .memsz = IMAGE_PAGES * sizeof(image),
	};
	unsigned long flags = KEXEC_ARCH_X86_64;
	int crash = argc == 2 && !strcmp(argv[1], "crash");

	if (argc != 2 || (!crash && strcmp(argv[1], "now")))
		return EINVAL;
	if (!find_range("System RAM", &start, &end) || start != FIRST_PAGE)
		return ENODEV;
	if (crash) {
		if (!find_range("Crash kernel", &at, &unused))
			return ENOMEM;
		flags |= KEXEC_ON_CRASH;
	}
	memcpy(image, next_kernel, next_kernel_end - next_kernel);
	memcpy(image + (next_kernel_limit - next_kernel), &end, sizeof(end));
	segment.mem = (void *)at;
	if (syscall(SYS_kexec_load, at, 1UL, &segment, flags))
		return failed("kexec_load");
	if (crash)
		return 0;
	sync();
	syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
	return failed("reboot");
}
