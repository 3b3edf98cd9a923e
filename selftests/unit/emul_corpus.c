// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fuzzer's corpus, input by input, without the fuzzer.
 *
 * usage: emul_corpus                  replay emul_corpus.bin
 *        emul_corpus --pack DIR       make that file of the inputs in DIR
 *        emul_corpus --unpack DIR     the reverse
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "emul_types.h"
#include "tap.h"

#define CORPUS		"emul_corpus.bin"
#define INPUT_MAX	4096

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

/* Each input with its length, two bytes, before it. 0: that was the last. */
static size_t next_input(FILE *f, u8 *data)
{
	u8 len[2];
	size_t n;

	if (fread(len, 1, 2, f) != 2)
		return 0;
	n = len[0] | len[1] << 8;
	if (n > INPUT_MAX || fread(data, 1, n, f) != n) {
		fprintf(stderr, "%s is damaged\n", CORPUS);
		exit(1);
	}
	return n;
}

static FILE *open_or_die(const char *path, const char *mode)
{
	FILE *f = fopen(path, mode);

	if (!f) {
		perror(path);
		exit(1);
	}
	return f;
}

static int is_input(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

static int pack(const char *dir)
{
	FILE *out = open_or_die(CORPUS, "w");
	struct dirent **names;
	int i, n = scandir(dir, &names, is_input, alphasort);

	for (i = 0; i < n; i++) {
		u8 data[INPUT_MAX];
		char path[512];
		size_t len;
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", dir, names[i]->d_name);
		f = open_or_die(path, "r");
		len = fread(data, 1, sizeof(data), f);
		fclose(f);
		fputc(len & 0xff, out);
		fputc(len >> 8, out);
		fwrite(data, 1, len, out);
		free(names[i]);
	}
	free(names);
	return fclose(out) ? 1 : 0;
}

static int unpack(const char *dir)
{
	FILE *f = open_or_die(CORPUS, "r");
	u8 data[INPUT_MAX];
	unsigned int i = 0;
	size_t n;

	while ((n = next_input(f, data))) {
		char path[512];
		FILE *out;

		snprintf(path, sizeof(path), "%s/%05u", dir, i++);
		out = open_or_die(path, "w");
		fwrite(data, 1, n, out);
		if (fclose(out))
			return 1;
	}
	fclose(f);
	return 0;
}

int main(int argc, char **argv)
{
	u8 data[INPUT_MAX];
	unsigned int inputs = 0;
	size_t n;
	FILE *f;

	if (argc == 3 && !strcmp(argv[1], "--pack"))
		return pack(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "--unpack"))
		return unpack(argv[2]);
	tap_begin();
	f = open_or_die(CORPUS, "r");
	while ((n = next_input(f, data))) {
		LLVMFuzzerTestOneInput(data, n);
		inputs++;
	}
	fclose(f);
	/* A broken promise ends the program. */
	tap_ok(inputs > 100, "%u inputs of the fuzzer, none of which breaks a promise", inputs);
	return tap_end();
}
