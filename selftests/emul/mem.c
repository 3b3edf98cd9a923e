// SPDX-License-Identifier: GPL-2.0-only
/*
 * What compilers call by themselves, for code that runs in the guest too: libc's may use what a
 * vCPU has not turned on.
 */
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	void *t = to;

	asm volatile("rep movsq" : "+D"(t), "+S"(from), "+c"(words) : : "memory");
	asm volatile("rep movsb" : "+D"(t), "+S"(from), "+c"(rest) : : "memory");
	return to;
}

void *memset(void *to, int c, size_t n)
{
	size_t words = n / 8, rest = n % 8;
	void *t = to;

	asm volatile("rep stosq" : "+D"(t), "+c"(words)
		     : "a"((unsigned char)c * 0x0101010101010101ul) : "memory");
	asm volatile("rep stosb" : "+D"(t), "+c"(rest) : "a"(c) : "memory");
	return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
	const unsigned char *x = a, *y = b;

	for (; n >= 8 && *(const uint64_t *)x == *(const uint64_t *)y; n -= 8) {
		x += 8;
		y += 8;
	}
	for (; n; n--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}
