// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>

#include "model.h"

#define MODEL_ANSWER	0x8877665544332211ull

static struct model *to_model(struct umbra_emul *e)
{
	return (struct model *)((char *)e - offsetof(struct model, e));
}

static int model_pf(struct umbra_emul *e, u64 la, u32 code)
{
	e->exception.vector = 14;
	e->exception.has_error_code = true;
	e->exception.error_code = code;
	e->exception.cr2 = la;
	return UMBRA_EMUL_FAULT;
}

static struct model_region *find(struct model *m, u64 la)
{
	unsigned int i;

	for (i = 0; i < m->nr_regions; i++)
		if (la - m->region[i].la < m->region[i].size)
			return &m->region[i];
	return NULL;
}

static u32 pf_code(const struct umbra_emul *e, unsigned int acc)
{
	bool user = e->cpl == 3 && !(acc & EMUL_ACC_SYSTEM);

	return ((acc & EMUL_ACC_WRITE) ? 2 : 0) | (user ? 4 : 0);
}

static void count_access(struct model *m, unsigned int acc)
{
	if (acc & EMUL_ACC_OPERAND)
		m->nr_operand++;
	else
		m->nr_other++;
}

/* Translate: every byte must be mapped, and writable where that is asked. */
static int check(struct model *m, u64 la, unsigned int n, unsigned int acc)
{
	unsigned int i;

	for (i = 0; i < n; i++) {
		struct model_region *r = find(m, la + i);

		if (!r)
			return model_pf(&m->e, la + i, pf_code(&m->e, acc));
		if ((acc & EMUL_ACC_WRITE) && (r->how & MODEL_RO))
			return model_pf(&m->e, la + i, pf_code(&m->e, acc) | 1);
	}
	return UMBRA_EMUL_OK;
}

static void log_access(struct model *m, bool write, u64 la, const void *buf, u32 n)
{
	struct model_access *a;

	if (m->nr_log == sizeof(m->log) / sizeof(m->log[0]))
		abort();
	a = &m->log[m->nr_log++];
	a->write = write;
	a->la = la;
	a->size = n;
	a->val = 0;
	memcpy(&a->val, buf, n < 8 ? n : 8);
}

/* A device read is answered from what userspace gave in this unit, else asked for. */
static int mmio_read(struct model *m, u64 la, void *buf, unsigned int n)
{
	if (m->replay_step != m->e.step) {
		m->replay_step = m->e.step;
		m->nr_answers = 0;
		m->replayed = 0;
	}
	memset(buf, 0x5a, n);
	if (!m->mmio_direct && m->replayed == m->nr_answers) {
		m->want_la = la;
		m->want_size = n;
		return UMBRA_EMUL_IO;
	}
	if (m->mmio_direct)
		m->answer[m->replayed & 7] = MODEL_ANSWER;
	memcpy(buf, &m->answer[m->replayed++ & 7], n < 8 ? n : 8);
	/* Answers given again are not the device's business. */
	if (m->mmio_direct || m->replayed == m->nr_answers)
		log_access(m, false, la, buf, n);
	return UMBRA_EMUL_OK;
}

static int model_read(struct umbra_emul *e, u64 la, void *buf, unsigned int n, unsigned int acc)
{
	struct model *m = to_model(e);
	struct model_region *r = find(m, la);
	unsigned int i;
	int err = check(m, la, n, acc);

	count_access(m, acc);
	if (err)
		return err;
	if (r->how & MODEL_MMIO)
		return mmio_read(m, la, buf, n);
	for (i = 0; i < n; i++) {
		r = find(m, la + i);
		((u8 *)buf)[i] = r->mem[la + i - r->la];
	}
	return UMBRA_EMUL_OK;
}

static int model_write(struct umbra_emul *e, u64 la, const void *buf, unsigned int n,
		       unsigned int acc)
{
	struct model *m = to_model(e);
	struct model_region *r = find(m, la);
	unsigned int i;
	int err = check(m, la, n, acc | EMUL_ACC_WRITE);

	count_access(m, acc);
	if (err)
		return err;
	m->write_cpl = (acc & EMUL_ACC_SYSTEM) ? 0 : e->cpl;
	if (r->how & MODEL_MMIO) {
		log_access(m, true, la, buf, n);
		if (m->stop_after && m->nr_log >= m->stop_after)
			e->stop_rep = true;
		return UMBRA_EMUL_OK;
	}
	for (i = 0; i < n; i++) {
		r = find(m, la + i);
		r->mem[la + i - r->la] = ((const u8 *)buf)[i];
	}
	return UMBRA_EMUL_OK;
}

