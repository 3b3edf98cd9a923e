/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * mmu/oracle: lists of accesses and of changes of page tables, what a CPU may make of
 * them, and machines that run them.
 */
#ifndef ORACLE_H
#define ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "layout.h"

enum paging { PAGING_OFF, PAGING_32, PAGING_PAE, PAGING_4, PAGING_5, NR_PAGING };
extern const char *const paging_name[NR_PAGING];

#define MAX_CPUS	2
#define MAX_OPS		1024
#define MAX_LEVELS	5
#define NR_FRAMES	(2 * DATA_FRAMES)

/**
 * struct op - one thing that the guest does; the stub reads it
 * @addr: linear; of OP_CONTROL: CR0
 * @value: to write; of OP_CONTROL: CR4
 * @more: OP_CONTROL: EFER; OP_SPIN: the turn to wait for
 * @kind: OP_*
 * @ac: RFLAGS.AC is set; of OP_CONTROL: CR4 stays as it is
 */
struct op {
	uint64_t addr, value, more;
	uint8_t kind, ac, pad[6];
};

/**
 * struct result - what came of it; the stub writes it
 * @vector: 0xffff: no exception
 */
struct result {
	uint64_t data, cr2;
	uint32_t vector, error;
	uint64_t pad;
};

/* What the guest's CPU has. */
struct features {
	uint8_t maxphyaddr;
	bool nx, smep, smap, pku, la57, gbpages;
	bool two_cpus;		/* the host can run two vCPUs at once */
	bool marks_pdptes;	/* its walk sets A in PDPTEs, where it is reserved: QEMU's */
};

/* ------------------------------ the model ------------------------------ */

/* Of a table only some entries are ever used, so that accesses meet. */
#define SLOTS		4
#define MAX_OLD		3
#define MAX_FLUSHED	16

/* What something was until @time. */
struct old {
	uint64_t value;
	uint32_t time;
};

/**
 * struct entry - of a page table
 * @value: what it is; of @unsure bits nobody knows
 * @old: what a CPU may still have of it
 */
struct entry {
	uint64_t value, unsure;
	unsigned int nr_old;
	struct old old[MAX_OLD];
};

/**
 * struct cpu - its registers, and when it has last forgotten what
 * @all: everything
 * @local: everything but what is global
 * @flushed: by INVLPG; the oldest are lost
 */
struct cpu {
	uint64_t cr0, cr3, cr4, efer;
	uint32_t pkru;
	uint32_t all, local;
	unsigned int nr_flushed, nr_old_roots;
	struct old flushed[MAX_FLUSHED], old_root[MAX_OLD];
};

/* A frame's word; with @two it may be @other as well. */
struct word {
	uint32_t value, other;
	bool two;
};

struct model {
	const struct features *have;
	enum paging paging;
	uint32_t time;
	struct cpu cpu[MAX_CPUS];
	struct entry entry[NR_TABLES][SLOTS];
	uint64_t pdpte[NR_TABLES][4];	/* PAE: what a root has, never changed */
	struct word word[NR_FRAMES];
};

/* Ends of an access. Its page: a frame, or NR_FRAMES and more: a table. */
struct outcome {
	uint32_t vector, error;
	uint64_t cr2;
	unsigned int frame;
};

/* A walk's step: an entry as it is now, and its level. */
struct step {
	uint8_t table, slot, level;
};

#define MAX_OUTCOMES	64
#define MAX_STEPS	64

/**
 * struct outcomes - all that an access may end in
 * @ways: combinations of entries; with one there is no doubt
 * @bad: one leads to what is no memory, or there are too many
 * @steps: entries that were walked and are in force
 * @level: one way: where it ended
 * @rights: one way: ORACLE_W, _U, _X on the way there
 */
struct outcomes {
	unsigned int nr, ways, nr_steps;
	bool bad, bad_exec;
	uint8_t level, rights;
	struct outcome outcome[MAX_OUTCOMES];
	struct step step[MAX_STEPS];
};

#define ORACLE_W	1
#define ORACLE_U	2
#define ORACLE_X	4

/* What the code in a frame tells, and its word at the begin; as an entry it is not present. */
static inline uint32_t frame_tag(unsigned int frame)
{
	return frame << 8;
}

unsigned int paging_levels(enum paging paging);
unsigned int entry_size(enum paging paging);
/* Index in a table of @slot. */
unsigned int slot_index(enum paging paging, unsigned int slot);
uint64_t entry_gpa(enum paging paging, unsigned int table, unsigned int slot);
bool is_access(unsigned int kind);
/* What an access of @kind at @addr by @cpu may end in. */
void model_access(const struct model *m, unsigned int cpu, const struct op *op,
		  struct outcomes *out);
/* Do the rights of the tables refuse an access? */
bool model_denied(const struct cpu *cpu, unsigned int kind, bool ac, unsigned int rights);
/* It was done: its effect. @result NULL: nobody knows what came of it; false: that can't be. */
bool model_op(struct model *m, unsigned int cpu, const struct op *op, const struct result *result,
	      struct outcomes *out);
/* May another change of the entry be remembered? */
bool model_can_change(const struct model *m, unsigned int table, unsigned int slot);

/* ------------------------------ scripts ------------------------------ */

/**
 * struct script - some address spaces, and what is done in them
 * @start: the model before it
 * @cpus: how many take part
 * @cpu: who does the op of that number, in the order of time
 * @op: what each does; of @nr
 * @accesses: of all
 */
struct script {
	struct model start;
	unsigned int cpus, steps, accesses;
	uint8_t cpu[MAX_CPUS * MAX_OPS];
	unsigned int nr[MAX_CPUS];
	struct op op[MAX_CPUS][MAX_OPS];
};

void script_make(struct script *s, const struct features *have, uint64_t seed, uint64_t number);

/* ------------------------------ what was covered ------------------------------ */

void cover(const struct model *m, const struct op *op, const struct outcomes *out);
/* Print the table; how many cells are empty that need not be. */
unsigned int cover_print(const struct features *have);

/* ------------------------------ machines ------------------------------ */

struct machine;

/* Bits 1 << UMBRA_MMU_* of the modes that the device has; 0: it is not Umbra's. */
uint32_t machine_modes(void);
/* A VM of that mode (UMBRA_MMU_*). */
struct machine *machine_new(uint32_t mode);
void machine_free(struct machine *mc);
void machine_features(struct features *have);
/* From now on it goes among @modes, two or more, at random, while it runs. */
void machine_switch(struct machine *mc, uint32_t modes);
/* How often it has. */
unsigned long machine_switches(const struct machine *mc);
/* Run it; false: the guest was lost, and the machine with it. */
bool machine_run(struct machine *mc, const struct script *s);
const struct result *machine_result(const struct machine *mc, unsigned int cpu, unsigned int i);
/* The bytes of guest memory at @gpa. */
const void *machine_memory(const struct machine *mc, uint64_t gpa);

/* ------------------------------ judges ------------------------------ */

/**
 * struct judge - of the results of one kind of machine
 * @name: for reports, which are printed
 * @lacks_p: its CPU may leave P out of the error code for a reserved bit
 * @differences: how many there were
 */
struct judge {
	const char *name;
	bool lacks_p;
	unsigned long differences;
};

/* What @mc has made of @s, the script of that @number; if @covering, note what it covers. */
void judge(struct judge *j, const struct machine *mc, const struct script *s, uint64_t number,
	   bool covering);
/* The guest was lost. */
void judge_lost(struct judge *j, const struct script *s, uint64_t number);

#endif
