/* SPDX-License-Identifier: MIT */
/* Listeners in the course of a handoff: entering service, retired, lost, closed. */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

/* --- In the course of a handoff --------------------------------------------------------------- */

static void
what_cannot_serve_is_named(void **state)
{
	struct bench *b = *state;
	int other = bench_foreign(SOCK_STREAM, 0, false);
	char address[64];

	/* Both are bound with SO_REUSEADDR; only the first may listen. */
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", bench_port_of(other));
	assert_true(molt__listeners_listen(b->m, "http", address) >= 0);
	assert_true(molt__listeners_listen(b->m, "fine", "tcp://127.0.0.1:0") >= 0);
	assert_int_equal(listen(other, 5), 0);
	bench_activate(b);
	assert_int_equal(b->event.entry_count, 1);
	assert_string_equal(b->event.entries[0].name, "http");
	assert_int_equal(b->event.entries[0].error, -EADDRINUSE);
	assert_logged(b, "listen: listener http");
	assert_true(bench_is_listening(molt__listeners_fd(b->m, "fine", 0)));
	/* Asking again tries again. */
	assert_int_equal(molt__listeners_listen(b->m, "http", address), -EADDRINUSE);
	close(other);
	assert_true(bench_is_listening(molt__listeners_listen(b->m, "http", address)));
}

/* Three: held and claimed, held and not, lent and not. */
static void
hand_over_three(struct bench *b, int fds[3])
{
	struct inventory *inv = &b->m->inventory;
	uint32_t claimed;
	int slot;

	bench_becomes(b, HANDOFF_SERVING);
	fds[0] = molt__listeners_listen(b->m, "kept", "tcp://127.0.0.1:0");
	fds[1] = molt__listeners_listen(b->m, "unwanted", "tcp://127.0.0.1:0");
	fds[2] = bench_foreign(SOCK_STREAM, 0, false);
	assert_int_equal(molt__listeners_offer(b->m, "lent", fds[2]), 0);
	molt__inventory_begin_handoff(inv);
	while ((slot = molt__inventory_next_to_send(inv)) != INVENTORY_NONE)
		molt__inventory_mark_sent(inv, slot);
	claimed = molt__inventory_entry(inv, molt__inventory_find_fd(inv, fds[0]))->id;
	assert_int_equal(molt__inventory_mark_claimed(inv, &claimed, 1), 0);
	bench_becomes(b, HANDOFF_DRAIN);
}

/* The next RETIRE: its name, or "" if there is none. The one before has been acted on. */
static const char *
next_retire(struct bench *b, int reason)
{
	if (b->event.type == MOLT_RETIRE)
		molt__listeners_retired(b->m, &b->event);
	free(b->event.entries);
	b->event = (struct molt_event){ .type = MOLT_RETIRE, .fd = -1, .slot = INVENTORY_NONE };
	snprintf(b->event.text, sizeof(b->event.text), "because");
	if (molt__listeners_retire_next(b->m, reason, &b->event))
		return b->event.entries[0].name;
	b->event.type = 0;
	return "";
}

static void
only_what_is_unclaimed_is_retired(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "unwanted");
	assert_int_equal(b->event.fd, fds[1]);
	assert_non_null(strstr(b->event.text, "unwanted at tcp://127.0.0.1:"));
	assert_non_null(strstr(b->event.text, "because"));
	assert_true(bench_is_open(fds[1]));
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "lent");
	assert_false(bench_is_open(fds[1]));
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "");
	assert_true(bench_is_open(fds[0]) && bench_is_open(fds[2]));
	assert_string_equal(next_retire(b, MOLT_REASON_RENOUNCED), "kept");
	assert_string_equal(next_retire(b, MOLT_REASON_RENOUNCED), "");
	assert_false(bench_is_open(fds[0]));
	close(fds[2]);
}

