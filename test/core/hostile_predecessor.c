/* SPDX-License-Identifier: MIT */
/*
 * A hostile predecessor towards a process that starts, and later serves: what it offers, says out
 * of place or never says ends the start in a clear sentence or is told in the log, leaks nothing,
 * and the next start, or the service that has begun, is as good as if it had never been.
 */
/* time limit: 60 s */
/* not under valgrind: it is about another process */
#include "client.h"
#include "fds.h"
#include "inventory.h"
#include "peer.h"
#include "sys.h"
#include "trap.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

/* --- Offers --------------------------------------------------------------------------------- */

static void
what_is_no_packet_is_no_offer(void **state)
{
	struct trap *t = *state;
	struct bad_packet bad;

	trap_catch(t);
	for (size_t i = 0; bad_packet_send(i, t->fd, &bad); i++) {
		trap_said(t, bad.words, bad.what);
		trap_failed(t, "FAILED protocol ", "a packet of it was malformed");
		trap_catch(t);
	}
	trap_say_type(t, PACKET_REFUSE);
	trap_failed(t, "FAILED refused -111", "the predecessor refuses");
	trap_is_survived(t);
}

/* One that is whole but for what `spoil` does. */
static void
is_not_taken(struct trap *t, void spoil(struct trap_offer *o, int fd), int fd, const char *words)
{
	struct trap_offer o = trap_good_offer(t);

	spoil(&o, fd);
	trap_catch(t);
	trap_say_offer(t, &o);
	trap_failed(t, "FAILED protocol ", words);
}

static void
spoil_life(struct trap_offer *o, int fd)
{
	o->fds[0] = fd;
}

static void
spoil_path(struct trap_offer *o, int fd)
{
	o->fds[1] = fd;
}

static void
spoil_listener(struct trap_offer *o, int fd)
{
	o->fds[2] = fd;
}

static void
spoil_datagrams(struct trap_offer *o, int fd)
{
	spoil_listener(o, fd);
	o->entries[2].kind = ENTRY_DATAGRAM;
	o->entries[2].address.type = SOCK_DGRAM;
}

