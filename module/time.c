// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guest time: TSC offsets and rates, and the clock pages of KVM's paravirtual clock.
 *
 * The clock behind the pages is the host's raw monotonic clock plus the time it
 * spent suspended, so that no NTP correction on the host bends a guest's rate.
 */
#include <linux/srcu.h>
#include <linux/timekeeping.h>

#include <asm/pvclock-abi.h>
#include <asm/tsc.h>

#include "backend.h"
#include "clockmath.h"
#include "irq.h"
#include "umbra.h"

#define SYSTEM_TIME_ENABLE	BIT_ULL(0)

#define CLOCK_READINGS		3

/* One instant by all of the host's clocks. */
struct host_time {
	u64 tsc, ns, real;
	bool by_tsc;		/* @ns comes from that very @tsc */
};

/* One reading, between two of the TSC: how far that went meanwhile. */
static u64 read_clocks(struct host_time *t)
{
	struct system_time_snapshot snap;
	unsigned long flags;
	u64 before, after;

	local_irq_save(flags);
	before = rdtsc_ordered();
	ktime_get_snapshot(&snap);
	after = rdtsc_ordered();
	local_irq_restore(flags);

	/* A clocksource that counted between two readings of the TSC is the TSC. */
	t->by_tsc = snap.cycles - before <= after - before;
	t->tsc = t->by_tsc ? snap.cycles : before + (after - before) / 2;
	t->ns = ktime_to_ns(snap.raw) + ktime_to_ns(ktime_mono_to_any(0, TK_OFFS_BOOT));
	t->real = ktime_to_ns(snap.real);
	return after - before;
}

/*
 * By the TSC it is exact. Else the firmware, or who emulates the host, may take the CPU away
 * in between: of some readings the shortest is the truest.
 */
static void host_time(struct host_time *t)
{
	struct host_time other;
	u64 least, took;
	int i;

	least = read_clocks(t);
	for (i = 1; i < CLOCK_READINGS && !t->by_tsc; i++) {
		took = read_clocks(&other);
		if (took >= least)
			continue;
		*t = other;
		least = took;
	}
}

static u64 clock_of(struct umbra_vm_time *time, const struct host_time *now)
{
	const struct umbra_tsc_rate *rate = &time->stable_rate;
	u64 ticks;

	/* By the formula that the guest applies, so that both agree to the ns. */
	if (time->stable) {
		ticks = umbra_scale_tsc(now->tsc, rate->multiplier) -
			umbra_scale_tsc(time->stable_tsc, rate->multiplier);
		return time->stable_ns + time->kvmclock_offset +
		       umbra_tsc_to_ns(ticks, umbra_tsc_scale(rate->khz));
	}
	return now->ns + time->kvmclock_offset;
}

static bool tscs_equal(struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		if (vcpu->time.tsc_offset != vm->time.last_tsc_offset ||
		    vcpu->time.rate.khz != vm->time.last_rate.khz)
			return false;
	}
	return true;
}

/*
 * Judge anew whether all vCPUs share one clock; @restart: begin it at @now. Lock
 * held. True: the pages have to be written again.
 */
static bool judge_stable(struct umbra_vm *vm, const struct host_time *now, bool restart)
{
	struct umbra_vm_time *time = &vm->time;
	bool stable = now->by_tsc && tsc_khz && !check_tsc_unstable() && tscs_equal(vm);
	bool changed = stable != time->stable || restart ||
		       (stable && time->stable_rate.khz != time->last_rate.khz);
	u64 clock;

	if (!changed)
		return false;
	/* The guest's clock goes on where it is, whichever way it is counted from here. */
	clock = clock_of(time, now);
	time->stable = stable;
	time->stable_tsc = now->tsc;
	time->stable_ns = now->ns;
	time->stable_rate = time->last_rate;
	time->kvmclock_offset = clock - now->ns;
	return true;
}

static void update_pages(struct umbra_vm *vm)
{
	struct umbra_vcpu *vcpu;
	int i;

	umbra_for_each_vcpu(vm, i, vcpu) {
		umbra_request(vcpu, UMBRA_REQ_CLOCK);
		umbra_vcpu_kick(vcpu);
	}
}

/* A TSC's offset or rate, or the number of vCPUs has changed. */
static void refresh(struct umbra_vm *vm)
{
	struct host_time now;
	unsigned long flags;
	bool changed;

	raw_spin_lock_irqsave(&vm->time.lock, flags);
	host_time(&now);
	changed = judge_stable(vm, &now, false);
	raw_spin_unlock_irqrestore(&vm->time.lock, flags);
	if (changed)
		update_pages(vm);
}

