// SPDX-License-Identifier: GPL-2.0-only
#include <linux/umbra.h>
#include <linux/umbra_netlink.h>
#include <netlink/attr.h>
#include <netlink/genl/genl.h>
#include <stdint.h>
#include <string.h>

#include "nlmsg.h"

#define TEXT_MAX	160

static const char *const types[] = {
	[UMBRA_NL_CMD_VM_GET] = "vm",
	[UMBRA_NL_CMD_VCPU_GET] = "vcpu",
	[UMBRA_NL_CMD_STATS_GET] = "figures",
	[UMBRA_NL_CMD_VM_NEW] = "vm-new",
	[UMBRA_NL_CMD_VM_GONE] = "vm-gone",
	[UMBRA_NL_CMD_VM_STATE] = "vm-state",
	[UMBRA_NL_CMD_VCPU_NEW] = "vcpu-new",
	[UMBRA_NL_CMD_VCPU_GONE] = "vcpu-gone",
	[UMBRA_NL_CMD_VCPU_STATE] = "vcpu-state",
	[UMBRA_NL_CMD_ENTRY_FAILED] = "entry-failed",
	[UMBRA_NL_CMD_TRIPLE_FAULT] = "triple-fault",
	[UMBRA_NL_CMD_INTERNAL_ERROR] = "internal-error",
	[UMBRA_NL_CMD_MMU_MODE] = "mmu-mode",
	[UMBRA_NL_CMD_STATS] = "stats",
	[UMBRA_NL_CMD_MMU_QUOTA] = "mmu-quota",
};

static const char *const states[] = { "new", "running", "dead" };
static const char *const modes[] = { "auto", "hardware", "shadow-lazy", "shadow-eager" };

#define COUNT(array)	(sizeof(array) / sizeof((array)[0]))

static json_t *word(const char *const *words, size_t count, uint32_t i)
{
	return json_string(i < count ? words[i] : "unknown");
}

static json_t *number_object(const struct nlattr *attr)
{
	uint64_t value = 0;

	if (nla_len(attr) == sizeof(uint32_t))
		return json_integer(nla_get_u32(attr));
	if (nla_len(attr) != sizeof(value))
		return NULL;
	memcpy(&value, nla_data(attr), sizeof(value));
	return json_integer((json_int_t)value);
}

static json_t *state_object(const struct nlattr *attr)
{
	return nla_len(attr) == 4 ? word(states, COUNT(states), nla_get_u32(attr)) : NULL;
}

static json_t *mode_object(const struct nlattr *attr)
{
	return nla_len(attr) == 4 ? word(modes, COUNT(modes), nla_get_u32(attr)) : NULL;
}

