/* SPDX-License-Identifier: GPL-2.0-only */
/* The exit codes of every subcommand; umbra(1) has the same table. */
#ifndef UMBRA_EXITCODE_H
#define UMBRA_EXITCODE_H

enum umbra_exit_code {
	UMBRA_EXIT_OK = 0,		/* guest powered off or rebooted, or was told to stop */
	UMBRA_EXIT_TRIPLE_FAULT = 3,
	UMBRA_EXIT_ENTRY_FAILED = 4,
	UMBRA_EXIT_INTERNAL = 5,
	UMBRA_EXIT_USAGE = 64,
	UMBRA_EXIT_MISSING = 69,	/* a requirement is missing */
	UMBRA_EXIT_NOT_PERMITTED = 77,
};

#endif