static int model_probe(struct umbra_emul *e, u64 la, unsigned int n, unsigned int acc, bool *ram)
{
	struct model *m = to_model(e);
	int err = check(m, la, n, acc);

	m->nr_probe++;
	if ((la & 4095) + n > 4096)
		abort();
	*ram = !err && !(find(m, la)->how & MODEL_MMIO);
	return err;
}

static int model_cmpxchg(struct umbra_emul *e, u64 la, void *old, const void *new,
			 unsigned int n, unsigned int acc)
{
	struct model *m = to_model(e);
	u8 now[16];
	int err;

	m->nr_cmpxchg++;
	err = check(m, la, n, acc);
	if (err)
		return err;
	if (find(m, la)->how & MODEL_MMIO)
		return model_write(e, la, new, n, acc);
	model_read(e, la, now, n, acc);
	if (m->cmpxchg_lose) {
		/* Another CPU was faster. */
		m->cmpxchg_lose--;
		now[0] ^= 1;
		model_write(e, la, now, n, acc);
	}
	if (memcmp(now, old, n)) {
		memcpy(old, now, n);
		return UMBRA_EMUL_OK;
	}
	return model_write(e, la, new, n, acc);
}

static int model_fetch(struct umbra_emul *e, u64 la, void *buf, unsigned int n)
{
	struct model *m = to_model(e);
	struct model_region *r = find(m, la);

	if ((la & 4095) + n > 4096)
		abort();
	m->nr_fetch++;
	m->fetch_bytes += n;
	if (!r || (r->how & MODEL_NOEXEC))
		return model_pf(e, la, 0x10 | pf_code(e, 0));
	return model_read(e, la, buf, n, 0);
}

static int model_in(struct umbra_emul *e, u16 port, unsigned int size, void *buf,
		    unsigned int count)
{
	struct model *m = to_model(e);
	unsigned int i;

	m->port = port;
	m->pio_size = size;
	m->pio_count = count;
	if (m->pio_user && !m->pio_ready)
		return UMBRA_EMUL_IO;
	m->pio_ready = false;
	m->nr_in++;
	m->in_items += count;
	for (i = 0; i < size * count; i++)
		((u8 *)buf)[i] = m->pio_next++;
	return UMBRA_EMUL_OK;
}

static int model_out(struct umbra_emul *e, u16 port, unsigned int size, const void *buf,
		     unsigned int count)
{
	struct model *m = to_model(e);

	m->port = port;
	m->pio_size = size;
	m->pio_count = count;
	m->nr_out++;
	memcpy(m->pio_data, buf, size * count);
	return UMBRA_EMUL_OK;
}

static void model_get_seg(struct umbra_emul *e, unsigned int nr, struct umbra_emul_seg *seg)
{
	*seg = to_model(e)->seg[nr];
}

static int model_set_seg(struct umbra_emul *e, unsigned int nr, const struct umbra_emul_seg *seg)
{
	to_model(e)->seg[nr] = *seg;
	to_model(e)->nr_tr += nr == EMUL_TR;
	return UMBRA_EMUL_OK;
}

static u64 model_get_cr(struct umbra_emul *e, unsigned int nr)
{
	return to_model(e)->cr[nr];
}

static int model_set_cr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	to_model(e)->cr[nr] = val;
	return UMBRA_EMUL_OK;
}

static u64 model_get_dr(struct umbra_emul *e, unsigned int nr)
{
	return to_model(e)->dr[nr];
}

static int model_set_dr(struct umbra_emul *e, unsigned int nr, u64 val)
{
	to_model(e)->dr[nr] = val;
	return UMBRA_EMUL_OK;
}

static u64 *find_msr(struct model *m, u32 index)
{
	unsigned int i;

	for (i = 0; i < m->nr_msrs; i++)
		if (m->msr[i].index == index)
			return &m->msr[i].val;
	return &m->msr_val;
}

void model_msr(struct model *m, u32 index, u64 val)
{
	u64 *p = find_msr(m, index);

	if (p == &m->msr_val) {
		if (m->nr_msrs == sizeof(m->msr) / sizeof(m->msr[0]))
			abort();
		m->msr[m->nr_msrs].index = index;
		p = &m->msr[m->nr_msrs++].val;
	}
	*p = val;
}

u64 model_get_msr(const struct model *m, u32 index)
{
	return *find_msr((struct model *)m, index);
}

