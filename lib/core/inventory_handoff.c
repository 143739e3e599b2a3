/* SPDX-License-Identifier: MIT */
/* The table of entries in a handoff: what is claimed, closed, sent and retired. */
#include "inventory.h"

#include <errno.h>

#define UNSENT (INVENTORY_SET(INVENTORY_HELD) | INVENTORY_SET(INVENTORY_LENT))
#define SENT (INVENTORY_SET(INVENTORY_HELD_SENT) | INVENTORY_SET(INVENTORY_LENT_SENT))
#define CLAIMED (INVENTORY_SET(INVENTORY_HELD_CLAIMED) | INVENTORY_SET(INVENTORY_LENT_CLAIMED))
#define RETIRED (INVENTORY_SET(INVENTORY_HELD_RETIRED) | INVENTORY_SET(INVENTORY_LENT_RETIRED))
#define INHERITED INVENTORY_SET(INVENTORY_INHERITED)

/* LENT's statuses follow HELD's in the same order: where in the order a status is. */
enum { LENT_OFFSET = INVENTORY_LENT - INVENTORY_HELD };

static bool
is_lent(const struct inventory_slot *s)
{
	return s->status >= INVENTORY_LENT;
}

/* Moves HELD_x to HELD_y and LENT_x to LENT_y; `status` is the HELD one. */
static void
set_status(struct inventory_slot *s, enum inventory_status status)
{
	s->status = (uint8_t)(is_lent(s) ? (int)status + LENT_OFFSET : (int)status);
}

/* --- As successor --- */

size_t
molt__inventory_claimed_ids(const struct inventory *inv, uint32_t *ids, size_t max)
{
	int i = INVENTORY_NONE;
	size_t count = 0;

	while ((i = molt__inventory_next(inv, i, ~INHERITED)) != INVENTORY_NONE && count < max) {
		if (inv->slots[i].received_id != 0)
			ids[count++] = inv->slots[i].received_id;
	}
	return count;
}

int
molt__inventory_next_to_close_unclaimed(const struct inventory *inv)
{
	return molt__inventory_next(inv, INVENTORY_NONE, INHERITED);
}

int
molt__inventory_next_to_close_failed(const struct inventory *inv)
{
	return molt__inventory_next(inv, INVENTORY_NONE,
				    INHERITED | INVENTORY_ANY_HELD |
					    INVENTORY_SET(INVENTORY_HELD_RETIRING));
}

/* --- As predecessor --- */

void
molt__inventory_end_handoff(struct inventory *inv)
{
	int i = INVENTORY_NONE;

	while ((i = molt__inventory_next(inv, i, SENT | CLAIMED)) != INVENTORY_NONE) {
		set_status(&inv->slots[i], INVENTORY_HELD);
		inv->slots[i].sent_id = 0;
		inv->slots[i].entry.id = 0;
	}
}

void
molt__inventory_begin_handoff(struct inventory *inv)
{
	molt__inventory_end_handoff(inv);
	inv->last_id = 0;
}

int
molt__inventory_next_to_send(const struct inventory *inv)
{
	int i = INVENTORY_NONE;

	while ((i = molt__inventory_next(inv, i, UNSENT)) != INVENTORY_NONE) {
		if (molt__entry_is_reserved(&inv->slots[i].entry))
			return i;
	}
	return molt__inventory_next(inv, INVENTORY_NONE, UNSENT);
}

int
molt__inventory_count_to_send(const struct inventory *inv)
{
	int count = 0;

	for (int i = INVENTORY_NONE; (i = molt__inventory_next(inv, i, UNSENT)) != INVENTORY_NONE;)
		count++;
	return count;
}

void
molt__inventory_mark_sent(struct inventory *inv, int slot)
{
	struct inventory_slot *s = &inv->slots[slot];

	s->sent_id = ++inv->last_id;
	s->entry.id = s->sent_id;
	set_status(s, INVENTORY_HELD_SENT);
}

static void
mark_one_claimed(struct inventory *inv, uint32_t id)
{
	int i = INVENTORY_NONE;

	while ((i = molt__inventory_next(inv, i, SENT)) != INVENTORY_NONE) {
		if (inv->slots[i].sent_id == id)
			set_status(&inv->slots[i], INVENTORY_HELD_CLAIMED);
	}
}

int
molt__inventory_mark_claimed(struct inventory *inv, const uint32_t *ids, size_t count)
{
	for (size_t n = 0; n < count; n++) {
		if (ids[n] == 0 || ids[n] > inv->last_id)
			return -EBADMSG;
	}
	for (size_t n = 0; n < count; n++)
		mark_one_claimed(inv, ids[n]);
	return 0;
}

int
molt__inventory_next_to_retire(const struct inventory *inv, enum inventory_retire which)
{
	unsigned due = which == INVENTORY_RETIRE_ALL ? UNSENT | SENT | CLAIMED : UNSENT | SENT;
	int i = INVENTORY_NONE;

	while ((i = molt__inventory_next(inv, i, due)) != INVENTORY_NONE) {
		if (molt__entry_is_listener(&inv->slots[i].entry))
			break;
	}
	return i;
}

void
molt__inventory_mark_retiring(struct inventory *inv, int slot)
{
	set_status(&inv->slots[slot], INVENTORY_HELD_RETIRING);
}

int
molt__inventory_mark_retired(struct inventory *inv, int slot)
{
	struct inventory_slot *s = &inv->slots[slot];
	int fd = is_lent(s) ? -1 : s->entry.fd;

	s->entry.fd = -1;
	set_status(s, INVENTORY_HELD_RETIRED);
	return fd;
}

int
molt__inventory_next_retired(const struct inventory *inv, int after)
{
	return molt__inventory_next(inv, after, RETIRED);
}