static struct umbra_tsc_rate host_rate(void)
{
	return (struct umbra_tsc_rate){ UMBRA_TSC_MULTIPLIER_ONE, tsc_khz };
}

void umbra_time_vm_init(struct umbra_vm *vm)
{
	struct host_time now;

	raw_spin_lock_init(&vm->time.lock);
	host_time(&now);
	vm->time.kvmclock_offset = -now.ns;
	vm->time.tsc_khz = tsc_khz;
	vm->time.last_rate = host_rate();
}

/* The TSC: offsets and rates. */

static u64 scaled(struct umbra_vcpu *vcpu, u64 host_tsc)
{
	return umbra_scale_tsc(host_tsc, vcpu->time.rate.multiplier);
}

u64 umbra_host_to_guest_tsc(struct umbra_vcpu *vcpu, u64 host_tsc)
{
	return scaled(vcpu, host_tsc) + vcpu->time.tsc_offset;
}

static void set_offset(struct umbra_vcpu *vcpu, u64 offset)
{
	lockdep_assert_held(&vcpu->vm->time.lock);
	vcpu->time.tsc_offset = offset;
	umbra_backend->set_tsc_offset(vcpu, offset);
}

static void set_rate(struct umbra_vcpu *vcpu, struct umbra_tsc_rate rate)
{
	lockdep_assert_held(&vcpu->vm->time.lock);
	vcpu->time.rate = rate;
	if (umbra_caps.tsc_scaling)
		umbra_backend->set_tsc_multiplier(vcpu, rate.multiplier);
}

/* Is there a TSC of @khz here? The host's own, where it is the same crystal's. */
static int find_rate(unsigned long khz, struct umbra_tsc_rate *rate)
{
	/* KVM_GET_TSC_KHZ returns it as an int. */
	if (khz >= S32_MAX)
		return -EINVAL;
	*rate = host_rate();
	if (umbra_tsc_khz_close(khz, tsc_khz))
		return 0;
	*rate = (struct umbra_tsc_rate){ umbra_tsc_multiplier(khz, tsc_khz), khz };
	return umbra_caps.tsc_scaling && rate->multiplier ? 0 : -EINVAL;
}

/*
 * Is the VM's common TSC meant by @tsc? Not by the first value that userspace writes,
 * however near to what a new VM's has counted meanwhile: then a guest that was saved in
 * its first second would go back in time.
 */
static bool means_common(const struct umbra_vm_time *time, u64 tsc, u64 elapsed)
{
	if (!time->tsc_given)
		return false;
	if (!tsc)
		return true;
	return time->tsc_written &&
	       umbra_tsc_matches(tsc, time->last_tsc, elapsed, time->last_rate.khz);
}

/* The VM's common TSC by now. */
static u64 common_tsc(const struct umbra_vm_time *time, const struct host_time *now)
{
	/* Where the host's TSCs differ it is a matter of time, not of offset. */
	if (check_tsc_unstable())
		return time->last_tsc +
		       umbra_ns_to_tsc(now->ns - time->last_tsc_ns, time->last_rate.khz);
	return umbra_scale_tsc(now->tsc, time->last_rate.multiplier) + time->last_tsc_offset;
}

/* Let a vCPU's TSC be @tsc at @now; @common: the VM's common one from here. */
static void give_tsc(struct umbra_vcpu *vcpu, u64 tsc, const struct host_time *now, bool common)
{
	struct umbra_vm_time *time = &vcpu->vm->time;
	u64 offset = tsc - scaled(vcpu, now->tsc);

	if (common) {
		time->last_tsc = tsc;
		time->last_tsc_ns = now->ns;
		time->last_tsc_offset = offset;
		time->last_rate = vcpu->time.rate;
		time->tsc_given = true;
	}
	set_offset(vcpu, offset);
}

/* Userspace wrote @tsc: that, or the VM's common one where that is what is meant. */
static void write_tsc(struct umbra_vcpu *vcpu, u64 tsc)
{
	struct umbra_vm_time *time = &vcpu->vm->time;
	struct host_time now;
	unsigned long flags;

	raw_spin_lock_irqsave(&time->lock, flags);
	host_time(&now);
	if (means_common(time, tsc, now.ns - time->last_tsc_ns))
		tsc = common_tsc(time, &now);
	time->tsc_written = true;
	give_tsc(vcpu, tsc, &now, true);
	raw_spin_unlock_irqrestore(&time->lock, flags);
}

