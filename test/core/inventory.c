/* SPDX-License-Identifier: MIT */
/* The table of entries: the life of an entry in both roles, and the bounds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "inventory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ANY (~0u)

/* Descriptors are only numbers here. */
static struct entry
entry(const char *name, enum entry_kind kind, int fd)
{
	struct entry e;

	molt__entry_init(&e);
	assert_int_equal(molt__entry_set_name(&e, name), 0);
	e.kind = kind;
	e.fd = fd;
	return e;
}

static int
inherit(struct inventory *inv, const char *name, uint32_t index, uint32_t id, int fd)
{
	struct entry e = entry(name, ENTRY_STREAM, fd);
	int replaced = -2;

	e.index = index;
	e.id = id;
	int slot = molt__inventory_inherit(inv, &e, &replaced);
	if (slot >= 0)
		assert_int_equal(replaced, -1);
	else
		assert_int_equal(replaced, -2);
	return slot;
}

static int
inherit_reserved(struct inventory *inv, const char *name, enum entry_kind kind, uint32_t id, int fd)
{
	struct entry e = entry(name, kind, fd);
	int replaced;

	e.id = id;
	int slot = molt__inventory_inherit(inv, &e, &replaced);
	if (slot >= 0)
		assert_int_equal(replaced, -1);
	return slot;
}

static int
hold(struct inventory *inv, const char *name, int fd)
{
	struct entry e = entry(name, ENTRY_STREAM, fd);

	return molt__inventory_hold(inv, &e);
}

static int
lend(struct inventory *inv, const char *name, enum entry_kind kind, int fd)
{
	struct entry e = entry(name, kind, fd);

	return molt__inventory_lend(inv, &e);
}

static int
fd_of(const struct inventory *inv, int slot)
{
	assert_true(slot >= 0);
	return molt__inventory_entry(inv, slot)->fd;
}

static void
assert_status(const struct inventory *inv, int slot, enum inventory_status status)
{
	assert_int_equal(molt__inventory_status(inv, slot), status);
}

/* --- As successor --- */

static void
inherited_ones_are_claimed_or_taken(void **state)
{
	struct inventory inv;
	uint32_t ids[8];

	(void)state;
	molt__inventory_init(&inv);
	int a = inherit(&inv, "a", 0, 1, 10), b = inherit(&inv, "b", 0, 2, 11);
	int c = inherit(&inv, "c", 0, 3, 12);
	int life = inherit_reserved(&inv, "life", ENTRY_LIFE, 4, 13);
	assert_int_equal(molt__inventory_claimed_ids(&inv, ids, COUNT(ids)), 0);
	molt__inventory_claim(&inv, a);
	assert_int_equal(molt__inventory_take(&inv, b), 11);
	assert_int_equal(molt__inventory_borrow(&inv, life), 13);
	assert_status(&inv, a, INVENTORY_HELD);
	assert_status(&inv, b, INVENTORY_TAKEN);
	assert_status(&inv, c, INVENTORY_INHERITED);
	assert_status(&inv, life, INVENTORY_LENT);
	assert_int_equal(molt__inventory_claimed_ids(&inv, ids, COUNT(ids)), 3);
	assert_true(ids[0] == 1 && ids[1] == 2 && ids[2] == 4);
	assert_int_equal(molt__inventory_claimed_ids(&inv, ids, 2), 2);
	assert_int_equal(molt__inventory_find_fd(&inv, 11), INVENTORY_NONE);
	assert_int_equal(molt__inventory_entry(&inv, b)->fd, -1);
	molt__inventory_clear(&inv);
}

