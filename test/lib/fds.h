/* SPDX-License-Identifier: MIT */
/*
 * A process's descriptor table, so that a test can show that it is as before.
 */
#ifndef MOLT_TEST_FDS_H
#define MOLT_TEST_FDS_H

#include <sys/types.h>

struct fds;

/* What every open descriptor means now. NULL if that cannot be found out. */
struct fds *fds_snapshot(void);

/* The same of a child. */
struct fds *fds_snapshot_of(pid_t pid);

void fds_free(struct fds *fds);

/*
 * Compares that process's table of now with `before`, writes each difference to stderr, and returns
 * how many there are. -1: it cannot be found out.
 */
int fds_changed(const struct fds *before);

/* How many are open now. -1: it cannot be found out. */
int fds_count(void);

#endif