static void
a_descriptor_of_the_wrong_kind_is_not_taken(void **state)
{
	struct trap *t = *state;
	int directory = open(t->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	int datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int v6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int pair[2];
	int pipes[2];

	assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	is_not_taken(t, spoil_life, directory, "life is announced as life, but its descriptor is");
	is_not_taken(t, spoil_life, pipes[0], "life is announced as life");
	is_not_taken(t, spoil_life, t->listener, "life is announced as life");
	is_not_taken(t, spoil_life, file, "not the one at the lock file's path");
	is_not_taken(t, spoil_path, pipes[1], "path is announced as path");
	is_not_taken(t, spoil_path, t->listener, "path is announced as path");
	is_not_taken(t, spoil_path, pair[0], "path is announced as path");
	is_not_taken(t, spoil_listener, pipes[0], "http is announced as stream");
	is_not_taken(t, spoil_listener, directory, "http is announced as stream");
	is_not_taken(t, spoil_listener, epoll, "http is announced as stream");
	is_not_taken(t, spoil_listener, datagrams, "http is announced as stream");
	is_not_taken(t, spoil_listener, pair[0], "http is announced as stream");
	is_not_taken(t, spoil_datagrams, t->listener, "http is announced as datagram");
	if (v6 >= 0)
		is_not_taken(t, spoil_listener, v6, "http is announced as stream");
	trap_is_survived(t);
	close(directory);
	close(file);
	close(epoll);
	molt__sys_close(v6);
	close(datagrams);
	molt__sys_close_all(pair, 2);
	molt__sys_close_all(pipes, 2);
}

static void
spoil_order(struct trap_offer *o, int fd)
{
	(void)fd;
	o->offer.sequence = 2;
}

static void
spoil_time(struct trap_offer *o, int fd)
{
	(void)fd;
	o->offer.late = true;
}

/* The same number for two. */
static void
spoil_number(struct trap_offer *o, int fd)
{
	trap_add(o, "more", ENTRY_FILE, fd)->id = 3;
}

static void
leave_out_life(struct trap_offer *o, int fd)
{
	(void)fd;
	memmove(o->entries, o->entries + 1, 2 * sizeof(o->entries[0]));
	memmove(o->fds, o->fds + 1, 2 * sizeof(o->fds[0]));
	o->offer.count--;
}

static void
leave_out_path(struct trap_offer *o, int fd)
{
	(void)fd;
	o->entries[1] = o->entries[2];
	o->fds[1] = o->fds[2];
	o->offer.count--;
}

static void
an_offer_that_makes_no_sense_is_not_taken(void **state)
{
	struct trap *t = *state;
	struct trap_offer o;
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	is_not_taken(t, spoil_order, -1, "out of order");
	is_not_taken(t, spoil_time, -1, "out of order");
	is_not_taken(t, spoil_number, file, "cannot be kept");
	is_not_taken(t, leave_out_life, -1, "life lock is missing");
	is_not_taken(t, leave_out_path, -1, "socket is missing");

	trap_catch(t);
	o = trap_good_offer(t);
	o.offer.instance = t->hello.instance;
	trap_say_offer(t, &o);
	trap_failed(t, "FAILED protocol ", "out of order");
	trap_is_survived(t);
	close(file);
}

/* A name that is none is found out by the decoder. */
static void
an_offer_of_nameless_things_is_not_taken(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);
	struct message m = { .type = PACKET_OFFER };
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char *bytes;
	size_t length;

	trap_add(&o, "x", ENTRY_FILE, file);
	m.offer = o.offer;
	m.offer.entries = o.entries;
	assert_int_equal(molt__wire_encode(&m, (void **)&bytes, &length), 0);
	memcpy(memmem(bytes, length, "\"name\":\"x\"", 10), "\"name\":\"/\"", 10);
	trap_catch(t);
	assert_int_equal(peer_say_bytes(t->fd, bytes, length, o.fds, o.offer.count), 0);
	trap_failed(t, "FAILED protocol ", "a packet of it was malformed");
	trap_said(t, "Bad message", "a nameless entry");
	trap_is_survived(t);
	free(bytes);
	close(file);
}

/* The prey has no room for what comes: the kernel drops some of it, and only a flag says so. */
static void
lost_descriptors_are_not_overlooked(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);
	struct rlimit limit;
	struct rlimit low;

	trap_catch(t);
	assert_int_equal(prlimit(t->prey.pid, RLIMIT_NOFILE, NULL, &limit), 0);
	low = (struct rlimit){ .rlim_cur = 5, .rlim_max = limit.rlim_max };
	assert_int_equal(prlimit(t->prey.pid, RLIMIT_NOFILE, &low, NULL), 0);
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "FAILED protocol "));
	assert_int_equal(prlimit(t->prey.pid, RLIMIT_NOFILE, &limit, NULL), 0);
	trap_said(t, "lost descriptors", "a full table");
	assert_int_equal(actor_do(&t->prey, "free"), 0);
	assert_int_equal(fds_changed(t->table), 0);
	trap_is_survived(t);
}

/* It never says that it was the last. */
static void
an_offer_without_end_has_one(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_empty_offer();
	int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

	for (int i = 0; i < TRAP_ENTRIES_MAX; i++)
		trap_add(&o, "file", ENTRY_FILE, file);
	o.offer.last = false;
	trap_catch(t);
	for (uint32_t sent = 0; sent < INVENTORY_MAX + TRAP_ENTRIES_MAX; sent += TRAP_ENTRIES_MAX) {
		for (uint32_t i = 0; i < TRAP_ENTRIES_MAX; i++) {
			o.entries[i].index = sent + i;
			o.entries[i].id = sent + i + 1;
		}
		trap_say_offer(t, &o);
		o.offer.sequence++;
	}
	trap_failed(t, "FAILED protocol ", "cannot be kept");
	trap_is_survived(t);
	close(file);
}