static void
serving_closes_what_is_unclaimed(void **state)
{
	struct inventory inv;

	(void)state;
	molt__inventory_init(&inv);
	molt__inventory_claim(&inv, inherit(&inv, "a", 0, 1, 10));
	inherit(&inv, "b", 0, 2, 11);
	inherit(&inv, "b", 1, 3, 12);
	molt__inventory_take(&inv, inherit(&inv, "c", 0, 4, 13));
	int slot = molt__inventory_next_to_close_unclaimed(&inv);
	assert_int_equal(fd_of(&inv, slot), 11);
	molt__inventory_remove(&inv, slot);
	slot = molt__inventory_next_to_close_unclaimed(&inv);
	assert_int_equal(fd_of(&inv, slot), 12);
	molt__inventory_remove(&inv, slot);
	assert_int_equal(molt__inventory_next_to_close_unclaimed(&inv), INVENTORY_NONE);
	assert_int_equal(molt__inventory_count(&inv, ANY), 2);
	molt__inventory_clear(&inv);
}

static void
failing_closes_all_but_the_hosts(void **state)
{
	struct inventory inv;
	bool closed[32] = { false };
	int slot;

	(void)state;
	molt__inventory_init(&inv);
	molt__inventory_claim(&inv, inherit(&inv, "a", 0, 1, 10));
	inherit(&inv, "b", 0, 2, 11);
	molt__inventory_take(&inv, inherit(&inv, "c", 0, 3, 12));
	hold(&inv, "d", 13);
	lend(&inv, "c", ENTRY_FILE, 12);
	lend(&inv, "life", ENTRY_LIFE, 14);
	molt__inventory_mark_retiring(&inv, hold(&inv, "e", 15));
	while ((slot = molt__inventory_next_to_close_failed(&inv)) != INVENTORY_NONE) {
		closed[fd_of(&inv, slot)] = true;
		molt__inventory_remove(&inv, slot);
	}
	assert_true(closed[10] && closed[11] && closed[13] && closed[15]);
	assert_false(closed[12] || closed[14]);
	molt__inventory_clear(&inv);
}

static void
a_late_one_takes_the_place_of_an_unclaimed_one(void **state)
{
	struct inventory inv;
	struct entry late = entry("state", ENTRY_FILE, 20);
	uint32_t id;
	int replaced;

	(void)state;
	molt__inventory_init(&inv);
	int slot = inherit(&inv, "state", 0, 1, 10);
	late.id = 2;
	assert_int_equal(molt__inventory_inherit(&inv, &late, &replaced), slot);
	assert_int_equal(replaced, 10);
	assert_int_equal(fd_of(&inv, slot), 20);
	/* A taken one is the host's, and stays beside it. */
	assert_int_equal(molt__inventory_take(&inv, slot), 20);
	assert_int_equal(molt__inventory_claimed_ids(&inv, &id, 1), 1);
	assert_int_equal(id, 2);
	late.id = 3;
	late.fd = 21;
	assert_int_not_equal(molt__inventory_inherit(&inv, &late, &replaced), slot);
	assert_int_equal(replaced, -1);
	molt__inventory_clear(&inv);
}

static void
names_of_what_was_inherited(void **state)
{
	struct inventory inv;

	(void)state;
	molt__inventory_init(&inv);
	assert_int_equal(molt__inventory_inherited_count(&inv), 0);
	assert_null(molt__inventory_inherited_name(&inv, 0));
	inherit_reserved(&inv, "life", ENTRY_LIFE, 1, 10);
	molt__inventory_take(&inv, inherit(&inv, "a", 0, 2, 11));
	hold(&inv, "fresh", 12);
	inherit(&inv, "b", 0, 3, 13);
	inherit(&inv, "b", 1, 4, 14);
	assert_int_equal(molt__inventory_inherited_count(&inv), 3);
	assert_string_equal(molt__inventory_inherited_name(&inv, 0), "a");
	assert_string_equal(molt__inventory_inherited_name(&inv, 1), "b");
	assert_string_equal(molt__inventory_inherited_name(&inv, 2), "b");
	assert_null(molt__inventory_inherited_name(&inv, 3));
	assert_null(molt__inventory_inherited_name(&inv, -1));
	molt__inventory_clear(&inv);
}

