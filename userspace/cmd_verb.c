// SPDX-License-Identifier: GPL-2.0-only
/* umbra pause, resume, stop: one request to one VM. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "exitcode.h"
#include "runtime.h"
#include "util.h"

#define PATIENCE_SECONDS	60

static const struct verb {
	const char *name;
	const char *help;
	bool ends;		/* the command ends with the VM */
} verbs[] = {
	{ "pause", "Stop a VM's CPUs; when the command ends none of them is in the guest.", false },
	{ "resume", "Let a paused VM go on.", false },
	{ "stop", "End a VM, as its power switch would; the command ends after it.", true },
};

static const struct verb *find(const char *name)
{
	size_t i;

	for (i = 0; i < sizeof(verbs) / sizeof(verbs[0]) - 1; i++)
		if (!strcmp(name, verbs[i].name))
			break;
	return &verbs[i];
}

static int usage(const struct verb *v, const char *why)
{
	complain("%s: %s; see umbra %s --help", v->name, why, v->name);
	return UMBRA_EXIT_USAGE;
}

static int help(const struct verb *v)
{
	int n = printf("Usage: umbra %s NAME\n%s\n\n"
		       "  NAME              the VM's, as `umbra list` shows it\n"
		       "  --help            this text\n", v->name, v->help);

	return n < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
}

static int ask(const struct verb *v, const char *name)
{
	char dir[RUNTIME_PATH_MAX];
	struct umbra_err err;
	json_t *result;
	int fd, ret;

	if (runtime_dir(dir, &err)) {
		complain("%s %s: %s", v->name, name, err.text);
		return UMBRA_EXIT_MISSING;
	}
	ret = client_ask(dir, name, v->name, NULL, PATIENCE_SECONDS, &fd, &result, &err);
	if (ret)
		return client_failure(v->name, name, ret, &err);
	json_decref(result);
	if (!v->ends) {
		close(fd);
		return UMBRA_EXIT_OK;
	}
	ret = client_wait_end(fd);
	if (ret)
		umbra_fail(&err, ret, "it was told to, and has not ended");
	return ret ? client_failure(v->name, name, ret, &err) : UMBRA_EXIT_OK;
}

int cmd_verb(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	const struct verb *v = find(argv[0]);
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1)
		return id == 'h' ? help(v) : usage(v, "unknown option");
	if (optind == argc)
		return usage(v, "the VM's name is missing");
	if (optind + 1 < argc)
		return usage(v, "one name only");
	if (!valid_name(argv[optind]))
		return usage(v, "that is no name");
	return ask(v, argv[optind]);
}
