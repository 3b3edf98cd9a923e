// SPDX-License-Identifier: GPL-2.0-only
/*
 * The AMD backend's judge of capability words (module/svm_judge.h), and its ASIDs
 * (module/svm_asid.h) against TLBs that keep everything nobody flushes.
 */
#include <stdlib.h>
#include <string.h>

#include "svm_asid.h"
#include "svm_judge.h"
#include "tap.h"

#define SVME	(1ull << 12)
#define SVMDIS	(1ull << 4)
#define LOCK	(1ull << 3)

static unsigned int judge(unsigned int max, unsigned int ecx, unsigned long long vm_cr,
			  unsigned long long efer)
{
	struct svm_words words = {
		.max_extended = max, .extended_ecx = ecx, .vm_cr = vm_cr, .efer = efer
	};

	return svm_judge(&words);
}

static void words(void)
{
	const unsigned int top = 0x8000001f, svm = 1 << 2, lahf = 1 << 0;
	const unsigned long long lme_lma_nx = 0xd01;

	tap_ok(!judge(top, svm | lahf, 0, lme_lma_nx), "SVM there and free: nothing is missing");
	tap_ok(!judge(0x8000000a, svm, 0, 0), "0x8000000a as the last leaf is enough");
	tap_ok(judge(0x80000009, svm, 0, 0) == UMBRA_MISSING_CPU, "without SVM's own leaf: CPU");
	tap_ok(judge(0, 0, 0, 0) == UMBRA_MISSING_CPU, "no extended leaf at all: CPU");
	tap_ok(judge(top, lahf, 0, lme_lma_nx) == UMBRA_MISSING_CPU, "SVM's bit clear: CPU");
	tap_ok(judge(top, lahf, SVMDIS | LOCK, SVME) == UMBRA_MISSING_CPU,
	       "a CPU without SVM: no other word counts");
	tap_ok(judge(top, svm, SVMDIS | LOCK, lme_lma_nx) == UMBRA_MISSING_FIRMWARE,
	       "VM_CR.SVMDIS and locked: firmware");
	tap_ok(judge(top, svm, SVMDIS, lme_lma_nx) == UMBRA_MISSING_FIRMWARE,
	       "VM_CR.SVMDIS, not locked: firmware");
	tap_ok(!judge(top, svm, LOCK, lme_lma_nx), "VM_CR.LOCK with SVM on: nothing");
	tap_ok(judge(top, svm, 0, lme_lma_nx | SVME) == UMBRA_MISSING_OWNER,
	       "EFER.SVME set: an owner");
}

#define CPUS	3
#define GUESTS	9
#define MAX	7	/* ASIDs a CPU: fewer than guests */
#define STEPS	400000

/* What a CPU has cached under an ASID: whose it is, and how old. */
struct tlb_entry {
	int guest;		/* -1: nothing */
	unsigned int version;
};

static struct tlb_entry tlb[CPUS][MAX + 1];
static struct svm_asid_cpu cpus[CPUS];
static bool online[CPUS];
static struct {
	struct svm_asid asid;
	int cpu;
	unsigned int version;	/* of its tables; grows with each flush that it needs */
} guests[GUESTS];

static void flush_cpu(int cpu)
{
	int i;

	for (i = 0; i <= MAX; i++)
		tlb[cpu][i].guest = -1;
}

/* What svm.c does on the way in; false: the guest could use a stale translation. */
static bool run(int guest, int cpu, bool by_asid)
{
	struct svm_asid *asid = &guests[guest].asid;
	struct tlb_entry *e;

	if (guests[guest].cpu != cpu) {
		guests[guest].cpu = cpu;
		svm_asid_moved(asid);
	}
	switch (svm_asid_choose(&cpus[cpu], asid, by_asid)) {
	case SVM_ASID_FLUSH_ALL:
		flush_cpu(cpu);
		break;
	case SVM_ASID_FLUSH_THIS:
		tlb[cpu][asid->asid].guest = -1;
		break;
	case SVM_ASID_FLUSH_NONE:
		break;
	}
	if (asid->asid < 1 || asid->asid > MAX)
		return false;
	e = &tlb[cpu][asid->asid];
	if (e->guest >= 0 && (e->guest != guest || e->version != guests[guest].version))
		return false;
	e->guest = guest;
	e->version = guests[guest].version;
	return true;
}

static void model(bool by_asid, unsigned int seed)
{
	unsigned int i, bad = 0, runs = 0;

	srand(seed);
	memset(cpus, 0, sizeof(cpus));
	memset(guests, 0, sizeof(guests));
	for (i = 0; i < CPUS; i++) {
		flush_cpu(i);
		svm_asid_cpu_on(&cpus[i], MAX);
		online[i] = true;
	}
	for (i = 0; i < GUESTS; i++)
		guests[i].cpu = -1;
	for (i = 0; i < STEPS; i++) {
		int guest = rand() % GUESTS, cpu = rand() % CPUS;

		switch (rand() % 16) {
		case 0:			/* hotplug; the TLB keeps what it has */
			if (!online[cpu])
				svm_asid_cpu_on(&cpus[cpu], MAX);
			online[cpu] = !online[cpu];
			break;
		case 1: case 2: case 3:
			guests[guest].version++;
			guests[guest].asid.flush = true;
			break;
		default:
			if (guests[guest].cpu >= 0 && rand() % 4)
				cpu = guests[guest].cpu;
			if (!online[cpu])
				break;
			runs++;
			bad += !run(guest, cpu, by_asid);
		}
	}
	tap_ok(runs > STEPS / 4 && !bad, "%u runs, flush %s: no stale translation", runs,
	       by_asid ? "by ASID" : "of all");
}

int main(void)
{
	unsigned int i;

	tap_begin();
	words();
	for (i = 1; i <= 4; i++) {
		model(false, i);
		model(true, i);
	}
	return tap_end();
}