static void
what_a_peer_sends_is_checked(void **state)
{
	struct inventory inv;
	struct entry bad = entry("a", ENTRY_FILE, 10);
	int replaced;

	(void)state;
	molt__inventory_init(&inv);
	assert_int_equal(molt__inventory_inherit(&inv, &bad, &replaced), -EINVAL);
	bad.id = 1;
	bad.fd = -1;
	assert_int_equal(molt__inventory_inherit(&inv, &bad, &replaced), -EINVAL);
	bad.fd = 10;
	bad.name[0] = '/';
	assert_int_equal(molt__inventory_inherit(&inv, &bad, &replaced), -EINVAL);
	assert_true(inherit(&inv, "a", 0, 1, 10) >= 0);
	assert_int_equal(inherit(&inv, "b", 0, 1, 11), -EEXIST);
	/* Two reserved ones, and no third. They have nothing to do with a host's name. */
	assert_true(inherit(&inv, "life", 0, 5, 15) >= 0);
	assert_true(inherit_reserved(&inv, "life", ENTRY_LIFE, 2, 12) >= 0);
	assert_true(inherit_reserved(&inv, "path", ENTRY_PATH, 3, 13) >= 0);
	assert_int_equal(inherit_reserved(&inv, "life", ENTRY_LIFE, 4, 14), -ENOSPC);
	assert_int_equal(molt__inventory_count(&inv, ANY), 2);
	molt__inventory_clear(&inv);
}

/* --- Own entries --- */

static void
members_are_counted_without_gaps(void **state)
{
	struct inventory inv;

	(void)state;
	molt__inventory_init(&inv);
	int first = lend(&inv, "g", ENTRY_STREAM, 10), second = lend(&inv, "g", ENTRY_STREAM, 11);
	assert_int_equal(molt__inventory_entry(&inv, first)->index, 0);
	assert_int_equal(molt__inventory_entry(&inv, second)->index, 1);
	molt__inventory_remove(&inv, first);
	int third = lend(&inv, "g", ENTRY_STREAM, 12);
	assert_int_equal(molt__inventory_entry(&inv, third)->index, 0);
	/* Another address was inherited under that name and not claimed: it counts for nothing. */
	inherit(&inv, "h", 0, 1, 20);
	assert_int_equal(molt__inventory_entry(&inv, hold(&inv, "h", 21))->index, 0);
	/* Members 3 and 5 of a group, claimed in turn. */
	int a = inherit(&inv, "i", 3, 2, 22), b = inherit(&inv, "i", 5, 3, 23);
	molt__inventory_claim(&inv, a);
	molt__inventory_claim(&inv, b);
	assert_int_equal(molt__inventory_find(&inv, INVENTORY_ANY_HELD, "i", 0), a);
	assert_int_equal(molt__inventory_find(&inv, INVENTORY_ANY_HELD, "i", 1), b);
	molt__inventory_clear(&inv);
}

static void
own_entries_are_checked(void **state)
{
	struct inventory inv;
	struct entry nameless = entry("a", ENTRY_FILE, 9);

	(void)state;
	molt__inventory_init(&inv);
	nameless.name[0] = '\0';
	assert_int_equal(molt__inventory_lend(&inv, &nameless), -EINVAL);
	assert_int_equal(lend(&inv, "a", ENTRY_FILE, -1), -EINVAL);
	assert_true(lend(&inv, "a", ENTRY_FILE, 10) >= 0);
	assert_int_equal(lend(&inv, "b", ENTRY_FILE, 10), -EEXIST);
	assert_int_equal(hold(&inv, "a", 11), -EEXIST);
	assert_true(hold(&inv, "b", 11) >= 0);
	assert_int_equal(lend(&inv, "b", ENTRY_FILE, 12), -EEXIST);
	/* The library's own names are in nobody's way. */
	assert_true(lend(&inv, "life", ENTRY_LIFE, 13) >= 0);
	assert_int_equal(molt__inventory_entry(&inv, lend(&inv, "life", ENTRY_FILE, 14))->index, 0);
	molt__inventory_clear(&inv);
}

