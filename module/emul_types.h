/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The only header of the emulator and of the guest walk that knows whether it is built
 * into the module or into a userspace test. Everything else uses these names alone.
 */
#ifndef UMBRA_EMUL_TYPES_H
#define UMBRA_EMUL_TYPES_H

#ifdef __KERNEL__

#include <linux/build_bug.h>
#include <linux/compiler.h>
#include <linux/string.h>
#include <linux/types.h>

#else /* userspace */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)
#define fallthrough	__attribute__((__fallthrough__))

#endif /* __KERNEL__ */

#endif /* UMBRA_EMUL_TYPES_H */
