/* SPDX-License-Identifier: MIT */
/* Listeners of every kind through real handoffs: actors in processes of their own, clients here. */
#include "actor.h"
#include "client.h"
#include "fds.h"
#include "tmpdir.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ACTORS = 4 };

struct theatre {
	char *dir;
	char socket[256];
	struct fds *before;
	struct actor actors[ACTORS];
};

static int
set_up(void **state)
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

static int
tear_down(void **state)
{
	struct theatre *t = *state;
	int changed;

	for (int i = 0; i < ACTORS; i++)
		actor_end(&t->actors[i]);
	changed = fds_changed(t->before);
	fds_free(t->before);
	tmpdir_remove(t->dir);
	free(t);
	return changed;
}

/* --- Steps ------------------------------------------------------------------------------------ */

/* Starts an actor and its handle, up to where it can listen. */
static struct actor *
starts(struct theatre *t, int which, const char *label)
{
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start(a, label), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	return a;
}

static void
serves(struct actor *a, const char *how)
{
	assert_int_equal(actor_do(a, "ready"), 0);
	assert_non_null(actor_await(a, how));
}

/* The handoff to `b` as the predecessor sees it, without connections: it leaves. */
static void
leaves(struct actor *a)
{
	assert_non_null(actor_expect(a, "PAUSE"));
	assert_non_null(actor_await(a, "DRAIN"));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
}

#define listens(a, ...) assert_true(actor_do(a, "listen " __VA_ARGS__) >= 0)

static int
port_of(struct actor *a, const char *name)
{
	int port = actor_do(a, "port %s 0", name);

	assert_true(port > 0);
	return port;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void
a_port_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = starts(t, 0, "a");

	listens(a, "http tcp://127.0.0.1:0");
	int port = port_of(a, "http");
	assert_true(client_refused(port));
	serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(port, "a"));

	struct actor *b = starts(t, 1, "b");
	listens(b, "http tcp://127.0.0.1:0");
	assert_int_equal(port_of(b, "http"), port);
	assert_true(client_served_by(port, "a"));
	serves(b, "SERVE committed 0 # ");
	leaves(a);
	assert_true(client_served_by(port, "b"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_port_passes_on, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
