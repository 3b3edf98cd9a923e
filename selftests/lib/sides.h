/* SPDX-License-Identifier: GPL-2.0-only */
/* Umbra and stock KVM, one after the other, for benchmarks that compare them. */
#ifndef SIDES_H
#define SIDES_H

#include <stdbool.h>

/**
 * struct side - stock KVM, loaded in one way
 * @parameters: of its vendor's module; NULL ends an array
 * @measure: called while it is in
 */
struct side {
	const char *parameters;
	void (*measure)(void);
};

/*
 * Calls @umbra with Umbra's module in, then each of @kvm: never both at once. An Umbra
 * that is loaded already is used, and loaded again afterwards with the parameters it had;
 * a KVM that was loaded is too. Without stock KVM only Umbra is measured. False: a module
 * can't be loaded or unloaded.
 */
bool both_sides(void (*umbra)(void), const struct side *kvm);

#endif
