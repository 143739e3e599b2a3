/* SPDX-License-Identifier: MIT */
/*
 * Each system call with a trap in it, once.
 */
#include "sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* --- Descriptors ------------------------------------------------------------------------------ */

void
molt__sys_close(int fd)
{
	int saved = errno;

	/* After EINTR the number is free all the same: a second close could hit another's. */
	if (fd >= 0)
		close(fd);
	errno = saved;
}

void
molt__sys_close_all(const int *fds, size_t count)
{
	for (size_t i = 0; i < count; i++)
		molt__sys_close(fds[i]);
}

int
molt__sys_assert_flags(int fd)
{
	int status = fcntl(fd, F_GETFL);

	if (status < 0)
		return -errno;
	if (!(status & O_NONBLOCK) && fcntl(fd, F_SETFL, status | O_NONBLOCK) < 0)
		return -errno;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return -errno;
	return 0;
}

int
molt__sys_duplicate(int fd)
{
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

	return copy < 0 ? -errno : copy;
}

static struct file_identity
identity_of(const struct stat *status)
{
	return (struct file_identity){ .dev = status->st_dev, .ino = status->st_ino };
}

int
molt__sys_identify(int fd, struct file_identity *ret_identity)
{
	struct stat status;

	if (fstat(fd, &status) < 0)
		return -errno;
	*ret_identity = identity_of(&status);
	return 0;
}

int
molt__sys_identify_path(const char *path, struct file_identity *ret_identity)
{
	struct stat status;

	if (lstat(path, &status) < 0)
		return -errno;
	*ret_identity = identity_of(&status);
	return 0;
}

bool
molt__sys_same_file(const struct file_identity *a, const struct file_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino;
}

int
molt__sys_highest_fd(void)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	int highest = -1;

	if (!directory)
		return -errno;
	while ((entry = readdir(directory))) {
		int fd = atoi(entry->d_name);

		if (entry->d_name[0] != '.' && fd != dirfd(directory) && fd > highest)
			highest = fd;
	}
	closedir(directory);
	return highest;
}

int
molt__sys_room(int reserve)
{
	struct rlimit limit;
	int highest = molt__sys_highest_fd();
	long long room;

	if (highest < 0)
		return highest;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return -errno;
	if (limit.rlim_cur > INT_MAX)
		limit.rlim_cur = INT_MAX;
	room = (long long)limit.rlim_cur - highest - 1 - reserve;
	return room < 0 ? 0 : (int)room;
}

/* --- Sockets ---------------------------------------------------------------------------------- */

int
molt__sys_open_socket(int domain, int type, int protocol)
{
	int fd = socket(domain, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);

	return fd < 0 ? -errno : fd;
}

int
molt__sys_accept(int fd)
{
	int accepted;
	int r = molt__sys_assert_flags(fd);

	if (r < 0)
		return r;
	do
		accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (accepted < 0 && errno == EINTR);
	return accepted < 0 ? -errno : accepted;
}

int
molt__sys_peer(int fd, struct ucred *ret_cred)
{
	struct ucred cred;
	socklen_t length = sizeof(cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &length) < 0)
		return -errno;
	*ret_cred = cred;
	return 0;
}

int
molt__sys_pass_credentials(int fd)
{
	int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0 ? -errno : 0;
}

int
molt__sys_netns_cookie(int fd, uint64_t *ret_cookie)
{
	uint64_t cookie;
	socklen_t length = sizeof(cookie);

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &length) < 0)
		return -errno;
	*ret_cookie = cookie;
	return 0;
}

/* The address `text`, or -ENAMETOOLONG if it does not fit with its NUL. */
static int
fill_unix_address(const char *text, int fd, struct unix_address *ret_address)
{
	struct unix_address filled = { .address = { .sun_family = AF_UNIX }, .fd = fd };
	size_t length = strlen(text);

	if (length >= sizeof(filled.address.sun_path))
		return -ENAMETOOLONG;
	memcpy(filled.address.sun_path, text, length + 1);
	filled.length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + 1);
	*ret_address = filled;
	return 0;
}

/* The address `/proc/self/fd/N` and `name` behind it. Takes `fd`, but for a failure. */
static int
fill_proc_address(int fd, const char *name, struct unix_address *ret_address)
{
	char text[sizeof(ret_address->address.sun_path)];
	int length = snprintf(text, sizeof(text), "/proc/self/fd/%d%s", fd, name);

	if (length < 0 || (size_t)length >= sizeof(text))
		return -ENAMETOOLONG;
	return fill_unix_address(text, fd, ret_address);
}

static int
open_place(const char *path, int flags)
{
	int fd = open(path, O_PATH | O_CLOEXEC | flags);

	return fd < 0 ? -errno : fd;
}

int
molt__sys_unix_address_to_bind(const char *path, struct unix_address *ret_address)
{
	const char *name = strrchr(path, '/');
	char directory[PATH_MAX];
	int fd, r;

	if (fill_unix_address(path, -1, ret_address) == 0)
		return 0;
	if (!name || (size_t)(name - path) >= sizeof(directory))
		return -ENAMETOOLONG;
	memcpy(directory, path, (size_t)(name - path));
	directory[name - path] = '\0';
	fd = open_place(directory, O_DIRECTORY);
	if (fd < 0)
		return fd;
	r = fill_proc_address(fd, name, ret_address);
	if (r < 0)
		molt__sys_close(fd);
	return r;
}

int
molt__sys_unix_address_to_connect(const char *path, struct unix_address *ret_address)
{
	int fd;

	if (fill_unix_address(path, -1, ret_address) == 0)
		return 0;
	/* The socket file itself, so that its name may be as long as any. */
	fd = open_place(path, 0);
	return fd < 0 ? fd : fill_proc_address(fd, "", ret_address);
}

void
molt__sys_unix_address_close(struct unix_address *address)
{
	molt__sys_close(address->fd);
	address->fd = -1;
}

/* --- Locks ------------------------------------------------------------------------------------ */

int
molt__sys_lock_life(int fd)
{
	int r;

	do
		r = flock(fd, LOCK_EX | LOCK_NB);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -errno : 0;
}

static int
set_owner_lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 1 };

	/* POSIX lets a busy lock be EACCES as well. */
	if (fcntl(fd, F_OFD_SETLK, &lock) < 0)
		return errno == EACCES ? -EAGAIN : -errno;
	return 0;
}

int
molt__sys_lock_owner(int fd)
{
	return set_owner_lock(fd, F_WRLCK);
}

int
molt__sys_unlock_owner(int fd)
{
	return set_owner_lock(fd, F_UNLCK);
}

/* --- The rest --------------------------------------------------------------------------------- */

int
molt__sys_random64(uint64_t *ret_number)
{
	uint64_t number = 0;

	while (number == 0) {
		if (getrandom(&number, sizeof(number), 0) == (ssize_t)sizeof(number))
			continue;
		if (errno != EINTR)
			return -errno;
		number = 0;
	}
	*ret_number = number;
	return 0;
}

int
molt__sys_open_pidfd(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return fd < 0 ? -errno : fd;
}