static void
a_withdrawn_one_is_retired_no_more(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	next_retire(b, MOLT_REASON_UNCLAIMED);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "lent");
	assert_int_equal(molt__listeners_withdraw(b->m, "lent"), 0);
	assert_int_equal(molt__listeners_offer(b->m, "file", STDIN_FILENO), 0);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "");
	assert_int_equal(bench_count_status(b, INVENTORY_LENT), 1);
	assert_int_equal(bench_count_status(b, INVENTORY_LENT_RETIRED), 0);
	assert_int_equal(bench_count_status(b, INVENTORY_HELD_RETIRED), 1);
	close(fds[2]);
}

static void
who_closed_its_own_is_not_told(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	close(fds[2]);
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "unwanted");
	assert_string_equal(next_retire(b, MOLT_REASON_UNCLAIMED), "");
}

static void
what_was_given_up_is_told_once_a_name(void **state)
{
	struct bench *b = *state;
	struct molt_event resume = { .type = MOLT_RESUME };

	bench_becomes(b, HANDOFF_SERVING);
	assert_true(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3") >= 0);
	assert_true(molt__listeners_listen(b->m, "h", "tcp://127.0.0.1:0") >= 0);
	bench_becomes(b, HANDOFF_DRAIN);
	while (next_retire(b, MOLT_REASON_UNCLAIMED)[0] != '\0')
		continue;
	bench_becomes(b, HANDOFF_SERVING);
	molt__listeners_lost(b->m, &resume);
	assert_int_equal(resume.entry_count, 2);
	assert_string_not_equal(resume.entries[0].name, resume.entries[1].name);
	assert_int_equal(b->m->inventory.count, 0);
	molt__listeners_lost(b->m, &resume);
	assert_int_equal(resume.entry_count, 2);
	free(resume.entries);
	assert_true(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3") >= 0);
}

/* One that was lost in part is made whole again. */
static void
a_group_that_lost_members_is_completed(void **state)
{
	struct bench *b = *state;
	int fd;

	bench_becomes(b, HANDOFF_SERVING);
	fd = molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3");
	molt__listeners_drop(
		b->m, molt__inventory_find_fd(&b->m->inventory, molt__listeners_fd(b->m, "g", 1)));
	assert_int_equal(molt__listeners_count(b->m, "g"), 2);
	assert_int_equal(molt__listeners_listen(b->m, "g", "tcp://127.0.0.1:0?sockets=3"), fd);
	assert_int_equal(molt__listeners_count(b->m, "g"), 3);
	assert_true(bench_is_listening(molt__listeners_fd(b->m, "g", 1)));
}

static void
leaving_keeps_what_is_to_be_retired(void **state)
{
	struct bench *b = *state;
	int fds[3];

	hand_over_three(b, fds);
	bench_becomes(b, HANDOFF_LEFT);
	molt__listeners_close(b->m);
	assert_true(bench_is_open(fds[0]) && bench_is_open(fds[1]));
	while (next_retire(b, MOLT_REASON_LEAVING)[0] != '\0')
		continue;
	assert_false(bench_is_open(fds[0]) || bench_is_open(fds[1]));
	assert_true(bench_is_open(fds[2]));
	close(fds[2]);
}

/* A number that the host has closed by mistake may be its own again. */
static void
a_descriptor_that_is_no_longer_ours_is_not_closed(void **state)
{
	struct bench *b = *state;
	int fd = molt__listeners_listen(b->m, "http", "tcp://127.0.0.1:0");

	close(fd);
	assert_int_equal(memfd_create("mine", MFD_CLOEXEC), fd);
	bench_activate(b);
	assert_int_equal(b->event.entries[0].error, -EBADF);
	bench_becomes(b, HANDOFF_FAILED);
	molt__listeners_close(b->m);
	assert_true(bench_is_open(fd));
	close(fd);
}

#define test(function) cmocka_unit_test_setup_teardown(function, bench_set_up, bench_tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		test(what_cannot_serve_is_named),
		test(only_what_is_unclaimed_is_retired),
		test(a_withdrawn_one_is_retired_no_more),
		test(who_closed_its_own_is_not_told),
		test(what_was_given_up_is_told_once_a_name),
		test(a_group_that_lost_members_is_completed),
		test(leaving_keeps_what_is_to_be_retired),
		test(a_descriptor_that_is_no_longer_ours_is_not_closed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
