/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef UMBRA_IOCTL_H
#define UMBRA_IOCTL_H

int umbra_ioctl_init(void);	/* register the nodes; -EBUSY, -ENOMEM */
void umbra_ioctl_exit(void);

#endif