/* The other end of its own channel: it cannot see an end of file while it has that. */
static void
its_own_other_end_is_given_back(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);

	trap_catch(t);
	trap_add(&o, "loop", ENTRY_FILE, t->fd);
	o.offer.deadlines.commit = 150;
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "STARTED"));
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	close(t->fd);
	t->fd = -1;
	assert_non_null(actor_expect(&t->prey, "FAILED timeout"));
	assert_int_equal(actor_do(&t->prey, "free"), 0);
	assert_int_equal(fds_changed(t->table), 0);
	trap_is_survived(t);
}

/* --- Words out of place --------------------------------------------------------------------- */

static void
is_ignored(struct trap *t, enum packet_type type)
{
	char words[64];

	trap_say_type(t, type);
	snprintf(words, sizeof(words), "sent %s, which is ignored",
		 molt__wire_type_name((int)type));
	trap_said(t, words, words);
}

static void
are_ignored(struct trap *t, const enum packet_type *types, size_t count)
{
	for (size_t i = 0; i < count; i++)
		is_ignored(t, types[i]);
}

/* What a successor says, and what asks for a status. */
static const enum packet_type never[] = {
	PACKET_HELLO, PACKET_TAKEN, PACKET_READY, PACKET_CONFIRM, PACKET_STATUS, PACKET_WATCH,
};
enum { NEVER = sizeof(never) / sizeof(never[0]) };

static void
what_comes_before_the_offer_is_ignored(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);

	trap_catch(t);
	are_ignored(t, never, NEVER);
	is_ignored(t, PACKET_COMMIT);
	is_ignored(t, PACKET_ABORT);
	trap_say_type(t, PACKET_PROGRESS);
	trap_say_type(t, PACKET_REMAINING);
	trap_say_type(t, PACKET_BYE);
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "STARTED"));
	assert_int_equal(actor_do(&t->prey, "cancel"), 0);
	trap_failed(t, "FAILED given up", "molt_cancel()");
	trap_is_survived(t);
}

static void
what_comes_while_it_warms_is_ignored(void **state)
{
	struct trap *t = *state;
	struct bad_packet bad;

	trap_warms(t);
	for (size_t i = 0; bad_packet_send(i, t->fd, &bad); i++)
		trap_said(t, bad.words, bad.what);
	are_ignored(t, never, NEVER);
	is_ignored(t, PACKET_COMMIT);
	is_ignored(t, PACKET_REFUSE);
	assert_int_equal(actor_do(&t->prey, "state"), 0);
	assert_string_equal(actor_text(&t->prey), "warming");
	trap_say_type(t, PACKET_ABORT);
	trap_failed(t, "FAILED aborted", "took its offer back");
	trap_is_survived(t);
}

static void
a_second_offer_ends_it(void **state)
{
	struct trap *t = *state;
	struct trap_offer again = trap_good_offer(t);
	struct trap_offer late = trap_empty_offer();

	trap_warms(t);
	trap_say_offer(t, &again);
	trap_failed(t, "FAILED protocol ", "out of order");

	late.offer.sequence = 2;
	late.offer.late = true;
	trap_add(&late, "late", ENTRY_FILE, t->listener)->id = 4;
	trap_warms(t);
	trap_say_offer(t, &late); /* and it is not even ready */
	trap_failed(t, "FAILED protocol ", "out of order");

	trap_readies(t);
	late.entries[0].kind = ENTRY_DATAGRAM;
	trap_say_offer(t, &late);
	trap_failed(t, "FAILED protocol ", "late is announced as datagram");
	trap_is_survived(t);
}

static void
a_commit_of_what_never_came_ends_it(void **state)
{
	struct trap *t = *state;
	struct message m = { .type = PACKET_COMMIT };

	trap_readies(t);
	m.commit.late = 1;
	trap_say(t, &m);
	trap_failed(t, "FAILED protocol ", "speaks of 1 late entries, and 0 came");
	trap_is_survived(t);
}

