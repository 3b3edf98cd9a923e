// SPDX-License-Identifier: GPL-2.0-only
/*
 * What compilers call by themselves, for code that runs in the guest too: libc's may use what a
 * vCPU has not turned on.
 */
#include <stddef.h>

void *memcpy(void *to, const void *from, size_t n)
{
	void *t = to;

	asm volatile("rep movsb" : "+D"(t), "+S"(from), "+c"(n) : : "memory");
	return to;
}

void *memset(void *to, int c, size_t n)
{
	void *t = to;

	asm volatile("rep stosb" : "+D"(t), "+c"(n) : "a"(c) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
