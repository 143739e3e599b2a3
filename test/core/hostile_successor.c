/* SPDX-License-Identifier: MIT */
/*
 * A hostile successor towards a real server: what it says out of place, and when it falls silent or
 * ends, is told in the log, leaks nothing, and neither clients nor the next proper upgrade notice.
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

enum { PROGRESSES = 5000, WINDOW = 4, LARGE = WINDOW * WIRE_DESCRIPTORS_MAX + 3 };

/* Whoever has gone through all that can still give up, and nothing has happened. */
static void
what_is_no_packet_is_dropped(void **state)
{
	struct siege *s = *state;
	struct suitor p = suitor_offered(s);
	struct bad_packet bad;

	for (size_t i = 0; bad_packet_send(i, p.fd, &bad); i++)
		siege_check_said(s, "packet", bad.words, bad.what);
	siege_serves(s);
	assert_int_equal(actor_do(&s->old, "state"), 0);
	assert_string_equal(actor_text(&s->old), "offered");
	suitor_taken(&p, p.sequence);
	suitor_ready(&p);
	assert_non_null(actor_expect(&s->old, "PAUSE"));
	heard(p.fd, PACKET_COMMIT);
	for (size_t i = 0; bad_packet_send(i, p.fd, &bad); i++)
		;
	close(p.fd);
	assert_non_null(actor_expect(&s->old, "RESUME untouched"));
	said(s, "abort", "ended after the commit, before it served");
	siege_unharmed(s);
	siege_is_upgraded(s);
}

static void
is_ignored(struct siege *s, int fd, enum packet_type type)
{
	char words[64];

	siege_say_type(fd, type);
	snprintf(words, sizeof(words), "sent %s, which is ignored",
		 molt__wire_type_name((int)type));
	said(s, "packet", words);
}

static void
what_is_out_of_place_is_ignored(void **state)
{
	static const enum packet_type never[] = {
		PACKET_HELLO,     PACKET_OFFER, PACKET_REFUSE, PACKET_COMMIT, PACKET_ABORT,
		PACKET_REMAINING, PACKET_BYE,   PACKET_STATUS, PACKET_WATCH,
	};
	struct siege *s = *state;
	struct suitor p = suitor_offered(s);

	assert_int_equal(actor_do(&s->old, "hold_commit"), 0);
	for (size_t i = 1; i < sizeof(never) / sizeof(never[0]); i++)
		is_ignored(s, p.fd, never[i]);
	suitor_hello(p.fd, SUITOR_INSTANCE + 1, SUITOR_IDS_MAX);
	said(s, "packet", "sent HELLO, which is ignored");
	is_ignored(s, p.fd, PACKET_CONFIRM);
	suitor_taken(&p, p.sequence + 1);
	said(s, "packet", "sent TAKEN, which is ignored");
	suitor_taken(&p, p.sequence);
	is_ignored(s, p.fd, PACKET_TAKEN);
	suitor_ready(&p);
	assert_non_null(actor_expect(&s->old, "PAUSE"));
	is_ignored(s, p.fd, PACKET_READY);
	is_ignored(s, p.fd, PACKET_CONFIRM);
	siege_say_type(p.fd, PACKET_PROGRESS);
	assert_int_equal(actor_do(&s->old, "state"), 0);
	assert_string_equal(actor_text(&s->old), "paused");
	close(p.fd);
	assert_non_null(actor_expect(&s->old, "RESUME untouched"));
	siege_unharmed(s);
}

static void
who_is_ready_for_what_was_not_offered(void **state)
{
	struct siege *s = *state;
	struct suitor p = suitor_offered(s);

	suitor_ready(&p); /* and has not acknowledged it */
	heard(p.fd, PACKET_ABORT);
	heard(p.fd, 0);
	close(p.fd);
	said(s, "abort", "is ready for what it was not offered");
	siege_unharmed(s);

	p = suitor_offered(s);
	suitor_taken(&p, p.sequence);
	p.ids[p.count++] = 99;
	suitor_ready(&p);
	heard(p.fd, PACKET_ABORT);
	heard(p.fd, 0);
	close(p.fd);
	said(s, "abort", "is ready for what it was not offered");
	siege_unharmed(s);
	siege_is_upgraded(s);
}

/* One whose descriptors need more than four packets. */
static void
make_large_offer(struct siege *s)
{
	for (int i = 0; i < LARGE; i++)
		assert_int_equal(actor_do(&s->old, "memfd m%d x", i), 0);
	siege_settle(s);
	fds_free(s->table);
	s->table = fds_snapshot_of(s->old.pid);
}