static void
the_table_has_a_bound(void **state)
{
	struct inventory inv;

	(void)state;
	molt__inventory_init(&inv);
	for (int i = 0; i < INVENTORY_MAX; i++)
		assert_int_equal(
			molt__inventory_entry(&inv, lend(&inv, "a", ENTRY_FILE, 10 + i))->index, i);
	assert_int_equal(lend(&inv, "a", ENTRY_FILE, 5), -ENOSPC);
	assert_int_equal(hold(&inv, "b", 5), -ENOSPC);
	assert_int_equal(inherit(&inv, "b", 0, 1, 5), -ENOSPC);
	/* A host cannot take the room of what every handoff needs. */
	assert_true(lend(&inv, "life", ENTRY_LIFE, 5) >= 0);
	molt__inventory_remove(&inv, 500);
	assert_int_equal(lend(&inv, "b", ENTRY_FILE, 6), 500);
	molt__inventory_clear(&inv);
	assert_int_equal(inv.count, 0);
}

static void
finding(void **state)
{
	struct inventory inv;
	struct entry e = entry("b", ENTRY_STREAM, 12);
	struct address_record asked = { .family = AF_INET,
					.type = SOCK_STREAM,
					.text = "0.0.0.0:0" };

	(void)state;
	molt__inventory_init(&inv);
	inherit(&inv, "a", 1, 1, 10);
	int second = inherit(&inv, "a", 0, 2, 11);
	inherit(&inv, "a", 2, 3, 14);
	e.address = (struct address_record){ AF_INET, SOCK_STREAM, "0.0.0.0:80" };
	int held = molt__inventory_hold(&inv, &e);
	int path = lend(&inv, "a", ENTRY_PATH, 13);
	/* By name in the order of their indexes, and never a reserved one. */
	int i = molt__inventory_next_named(&inv, INVENTORY_NONE, ANY, "a");
	assert_int_equal(i, second);
	i = molt__inventory_next_named(&inv, i, ANY, "a");
	assert_int_equal(fd_of(&inv, i), 10);
	i = molt__inventory_next_named(&inv, i, ANY, "a");
	assert_int_equal(fd_of(&inv, i), 14);
	assert_int_equal(molt__inventory_next_named(&inv, i, ANY, "a"), INVENTORY_NONE);
	assert_int_equal(molt__inventory_next_named(&inv, INVENTORY_NONE, INVENTORY_ANY_HELD, "a"),
			 INVENTORY_NONE);
	assert_int_equal(molt__inventory_find(&inv, ANY, "a", 3), INVENTORY_NONE);
	assert_int_equal(molt__inventory_find_address(&inv, ANY, &asked), held);
	assert_int_equal(molt__inventory_find_address(&inv, INVENTORY_ANY_LENT, &asked),
			 INVENTORY_NONE);
	asked.type = SOCK_DGRAM;
	assert_int_equal(molt__inventory_find_address(&inv, ANY, &asked), INVENTORY_NONE);
	assert_int_equal(molt__inventory_find_kind(&inv, ANY, ENTRY_PATH), path);
	assert_int_equal(molt__inventory_find_kind(&inv, ANY, ENTRY_LIFE), INVENTORY_NONE);
	assert_int_equal(molt__inventory_find_fd(&inv, 12), held);
	assert_int_equal(molt__inventory_count(&inv, INVENTORY_SET(INVENTORY_INHERITED)), 3);
	assert_int_equal(molt__inventory_count(&inv, INVENTORY_ANY_LENT), 0);
	molt__inventory_clear(&inv);
}

/* --- As predecessor --- */

struct offered {
	struct inventory inv;
	int http, udp, state, mine, life;
};

static void
send_all(struct inventory *inv)
{
	int slot;

	while ((slot = molt__inventory_next_to_send(inv)) != INVENTORY_NONE)
		molt__inventory_mark_sent(inv, slot);
}

static int
offered_setup(void **state)
{
	static struct offered o;

	molt__inventory_init(&o.inv);
	o.http = hold(&o.inv, "http", 10);
	o.udp = lend(&o.inv, "udp", ENTRY_DATAGRAM, 11);
	o.state = lend(&o.inv, "state", ENTRY_FILE, 12);
	o.mine = lend(&o.inv, "mine", ENTRY_STREAM, 13);
	o.life = lend(&o.inv, "life", ENTRY_LIFE, 14);
	*state = &o;
	return 0;
}

