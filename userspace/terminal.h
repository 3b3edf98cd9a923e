/* SPDX-License-Identifier: GPL-2.0-only */
/* The one terminal of this process, and the promise to give it back as it was. */
#ifndef UMBRA_TERMINAL_H
#define UMBRA_TERMINAL_H

#include <termios.h>

#include "lib/libumbra.h"

/**
 * terminal_make_raw() - make @fd raw; @saved comes back at exit and on fatal signals
 *
 * Return: 0 or a negative errno.
 */
int terminal_make_raw(int fd, const struct termios *saved, struct umbra_err *err);

/** terminal_restore() - give the terminal back, if it was made raw. */
void terminal_restore(void);

#endif
