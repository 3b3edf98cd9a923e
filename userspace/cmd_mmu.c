// SPDX-License-Identifier: GPL-2.0-only
/* umbra mmu: how a VM's memory is virtualized, shown or changed. */
#include <getopt.h>
#include <stdio.h>
#include <unistd.h>

#include "client.h"
#include "commands.h"
#include "exitcode.h"
#include "mmu.h"
#include "runtime.h"
#include "util.h"

#define PATIENCE_SECONDS	60
#define PAUSE_MS		10

static const char help_text[] =
"Usage: umbra mmu NAME [MODE]\n"
"Show how a VM's memory is virtualized, or change it while the VM runs.\n"
"\n"
"  NAME              the VM's, as `umbra list` shows it\n"
"  MODE              auto, hardware (npt on AMD, ept on Intel), shadow-lazy or\n"
"                    shadow-eager\n"
"  --help            this text\n";

static int usage(const char *why)
{
	complain("mmu: %s; see umbra mmu --help", why);
	return UMBRA_EXIT_USAGE;
}

/* Ask once. Return: an exit code; @busy: it was too early for a change. */
static int ask(const char *dir, const char *name, const char *mode, bool *busy)
{
	struct umbra_err err;
	json_t *result;
	int ret;

	*busy = false;
	ret = client_ask(dir, name, "mmu", mode ? json_pack("{s:s}", "mode", mode) : NULL,
			 PATIENCE_SECONDS, NULL, &result, &err);
	if (ret)
		return client_failure("mmu", name, ret, &err);
	*busy = json_is_true(json_object_get(result, "busy"));
	if (!mode) {
		const char *now = json_string_value(json_object_get(result, "mode"));

		ret = printf("%s\n", now ? now : "-") < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
	}
	json_decref(result);
	return ret;
}

/* A vCPU may still be on its way from the change before. */
static int ask_until_done(const char *name, const char *mode)
{
	int ret, tries = PATIENCE_SECONDS * 1000 / PAUSE_MS;
	char dir[RUNTIME_PATH_MAX];
	struct umbra_err err;
	bool busy;

	if (runtime_dir(dir, &err)) {
		complain("mmu %s: %s", name, err.text);
		return UMBRA_EXIT_MISSING;
	}
	while (!(ret = ask(dir, name, mode, &busy)) && busy) {
		if (!tries--) {
			complain("mmu %s: a vCPU has not made the change before", name);
			return UMBRA_EXIT_MISSING;
		}
		usleep(PAUSE_MS * 1000);
	}
	return ret;
}

int cmd_mmu(int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int id;

	opterr = 0;
	while ((id = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (id != 'h')
			return usage("unknown option");
		return fputs(help_text, stdout) < 0 ? UMBRA_EXIT_INTERNAL : UMBRA_EXIT_OK;
	}
	if (optind == argc)
		return usage("the VM's name is missing");
	if (optind + 2 < argc)
		return usage("a name and a mode, no more");
	if (!valid_name(argv[optind]))
		return usage("that is no name");
	if (argv[optind + 1] && !mmu_known(argv[optind + 1]))
		return usage("that is no mode");
	return ask_until_done(argv[optind], argv[optind + 1]);
}