static int
offered_teardown(void **state)
{
	struct offered *o = *state;

	molt__inventory_clear(&o->inv);
	return 0;
}

static void
everything_is_sent_once_and_numbered(void **state)
{
	struct offered *o = *state;

	molt__inventory_begin_handoff(&o->inv);
	assert_int_equal(molt__inventory_count_to_send(&o->inv), 5);
	assert_int_equal(molt__inventory_next_to_send(&o->inv), o->life);
	send_all(&o->inv);
	assert_int_equal(molt__inventory_count_to_send(&o->inv), 0);
	assert_int_equal(molt__inventory_entry(&o->inv, o->life)->id, 1);
	assert_int_equal(molt__inventory_entry(&o->inv, o->mine)->id, 5);
	assert_status(&o->inv, o->http, INVENTORY_HELD_SENT);
	assert_status(&o->inv, o->mine, INVENTORY_LENT_SENT);
	/* Then late ones, and those alone. */
	int late = lend(&o->inv, "late", ENTRY_FILE, 20);
	assert_int_equal(molt__inventory_next_to_send(&o->inv), late);
	molt__inventory_mark_sent(&o->inv, late);
	assert_int_equal(molt__inventory_entry(&o->inv, late)->id, 6);
	assert_int_equal(molt__inventory_next_to_send(&o->inv), INVENTORY_NONE);
}

static void
an_abort_leaves_all_as_it_was(void **state)
{
	struct offered *o = *state;
	uint32_t all[] = { 1, 2, 3, 4, 5 };

	molt__inventory_begin_handoff(&o->inv);
	send_all(&o->inv);
	assert_int_equal(molt__inventory_mark_claimed(&o->inv, all, COUNT(all)), 0);
	assert_status(&o->inv, o->http, INVENTORY_HELD_CLAIMED);
	molt__inventory_end_handoff(&o->inv);
	assert_status(&o->inv, o->http, INVENTORY_HELD);
	assert_status(&o->inv, o->mine, INVENTORY_LENT);
	assert_int_equal(molt__inventory_entry(&o->inv, o->http)->id, 0);
	/* And the next handoff begins with 1. */
	molt__inventory_begin_handoff(&o->inv);
	assert_int_equal(molt__inventory_count_to_send(&o->inv), 5);
	send_all(&o->inv);
	assert_int_equal(molt__inventory_entry(&o->inv, o->life)->id, 1);
}

static void
claims_are_checked_whole(void **state)
{
	struct offered *o = *state;
	uint32_t none[] = { 2, 6 }, zero[] = { 2, 0 }, again[] = { 2, 2, 3 };

	molt__inventory_begin_handoff(&o->inv);
	send_all(&o->inv);
	assert_int_equal(molt__inventory_mark_claimed(&o->inv, none, 2), -EBADMSG);
	assert_int_equal(molt__inventory_mark_claimed(&o->inv, zero, 2), -EBADMSG);
	assert_status(&o->inv, o->http, INVENTORY_HELD_SENT);
	/* 3 was withdrawn after it was sent: its copy there is the successor's business. */
	molt__inventory_remove(&o->inv, o->udp);
	assert_int_equal(molt__inventory_mark_claimed(&o->inv, again, 3), 0);
	assert_int_equal(molt__inventory_mark_claimed(&o->inv, again, 3), 0);
	assert_status(&o->inv, o->http, INVENTORY_HELD_CLAIMED);
}

static int
retire_next(struct inventory *inv, enum inventory_retire which, int *ret_to_close)
{
	int slot = molt__inventory_next_to_retire(inv, which);

	if (slot == INVENTORY_NONE)
		return -1;
	int fd = fd_of(inv, slot);
	molt__inventory_mark_retiring(inv, slot);
	*ret_to_close = molt__inventory_mark_retired(inv, slot);
	assert_int_equal(molt__inventory_entry(inv, slot)->fd, -1);
	return fd;
}

