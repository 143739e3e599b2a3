/* SPDX-License-Identifier: MIT */
/*
 * A process's descriptor table.
 */
#include "fds.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fds {
	pid_t pid; /* 0: this process */
	int count;
	struct {
		int fd;
		char meaning[128]; /* what /proc calls it */
	} * open;
};

static int
add(struct fds *fds, int directory, const char *name)
{
	void *grown = realloc(fds->open, ((size_t)fds->count + 1) * sizeof(*fds->open));
	ssize_t length;

	if (!grown)
		return -1;
	fds->open = grown;
	fds->open[fds->count].fd = atoi(name);
	length = readlinkat(directory, name, fds->open[fds->count].meaning,
			    sizeof(fds->open[0].meaning) - 1);
	if (length < 0)
		return -1;
	fds->open[fds->count++].meaning[length] = '\0';
	return 0;
}

static DIR *
open_table(pid_t pid)
{
	char path[64] = "/proc/self/fd";

	if (pid != 0)
		snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
	return opendir(path);
}

struct fds *
fds_snapshot_of(pid_t pid)
{
	struct fds *fds = calloc(1, sizeof(*fds));
	DIR *directory = open_table(pid);
	int own = pid == 0 && directory ? dirfd(directory) : -1;
	struct dirent *entry;
	int r = fds && directory ? 0 : -1;

	if (fds)
		fds->pid = pid;
	while (r == 0 && (entry = readdir(directory))) {
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != own)
			r = add(fds, dirfd(directory), entry->d_name);
	}
	if (directory)
		closedir(directory);
	if (r == 0)
		return fds;
	fds_free(fds);
	return NULL;
}

struct fds *
fds_snapshot(void)
{
	return fds_snapshot_of(0);
}

void
fds_free(struct fds *fds)
{
	if (!fds)
		return;
	free(fds->open);
	free(fds);
}

/* What `fd` means in that table, or "nothing". */
static const char *
meaning_of(const struct fds *fds, int fd)
{
	for (int i = 0; i < fds->count; i++) {
		if (fds->open[i].fd == fd)
			return fds->open[i].meaning;
	}
	return "nothing";
}

/* Tells of those of `a` that mean something else in `b`, and counts them. */
static int
report(const struct fds *a, const char *when_a, const struct fds *b, const char *when_b)
{
	int differences = 0;

	for (int i = 0; i < a->count; i++) {
		const char *other = meaning_of(b, a->open[i].fd);

		if (strcmp(a->open[i].meaning, other) == 0)
			continue;
		fprintf(stderr, "descriptor %d: %s %s, %s %s\n", a->open[i].fd, when_a,
			a->open[i].meaning, when_b, other);
		differences++;
	}
	return differences;
}

int
fds_changed(const struct fds *before)
{
	struct fds *now = fds_snapshot_of(before->pid);
	int differences;

	if (!now)
		return -1;
	differences = report(before, "before", now, "now");
	differences += report(now, "now", before, "before");
	fds_free(now);
	return differences;
}

int
fds_count(void)
{
	struct fds *now = fds_snapshot();
	int count = now ? now->count : -1;

	fds_free(now);
	return count;
}
