/* SPDX-License-Identifier: MIT */
/*
 * Where generations meet: the socket file.
 */
#include "rendezvous.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
molt__rendezvous_connect(const struct rendezvous *r, int *ret_fd)
{
	struct unix_address address;
	int fd;
	int error = molt__sys_unix_address_to_connect(molt__rendezvous_path(r), &address);

	if (error < 0)
		return error;
	fd = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	error = fd < 0 ? fd : molt__sys_pass_credentials(fd);
	/* A unix socket connects at once or not at all. */
	if (error == 0 &&
	    connect(fd, (const struct sockaddr *)&address.address, address.length) < 0)
		error = -errno;
	molt__sys_unix_address_close(&address);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	*ret_fd = fd;
	return 0;
}

/* Whether the socket file may be made: there is none, or one that nobody listens on. */
static int
check_free(const struct rendezvous *r)
{
	struct stat status;
	int fd, error;

	if (lstat(molt__rendezvous_path(r), &status) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(status.st_mode))
		return -ENOTSOCK;
	error = molt__rendezvous_connect(r, &fd);
	if (error == 0)
		molt__sys_close(fd);
	if (error == 0 || error == -EAGAIN || error == -EPROTOTYPE)
		return -EADDRINUSE;
	return error == -ECONNREFUSED || error == -ENOENT ? 0 : error;
}

/* A name in PATH's directory that nobody has; short, whatever PATH's own name is. */
static int
temporary_path(const struct rendezvous *r, char **ret_path)
{
	const char *path = molt__rendezvous_path(r);
	size_t directory = (size_t)(strrchr(path, '/') + 1 - path);
	size_t size = directory + sizeof(".molt-0123456789abcdef");
	uint64_t number;
	char *temporary;
	int error = molt__sys_random64(&number);

	if (error < 0)
		return error;
	temporary = malloc(size);
	if (!temporary)
		return -ENOMEM;
	snprintf(temporary, size, "%.*s.molt-%016llx", (int)directory, path,
		 (unsigned long long)number);
	*ret_path = temporary;
	return 0;
}

static int
bind_at(int fd, const char *path)
{
	struct unix_address address;
	int error = molt__sys_unix_address_to_bind(path, &address);

	if (error < 0)
		return error;
	if (bind(fd, (const struct sockaddr *)&address.address, address.length) < 0)
		error = -errno;
	molt__sys_unix_address_close(&address);
	return error;
}

static int
set_owner(const char *path, const struct socket_owner *owner)
{
	if (owner->uid != (uid_t)-1 || owner->gid != (gid_t)-1) {
		if (lchown(path, owner->uid, owner->gid) < 0)
			return -errno;
	}
	return chmod(path, owner->mode) < 0 ? -errno : 0;
}

/*
 * From a bound socket at `temporary` to a listening one at PATH. Nobody can connect before it
 * listens, so that until then its file may have the mode that the umask gave it.
 */
static int
put_in_place(const struct rendezvous *r, int fd, const char *temporary,
	     const struct socket_owner *owner, struct file_identity *ret_identity)
{
	int error = set_owner(temporary, owner);

	if (error == 0)
		error = molt__rendezvous_listen(fd);
	if (error == 0)
		error = molt__sys_identify_path(temporary, ret_identity);
	if (error == 0 && rename(temporary, molt__rendezvous_path(r)) < 0)
		error = -errno;
	return error;
}

static int
bind_and_place(const struct rendezvous *r, int fd, const struct socket_owner *owner,
	       struct file_identity *ret_identity)
{
	char *temporary;
	int error = temporary_path(r, &temporary);

	if (error < 0)
		return error;
	error = bind_at(fd, temporary);
	if (error == 0) {
		error = put_in_place(r, fd, temporary, owner, ret_identity);
		if (error < 0)
			unlink(temporary);
	}
	free(temporary);
	return error;
}

int
molt__rendezvous_bind(struct rendezvous *r, const struct socket_owner *owner, int *ret_fd,
		      struct file_identity *ret_identity)
{
	struct file_identity identity;
	int fd;
	int error = check_free(r);

	if (error < 0)
		return error;
	fd = molt__sys_open_socket(AF_UNIX, SOCK_SEQPACKET, 0);
	if (fd < 0)
		return fd;
	error = molt__sys_pass_credentials(fd);
	if (error == 0)
		error = bind_and_place(r, fd, owner, &identity);
	if (error < 0) {
		molt__sys_close(fd);
		return error;
	}
	*ret_fd = fd;
	*ret_identity = identity;
	return 0;
}

int
molt__rendezvous_listen(int fd)
{
	return listen(fd, SOMAXCONN) < 0 ? -errno : 0;
}

int
molt__rendezvous_path_is(const struct rendezvous *r, const struct file_identity *identity)
{
	struct file_identity found;
	int error = molt__sys_identify_path(molt__rendezvous_path(r), &found);

	if (error == -ENOENT)
		return 0;
	return error < 0 ? error : molt__sys_same_file(&found, identity);
}

int
molt__rendezvous_unlink(struct rendezvous *r, const struct file_identity *identity)
{
	struct file_identity found;
	int error = molt__sys_identify_path(molt__rendezvous_path(r), &found);

	if (error < 0)
		return error;
	if (!molt__sys_same_file(&found, identity))
		return -ESTALE;
	return unlink(molt__rendezvous_path(r)) < 0 ? -errno : 0;
}