/* Hears as much of it as comes without an acknowledgement. */
static struct suitor
half_offered(struct siege *s)
{
	struct suitor p = suitor_wooing(s);

	for (int i = 0; i < WINDOW; i++)
		assert_false(suitor_hears_offer(&p));
	siege_settle(s);
	assert_true(peer_is_open(p.fd));
	return p;
}

static void
a_large_offer_waits_to_be_acknowledged(void **state)
{
	struct siege *s = *state;
	struct suitor p;

	make_large_offer(s);
	p = half_offered(s);
	suitor_taken(&p, 1);
	assert_true(suitor_hears_offer(&p));
	assert_int_equal(p.count, LARGE + 4);
	close(p.fd);
	said(s, "abort", "ended before it was ready");
	siege_unharmed(s);
	siege_is_upgraded(s);
}

static void
who_is_ready_before_the_whole_was_offered(void **state)
{
	struct siege *s = *state;
	struct suitor p;

	make_large_offer(s);
	p = half_offered(s);
	suitor_ready(&p);
	heard(p.fd, PACKET_ABORT);
	heard(p.fd, 0);
	close(p.fd);
	said(s, "abort", "is ready for what it was not offered");
	siege_unharmed(s);

	assert_int_equal(actor_do(&s->old, "deadline 3 1000"), 0);
	p = half_offered(s);
	heard(p.fd, PACKET_ABORT);
	close(p.fd);
	said(s, "abort", "the successor was not ready within 1000 ms");
	siege_unharmed(s);
}

/* --- Silence at each stage -------------------------------------------------------------------- */

static void
who_is_never_ready_has_a_deadline(void **state)
{
	struct siege *s = *state;
	struct suitor p;
	int64_t begun = peer_now_ms();

	assert_int_equal(actor_do(&s->old, "deadline 3 150"), 0);
	p = suitor_offered(s); /* and never acknowledges it */
	heard(p.fd, PACKET_ABORT);
	heard(p.fd, 0);
	close(p.fd);
	assert_true(peer_now_ms() - begun >= 150);
	said(s, "abort", "the successor was not ready within 150 ms");
	siege_unharmed(s);

	p = suitor_offered(s);
	suitor_taken(&p, p.sequence);
	heard(p.fd, PACKET_ABORT);
	close(p.fd);
	said(s, "abort", "the successor was not ready within 150 ms");
	siege_unharmed(s);
	assert_int_equal(actor_do(&s->old, "deadline 3 5000"), 0);
	siege_is_upgraded(s);
}

static void
who_never_confirms_has_a_deadline(void **state)
{
	struct siege *s = *state;
	struct suitor p = suitor_offered(s);

	suitor_taken(&p, p.sequence);
	suitor_ready(&p);
	heard(p.fd, PACKET_COMMIT);
	heard(p.fd, PACKET_ABORT);
	heard(p.fd, 0);
	assert_non_null(actor_expect(&s->old, "PAUSE"));
	assert_non_null(actor_expect(&s->old, "RESUME untouched"));
	said(s, "abort", "ownership was not settled within 200 ms");
	close(p.fd);
	siege_unharmed(s);
	siege_is_upgraded(s);
}

/* --- Ends at each stage ----------------------------------------------------------------------- */

enum stage { CONNECTED, GREETED, OFFERED, ACKNOWLEDGED, READY, COMMITTED, CONFIRMED, STAGES };

static struct suitor
come_to(struct siege *s, enum stage stage)
{
	struct suitor p = { .fd = siege_visitor(s) };

	if (stage >= GREETED)
		suitor_hello(p.fd, SUITOR_INSTANCE, SUITOR_IDS_MAX);
	if (stage >= OFFERED)
		assert_true(suitor_hears_offer(&p));
	if (stage >= ACKNOWLEDGED)
		suitor_taken(&p, p.sequence);
	if (stage >= READY) {
		suitor_ready(&p);
		assert_non_null(actor_expect(&s->old, "PAUSE"));
	}
	if (stage >= COMMITTED) {
		assert_int_equal(actor_do(&s->old, "commit"), 0);
		heard(p.fd, PACKET_COMMIT);
	}
	if (stage >= CONFIRMED) {
		suitor_confirm(&p);
		assert_non_null(actor_expect(&s->old, "DRAIN"));
	}
	return p;
}

