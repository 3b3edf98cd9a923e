// SPDX-License-Identifier: GPL-2.0-only
/*
 * slabs: how many objects are in use in each of the kernel's caches that we could leak
 * into, as lines of NAME and COUNT. Exit: 0, or the errno of what failed. For scripts.
 *
 * A slab that a CPU has for itself counts as full, and one of small objects has hundreds.
 * So a cache is counted right behind its «shrink», which takes them back, through files that
 * are open already. What the kernel copies our word into counts too: it is as long as may
 * be, so that it comes from the cache whose slabs have the fewest objects, four.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CACHES		"/sys/kernel/slab"
#define CACHES_MAX	480	/* two files each, of the 1024 a process may have */

struct cache {
	const char *name;
	int shrink, objects;
	long count;
};

static int wanted(const struct dirent *d)
{
	static const char *const names[] = {
		"kmalloc", "anon_vma", "filp", "inode", "mm_struct", "vm_area", "radix", "umbra",
		"dentry", "task_struct", "fpu", "cred",
	};
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(d->d_name, names[i], strlen(names[i])))
			return 1;
	return 0;
}

static int open_file(const char *cache, const char *name, int flags)
{
	char path[512];

	snprintf(path, sizeof(path), CACHES "/%s/%s", cache, name);
	return open(path, flags | O_CLOEXEC);
}

static int count(struct cache *c)
{
	static const char word[4096] = "1";
	char text[256] = "";

	if (pwrite(c->shrink, word, sizeof(word), 0) <= 0 ||
	    pread(c->objects, text, sizeof(text) - 1, 0) <= 0)
		return errno;
	c->count = strtol(text, NULL, 10);
	return 0;
}

int main(void)
{
	static struct cache caches[CACHES_MAX];
	struct dirent **found;
	int i, n = scandir(CACHES, &found, wanted, alphasort);

	if (n <= 0 || n > CACHES_MAX)
		return n < 0 ? errno : ENOENT;
	for (i = 0; i < n; i++) {
		struct cache *c = &caches[i];

		c->name = found[i]->d_name;
		c->shrink = open_file(c->name, "shrink", O_WRONLY);
		c->objects = open_file(c->name, "objects", O_RDONLY);
		if (c->shrink < 0 || c->objects < 0)
			return errno;
	}
	for (i = 0; i < n; i++) {
		int err = count(&caches[i]);

		if (err)
			return err;
	}
	for (i = 0; i < n; i++)
		printf("%s %ld\n", caches[i].name, caches[i].count);
	return 0;
}
