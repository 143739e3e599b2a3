/* SPDX-License-Identifier: MIT */
/*
 * A directory of a test's own.
 */
#ifndef MOLT_TEST_TMPDIR_H
#define MOLT_TEST_TMPDIR_H

/* Makes one, mode 0700, and returns its absolute path, or NULL with errno set. */
char *tmpdir_make(void);

/* Removes it with all that is in it, and frees the path. -1 with errno set. NULL is allowed. */
int tmpdir_remove(char *path);

/* `path` of `directory`, in memory to be freed; NULL if there is none. */
char *tmpdir_join(const char *directory, const char *name);

#endif
