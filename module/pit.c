// SPDX-License-Identifier: GPL-2.0-only
/*
 * The 8254 interval timer: ports 0x40 to 0x43, and port 0x61 where asked for.
 * Channel 0 drives GSI 0, channel 2 the speaker; channel 1 refreshes nothing.
 *
 * Counters are not counted but computed from the time since they were loaded.
 * Only channel 0 has a host timer. A tick that finds its predecessor not yet
 * taken is kept and tried again soon, so that a guest that counts ticks to
 * know the time stays right when its vCPU was not run for a while.
 */
#include <linux/hrtimer.h>
#include <linux/mutex.h>
#include <linux/nospec.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "iodev.h"
#include "irq.h"
#include "pit_math.h"
#include "umbra.h"

#define PIT_PORT		0x40
#define PIT_PORTS		4
#define PIT_PORT_CONTROL	3	/* as an offset */
#define SPEAKER_PORT		0x61
#define PIT_GSI			0

/* Ticks kept for a guest that does not take them: a minute at 1 kHz. */
#define MAX_BACKLOG		60000
/* Kept ticks follow each other so much faster than the guest asked. */
#define CATCH_UP		4

/* The byte that is next, in the state's read_state, write_state and count_latched. */
enum { BYTE_NONE, BYTE_LOW, BYTE_HIGH, BYTE_LOW_OF_TWO, BYTE_HIGH_OF_TWO };

#define MODE_OFF		0xff	/* KVM's name for a channel that was never set */

/**
 * struct pit_channel - one counter
 * @s: state as the ABI has it; @s.count is 0 until a count is loaded,
 *	@s.count_load_time is the host's monotonic clock
 * @held: ticks counted before the gate closed (modes 0 and 4)
 * @triggered: modes 1 and 5: the gate has risen since loading
 */
struct pit_channel {
	struct kvm_pit_channel_state s;
	u64 held;
	bool triggered;
};

/**
 * struct umbra_pit - the PIT
 * @vm: whose
 * @lock: channels and flags, and starting and stopping of @timer
 * @channel: the counters
 * @flags: KVM_PIT_FLAGS_*
 * @timer: channel 0's; while it runs its callback owns the next four
 * @period: ns between ticks, 0: one only
 * @next: when the next tick is due, ns of the monotonic clock
 * @backlog: ticks due and not taken
 * @lose_ticks: the guest gets one of those that have gathered, and no more
 * @ports: the four ports
 * @speaker: port 0x61
 */
struct umbra_pit {
	struct umbra_vm *vm;
	struct mutex lock;
	struct pit_channel channel[3];
	u32 flags;
	struct hrtimer timer;
	u64 period;
	u64 next;
	u32 backlog;
	bool lose_ticks;
	struct umbra_iodev ports, speaker;
};

/* --- channel 0's interrupt ---------------------------------------------- */

static int pulse(struct umbra_pit *pit)
{
	int ret = umbra_set_irq(pit->vm, UMBRA_SOURCE_PIT, PIT_GSI, 1);

	umbra_set_irq(pit->vm, UMBRA_SOURCE_PIT, PIT_GSI, 0);
	return ret;
}

/* Count the ticks that are due at @now and say when the next one is. */
static void count_due(struct umbra_pit *pit, u64 now)
{
	u64 due;

	if (now < pit->next)
		return;
	due = (now - pit->next) / pit->period + 1;
	pit->next += due * pit->period;
	pit->backlog = min_t(u64, pit->backlog + due, MAX_BACKLOG);
}

static enum hrtimer_restart tick(struct hrtimer *timer)
{
	struct umbra_pit *pit = container_of(timer, struct umbra_pit, timer);
	u64 now = ktime_get_ns(), next;
	int ret;

	if (!pit->period) {
		pulse(pit);
		return HRTIMER_NORESTART;
	}
	count_due(pit, now);
	if (pit->backlog) {
		ret = pulse(pit);
		if (ret > 0)
			pit->backlog--;
		if (ret < 0 || READ_ONCE(pit->lose_ticks))	/* masked: it does not count */
			pit->backlog = 0;
	}
	next = pit->next;
	if (pit->backlog)
		next = min(next, now + max_t(u64, pit->period / CATCH_UP, PIT_MIN_PERIOD_NS));
	hrtimer_set_expires(timer, ns_to_ktime(next));
	return HRTIMER_RESTART;
}

