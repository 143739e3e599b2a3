/* SPDX-License-Identifier: MIT */
/* A handle whose state a white-box test sets by hand. */
#include "bench.h"
#include "fds.h"
#include "tmpdir.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

/* --- The stage -------------------------------------------------------------------------------- */

static void
write_log(void *arg, int severity, const char *key, const char *line)
{
	struct bench *b = arg;
	size_t length = strlen(b->log);

	(void)severity;
	snprintf(b->log + length, sizeof(b->log) - length, "%s: %s\n", key, line);
}

int
bench_set_up(void **state)
{
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	b->before = fds_snapshot();
	b->dir = tmpdir_make();
	b->m = calloc(1, sizeof(*b->m));
	assert_non_null(b->m);
	b->m->epoll = b->m->wake = -1;
	b->m->log = write_log;
	b->m->log_arg = b;
	b->m->handoff.state = HANDOFF_FIRST;
	molt__inventory_init(&b->m->inventory);
	*state = b;
	return 0;
}

int
bench_tear_down(void **state)
{
	struct bench *b = *state;
	int changed;

	b->m->handoff.state = HANDOFF_FAILED;
	molt__listeners_close(b->m);
	molt__inventory_clear(&b->m->inventory);
	molt__listen_fds_free(b->m->listen_fds);
	free(b->event.entries);
	free(b->m);
	changed = fds_changed(b->before);
	fds_free(b->before);
	tmpdir_remove(b->dir);
	free(b);
	return changed;
}

/* --- Steps ------------------------------------------------------------------------------------ */

void
bench_becomes(struct bench *b, enum handoff_state state)
{
	b->m->handoff.state = (uint8_t)state;
}

/* Enters service as the engine does. */
void
bench_activate(struct bench *b)
{
	bench_becomes(b, HANDOFF_SERVING);
	free(b->event.entries);
	b->event = (struct molt_event){ .type = MOLT_SERVE, .fd = -1 };
	molt__listeners_activate(b->m, &b->event);
}

static int
option(int fd, int level, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	getsockopt(fd, level, name, &value, &length);
	return value;
}

bool
bench_is_listening(int fd)
{
	return option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1;
}

bool
bench_is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

int
bench_port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t length = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	return ntohs(a.sin6_port);
}

/* A bound socket of somebody else's. */
int
bench_foreign(int type, int port, bool group)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	int on = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (group)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	return fd;
}

/* What a predecessor would say of this socket. */
struct entry
bench_announced(const char *name, uint32_t id, int fd)
{
	char why[ADDRESS_WHY_MAX + 1];
	struct entry e;

	molt__entry_init(&e);
	assert_int_equal(molt__entry_set_name(&e, name), 0);
	assert_int_equal(molt__address_of_descriptor(fd, &e, why), 0);
	e.id = id;
	e.index = id - 1;
	return e;
}

int
bench_inherits(struct bench *b, const char *name, uint32_t id, int fd)
{
	struct entry e = bench_announced(name, id, fd);

	return molt__listeners_inherit(b->m, &e);
}

/* A group, as it was inherited. Returns its port. */
int
bench_inherits_group(struct bench *b, const char *name, int type, int count)
{
	int port = 0;

	for (int i = 0; i < count; i++) {
		int fd = bench_foreign(type, port, true);
		port = bench_port_of(fd);
		assert_int_equal(bench_inherits(b, name, (uint32_t)i + 1, fd), 0);
	}
	return port;
}

int
bench_count_status(struct bench *b, enum inventory_status status)
{
	return molt__inventory_count(&b->m->inventory, INVENTORY_SET(status));
}

int
bench_files_in(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	int count = 0;

	assert_non_null(d);
	while ((entry = readdir(d)) != NULL)
		count += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	closedir(d);
	return count;
}

/* Room for only so many more descriptors. */
struct rlimit
bench_limit_descriptors(int more)
{
	struct rlimit old;
	struct rlimit new;
	int lowest = dup(STDIN_FILENO);

	close(lowest);
	getrlimit(RLIMIT_NOFILE, &old);
	new = old;
	new.rlim_cur = (rlim_t)(lowest + more);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &new), 0);
	return old;
}
