// SPDX-License-Identifier: GPL-2.0-only
/*
 * How often a guest is left for what it does with its page tables, in each mode. Counts,
 * and never time: what the host itself interrupts is left out.
 */
#include <linux/umbra.h>
#include <sys/prctl.h>

#include "paging_work.h"
#include "vm.h"

/* What may be counted too much: what a batch has before what counts, and a page of ours. */
#define NEAR	0.01
#define BATCH	0.02

/* Exits of an operation: just so many, or up to so many, with how much more. */
struct gate {
	const char *name, *work;
	int mode;
	double least, most;
};

#define IN_HARDWARE(work, n) \
	{ work ", hardware: " #n, work, UMBRA_MMU_HARDWARE, n, (n) + NEAR }
#define IN_LAZY(work, n, slack) \
	{ work ", shadow-lazy: " #n, work, UMBRA_MMU_SHADOW_LAZY, n, (n) + (slack) }
#define IN_EAGER(work, n, slack) \
	{ work ", shadow-eager: " #n, work, UMBRA_MMU_SHADOW_EAGER, n, (n) + (slack) }
#define IN_ALL(work, n) \
	IN_HARDWARE(work, n), IN_LAZY(work, n, NEAR), IN_EAGER(work, n, NEAR)

static const struct gate gates[] = {
	IN_ALL("getpid", 0),
	IN_HARDWARE("getpid_pti", 0),
	IN_LAZY("getpid_pti", 2, NEAR),
	IN_EAGER("getpid_pti", 2, NEAR),
	IN_HARDWARE("ctx_2", 0), IN_LAZY("ctx_2", 1, NEAR), IN_EAGER("ctx_2", 1, NEAR),
	IN_HARDWARE("ctx_8", 0), IN_LAZY("ctx_8", 1, NEAR), IN_EAGER("ctx_8", 1, NEAR),
	IN_HARDWARE("ctx_64", 0), IN_LAZY("ctx_64", 1, NEAR), IN_EAGER("ctx_64", 1, NEAR),
	IN_HARDWARE("fault_true", 0), IN_LAZY("fault_true", 2, BATCH),
	IN_HARDWARE("fault_prot", 0), IN_LAZY("fault_prot", 2, BATCH),
	IN_HARDWARE("pte_store", 0), IN_LAZY("pte_store", 0, BATCH), IN_EAGER("pte_store", 1, BATCH),
	/* The flush is one. */
	IN_HARDWARE("pte_flush", 0), IN_LAZY("pte_flush", 2, BATCH),
	IN_ALL("divzero", 0),
	IN_ALL("io", 1),
	IN_ALL("cpu", 0),
};

static const struct paging_work *find_work(const char *name)
{
	unsigned int i;

	for (i = 0; i < nr_paging_works; i++) {
		if (!strcmp(paging_works[i].name, name))
			return &paging_works[i];
	}
	ASSERT_MSG(false, "no work is called %s", name);
	return NULL;
}

static bool is_hosts(const char *reason)
{
	return !strcmp(reason, "interrupt") || !strcmp(reason, "nmi") ||
	       !strcmp(reason, "spurious");
}

/* All exits that are the guest's. */
static uint64_t count(struct vm *vm)
{
	struct umbra_exit_stats s = { 0 };
	uint64_t n = 0;

	for (; !ioctl(vm->fd, UMBRA_GET_EXIT_STATS, &s); s.reason++) {
		if (!is_hosts(s.name))
			n += s.count;
	}
	return n;
}

TEST_EACH(gates, "exits of ", gates, gate)
{
	const struct paging_work *work = find_work(gate->work);
	struct umbra_info info;
	uint64_t before, ops;
	struct vm vm;
	double n;

	ASSERT(!ioctl(dev_open(), UMBRA_GET_INFO, &info));
	if (!(info.modes >> gate->mode & 1))
		SKIP("this host does not have the mode");
	/* The host makes no large page of what is mapped: it would be mapped anew. */
	ASSERT(!prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0));
	paging_work_begin(&vm, work, gate->mode);
	before = count(&vm);
	paging_work_finish(&vm, work);
	ops = paging_work_ops(&vm, work);
	/* The last says that it is done. */
	n = (double)(count(&vm) - before - 1) / ops;
	EXPECT_MSG(n >= gate->least && n <= gate->most, "%.4f exits each, of %llu", n,
		   (unsigned long long)ops);
	ktap_diag("%.4f", n);
}