static void
end_at(struct siege *s, enum stage stage, bool half)
{
	struct suitor p = come_to(s, stage);

	if (half)
		assert_int_equal(shutdown(p.fd, SHUT_WR), 0);
	else
		close(p.fd);
	if (stage == CONFIRMED)
		assert_non_null(actor_expect(&s->old, "RESUME changed"));
	else if (stage >= READY)
		assert_non_null(actor_expect(&s->old, "RESUME untouched"));
	if (stage >= GREETED) {
		said(s, "end", "the channel to the successor, pid 666, has ended");
		said(s, "abort", "the handoff to pid 666 (hostile) has failed");
	}
	if (half) {
		assert_in_range(peer_hear_out(p.fd), 0, PACKET_WATCH);
		close(p.fd);
	}
	siege_unharmed(s);
}

static void
who_ends_at_any_stage_costs_nothing(void **state)
{
	struct siege *s = *state;

	assert_int_equal(actor_do(&s->old, "hold_commit"), 0);
	for (int stage = CONNECTED; stage < STAGES; stage++) {
		end_at(s, (enum stage)stage, false);
		end_at(s, (enum stage)stage, true);
	}
}

/*
 * What was unread makes a reset, which comes before what had been sent: yet READY counts, and then
 * the end. The host hears of neither, as it had not looked in between.
 */
static void
who_ends_with_the_last_word_unread(void **state)
{
	struct siege *s = *state;
	struct suitor p = { .fd = siege_visitor(s), .ids = { 1, 2, 3, 4 }, .count = 4 };

	suitor_hello(p.fd, SUITOR_INSTANCE, SUITOR_IDS_MAX);
	siege_settle(s);
	actor_signal(&s->old, SIGSTOP);
	suitor_taken(&p, 1);
	suitor_ready(&p);
	close(p.fd);
	actor_signal(&s->old, SIGCONT);
	said(s, "abort", "ended before the commit");
	siege_unharmed(s);
	siege_is_upgraded(s);
}

/* --- Floods ----------------------------------------------------------------------------------- */

static void
a_flood_drowns_nobody(void **state)
{
	struct siege *s = *state;
	struct suitor p = suitor_offered(s);
	int other;

	for (int i = 0; i < PROGRESSES; i++) {
		siege_say_type(p.fd, PACKET_PROGRESS);
		if (i % 500 == 0)
			siege_serves(s);
	}
	other = siege_visitor(s);
	suitor_hello(other, SUITOR_INSTANCE + 1, SUITOR_IDS_MAX);
	siege_is_refused(other, REFUSE_BUSY);
	said(s, "refused", "a handoff to pid 666 (hostile) has been under way");
	for (int i = 0; i < PROGRESSES; i++)
		assert_int_equal(peer_say_bytes(p.fd, "MOLTgarbage", 11, NULL, 0), 0);
	said(s, "packet", "11 bytes");
	siege_serves(s);
	close(p.fd);
	siege_unharmed(s);
	siege_is_upgraded(s);
}

/* However often it says so, ten times the deadline is all it gets. */
static void
progress_without_end_has_one(void **state)
{
	struct siege *s = *state;
	int64_t begun = peer_now_ms();
	struct suitor p;

	assert_int_equal(actor_do(&s->old, "deadline 3 50"), 0);
	p = suitor_offered(s);
	while (peer_is_open(p.fd)) {
		struct message m = { .type = PACKET_PROGRESS };

		peer_say(p.fd, &m, NULL, 0);
		siege_serves(s);
	}
	assert_in_range(peer_now_ms() - begun, 500, 5000);
	heard(p.fd, PACKET_ABORT);
	close(p.fd);
	said(s, "abort", "the successor was not ready within");
	siege_unharmed(s);
	assert_int_equal(actor_do(&s->old, "deadline 3 5000"), 0);
	siege_is_upgraded(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SIEGE_TEST(what_is_no_packet_is_dropped),
		SIEGE_TEST(what_is_out_of_place_is_ignored),
		SIEGE_TEST(who_is_ready_for_what_was_not_offered),
		SIEGE_TEST(a_large_offer_waits_to_be_acknowledged),
		SIEGE_TEST(who_is_ready_before_the_whole_was_offered),
		SIEGE_TEST(who_is_never_ready_has_a_deadline),
		SIEGE_TEST(who_never_confirms_has_a_deadline),
		SIEGE_TEST(who_ends_at_any_stage_costs_nothing),
		SIEGE_TEST(who_ends_with_the_last_word_unread),
		SIEGE_TEST(a_flood_drowns_nobody),
		SIEGE_TEST(progress_without_end_has_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
