/* SPDX-License-Identifier: MIT */
/*
 * The last clients of a listener that is given up: who waited in its queue is answered, and who has
 * accepted them is not told to leave before.
 */
#include "actor.h"
#include "client.h"
#include "tmpdir.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { CLIENTS = 5 };

struct test {
	char *directory;
	struct actor old;
	struct actor new;
};

static int
setup(void **state)
{
	struct test *t = calloc(1, sizeof(*t));

	*state = t;
	return t != NULL && (t->directory = tmpdir_make()) != NULL ? 0 : -1;
}

static int
teardown(void **state)
{
	struct test *t = *state;

	actor_end(&t->new);
	actor_end(&t->old);
	tmpdir_remove(t->directory);
	free(t);
	return 0;
}

static void
begin(struct test *t, struct actor *a, const char *label)
{
	assert_int_equal(actor_start(a, label), 0);
	assert_int_equal(actor_do(a, "new %s/s", t->directory), 0);
	assert_int_equal(actor_do(a, "start"), 0);
}

/* They connect while nobody accepts: after PAUSE, before the commit. */
static void
test_clients_of_an_unclaimed_listener_are_answered(void **state)
{
	struct test *t = *state;
	int clients[CLIENTS];
	int port;

	begin(t, &t->old, "old");
	assert_int_equal(actor_do(&t->old, "hold_commit"), 0);
	assert_true(actor_do(&t->old, "listen admin tcp://127.0.0.1:0") >= 0);
	assert_int_equal(actor_do(&t->old, "ready"), 0);
	assert_non_null(actor_expect(&t->old, "SERVE first"));
	assert_true((port = actor_do(&t->old, "port admin 0")) > 0);
	begin(t, &t->new, "new");
	assert_int_equal(actor_do(&t->new, "ready"), 0);
	assert_non_null(actor_expect(&t->old, "PAUSE"));
	for (int i = 0; i < CLIENTS; i++)
		assert_true((clients[i] = client_tcp(port)) >= 0);
	assert_int_equal(actor_do(&t->old, "commit"), 0);
	assert_non_null(actor_expect(&t->old, "RETIRE unclaimed"));
	for (int i = 0; i < CLIENTS; i++) {
		assert_true(client_answered(clients[i], "old", "waited"));
		close(clients[i]);
	}
	assert_non_null(actor_await(&t->old, "LEAVE done"));
	assert_true(actor_ends_well(&t->old));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clients_of_an_unclaimed_listener_are_answered,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