static void
unclaimed_listeners_are_retired(void **state)
{
	struct offered *o = *state;
	uint32_t claimed[] = { 1, 3 }; /* life and udp */
	int to_close;

	molt__inventory_begin_handoff(&o->inv);
	send_all(&o->inv);
	assert_int_equal(molt__inventory_mark_claimed(&o->inv, claimed, 2), 0);
	/*
	 * Not the file, whatever became of it; the library's own is closed here, the host's is not.
	 */
	assert_int_equal(retire_next(&o->inv, INVENTORY_RETIRE_UNCLAIMED, &to_close), 10);
	assert_int_equal(to_close, 10);
	assert_int_equal(retire_next(&o->inv, INVENTORY_RETIRE_UNCLAIMED, &to_close), 13);
	assert_int_equal(to_close, -1);
	assert_int_equal(retire_next(&o->inv, INVENTORY_RETIRE_UNCLAIMED, &to_close), -1);
	assert_int_equal(retire_next(&o->inv, INVENTORY_RETIRE_ALL, &to_close), 11);
	assert_int_equal(retire_next(&o->inv, INVENTORY_RETIRE_ALL, &to_close), -1);
	assert_status(&o->inv, o->life, INVENTORY_LENT_CLAIMED);
}

static void
what_was_retired_is_remembered(void **state)
{
	struct offered *o = *state;
	int to_close;

	molt__inventory_begin_handoff(&o->inv);
	send_all(&o->inv);
	while (retire_next(&o->inv, INVENTORY_RETIRE_UNCLAIMED, &to_close) != -1)
		;
	molt__inventory_end_handoff(&o->inv);
	int slot = molt__inventory_next_retired(&o->inv, INVENTORY_NONE);
	assert_int_equal(slot, o->http);
	assert_string_equal(molt__inventory_entry(&o->inv, slot)->name, "http");
	/*
	 * A retired one is in nobody's way: not its name, not its number, and it is not sent again.
	 */
	assert_true(hold(&o->inv, "http", 10) >= 0);
	assert_true(hold(&o->inv, "mine", 13) >= 0);
	molt__inventory_remove(&o->inv, slot);
	slot = molt__inventory_next_retired(&o->inv, slot);
	assert_int_equal(slot, o->udp);
	assert_int_equal(molt__inventory_next_retired(&o->inv, slot), o->mine);
	molt__inventory_begin_handoff(&o->inv);
	assert_int_equal(molt__inventory_count_to_send(&o->inv), 4);
}

static void
retiring_ones_still_have_their_descriptor(void **state)
{
	struct offered *o = *state;

	molt__inventory_mark_retiring(&o->inv, o->http);
	assert_int_equal(molt__inventory_find_fd(&o->inv, 10), o->http);
	assert_int_equal(hold(&o->inv, "x", 10), -EEXIST);
	assert_int_not_equal(molt__inventory_next_to_retire(&o->inv, INVENTORY_RETIRE_ALL),
			     o->http);
	/* The end of the handoff does not bring it back: its event is on its way to the host. */
	molt__inventory_end_handoff(&o->inv);
	assert_status(&o->inv, o->http, INVENTORY_HELD_RETIRING);
}

#define offered_test(f) cmocka_unit_test_setup_teardown(f, offered_setup, offered_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inherited_ones_are_claimed_or_taken),
		cmocka_unit_test(serving_closes_what_is_unclaimed),
		cmocka_unit_test(failing_closes_all_but_the_hosts),
		cmocka_unit_test(a_late_one_takes_the_place_of_an_unclaimed_one),
		cmocka_unit_test(names_of_what_was_inherited),
		cmocka_unit_test(what_a_peer_sends_is_checked),
		cmocka_unit_test(members_are_counted_without_gaps),
		cmocka_unit_test(own_entries_are_checked),
		cmocka_unit_test(the_table_has_a_bound),
		cmocka_unit_test(finding),
		offered_test(everything_is_sent_once_and_numbered),
		offered_test(an_abort_leaves_all_as_it_was),
		offered_test(claims_are_checked_whole),
		offered_test(unclaimed_listeners_are_retired),
		offered_test(what_was_retired_is_remembered),
		offered_test(retiring_ones_still_have_their_descriptor),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
