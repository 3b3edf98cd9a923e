// SPDX-License-Identifier: GPL-2.0-only
#include "nl_spec.h"

#include <linux/netlink.h>
#include <linux/umbra.h>
#include <stddef.h>
#include <string.h>

#include "ktap.h"
#include "nl.h"

enum spec_type { SPEC_NONE, SPEC_PAD, SPEC_U32, SPEC_U64, SPEC_STRING, SPEC_BINARY, SPEC_NEST };

struct spec_attr {
	enum spec_type type;
	unsigned int inside;	/* a nest's set */
};

struct spec_set {
	const struct spec_attr *attrs;
	size_t count;
};

/* By scripts/netlink-spec: the description, and that its numbers are the header's. */
#include "nl_spec.inc"

static bool has_type(const struct spec_attr *spec, const struct nlattr *attr);

static bool all_have_types(const struct spec_set *set, const struct nlattr *nest)
{
	const struct nlattr *in;

	for (in = nl_first(nest); in; in = nl_after(in, nest)) {
		unsigned int type = in->nla_type & NLA_TYPE_MASK;

		if (type >= set->count || !has_type(&set->attrs[type], in))
			return false;
	}
	return true;
}

static bool has_type(const struct spec_attr *spec, const struct nlattr *attr)
{
	size_t size = nl_size(attr);

	switch (spec->type) {
	case SPEC_PAD:
		return !size;
	case SPEC_U32:
		return size == 4;
	case SPEC_U64:
		return size == 8;
	case SPEC_STRING:
		return size && strnlen(nl_data(attr), size) == size - 1;
	case SPEC_BINARY:
		return size && size % 8 == 0;
	case SPEC_NEST:
		return all_have_types(&sets[spec->inside], attr);
	default:
		return false;
	}
}

void nl_spec_check(uint8_t cmd, const struct nlattr *attr)
{
	unsigned int type = attr->nla_type & NLA_TYPE_MASK;

	ASSERT_MSG(cmd && cmd <= UMBRA_NL_CMD_MAX, "operation %u is not described", cmd);
	ASSERT_MSG(type && type <= UMBRA_NL_A_MAX, "attribute %u is not described", type);
	EXPECT_MSG(type == UMBRA_NL_A_PAD || nl_spec_ops[cmd].attrs >> type & 1,
		   "%s: attribute %u is not described there", nl_spec_ops[cmd].name, type);
	EXPECT_MSG(has_type(&sets[0].attrs[type], attr), "%s: attribute %u is of another type",
		   nl_spec_ops[cmd].name, type);
}