static void
what_comes_after_the_commit(void **state)
{
	struct trap *t = *state;
	struct trap_offer late = trap_empty_offer();

	trap_warms(t);
	assert_int_equal(actor_do(&t->prey, "hold_load"), 0);
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	trap_hears(t, PACKET_READY);
	trap_say_type(t, PACKET_COMMIT);
	assert_non_null(actor_expect(&t->prey, "LOAD"));
	is_ignored(t, PACKET_COMMIT);
	is_ignored(t, PACKET_REFUSE);
	late.offer.sequence = 2;
	late.offer.late = true;
	trap_add(&late, "late", ENTRY_FILE, t->listener)->id = 4;
	trap_say_offer(t, &late);
	trap_failed(t, "FAILED protocol ", "out of order");
	trap_is_survived(t);
}

/* A proper successor takes over from the prey, and hears nothing of whom the prey has to hear. */
static void
passes_on(struct trap *t)
{
	struct actor next;

	assert_int_equal(actor_start(&next, "next"), 0);
	assert_int_equal(actor_do(&next, "new %s", t->path), 0);
	assert_int_equal(actor_do(&next, "start"), 0);
	assert_int_equal(actor_do(&next, "generation"), 3);
	assert_true(actor_do(&next, "listen http tcp://127.0.0.1:0") >= 0);
	trap_say_type(t, PACKET_ABORT);
	trap_say_type(t, PACKET_OFFER);
	assert_int_equal(actor_do(&next, "ready"), 0);
	assert_non_null(actor_await(&next, "SERVE committed"));
	assert_non_null(actor_await(&t->prey, "LEAVE done"));
	assert_true(actor_ends_well(&t->prey));
	assert_true(client_served_by(t->port, "next"));
	actor_end(&next);
}

/* It drains, or ought to; what it says now is nothing to the service. */
static void
what_comes_to_who_serves_is_ignored(void **state)
{
	static const enum packet_type now[] = { PACKET_COMMIT, PACKET_ABORT, PACKET_REFUSE };
	struct trap *t = *state;
	struct trap_offer again = trap_good_offer(t);
	struct bad_packet bad;
	struct fds *table;

	trap_serves(t);
	assert_true(actor_do(&t->prey, "fds") > 0);
	table = fds_snapshot_of(t->prey.pid);
	for (size_t i = 0; bad_packet_send(i, t->fd, &bad); i++)
		trap_said(t, bad.words, bad.what);
	are_ignored(t, never, NEVER);
	are_ignored(t, now, sizeof(now) / sizeof(now[0]));
	for (again.offer.sequence = 1; again.offer.sequence <= 2; again.offer.sequence++) {
		trap_say_offer(t, &again);
		trap_said(t, "sent OFFER, which is ignored", "another offer");
	}
	for (int i = 0; i < 1000; i++)
		trap_say_type(t, PACKET_REMAINING);
	assert_true(client_served_by(t->port, "prey"));
	assert_int_equal(actor_do(&t->prey, "is_owner"), 1);
	assert_int_equal(fds_changed(table), 0);
	fds_free(table);
	passes_on(t);
}

/* --- Silence, and ends ---------------------------------------------------------------------- */

static void
who_never_offers_has_a_deadline(void **state)
{
	struct trap *t = *state;

	assert_int_equal(actor_do(&t->prey, "new %s", t->path), 0);
	assert_int_equal(actor_do(&t->prey, "deadline 2 150"), 0);
	assert_int_equal(actor_do(&t->prey, "start"), -ETIMEDOUT);
	assert_non_null(strstr(actor_text(&t->prey), "has not answered"));
	assert_int_equal(actor_do(&t->prey, "free"), 0);
	assert_int_equal(fds_changed(t->table), 0);
	trap_is_survived(t);
}

static void
who_never_commits_has_a_deadline(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);

	o.offer.deadlines.commit = 150;
	trap_catch(t);
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "STARTED"));
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	trap_failed(t, "FAILED timeout", "the commit was not made within 150 ms");
	trap_is_survived(t);
}

/* It commits and keeps the lock. */
static void
who_never_lets_go_has_a_deadline(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);

	o.offer.deadlines.confirm = 150;
	trap_catch(t);
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "STARTED"));
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	trap_hears(t, PACKET_READY);
	trap_say_type(t, PACKET_COMMIT);
	assert_non_null(actor_expect(&t->prey, "LOAD"));
	trap_failed(t, "FAILED timeout", "ownership was not settled within 150 ms");
	trap_is_survived(t);
}

