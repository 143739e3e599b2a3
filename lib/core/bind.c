/* SPDX-License-Identifier: MIT */
/* Fresh listening sockets, in two steps: bound, and later listening under their name. */
#include "bind.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys.h"

struct path {
	char text[ENTRY_ADDRESS_MAX + 1 + BIND_TEMPORARY_MAX + 1];
};

static int
set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno : 0;
}

int
molt__bind_allow_group(int fd)
{
	return set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

/*
 * SO_REUSEADDR on udp would let anybody share the port; on tcp it is about connections in
 * TIME_WAIT.
 */
static int
set_options(int fd, const struct address *a)
{
	int error = 0;

	if (a->record.family == AF_UNIX)
		return 0;
	if (a->record.type == SOCK_STREAM)
		error = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (!error && a->sockets > 1)
		error = molt__bind_allow_group(fd);
	if (!error && a->v6only >= 0)
		error = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, a->v6only);
	return error;
}

/* --- A name beside a path --- */

static void
beside(const char *path, const struct bind_pending *pending, struct path *ret)
{
	const char *slash = strrchr(path, '/');

	snprintf(ret->text, sizeof(ret->text), "%.*s/%s", (int)(slash - path), path,
		 pending->temporary);
}

static int
choose_name(struct bind_pending *pending)
{
	uint64_t number;
	int error = molt__sys_random64(&number);

	if (!error)
		snprintf(pending->temporary, sizeof(pending->temporary), ".molt-%016" PRIx64,
			 number);
	return error;
}

/*
 * The file has mode 0600 until it has the one that was asked for, so that nobody gets in between.
 * Without one the process's umask decides, as it does for everybody.
 */
static int
bind_path(int fd, const struct path *path, int mode)
{
	struct unix_address ua;
	int error = molt__sys_unix_address_to_bind(path->text, &ua);

	if (error)
		return error;
	if (mode >= 0)
		fchmod(fd, 0600);
	if (bind(fd, (struct sockaddr *)&ua.address, ua.length) < 0)
		error = -errno;
	molt__sys_unix_address_close(&ua);
	if (!error && mode >= 0 && chmod(path->text, (mode_t)mode) < 0) {
		error = -errno;
		unlink(path->text);
	}
	return error;
}

/* --- Binding --- */

static int
bind_unix_path(int fd, const struct address *a, struct entry *e, struct bind_pending *pending)
{
	struct path path;
	int error = choose_name(pending);

	if (error)
		return error;
	beside(a->record.text, pending, &path);
	error = bind_path(fd, &path, a->mode);
	if (error)
		return error;
	error = molt__sys_identify_path(path.text, &e->path);
	if (error)
		unlink(path.text);
	e->address = a->record;
	return error;
}

/* What the kernel made of it: the port, if it was 0. */
static int
bind_other(int fd, const struct address *a, struct entry *e)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int error = molt__address_sockaddr(&a->record, &sa, &len);

	if (error)
		return error;
	if (bind(fd, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	return molt__address_of_socket(fd, &e->address);
}

static int
read_v6only(int fd)
{
	int value;
	socklen_t size = sizeof(value);

	return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &value, &size) < 0 ? -1 : value != 0;
}

static int
describe(int fd, const struct address *a, struct entry *e)
{
	e->fd = fd;
	e->kind = molt__address_kind(&a->record);
	e->backlog = a->backlog;
	if (a->record.family == AF_INET6)
		e->v6only = read_v6only(fd);
	molt__sys_netns_cookie(fd, &e->netns);
	return molt__sys_identify(fd, &e->file);
}

static int
bind_socket(int fd, const struct address *a, struct entry *e, struct bind_pending *pending)
{
	int error = set_options(fd, a);

	if (error)
		return error;
	error = a->record.text[0] == '/' ? bind_unix_path(fd, a, e, pending) : bind_other(fd, a, e);
	return error ? error : describe(fd, a, e);
}

int
molt__bind_fresh(const struct address *a, struct entry *ret, struct bind_pending *ret_pending)
{
	struct bind_pending pending = { .temporary = "" };
	struct entry e;
	int fd = molt__sys_open_socket(a->record.family, a->record.type, 0);

	if (fd < 0)
		return fd;
	molt__entry_init(&e);
	int error = bind_socket(fd, a, &e, &pending);
	if (error) {
		molt__sys_close(fd);
		return error;
	}
	memcpy(e.name, ret->name, sizeof(e.name));
	*ret = e;
	*ret_pending = pending;
	return 0;
}

int
molt__bind_prepare(const struct address *a, struct entry *ret)
{
	struct entry e;
	int fd = molt__sys_open_socket(a->record.family, a->record.type, 0);

	if (fd < 0)
		return fd;
	molt__entry_init(&e);
	int error = set_options(fd, a);
	if (!error)
		error = describe(fd, a, &e);
	if (error) {
		molt__sys_close(fd);
		return error;
	}
	e.address = a->record;
	*ret = e;
	return 0;
}

int
molt__bind_join(const struct entry *e)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int error = molt__address_sockaddr(&e->address, &sa, &len);

	if (error)
		return error;
	return bind(e->fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
}

/* --- Entering and leaving service --- */

int
molt__bind_listen(const struct entry *e)
{
	if (e->kind != ENTRY_STREAM)
		return 0;
	return listen(e->fd, e->backlog > 0 ? e->backlog : SOMAXCONN) < 0 ? -errno : 0;
}

/* 0: nobody is there. A socket of another type that listens says EPROTOTYPE, and lives as well. */
static int
probe(const struct entry *e)
{
	struct unix_address ua;
	struct stat st;

	if (lstat(e->address.text, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	int fd = molt__sys_open_socket(AF_UNIX, e->address.type, 0);
	if (fd < 0)
		return fd;
	int error = molt__sys_unix_address_to_connect(e->address.text, &ua);
	if (!error) {
		error = connect(fd, (struct sockaddr *)&ua.address, ua.length) < 0 ? -errno
										   : -EADDRINUSE;
		molt__sys_unix_address_close(&ua);
	}
	molt__sys_close(fd);
	if (error == -ECONNREFUSED || error == -ENOENT)
		return 0;
	return error == -EAGAIN || error == -EPROTOTYPE ? -EADDRINUSE : error;
}

int
molt__bind_publish(const struct entry *e, struct bind_pending *pending)
{
	struct path path;

	if (pending->temporary[0] == '\0')
		return 0;
	int error = probe(e);
	if (error)
		return error;
	beside(e->address.text, pending, &path);
	if (rename(path.text, e->address.text) < 0)
		return -errno;
	pending->temporary[0] = '\0';
	return 0;
}

void
molt__bind_discard(const struct entry *e, struct bind_pending *pending)
{
	struct path path;

	if (pending->temporary[0] == '\0')
		return;
	beside(e->address.text, pending, &path);
	unlink(path.text);
	pending->temporary[0] = '\0';
}

int
molt__bind_unlink(const struct entry *e)
{
	struct file_identity now;

	if (e->address.text[0] != '/')
		return 0;
	int error = molt__sys_identify_path(e->address.text, &now);
	if (error)
		return error == -ENOENT ? 0 : error;
	if (!molt__sys_same_file(&now, &e->path))
		return -ESTALE;
	return unlink(e->address.text) < 0 ? -errno : 0;
}