void umbra_time_vcpu_init(struct umbra_vcpu *vcpu)
{
	struct umbra_vm_time *time = &vcpu->vm->time;
	struct umbra_tsc_rate rate;
	struct host_time now;
	unsigned long flags;
	bool first;

	vcpu->time.tsc_khz = READ_ONCE(time->tsc_khz);
	find_rate(vcpu->time.tsc_khz, &rate);

	raw_spin_lock_irqsave(&time->lock, flags);
	host_time(&now);
	set_rate(vcpu, rate);
	first = !time->tsc_given;
	/* One that has another rate may get the others' yet: theirs stays the common one. */
	give_tsc(vcpu, first ? 0 : common_tsc(time, &now), &now,
		 first || rate.khz == time->last_rate.khz);
	raw_spin_unlock_irqrestore(&time->lock, flags);
}

u64 umbra_guest_tsc(struct umbra_vcpu *vcpu)
{
	return umbra_host_to_guest_tsc(vcpu, rdtsc_ordered());
}

/* On a host whose TSCs differ: the guest's goes on from where it left the other CPU. */
static void follow_cpu(struct umbra_vcpu *vcpu)
{
	struct umbra_vcpu_time *t = &vcpu->time;
	struct host_time now;
	unsigned long flags;

	if (!t->put_tsc)
		return;
	host_time(&now);
	raw_spin_lock_irqsave(&vcpu->vm->time.lock, flags);
	give_tsc(vcpu, t->put_tsc + umbra_ns_to_tsc(now.ns - t->put_ns, t->rate.khz), &now, false);
	raw_spin_unlock_irqrestore(&vcpu->vm->time.lock, flags);
}

void umbra_time_load(struct umbra_vcpu *vcpu)
{
	if (unlikely(check_tsc_unstable()))
		follow_cpu(vcpu);
	/* Pages from one pair are true for ever; others drift, or are of another CPU's TSC. */
	if (unlikely(!READ_ONCE(vcpu->vm->time.stable)) &&
	    (vcpu->time.system_time & SYSTEM_TIME_ENABLE))
		umbra_request(vcpu, UMBRA_REQ_CLOCK);
}

void umbra_time_put(struct umbra_vcpu *vcpu)
{
	struct host_time now;

	if (likely(!check_tsc_unstable()))
		return;
	host_time(&now);
	vcpu->time.put_tsc = umbra_host_to_guest_tsc(vcpu, now.tsc);
	vcpu->time.put_ns = now.ns;
}

/* Move one vCPU's TSC, and leave the VM's common one alone. */
static void adjust_offset(struct umbra_vcpu *vcpu, u64 difference)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&vcpu->vm->time.lock, flags);
	set_offset(vcpu, vcpu->time.tsc_offset + difference);
	raw_spin_unlock_irqrestore(&vcpu->vm->time.lock, flags);
}

/* What hangs on a vCPU's TSC. */
static void tsc_changed(struct umbra_vcpu *vcpu)
{
	umbra_lapic_tsc_changed(vcpu);
	umbra_request(vcpu, UMBRA_REQ_CLOCK);
	refresh(vcpu->vm);
}

void umbra_set_guest_tsc(struct umbra_vcpu *vcpu, u64 tsc, bool host)
{
	u64 difference;

	if (host) {
		write_tsc(vcpu, tsc);
	} else {
		difference = tsc - umbra_guest_tsc(vcpu);
		adjust_offset(vcpu, difference);
		vcpu->time.tsc_adjust += difference;
	}
	tsc_changed(vcpu);
}

void umbra_set_tsc_offset(struct umbra_vcpu *vcpu, u64 offset)
{
	struct umbra_vm_time *time = &vcpu->vm->time;
	struct host_time now;
	unsigned long flags;

	raw_spin_lock_irqsave(&time->lock, flags);
	host_time(&now);
	time->tsc_written = true;
	give_tsc(vcpu, scaled(vcpu, now.tsc) + offset, &now, true);
	raw_spin_unlock_irqrestore(&time->lock, flags);
	tsc_changed(vcpu);
}

void umbra_set_tsc_adjust(struct umbra_vcpu *vcpu, u64 adjust, bool host)
{
	u64 difference = adjust - vcpu->time.tsc_adjust;

	vcpu->time.tsc_adjust = adjust;
	if (host || !difference)
		return;
	adjust_offset(vcpu, difference);
	tsc_changed(vcpu);
}