/* Channel 0 was loaded, or its mode or the flags changed. */
static void restart_timer(struct umbra_pit *pit)
{
	const struct kvm_pit_channel_state *s = &pit->channel[0].s;
	u64 now = ktime_get_ns(), gone = now - s->count_load_time;

	hrtimer_cancel(&pit->timer);
	pit->backlog = 0;
	/* Modes 1 and 5 wait for a gate that is tied high. */
	if (!s->count || s->mode == 1 || s->mode == 5 ||
	    (pit->flags & KVM_PIT_FLAGS_HPET_LEGACY))
		return;
	pit->period = pit_periodic(s->mode) ? pit_period_ns(s->count) : 0;
	/* Loaded long ago where a state is restored: whole periods since then had their ticks. */
	if (pit->period)
		pit->next = now + pit->period - gone % pit->period;
	else
		pit->next = s->count_load_time + pit_ticks_to_ns(s->count);
	hrtimer_start(&pit->timer, ns_to_ktime(pit->next), HRTIMER_MODE_ABS_HARD);
}

/* --- counters ----------------------------------------------------------- */

static bool needs_trigger(const struct pit_channel *c)
{
	return c->s.mode == 1 || c->s.mode == 5;
}

static bool counting(const struct pit_channel *c)
{
	return c->s.count && (needs_trigger(c) ? c->triggered : c->s.gate);
}

/* Ticks since the count was loaded, without those while the gate was closed. */
static u64 elapsed(const struct pit_channel *c)
{
	if (!counting(c))
		return c->held;
	return c->held + pit_ns_to_ticks(ktime_get_ns() - c->s.count_load_time);
}

static u16 counter(const struct pit_channel *c)
{
	return pit_encode_count(pit_counter(c->s.mode, c->s.count, elapsed(c), c->s.bcd),
				c->s.bcd);
}

static bool out_pin(const struct pit_channel *c)
{
	if (c->s.count && !counting(c) && (needs_trigger(c) || pit_periodic(c->s.mode)))
		return true;
	return pit_out(c->s.mode, c->s.count, elapsed(c));
}

static void load_count(struct umbra_pit *pit, unsigned int nr, u16 written)
{
	struct pit_channel *c = &pit->channel[nr];

	c->s.count = pit_decode_count(written, c->s.bcd);
	c->s.count_load_time = ktime_get_ns();
	c->held = 0;
	c->triggered = false;
	if (nr == 0)
		restart_timer(pit);
}

/* Only channel 2 has a gate that can move. */
static void set_gate(struct pit_channel *c, bool gate)
{
	bool was = c->s.gate;

	if (gate == was)
		return;
	if (!gate) {
		if (!needs_trigger(c))
			c->held = pit_periodic(c->s.mode) ? 0 : elapsed(c);
		c->s.gate = false;
		return;
	}
	c->s.gate = true;
	if (needs_trigger(c)) {
		c->triggered = true;
		c->held = 0;
	}
	c->s.count_load_time = ktime_get_ns();
}

static void latch_count(struct pit_channel *c)
{
	if (c->s.count_latched)
		return;
	c->s.latched_count = counter(c);
	c->s.count_latched = c->s.rw_mode;
}

static void latch_status(struct pit_channel *c)
{
	if (c->s.status_latched)
		return;
	c->s.status = out_pin(c) << 7 | !c->s.count << 6 | c->s.rw_mode << 4 | c->s.mode << 1 |
		      c->s.bcd;
	c->s.status_latched = 1;
}

static void read_back(struct umbra_pit *pit, u8 val)
{
	unsigned int i;

	for (i = 0; i < 3; i++) {
		if (!(val & (2 << i)))
			continue;
		if (!(val & 0x20))
			latch_count(&pit->channel[i]);
		if (!(val & 0x10))
			latch_status(&pit->channel[i]);
	}
}

static void write_control(struct umbra_pit *pit, u8 val)
{
	unsigned int nr = val >> 6;
	struct pit_channel *c;

	if (nr == 3) {
		read_back(pit, val);
		return;
	}
	c = &pit->channel[array_index_nospec(nr, 3)];
	if (!(val & 0x30)) {
		latch_count(c);
		return;
	}
	c->s.rw_mode = (val >> 4) & 3;
	c->s.read_state = c->s.rw_mode;
	c->s.write_state = c->s.rw_mode;
	c->s.mode = (val >> 1) & 7;
	if (c->s.mode > 5)
		c->s.mode -= 4;
	c->s.bcd = val & 1;
	c->s.count_latched = BYTE_NONE;
	c->s.status_latched = 0;
	/* It stands still until a count comes. */
	c->s.count = 0;
	c->held = 0;
	if (nr == 0)
		restart_timer(pit);
}

static void write_counter(struct umbra_pit *pit, unsigned int nr, u8 val)
{
	struct kvm_pit_channel_state *s = &pit->channel[nr].s;

	switch (s->write_state) {
	case BYTE_LOW:
		load_count(pit, nr, val);
		break;
	case BYTE_HIGH:
		load_count(pit, nr, val << 8);
		break;
	case BYTE_LOW_OF_TWO:
		s->write_latch = val;
		s->write_state = BYTE_HIGH_OF_TWO;
		break;
	case BYTE_HIGH_OF_TWO:
		s->write_state = BYTE_LOW_OF_TWO;
		load_count(pit, nr, s->write_latch | val << 8);
		break;
	}
}

