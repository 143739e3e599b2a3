/* SPDX-License-Identifier: MIT */
/*
 * Who connects to the socket file of a real server and is no successor: whatever it says, or if it
 * says nothing, is told in the log, leaks nothing, and neither clients nor the next proper upgrade
 * notice.
 */
/* time limit: 60 s */
/* not under valgrind: it is about another process */
#include "client.h"
#include "fds.h"
#include "peer.h"
#include "siege.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { SILENT = 1000, GREETINGS = 16 };

static void
what_is_no_packet_is_refused(void **state)
{
	struct siege *s = *state;
	struct bad_packet bad;
	int fd = siege_visitor(s);

	for (size_t i = 0; bad_packet_send(i, fd, &bad); i++) {
		siege_is_refused(fd, REFUSE_PROTOCOL);
		siege_check_said(s, "packet", bad.words, bad.what);
		siege_check_said(s, "refused", "not understood", bad.what);
		siege_unharmed(s);
		fd = siege_visitor(s);
	}
	close(fd);
	siege_unharmed(s);
	siege_is_upgraded(s);
}

static void
what_comes_before_hello_ends_a_connection(void **state)
{
	static const enum packet_type types[] = {
		PACKET_OFFER,  PACKET_TAKEN, PACKET_REFUSE,  PACKET_READY,     PACKET_PROGRESS,
		PACKET_COMMIT, PACKET_ABORT, PACKET_CONFIRM, PACKET_REMAINING, PACKET_BYE,
	};
	struct siege *s = *state;
	char words[64];

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		int fd = siege_visitor(s);

		siege_say_type(fd, types[i]);
		heard(fd, 0);
		snprintf(words, sizeof(words), "%s came before HELLO",
			 molt__wire_type_name((int)types[i]));
		said(s, "packet", words);
		close(fd);
		siege_unharmed(s);
	}
	siege_is_upgraded(s);
}

static void
silence_has_a_deadline(void **state)
{
	struct siege *s = *state;
	int64_t begun = peer_now_ms();
	int fds[2];

	assert_int_equal(actor_do(&s->old, "deadline 1 150"), 0);
	for (int i = 0; i < 2; i++)
		fds[i] = siege_visitor(s);
	for (int i = 0; i < 2; i++) {
		heard(fds[i], 0);
		close(fds[i]);
	}
	assert_true(peer_now_ms() - begun >= 150);
	said(s, "silent", "within 150 ms");
	close(siege_visitor(s)); /* goes by itself */
	siege_unharmed(s);
	siege_is_upgraded(s);
}

static void
the_oldest_of_the_silent_makes_room(void **state)
{
	struct siege *s = *state;
	int fds[GREETINGS + 1];

	assert_int_equal(actor_do(&s->old, "deadline 1 60000"), 0);
	for (int i = 0; i < GREETINGS; i++)
		fds[i] = siege_visitor(s);
	siege_settle(s);
	for (int i = 0; i < GREETINGS; i++)
		assert_true(peer_is_open(fds[i]));
	assert_int_equal(actor_do(&s->old, "log silent"), 0);
	fds[GREETINGS] = siege_visitor(s);
	heard(fds[0], 0);
	said(s, "silent", "the oldest was closed");
	for (int i = 1; i <= GREETINGS; i++)
		assert_true(peer_is_open(fds[i]));
	siege_serves(s);
	for (int i = 0; i <= GREETINGS; i++)
		close(fds[i]);
	siege_unharmed(s);
	siege_is_upgraded(s);
}

/* The 1000 before it, and 1000 more while it goes on. */
static void
a_thousand_say_nothing(void **state)
{
	struct siege *s = *state;
	int fds[2 * SILENT];

	assert_int_equal(actor_do(&s->old, "deadline 1 60000"), 0);
	for (int i = 0; i < SILENT; i++)
		fds[i] = siege_visitor(s);
	said(s, "silent", "say nothing");
	assert_in_range(actor_do(&s->old, "fds"), GREETINGS, 3 * GREETINGS);
	siege_serves(s);
	for (int i = 0; i < SILENT; i++)
		close(fds[i]);
	siege_unharmed(s);

	assert_int_equal(actor_start(&s->new, "new"), 0);
	assert_int_equal(actor_do(&s->new, "new %s", s->path), 0);
	for (int i = 0; i < SILENT; i++)
		fds[i] = siege_visitor(s);
	assert_int_equal(actor_do(&s->new, "connect"), 0);
	for (int i = SILENT; i < 2 * SILENT; i++)
		fds[i] = siege_visitor(s);
	assert_non_null(actor_expect(&s->new, "STARTED"));
	assert_true(actor_do(&s->new, "listen http tcp://127.0.0.1:0") >= 0);
	assert_int_equal(actor_do(&s->new, "ready"), 0);
	assert_non_null(actor_await(&s->new, "SERVE committed"));
	assert_true(client_served_by(s->port, "new"));
	assert_true(client_answered(s->client, "old", "among them"));
	for (int i = 0; i < 2 * SILENT; i++)
		close(fds[i]);
}

static void
a_liar_is_turned_away(void **state)
{
	struct siege *s = *state;
	struct suitor p = suitor_offered(s);
	int fd;

	close(p.fd);
	fd = siege_visitor(s);
	suitor_hello(fd, p.old, SUITOR_IDS_MAX);
	siege_is_refused(fd, REFUSE_PROTOCOL);
	said(s, "refused", "this process itself");
	fd = siege_visitor(s);
	suitor_hello(fd, SUITOR_INSTANCE, 3);
	siege_is_refused(fd, REFUSE_ROOM);
	said(s, "refused", "4 descriptors are to be handed over, and the successor has room for 3");
	siege_unharmed(s);
	siege_is_upgraded(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SIEGE_TEST(what_is_no_packet_is_refused),
		SIEGE_TEST(what_comes_before_hello_ends_a_connection),
		SIEGE_TEST(silence_has_a_deadline),
		SIEGE_TEST(the_oldest_of_the_silent_makes_room),
		SIEGE_TEST(a_thousand_say_nothing),
		SIEGE_TEST(a_liar_is_turned_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
