/* SPDX-License-Identifier: MIT */
/* Datagram listeners through real handoffs: one reader at a time. */
#include "client.h"
#include "theatre.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Datagrams -------------------------------------------------------------------------------- */

enum { FLOWS = 8, DATAGRAMS = 300, OUTSTANDING = 8 };

struct flow {
	int fd;
	int sent;
	int answered;
	int changes; /* of who answers */
	char by[64];
};

/* The next answer must be to the next datagram. */
static void
hears(struct flow *f, int flags)
{
	char answer[sizeof(f->by)];
	char expected[16];
	ssize_t length = recv(f->fd, answer, sizeof(answer) - 1, flags);

	if (length < 0 && flags != 0)
		return;
	assert_true(length > 0);
	answer[length] = '\0';
	char *blank = strchr(answer, ' ');
	assert_non_null(blank);
	*blank = '\0';
	snprintf(expected, sizeof(expected), "%d", f->answered++);
	assert_string_equal(blank + 1, expected);
	f->changes += strcmp(f->by, answer) != 0;
	memcpy(f->by, answer, sizeof(f->by));
}

static void
says(struct flow *f)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", f->sent++);

	while (f->sent - f->answered > OUTSTANDING)
		hears(f, 0);
	assert_int_equal(send(f->fd, text, (size_t)length, 0), length);
	hears(f, MSG_DONTWAIT);
}

static void
flows_say(struct flow *flows, int datagrams)
{
	for (int i = 0; i < datagrams; i++)
		for (int n = 0; n < FLOWS; n++)
			says(&flows[n]);
}

static void
no_datagram_is_lost(void **state)
{
	struct theatre *t = *state;
	struct flow flows[FLOWS] = { { 0 } };
	struct actor *a = theatre_starts(t, 0, "a");

	theatre_listens(a, "dns udp://127.0.0.1:0");
	theatre_serves(a, "SERVE first 0 # ");
	for (int n = 0; n < FLOWS; n++) {
		flows[n].fd = client_udp(theatre_port(a, "dns"));
		assert_true(flows[n].fd >= 0);
	}
	flows_say(flows, DATAGRAMS);
	struct actor *b = theatre_starts(t, 1, "b");
	theatre_listens(b, "dns udp://127.0.0.1:0");
	flows_say(flows, DATAGRAMS);
	actor_say(b, "ready");
	flows_say(flows, DATAGRAMS);
	assert_int_equal(actor_hear(b, ACTOR_PATIENCE), 0);
	assert_non_null(actor_await(b, "SERVE committed 0 # "));
	flows_say(flows, DATAGRAMS);
	for (int n = 0; n < FLOWS; n++) {
		while (flows[n].answered < flows[n].sent)
			hears(&flows[n], 0);
		assert_string_equal(flows[n].by, "b");
		assert_int_equal(flows[n].changes, 2); /* from nobody to a, from a to b */
		close(flows[n].fd);
	}
	theatre_leaves(a);
}

/* Law 2: what its host will not serve, a successor does not get. */
static void
a_warm_successor_gets_no_datagram(void **state)
{
	struct theatre *t = *state;
	struct actor *a = theatre_starts(t, 0, "a");

	theatre_listens(a, "dns udp://127.0.0.1:0?sockets=2");
	theatre_serves(a, "SERVE first 0 # ");
	int port = theatre_port(a, "dns");
	struct actor *b = theatre_starts(t, 1, "b");
	theatre_listens(b, "dns udp://127.0.0.1:0?sockets=6");
	assert_int_equal(actor_do(b, "count dns"), 6);
	for (int i = 0; i < 64; i++) {
		int fd = client_udp(port);
		assert_true(client_answered(fd, "a", "x"));
		close(fd);
	}
	theatre_serves(b, "SERVE committed 0 # ");
	theatre_leaves(a);
	for (int i = 0; i < 64; i++) {
		int fd = client_udp(port);
		assert_true(client_answered(fd, "b", "x"));
		close(fd);
	}
}

#define test(function) cmocka_unit_test_setup_teardown(function, theatre_set_up, theatre_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(no_datagram_is_lost),
		test(a_warm_successor_gets_no_datagram),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
