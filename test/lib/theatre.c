/* SPDX-License-Identifier: MIT */
/* A test with actors on one socket file. */
#include "theatre.h"
#include "fds.h"
#include "tmpdir.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

int
theatre_set_up(void **state)
{
	struct theatre *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->before = fds_snapshot();
	t->dir = tmpdir_make();
	assert_non_null(t->dir);
	snprintf(t->socket, sizeof(t->socket), "%s/molt.sock", t->dir);
	*state = t;
	return 0;
}

int
theatre_tear_down(void **state)
{
	struct theatre *t = *state;
	int changed;

	for (int i = 0; i < THEATRE_ACTORS; i++)
		actor_end(&t->actors[i]);
	changed = fds_changed(t->before);
	fds_free(t->before);
	tmpdir_remove(t->dir);
	free(t);
	return changed;
}

/* --- Steps ------------------------------------------------------------------------------------ */

struct actor *
theatre_starts(struct theatre *t, int which, const char *label)
{
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start(a, label), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	return a;
}

void
theatre_serves(struct actor *a, const char *how)
{
	assert_int_equal(actor_do(a, "ready"), 0);
	assert_non_null(actor_await(a, how));
}

void
theatre_leaves(struct actor *a)
{
	assert_non_null(actor_expect(a, "PAUSE"));
	assert_non_null(actor_await(a, "DRAIN"));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
}

int
theatre_port(struct actor *a, const char *name)
{
	int port = actor_do(a, "port %s 0", name);

	assert_true(port > 0);
	return port;
}

void
theatre_listens(struct actor *a, const char *what)
{
	assert_true(actor_do(a, "listen %s", what) >= 0);
}

struct actor *
theatre_hands_over(struct theatre *t, struct actor *a, int which, const char *label,
		   const char *listen)
{
	struct actor *b = theatre_starts(t, which, label);

	assert_true(actor_do(b, "listen %s", listen) >= 0);
	theatre_serves(b, "SERVE committed 0 # ");
	theatre_leaves(a);
	return b;
}

int
theatre_bound(int *ret_port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t length = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
	*ret_port = ntohs(a.sin_port);
	return fd;
}

int
theatre_free_port(void)
{
	int port;

	close(theatre_bound(&port));
	return port;
}
