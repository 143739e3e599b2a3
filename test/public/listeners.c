/* SPDX-License-Identifier: MIT */
/* Listeners through real handoffs: passed on, grown, changed from one version to the next. */
#include "client.h"
#include "theatre.h"

#include <netinet/in.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Tests ------------------------------------------------------------------------------------ */

static void
a_port_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	theatre_listens(a, "http tcp://127.0.0.1:0");
	int port = theatre_port(a, "http");
	assert_true(client_refused(port));
	theatre_serves(a, "SERVE first 0 # ");
	assert_true(client_served_by(port, "a"));

	struct actor *b = theatre_starts(t, 1, "b");
	theatre_listens(b, "http tcp://127.0.0.1:0");
	assert_int_equal(theatre_port(b, "http"), port);
	assert_true(client_served_by(port, "a"));
	theatre_serves(b, "SERVE committed 0 # ");
	theatre_leaves(a);
	assert_true(client_served_by(port, "b"));
}

/* --- Groups ----------------------------------------------------------------------------------- */

/* New connections, one after the other, until the first that `label` answers. */
static void
connects_until(int port, const char *label)
{
	char by[64] = "";

	while (strcmp(by, label) != 0) {
		int fd = client_tcp(port);
		assert_true(fd >= 0);
		assert_true(client_asks(fd, "hello", by));
		close(fd);
	}
}

static struct actor *
group_passes_on(struct theatre *t, struct actor *a, int which, int wanted, int expected)
{
	char label[2] = { (char)('a' + which), '\0' };
	int port = theatre_port(a, "g");
	struct actor *b = theatre_starts(t, which, label);

	assert_true(actor_do(b, "listen g tcp://127.0.0.1:%d?sockets=%d", port, wanted) >= 0);
	assert_int_equal(actor_do(b, "count g"), expected);
	actor_say(b, "ready");
	connects_until(port, label);
	assert_int_equal(actor_hear(b, ACTOR_PATIENCE), 0);
	assert_non_null(actor_await(b, "SERVE committed 0 # "));
	theatre_leaves(a);
	for (int i = 0; i < 100; i++)
		assert_true(client_served_by(port, label));
	return b;
}

static void
a_group_of_four_passes_on(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	theatre_listens(a, "g tcp://127.0.0.1:0?sockets=4");
	assert_int_equal(actor_do(a, "count g"), 4);
	theatre_serves(a, "SERVE first 0 # ");
	struct actor *b = group_passes_on(t, a, 1, 4, 4);
	assert_int_equal(actor_do(b, "log group"), 0);
	struct actor *c = group_passes_on(t, b, 2, 6, 6);
	struct actor *d = group_passes_on(t, c, 3, 2, 6);
	assert_int_equal(actor_do(d, "log group"), 1);
}

/* --- What changes from one version to the next ------------------------------------------------ */

/* A handoff that fails while the successor is warm, and one that fails when the predecessor has
 * paused. */
static void
two_attempts_fail(struct theatre *t, struct actor *a, int port)
{
	struct actor *b = theatre_starts(t, 1, "b");
	assert_true(actor_do(b, "listen new tcp://127.0.0.1:%d", port) >= 0);
	assert_true(client_refused(port));
	assert_int_equal(actor_do(b, "cancel"), 0);
	assert_non_null(actor_await(b, "FAILED given up"));
	assert_true(client_refused(port));
	actor_end(b);

	assert_int_equal(actor_do(a, "hold_commit"), 0);
	b = theatre_starts(t, 1, "b");
	assert_true(actor_do(b, "listen new tcp://127.0.0.1:%d", port) >= 0);
	assert_int_equal(actor_do(b, "ready"), 0);
	assert_non_null(actor_await(a, "PAUSE"));
	assert_true(client_refused(port));
	assert_int_equal(actor_do(a, "cancel"), 0);
	assert_non_null(actor_expect(a, "RESUME untouched 0 # "));
	assert_non_null(actor_await(b, "FAILED aborted"));
	assert_true(client_refused(port));
	actor_end(b);
}

static void
a_new_port_is_refused_until_it_serves(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");
	int new = theatre_free_port();

	theatre_listens(a, "old tcp://127.0.0.1:0");
	theatre_listens(a, "same tcp://127.0.0.1:0");
	theatre_serves(a, "SERVE first 0 # ");
	int old = theatre_port(a, "old");
	int same = theatre_port(a, "same");
	two_attempts_fail(t, a, new);
	assert_true(client_served_by(old, "a") && client_served_by(same, "a"));

	struct actor *c = theatre_starts(t, 1, "c");
	assert_true(actor_do(c, "listen new tcp://127.0.0.1:%d", new) >= 0);
	theatre_listens(c, "same tcp://127.0.0.1:0");
	assert_true(client_refused(new));
	assert_int_equal(actor_do(c, "ready"), 0);
	assert_non_null(actor_await(a, "PAUSE"));
	assert_true(client_refused(new));
	int waiting = client_tcp(old); /* queued at a port that goes away: answered all the same */
	assert_true(waiting >= 0);
	assert_int_equal(actor_do(a, "commit"), 0);
	assert_non_null(actor_await(c, "SERVE committed 0 # "));
	assert_true(client_served_by(new, "c") && client_served_by(same, "c"));
	assert_non_null(actor_await(a, "RETIRE unclaimed 0 old=0 # "));
	assert_true(client_answered(waiting, "a", "still there"));
	assert_true(client_refused(old));
	close(waiting);
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_int_equal(actor_do(c, "log unclaimed"), 1);
}

