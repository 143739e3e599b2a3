/* SPDX-License-Identifier: MIT */
/*
 * A directory of a test's own.
 */
#include "tmpdir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>

char *
tmpdir_make(void)
{
	char *path = tmpdir_join(getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", "molt-test-XXXXXX");

	if (path && !mkdtemp(path)) {
		free(path);
		return NULL;
	}
	return path;
}

static int
remove_one(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status;
	(void)type;
	(void)place;
	return remove(path);
}

int
tmpdir_remove(char *path)
{
	int r;

	if (!path)
		return 0;
	r = nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	free(path);
	return r;
}

char *
tmpdir_join(const char *directory, const char *name)
{
	char *path;

	return asprintf(&path, "%s/%s", directory, name) < 0 ? NULL : path;
}
