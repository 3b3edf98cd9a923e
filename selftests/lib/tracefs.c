// SPDX-License-Identifier: GPL-2.0-only
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ktap.h"
#include "tracefs.h"

#define INSTANCE	TRACEFS "/instances/umbra-test"

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);

	ASSERT_MSG(fd >= 0, "%s: %s", path, strerror(errno));
	ASSERT_MSG(write(fd, text, strlen(text)) == (ssize_t)strlen(text), "%s: %s", path,
		   strerror(errno));
	close(fd);
}

static void switch_events(char on)
{
	int fd = open(INSTANCE "/events/umbra/enable", O_RDWR);
	char now = 0;

	ASSERT_MSG(fd >= 0, "the events: %s", strerror(errno));
	ASSERT(read(fd, &now, 1) == 1);
	if (now != on)
		ASSERT(write(fd, &on, 1) == 1);
	close(fd);
}

void trace_start(void)
{
	if (access(TRACEFS "/events", F_OK))
		SKIP("no tracefs on " TRACEFS);
	if (!mkdir(INSTANCE, 0755))
		put(INSTANCE "/buffer_size_kb", "1024");
	else
		ASSERT(errno == EEXIST);
	put(INSTANCE "/tracing_on", "0");
	put(INSTANCE "/trace", "");
	switch_events('1');
	put(INSTANCE "/tracing_on", "1");
}

void trace_stop(void)
{
	put(INSTANCE "/tracing_on", "0");
}

void trace_off(void)
{
	switch_events('0');
}

static void put_ring(const struct trace_ring *ring, const char *file, const char *text)
{
	char path[256];

	snprintf(path, sizeof(path), TRACEFS "/instances/%s/%s", ring->name, file);
	put(path, text);
}

static void switch_ring(const struct trace_ring *ring, const char *on)
{
	char file[128];

	snprintf(file, sizeof(file), "events/umbra/%s%senable", ring->event,
		 *ring->event ? "/" : "");
	put_ring(ring, file, on);
}

void trace_ring_start(const struct trace_ring *ring)
{
	char text[256];

	if (access(TRACEFS "/events", F_OK))
		SKIP("no tracefs on " TRACEFS);
	snprintf(text, sizeof(text), TRACEFS "/instances/%s", ring->name);
	/* One that was left by a test that was killed. */
	ASSERT(!rmdir(text) || errno == ENOENT);
	ASSERT(!mkdir(text, 0755));
	snprintf(text, sizeof(text), "%u", ring->kib);
	put_ring(ring, "buffer_size_kb", text);
	switch_ring(ring, "1");
}

/* What a CPU's buffer says of itself: "NAME: NUMBER" lines, others too. */
static void add_lost(struct trace_lost *sum, FILE *f)
{
	static const char *const lost[] = { "overrun: ", "commit overrun: ", "dropped events: " };
	unsigned long long n;
	char line[128];
	size_t i;

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "entries: %llu", &n) == 1)
			sum->kept += n;
		for (i = 0; i < ARRAY_SIZE(lost); i++)
			if (!strncmp(line, lost[i], strlen(lost[i])))
				sum->lost += strtoull(line + strlen(lost[i]), NULL, 10);
	}
}

struct trace_lost trace_ring_end(const struct trace_ring *ring)
{
	struct trace_lost sum = { 0, 0 };
	long cpu, cpus = sysconf(_SC_NPROCESSORS_CONF);
	char path[256];
	FILE *f;

	switch_ring(ring, "0");
	for (cpu = 0; cpu < cpus; cpu++) {
		snprintf(path, sizeof(path), TRACEFS "/instances/%s/per_cpu/cpu%ld/stats",
			 ring->name, cpu);
		f = fopen(path, "r");
		ASSERT_MSG(f, "%s: %s", path, strerror(errno));
		add_lost(&sum, f);
		fclose(f);
	}
	snprintf(path, sizeof(path), TRACEFS "/instances/%s", ring->name);
	ASSERT(!rmdir(path));
	return sum;
}

void trace_end(void)
{
	ASSERT(!rmdir(INSTANCE) || errno == ENOENT);
}

static bool is_one(const char *line, const char *event, const char *text)
{
	const char *colon = strstr(line, ": ");
	size_t n;

	/* comm-pid [cpu] flags time: event: text */
	if (*line == '#' || !colon)
		return false;
	line = colon + 2;
	if (!event)
		return true;
	n = strlen(event);
	return !strncmp(line, event, n) && !strncmp(line + n, ": ", 2) && strstr(line + n, text);
}

static FILE *open_trace(void)
{
	FILE *f = fopen(INSTANCE "/trace", "r");

	ASSERT(f);
	return f;
}

unsigned int trace_count(const char *event, const char *text)
{
	unsigned int count = 0;
	FILE *f = open_trace();
	char line[4096];

	while (fgets(line, sizeof(line), f))
		count += is_one(line, event, text);
	fclose(f);
	return count;
}

void trace_show(unsigned int lines)
{
	FILE *f = open_trace();
	char line[4096];

	while (lines && fgets(line, sizeof(line), f)) {
		if (*line == '#')
			continue;
		line[strcspn(line, "\n")] = 0;
		ktap_diag("%s", line);
		lines--;
	}
	fclose(f);
}
