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
