/* SPDX-License-Identifier: GPL-2.0-only */
/* Kernel images: what kind, and what must be loaded where. Pure: bytes in, facts out. */
#ifndef UMBRA_IMAGE_H
#define UMBRA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <asm/bootparam.h>

#define IMAGE_MAX_SEGMENTS	16

/** struct image_segment - @filesz bytes at @offset in the file go to @gpa; zeros up to @memsz */
struct image_segment {
	uint64_t gpa;
	uint64_t offset;
	uint64_t filesz;
	uint64_t memsz;
};

/**
 * struct image - a kernel, understood
 * @setup: the setup header to hand on in the zero page
 * @entry: guest-physical address of its entry point
 * @narrow: that is entered in protected mode with paging off: a 32-bit kernel's
 * @top: first address above all that the kernel touches before it reads the E820 map
 */
struct image {
	struct setup_header setup;
	struct image_segment segment[IMAGE_MAX_SEGMENTS];
	unsigned int segments;
	uint64_t entry;
	bool narrow;
	uint64_t top;
};

/**
 * image_parse() - understand a bzImage or a vmlinux
 * @data: the file's bytes; they may be anything
 * @size: their number
 * @img: filled on success
 *
 * Return: NULL, or what is wrong with the file, as the end of a sentence that
 * begins with its name.
 */
const char *image_parse(const void *data, size_t size, struct image *img);

#endif