static int model_rdmsr(struct umbra_emul *e, u32 index, u64 *val)
{
	to_model(e)->msr_index = index;
	*val = *find_msr(to_model(e), index);
	return UMBRA_EMUL_OK;
}

static int model_wrmsr(struct umbra_emul *e, u32 index, u64 val)
{
	to_model(e)->msr_index = index;
	*find_msr(to_model(e), index) = val;
	return UMBRA_EMUL_OK;
}

static u32 model_get_pkru(struct umbra_emul *e)
{
	return to_model(e)->pkru;
}

static void model_set_pkru(struct umbra_emul *e, u32 val)
{
	to_model(e)->pkru = val;
}

static int model_get_fpu(struct umbra_emul *e, u8 *image)
{
	if (to_model(e)->no_vector)
		return UMBRA_EMUL_UNHANDLEABLE;
	memcpy(image, to_model(e)->fpu, 512);
	return UMBRA_EMUL_OK;
}

static int model_set_fpu(struct umbra_emul *e, const u8 *image)
{
	if (to_model(e)->no_vector)
		return UMBRA_EMUL_UNHANDLEABLE;
	memcpy(to_model(e)->fpu, image, 512);
	return UMBRA_EMUL_OK;
}

static u64 model_get_xcr0(struct umbra_emul *e)
{
	return to_model(e)->xcr0;
}

static int model_get_xinuse(struct umbra_emul *e, u64 *val)
{
	if (to_model(e)->no_vector)
		return UMBRA_EMUL_UNHANDLEABLE;
	*val = to_model(e)->xcr0 & 5;
	return UMBRA_EMUL_OK;
}

static int model_set_xcr0(struct umbra_emul *e, u64 val)
{
	to_model(e)->xcr0 = val;
	return UMBRA_EMUL_OK;
}

static bool model_cpu_has(struct umbra_emul *e, enum umbra_emul_cpu feature)
{
	return !((to_model(e)->lacks >> feature) & 1);
}

static int model_invpcid(struct umbra_emul *e, unsigned int type, u16 pcid, u64 la)
{
	to_model(e)->nr_invpcid++;
	to_model(e)->invpcid_type = type;
	to_model(e)->invpcid_pcid = pcid;
	to_model(e)->invpcid_la = la;
	return UMBRA_EMUL_OK;
}

static int model_rdpmc(struct umbra_emul *e, u32 index, u64 *val)
{
	(void)e;
	*val = 0x9900000000ull + index;
	return UMBRA_EMUL_OK;
}

static int model_hypercall(struct umbra_emul *e)
{
	to_model(e)->nr_hypercall++;
	e->gpr[EMUL_RAX] = 0x4321;
	return UMBRA_EMUL_OK;
}

static void model_nmi_unmask(struct umbra_emul *e)
{
	to_model(e)->nr_nmi_unmask++;
}

static int model_cpuid(struct umbra_emul *e, u32 regs[4])
{
	(void)e;
	regs[0] += 0x10;
	regs[1] = 0x20;
	regs[2] += 0x30;
	regs[3] = 0x40;
	return UMBRA_EMUL_OK;
}

static void model_get_dtable(struct umbra_emul *e, unsigned int nr, struct umbra_emul_dtable *dt)
{
	*dt = to_model(e)->dt[nr];
}

static int model_set_dtable(struct umbra_emul *e, unsigned int nr,
			    const struct umbra_emul_dtable *dt)
{
	to_model(e)->dt[nr] = *dt;
	return UMBRA_EMUL_OK;
}

static u64 model_tsc(struct umbra_emul *e, u32 *aux)
{
	(void)e;
	*aux = 0x77;
	return 0x1122334455667788ull;
}

static int model_get_xmm(struct umbra_emul *e, unsigned int reg, void *buf, unsigned int n)
{
	if (to_model(e)->no_vector)
		return UMBRA_EMUL_UNHANDLEABLE;
	memcpy(buf, to_model(e)->xmm[reg], n);
	return UMBRA_EMUL_OK;
}

static int model_set_xmm(struct umbra_emul *e, unsigned int reg, const void *buf, unsigned int n)
{
	if (to_model(e)->no_vector)
		return UMBRA_EMUL_UNHANDLEABLE;
	if (reg > 15)
		abort();
	memcpy(to_model(e)->xmm[reg], buf, n);
	return UMBRA_EMUL_OK;
}

static int model_hlt(struct umbra_emul *e)
{
	to_model(e)->nr_hlt++;
	return UMBRA_EMUL_OK;
}