static void
a_name_may_change_its_address(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");
	int new = theatre_free_port();

	theatre_listens(a, "http tcp://127.0.0.1:0");
	theatre_serves(a, "SERVE first 0 # ");
	int old = theatre_port(a, "http");
	struct actor *b = theatre_starts(t, 1, "b");
	assert_true(actor_do(b, "listen http tcp://127.0.0.1:%d", new) >= 0);
	assert_int_equal(actor_do(b, "log address"), 1);
	assert_true(client_served_by(old, "a"));
	assert_true(client_refused(new));
	theatre_serves(b, "SERVE committed 0 # ");
	assert_non_null(actor_await(a, "RETIRE unclaimed 0 http=0 # "));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_true(client_served_by(new, "b"));
	assert_true(client_refused(old));
}

/* How many of twelve connections get through to a server that does not accept. */
static int
connections_to_frozen(struct actor *a, int port)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
	struct pollfd p[12];
	int through = 0;

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	actor_freeze(a);
	for (int i = 0; i < 12; i++) {
		p[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		p[i].events = POLLOUT;
		connect(p[i].fd, (struct sockaddr *)&to, sizeof(to));
	}
	assert_true(poll(p, 12, 0) >= 0);
	for (int i = 0; i < 12; i++) {
		through += p[i].revents == POLLOUT;
		close(p[i].fd);
	}
	actor_signal(a, SIGCONT);
	return through;
}

static void
a_backlog_may_change(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	theatre_listens(a, "http tcp://127.0.0.1:0?backlog=64");
	theatre_serves(a, "SERVE first 0 # ");
	int port = theatre_port(a, "http");
	assert_int_equal(connections_to_frozen(a, port), 12);
	assert_true(client_served_by(port, "a"));
	struct actor *b = theatre_starts(t, 1, "b");
	theatre_listens(b, "http tcp://127.0.0.1:0?backlog=4");
	assert_int_equal(connections_to_frozen(a, port), 12);
	theatre_serves(b, "SERVE committed 0 # ");
	assert_true(client_served_by(port, "b"));
	assert_int_equal(connections_to_frozen(b, port), 5);
}

/* --- Two handles ------------------------------------------------------------------------------ */

static void
two_handles_start(struct actor *a, const struct theatre *t, const char *label)
{
	assert_int_equal(actor_start(a, label), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(actor_do(a, "use %d", i), 0);
		assert_int_equal(actor_do(a, "new %s-%d", t->socket, i), 0);
		assert_int_equal(actor_do(a, "start"), 0);
		assert_true(actor_do(a, "listen http tcp://127.0.0.1:0") >= 0);
	}
}

static void
two_handles_do_not_meet(void **state)
{
	struct theatre *t = *state;
	struct actor *a = &t->actors[0];
	struct actor *b = &t->actors[1];
	int ports[2];

	two_handles_start(a, t, "a");
	for (int i = 0; i < 2; i++) {
		actor_do(a, "use %d", i);
		ports[i] = theatre_port(a, "http");
		assert_int_equal(actor_do(a, "ready"), 0);
		assert_non_null(actor_expect(a, i == 0 ? "SERVE first" : "1:SERVE first"));
	}
	assert_int_not_equal(ports[0], ports[1]);
	two_handles_start(b, t, "b");
	/* The second one first; the other goes on as it was. */
	assert_int_equal(actor_do(b, "ready"), 0);
	assert_non_null(actor_await(b, "1:SERVE committed"));
	assert_non_null(actor_await(a, "1:LEAVE done"));
	assert_true(client_served_by(ports[1], "b"));
	assert_true(client_served_by(ports[0], "a"));
	actor_do(b, "use 0");
	assert_int_equal(actor_do(b, "ready"), 0);
	assert_non_null(actor_await(b, "SERVE committed"));
	assert_non_null(actor_await(a, "LEAVE done"));
	assert_true(actor_ends_well(a));
	assert_true(client_served_by(ports[0], "b") && client_served_by(ports[1], "b"));
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(a_port_passes_on),
		test(a_group_of_four_passes_on),
		test(a_new_port_is_refused_until_it_serves),
		test(a_name_may_change_its_address),
		test(a_backlog_may_change),
		test(two_handles_do_not_meet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