static u8 read_counter(struct pit_channel *c)
{
	struct kvm_pit_channel_state *s = &c->s;
	u16 value;

	if (s->status_latched) {
		s->status_latched = 0;
		return s->status;
	}
	if (s->count_latched) {
		u8 which = s->count_latched;

		s->count_latched = which == BYTE_LOW_OF_TWO ? BYTE_HIGH_OF_TWO : BYTE_NONE;
		return which == BYTE_LOW || which == BYTE_LOW_OF_TWO ? s->latched_count :
								       s->latched_count >> 8;
	}
	value = counter(c);
	switch (s->read_state) {
	case BYTE_LOW_OF_TWO:
		s->read_state = BYTE_HIGH_OF_TWO;
		return value;
	case BYTE_HIGH_OF_TWO:
		s->read_state = BYTE_LOW_OF_TWO;
		return value >> 8;
	case BYTE_HIGH:
		return value >> 8;
	}
	return value;
}

/* --- ports -------------------------------------------------------------- */

static int pit_read(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		    unsigned int len, void *data)
{
	struct umbra_pit *pit = container_of(dev, struct umbra_pit, ports);
	u8 *p = data;

	mutex_lock(&pit->lock);
	for (; len--; addr++, p++) {
		unsigned int nr = addr & (PIT_PORTS - 1);

		/* The control word can't be read. */
		*p = nr == PIT_PORT_CONTROL ? 0xff :
		     read_counter(&pit->channel[array_index_nospec(nr, 3)]);
	}
	mutex_unlock(&pit->lock);
	return 0;
}

static int pit_write(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
		     unsigned int len, const void *data)
{
	struct umbra_pit *pit = container_of(dev, struct umbra_pit, ports);
	const u8 *p = data;

	mutex_lock(&pit->lock);
	for (; len--; addr++, p++) {
		unsigned int nr = addr & (PIT_PORTS - 1);

		if (nr == PIT_PORT_CONTROL)
			write_control(pit, *p);
		else
			write_counter(pit, array_index_nospec(nr, 3), *p);
	}
	mutex_unlock(&pit->lock);
	return 0;
}

static int speaker_read(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
			unsigned int len, void *data)
{
	struct umbra_pit *pit = container_of(dev, struct umbra_pit, speaker);
	struct pit_channel *c = &pit->channel[2];

	mutex_lock(&pit->lock);
	/* Bit 4 follows the memory refresh, which nothing needs but code that waits for it. */
	*(u8 *)data = c->s.gate | (pit->flags & KVM_PIT_FLAGS_SPEAKER_DATA_ON ? 2 : 0) |
		      ((ktime_get_ns() >> 14) & 1) << 4 | out_pin(c) << 5;
	mutex_unlock(&pit->lock);
	return 0;
}

static int speaker_write(struct umbra_vcpu *vcpu, struct umbra_iodev *dev, gpa_t addr,
			 unsigned int len, const void *data)
{
	struct umbra_pit *pit = container_of(dev, struct umbra_pit, speaker);
	u8 val = *(const u8 *)data;

	mutex_lock(&pit->lock);
	if (val & 2)
		pit->flags |= KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	else
		pit->flags &= ~KVM_PIT_FLAGS_SPEAKER_DATA_ON;
	set_gate(&pit->channel[2], val & 1);
	mutex_unlock(&pit->lock);
	return 0;
}

static const struct umbra_iodev_ops pit_ops = { .read = pit_read, .write = pit_write };
static const struct umbra_iodev_ops speaker_ops = { .read = speaker_read, .write = speaker_write };

/* --- life --------------------------------------------------------------- */

static int put_on_bus(struct umbra_pit *pit, bool speaker)
{
	struct umbra_vm *vm = pit->vm;
	int ret;

	mutex_lock(&vm->slots_lock);
	ret = umbra_iodev_register(vm, UMBRA_BUS_PIO, PIT_PORT, PIT_PORTS, &pit->ports);
	if (!ret && speaker) {
		ret = umbra_iodev_register(vm, UMBRA_BUS_PIO, SPEAKER_PORT, 1, &pit->speaker);
		if (ret)
			umbra_iodev_unregister(vm, UMBRA_BUS_PIO, &pit->ports);
	}
	mutex_unlock(&vm->slots_lock);
	return ret;
}

