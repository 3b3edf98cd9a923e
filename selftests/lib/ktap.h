/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A small TAP producer. Every TAP line is one test, and every test runs in a
 * child process of its own: a test that dies or hangs costs its own line only,
 * and the plan is known before the first test starts.
 */
#ifndef SELFTESTS_KTAP_H
#define SELFTESTS_KTAP_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

/* Exit codes of a test program, as kselftest has them. */
enum { KSFT_PASS = 0, KSFT_FAIL = 1, KSFT_SKIP = 4 };

/**
 * struct ktap_test - one test, or one row each of a table of tests
 * @name:    what the TAP line says; for a table it precedes the row's own name
 * @fn:      the test, for a single one
 * @row_fn:  the test, for a table; gets the row
 * @rows:    the table, whose rows begin with a `const char *` that names them
 * @stride:  size of a row in bytes
 * @nr:      rows in the table; 1 for a single test
 * @seconds: time limit at speed 1; 0 means the default
 */
struct ktap_test {
	const char *name;
	void (*fn)(void);
	void (*row_fn)(const void *row);
	const void *rows;
	size_t stride;
	size_t nr;
	unsigned int seconds;
};

/*
 * Does this host's emulator lack @what? scripts/host-tests tells, in HOST_LACKS:
 * what no hypervisor can show there is skipped.
 */
bool host_lacks(const char *what);
/* Skip this test where it does, with the reason that ktap.c has for @what. */
void host_needs(const char *what);

#define KTAP_ENTRY(id)							\
	static const struct ktap_test id				\
	__attribute__((section("ktap_tests"), used, aligned(8)))

/* A test with the default time limit, and one with its own. */
#define TEST(id, text)	TEST_SECONDS(id, text, 0)
#define TEST_SECONDS(id, text, limit)					\
	static void test_##id(void);					\
	KTAP_ENTRY(ktap_##id) = {					\
		.name = text, .fn = test_##id, .nr = 1, .seconds = limit, \
	};								\
	static void test_##id(void)

/* One TAP line for each row of @table; the test gets a pointer to its row. */
#define TEST_EACH(id, text, table, rowvar)				\
	TEST_EACH_SECONDS(id, text, table, rowvar, 0)
#define TEST_EACH_SECONDS(id, text, table, rowvar, limit)		\
	static void test_##id(const __typeof__((table)[0]) *rowvar);	\
	static void row_##id(const void *p) { test_##id(p); }		\
	KTAP_ENTRY(ktap_##id) = {					\
		.name = text, .row_fn = row_##id, .rows = table,	\
		.stride = sizeof((table)[0]), .nr = ARRAY_SIZE(table),	\
		.seconds = limit,					\
	};								\
	static void test_##id(const __typeof__((table)[0]) *rowvar)

void ktap_diag(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void ktap_fail(const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void ktap_skip(const char *fmt, ...)
	__attribute__((format(printf, 1, 2), noreturn));
void ktap_end_now(void) __attribute__((noreturn));
bool ktap_failed(void);
/* Asked at each failure: may the emulator have made it? Then the test runs three times in all. */
extern bool (*ktap_doubts)(void);
long ktap_env(const char *name, long fallback);

/* Note a failure and go on. */
#define EXPECT(cond)							\
	do {								\
		if (!(cond))						\
			ktap_fail(__FILE__, __LINE__, "%s", #cond);	\
	} while (0)

#define EXPECT_MSG(cond, ...)						\
	do {								\
		if (!(cond))						\
			ktap_fail(__FILE__, __LINE__, __VA_ARGS__);	\
	} while (0)

#define EXPECT_EQ(got, want)						\
	do {								\
		unsigned long long g_ = (unsigned long long)(got);	\
		unsigned long long w_ = (unsigned long long)(want);	\
		if (g_ != w_)						\
			ktap_fail(__FILE__, __LINE__,			\
				  "%s is %#llx, wanted %#llx (%s)",	\
				  #got, g_, w_, #want);			\
	} while (0)

/* The system call must fail with just this errno. */
#define EXPECT_ERR(call, want)						\
	do {								\
		long r_ = (call);					\
		int e_ = errno;						\
		if (r_ != -1)						\
			ktap_fail(__FILE__, __LINE__,			\
				  "%s gave %ld, wanted %s",		\
				  #call, r_, #want);			\
		else if (e_ != (want))					\
			ktap_fail(__FILE__, __LINE__,			\
				  "%s: %s, wanted %s",			\
				  #call, strerror(e_), #want);		\
	} while (0)

/* The system call must not fail. */
#define EXPECT_OK(call)							\
	do {								\
		long r_ = (call);					\
		if (r_ < 0)						\
			ktap_fail(__FILE__, __LINE__, "%s: %s",		\
				  #call, strerror(errno));		\
	} while (0)

/* What must hold for the rest of the test to mean anything. */
#define ASSERT(cond)							\
	do {								\
		if (!(cond)) {						\
			ktap_fail(__FILE__, __LINE__, "%s (%s)", #cond,	\
				  strerror(errno));			\
			ktap_end_now();					\
		}							\
	} while (0)

#define ASSERT_MSG(cond, ...)						\
	do {								\
		if (!(cond)) {						\
			ktap_fail(__FILE__, __LINE__, __VA_ARGS__);	\
			ktap_end_now();					\
		}							\
	} while (0)

#define SKIP(...)	ktap_skip(__VA_ARGS__)

#endif