/* What others have called their process may hold anything. */
static json_t *text_object(const struct nlattr *attr)
{
	const char *from = nla_data(attr);
	char text[TEXT_MAX];
	int i;

	for (i = 0; i < nla_len(attr) && i < TEXT_MAX - 1 && from[i]; i++)
		text[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	text[i] = '\0';
	return json_string(text);
}

/* How each attribute becomes a member of the object. */
static const struct {
	const char *key;
	json_t *(*object)(const struct nlattr *attr);
} members[UMBRA_NL_A_MAX + 1] = {
	[UMBRA_NL_A_VM_ID] = { "vm", number_object },
	[UMBRA_NL_A_VCPU_ID] = { "vcpu", number_object },
	[UMBRA_NL_A_SEQ] = { "seq", number_object },
	[UMBRA_NL_A_LOST] = { "lost", number_object },
	[UMBRA_NL_A_PID] = { "pid", number_object },
	[UMBRA_NL_A_COMM] = { "comm", text_object },
	[UMBRA_NL_A_UID] = { "uid", number_object },
	[UMBRA_NL_A_NAME] = { "name", text_object },
	[UMBRA_NL_A_STATE] = { "state", state_object },
	[UMBRA_NL_A_MMU_MODE] = { "mmu", mode_object },
	[UMBRA_NL_A_OLD_MMU_MODE] = { "old_mmu", mode_object },
	[UMBRA_NL_A_VCPUS] = { "cpus", number_object },
	[UMBRA_NL_A_MEMORY] = { "memory", number_object },
	[UMBRA_NL_A_TID] = { "tid", number_object },
	[UMBRA_NL_A_MP_STATE] = { "mp_state", number_object },
	[UMBRA_NL_A_REASON] = { "reason", number_object },
	[UMBRA_NL_A_CHECK] = { "check", text_object },
	[UMBRA_NL_A_SUBERROR] = { "suberror", number_object },
	[UMBRA_NL_A_TSC_KHZ] = { "tsc_khz", number_object },
	[UMBRA_NL_A_QUOTA] = { "quota", number_object },
	[UMBRA_NL_A_RECYCLED] = { "recycled", number_object },
};

/* A member that @object may have; where it can't be made, it is left out. */
static void set(json_t *object, const char *key, const struct nlattr *attr,
		json_t *(*make)(const struct nlattr *attr))
{
	if (attr)
		json_object_set_new(object, key, make(attr));
}

/* Without those behind the last that is not 0. */
static json_t *buckets_object(const struct nlattr *attr)
{
	size_t i, used = (size_t)nla_len(attr) / sizeof(uint64_t);
	uint64_t buckets[UMBRA_EXIT_BUCKETS];
	json_t *array = json_array();

	if (used > UMBRA_EXIT_BUCKETS)
		used = UMBRA_EXIT_BUCKETS;
	memcpy(buckets, nla_data(attr), used * sizeof(uint64_t));
	while (used && !buckets[used - 1])
		used--;
	for (i = 0; i < used; i++)
		json_array_append_new(array, json_integer((json_int_t)buckets[i]));
	return array;
}

static void add_exit(json_t *exits, struct nlattr *nest)
{
	struct nlattr *in[UMBRA_NL_EXIT_MAX + 1];
	json_t *one = json_object();

	if (!nla_parse_nested(in, UMBRA_NL_EXIT_MAX, nest, NULL) && in[UMBRA_NL_EXIT_NAME]) {
		set(one, "name", in[UMBRA_NL_EXIT_NAME], text_object);
		set(one, "count", in[UMBRA_NL_EXIT_COUNT], number_object);
		set(one, "ticks", in[UMBRA_NL_EXIT_TICKS], number_object);
		set(one, "buckets", in[UMBRA_NL_EXIT_BUCKETS], buckets_object);
		json_array_append(exits, one);
	}
	json_decref(one);
}

static void add_counter(json_t *counters, struct nlattr *nest)
{
	struct nlattr *in[UMBRA_NL_COUNTER_MAX + 1];
	json_t *name;

	if (nla_parse_nested(in, UMBRA_NL_COUNTER_MAX, nest, NULL) || !in[UMBRA_NL_COUNTER_NAME])
		return;
	name = text_object(in[UMBRA_NL_COUNTER_NAME]);
	set(counters, json_string_value(name), in[UMBRA_NL_COUNTER_VALUE], number_object);
	json_decref(name);
}

/* The member @key, made when it is first wanted. */
static json_t *collection(json_t *object, const char *key, json_t *(*make)(void))
{
	json_t *there = json_object_get(object, key);

	if (there)
		return there;
	json_object_set_new(object, key, make());
	return json_object_get(object, key);
}

json_t *nlmsg_object(struct nlmsghdr *nlh)
{
	struct genlmsghdr *genl;
	struct nlattr *attr;
	json_t *object;
	int left;

	if (!genlmsg_valid_hdr(nlh, 0))
		return NULL;
	genl = genlmsg_hdr(nlh);
	if (genl->cmd >= COUNT(types) || !types[genl->cmd])
		return NULL;
	object = json_pack("{s:s}", "type", types[genl->cmd]);
	nla_for_each_attr(attr, genlmsg_attrdata(genl, 0), genlmsg_attrlen(genl, 0), left) {
		int type = nla_type(attr);

		if (type == UMBRA_NL_A_COUNTER)
			add_counter(collection(object, "counters", json_object), attr);
		else if (type == UMBRA_NL_A_EXIT)
			add_exit(collection(object, "exits", json_array), attr);
		else if (type <= UMBRA_NL_A_MAX && members[type].key)
			set(object, members[type].key, attr, members[type].object);
	}
	return object;
}