int umbra_pit_create(struct umbra_vm *vm, const struct kvm_pit_config *config)
{
	struct umbra_pit *pit;
	unsigned int i;
	int ret;

	lockdep_assert_held(&vm->lock);
	if (vm->pit)
		return -EEXIST;
	if (!umbra_pic_in_kernel(vm))
		return -ENOENT;
	if (config->flags & ~KVM_PIT_SPEAKER_DUMMY)
		return -EINVAL;
	pit = kzalloc(sizeof(*pit), GFP_KERNEL_ACCOUNT);
	if (!pit)
		return -ENOMEM;
	pit->vm = vm;
	mutex_init(&pit->lock);
	hrtimer_init(&pit->timer, CLOCK_MONOTONIC, HRTIMER_MODE_ABS_HARD);
	pit->timer.function = tick;
	pit->ports.ops = &pit_ops;
	pit->speaker.ops = &speaker_ops;
	for (i = 0; i < 3; i++) {
		pit->channel[i].s.gate = i != 2;
		pit->channel[i].s.rw_mode = BYTE_LOW_OF_TWO;
		pit->channel[i].s.read_state = BYTE_LOW_OF_TWO;
		pit->channel[i].s.write_state = BYTE_LOW_OF_TWO;
	}

	ret = put_on_bus(pit, config->flags & KVM_PIT_SPEAKER_DUMMY);
	if (ret) {
		kfree(pit);
		return ret;
	}
	smp_store_release(&vm->pit, pit);
	return 0;
}

void umbra_pit_destroy(struct umbra_vm *vm)
{
	if (!vm->pit)
		return;
	hrtimer_cancel(&vm->pit->timer);
	kfree(vm->pit);
	vm->pit = NULL;
}

/* --- saved state -------------------------------------------------------- */

int umbra_pit_reinject(struct umbra_vm *vm, bool on)
{
	struct umbra_pit *pit = smp_load_acquire(&vm->pit);

	if (!pit)
		return -ENXIO;
	WRITE_ONCE(pit->lose_ticks, !on);
	return 0;
}

int umbra_pit_get(struct umbra_vm *vm, struct kvm_pit_state2 *state)
{
	struct umbra_pit *pit = smp_load_acquire(&vm->pit);
	unsigned int i;

	if (!pit)
		return -ENXIO;
	memset(state, 0, sizeof(*state));
	mutex_lock(&pit->lock);
	for (i = 0; i < 3; i++) {
		const struct pit_channel *c = &pit->channel[i];

		state->channels[i] = c->s;
		/* So that the load time tells all, whatever the gate did since. */
		if (c->s.count && (c->held || !counting(c)))
			state->channels[i].count_load_time =
				ktime_get_ns() - pit_ticks_to_ns(elapsed(c));
	}
	state->flags = pit->flags;
	mutex_unlock(&pit->lock);
	return 0;
}

/* Take one channel's state, whatever is in it. */
static void set_channel(struct pit_channel *c, const struct kvm_pit_channel_state *state,
			bool has_gate)
{
	struct kvm_pit_channel_state s = *state;
	s64 now = ktime_get_ns();

	if (s.mode == MODE_OFF)
		s.count = s.mode = 0;
	s.mode &= 7;
	if (s.mode > 5)
		s.mode -= 4;
	s.bcd &= 1;
	if (s.count > pit_full(s.bcd))
		s.count = pit_full(s.bcd);
	s.gate = has_gate ? s.gate & 1 : 1;
	s.status_latched &= 1;
	s.rw_mode &= 3;
	if (!s.rw_mode)
		s.rw_mode = BYTE_LOW_OF_TWO;
	if (s.count_latched > BYTE_HIGH_OF_TWO)
		s.count_latched = BYTE_NONE;
	if (s.read_state == BYTE_NONE || s.read_state > BYTE_HIGH_OF_TWO)
		s.read_state = s.rw_mode;
	if (s.write_state == BYTE_NONE || s.write_state > BYTE_HIGH_OF_TWO)
		s.write_state = s.rw_mode;
	s.count_load_time = clamp_t(s64, s.count_load_time, 0, now);

	c->s = s;
	c->held = 0;
	c->triggered = s.gate;
	if (s.count && !counting(c) && !pit_periodic(s.mode))
		c->held = pit_ns_to_ticks(now - s.count_load_time);
}

int umbra_pit_set(struct umbra_vm *vm, const struct kvm_pit_state2 *state)
{
	struct umbra_pit *pit = smp_load_acquire(&vm->pit);
	unsigned int i;

	if (!pit)
		return -ENXIO;
	if (state->flags & ~(KVM_PIT_FLAGS_HPET_LEGACY | KVM_PIT_FLAGS_SPEAKER_DATA_ON))
		return -EINVAL;
	mutex_lock(&pit->lock);
	for (i = 0; i < 3; i++)
		set_channel(&pit->channel[i], &state->channels[i], i == 2);
	pit->flags = state->flags;
	restart_timer(pit);
	mutex_unlock(&pit->lock);
	return 0;
}
