/* SPDX-License-Identifier: MIT */
/* Descriptors passed by systemd: read once, each used once. */
#include "listen_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "sys.h"

struct listen_fds {
	size_t count;
	struct passed {
		bool used;
		struct entry entry;
	} passed[];
};

/* Digits alone. Returns -1 for anything else. */
static long
number(const char *text)
{
	char *end;

	if (!text || text[0] < '0' || text[0] > '9')
		return -1;
	errno = 0;
	long n = strtol(text, &end, 10);
	return *end == '\0' && errno == 0 ? n : -1;
}

/*
 * Takes one name off the list. One that could be no name here leaves the entry without: nobody asks
 * for it.
 */
static void
next_name(const char **names, struct entry *e)
{
	char name[ENTRY_NAME_MAX + 1];

	if (!*names)
		return;
	const char *end = strchrnul(*names, ':');
	size_t len = (size_t)(end - *names);
	if (len <= ENTRY_NAME_MAX) {
		memcpy(name, *names, len);
		name[len] = '\0';
		molt__entry_set_name(e, name);
	}
	*names = *end ? end + 1 : NULL;
}

static void
add(struct listen_fds *l, int fd, const struct entry *named)
{
	struct entry e = *named;
	char why[ADDRESS_WHY_MAX + 1];
	int flags = fcntl(fd, F_GETFD);

	if (flags < 0 || fcntl(fd, F_SETFD, flags | FD_CLOEXEC) < 0)
		return;
	if (molt__address_of_descriptor(fd, &e, why) < 0)
		return;
	l->passed[l->count++] = (struct passed){ .entry = e };
}

int
molt__listen_fds_read(const struct listen_fds_environment *env, pid_t self, struct listen_fds **ret)
{
	const char *names = env->names;
	long count = number(env->fds);

	if (number(env->pid) != self || !env->fds || count == 0) {
		*ret = NULL;
		return 0;
	}
	if (count < 0 || count > LISTEN_FDS_MAX)
		return -EINVAL;
	struct listen_fds *l = calloc(1, sizeof(*l) + (size_t)count * sizeof(l->passed[0]));
	if (!l)
		return -ENOMEM;
	for (int i = 0; i < count; i++) {
		struct entry e;
		molt__entry_init(&e);
		next_name(&names, &e);
		add(l, LISTEN_FDS_FIRST + i, &e);
	}
	*ret = l;
	return 0;
}

void
molt__listen_fds_free(struct listen_fds *l)
{
	free(l);
}

static struct passed *
next_unused(struct listen_fds *l, struct passed *after)
{
	struct passed *p = after ? after + 1 : l ? l->passed : NULL;

	while (p && p < l->passed + l->count && p->used)
		p++;
	return p && p < l->passed + l->count ? p : NULL;
}

static int
use(struct passed *p, struct entry *ret)
{
	p->used = true;
	*ret = p->entry;
	return 0;
}

int
molt__listen_fds_take_name(struct listen_fds *l, const char *name, int type, struct entry *ret)
{
	for (struct passed *p = NULL; (p = next_unused(l, p)) != NULL;) {
		if (strcmp(p->entry.name, name) != 0)
			continue;
		if (type == 0 || p->entry.address.type == type)
			return use(p, ret);
	}
	return -ENOENT;
}

int
molt__listen_fds_take_address(struct listen_fds *l, const struct address_record *asked,
			      struct entry *ret)
{
	for (struct passed *p = NULL; (p = next_unused(l, p)) != NULL;) {
		if (molt__address_record_match(asked, &p->entry.address))
			return use(p, ret);
	}
	return -ENOENT;
}

int
molt__listen_fds_take_fd(struct listen_fds *l, int fd)
{
	for (struct passed *p = NULL; (p = next_unused(l, p)) != NULL;) {
		if (p->entry.fd != fd)
			continue;
		p->used = true;
		return 0;
	}
	return -ENOENT;
}

bool
molt__listen_fds_passed(const struct listen_fds *l, const struct file_identity *file)
{
	for (size_t i = 0; l && i < l->count; i++) {
		if (molt__sys_same_file(&l->passed[i].entry.file, file))
			return true;
	}
	return false;
}

int
molt__listen_fds_drop_given(struct listen_fds *l, const struct file_identity *file)
{
	int closed = 0;

	for (struct passed *p = NULL; (p = next_unused(l, p)) != NULL;) {
		if (!molt__sys_same_file(&p->entry.file, file))
			continue;
		p->used = true;
		molt__sys_close(p->entry.fd);
		closed++;
	}
	return closed;
}

const struct entry *
molt__listen_fds_unused(const struct listen_fds *l, size_t nth)
{
	for (size_t i = 0; l && i < l->count; i++) {
		if (!l->passed[i].used && nth-- == 0)
			return &l->passed[i].entry;
	}
	return NULL;
}
