/* SPDX-License-Identifier: MIT */
/* Where listeners come from: v6, systemd, and hosts that bind by themselves. */
#include "client.h"
#include "theatre.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Other families and sources --------------------------------------------------------------- */

static void
v6_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	if (actor_do(a, "listen web tcp://[::1]:0") == -EADDRNOTAVAIL) {
		print_message("skipped: there is no ::1 here\n");
		skip();
	}
	theatre_serves(a, "SERVE first 0 # ");
	int port = theatre_port(a, "web");
	struct actor *b = theatre_hands_over(t, a, 1, "b", "web tcp://[::1]:0?v6only=1");
	int fd = client_tcp6(port);
	assert_true(client_answered(fd, "b", "x"));
	close(fd);
	assert_true(client_refused(port));
	/* Asked for otherwise: kept, and told. */
	struct actor *c = theatre_hands_over(t, b, 2, "c", "web tcp://[::1]:0?v6only=0");
	assert_int_equal(actor_do(c, "log v6only"), 1);
	fd = client_tcp6(port);
	assert_true(client_answered(fd, "c", "x"));
	close(fd);
}

static struct actor *
starts_under_systemd(struct theatre *t, int which, const char *label, const int *fds, size_t count)
{
	struct actor_options options = { .label = label,
					 .systemd = fds,
					 .systemd_count = count,
					 .systemd_names = "http:http:spare" };
	struct actor *a = &t->actors[which];

	assert_int_equal(actor_start_with(a, &options), 0);
	assert_int_equal(actor_do(a, "new %s", t->socket), 0);
	assert_int_equal(actor_do(a, "start"), 0);
	return a;
}

static void
systemds_sockets_are_used_and_passed_on(void **state)
{
	struct theatre *t = *state;
	int ports[3];
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = theatre_bound(&ports[i]);
	struct actor *a = starts_under_systemd(t, 0, "a", fds, 3);
	assert_true(actor_do(a, "listen http tcp://127.0.0.1:%d", ports[1]) >= 0);
	assert_true(actor_do(a, "listen web tcp://127.0.0.1:%d", ports[0]) >= 0);
	theatre_serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(ports[0], "a") && client_served_by(ports[1], "a"));
	assert_int_equal(actor_do(a, "log systemd"), 1);

	/* With a predecessor: what that has comes from it, what it has not from systemd. */
	struct actor *b = starts_under_systemd(t, 1, "b", fds, 3);
	int open = actor_do(b, "fds");
	assert_true(actor_do(b, "listen http tcp://127.0.0.1:%d", ports[1]) >= 0);
	assert_true(actor_do(b, "listen web tcp://127.0.0.1:%d", ports[0]) >= 0);
	assert_true(actor_do(b, "listen spare tcp://127.0.0.1:%d", ports[2]) >= 0);
	assert_int_equal(actor_do(b, "fds"), open);
	theatre_serves(b, "SERVE committed 0 # ");
	theatre_leaves(a);
	for (int i = 0; i < 3; i++)
		assert_true(client_served_by(ports[i], "b"));
	assert_int_equal(actor_do(b, "log systemd"), 0);

	/* And then without it. */
	struct actor *c = theatre_starts(t, 2, "c");
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "web", "http", "spare" };
		int fd = actor_do(c, "listen %s tcp://127.0.0.1:%d", names[i], ports[i]);
		assert_true(fd >= 0);
	}
	theatre_serves(c, "SERVE committed 0 # ");
	theatre_leaves(b);
	for (int i = 0; i < 3; i++) {
		assert_true(client_served_by(ports[i], "c"));
		close(fds[i]);
	}
}

/* Hosts that bind by themselves. */
static void
what_is_offered_is_taken(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	assert_int_equal(actor_do(a, "bind http 0"), 0);
	int port = theatre_port(a, "http");
	assert_true(client_refused(port));
	theatre_serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(port, "a"));
	assert_int_equal(actor_do(a, "memfd state forty-two"), 0);

	struct actor *b = theatre_starts(t, 1, "b");
	assert_int_equal(actor_do(b, "inherited"), 2);
	assert_int_equal(actor_do(b, "read state"), 9);
	assert_string_equal(actor_text(b), "forty-two");
	assert_int_equal(actor_do(b, "adopt http"), 0);
	assert_int_equal(actor_do(b, "take http"), -ENOENT);
	theatre_serves(b, "SERVE committed 0 # ");
	theatre_leaves(a);
	assert_true(client_served_by(port, "b"));

	/* By address, for a server that has no names; and a listener of the library's from it. */
	struct actor *c = theatre_starts(t, 2, "c");
	assert_true(actor_do(c, "take_address %d", port) >= 0);
	assert_int_equal(actor_do(c, "take_address %d", port), -ENOENT);
	assert_int_equal(actor_do(c, "cancel"), 0);
	assert_non_null(actor_await(c, "FAILED given up"));
	char listen[64];
	snprintf(listen, sizeof(listen), "http tcp://127.0.0.1:%d", port);
	theatre_hands_over(t, b, 3, "d", listen);
	assert_true(client_served_by(port, "d"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(v6_passes_on),
		test(systemds_sockets_are_used_and_passed_on),
		test(what_is_offered_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