static int model_wbinvd(struct umbra_emul *e)
{
	to_model(e)->nr_wbinvd++;
	return UMBRA_EMUL_OK;
}

static int model_invlpg(struct umbra_emul *e, u64 la)
{
	to_model(e)->nr_invlpg++;
	to_model(e)->invlpg_la = la;
	return UMBRA_EMUL_OK;
}

const struct umbra_emul_ops model_ops = {
	.fetch = model_fetch,
	.read_mem = model_read,
	.write_mem = model_write,
	.probe = model_probe,
	.cmpxchg_mem = model_cmpxchg,
	.pio_in = model_in,
	.pio_out = model_out,
	.get_seg = model_get_seg,
	.set_seg = model_set_seg,
	.get_cr = model_get_cr,
	.set_cr = model_set_cr,
	.get_dr = model_get_dr,
	.set_dr = model_set_dr,
	.rdmsr = model_rdmsr,
	.wrmsr = model_wrmsr,
	.get_msr = model_rdmsr,
	.set_msr = model_wrmsr,
	.cpuid = model_cpuid,
	.get_dtable = model_get_dtable,
	.set_dtable = model_set_dtable,
	.tsc = model_tsc,
	.get_xmm = model_get_xmm,
	.set_xmm = model_set_xmm,
	.hlt = model_hlt,
	.wbinvd = model_wbinvd,
	.invlpg = model_invlpg,
	.get_fpu = model_get_fpu,
	.set_fpu = model_set_fpu,
	.get_xcr0 = model_get_xcr0,
	.get_xinuse = model_get_xinuse,
	.set_xcr0 = model_set_xcr0,
	.get_pkru = model_get_pkru,
	.set_pkru = model_set_pkru,
	.cpu_has = model_cpu_has,
	.invpcid = model_invpcid,
	.rdpmc = model_rdpmc,
	.hypercall = model_hypercall,
	.nmi_unmask = model_nmi_unmask,
};

/* An Intel CPU with everything. Flat segments of the mode, supervisor, SSE on, rSP at 0x8000, code at 0x1000. */
void model_init(struct model *m, unsigned int mode)
{
	bool prot = mode >= UMBRA_EMUL_PROT16;
	unsigned int i;

	memset(m, 0, sizeof(*m));
	m->e.ops = &model_ops;
	m->e.mode = mode;
	m->e.la_bits = 48;
	m->lacks = 1ull << UMBRA_CPU_AMD;
	m->xcr0 = 7;
	memcpy(m->fpu, "\x7f\x03", 2);		/* FNINIT's control word, MXCSR's reset value */
	memcpy(m->fpu + 24, "\x80\x1f", 2);
	m->e.cpl = mode == UMBRA_EMUL_VM86 ? 3 : 0;
	m->e.rflags = 2;
	m->e.rip = 0x1000;
	m->e.gpr[EMUL_RSP] = 0x8000;
	m->cr[0] = prot ? 1 : 0;
	m->cr[4] = 1 << 9;
	for (i = 0; i <= EMUL_GS; i++) {
		m->seg[i].limit = prot ? 0xffffffff : 0xffff;
		m->seg[i].attr = EMUL_SEG_P | EMUL_SEG_S | 3;
		if (mode >= UMBRA_EMUL_PROT32)
			m->seg[i].attr |= EMUL_SEG_DB | EMUL_SEG_G;
	}
	m->seg[EMUL_CS].attr |= EMUL_SEG_CODE;
}

void model_map(struct model *m, u64 la, void *mem, u32 size, u32 how)
{
	struct model_region *r;

	if (m->nr_regions == MODEL_REGIONS)
		abort();
	r = &m->region[m->nr_regions++];
	r->la = la;
	r->mem = mem;
	r->size = size;
	r->how = how;
}

/* Execute, and answer each read that needs userspace, as a VMM would. */
int model_execute(struct model *m)
{
	int r, rounds = 0;

	for (;;) {
		m->replayed = 0;
		r = umbra_emul_execute(&m->e);
		if (r != UMBRA_EMUL_IO)
			return r;
		if (rounds++ > 8)
			abort();
		if (m->pio_user)
			m->pio_ready = true;
		else
			m->answer[m->nr_answers++ & 7] = MODEL_ANSWER;
	}
}

int model_run(struct model *m, const void *code, unsigned int n)
{
	int r = umbra_emul_decode(&m->e, code, n);

	return r ? r : model_execute(m);
}