/* It commits to one, and names another as the heir. */
static void
who_commits_to_two_has_deceived_one(void **state)
{
	struct trap *t = *state;
	struct record record = { .generation = 1, .owner = TRAP_INSTANCE, .heir = 77 };

	trap_readies(t);
	assert_int_equal(molt__rendezvous_write_record(t->rendezvous, &record), 0);
	trap_say_type(t, PACKET_COMMIT);
	molt__rendezvous_unlock_owner(t->rendezvous);
	assert_true(actor_event(&t->prey, ACTOR_PATIENCE) != NULL);
	if (strncmp(t->prey.event, "LOAD", 4) != 0)
		assert_int_equal(strncmp(t->prey.event, "FAILED deposed", 14), 0);
	else
		assert_non_null(actor_expect(&t->prey, "FAILED deposed"));
	assert_int_equal(actor_do(&t->prey, "free"), 0);
	assert_int_equal(fds_changed(t->table), 0);
	trap_is_survived(t);
}

/* Not even half of an offer is kept: while its LIFE were, nobody could be the first. */
static void
who_ends_in_the_offer_leaves_nothing(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);
	struct message m;

	o.offer.last = false;
	trap_catch(t);
	trap_say_offer(t, &o);
	assert_int_equal(peer_hear(t->fd, &m), PACKET_TAKEN);
	trap_open(t);
	assert_non_null(actor_expect(&t->prey, "STARTED first"));
	assert_int_equal(actor_do(&t->prey, "inherited"), 0);
	assert_int_equal(actor_do(&t->prey, "free"), 0);
	assert_int_equal(fds_changed(t->table), 0);
}

/* It ends, and nothing that it had is left but what it gave: who was named the heir goes on. */
static void
who_ends_before_the_commit_has_an_heir(void **state)
{
	struct trap *t = *state;

	trap_warms(t);
	trap_open(t);
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	assert_non_null(actor_expect(&t->prey, "SERVE predecessor died"));
	assert_true(client_served_by(t->port, "prey"));
}

/* It hangs up, and keeps the lock: that is not to be dead. */
static void
who_hangs_up_and_keeps_the_lock(void **state)
{
	struct trap *t = *state;
	struct trap_offer o = trap_good_offer(t);

	o.offer.deadlines.confirm = 150;
	trap_catch(t);
	trap_say_offer(t, &o);
	assert_non_null(actor_expect(&t->prey, "STARTED"));
	assert_int_equal(shutdown(t->fd, SHUT_WR), 0);
	assert_int_equal(actor_do(&t->prey, "ready"), 0);
	trap_failed(t, "FAILED timeout", "ownership was not settled within 150 ms");
	trap_is_survived(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TRAP_TEST(what_is_no_packet_is_no_offer),
		TRAP_TEST(a_descriptor_of_the_wrong_kind_is_not_taken),
		TRAP_TEST(an_offer_that_makes_no_sense_is_not_taken),
		TRAP_TEST(an_offer_of_nameless_things_is_not_taken),
		TRAP_TEST(lost_descriptors_are_not_overlooked),
		TRAP_TEST(an_offer_without_end_has_one),
		TRAP_TEST(its_own_other_end_is_given_back),
		TRAP_TEST(what_comes_before_the_offer_is_ignored),
		TRAP_TEST(what_comes_while_it_warms_is_ignored),
		TRAP_TEST(a_second_offer_ends_it),
		TRAP_TEST(a_commit_of_what_never_came_ends_it),
		TRAP_TEST(what_comes_after_the_commit),
		TRAP_TEST(what_comes_to_who_serves_is_ignored),
		TRAP_TEST(who_never_offers_has_a_deadline),
		TRAP_TEST(who_never_commits_has_a_deadline),
		TRAP_TEST(who_never_lets_go_has_a_deadline),
		TRAP_TEST(who_commits_to_two_has_deceived_one),
		TRAP_TEST(who_ends_in_the_offer_leaves_nothing),
		TRAP_TEST(who_ends_before_the_commit_has_an_heir),
		TRAP_TEST(who_hangs_up_and_keeps_the_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