/* Lock held. A vCPU whose VM's common TSC has the rate already belongs to that. */
static void change_rate(struct umbra_vcpu *vcpu, struct umbra_tsc_rate rate)
{
	struct umbra_vm_time *time = &vcpu->vm->time;
	struct host_time now;
	u64 tsc;

	host_time(&now);
	tsc = umbra_host_to_guest_tsc(vcpu, now.tsc);
	if (rate.khz == time->last_rate.khz)
		tsc = common_tsc(time, &now);
	set_rate(vcpu, rate);
	give_tsc(vcpu, tsc, &now, true);
}

int umbra_set_tsc_khz(struct umbra_vcpu *vcpu, unsigned long khz)
{
	struct umbra_tsc_rate rate;
	unsigned long flags;
	bool changed;

	if (!khz)
		khz = tsc_khz;
	if (find_rate(khz, &rate))
		return -EINVAL;
	vcpu->time.tsc_khz = khz;
	raw_spin_lock_irqsave(&vcpu->vm->time.lock, flags);
	changed = rate.khz != vcpu->time.rate.khz;
	if (changed)
		change_rate(vcpu, rate);
	raw_spin_unlock_irqrestore(&vcpu->vm->time.lock, flags);
	if (changed)
		tsc_changed(vcpu);
	return 0;
}

int umbra_set_vm_tsc_khz(struct umbra_vm *vm, unsigned long khz)
{
	struct umbra_tsc_rate rate;

	if (!khz)
		khz = tsc_khz;
	if (find_rate(khz, &rate))
		return -EINVAL;
	WRITE_ONCE(vm->time.tsc_khz, khz);
	return 0;
}

/* The clock pages. */

/* Put @version into the page in one store, whatever stands there. */
static int write_version(struct umbra_vm *vm, gpa_t gpa, u32 version)
{
	u32 old, seen;
	int r;

	r = umbra_guest_read(vm, gpa, &seen, sizeof(seen));
	while (!r) {
		old = seen;
		r = umbra_guest_cmpxchg(vm, gpa, &seen, &version, sizeof(version));
		if (!r && seen == old)
			break;
	}
	return r;
}

/*
 * Publish @page at @gpa: an odd version, the body, an even version. Readers on
 * other vCPUs are possible: Linux maps the boot CPU's page into every process.
 */
static void write_page(struct umbra_vm *vm, gpa_t gpa, const struct pvclock_vcpu_time_info *page)
{
	const unsigned int body = offsetof(struct pvclock_vcpu_time_info, pad0);

	if (write_version(vm, gpa, page->version - 1))
		return;
	smp_wmb();	/* odd version before body */
	if (umbra_guest_write(vm, gpa + body, (const char *)page + body, sizeof(*page) - body))
		return;
	smp_wmb();	/* body before even version */
	write_version(vm, gpa, page->version);
}

static void fill_page(struct umbra_vcpu *vcpu, struct pvclock_vcpu_time_info *page)
{
	struct umbra_vm_time *time = &vcpu->vm->time;
	struct umbra_tsc_scale scale = umbra_tsc_scale(vcpu->time.rate.khz);
	struct host_time now;
	unsigned long flags;

	raw_spin_lock_irqsave(&time->lock, flags);
	if (time->stable) {
		now.tsc = time->stable_tsc;
		now.ns = time->stable_ns;
		page->flags |= PVCLOCK_TSC_STABLE_BIT;
	} else {
		host_time(&now);
	}
	page->tsc_timestamp = umbra_host_to_guest_tsc(vcpu, now.tsc);
	page->system_time = now.ns + time->kvmclock_offset;
	raw_spin_unlock_irqrestore(&time->lock, flags);
	page->tsc_to_system_mul = scale.mul;
	page->tsc_shift = scale.shift;
}

void umbra_clock_update(struct umbra_vcpu *vcpu)
{
	struct pvclock_vcpu_time_info page = { 0 }, old;
	gpa_t gpa = vcpu->time.system_time & ~SYSTEM_TIME_ENABLE;
	int idx;

	if (!(vcpu->time.system_time & SYSTEM_TIME_ENABLE) || !tsc_khz)
		return;
	fill_page(vcpu, &page);

	idx = srcu_read_lock(&vcpu->vm->srcu);
	if (umbra_guest_read(vcpu->vm, gpa, &old, sizeof(old)))
		goto out;	/* no memory there (any more): the guest's own loss */
	/* The guest clears this flag once it has seen it. */
	if (vcpu->time.paused || (old.flags & PVCLOCK_GUEST_STOPPED))
		page.flags |= PVCLOCK_GUEST_STOPPED;
	vcpu->time.paused = false;
	/*
	 * Even, and on from what stands there: a guest may have been saved between its two
	 * readings of a page that came from another VM.
	 */
	page.version = (old.version | 1) + 1;
	write_page(vcpu->vm, gpa, &page);
out:
	srcu_read_unlock(&vcpu->vm->srcu, idx);
}

