/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The option ROM by which an emulated PC of Bochs starts its kernel. The BIOS
 * calls it once it has set the machine up, and it never returns. The kernel,
 * unpacked, and its initial RAM disk stand on an ATA disk of their own; a block
 * that lab/boot-disk and lab/bochs.py wrote is in memory: the kernel's zero page,
 * its command line, where what belongs, and page tables that map the first GiB
 * onto itself. A second call is a reset: the machine is switched off instead.
 */
	.set	BLOCK, 0x300000			/* as in lab/boot-disk */
	.set	KERNEL_RUNS, BLOCK + 0x1ff0	/* of RUN sectors */
	.set	INITRD_RUNS, BLOCK + 0x1ff4
	.set	ENTRY, BLOCK + 0x1ff8
	.set	TABLES, BLOCK + 0x2000

	.set	ZERO_PAGE_ENTRIES, 0x1e8	/* boot_params.e820_entries */
	.set	ZERO_PAGE_MAP, 0x2d0		/* boot_params.e820_table */
	.set	ZERO_PAGE_INITRD, 0x218		/* boot_params.hdr.ramdisk_image */
	.set	KERNEL, 0x1000000		/* where Debian's is linked to run */
	.set	MAP, 0x8000			/* where we let the BIOS write it */
	.set	STACK, MAP
	.set	MAP_ENTRY, 20
	.set	MAP_MAX, 128

	.set	ATA_DATA, 0x1e8			/* the third channel */
	.set	ATA_COUNT, ATA_DATA + 2
	.set	ATA_COMMAND, ATA_DATA + 7	/* reads: status */
	.set	ATA_CONTROL, 0x3e6
	.set	RUN, 256			/* sectors a command */
	.set	SECTOR, 512

	.set	CMOS_INDEX, 0x70
	.set	CMOS_DATA, 0x71
	.set	CMOS_STARTED, 0x7e		/* a byte that nobody else uses */
	.set	STARTED, 0xa5
	.set	SWITCH_OFF, 0x8900		/* Bochs: takes the word "Shutdown" */

	.set	CODE32, 8
	.set	CODE64, 0x10			/* what the boot protocol wants */
	.set	DATA, 0x18

	.text
	.code16
	.globl	_start
_start:
	.byte	0x55, 0xaa, 1			/* an option ROM of one sector */
	cli
	cld
	mov	$CMOS_STARTED, %al
	out	%al, $CMOS_INDEX
	in	$CMOS_DATA, %al
	cmp	$STARTED, %al
	je	off
	mov	$STARTED, %al
	out	%al, $CMOS_DATA
	xor	%ax, %ax
	mov	%ax, %es
	mov	$MAP, %di
	xor	%ebx, %ebx
1:	mov	$0xe820, %eax
	mov	$0x534d4150, %edx		/* "SMAP" */
	mov	$MAP_ENTRY, %ecx
	int	$0x15
	jc	2f
	add	$MAP_ENTRY, %di
	cmp	$(MAP + MAP_MAX * MAP_ENTRY), %di
	jae	2f
	test	%ebx, %ebx
	jnz	1b
2:	cli
	in	$0x92, %al			/* A20 */
	or	$2, %al
	out	%al, $0x92
	lgdtl	%cs:(gdt_pointer - _start)
	mov	%cr0, %eax
	or	$1, %al
	mov	%eax, %cr0
	ljmpl	$CODE32, $protected

off:
	mov	$(word - _start), %si
	mov	$SWITCH_OFF, %dx
	mov	$(off_end - word), %cx
	cs rep outsb
	hlt
word:
	.ascii	"Shutdown"
off_end:

	.code32
protected:
	mov	$DATA, %eax
	mov	%eax, %ds
	mov	%eax, %es
	mov	%eax, %ss
	mov	$STACK, %esp
	movzwl	%di, %ecx
	sub	$MAP, %ecx
	mov	$MAP, %esi
	mov	$(BLOCK + ZERO_PAGE_MAP), %edi
	mov	%ecx, %eax
	rep movsb
	mov	$MAP_ENTRY, %cl
	div	%cl
	mov	%al, BLOCK + ZERO_PAGE_ENTRIES

	mov	$(ATA_CONTROL), %edx
	mov	$2, %al				/* no interrupts */
	out	%al, %dx
	xor	%ebx, %ebx
	mov	$KERNEL, %edi
	mov	KERNEL_RUNS, %ebp
	call	read_disk
	mov	BLOCK + ZERO_PAGE_INITRD, %edi
	mov	INITRD_RUNS, %ebp
	call	read_disk

	mov	%cr4, %eax
	or	$(1 << 5), %eax			/* PAE */
	mov	%eax, %cr4
	mov	$TABLES, %eax
	mov	%eax, %cr3
	mov	$0xc0000080, %ecx		/* EFER.LME */
	rdmsr
	or	$(1 << 8), %eax
	wrmsr
	mov	%cr0, %eax
	or	$(1 << 31), %eax
	mov	%eax, %cr0
	ljmpl	$CODE64, $long

/* Read %ebp runs of sectors from sector %ebx on to %edi; both move on. */
read_disk:
	mov	$ATA_COUNT, %edx
	xor	%eax, %eax			/* 0: 256 */
	out	%al, %dx
	mov	%ebx, %eax
	mov	$3, %ecx
1:	inc	%edx				/* bits 0 to 23 of the sector */
	out	%al, %dx
	shr	$8, %eax
	loop	1b
	or	$0xe0, %al			/* the first disk, LBA */
	inc	%edx
	out	%al, %dx
	inc	%edx
	mov	$0x20, %al			/* READ SECTORS */
	out	%al, %dx
	mov	$RUN, %esi
2:	mov	$ATA_COMMAND, %edx
3:	in	%dx, %al
	test	$0x80, %al			/* busy */
	jnz	3b
	test	$0x08, %al			/* has data */
	jz	3b
	mov	$ATA_DATA, %edx
	mov	$(SECTOR / 2), %ecx
	rep insw
	dec	%esi
	jnz	2b
	add	$RUN, %ebx
	dec	%ebp
	jnz	read_disk
	ret

	.code64
long:
	mov	$BLOCK, %esi
	jmp	*ENTRY

	.balign	8
gdt:
	.quad	0
	.quad	0x00cf9a000000ffff
	.quad	0x00af9a000000ffff
	.quad	0x00cf92000000ffff
gdt_pointer:
	.word	. - gdt - 1
	.long	gdt

	.org	511
	.byte	0				/* lab/prepare makes the sum zero */
