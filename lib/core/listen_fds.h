/* SPDX-License-Identifier: MIT */
/*
 * The descriptors that systemd passes: LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES. The second source of
 * listeners, after a predecessor and before binding. Each is used once; what nobody asks for stays
 * open and untouched.
 */
#ifndef MOLT_CORE_LISTEN_FDS_H
#define MOLT_CORE_LISTEN_FDS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "entry.h"

enum {
	LISTEN_FDS_FIRST = 3,
	LISTEN_FDS_MAX = 1024,
};

struct listen_fds; /* NULL is an empty one, everywhere below */

/* What the environment says: any of them may be NULL. */
struct listen_fds_environment {
	const char *pid;
	const char *fds;
	const char *names;
};

/*
 * Reads them once, sets FD_CLOEXEC on each, and describes each as an entry. *ret is NULL, and the
 * answer 0, if LISTEN_PID is not `self` or there is nothing. A number that is not open is left out.
 * -EINVAL: LISTEN_FDS is no number from 0 to LISTEN_FDS_MAX. -ENOMEM.
 */
int molt__listen_fds_read(const struct listen_fds_environment *env, pid_t self,
			  struct listen_fds **ret);

/* Frees the table, and closes nothing. */
void molt__listen_fds_free(struct listen_fds *l);

/*
 * The first unused one of that name and, if `type` is not 0, that socket type; or of that address.
 * It is used from now on, and the caller's: *ret is filled whole. -ENOENT.
 */
int molt__listen_fds_take_name(struct listen_fds *l, const char *name, int type, struct entry *ret);
int molt__listen_fds_take_address(struct listen_fds *l, const struct address_record *asked,
				  struct entry *ret);

/* The unused one with this descriptor, likewise: -ENOENT. */
int molt__listen_fds_take_fd(struct listen_fds *l, int fd);

/* Whether systemd passed this file, used or not: then its path is systemd's to unlink. */
bool molt__listen_fds_passed(const struct listen_fds *l, const struct file_identity *file);

/*
 * The predecessor gave this file: closes the unused copy that systemd gave of it, and returns how
 * many were closed (0 or more).
 */
int molt__listen_fds_drop_given(struct listen_fds *l, const struct file_identity *file);

/* What nobody has asked for, from 0 up: NULL beyond the end. For the report. */
const struct entry *molt__listen_fds_unused(const struct listen_fds *l, size_t nth);

#endif