int umbra_set_system_time(struct umbra_vcpu *vcpu, u64 value)
{
	/* The interface asks for an address aligned to 4. */
	if ((value & SYSTEM_TIME_ENABLE) && (value & 2))
		return 1;
	vcpu->time.system_time = value;
	if (value & SYSTEM_TIME_ENABLE) {
		refresh(vcpu->vm);
		umbra_request(vcpu, UMBRA_REQ_CLOCK);
	}
	return 0;
}

u64 umbra_wall_clock(struct umbra_vm *vm)
{
	return READ_ONCE(vm->time.wall_clock);
}

/* The wall-clock time at which the guest's clock was 0. */
static void fill_wall_clock(struct umbra_vm *vm, struct pvclock_wall_clock *wall)
{
	struct host_time now;
	unsigned long flags;
	u64 ns;

	raw_spin_lock_irqsave(&vm->time.lock, flags);
	host_time(&now);
	ns = now.real - clock_of(&vm->time, &now);
	raw_spin_unlock_irqrestore(&vm->time.lock, flags);
	wall->nsec = do_div(ns, NSEC_PER_SEC);
	wall->sec = ns;
}

int umbra_set_wall_clock(struct umbra_vcpu *vcpu, u64 value)
{
	struct umbra_vm *vm = vcpu->vm;
	const unsigned int body = offsetof(struct pvclock_wall_clock, sec);
	struct pvclock_wall_clock wall;
	u32 version;
	int idx;

	if (value & 3)
		return 1;
	WRITE_ONCE(vm->time.wall_clock, value);
	if (!value)
		return 0;
	fill_wall_clock(vm, &wall);

	idx = srcu_read_lock(&vm->srcu);
	if (umbra_guest_read(vm, value, &version, sizeof(version)))
		goto out;
	version |= 1;
	if (write_version(vm, value, version))
		goto out;
	smp_wmb();	/* odd version before body */
	if (umbra_guest_write(vm, value + body, (char *)&wall + body, sizeof(wall) - body))
		goto out;
	smp_wmb();	/* body before even version */
	write_version(vm, value, version + 1);
out:
	srcu_read_unlock(&vm->srcu, idx);
	return 0;
}

void umbra_get_clock(struct umbra_vm *vm, struct kvm_clock_data *data)
{
	struct host_time now;
	unsigned long flags;
	bool changed;

	memset(data, 0, sizeof(*data));
	raw_spin_lock_irqsave(&vm->time.lock, flags);
	host_time(&now);
	changed = judge_stable(vm, &now, false);
	data->clock = clock_of(&vm->time, &now);
	if (vm->time.stable) {
		data->flags = UMBRA_CLOCK_FLAGS;
		data->realtime = now.real;
		data->host_tsc = now.tsc;
	}
	raw_spin_unlock_irqrestore(&vm->time.lock, flags);
	if (changed)
		update_pages(vm);
}

int umbra_set_clock(struct umbra_vm *vm, const struct kvm_clock_data *data)
{
	u64 clock = data->clock;
	struct host_time now;
	unsigned long flags;

	if (data->flags & ~UMBRA_CLOCK_FLAGS)
		return -EINVAL;
	raw_spin_lock_irqsave(&vm->time.lock, flags);
	host_time(&now);
	/* The clock ran on while the VM was on its way; never backwards. */
	if ((data->flags & KVM_CLOCK_REALTIME) && now.real > data->realtime)
		clock += now.real - data->realtime;
	judge_stable(vm, &now, true);
	vm->time.kvmclock_offset = clock - now.ns;
	raw_spin_unlock_irqrestore(&vm->time.lock, flags);
	update_pages(vm);
	return 0;
}

int umbra_kvmclock_ctrl(struct umbra_vcpu *vcpu)
{
	if (!(vcpu->time.system_time & SYSTEM_TIME_ENABLE))
		return -EINVAL;
	vcpu->time.paused = true;
	umbra_request(vcpu, UMBRA_REQ_CLOCK);
	return 0;
}
