/* SPDX-License-Identifier: MIT */
/*
 * Where generations meet: the lock file, with life lock, owner lock and record.
 */
#include "rendezvous.h"

#include "record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct rendezvous {
	char *path;
	char *lock_path;
	int lock_fd; /* this process's own open, for OWNER and RECORD: never handed on */
	int life_fd; /* the open that carries LIFE through the generations, or -1 */
	bool holds_owner;
};

/* How often a lock file that is replaced under our hands is opened anew. */
enum { REPLACED_ATTEMPTS = 2 };

/* --- A rendezvous ----------------------------------------------------------------------------- */

static char *
join(const char *a, const char *b)
{
	size_t length = strlen(a) + strlen(b) + 1;
	char *joined = malloc(length);

	if (joined)
		snprintf(joined, length, "%s%s", a, b);
	return joined;
}

int
molt__rendezvous_new(const char *path, struct rendezvous **ret_rendezvous)
{
	struct rendezvous *r;

	if (path[0] != '/')
		return -EINVAL;
	r = malloc(sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->path = join(path, "");
	r->lock_path = join(path, ".lock");
	r->lock_fd = -1;
	r->life_fd = -1;
	r->holds_owner = false;
	if (!r->path || !r->lock_path) {
		molt__rendezvous_free(r);
		return -ENOMEM;
	}
	*ret_rendezvous = r;
	return 0;
}

void
molt__rendezvous_free(struct rendezvous *r)
{
	if (!r)
		return;
	molt__rendezvous_after_fork(r);
	free(r->path);
	free(r->lock_path);
	free(r);
}

const char *
molt__rendezvous_path(const struct rendezvous *r)
{
	return r->path;
}

const char *
molt__rendezvous_lock_path(const struct rendezvous *r)
{
	return r->lock_path;
}

static void
close_lock(struct rendezvous *r)
{
	molt__sys_close(r->lock_fd);
	r->lock_fd = -1;
	r->holds_owner = false;
}

void
molt__rendezvous_after_fork(struct rendezvous *r)
{
	close_lock(r);
	molt__rendezvous_close_life(r);
}

/* --- The lock file ---------------------------------------------------------------------------- */

/*
 * Opens the lock file, and makes it only if it is not there: where fs.protected_regular is on, even
 * root's O_CREAT fails on another user's file in a directory like /tmp.
 */
static int
open_file(const char *path)
{
	const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;

	for (;;) {
		int fd = open(path, flags);

		if (fd < 0 && errno == ENOENT)
			fd = open(path, flags | O_CREAT | O_EXCL, 0600);
		if (fd >= 0)
			return fd;
		if (errno != EEXIST && errno != EINTR)
			return -errno;
	}
}

/*
 * Makes the page exist without ever touching what is in it: another process may be writing. Where
 * blocks can't be reserved, growing the file is all there is to do.
 */
static int
reserve_page(int fd)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	if (!S_ISREG(status.st_mode))
		return -EINVAL;
	if (fallocate(fd, 0, 0, RECORD_FILE_BYTES) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENOSYS && errno != EINTR)
		return -errno;
	if (status.st_size < RECORD_FILE_BYTES && ftruncate(fd, RECORD_FILE_BYTES) < 0)
		return -errno;
	return 0;
}

int
molt__rendezvous_open_lock(struct rendezvous *r)
{
	int fd, error;

	if (r->holds_owner)
		return -EBUSY;
	fd = open_file(r->lock_path);
	if (fd < 0)
		return fd;
	error = reserve_page(fd);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	close_lock(r);
	r->lock_fd = fd;
	return 0;
}

int
molt__rendezvous_set_lock_owner(struct rendezvous *r, uid_t uid, gid_t gid)
{
	mode_t mode = gid == (gid_t)-1 ? 0600 : 0660;

	/* Closed to the new group until it is the right one. */
	if (fchmod(r->lock_fd, 0600) < 0 || fchown(r->lock_fd, uid, gid) < 0)
		return -errno;
	return fchmod(r->lock_fd, mode) < 0 ? -errno : 0;
}

/* Whether `fd`, our own open and PATH.lock are all one file: 0, or -ESTALE, or an error. */
static int
check_same_lock_file(const struct rendezvous *r, int fd)
{
	struct file_identity given, own, named;
	int error = molt__sys_identify(fd, &given);

	if (error == 0)
		error = molt__sys_identify(r->lock_fd, &own);
	if (error == 0)
		error = molt__sys_identify_path(r->lock_path, &named);
	if (error < 0)
		return error == -ENOENT ? -ESTALE : error;
	return molt__sys_same_file(&given, &own) && molt__sys_same_file(&given, &named) ? 0
											: -ESTALE;
}

static int
try_take_life(struct rendezvous *r)
{
	int error;
	int fd = open_file(r->lock_path);

	if (fd < 0)
		return fd;
	error = molt__sys_lock_life(fd);
	/* Only now, because a file that was deleted meanwhile locks nothing. */
	if (error == 0)
		error = check_same_lock_file(r, fd);
	if (error < 0)
		molt__sys_close(fd);
	else
		r->life_fd = fd;
	return error;
}

int
molt__rendezvous_take_life(struct rendezvous *r)
{
	int error = -ESTALE;

	for (int i = 0; i < REPLACED_ATTEMPTS && error == -ESTALE; i++) {
		error = i > 0 ? molt__rendezvous_open_lock(r) : 0;
		if (error == 0)
			error = try_take_life(r);
	}
	return error;
}

int
molt__rendezvous_adopt_life(struct rendezvous *r, int fd)
{
	int error = check_same_lock_file(r, fd);

	if (error < 0)
		return error;
	molt__rendezvous_close_life(r);
	r->life_fd = fd;
	return 0;
}

int
molt__rendezvous_life_fd(const struct rendezvous *r)
{
	return r->life_fd;
}

void
molt__rendezvous_close_life(struct rendezvous *r)
{
	molt__sys_close(r->life_fd);
	r->life_fd = -1;
}

int
molt__rendezvous_lock_owner(struct rendezvous *r)
{
	int error = molt__sys_lock_owner(r->lock_fd);

	if (error == 0)
		r->holds_owner = true;
	return error;
}

void
molt__rendezvous_unlock_owner(struct rendezvous *r)
{
	/* An unlock that fails (the kernel has no memory) must not leave the lock behind. */
	if (molt__sys_unlock_owner(r->lock_fd) < 0)
		close_lock(r);
	r->holds_owner = false;
}

bool
molt__rendezvous_holds_owner(const struct rendezvous *r)
{
	return r->holds_owner;
}

/* --- The record ------------------------------------------------------------------------------- */

int
molt__rendezvous_read_record(const struct rendezvous *r, struct record *ret_record)
{
	return molt__record_read(r->lock_fd, ret_record);
}

int
molt__rendezvous_write_record(struct rendezvous *r, const struct record *record)
{
	return r->holds_owner ? molt__record_write(r->lock_fd, record) : -EPERM;
}
