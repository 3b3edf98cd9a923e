// SPDX-License-Identifier: GPL-2.0-only
/* The one place where the events of trace.h become code. */
#include <linux/linkage.h>

#define CREATE_TRACE_POINTS
#include "trace.h"

/* Each once more, as the function that umbra_trace() calls. */
#undef CREATE_TRACE_POINTS
#undef TRACE_EVENT
#define TRACE_EVENT(name, proto, args, ...)		\
	asmlinkage void umbra_trace_##name(proto);	\
	asmlinkage void umbra_trace_##name(proto)	\
	{						\
		trace_##name(args);			\
	}
#define TRACE_HEADER_MULTI_READ
#include "trace.h"
